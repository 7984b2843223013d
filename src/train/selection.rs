//! Model selection: the last days of the training period are held back from learning. On them is
//! decided how many passes are made, and how far the learned values are believed.

use std::ops::Range;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::comm::{Comm, MessageStamp, Ranks, Tag};
use crate::compute::threads::run_parallel;
use crate::config::LearnerConfig;
use crate::market::calendar::new_york_date;
use crate::market::panel::Panel;
use crate::math::normal::{normal_quantile, student_quantile};
use crate::rl::agent::{Agent, AgentTerms, q_values};
use crate::rl::belief::{Belief, StockBelief};
use crate::rl::networks::Networks;
use crate::rl::td::argmax;

/// Validations of a run, at most; each is a forward pass over the days held back.
const VALIDATIONS: u32 = 20;
/// Shares of the learned values that are tried.
const SHARES: [f32; 4] = [0.25, 0.5, 0.75, 1.0];
/// Fewer days than this decide nothing.
const MIN_DAYS: usize = 5;
/// A falling stock is believed to fall further if its mean return is so many standard errors below
/// zero; a rising one is believed at once. Stocks have risen on average.
const FALLING_ERRORS: f64 = 2.0;

/// The rows of a training period: those that are learned from, and those after them on which is
/// selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowSplit {
    /// All rows but those held back.
    pub learned: Range<usize>,
    /// Empty if nothing is selected.
    pub validation: Range<usize>,
}

impl RowSplit {
    /// Holds back the last `share` of `rows`, from the first bar of a day on; nothing if that would
    /// be fewer than five days.
    pub fn new(panel: &Panel, rows: Range<usize>, share: f64) -> RowSplit {
        let date = |row: usize| new_york_date(panel.view(row).end_s());
        let wanted = rows.end - (share * rows.len() as f64) as usize;
        let first = (wanted..rows.end).find(|&row| row > rows.start && date(row) != date(row - 1));
        let first = first.unwrap_or(rows.end);
        let days = days(panel, &(first..rows.end)).count();
        let first = if days < MIN_DAYS { rows.end } else { first };
        RowSplit { learned: rows.start..first, validation: first..rows.end }
    }
}

/// How a set of weights did on the validation days.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValidationScore {
    /// Passes over the learned days before.
    pub episode: u32,
    /// The best share of the learned values.
    pub share: f32,
    /// Mean return per day over holding the drift alone, after costs, of equal capital in all
    /// stocks.
    pub excess: f64,
    /// Standard error of `excess`, from its days.
    pub error: f64,
}

/// What is selected so far; the same on every rank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Selected {
    /// In the order of the network's layout.
    pub weights: Vec<f32>,
    /// Of the learned values; 0 if they did not beat holding the drift.
    pub share: f32,
    /// Excess less one standard error; 0 for the drift alone.
    score: f64,
    /// Of all weights that were considered.
    pub scores: Vec<ValidationScore>,
}

/// Selects among the weights of a run.
pub struct Selection<'a> {
    panel: &'a Panel,
    rows: Range<usize>,
    ranks: Ranks,
    /// Of every stock; with the drift of the learned days.
    terms: Vec<AgentTerms>,
    /// Standard errors that an excess must have to be believed.
    required: f64,
    selected: Option<Selected>,
}

/// What an account in one stock earns on the validation days, `[row]`.
struct StockDays<'a> {
    /// `[row, action]`.
    values: &'a [f32],
    returns: &'a [f32],
    fillable: &'a [bool],
}

