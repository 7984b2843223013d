//! A back-test month by month: what was earned, and what the account did meanwhile. Pure functions.

use chrono::Datelike;

use super::metrics::{BacktestRecord, returns_between};
use super::trades::costs_by_bar;
use crate::env::costs::Costs;
use crate::market::calendar::MarketClock;
use crate::portfolio::allocation::{Allocation, Allocations};
use crate::portfolio::risk::Reason;

/// Year and month (1 to 12) of the market's date.
pub(crate) type Month = (i32, u32);

/// What an account did in a month.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MonthActivity {
    pub(crate) month: Month,
    /// Mean over bars of gross position value over equity.
    pub(crate) exposure: f64,
    pub(crate) fills: u64,
    /// Fees and slippage, in currency.
    pub(crate) costs: f64,
    /// What was decided; None where that is not known.
    pub(crate) decided: Option<MonthDecisions>,
}

/// What was decided in a month.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MonthDecisions {
    /// Index of the expert with the largest weight, and that weight: mean over bars and stocks.
    pub(crate) leader: (usize, f64),
    /// Mean over bars of the absolute proposals' and orders' sums, as fractions of equity.
    pub(crate) proposed: f64,
    pub(crate) approved: f64,
    /// What changed orders most often; None if nothing did.
    pub(crate) reason: Option<Reason>,
}

/// Simple returns between the last equities of consecutive months, the first from the initial
/// equity; 0 once equity has fallen to 0 or below.
pub(crate) fn monthly_returns(record: &BacktestRecord) -> Vec<(Month, f64)> {
    let Some(&initial) = record.equity.first() else { return Vec::new() };
    let mut closes: Vec<(Month, f64)> = Vec::new();
    for (date, equity) in record.daily_closes() {
        let month = (date.year(), date.month());
        match closes.last_mut() {
            Some(last) if last.0 == month => last.1 = equity,
            _ => closes.push((month, equity)),
        }
    }
    let returns = returns_between(initial, closes.iter().map(|(_, equity)| *equity));
    closes.iter().map(|(month, _)| *month).zip(returns).collect()
}

/// The months of `record`'s bars after the first. `allocations` are its decisions, where known.
pub(crate) fn monthly_activity(
    record: &BacktestRecord,
    allocations: Option<&Allocations>,
    costs: &Costs,
) -> Vec<MonthActivity> {
    let stocks = record.stocks.len();
    let paid = costs_by_bar(record, costs);
    let mut decisions = allocations.map(|known| DecisionsInForce::new(known, stocks));
    let mut clock = MarketClock::new();
    let mut months: Vec<MonthSums> = Vec::new();
    for (t, &end_s) in record.end_s.iter().enumerate().skip(1) {
        let (date, _) = clock.at(end_s);
        let month = (date.year(), date.month());
        if months.last().is_none_or(|last| last.month != month) {
            let experts = allocations.map_or(0, |known| known.experts.len());
            months.push(MonthSums::new(month, experts));
        }
        let sums = months.last_mut().expect("one was just added");
        sums.bars += 1;
        sums.exposure += record.gross_exposure(t).unwrap_or(0.0);
        sums.fills += u64::from(record.trades[t]);
        sums.costs += paid[t];
        if let Some(decisions) = &mut decisions {
            // What holds during a bar was decided at the close before it.
            decisions.advance(record.end_s[t - 1]);
            sums.add(decisions);
        }
    }
    months.into_iter().map(|sums| sums.activity(stocks)).collect()
}

/// The last decision for each stock at a time.
struct DecisionsInForce<'a> {
    rows: &'a [Allocation],
    next: usize,
    latest: Vec<Option<&'a Allocation>>,
}

impl<'a> DecisionsInForce<'a> {
    fn new(allocations: &'a Allocations, stocks: usize) -> DecisionsInForce<'a> {
        DecisionsInForce { rows: &allocations.rows, next: 0, latest: vec![None; stocks] }
    }

    /// Takes in what was decided up to `end_s`.
    fn advance(&mut self, end_s: i64) {
        while let Some(row) = self.rows.get(self.next).filter(|row| row.end_s <= end_s) {
            self.latest[row.stock] = Some(row);
            self.next += 1;
        }
    }
}

struct MonthSums {
    month: Month,
    bars: usize,
    exposure: f64,
    fills: u64,
    costs: f64,
    /// `[expert]`.
    weights: Vec<f64>,
    proposed: f64,
    approved: f64,
    reasons: std::collections::BTreeMap<Reason, u64>,
}

impl MonthSums {
    fn new(month: Month, experts: usize) -> MonthSums {
        MonthSums {
            month,
            bars: 0,
            exposure: 0.0,
            fills: 0,
            costs: 0.0,
            weights: vec![0.0; experts],
            proposed: 0.0,
            approved: 0.0,
            reasons: Default::default(),
        }
    }

    fn add(&mut self, decisions: &DecisionsInForce<'_>) {
        for row in decisions.latest.iter().flatten() {
            self.proposed += row.proposed.abs();
            self.approved += row.approved.abs();
            self.weights.iter_mut().zip(&row.weights).for_each(|(sum, weight)| *sum += weight);
            row.reason.iter().for_each(|&reason| *self.reasons.entry(reason).or_default() += 1);
        }
    }

