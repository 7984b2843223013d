use super::*;
use crate::market::bar::{Bar, Period};
use crate::market::calendar::{Calendar, sessions_in};
use crate::market::clean::value_fault;
use crate::synthetic::SyntheticMarket;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// 30 sessions of 13 half hours from 2020-01-02 on; closes go up by 0.1 and down again between 100
/// and 100.6, bars begin where the one before ended, and high and low lie 0.1 beyond.
fn calm() -> BarSeries {
    let days = Period { start: "2020-01-02".parse().unwrap(), end: "2020-02-13".parse().unwrap() };
    let mut series = BarSeries::new("X".parse().unwrap());
    let mut open = 100.0;
    for (_, session) in sessions_in(&days) {
        for i in 1..=13 {
            let place = series.len() % 12;
            let close = 100.0 + 0.1 * (if place < 6 { place + 1 } else { 11 - place }) as f64;
            let (high, low) = (f64::max(open, close) + 0.1, f64::min(open, close) - 0.1);
            let end_s = session.open_s + i * 1800;
            series.push(Bar { end_s, open, high, low, close, volume: 1000.0 });
            open = close;
        }
    }
    assert_eq!(series.len(), 30 * 13);
    series
}

/// Multiplies all prices of some bars.
fn scaled(mut series: BarSeries, bars: impl IntoIterator<Item = usize>, by: f64) -> BarSeries {
    for bar in bars {
        let BarSeries { open, high, low, close, .. } = &mut series;
        [open, high, low, close].into_iter().for_each(|prices| prices[bar] *= by);
    }
    series
}

/// Findings as (kind, index of the first bar, of the last).
fn found(series: &BarSeries) -> Vec<(FindingKind, usize, usize)> {
    let index = |end_s| series.end_s.binary_search(&end_s).unwrap();
    let found = judge(series);
    found.iter().map(|one| (one.kind, index(one.from_s), index(one.until_s))).collect()
}

use FindingKind::{Absent, Begins, Ends, Frozen, NoVolume, Spike, Wick};

#[test]
fn calm_bars_are_beyond_doubt() {
    assert_eq!(judge(&calm()), []);
    assert_eq!(judge(&BarSeries::new("X".parse().unwrap())), []);
    // A single bar has nothing beside it.
    let mut one = BarSeries::new("X".parse().unwrap());
    one.push(calm().bar(0));
    assert_eq!(judge(&one), []);
}

#[test]
fn a_spike_is_named_with_its_time_and_the_prices_beside_it() {
    // Bar 160 is the fifth of the thirteenth session, 2020-01-21, and ends at 12:00.
    let series = scaled(calm(), [160], 10.0);
    let texts: Vec<String> = judge(&series).into_iter().map(|finding| finding.text).collect();
    assert_eq!(texts, ["2020-01-21T12:00:00-05:00: close 1005 between 100.4 and 100.6"]);
    for by in [1.2, 1.0 / 1.2, 1000.0, 0.001] {
        assert_eq!(found(&scaled(calm(), [160], by)), [(Spike, 160, 160)], "{by}");
    }
    // The first bar of a session, and the last.
    assert_eq!(found(&scaled(calm(), [156], 1.2)), [(Spike, 156, 156)]);
    assert_eq!(found(&scaled(calm(), [155], 1.2)), [(Spike, 155, 155)]);
}

#[test]
fn errors_beside_each_other_hide_neither_themselves_nor_good_bars() {
    assert_eq!(found(&scaled(calm(), 160..163, 1.3)), [(Spike, 160, 162)]);
    // A good bar between two errors lies apart from both.
    let both = [(Spike, 160, 160), (Spike, 162, 162)];
    assert_eq!(found(&scaled(calm(), [160, 162], 10.0)), both);
    let up_and_down = scaled(scaled(calm(), [160], 10.0), [161], 0.1);
    assert_eq!(found(&up_and_down), [(Spike, 160, 160), (Spike, 161, 161)]);
    // A wick beside a spike.
    let mut series = scaled(calm(), [160], 5.0);
    series.low[161] = 0.01;
    assert_eq!(found(&series), [(Spike, 160, 160), (Wick, 161, 161)]);
    let mut series = calm();
    (series.high[160], series.high[161]) = (150.0, 150.0);
    assert_eq!(found(&series), [(Wick, 160, 160), (Wick, 161, 161)]);
}

