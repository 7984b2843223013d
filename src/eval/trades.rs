//! Round trips of a back-test: from opening a position to closing it. Pure functions.

use super::metrics::BacktestRecord;
use crate::env::costs::Costs;

/// One position in one stock, from the fill that opened it to the one that closed or reversed it;
/// resizing in between is part of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RoundTrip {
    /// Index into the record's stocks.
    pub(crate) stock: usize,
    /// Rows of the fills; `left` is None if the position is still open at the end.
    pub(crate) entered: usize,
    pub(crate) left: Option<usize>,
    /// -1 or 1.
    pub(crate) direction: i8,
    /// The most that was held.
    pub(crate) shares: f64,
    /// Of the first and the last fill, before slippage; the last is None with `left`.
    pub(crate) entry_price: f64,
    pub(crate) exit_price: Option<f64>,
    /// Profit after the costs of all fills so far; currency.
    pub(crate) profit: f64,
}

/// Round trips in the order of their exits, open ones last. `costs` are those of the back-test. The
/// fill of a liquidation is not included.
pub(crate) fn round_trips(record: &BacktestRecord, costs: &Costs) -> Vec<RoundTrip> {
    let stocks = record.stocks.len();
    let mut done = Vec::new();
    let mut held: Vec<Option<RoundTrip>> = vec![None; stocks];
    for t in 1..record.end_s.len() {
        for (stock, trip) in held.iter_mut().enumerate() {
            let (i, before) = (t * stocks + stock, (t - 1) * stocks + stock);
            let (was, is) = (record.position[before], record.position[i]);
            let (open, close) = (record.open[i], record.price[i]);
            if let Some(trip) = trip {
                trip.profit += was * (open - record.price[before]);
            }
            let turned = was * is <= 0.0 && was != is;
            if turned && let Some(mut left) = trip.take() {
                left.profit -= cost_of(-was, open, costs);
                done.push(RoundTrip { left: Some(t), exit_price: Some(open), ..left });
            }
            if turned && is != 0.0 {
                let direction = if is > 0.0 { 1 } else { -1 };
                let profit = -cost_of(is, open, costs);
                let (entered, entry_price, shares) = (t, open, is.abs());
                let (left, exit_price) = (None, None);
                *trip = Some(RoundTrip {
                    stock,
                    entered,
                    left,
                    direction,
                    shares,
                    entry_price,
                    exit_price,
                    profit,
                });
            } else if let Some(trip) = trip {
                trip.profit -= cost_of(is - was, open, costs);
            }
            if let Some(trip) = trip {
                trip.profit += is * (close - open);
                trip.shares = trip.shares.max(is.abs());
            }
        }
    }
    done.extend(held.into_iter().flatten());
    done
}

/// Cost of a fill beyond the value of `shares` at the open.
fn cost_of(shares: f64, open: f64, costs: &Costs) -> f64 {
    if shares == 0.0 {
        return 0.0;
    }
    let price = costs.fill_price(open, shares);
    shares * (price - open) + costs.fee(shares.abs() * price)
}

/// Fees and slippage of each bar's fills, in currency; 0 at the first bar.
pub(crate) fn costs_by_bar(record: &BacktestRecord, costs: &Costs) -> Vec<f64> {
    (0..record.end_s.len()).map(|t| costs_of_bar(record, t, costs)).collect()
}

fn costs_of_bar(record: &BacktestRecord, t: usize, costs: &Costs) -> f64 {
    let stocks = record.stocks.len();
    let (Some(before), at) = (t.checked_sub(1).map(|t| t * stocks), t * stocks) else {
        return 0.0;
    };
    let of = |i: usize| {
        let shares = record.position[at + i] - record.position[before + i];
        cost_of(shares, record.open[at + i], costs)
    };
    (0..stocks).map(of).sum()
}

/// Fees and slippage, each as a fraction of the equity one bar earlier, summed: the part of the
/// return before costs that was paid. Bars after equity has fallen to 0 do not count.
pub(crate) fn costs_paid(record: &BacktestRecord, costs: &Costs) -> f64 {
    add_costs_paid(0.0, record, costs)
}

