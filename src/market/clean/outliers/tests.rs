use super::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A bar of the given session and index within it; opens and closes at `close`.
fn row(close: f64) -> CleanRow {
    CleanRow {
        label_s: 0,
        open: close,
        high: close * 1.001,
        low: close * 0.999,
        close,
        volume: 5.0,
    }
}

fn day(session: usize) -> NaiveDate {
    "2020-01-01".parse::<NaiveDate>().unwrap() + chrono::Days::new(session as u64)
}

/// What becomes of bars, seven a session.
fn filtered(rule: OutlierRule, rows: &[CleanRow]) -> Vec<Option<CleanRow>> {
    let mut filter = OutlierFilter::new(rule).unwrap();
    let each = rows.iter().enumerate();
    each.map(|(i, &row)| filter.next(row, day(i / 7), 3600 * i as i64)).collect()
}

/// 15 sessions around 100; by hand: bounds are the least ones, 5 % and 10 % overnight.
fn calm() -> Vec<CleanRow> {
    (0..15 * 7).map(|i| row(100.0 + 0.1 * (i % 2) as f64)).collect()
}

#[test]
fn nothing_is_done_where_that_is_not_asked_for_or_too_little_is_known() {
    assert!(OutlierFilter::new(OutlierRule::Off).is_none());
    let mut rows = calm();
    for wrong in [3, 30, 63] {
        rows[wrong] = row(1000.0);
    }
    let kept = filtered(OutlierRule::Drop, &rows);
    assert!(kept.iter().all(Option::is_some));
}

#[test]
fn a_spike_is_left_out_or_clipped_to_the_bound() {
    let mut rows = calm();
    rows[87] = row(1000.0);
    let kept = filtered(OutlierRule::Drop, &rows);
    let gone: Vec<usize> = (0..rows.len()).filter(|&i| kept[i].is_none()).collect();
    assert_eq!(gone, [87]);
    let kept = filtered(OutlierRule::Winsorize, &rows);
    // The close before is 100, the bound 5 %.
    let clipped = kept[87].unwrap();
    assert_eq!(
        (clipped.open, clipped.high, clipped.low, clipped.close),
        (105.0, 105.0, 105.0, 105.0)
    );
    assert!((0..rows.len()).all(|i| i == 87 || kept[i] == Some(rows[i])));
    // Of a wick only the low is clipped, and the next bar is near the close.
    let mut rows = calm();
    rows[87].low = 0.01;
    let kept = filtered(OutlierRule::Winsorize, &rows);
    assert_eq!(kept[87].unwrap().low, 100.0 / 1.05);
    assert_eq!(kept[87].unwrap().close, rows[87].close);
    assert_eq!(kept[88], Some(rows[88]));
}

#[test]
fn a_jump_that_lasts_is_accepted_with_its_third_bar() {
    // A split within the session, overnight, and an earnings gap overnight.
    for (from, by) in [(87, 0.25), (84, 0.5), (84, 1.25)] {
        let mut rows = calm();
        rows[from..].iter_mut().for_each(|row| *row = super::tests::row(row.close * by));
        let kept = filtered(OutlierRule::Drop, &rows);
        let gone: Vec<usize> = (0..rows.len()).filter(|&i| kept[i].is_none()).collect();
        assert_eq!(gone, [from, from + 1], "{by}");
    }
    // A gap of 8 % overnight is no outlier.
    let mut rows = calm();
    rows[84..].iter_mut().for_each(|row| *row = super::tests::row(row.close * 1.08));
    assert!(filtered(OutlierRule::Drop, &rows).iter().all(Option::is_some));
}

#[test]
fn a_market_that_turns_wild_is_followed() {
    // From bar 86 on every bar moves by 8 %.
    let mut rows = calm();
    for (i, wild) in rows[86..].iter_mut().enumerate() {
        *wild = row(if i % 2 == 0 { 108.0 } else { 100.0 });
    }
    let kept = filtered(OutlierRule::Drop, &rows);
    let gone = kept.iter().filter(|row| row.is_none()).count();
    assert!(gone <= 3, "{gone} bars are left out");
}

#[test]
fn bars_up_to_a_time_do_not_depend_on_later_ones() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    for rule in [OutlierRule::Drop, OutlierRule::Winsorize] {
        for _ in 0..20 {
            let mut rows: Vec<CleanRow> = (0..30 * 7)
                .map(|_| {
                    let close = 100.0 * f64::exp(rng.random_range(-0.02..0.02));
                    row(if rng.random_bool(0.05) { close * 3.0 } else { close })
                })
                .collect();
            let before = filtered(rule, &rows);
            assert!(before.iter().zip(&rows).any(|(kept, row)| *kept != Some(*row)));
            let t = rng.random_range(100..rows.len());
            rows[t..].iter_mut().for_each(|row| *row = super::tests::row(row.close * 1.7));
            assert_eq!(filtered(rule, &rows)[..t], before[..t]);
        }
    }
}

#[test]
fn what_was_done_is_said() {
    let mut filter = OutlierFilter::new(OutlierRule::Drop).unwrap();
    let mut rows = calm();
    rows[87] = row(1000.0);
    rows[95] = row(10.0);
    assert_eq!(filter.note(), None);
    for (i, &row) in rows.iter().enumerate() {
        filter.next(row, day(i / 7), 1_577_975_400 + 3600 * i as i64);
    }
    let note = filter.note().unwrap();
    assert!(
        note.starts_with("--clean drop: 2 bars left out: 2020-01-06T00:30:00-05:00: 999"),
        "{note}"
    );
}
