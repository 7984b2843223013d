//! Performance metrics that match empyrical. Pure functions.

mod totals;

use chrono::{Datelike, NaiveDate, Weekday};
use serde::{Deserialize, Serialize};

use crate::market::Symbol;
use crate::market::calendar::MarketClock;
use crate::market::panel::PanelBar;
pub(super) use totals::AccountTotals;

/// Record of a back-test, one entry per bar: equity curve, fills and positions. The first entry is
/// the start, before any trade.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BacktestRecord {
    /// In the order of the columns of `[time, stock]`.
    pub stocks: Vec<Symbol>,
    /// Bar ends, UTC seconds.
    pub end_s: Vec<i64>,
    /// cash + sum of position x price, currency.
    pub equity: Vec<f64>,
    /// Negative if more was bought than there was cash for.
    pub cash: Vec<f64>,
    /// Simple return of equity over the bar; 0 in the first entry.
    pub reward: Vec<f64>,
    /// Value traded at this bar's open, over the equity one bar earlier.
    pub turnover: Vec<f64>,
    /// Number of fills at this bar's open.
    pub trades: Vec<u32>,
    /// Equity over its running maximum, minus 1; at most 0.
    pub drawdown: Vec<f64>,
    /// Shares held after this bar's open, `[time, stock]`.
    pub position: Vec<f64>,
    /// Price they are marked at, this bar's close, `[time, stock]`.
    pub price: Vec<f64>,
    /// Price at this bar's open, before slippage, `[time, stock]`.
    pub open: Vec<f64>,
}

/// Performance metrics of a back-test. Undefined values are None (null in JSON), never 0 or
/// infinity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Sum of the bars' rewards.
    pub total_reward: f64,
    /// Last equity over first, minus 1.
    pub portfolio_return: f64,
    /// Sharpe ratio of daily returns, annualised by the root of 252, or of 365 for markets that never
    /// close, ddof 1, risk-free rate 0.
    pub sharpe: Option<f64>,
    /// Sortino ratio: like `sharpe`, with the downside deviation below 0 over all days.
    pub sortino: Option<f64>,
    /// Compound annual return over the depth of `max_drawdown`.
    pub calmar: Option<f64>,
    /// At most 0; from the initial equity on, at daily closes. [`BacktestRecord::drawdown`] is per
    /// bar and can be deeper.
    pub max_drawdown: f64,
    /// Annualised standard deviation of daily returns.
    pub volatility: Option<f64>,
    /// Value traded over equity, summed and divided by the number of trading days.
    pub turnover: f64,
    /// Number of fills.
    pub trades: u64,
    /// Gross exposure: mean over bars of gross position value over equity.
    pub exposure: f64,
}

/// Metrics that need daily returns only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct DailyMetrics {
    /// Mean over standard deviation; None if all returns are equal.
    pub(crate) sharpe: Option<f64>,
    /// Mean over downside deviation; None without a loss.
    pub(crate) sortino: Option<f64>,
    /// None without a drawdown, or if equity ended below 0.
    pub(crate) calmar: Option<f64>,
    /// At most 0; 0 without returns.
    pub(crate) max_drawdown: f64,
    pub(crate) volatility: Option<f64>,
}

/// Trading days of a stock exchange in a year.
pub(crate) const DAYS_PER_YEAR: f64 = 252.0;
/// Those of a market that never closes.
const EVERY_DAY: f64 = 365.0;

/// Trading days per year of a market with these days: 252, or 365 if more than a tenth of them are
/// Saturdays and more than a tenth Sundays, as those of coins are. In Tel Aviv a week begins on
/// Sunday.
pub(crate) fn days_per_year(days: impl Iterator<Item = NaiveDate>) -> f64 {
    let (mut all, mut saturdays, mut sundays) = (0_usize, 0_usize, 0_usize);
    for day in days {
        all += 1;
        saturdays += usize::from(day.weekday() == Weekday::Sat);
        sundays += usize::from(day.weekday() == Weekday::Sun);
    }
    if 10 * saturdays.min(sundays) > all { EVERY_DAY } else { DAYS_PER_YEAR }
}

