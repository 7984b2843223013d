//! A double-DQN agent for one stock: values of positions, and the gradient of a minibatch.

use super::belief::StockBelief;
use super::engine::{Engine, MinibatchInputs, MinibatchValues};
use super::network::NetworkShape;
use super::networks::Networks;
use super::permuted::PermutedInputs;
use super::replay::Sample;
use super::td::{TdOutcome, ValueTerms, WindowBatch, argmax, td_outcome};
use crate::config::LearnerConfig;
use crate::interface::ActionSet;
use crate::market::panel::Panel;

/// Rewards are in units of a stock's one-bar standard deviation, so errors of a few units are
/// usual.
const HUBER_DELTA: f32 = 5.0;

/// What an agent knows of its stock and costs.
#[derive(Clone, Copy, Debug)]
pub struct AgentTerms {
    /// Standard deviation of the stock's simple return over a bar: the unit of values.
    pub return_std: f32,
    /// Cost of trading the whole account once, as a fraction of it.
    pub turnover_cost: f64,
    /// The position of each action.
    pub actions: ActionSet,
    /// Charged per unit of variance, half of it; 0: none. The objective is then mean less that, as
    /// for an account whose log growth counts with 1.
    pub risk_aversion: f64,
    /// How far the learned values are believed.
    pub belief: StockBelief,
}

impl AgentTerms {
    /// Cost of trading the whole account once, in the unit of values.
    pub fn cost(&self) -> f32 {
        (self.turnover_cost / f64::from(self.return_std)) as f32
    }

    /// What a whole position is charged per bar for its variance, in the unit of values.
    pub fn risk(&self) -> f32 {
        (0.5 * self.risk_aversion * f64::from(self.return_std)) as f32
    }
}

/// The DQN of one stock: its inputs from a panel, and its loss.
pub struct Agent {
    /// The stock itself, then its peers: the stocks whose features are inputs.
    slots: Vec<usize>,
    attends: bool,
    terms: AgentTerms,
    values: ValueTerms,
    double: bool,
    /// Bars per window.
    bars: usize,
    /// Reused buffers.
    features: Vec<f32>,
    rows: Vec<u32>,
    returns: Vec<f32>,
    fillable: Vec<bool>,
}

impl Agent {
    /// `bars`: length of a window.
    pub fn new(
        stock: usize,
        shape: &NetworkShape,
        terms: AgentTerms,
        bars: usize,
        config: &LearnerConfig,
    ) -> Agent {
        Agent {
            slots: shape.slots_of(stock),
            attends: shape.attends(),
            terms,
            values: ValueTerms {
                gamma: config.gamma as f32,
                lambda: config.lambda as f32,
                cost: terms.cost(),
                risk: terms.risk(),
                relative: config.relative_values,
            },
            double: config.double,
            bars,
            features: Vec::new(),
            rows: Vec::new(),
            returns: Vec::new(),
            fillable: Vec::new(),
        }
    }

    /// The stock itself, then its peers.
    pub fn slots(&self) -> &[usize] {
        &self.slots
    }

    /// Unit, costs and positions, as in training.
    pub fn terms(&self) -> AgentTerms {
        self.terms
    }

    /// Values of all positions after the decision, `[row, action]`, into `values`.
    pub fn values(
        &mut self,
        networks: &Networks,
        panel: &Panel,
        rows: &[u32],
        values: &mut Vec<f32>,
    ) {
        panel.gather_features(rows, &self.slots, &mut self.features);
        networks.engine().values(&self.slots, &self.features, values);
    }

    /// The inputs of the decisions at these rows.
    pub(crate) fn inputs(&mut self, panel: &Panel, rows: &[u32]) -> PermutedInputs {
        panel.gather_features(rows, &self.slots, &mut self.features);
        PermutedInputs::new(self.slots.clone(), self.features.clone(), rows.len())
    }

    /// This stock's attention to each peer, as the mean over heads and `rows`; None without peers
    /// or attention.
    pub(crate) fn attention(
        &mut self,
        engine: &dyn Engine,
        panel: &Panel,
        rows: &[u32],
    ) -> Option<Vec<f32>> {
        if !self.attends {
            return None;
        }
        panel.gather_features(rows, &self.slots, &mut self.features);
        let mut weights = Vec::new();
        engine.attention(&self.slots, &self.features, &mut weights);
        let mut mean = vec![0.0; self.slots.len() - 1];
        for row in weights.chunks_exact(mean.len()) {
            mean.iter_mut().zip(row).for_each(|(mean, &weight)| *mean += f64::from(weight));
        }
        Some(mean.iter().map(|sum| (sum / rows.len() as f64) as f32).collect())
    }