impl<'a> Selection<'a> {
    /// For a run of so many `episodes`; None where the split holds nothing back.
    pub fn new(
        panel: &'a Panel,
        split: &RowSplit,
        ranks: Ranks,
        mut terms: Vec<AgentTerms>,
        config: &LearnerConfig,
        episodes: u32,
    ) -> Option<Selection<'a>> {
        // The return after the last two rows is not known.
        let rows = split.validation.start..split.validation.end.saturating_sub(2);
        if rows.is_empty() {
            return None;
        }
        let drift = drift(panel, &split.learned, &terms);
        for (terms, drift) in terms.iter_mut().zip(drift) {
            terms.belief = StockBelief { share: 0.0, drift, gamma: config.gamma as f32 };
        }
        let validations = episodes.div_ceil(validate_every(episodes));
        let days = days(panel, &rows).count();
        let required = required_errors(config.selection_level, validations, days);
        Some(Selection { panel, rows, ranks, terms, required, selected: None })
    }

    /// What is selected so far; None before anything was considered.
    pub fn selected(&self) -> Option<&Selected> {
        self.selected.as_ref()
    }

    /// What is selected in the end.
    pub fn into_selected(self) -> Option<Selected> {
        self.selected
    }

    /// Resumes with what was selected before.
    pub fn restore(&mut self, selected: Option<Selected>) {
        self.selected = selected;
    }

    /// Scores `weights` after `episode` passes, and keeps them if none were better. Called on every
    /// rank with its own agents and networks that have these weights.
    pub fn consider(
        &mut self,
        comm: &dyn Comm,
        agents: Vec<&mut Agent>,
        networks: &Networks,
        (episode, weights): (u32, &[f32]),
    ) -> Result<()> {
        let rows: Vec<u32> = self.rows.clone().map(|row| row as u32).collect();
        let mut mine = vec![Vec::new(); agents.len()];
        run_parallel(agents.into_iter().zip(&mut mine).collect(), |(agent, out)| {
            agent.values(networks, self.panel, &rows, out);
        });
        let per_stock = rows.len() * self.terms[0].positions.len();
        let mut values = vec![0.0; if comm.is_root() { per_stock * self.terms.len() } else { 0 }];
        let stamp = MessageStamp { tag: Tag::Values, time: i64::from(episode) };
        comm.gather(stamp, &mine.concat(), &self.ranks.counts(per_stock), &mut values)?;
        let score = match comm.is_root() {
            true => Some(self.score(&values, episode)),
            false => None,
        };
        let mut bytes = postcard::to_stdvec(&score)?;
        comm.broadcast_bytes(&mut bytes);
        let score: Option<ValidationScore> = postcard::from_bytes(&bytes)?;
        let found = score.expect("rank 0 sends one");
        let ValidationScore { share, excess, error, .. } = found;
        tracing::info!(episode, share, excess, error, "validated");
        self.keep(found, weights);
        Ok(())
    }

    fn is_believed(&self, score: &ValidationScore) -> bool {
        score.excess > self.required * score.error
    }

    fn keep(&mut self, found: ValidationScore, weights: &[f32]) {
        let (value, is_believed) = (found.excess - found.error, self.is_believed(&found));
        let selected = self.selected.get_or_insert_with(|| Selected {
            weights: weights.to_vec(),
            share: 0.0,
            score: 0.0,
            scores: Vec::new(),
        });
        selected.scores.push(found);
        if is_believed && value > selected.score {
            (selected.score, selected.share) = (value, found.share);
            selected.weights.copy_from_slice(weights);
        } else if selected.share == 0.0 {
            // Not believed so far: the newest are as good as any.
            selected.weights.copy_from_slice(weights);
        }
    }

    /// The best share for `values`, `[stock, row, action]`.
    fn score(&self, values: &[f32], episode: u32) -> ValidationScore {
        let count = self.rows.len();
        let per_stock = values.len() / self.terms.len();
        let mut by_share = vec![vec![0.0; count]; SHARES.len() + 1];
        for ((stock, terms), values) in
            self.terms.iter().enumerate().zip(values.chunks_exact(per_stock))
        {
            let (returns, fillable) = stock_rows(self.panel, &self.rows, stock, terms.return_std);
            let days = StockDays { values, returns: &returns, fillable: &fillable };
            for (share, sum) in [0.0].iter().chain(&SHARES).zip(&mut by_share) {
                let belief = StockBelief { share: *share, ..terms.belief };
                earn(&days, &AgentTerms { belief, ..*terms }, sum);
            }
        }
        let (base, candidates) = by_share.split_first().expect("the drift comes first");
        let stocks = self.terms.len() as f64;
        let mut best: Option<ValidationScore> = None;
        for (&share, candidate) in SHARES.iter().zip(candidates) {
            let excess = candidate.iter().zip(base).map(|(ours, theirs)| (ours - theirs) / stocks);
            let (excess, error) = mean_and_error(&self.by_day(excess));
            let rank = |of: &ValidationScore| (self.is_believed(of), of.excess - of.error);
            let found = ValidationScore { episode, share, excess, error };
            if best.as_ref().is_none_or(|best| rank(&found) > rank(best)) {
                best = Some(found);
            }
        }
        best.expect("there are shares to try")
    }

    /// Sums over days in New York.
    fn by_day(&self, values: impl Iterator<Item = f64>) -> Vec<f64> {
        let (mut sums, mut last) = (Vec::new(), None);
        for (row, value) in self.rows.clone().zip(values) {
            let date = new_york_date(self.panel.view(row).end_s());
            if last != Some(date) {
                sums.push(0.0);
                last = Some(date);
            }
            *sums.last_mut().expect("a day has begun") += value;
        }
        sums
    }
}

/// Passes between two validations of a run of so many.
pub fn validate_every(episodes: u32) -> u32 {
    episodes.div_ceil(VALIDATIONS).max(1)
}

/// First rows of the days of `rows` in New York.
fn days<'a>(panel: &'a Panel, rows: &Range<usize>) -> impl Iterator<Item = usize> + 'a {
    let date = |row: usize| new_york_date(panel.view(row).end_s());
    let first = rows.start;
    rows.clone().filter(move |&row| row == first || date(row) != date(row - 1))
}

