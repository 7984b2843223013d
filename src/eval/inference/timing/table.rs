//! The score of [`super::ExposureGrid`] for many accounts over the same market, equal to the last
//! bit: what depends on the market only is computed once.

use super::{MIN_DAYS, dot, score, times_of_day};

/// `shares` are held from row `from` until the next entry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct HeldShares {
    pub(crate) from: usize,
    pub(crate) shares: f64,
}

/// Market data shared by all accounts.
#[derive(Clone, Debug)]
pub(crate) struct TimingTable {
    rows: usize,
    /// Cells per day: times of day x stocks.
    width: usize,
    /// One past the last row of each day; the first row is excluded.
    day_ends: Vec<usize>,
    /// `[time]`: the row's cell for stock 0.
    cells: Vec<u32>,
    /// As in [`super::ExposureGrid`], `[day, time of day, stock]`.
    change: Vec<f64>,
    stocks: Vec<Prices>,
}

#[derive(Clone, Debug)]
struct Prices {
    open: Vec<f64>,
    /// This bar's open minus the last close.
    gap: Vec<f64>,
    /// Close minus open.
    body: Vec<f64>,
}

/// Buffers to be reused for the next account of the same market.
#[derive(Clone, Debug, Default)]
pub(crate) struct TimingScratch {
    /// `[day, time of day, stock]`. Cells without a bar stay 0, since their price change is 0.
    exposure: Vec<f64>,
    earned: Vec<f64>,
    gains: Vec<f64>,
}

impl TimingTable {
    /// From bars that end at `end_s`, UTC seconds, and each stock's opens and closes, 0 before its
    /// first bar.
    pub(crate) fn new(end_s: &[i64], stocks: &[(Vec<f64>, Vec<f64>)]) -> TimingTable {
        let (times, slots) = times_of_day(end_s);
        let rows = end_s.len();
        let width = slots.len() * stocks.len();
        let (mut day_ends, mut cells) = (Vec::new(), vec![0; rows]);
        for t in 1..rows {
            let (today, tod_s) = times[t];
            if t == 1 || times[t - 1].0 != today {
                day_ends.push(t);
            }
            let slot = slots.partition_point(|&slot| slot < tod_s);
            cells[t] = ((day_ends.len() - 1) * width + slot * stocks.len()) as u32;
            *day_ends.last_mut().expect("the first row opened a day") = t + 1;
        }
        let mut change = vec![0.0; day_ends.len() * width];
        let prices = |(stock, (open, close)): (usize, &(Vec<f64>, Vec<f64>))| {
            for t in (1..rows).filter(|&t| open[t] > 0.0) {
                let until = open.get(t + 1).unwrap_or(&close[t]);
                change[cells[t] as usize + stock] = until / open[t] - 1.0;
            }
            let after = |t: usize| if t == 0 { 0.0 } else { open[t] - close[t - 1] };
            Prices {
                open: open.clone(),
                gap: (0..rows).map(after).collect(),
                body: (0..rows).map(|t| close[t] - open[t]).collect(),
            }
        };
        let stocks = stocks.iter().enumerate().map(prices).collect();
        TimingTable { rows, width, day_ends, cells, change, stocks }
    }

    /// One past the last row of each New York date, for the rows after the first.
    pub(crate) fn day_ends(&self) -> &[usize] {
        &self.day_ends
    }

    /// Timing score of an account, see [`super::TimingTest::score`]. `held` `[stock]`: changes of
    /// the position in time order. Equity must be above 0 throughout.
    pub(crate) fn score(
        &self,
        equity: &[f64],
        held: &[Vec<HeldShares>],
        scratch: &mut TimingScratch,
    ) -> Option<f64> {
        if self.day_ends.len() < MIN_DAYS {
            return None;
        }
        let TimingScratch { exposure, earned, gains } = scratch;
        exposure.resize(self.change.len(), 0.0);
        earned.clear();
        earned.resize(self.rows, 0.0);
        for (stock, (prices, held)) in self.stocks.iter().zip(held).enumerate() {
            self.expose(stock, prices, equity, held, exposure);
            earn(prices, held, earned);
        }
        gains.clear();
        let mut start = 1;
        for (day, &end) in self.day_ends.iter().enumerate() {
            let cells = day * self.width..(day + 1) * self.width;
            let gain = dot(&exposure[cells.clone()], &self.change[cells]);
            let (before, after) = (&equity[start - 1..end - 1], &equity[start..end]);
            let accounts = before.iter().zip(after).zip(&earned[start..end]);
            let mut cost = 0.0;
            for ((&before, &after), &earned) in accounts {
                cost += (before + earned - after) / before;
            }
            gains.push(gain - cost);
            start = end;
        }
        score(gains)
    }

    /// Writes position over equity minus its mean so far.
    fn expose(
        &self,
        stock: usize,
        prices: &Prices,
        equity: &[f64],
        held: &[HeldShares],
        exposure: &mut [f64],
    ) {
        let mut sum = 0.0;
        for (shares, rows) in holding_periods(held, self.rows) {
            let market = self.cells[rows.clone()].iter().zip(&prices.open[rows.clone()]);
            let before = &equity[rows.start - 1..rows.end - 1];
            for (i, ((&cell, open), before)) in market.zip(before).enumerate() {
                let exposed = shares * open / before;
                sum += exposed;
                exposure[cell as usize + stock] = exposed - sum / (rows.start + i) as f64;
            }
        }
    }
}

/// Adds the price profit of a position: on the old shares from the last close to the open, on the
/// new shares from the open to the close.
fn earn(prices: &Prices, held: &[HeldShares], earned: &mut [f64]) {
    let mut was = 0.0;
    for (shares, rows) in holding_periods(held, earned.len()) {
        let first = rows.start;
        if was != 0.0 {
            earned[first] += was * prices.gap[first];
        }
        if shares != 0.0 {
            earned[first] += shares * prices.body[first];
            let rest = first + 1..rows.end;
            let moves = prices.gap[rest.clone()].iter().zip(&prices.body[rest.clone()]);
            for (earned, (gap, body)) in earned[rest].iter_mut().zip(moves) {
                *earned += shares * gap;
                *earned += shares * body;
            }
        }
        was = shares;
    }
}

/// Shares and the rows (after the first) at which they are held; starts with none.
fn holding_periods(
    held: &[HeldShares],
    rows: usize,
) -> impl Iterator<Item = (f64, std::ops::Range<usize>)> + '_ {
    let first = held.first().map_or(rows, |held| held.from);
    let ends = held.iter().skip(1).map(|next| next.from).chain([rows]);
    let rest = held.iter().zip(ends).map(|(held, end)| (held.shares, held.from..end));
    std::iter::once((0.0, 1..first.max(1))).chain(rest).filter(|(_, rows)| !rows.is_empty())
}
