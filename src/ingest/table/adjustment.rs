//! One basis for the four prices of a bar.
//!
//! Daily tables often have a close that is adjusted for dividends, beside an open, a high and a low
//! that are not (FinRL's downloader, TradeMaster's files). Such a close leaves the bar's range, the
//! further the older the bar is.

use crate::market::parquet::RawRows;

/// Closes outside their bar's range from which a table counts as adjusted in part.
const SHARE_OUTSIDE: f64 = 0.02;
/// How far a close may lie outside by rounding, as a fraction.
const ROUNDING: f64 = 1e-4;
/// Dividends are paid at most this often: bars per step of the adjustment, on average.
const BARS_PER_STEP: usize = 8;

/// Scales all four prices to the adjusted closes, `[row]`.
pub(super) fn scale_to(rows: &mut RawRows, adjusted: &[f64]) {
    let factors: Vec<f64> =
        adjusted.iter().zip(&rows.close).map(|(adjusted, close)| adjusted / close).collect();
    for column in [&mut rows.open, &mut rows.high, &mut rows.low, &mut rows.close] {
        column.iter_mut().zip(&factors).for_each(|(price, factor)| *price *= factor);
    }
}

/// Scales open, high and low of one stock's rows to closes that were adjusted alone. Returns what was
/// done, for the user; None if nothing had to be.
pub(crate) fn on_one_basis(rows: &mut RawRows) -> Option<String> {
    let (factors, steps) = factors(rows)?;
    for column in [&mut rows.open, &mut rows.high, &mut rows.low] {
        column.iter_mut().zip(&factors).for_each(|(price, factor)| *price *= factor);
    }
    Some(format!(
        "its closes alone are adjusted for dividends; open, high and low are scaled to them ({steps} \
         different factors)"
    ))
}

/// `[row]`: the factor that a close was adjusted by, and how many different ones there are, if the
/// close was adjusted alone.
///
/// The unadjusted close lies between low and high, so the factor lies between close / high and
/// close / low. It changes with a dividend only: the fewest steps that keep within these bounds are
/// taken, from the first day to the last, and in the middle of what remains of them.
fn factors(rows: &RawRows) -> Option<(Vec<f64>, usize)> {
    let mut order: Vec<usize> = (0..rows.len()).filter(|&i| rows.label_s[i].is_some()).collect();
    order.sort_by_key(|&i| rows.label_s[i]);
    let bounds = |i: usize| (rows.close[i] / rows.high[i], rows.close[i] / rows.low[i]);
    let usable = |&i: &usize| {
        let (low, high) = bounds(i);
        rows.high[i] >= rows.low[i] && low > 0.0 && low.is_finite() && high.is_finite()
    };
    order.retain(usable);
    let outside = |&&i: &&usize| {
        let (low, high) = bounds(i);
        low > 1.0 + ROUNDING || high < 1.0 - ROUNDING
    };
    let count = order.iter().filter(outside).count();
    if count == 0 || (count as f64) < SHARE_OUTSIDE * order.len() as f64 {
        return None;
    }
    let mut factors = vec![1.0; rows.len()];
    let (mut steps, mut start) = (0, 0);
    while start < order.len() {
        let (mut low, mut high) = bounds(order[start]);
        let mut end = start + 1;
        while let Some(&i) = order.get(end) {
            let (next_low, next_high) = bounds(i);
            if next_low.max(low) > next_high.min(high) * (1.0 + ROUNDING) {
                break;
            }
            (low, high) = (low.max(next_low), high.min(next_high).max(low.max(next_low)));
            end += 1;
        }
        // The last days are not adjusted.
        let factor = if low <= 1.0 + ROUNDING && high >= 1.0 - ROUNDING && end == order.len() {
            1.0
        } else {
            (low + high) / 2.0
        };
        order[start..end].iter().for_each(|&i| factors[i] = factor);
        steps += 1;
        start = end;
    }
    (steps * BARS_PER_STEP <= order.len()).then_some((factors, steps))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two hundred days around 100 with a dividend of 2 % after the first hundred, which the close
    /// alone is adjusted for.
    fn partly_adjusted() -> (RawRows, Vec<[f64; 5]>) {
        let (mut rows, mut whole) = (RawRows::default(), Vec::new());
        for i in 0..200 {
            let raw = 100.0 + 3.0 * (f64::from(i) * 0.7).sin();
            let close = raw + (f64::from(i) * 1.3).cos();
            let (high, low) = (raw.max(close) + 0.3, raw.min(close) - 0.3);
            let factor = if i < 100 { 0.98 } else { 1.0 };
            rows.push(Some(i64::from(i) * 86_400), [raw, high, low, close * factor, 1.0]);
            whole.push([raw * factor, high * factor, low * factor, close * factor, 1.0]);
        }
        (rows, whole)
    }

    #[test]
    fn a_close_adjusted_alone_is_found_and_the_others_follow() {
        let (mut rows, whole) = partly_adjusted();
        let told = on_one_basis(&mut rows).unwrap();
        assert!(told.ends_with("(2 different factors)"), "{told}");
        for (i, bar) in whole.iter().enumerate() {
            for (found, price) in rows.values(i).iter().zip(bar) {
                assert!((found / price - 1.0).abs() < 0.003, "{i}: {found} {price}");
            }
            assert!(rows.low[i] <= rows.close[i] && rows.close[i] <= rows.high[i], "{i}");
        }
        // Once on one basis, nothing is done.
        let before = rows.clone();
        assert_eq!(on_one_basis(&mut rows), None);
        assert_eq!(rows, before);
    }

    #[test]
    fn bad_closes_are_no_adjustment() {
        let (mut rows, _) = partly_adjusted();
        rows.close = rows.open.clone();
        for i in (0..200).step_by(7) {
            rows.close[i] *= if i % 2 == 0 { 1.5 } else { 0.5 };
        }
        let before = rows.clone();
        assert_eq!(on_one_basis(&mut rows), None);
        assert_eq!(rows, before);
    }

    #[test]
    fn all_prices_follow_an_adjusted_close_that_is_asked_for() {
        let mut rows = RawRows::default();
        rows.push(Some(0), [100.0, 110.0, 90.0, 100.0, 5.0]);
        scale_to(&mut rows, &[50.0]);
        assert_eq!(rows.values(0), [50.0, 55.0, 45.0, 50.0, 5.0]);
    }
}
