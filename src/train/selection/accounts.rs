//! What hypothetical accounts earn per day, and how sure that is. Pure functions.

use std::ops::Range;

use crate::market::calendar::market_date;
use crate::market::panel::Panel;
use crate::rl::agent::{AgentTerms, greedy_position};

/// First rows of the days of `rows` in New York.
pub(super) fn days<'a>(
    panel: &'a Panel,
    rows: &Range<usize>,
) -> impl Iterator<Item = usize> + use<'a> {
    let date = |row: usize| market_date(panel.view(row).end_s());
    let first = rows.start;
    rows.clone().filter(move |&row| row == first || date(row) != date(row - 1))
}

/// The positions `[row]` of a greedy account that begins flat, from the next open on. `values`
/// `[row, action]`; `fillable` `[row]`: whether an order is filled at the next open.
pub(super) fn greedy_positions(values: &[f32], fillable: &[bool], terms: &AgentTerms) -> Vec<f32> {
    let (mut held, mut q) = (0.0, Vec::new());
    let rows = values.chunks_exact(terms.actions.len()).zip(fillable);
    let position = |(values, &is_filled): (&[f32], &bool)| {
        if is_filled {
            held = greedy_position(values, held, terms, &mut q);
        }
        held
    };
    rows.map(position).collect()
}

/// Adds the simple returns `[row]` of an account with these `positions` to `sums`, less the costs of
/// changing them and what is charged for their risk. Before the first row it holds `held`; `returns` are in units of `return_std`.
pub(super) fn add_gains(
    positions: &[f32],
    held: f32,
    returns: &[f32],
    terms: &AgentTerms,
    sums: &mut [f64],
) {
    let (unit, mut before) = (f64::from(terms.return_std), held);
    for ((&position, &change), sum) in positions.iter().zip(returns).zip(sums) {
        let cost = terms.turnover_cost * f64::from((position - before).abs());
        let risk = terms.risk() * position * position;
        *sum += f64::from(position * change - risk) * unit - cost;
        before = position;
    }
}

/// Returns from the open after each row to the next one, in units of `return_std`, and whether an
/// order of that row is filled.
pub(super) fn stock_rows(
    panel: &Panel,
    rows: &Range<usize>,
    stock: usize,
    return_std: f32,
) -> (Vec<f32>, Vec<bool>) {
    let found = rows.clone().map(|row| {
        let [fill, next] = [1, 2].map(|later| panel.view(row + later).bar(stock));
        let found = ((next.open / fill.open - 1.0) / f64::from(return_std)) as f32;
        (if found.is_finite() { found } else { 0.0 }, fill.tradable)
    });
    found.unzip()
}

/// Returns per day over `rows`, of equal capital in all stocks, of accounts that hold the drift, and
/// of those that `ours` gives: per stock its positions `[row]`, and the one before the first row.
pub(super) fn account_days<'a>(
    panel: &Panel,
    rows: &Range<usize>,
    terms: &[AgentTerms],
    ours: impl Fn(usize) -> (&'a [f32], f32),
) -> [Vec<f64>; 2] {
    let [mut held_sums, mut our_sums] = [(); 2].map(|()| vec![0.0; rows.len()]);
    for (stock, terms) in terms.iter().enumerate() {
        let (returns, fillable) = stock_rows(panel, rows, stock, terms.return_std);
        let nothing = vec![0.0; rows.len() * terms.actions.len()];
        let held = greedy_positions(&nothing, &fillable, terms);
        add_gains(&held, held[0], &returns, terms, &mut held_sums);
        let (positions, before) = ours(stock);
        add_gains(positions, before, &returns, terms, &mut our_sums);
    }
    [held_sums, our_sums].map(|sums| by_day(panel, rows, &sums, terms.len() as f64))
}

/// Means over stocks of `values` `[row]`, which are sums over them, added up over days in New York.
fn by_day(panel: &Panel, rows: &Range<usize>, values: &[f64], stocks: f64) -> Vec<f64> {
    let (mut sums, mut last) = (Vec::new(), None);
    for (row, value) in rows.clone().zip(values) {
        let date = market_date(panel.view(row).end_s());
        if last != Some(date) {
            sums.push(0.0);
            last = Some(date);
        }
        *sums.last_mut().expect("a day has begun") += value / stocks;
    }
    sums
}

