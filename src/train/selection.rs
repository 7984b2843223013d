//! Model selection: the last days of the training period are held back from learning. On them is
//! decided how many passes are made, and whether the learned values are believed.

mod accounts;

use std::ops::Range;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::comm::{Comm, MessageStamp, Ranks, Tag};
use crate::compute::threads::run_parallel;
use crate::config::LearnerConfig;
use crate::market::calendar::market_date;
use crate::market::panel::Panel;
use crate::math::normal::{normal_quantile, student_quantile};
use crate::rl::agent::{Agent, AgentTerms};
use crate::rl::belief::{Belief, StockBelief};
use crate::rl::networks::Networks;
use accounts::{DailyMean, account_days, days, greedy_positions, mean_and_error, stock_rows};

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
        let date = |row: usize| market_date(panel.view(row).end_s());
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
    /// Mean return per day over holding the drift alone, after costs, of equal capital in all
    /// stocks; see `DailyMean::of_excess`.
    pub excess: f64,
    /// Standard error of `excess`.
    pub error: f64,
}

/// What is selected so far; the same on every rank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Selected {
    /// In the order of the network's layout.
    pub weights: Vec<f32>,
    /// Passes before them.
    pub episode: u32,
    /// Whether they beat holding the drift.
    pub is_believed: bool,
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
    /// What holding the drift earned per day on the learned days.
    holding: DailyMean,
    /// Validation days.
    days: usize,
    /// See `LearnerConfig::selection_level`.
    level: f64,
    /// Standard errors that an excess must have to be believed.
    required: f64,
    selected: Option<Selected>,
}

impl<'a> Selection<'a> {
    /// For a run of so many `validations`; None where the split holds nothing back.
    pub fn new(
        panel: &'a Panel,
        split: &RowSplit,
        ranks: Ranks,
        mut terms: Vec<AgentTerms>,
        config: &LearnerConfig,
        validations: u32,
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
        let days = days(panel, &rows).count();
        let level = config.selection_level;
        let required = required_errors(level, validations, days);
        let learned = split.learned.start..split.learned.end.saturating_sub(2);
        let [held, _] = account_days(panel, &learned, &terms, |_| (&[], 0.0));
        let holding = DailyMean::of(&held);
        Some(Selection {
            panel,
            rows,
            ranks,
            terms,
            holding,
            days,
            level,
            required,
            selected: None,
        })
    }

    /// What is selected so far; None before anything was considered.
    pub fn selected(&self) -> Option<&Selected> {
        self.selected.as_ref()
    }

    /// What is selected in the end.
    pub fn into_selected(self) -> Option<Selected> {
        self.selected
    }

    /// Resumes with what was selected before, in a run of so many `validations`.
    pub fn restore(&mut self, selected: Option<Selected>, validations: u32) {
        self.selected = selected;
        self.required = required_errors(self.level, validations, self.days);
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
        let wanted = self.positions(comm, agents, networks, (episode, true))?;
        let score = comm.is_root().then(|| self.score(&wanted, episode));
        let mut bytes = postcard::to_stdvec(&score)?;
        comm.broadcast_bytes(&mut bytes);
        let score: Option<ValidationScore> = postcard::from_bytes(&bytes)?;
        let found = score.expect("rank 0 sends one");
        let ValidationScore { excess, error, .. } = found;
        tracing::info!(episode, excess, error, "validated");
        self.keep(found, weights);
        Ok(())
    }

    /// On rank 0 the positions `[stock, row]` that a greedy account would want on the validation
    /// days, but for the last two rows, if the values are believed or are not; empty on the others.
    /// Called on every rank.
    pub fn positions(
        &self,
        comm: &dyn Comm,
        agents: Vec<&mut Agent>,
        networks: &Networks,
        (episode, is_believed): (u32, bool),
    ) -> Result<Vec<f32>> {
        let rows: Vec<u32> = self.rows.clone().map(|row| row as u32).collect();
        let mut mine = vec![Vec::new(); agents.len()];
        run_parallel(agents.into_iter().zip(&mut mine).collect(), |(agent, out)| {
            agent.values(networks, self.panel, &rows, out);
        });
        let per_stock = rows.len() * self.terms[0].actions.len();
        let values = self.gather(comm, &mine.concat(), per_stock, episode)?;
        let mut wanted = Vec::new();
        for (terms, (stock, values)) in self.terms.iter().zip(values.chunks(per_stock).enumerate())
        {
            let (_, fillable) = stock_rows(self.panel, &self.rows, stock, terms.return_std);
            let belief = StockBelief { share: f32::from(u8::from(is_believed)), ..terms.belief };
            wanted.extend(greedy_positions(values, &fillable, &AgentTerms { belief, ..*terms }));
        }
        Ok(wanted)
    }