/// Metrics of simple daily returns as in empyrical, annualised with `year` days, risk-free rate 0.
/// With fewer than two days everything but `max_drawdown` is None (empyrical returns a meaningless
/// Calmar ratio for one day).
///
/// # Panics
/// If a return is not finite.
pub(crate) fn daily_metrics(returns: &[f64], year: f64) -> DailyMetrics {
    assert!(returns.iter().all(|r| r.is_finite()), "daily returns are finite");
    let (max_drawdown, final_value) = deepest_drawdown(returns);
    if returns.len() < 2 {
        let (sharpe, sortino, calmar, volatility) = (None, None, None, None);
        return DailyMetrics { sharpe, sortino, calmar, max_drawdown, volatility };
    }
    let days = returns.len() as f64;
    let mean = returns.iter().sum::<f64>() / days;
    // The deviation of equal values is 0, even if their mean is rounded.
    let equal = returns.iter().all(|&r| r == returns[0]);
    let squares = returns.iter().map(|r| (r - mean).powi(2)).sum::<f64>();
    let std = if equal { 0.0 } else { (squares / (days - 1.0)).sqrt() };
    let downside = (returns.iter().map(|r| r.min(0.0).powi(2)).sum::<f64>() / days).sqrt();
    let annual_return = final_value.powf(year / days) - 1.0;
    let year = year.sqrt();
    DailyMetrics {
        sharpe: ratio(mean, std).map(|ratio| ratio * year),
        sortino: ratio(mean, downside).map(|ratio| ratio * year),
        calmar: ratio(annual_return, -max_drawdown).filter(|_| final_value >= 0.0),
        max_drawdown,
        volatility: Some(std * year),
    }
}

/// None if undefined or beyond the range of an f64.
fn ratio(numerator: f64, denominator: f64) -> Option<f64> {
    let ratio = numerator / denominator;
    (denominator > 0.0 && ratio.is_finite()).then_some(ratio)
}

/// Maximum drawdown (at most 0) and final value of one unit that earns `returns`.
fn deepest_drawdown(returns: &[f64]) -> (f64, f64) {
    let (mut value, mut peak, mut deepest) = (1.0, 1.0, 0.0);
    for r in returns {
        value *= 1.0 + r;
        peak = f64::max(peak, value);
        deepest = f64::min(deepest, value / peak - 1.0);
    }
    (deepest, value)
}

/// Simple returns from `initial` to the first of `closes` and from each to the next; 0 once equity
/// has fallen to 0 or below.
pub(super) fn returns_between(initial: f64, closes: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut before = initial;
    let day_return = |equity: f64| {
        let ruined = before <= 0.0;
        let change = equity / before - 1.0;
        before = if ruined { before } else { equity };
        if ruined { 0.0 } else { change }
    };
    closes.map(day_return).collect()
}

impl BacktestRecord {
    /// An empty record.
    pub(crate) fn new(stocks: Vec<Symbol>) -> BacktestRecord {
        BacktestRecord {
            stocks,
            end_s: Vec::new(),
            equity: Vec::new(),
            cash: Vec::new(),
            reward: Vec::new(),
            turnover: Vec::new(),
            trades: Vec::new(),
            drawdown: Vec::new(),
            position: Vec::new(),
            price: Vec::new(),
            open: Vec::new(),
        }
    }

    /// Appends the position in the next stock at a bar. A stock without a bar so far has price 0
    /// and no position.
    pub(crate) fn hold(&mut self, shares: f64, bar: &PanelBar) {
        let or_none = |price: f64| if price.is_nan() { 0.0 } else { price };
        self.position.push(shares);
        self.price.push(or_none(bar.close));
        self.open.push(or_none(bar.open));
    }

    /// Forgets all entries but the last.
    pub(super) fn keep_last(&mut self) {
        fn keep<T>(column: &mut Vec<T>, entries: usize) {
            column.drain(..column.len() - entries);
        }
        let stocks = self.stocks.len();
        keep(&mut self.end_s, 1);
        keep(&mut self.trades, 1);
        for column in [
            &mut self.equity,
            &mut self.cash,
            &mut self.reward,
            &mut self.turnover,
            &mut self.drawdown,
        ] {
            keep(column, 1);
        }
        for column in [&mut self.position, &mut self.price, &mut self.open] {
            keep(column, stocks);
        }
    }

    /// Simple returns between the last equities of consecutive New York dates, the first from the
    /// initial equity; 0 once equity has fallen to 0 or below. Dates are those of the entries after
    /// the first.
    pub(crate) fn daily_returns(&self) -> Vec<f64> {
        let Some(&initial) = self.equity.first() else { return Vec::new() };
        returns_between(initial, self.daily_closes().into_iter().map(|(_, equity)| equity))
    }

    /// Trading days per year of its market; see [`days_per_year`].
    pub(crate) fn days_per_year(&self) -> f64 {
        days_per_year(self.daily_closes().into_iter().map(|(date, _)| date))
    }

    /// The last equity of each New York date of the entries after the first.
    pub(crate) fn daily_closes(&self) -> Vec<(NaiveDate, f64)> {
        let mut closes: Vec<(NaiveDate, f64)> = Vec::new();
        let mut clock = MarketClock::new();
        for (&end_s, &equity) in self.end_s.iter().zip(&self.equity).skip(1) {
            let (date, _) = clock.at(end_s);
            match closes.last_mut() {
                Some(last) if last.0 == date => last.1 = equity,
                _ => closes.push((date, equity)),
            }
        }
        closes
    }