#[test]
fn the_first_and_last_bar_are_judged_by_their_only_neighbour() {
    assert_eq!(found(&scaled(calm(), [389], 1.2)), [(Spike, 389, 389)]);
    assert_eq!(found(&scaled(calm(), [0], 0.5)), [(Spike, 0, 0)]);
    // 5 % may be true.
    assert_eq!(found(&scaled(calm(), [389], 1.05)), []);
}

#[test]
fn moves_that_last_and_falls_that_trade_all_the_way_are_true() {
    // A split, an earnings gap, and a jump within a session.
    for (from, by) in [(156, 0.25), (156, 1.3), (160, 0.8)] {
        assert_eq!(found(&scaled(calm(), from..390, by)), [], "{by}");
    }
    // Down 5 % a bar for six bars and up again, each bar from the close before.
    let mut series = calm();
    let mut by = 1.0;
    for bar in 160..172 {
        let next = if bar < 166 { by * 0.95 } else { by / 0.95 };
        series.open[bar] *= by;
        series.close[bar] *= next;
        series.high[bar] *= f64::max(by, next);
        series.low[bar] *= f64::min(by, next);
        by = next;
    }
    assert_eq!(found(&series), []);
}

#[test]
fn days_at_another_scale_are_one_spike() {
    // Two sessions as cents.
    let series = scaled(calm(), 156..182, 100.0);
    assert_eq!(found(&series), [(Spike, 156, 181)]);
    assert!(judge(&series)[0].text.contains("26 bars, first close 100"), "{:?}", judge(&series));
    // Back at another price, or after a month: two moves.
    assert_eq!(found(&scaled(scaled(calm(), 156..182, 2.0), 182..390, 1.3)), []);
    assert_eq!(found(&scaled(calm(), 39..300, 2.0)), []);
}

#[test]
fn wicks_are_far_from_their_bar_and_from_those_beside_it() {
    let mut series = calm();
    series.low[160] = 0.01;
    let text = &judge(&series)[0].text;
    assert_eq!(text, "2020-01-21T12:00:00-05:00: low 0.01, beside prices of 100.2");
    series.low[160] = 95.5;
    assert_eq!(found(&series), []);
    series.high[160] = 100.5 * 1.2;
    assert_eq!(found(&series), [(Wick, 160, 160)]);
    // Where prices just were, it is a move.
    let mut fall = scaled(calm(), 0..160, 1.2);
    fall.high[160] *= 1.19;
    assert_eq!(found(&fall), []);
}

#[test]
fn a_wrong_trade_that_opens_or_closes_its_bar_is_a_wick() {
    // The last trade of a bar, and the first.
    let mut series = calm();
    (series.high[160], series.close[160]) = (150.0, 150.0);
    let text = &judge(&series)[0].text;
    let time = "2020-01-21T12:00:00-05:00";
    assert_eq!(*text, format!("{time}: high and close 150, beside prices of 100.7"));
    let mut series = calm();
    (series.low[160], series.open[160]) = (0.01, 0.01);
    let text = &judge(&series)[0].text;
    assert_eq!(*text, format!("{time}: open and low 0.01, beside prices of 100.2"));
    // At the edge of a session prices may jump by less than 40 %.
    let first_trade = |by: f64| {
        let mut series = calm();
        series.open[156] *= by;
        series.high[156] = series.open[156].max(series.high[156]);
        series
    };
    assert_eq!(found(&first_trade(1.5)), [(Wick, 156, 156)]);
    assert_eq!(found(&first_trade(1.2)), []);
    // A price that stays, a gap that closes, and the last bar, after which prices may stay.
    let mut stays = scaled(calm(), 161..390, 1.2);
    (stays.high[160], stays.close[160]) = (121.0, 120.5);
    assert_eq!(found(&stays), []);
    let mut gap = scaled(calm(), 0..156, 1.2);
    (gap.high[156], gap.open[156]) = (120.5, 120.5);
    assert_eq!(found(&gap), []);
    let mut last = calm();
    (last.high[389], last.close[389]) = (120.0, 120.0);
    assert_eq!(found(&last), []);
    // Three wrong prices are all but one: a spike.
    let mut three = scaled(calm(), [160], 1.5);
    three.low[160] = 100.0;
    assert!(found(&three).iter().all(|one| one.1 == 160) && !found(&three).is_empty());
}