    fn activity(self, stocks: usize) -> MonthActivity {
        let bars = self.bars as f64;
        let weights = self.weights.iter().enumerate();
        // Of equal weights the first counts.
        let most = weights.max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
        let decided = most.map(|(expert, sum)| MonthDecisions {
            leader: (expert, sum / (bars * stocks as f64)),
            proposed: self.proposed / bars,
            approved: self.approved / bars,
            reason: self.reasons.iter().max_by_key(|(_, count)| **count).map(|(reason, _)| *reason),
        });
        MonthActivity {
            month: self.month,
            exposure: self.exposure / bars,
            fills: self.fills,
            costs: self.costs,
            decided,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> i64 {
        chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp()
    }

    /// One stock at a price of 10; bars on 30 and 31 January, one in February, two in March. The
    /// last bar of January ends in New York when it is February in UTC.
    fn record(equity: [f64; 6], position: [f64; 6]) -> BacktestRecord {
        let trades = std::iter::once(0)
            .chain(position.windows(2).map(|pair| u32::from(pair[0] != pair[1])))
            .collect();
        BacktestRecord {
            stocks: vec!["A".parse().unwrap()],
            end_s: [
                "2020-01-30T16:00:00-05:00",
                "2020-01-31T16:00:00-05:00",
                "2020-01-31T20:00:00-05:00",
                "2020-02-03T16:00:00-05:00",
                "2020-03-02T16:00:00-05:00",
                "2020-03-03T16:00:00-05:00",
            ]
            .map(utc)
            .to_vec(),
            equity: equity.to_vec(),
            cash: vec![0.0; 6],
            reward: vec![0.0; 6],
            turnover: vec![0.0; 6],
            trades,
            drawdown: vec![0.0; 6],
            position: position.to_vec(),
            price: vec![10.0; 6],
            open: vec![10.0; 6],
        }
    }

    /// 100 to 110; to 99; to 105 and 118.8: 10 %, -10 %, 20 %.
    #[test]
    fn a_months_return_is_from_the_last_equity_of_the_month_before() {
        let record = record([100.0, 104.0, 110.0, 99.0, 105.0, 118.8], [0.0; 6]);
        let found = monthly_returns(&record);
        let expected = [((2020, 1), 0.1), ((2020, 2), -0.1), ((2020, 3), 0.2)];
        assert_eq!(found.len(), 3);
        for ((month, value), (expected_month, expected)) in found.into_iter().zip(expected) {
            assert_eq!(month, expected_month);
            assert!((value - expected).abs() < 1e-12, "{month:?}: {value}");
        }
    }

    /// Equity of 100. Five shares are bought at the first bar (50, so half of the equity), sold in
    /// March; a fee of 1 % is 0.5 each time.
    #[test]
    fn activity_is_counted_in_its_month() {
        let record = record([100.0; 6], [0.0, 5.0, 5.0, 5.0, 0.0, 0.0]);
        let row = |bar: usize, weights: [f64; 2], proposed, approved, reason| Allocation {
            end_s: record.end_s[bar],
            stock: 0,
            weights: weights.to_vec(),
            profits: vec![0.0; 2],
            capital: 1.0,
            proposed,
            approved,
            changed: Vec::new(),
            reason,
        };
        // Decided at the first bar for the second; again at the close of January, for February on.
        let rows = vec![
            row(0, [0.7, 0.3], 0.8, 0.5, Some(Reason::NameLimit)),
            row(2, [0.1, 0.9], -0.4, -0.4, None),
            row(4, [0.1, 0.9], 0.0, 0.0, None),
        ];
        let allocations = Allocations::of_rows(vec!["RSI".into(), "DQN".into()], rows);
        let costs = Costs { fee_bps: 100.0, slippage_bps: 0.0 };
        let months = monthly_activity(&record, Some(&allocations), &costs);
        let found: Vec<_> = months.iter().map(|month| (month.month, month.fills)).collect();
        assert_eq!(found, [((2020, 1), 1), ((2020, 2), 0), ((2020, 3), 1)]);
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found}");
        for (month, [exposure, paid]) in months.iter().zip([[0.5, 0.5], [0.5, 0.0], [0.0, 0.5]]) {
            near(month.exposure, exposure);
            near(month.costs, paid);
        }
        let decided = |i: usize| months[i].decided.clone().unwrap();
        assert_eq!((decided(0).leader, decided(1).leader.0), ((0, 0.7), 1));
        assert_eq!((decided(0).reason, decided(1).reason), (Some(Reason::NameLimit), None));
        // Both bars of January; February; -0.4 and then nothing.
        near(decided(0).proposed, 0.8);
        near(decided(0).approved, 0.5);
        near(decided(1).proposed, 0.4);
        near(decided(2).approved, 0.2);
        assert!(monthly_activity(&record, None, &costs).iter().all(|one| one.decided.is_none()));
    }
}