    /// Index of the last entry of each New York date.
    pub(crate) fn daily_rows(&self) -> Vec<usize> {
        let mut clock = MarketClock::new();
        let mut last: Vec<(NaiveDate, usize)> = Vec::new();
        for (t, &end_s) in self.end_s.iter().enumerate() {
            let (date, _) = clock.at(end_s);
            match last.last_mut() {
                Some(last) if last.0 == date => last.1 = t,
                _ => last.push((date, t)),
            }
        }
        last.into_iter().map(|(_, t)| t).collect()
    }

    /// Gross position value over equity at a bar; None without equity.
    pub(crate) fn gross_exposure(&self, t: usize) -> Option<f64> {
        let stocks = self.stocks.len();
        let row = t * stocks..(t + 1) * stocks;
        let marked = self.position[row.clone()].iter().zip(&self.price[row]);
        // A stock without a bar so far has no price and cannot be held.
        let held = marked.filter(|(position, _)| **position != 0.0);
        let gross = held.map(|(position, price)| (position * price).abs()).sum::<f64>();
        (self.equity[t] > 0.0).then(|| gross / self.equity[t])
    }

    pub(super) fn assert_consistent(&self) {
        let bars = self.end_s.len();
        for (name, column) in [
            ("equity", &self.equity),
            ("cash", &self.cash),
            ("reward", &self.reward),
            ("turnover", &self.turnover),
            ("drawdown", &self.drawdown),
        ] {
            assert_eq!(column.len(), bars, "{name} has one entry per bar");
            assert!(column.iter().all(|value| value.is_finite()), "{name} is finite");
        }
        assert_eq!(self.trades.len(), bars, "trades has one entry per bar");
        assert_eq!(self.position.len(), bars * self.stocks.len(), "position is [time, stock]");
        assert_eq!(self.price.len(), bars * self.stocks.len(), "price is [time, stock]");
        assert_eq!(self.open.len(), bars * self.stocks.len(), "open is [time, stock]");
    }
}

impl Metrics {
    /// # Panics
    /// If columns differ in length, a number is not finite, or the record is empty or begins
    /// without equity.
    pub fn from_record(record: &BacktestRecord) -> Metrics {
        AccountTotals::new(record).metrics()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        name: String,
        returns: Vec<f64>,
        sharpe: Option<f64>,
        sortino: Option<f64>,
        calmar: Option<f64>,
        max_drawdown: Option<f64>,
        volatility: Option<f64>,
    }

    fn assert_near(what: &str, found: Option<f64>, expected: Option<f64>) {
        assert_eq!(found.is_some(), expected.is_some(), "{what}: {found:?}, {expected:?}");
        let (found, expected) = (found.unwrap_or(0.0), expected.unwrap_or(0.0));
        let error = (found - expected).abs();
        assert!(error <= 1e-10 * expected.abs().max(1e-3), "{what}: {found}, {expected}");
    }

    #[test]
    fn metrics_are_empyricals() {
        let golden = include_str!("../../tests/golden/metrics.json");
        let cases: Vec<Golden> = serde_json::from_str(golden).unwrap();
        assert!(cases.len() >= 13);
        for case in cases {
            let found = daily_metrics(&case.returns, DAYS_PER_YEAR);
            let name = &case.name;
            let days = case.returns.len();
            assert_near(&format!("sharpe {name}"), found.sharpe, case.sharpe);
            assert_near(&format!("sortino {name}"), found.sortino, case.sortino);
            let calmar = case.calmar.filter(|_| days >= 2);
            assert_near(&format!("calmar {name}"), found.calmar, calmar);
            let drawdown = case.max_drawdown.or((days == 0).then_some(0.0));
            assert_near(&format!("drawdown {name}"), Some(found.max_drawdown), drawdown);
            assert_near(&format!("volatility {name}"), found.volatility, case.volatility);
        }
    }

    /// Two stocks. Bars end at 15:30 and 16:00 in New York on 2020-03-06 and, after the change to
    /// daylight saving time, on 2020-03-09; the last one at 21:30 that evening, which is the next
    /// date in UTC.
    fn record(equity: [f64; 5]) -> BacktestRecord {
        let mut reward = vec![0.0];
        reward.extend(equity.windows(2).map(|pair| pair[1] / pair[0] - 1.0));
        BacktestRecord {
            stocks: vec!["A".parse().unwrap(), "B".parse().unwrap()],
            end_s: vec![1_583_526_600, 1_583_528_400, 1_583_782_200, 1_583_784_000, 1_583_803_800],
            cash: equity.to_vec(),
            equity: equity.to_vec(),
            reward,
            turnover: vec![0.0, 0.5, 0.0, 1.0, 0.1],
            trades: vec![0, 2, 0, 3, 1],
            drawdown: vec![0.0; 5],
            position: vec![0.0, 0.0, 2.0, -3.0, 2.0, -3.0, 0.0, 1.0, 0.0, 0.0],
            price: vec![10.0, f64::NAN, 10.0, 10.0, 11.0, 10.0, 12.0, 11.0, 12.0, 11.0],
            open: vec![10.0; 10],
        }
    }