/// `bars` at the close before them.
fn still(mut series: BarSeries, bars: std::ops::Range<usize>) -> BarSeries {
    let price = series.close[bars.start - 1];
    let BarSeries { open, high, low, close, .. } = &mut series;
    for prices in [open, high, low, close] {
        prices[bars.clone()].fill(price);
    }
    series
}

#[test]
fn a_session_without_a_change_of_price_is_frozen() {
    let series = still(calm(), 156..169);
    assert_eq!(found(&series), [(Frozen, 156, 168)]);
    let text = &judge(&series)[0].text;
    let times = "2020-01-21T10:00:00-05:00 to 2020-01-21T16:00:00-05:00";
    assert_eq!(*text, format!("{times}: 13 bars at 100"));
    // Two hours are not; half of all days are.
    assert_eq!(found(&still(calm(), 156..160)), []);
    assert_eq!(found(&still(calm(), 156..364)), [(Frozen, 156, 363)]);
    // A stock of which 10 of 13 bars a day are still: a session is nothing rare.
    let idle = (1..30).fold(calm(), |series, day| still(series, 13 * day..13 * day + 10));
    assert_eq!(found(&idle), []);
    assert_eq!(found(&still(idle.clone(), 156..169)), []);
    assert_eq!(found(&still(idle, 156..260)), [(Frozen, 156, 259)]);
}

#[test]
fn bars_without_volume_are_told_once() {
    let mut series = calm();
    series.volume[156..169].fill(0.0);
    assert_eq!(found(&series), [(NoVolume, 156, 168)]);
    assert!(judge(&series)[0].text.ends_with("13 bars have volume 0"));
    let series = still(series, 156..169);
    assert_eq!(found(&series), [(Frozen, 156, 168)]);
    assert!(judge(&series)[0].text.ends_with("13 bars at 100, volume 0"));
    let mut never = calm();
    never.volume.fill(0.0);
    assert!(judge(&never)[0].text.ends_with("all 390 bars have volume 0"));
}

#[test]
fn a_stock_that_begins_or_ends_inside_the_period_is_told() {
    let series = calm();
    let told = |start: &str, end: &str| {
        let period = Period { start: start.parse().unwrap(), end: end.parse().unwrap() };
        presence(&series, &period, Calendar::Nyse)
            .into_iter()
            .map(|one| (one.kind, one.text))
            .collect::<Vec<_>>()
    };
    assert_eq!(told("2020-01-02", "2020-02-13"), []);
    // Weekends and holidays are no trading days: 2020-01-01, and 15 to 17 February.
    assert_eq!(
        told("2019-12-31", "2020-02-17")[0].1,
        "no bars on 2 of 32 trading days: \
               2019-12-31, 2020-02-14"
    );
    let both = told("2019-12-02", "2020-02-28");
    assert_eq!((both[0].0, both[1].0, both.len()), (Begins, Ends, 2));
    assert!(both[0].1.starts_with("bars begin on 2020-01-02, 21 trading days after"), "{both:?}");
    assert!(both[1].1.starts_with("bars end on 2020-02-13, 10 trading days before"), "{both:?}");
    let mut gaps = calm();
    gaps.drop_first(13);
    let period =
        Period { start: "2020-01-02".parse().unwrap(), end: "2020-02-13".parse().unwrap() };
    let found = presence(&gaps, &period, Calendar::Nyse);
    assert_eq!((found.len(), found[0].kind), (1, Absent));
    assert_eq!(found[0].text, "no bars on 1 of 30 trading days: 2020-01-02");
}

#[test]
fn lines_name_the_first_ones_and_count_the_others() {
    let series = scaled(calm(), (20..380).step_by(20), 10.0);
    let findings = judge(&series);
    assert_eq!(findings.len(), 18);
    let lines = lines(&findings);
    assert_eq!(lines.len(), 1);
    let line = &lines[0];
    assert!(line.starts_with("18 spikes: 2020-01-03T13:30:00-05:00: close 100"), "{line}");
    assert!(line.ends_with("; and 14 more") && line.len() <= LINE_BYTES, "{line}");
    let error = refuse(&series.symbol, &findings).unwrap_err().to_string();
    assert!(error.starts_with("X: spike: 2020-01-03T13:30:00-05:00: close"), "{error}");
    assert!(error.contains("and 17 more") && error.len() <= LINE_BYTES, "{error}");
    let mut idle = calm();
    idle.volume.fill(0.0);
    assert_eq!(refuse(&series.symbol, &judge(&idle)), Ok(()));
}