/// A mean per day, and its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct DailyMean {
    pub(super) mean: f64,
    pub(super) error: f64,
}

impl DailyMean {
    pub(super) fn of(days: &[f64]) -> DailyMean {
        let (mean, error) = mean_and_error(days);
        DailyMean { mean, error }
    }

    /// The mean of `ours` over that of `held`, for the same days. How well holding did on these few
    /// days says little of what is judged here. So the part of the difference that moves with
    /// `held` is counted with the mean of many days before, `holding`, for that of these: a control
    /// variate (Glasserman 2004, *Monte Carlo Methods in Financial Engineering*, section 4.1), which
    /// halves the variance for an account that goes long and short.
    pub(super) fn of_excess(ours: &[f64], held: &[f64], holding: DailyMean) -> DailyMean {
        let excess: Vec<f64> = ours.iter().zip(held).map(|(ours, held)| ours - held).collect();
        let [mean, held_mean] = [&excess[..], held].map(|days| mean_and_error(days).0);
        let product = |(excess, held): (&f64, &f64)| (excess - mean) * (held - held_mean);
        let covariance: f64 = excess.iter().zip(held).map(product).sum();
        let variance: f64 = held.iter().map(|held| (held - held_mean).powi(2)).sum();
        let slope = if variance > 0.0 { covariance / variance } else { 0.0 };
        let rest = excess.iter().zip(held).map(|(e, held)| e - slope * (held - held_mean));
        let (mean, error) = mean_and_error(&rest.collect::<Vec<_>>());
        DailyMean {
            mean: mean - slope * (held_mean - holding.mean),
            error: error.hypot(slope * holding.error),
        }
    }
}

/// Mean, and its standard error if values are independent; both 0 for fewer than two.
pub(super) fn mean_and_error(values: &[f64]) -> (f64, f64) {
    if values.len() < 2 {
        return (0.0, 0.0);
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, (variance / count).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EnvConfig;
    use crate::rl::belief::StockBelief;

    fn terms() -> AgentTerms {
        AgentTerms {
            return_std: 0.01,
            turnover_cost: 0.001,
            actions: EnvConfig::default().action_set(),
            risk_aversion: 0.0,
            belief: StockBelief::IN_NETWORK,
        }
    }

    /// Long from the first row on: +2 units less the cost; then short, for two costs; then no order
    /// is filled; then flat.
    #[test]
    fn a_greedy_account_by_hand() {
        let values = [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0];
        let positions = greedy_positions(&values, &[true, true, false, true], &terms());
        assert_eq!(positions, [1.0, -1.0, -1.0, 0.0]);
        let mut sums = [0.5; 4];
        add_gains(&positions, 0.0, &[2.0, 1.0, -3.0, 4.0], &terms(), &mut sums);
        let expected = [0.02 - 0.001, -0.01 - 0.002, 0.03, -0.001];
        for (found, expected) in sums.iter().zip(expected) {
            assert!((found - 0.5 - expected).abs() < 1e-9, "{found} is not {expected}");
        }
    }

    /// Ours is flat while holding earns 1, 2 and 3: the difference is what holding earns, whose
    /// mean is known from before. Ours that earns 1 more than holding does not depend on it.
    #[test]
    fn what_holding_did_on_the_days_is_replaced_by_what_it_does() {
        let (held, holding) = ([1.0, 2.0, 3.0], DailyMean { mean: 0.5, error: 0.1 });
        let flat = DailyMean::of_excess(&[0.0; 3], &held, holding);
        assert!((flat.mean + 0.5).abs() < 1e-12 && (flat.error - 0.1).abs() < 1e-12, "{flat:?}");
        let above = DailyMean::of_excess(&[2.0, 3.0, 4.0], &held, holding);
        assert_eq!(above, DailyMean { mean: 1.0, error: 0.0 });
        let nothing =
            DailyMean::of_excess(&[1.0, 3.0], &[0.0; 2], DailyMean { mean: 0.0, error: 0.0 });
        assert_eq!(nothing, DailyMean { mean: 2.0, error: 1.0 });
    }

    #[test]
    fn mean_and_error_by_hand() {
        assert_eq!(mean_and_error(&[1.0, 3.0]), (2.0, 1.0));
        assert_eq!(mean_and_error(&[7.0]), (0.0, 0.0));
    }
}