    #[test]
    fn days_are_new_yorks_and_begin_at_the_initial_equity() {
        let record = record([100.0, 102.0, 110.0, 99.0, 96.9]);
        let daily = record.daily_returns();
        assert_eq!(daily.len(), 2);
        assert!((daily[0] - 0.02).abs() < 1e-12 && (daily[1] + 0.05).abs() < 1e-12);
        let metrics = Metrics::from_record(&record);
        assert!((metrics.portfolio_return + 0.031).abs() < 1e-12);
        assert!((metrics.max_drawdown + 0.05).abs() < 1e-12);
        let reward = 0.02 + 8.0 / 102.0 - 0.1 - 2.1 / 99.0;
        assert!((metrics.total_reward - reward).abs() < 1e-12);
        // Mean -0.015, deviations +-0.035: std 0.035 sqrt 2; downside 0.05 / sqrt 2.
        let year = 252f64.sqrt();
        assert_near("sharpe", metrics.sharpe, Some(-0.015 / (0.035 * 2f64.sqrt()) * year));
        assert_near("sortino", metrics.sortino, Some(-0.015 / (0.05 / 2f64.sqrt()) * year));
        assert_near("volatility", metrics.volatility, Some(0.035 * 2f64.sqrt() * year));
        let annual = 0.969f64.powf(126.0) - 1.0;
        assert_near("calmar", metrics.calmar, Some(annual / 0.05));
        assert!((metrics.turnover - 0.8).abs() < 1e-12);
        assert_eq!(metrics.trades, 6);
        let exposure = (50.0 / 102.0 + 52.0 / 110.0 + 11.0 / 99.0) / 4.0;
        assert!((metrics.exposure - exposure).abs() < 1e-12);
    }

    /// A stock's days, a coin's, a stock's with a bar on one Saturday by mistake, and one's in Tel Aviv.
    #[test]
    fn a_year_has_the_days_on_which_there_is_trade() {
        let start = NaiveDate::from_ymd_opt(2020, 1, 1).unwrap();
        let all = || start.iter_days().take(366);
        let is_weekday = |day: &NaiveDate| day.weekday().num_days_from_monday() < 5;
        assert_eq!(days_per_year(all()), 365.0);
        assert_eq!(days_per_year(all().filter(is_weekday)), 252.0);
        let in_tel_aviv = |day: &NaiveDate| !matches!(day.weekday(), Weekday::Fri | Weekday::Sat);
        assert_eq!(days_per_year(all().filter(in_tel_aviv)), 252.0);
        let saturday = NaiveDate::from_ymd_opt(2020, 1, 4);
        assert_eq!(
            days_per_year(all().filter(|day| is_weekday(day) || Some(*day) == saturday)),
            252.0
        );
        assert_eq!(days_per_year(std::iter::empty()), 252.0);
        let returns = [0.01, -0.005, 0.02];
        let [stock, coin] =
            [252.0, 365.0].map(|year| daily_metrics(&returns, year).sharpe.unwrap());
        assert!((coin / stock - (365.0_f64 / 252.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn a_ruined_account_earns_nothing_more() {
        let record = record([100.0, -20.0, -10.0, -10.0, -10.0]);
        assert_eq!(record.daily_returns(), [-1.2, 0.0]);
        let metrics = Metrics::from_record(&record);
        assert!((metrics.max_drawdown + 1.2).abs() < 1e-12);
        assert_eq!(metrics.calmar, None);
        assert_eq!(metrics.exposure, 0.0);
    }

    #[test]
    fn a_course_that_has_not_begun_has_no_ratios() {
        let mut start = record([100.0; 5]);
        start.end_s.truncate(1);
        for column in [&mut start.equity, &mut start.cash, &mut start.reward] {
            column.truncate(1);
        }
        start.turnover.truncate(1);
        start.drawdown.truncate(1);
        start.trades.truncate(1);
        start.position.truncate(2);
        start.price.truncate(2);
        start.open.truncate(2);
        let metrics = Metrics::from_record(&start);
        assert_eq!((metrics.portfolio_return, metrics.max_drawdown), (0.0, 0.0));
        assert_eq!((metrics.sharpe, metrics.volatility, metrics.calmar), (None, None, None));
        assert_eq!((metrics.turnover, metrics.exposure), (0.0, 0.0));
    }

    #[test]
    #[should_panic(expected = "equity is finite")]
    fn a_value_that_is_not_a_number_is_a_mistake() {
        Metrics::from_record(&record([100.0, f64::NAN, 100.0, 100.0, 100.0]));
    }
}