    /// The influence of each peer on the decision, in units of `return_std`: the mean absolute
    /// change over `rows` of the last action's value minus the first one's (long minus short), when
    /// the peer's features are set to their mean. None without peers or attention.
    pub fn influence(
        &mut self,
        engine: &dyn Engine,
        panel: &Panel,
        rows: &[u32],
    ) -> Option<Vec<f32>> {
        if !self.attends {
            return None;
        }
        panel.gather_features(rows, &self.slots, &mut self.features);
        let mut values = Vec::new();
        let mut differences = |features: &[f32]| -> Vec<f32> {
            engine.values(&self.slots, features, &mut values);
            let actions = values.len() / rows.len();
            values.chunks_exact(actions).map(|of_row| of_row[actions - 1] - of_row[0]).collect()
        };
        let as_it_is = differences(&self.features);
        let (slots, features) = (self.slots.len(), self.features.len() / rows.len());
        let width = features / slots;
        let without = |slot: usize| {
            let mut changed = self.features.clone();
            // Features are scaled: 0 is the mean of the training period.
            for row in changed.chunks_exact_mut(features) {
                row[slot * width..][..width].fill(0.0);
            }
            let moved = differences(&changed);
            let moved = moved.iter().zip(&as_it_is).map(|(x, y)| f64::from((x - y).abs()));
            (moved.sum::<f64>() / rows.len() as f64) as f32
        };
        Some((1..slots).map(without).collect())
    }

    /// Writes the gradient of a minibatch's loss to `gradient`, in the order of the flat weights.
    /// `taken`: the action at each bar of the sampled windows, `[window, bar]`, if only that is to
    /// be learned from.
    pub fn learn(
        &mut self,
        networks: &Networks,
        panel: &Panel,
        sample: &Sample,
        taken: Option<&[u8]>,
        outcome: &mut TdOutcome,
        gradient: &mut [f32],
    ) {
        self.gather(panel, &sample.starts);
        panel.gather_features(&self.rows, &self.slots, &mut self.features);
        let learned = sample.starts.len() * self.bars;
        let seen = MinibatchInputs { market: &self.features, learned };
        let mut on_values = |values: &MinibatchValues, slopes: &mut Vec<f32>| {
            let MinibatchValues { online, target } = values;
            let batch = WindowBatch {
                bars: self.bars,
                positions: self.terms.actions.positions(),
                online,
                selector: if self.double { online } else { target },
                target,
                returns: &self.returns,
                fillable: &self.fillable,
                taken,
                weights: &sample.weights,
                terms: self.values,
            };
            td_outcome(&batch, HUBER_DELTA, outcome);
            slopes.clone_from(&outcome.gradient);
        };
        networks.engine().learn(&self.slots, &seen, &mut on_values, gradient);
    }

    /// Rows, returns and fills of the windows that begin at `starts`, in the order of
    /// [`WindowBatch`].
    fn gather(&mut self, panel: &Panel, starts: &[u32]) {
        let (bars, stock) = (self.bars as u32, self.slots[0]);
        self.rows.clear();
        self.rows.extend(starts.iter().flat_map(|&start| start..start + bars));
        self.returns.clear();
        for &row in &self.rows {
            let [open, next] =
                [1, 2].map(|later| panel.view((row + later) as usize).bar(stock).open);
            let found = ((next / open - 1.0) / f64::from(self.terms.return_std)) as f32;
            // Before its first price a stock returns nothing.
            self.returns.push(if found.is_finite() { found } else { 0.0 });
        }
        self.rows.extend(starts.iter().map(|&start| start + bars));
        let fillable = |&row: &u32| panel.view(row as usize + 1).bar(stock).tradable;
        self.fillable.clear();
        self.fillable.extend(self.rows.iter().map(fillable));
    }
}

/// Q-values of an account that holds `held`, from the learned `values` of the positions after the
/// decision: as far as they are believed, and less what it costs to get there.
pub fn q_values(values: &[f32], held: f32, terms: &AgentTerms, q: &mut Vec<f32>) {
    let (cost, risk, share) = (terms.cost(), terms.risk(), terms.belief.share);
    let of_position = |(value, &position): (&f32, &f32)| {
        let prior = (1.0 - share) * terms.belief.prior(position, cost, risk);
        share * value + prior - cost * (position - held).abs()
    };
    q.extend(values.iter().zip(terms.actions.positions()).map(of_position));
}

/// The position that an account wants next that holds `held`; `q` is a buffer.
pub(crate) fn greedy_position(
    values: &[f32],
    held: f32,
    terms: &AgentTerms,
    q: &mut Vec<f32>,
) -> f32 {
    q.clear();
    q_values(values, held, terms, q);
    terms.actions.positions()[argmax(q)]
}
