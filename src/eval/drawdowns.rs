//! The deepest drawdowns of a back-test. Pure functions.

use std::cmp::Ordering;

use chrono::NaiveDate;

use super::metrics::BacktestRecord;
use crate::market::calendar::market_date;

/// A stretch in which equity was below an earlier peak, by daily closes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Drawdown {
    /// The last day at the peak.
    pub(crate) from: NaiveDate,
    /// The day of the lowest equity.
    pub(crate) trough: NaiveDate,
    /// The first day at the peak again, or above; None if that has not come.
    pub(crate) recovered: Option<NaiveDate>,
    /// Lowest equity over the peak, minus 1; below 0.
    pub(crate) depth: f64,
    /// Calendar days from the peak to the recovery, or to the last day.
    pub(crate) days: i64,
}

/// Up to `most` drawdowns, the deepest first; of equal ones the earlier.
pub(crate) fn deepest_drawdowns(record: &BacktestRecord, most: usize) -> Vec<Drawdown> {
    let (Some(&start_s), Some(&initial)) = (record.end_s.first(), record.equity.first()) else {
        return Vec::new();
    };
    let mut peak = (market_date(start_s), initial);
    let mut found: Vec<Drawdown> = Vec::new();
    let mut current: Option<Drawdown> = None;
    for (date, equity) in record.daily_closes() {
        if equity >= peak.1 {
            peak = (date, equity);
            found.extend(current.take().map(|over| Drawdown { recovered: Some(date), ..over }));
            continue;
        }
        let depth = equity / peak.1 - 1.0;
        let from = peak.0;
        let now =
            current.get_or_insert(Drawdown { from, trough: date, recovered: None, depth, days: 0 });
        if depth < now.depth {
            (now.trough, now.depth) = (date, depth);
        }
        now.days = (date - from).num_days();
    }
    found.extend(current);
    for one in &mut found {
        one.days = one.recovered.map_or(one.days, |end| (end - one.from).num_days());
    }
    found.sort_by(|a, b| a.depth.partial_cmp(&b.depth).unwrap_or(Ordering::Equal));
    found.truncate(most);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An account with these equities at the closes of days from 2 January 2020 on, the first at the
    /// start.
    fn record(equity: &[f64]) -> BacktestRecord {
        let bars = equity.len();
        let start = chrono::DateTime::parse_from_rfc3339("2020-01-02T16:00:00-05:00").unwrap();
        BacktestRecord {
            end_s: (0..bars as i64).map(|day| start.timestamp() + 86_400 * day).collect(),
            equity: equity.to_vec(),
            cash: vec![0.0; bars],
            reward: vec![0.0; bars],
            turnover: vec![0.0; bars],
            trades: vec![0; bars],
            drawdown: vec![0.0; bars],
            ..BacktestRecord::new(Vec::new())
        }
    }

    /// From 100 on the 2nd to 90 on the 4th, over on the 5th at 100; from 120 on the 6th to 60 on the
    /// 8th, over on the 10th at 130; from 130 to 117 on the 11th and up to 120 on the 12th, the last
    /// day.
    #[test]
    fn drawdowns_by_hand() {
        let equity = [100.0, 95.0, 90.0, 100.0, 120.0, 110.0, 60.0, 119.0, 130.0, 117.0, 120.0];
        let found = deepest_drawdowns(&record(&equity), 5);
        let day = |day: u32| NaiveDate::from_ymd_opt(2020, 1, day).unwrap();
        let of = |from, trough, recovered: Option<u32>, depth: f64, days| {
            let recovered = recovered.map(day);
            Drawdown { from: day(from), trough: day(trough), recovered, depth, days }
        };
        assert_eq!(found[0], of(6, 8, Some(10), -0.5, 4));
        // Of the two of 10 % the earlier comes first.
        assert_eq!(
            (found[1].from, found[1].trough, found[1].recovered),
            (day(2), day(4), Some(day(5)))
        );
        assert_eq!((found[2].from, found[2].trough, found[2].recovered), (day(10), day(11), None));
        assert_eq!((found[1].days, found[2].days), (3, 2));
        assert!(found[1..].iter().all(|one| (one.depth + 0.1).abs() < 1e-12), "{found:?}");
        assert_eq!(deepest_drawdowns(&record(&equity), 1), found[..1]);
        assert_eq!(deepest_drawdowns(&record(&[100.0, 100.0, 101.0]), 5), []);
        assert_eq!(deepest_drawdowns(&record(&[]), 5), []);
    }
}