/// One to 50 errors in a thousand bars of the sample market, of one price, of a trade that opens or
/// closes its bar within a session, or of all four prices, times or divided by 1.2 to 1000: 99 % are
/// named, or are bad rows, and nothing else is.
#[test]
fn planted_errors_are_found_and_no_others() {
    let mut rng = ChaCha8Rng::seed_from_u64(16);
    let stocks: Vec<Symbol> = ["AAPL", "MSFT"].map(|name| name.parse().unwrap()).to_vec();
    let year = Period { start: "2018-01-02".parse().unwrap(), end: "2018-12-31".parse().unwrap() };
    let market = SyntheticMarket::parse("sample").unwrap();
    let (mut planted, mut missed, mut alarms) = (0, 0, 0);
    for (minutes, stock, errors) in [(5, 0, 200), (5, 1, 20), (30, 0, 160), (30, 1, 120)] {
        let mut made = resampled(&market.bars(&stocks, &stocks[stock], &year, 1), minutes);
        assert_eq!(judge(&made), [], "{minutes} minutes, {}", stocks[stock]);
        let mut bars: Vec<usize> = (0..errors).map(|_| rng.random_range(0..made.len())).collect();
        bars.sort_unstable();
        bars.dedup();
        for &bar in &bars {
            let by = f64::exp(rng.random_range(f64::ln(1.2)..f64::ln(1000.0)));
            let by = if rng.random_bool(0.5) { by } else { 1.0 / by };
            let BarSeries { open, high, low, close, .. } = &mut made;
            match rng.random_range(0..3) {
                0 => made = scaled(made, [bar], by),
                1 => [open, high, low, close][rng.random_range(0..4)][bar] *= by,
                _ => {
                    // Where prices may jump overnight, by more than 40 %.
                    let by = if by > 1.0 { by.max(1.6) } else { by.min(1.0 / 1.6) };
                    let trade = if rng.random_bool(0.5) { open } else { close };
                    trade[bar] *= by;
                    (high[bar], low[bar]) = (high[bar].max(trade[bar]), low[bar].min(trade[bar]));
                }
            }
        }
        // As the cleaner does it.
        let mut kept = BarSeries::new(stocks[stock].clone());
        for bar in made.bars() {
            let Bar { open, high, low, close, volume, .. } = bar;
            match value_fault([open, high, low, close, volume]) {
                None => kept.push(bar),
                Some(_) => missed -= 1,
            }
        }
        let named = judge(&kept);
        let covers = |finding: &BarFinding, bar: usize| {
            (finding.from_s..=finding.until_s).contains(&made.end_s[bar])
        };
        planted += bars.len();
        missed += bars.len() as i64;
        let is_named = |&&bar: &&usize| named.iter().any(|finding| covers(finding, bar));
        missed -= bars.iter().filter(is_named).count() as i64;
        alarms += named.iter().filter(|one| !bars.iter().any(|&bar| covers(one, bar))).count();
    }
    assert!(planted > 480 && 100 * missed <= planted as i64, "{missed} of {planted} missed");
    assert_eq!(alarms, 0);
}

/// Longer bars of one-minute ones.
fn resampled(series: &BarSeries, minutes: u32) -> BarSeries {
    let mut longer = BarSeries::new(series.symbol.clone());
    let length_s = 60 * i64::from(minutes);
    for bar in series.bars() {
        // Sessions begin on half hours.
        let end_s = (bar.end_s + length_s - 1).div_euclid(length_s) * length_s;
        if longer.end_s.last() != Some(&end_s) {
            longer.push(Bar { end_s, ..bar });
            continue;
        }
        let last = longer.len() - 1;
        longer.high[last] = longer.high[last].max(bar.high);
        longer.low[last] = longer.low[last].min(bar.low);
        longer.close[last] = bar.close;
    }
    longer
}