    /// What all ranks have of all stocks, `[stock, ...]`, on rank 0; empty on the others.
    fn gather(
        &self,
        comm: &dyn Comm,
        mine: &[f32],
        per_stock: usize,
        episode: u32,
    ) -> Result<Vec<f32>> {
        let mut all = vec![0.0; if comm.is_root() { per_stock * self.terms.len() } else { 0 }];
        let stamp = MessageStamp { tag: Tag::Values, time: i64::from(episode) };
        comm.gather(stamp, mine, &self.ranks.counts(per_stock), &mut all)?;
        Ok(all)
    }

    fn is_believed(&self, score: &ValidationScore) -> bool {
        score.excess > self.required * score.error
    }

    fn keep(&mut self, found: ValidationScore, weights: &[f32]) {
        let (value, is_believed) = (found.excess - found.error, self.is_believed(&found));
        let selected = self.selected.get_or_insert_with(|| Selected {
            weights: weights.to_vec(),
            episode: found.episode,
            is_believed: false,
            score: 0.0,
            scores: Vec::new(),
        });
        selected.scores.push(found);
        let is_best = is_believed && (value > selected.score || !selected.is_believed);
        if is_best {
            (selected.score, selected.is_believed) = (value, true);
        }
        // Where none are believed so far, the newest are as good as any.
        if is_best || !selected.is_believed {
            selected.weights.copy_from_slice(weights);
            selected.episode = found.episode;
        }
    }

    /// `wanted` are positions on the validation days, `[stock, row]`.
    fn score(&self, wanted: &[f32], episode: u32) -> ValidationScore {
        let rows = self.rows.len();
        let ours = |stock: usize| (&wanted[stock * rows..][..rows], 0.0);
        let [held, ours] = account_days(self.panel, &self.rows, &self.terms, ours);
        let found = DailyMean::of_excess(&ours, &held, self.holding);
        ValidationScore { episode, excess: found.mean, error: found.error }
    }
}

/// Standard errors, estimated from so many `days`, that an excess must have so that values without
/// skill are believed with a probability of at most `level` in a whole run of so many
/// `validations`: Bonferroni's bound.
///
/// A run that is validated once is one of a single pass, in which every bar is new when it is learned from: nothing is learned by heart (Cesa-Bianchi,
/// Conconi and Gentile 2004 on the risk of online learners), and nothing is chosen. Its weights are
/// believed if they are better than holding.
fn required_errors(level: f64, validations: u32, days: usize) -> f64 {
    if validations == 1 {
        return 0.0;
    }
    let z = -normal_quantile(level / f64::from(validations));
    student_quantile(z, (days.max(2) - 1) as f64)
}

/// `[stock]`: the mean return per bar over `rows` that is believed to continue, in units of
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

/// What a run concludes: whether the learned values are believed, and the drift of all of its days.
pub fn belief(
    is_believed: bool,
    panel: &Panel,
    rows: &Range<usize>,
    terms: &[AgentTerms],
) -> Belief {
    let share = if is_believed { 1.0 } else { 0.0 };
    Belief { share, drift: drift(panel, rows, terms) }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn more_validations_ask_for_more() {
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 2e-3, "{found}");
        assert_eq!(required_errors(0.05, 1, 1_000_000), 0.0, "nothing is chosen");
        near(required_errors(0.05, 2, 1_000_000), 1.960);
        near(required_errors(0.05, 20, 1_000_000), 2.807);
        near(required_errors(0.05, 20, 76), 2.892);
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
}