/// `paid` so far, and what the bars of `record` after its first add to [`costs_paid`].
pub(super) fn add_costs_paid(mut paid: f64, record: &BacktestRecord, costs: &Costs) -> f64 {
    for t in (1..record.end_s.len()).filter(|&t| record.equity[t - 1] > 0.0) {
        paid += costs_of_bar(record, t, costs) / record.equity[t - 1];
    }
    paid
}

/// Fraction of closed round trips with a profit; None if none was closed.
pub(crate) fn win_rate(trips: &[RoundTrip]) -> Option<f64> {
    let left = || trips.iter().filter(|trip| trip.left.is_some());
    let won = left().filter(|trip| trip.profit > 0.0).count();
    (left().count() > 0).then(|| won as f64 / left().count() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(positions: &[f64], opens: &[f64], closes: &[f64]) -> BacktestRecord {
        let zeros = vec![0.0; positions.len()];
        BacktestRecord {
            stocks: vec!["A".parse().unwrap()],
            end_s: (0..positions.len() as i64).collect(),
            equity: zeros.clone(),
            cash: zeros.clone(),
            reward: zeros.clone(),
            turnover: zeros.clone(),
            trades: vec![0; positions.len()],
            drawdown: zeros,
            position: positions.to_vec(),
            price: closes.to_vec(),
            open: opens.to_vec(),
        }
    }

    /// Two bought at 10, one more at 12; all three reversed at 11 into one sold short, bought back
    /// at 13. Fees of 1 %: 0.20 + 0.12 + 0.33; 0.11 + 0.13.
    #[test]
    fn a_trade_lasts_until_the_position_is_left_or_turned() {
        let record = record(
            &[0.0, 2.0, 3.0, -1.0, 0.0, 5.0],
            &[10.0, 10.0, 12.0, 11.0, 13.0, 13.0],
            &[10.0, 11.0, 11.5, 12.0, 13.0, 14.0],
        );
        let costs = Costs { fee_bps: 100.0, slippage_bps: 0.0 };
        let trips = round_trips(&record, &costs);
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found}");
        assert_eq!(trips.len(), 3);
        assert_eq!((trips[0].entered, trips[0].left, trips[0].direction), (1, Some(3), 1));
        near(trips[0].profit, 3.0 * 11.0 - 2.0 * 10.0 - 12.0 - 0.65);
        assert_eq!((trips[1].entered, trips[1].left, trips[1].direction), (3, Some(4), -1));
        near(trips[1].profit, 11.0 - 13.0 - 0.24);
        assert_eq!((trips[2].entered, trips[2].left), (5, None));
        let prices = trips.iter().map(|trip| (trip.shares, trip.entry_price, trip.exit_price));
        let expected = [(3.0, 10.0, Some(11.0)), (1.0, 11.0, Some(13.0)), (5.0, 13.0, None)];
        assert!(prices.eq(expected), "{trips:?}");
        near(trips[2].profit, 5.0 - 0.65);
        assert_eq!(win_rate(&trips), Some(0.5));
        assert_eq!(win_rate(&trips[2..]), None);
    }

    /// The fees above, and 0.65 for the last five; equity was 10, 10, 20, 20, and finally nothing.
    #[test]
    fn costs_are_parts_of_the_equity_before() {
        let opens = [10.0, 10.0, 12.0, 11.0, 13.0, 13.0];
        let mut record = record(&[0.0, 2.0, 3.0, -1.0, 0.0, 5.0], &opens, &opens);
        record.equity = vec![10.0, 10.0, 20.0, 20.0, 0.0, 0.0];
        let costs = Costs { fee_bps: 100.0, slippage_bps: 0.0 };
        let expected = 0.20 / 10.0 + 0.12 / 10.0 + 0.44 / 20.0 + 0.13 / 20.0;
        let found = costs_paid(&record, &costs);
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }
}