/// Standard errors, estimated from so many `days`, that an excess must have so that values without
/// skill are believed with a probability of at most `level` in a whole run: Bonferroni's bound over
/// the validations. The shares of one validation stake the same bets and are not counted.
fn required_errors(level: f64, validations: u32, days: usize) -> f64 {
    let z = -normal_quantile(level / f64::from(validations));
    student_quantile(z, (days.max(2) - 1) as f64)
}

/// Adds the simple returns per row of a greedy account to `sum`: of the position from the next open
/// on, less the cost of changing to it.
fn earn(days: &StockDays<'_>, terms: &AgentTerms, sum: &mut [f64]) {
    let (mut held, mut q) = (0.0, Vec::new());
    let unit = f64::from(terms.return_std);
    let actions = terms.positions.len();
    for (row, (values, sum)) in days.values.chunks_exact(actions).zip(sum).enumerate() {
        let before = held;
        if days.fillable[row] {
            q.clear();
            q_values(values, held, terms, &mut q);
            held = terms.positions[argmax(&q)];
        }
        let cost = terms.turnover_cost * f64::from((held - before).abs());
        *sum += f64::from(held * days.returns[row]) * unit - cost;
    }
}

/// Returns from the open after each row to the next one, in units of `return_std`, and whether an
/// order of that row is filled.
fn stock_rows(
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

/// `[stock]`: the mean return per bar over `rows` that is believed to go on, in units of
/// `return_std`; see `FALLING_ERRORS`.
pub fn drift(panel: &Panel, rows: &Range<usize>, terms: &[AgentTerms]) -> Vec<f32> {
    let rows = rows.start..rows.end.saturating_sub(2);
    let of_stock = |(stock, terms): (usize, &AgentTerms)| {
        let (returns, _) = stock_rows(panel, &rows, stock, terms.return_std);
        let returns: Vec<f64> = returns.into_iter().map(f64::from).collect();
        let (mean, error) = mean_and_error(&returns);
        let is_believed = mean > 0.0 || mean < -FALLING_ERRORS * error;
        if is_believed { mean as f32 } else { 0.0 }
    };
    terms.iter().enumerate().map(of_stock).collect()
}

/// Mean, and its standard error if values are independent; both 0 for fewer than two.
fn mean_and_error(values: &[f64]) -> (f64, f64) {
    if values.len() < 2 {
        return (0.0, 0.0);
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, (variance / count).sqrt())
}

/// What a run concludes: the selected share, and the drift of all of its days.
pub fn belief(share: f32, panel: &Panel, rows: &Range<usize>, terms: &[AgentTerms]) -> Belief {
    Belief { share, drift: drift(panel, rows, terms) }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const TERMS: AgentTerms = AgentTerms {
        return_std: 0.01,
        turnover_cost: 0.001,
        positions: &[-1.0, 0.0, 1.0],
        belief: StockBelief::IN_NETWORK,
    };

    /// Long from the first row on: +2 units less the cost; then short, for two costs; then no order
    /// is filled; then flat.
    #[test]
    fn a_greedy_account_by_hand() {
        let values = [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0];
        let days = StockDays {
            values: &values,
            returns: &[2.0, 1.0, -3.0, 4.0],
            fillable: &[true, true, false, true],
        };
        let mut sum = vec![0.5; 4];
        earn(&days, &TERMS, &mut sum);
        let expected = [0.5 + 0.02 - 0.001, 0.5 - 0.01 - 0.002, 0.5 + 0.03, 0.5 - 0.001];
        for (found, expected) in sum.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
        }
    }

    #[test]
    fn more_validations_ask_for_more() {
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 2e-3, "{found}");
        near(required_errors(0.05, 1, 1_000_000), 1.645);
        near(required_errors(0.05, 20, 1_000_000), 2.807);
        near(required_errors(0.05, 20, 76), 2.889);
    }

    /// Of 2,000 runs with twenty validations of independent luck on 40 days each, one in twenty may
    /// be believed.
    #[test]
    fn luck_is_hardly_ever_believed() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let required = required_errors(0.05, 20, 40);
        let mut validation = || {
            // A sum of twelve uniform values is close to normal.
            let days: Vec<f64> =
                (0..40).map(|_| (0..12).map(|_| rng.random::<f64>() - 0.5).sum()).collect();
            let (mean, error) = mean_and_error(&days);
            mean > required * error
        };
        let believed = (0..2_000).filter(|_| (0..20).any(|_| validation())).count();
        assert!((60..=125).contains(&believed), "{believed}");
    }

    #[test]
    fn mean_and_error_by_hand() {
        assert_eq!(mean_and_error(&[1.0, 3.0]), (2.0, 1.0));
        assert_eq!(mean_and_error(&[7.0]), (0.0, 0.0));
    }
}
