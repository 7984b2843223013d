//! Permutation importance (Breiman, Random Forests, 2001): which features the decisions for each
//! stock depend on. A feature's values are shuffled among bars of the evaluation, which leaves how
//! often each occurs and takes away what it says about its bar.

use anyhow::Result;
use rand::seq::SliceRandom;

use super::dataset::PreparedData;
use super::peer_view::rows_for;
use crate::comm::{Comm, MessageStamp, Ranks, Tag};
use crate::compute::threads::run_parallel;
use crate::market::panel::Panel;
use crate::math::normal::student_quantile;
use crate::rl::agent::{Agent, AgentTerms, greedy_position};
use crate::rl::device::Device;
use crate::rl::engine::Engine;
use crate::rl::engines::engine;
use crate::rl::network::NetworkShape;
use crate::rl::permuted::PermutedInputs;
use crate::rl::rng::{Purpose, stream};

/// Bars that are looked at, evenly spread; fewer where there are many stocks.
const ROWS: usize = 240;
/// Stretches of these bars whose means tell how sure a figure is.
const BLOCKS: usize = 12;
/// Of the normal distribution, for 95 %.
const QUANTILE: f64 = 1.959_964;

/// How much the decisions for a stock depend on a feature.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureImportance {
    /// Index of the stock.
    pub stock: usize,
    /// The feature's name.
    pub feature: String,
    /// Whether it is that of all the stock's peers, shuffled together, or the stock's own.
    pub of_peers: bool,
    /// Mean absolute change of the value of being long over being short, a return per bar.
    pub moved: BlockMean,
    /// By how much less the wanted positions of an account without one earn, before costs: a return
    /// per bar.
    pub earned: BlockMean,
}

/// A mean over bars.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlockMean {
    /// The mean.
    pub value: f64,
    /// 95 %, by how the means of stretches of time differ; None for too few bars.
    pub interval: Option<[f64; 2]>,
}

/// A trained network, and what is made of its values.
pub(crate) struct MeasuredPolicy<'a> {
    pub(crate) shape: &'a NetworkShape,
    pub(crate) weights: &'a [f32],
    /// `[stock]`.
    pub(crate) terms: &'a [AgentTerms],
    pub(crate) seed: u64,
}

/// On rank 0, in the order of stocks, then of features, each first of the stock and then of its
/// peers; empty on the others. `agents` are those of this rank's stocks. Called on every rank.
pub(crate) fn gather(
    comm: &dyn Comm,
    eval: &PreparedData,
    policy: &MeasuredPolicy<'_>,
    agents: &mut [(usize, &mut Agent)],
) -> Result<Vec<FeatureImportance>> {
    let names = eval.panel.feature_names();
    let stocks = policy.shape.stocks;
    let rows = sampled_rows(eval, stocks);
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let sides = if policy.shape.attends() { 2 } else { 1 };
    let width = sides * names.len() * NUMBERS;
    let engine = engine(policy.shape, policy.weights, Device::Cpu)?;
    let mut mine = vec![Vec::new(); agents.len()];
    let tasks = agents.iter_mut().zip(&mut mine).collect();
    run_parallel(tasks, |((stock, agent), out): (&mut (usize, &mut Agent), &mut Vec<f32>)| {
        let stock = *stock;
        let inputs = agent.inputs(&eval.panel, &rows);
        let returns = returns_after(&eval.panel, stock, &rows);
        *out = of_stock(&*engine, &inputs, (stock, &returns), policy, sides);
    });
    let ranks = Ranks { stocks, size: comm.size() };
    let all = if comm.is_root() { stocks * width } else { 0 };
    let mut by_stock = vec![0.0; all];
    let stamp = MessageStamp { tag: Tag::Importance, time: 0 };
    comm.gather(stamp, &mine.concat(), &ranks.counts(width), &mut by_stock)?;
    let mut found = Vec::new();
    for (stock, numbers) in by_stock.chunks_exact(width.max(1)).enumerate() {
        for (i, numbers) in numbers.chunks_exact(NUMBERS).enumerate() {
            let (feature, side) = (&names[i / sides], i % sides);
            found.push(FeatureImportance {
                stock,
                feature: feature.clone(),
                of_peers: side == 1,
                moved: BlockMean::from_numbers(&numbers[..3]),
                earned: BlockMean::from_numbers(&numbers[3..]),
            });
        }
    }
    Ok(found)
}

/// Bars of the evaluation whose return from the next open to the one after is known.
fn sampled_rows(eval: &PreparedData, stocks: usize) -> Vec<u32> {
    let rows = eval.note.rows.start..eval.note.rows.end.saturating_sub(2);
    let stride = rows.len().div_ceil(rows_for(ROWS, stocks)).max(1);
    rows.step_by(stride).map(|row| row as u32).collect()
}

/// Numbers of a feature in a message: two means, each with both ends of its interval.
const NUMBERS: usize = 6;

/// Simple returns of a stock from the next open to the one after, by row; 0 before its first price.
fn returns_after(panel: &Panel, stock: usize, rows: &[u32]) -> Vec<f64> {
    let of_row = |&row: &u32| {
        let [open, next] = [1, 2].map(|later| panel.view(row as usize + later).bar(stock).open);
        let found = next / open - 1.0;
        if found.is_finite() { found } else { 0.0 }
    };
    rows.iter().map(of_row).collect()
}

/// `[feature, side, number]` of a stock with these returns, by row.
fn of_stock(
    engine: &dyn Engine,
    inputs: &PermutedInputs,
    (stock, returns): (usize, &[f64]),
    policy: &MeasuredPolicy<'_>,
    sides: usize,
) -> Vec<f32> {
    let (terms, rows) = (&policy.terms[stock], returns.len());
    let mut rng = stream(policy.seed, Purpose::Importance, stock);
    let (mut values, mut q) = (Vec::new(), Vec::new());
    let mut outcome = |values: &[f32]| -> Vec<(f64, f64)> {
        let by_row = values.chunks_exact(values.len() / rows).zip(returns);
        let of_row = |(values, earned): (&[f32], &f64)| {
            let difference = f64::from(values[values.len() - 1] - values[0]);
            let position = f64::from(greedy_position(values, 0.0, terms, &mut q));
            (difference * f64::from(terms.return_std), position * earned)
        };
        by_row.map(of_row).collect()
    };
    inputs.values(engine, &mut values);
    let as_it_is = outcome(&values);
    let mut order: Vec<usize> = (0..rows).collect();
    let mut numbers = Vec::new();
    for feature in 0..policy.shape.features {
        for side in 0..sides {
            order.shuffle(&mut rng);
            let slots = inputs.slots(side == 1);
            inputs.permuted_values(engine, slots, feature, &order, &mut values);
            let shuffled = outcome(&values);
            let pairs = || as_it_is.iter().zip(&shuffled);
            let moved: Vec<f64> = pairs().map(|(is, was)| (is.0 - was.0).abs()).collect();
            let lost: Vec<f64> = pairs().map(|(is, was)| is.1 - was.1).collect();
            numbers.extend(BlockMean::of(&moved).to_numbers());
            numbers.extend(BlockMean::of(&lost).to_numbers());
        }
    }
    numbers
}

impl BlockMean {
    /// Of values in the order of time.
    fn of(values: &[f64]) -> BlockMean {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let value = mean(values);
        if values.len() < 2 * BLOCKS {
            return BlockMean { value, interval: None };
        }
        let block = |i: usize| {
            let at = |i: usize| i * values.len() / BLOCKS;
            mean(&values[at(i)..at(i + 1)])
        };
        let blocks: Vec<f64> = (0..BLOCKS).map(block).collect();
        let (centre, count) = (mean(&blocks), BLOCKS as f64);
        let squares: f64 = blocks.iter().map(|block| (block - centre).powi(2)).sum();
        let error = (squares / (count - 1.0) / count).sqrt();
        let reach = student_quantile(QUANTILE, count - 1.0) * error;
        BlockMean { value, interval: Some([value - reach, value + reach]) }
    }

    /// The mean and the ends of its interval, NaN where there is none.
    fn to_numbers(self) -> [f32; 3] {
        let [low, high] = self.interval.unwrap_or([f64::NAN; 2]);
        [self.value, low, high].map(|number| number as f32)
    }

    fn from_numbers(numbers: &[f32]) -> BlockMean {
        let [value, low, high] = [0, 1, 2].map(|i| f64::from(numbers[i]));
        BlockMean { value, interval: (!low.is_nan()).then_some([low, high]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{EnvConfig, NetworkConfig};
    use crate::rl::belief::StockBelief;
    use crate::rl::engine::{MinibatchInputs, NetworkRole, OnValues};

    /// A network that values a position by the second feature of the stock itself.
    struct SecondFeature;

    impl Engine for SecondFeature {
        fn load(&mut self, _: NetworkRole, _: &[f32]) {}

        fn values(&self, slots: &[usize], market: &[f32], out: &mut Vec<f32>) {
            out.clear();
            for row in market.chunks_exact(slots.len() * 3) {
                out.extend([-row[1], 0.0, row[1]]);
            }
        }

        fn attention(&self, _: &[usize], _: &[f32], _: &mut Vec<f32>) {}

        fn learn(&self, _: &[usize], _: &MinibatchInputs<'_>, _: &mut OnValues<'_>, _: &mut [f32]) {
        }
    }

    /// The second feature is 3 before a return of 1 % and -3 before one of -1 %: as it is, every bar
    /// earns 1 %. Where the shuffle brings the other sign, the value of being long over short moves
    /// by 12 units of 0.5 %, and 2 % are lost.
    #[test]
    fn a_feature_that_is_used_is_found_with_what_it_earns() {
        let rows = 48;
        let is_up = |row: usize| row.is_multiple_of(3);
        let sign = |row: usize| if is_up(row) { 1.0 } else { -1.0 };
        let returns: Vec<f64> = (0..rows).map(|row| 0.01 * sign(row)).collect();
        let features: Vec<f32> = (0..rows)
            .flat_map(|row| [row as f32, 3.0 * sign(row) as f32, 1.0, 7.0, row as f32, 2.0])
            .collect();
        let inputs = PermutedInputs::new(vec![0, 1], features, rows);
        let terms = [AgentTerms {
            return_std: 0.005,
            turnover_cost: 0.0,
            actions: EnvConfig::default().action_set(),
            risk_aversion: 0.0,
            belief: StockBelief::IN_NETWORK,
        }];
        let shape = NetworkShape {
            stocks: 1,
            features: 3,
            actions: 3,
            config: NetworkConfig::default(),
            peers: vec![vec![1]],
        };
        let policy = MeasuredPolicy { shape: &shape, weights: &[], terms: &terms, seed: 5 };
        let found = of_stock(&SecondFeature, &inputs, (0, &returns), &policy, 2);
        assert_eq!(found.len(), 3 * 2 * NUMBERS);
        let again = of_stock(&SecondFeature, &inputs, (0, &returns), &policy, 2);
        assert_eq!(found, again);
        // The third shuffle is that of the stock's second feature.
        let mut rng = stream(5, Purpose::Importance, 0);
        let mut order: Vec<usize> = (0..rows).collect();
        (0..3).for_each(|_| order.shuffle(&mut rng));
        let turned = (0..rows).filter(|&row| is_up(row) != is_up(order[row])).count();
        let share = turned as f64 / rows as f64;
        for (i, numbers) in found.chunks_exact(NUMBERS).enumerate() {
            let [moved, earned] = if i == 2 { [0.06 * share, 0.02 * share] } else { [0.0; 2] };
            let near = |found: f32, expected: f64| (f64::from(found) - expected).abs() < 1e-7;
            assert!(near(numbers[0], moved) && near(numbers[3], earned), "{i}: {numbers:?}");
        }
        assert!(share > 0.2, "{share}");
        // A network that nobody believes moves as before, and earns nothing.
        let unbelieved = StockBelief { share: 0.0, drift: 0.0, gamma: 0.9 };
        let terms = [AgentTerms { belief: unbelieved, ..terms[0] }];
        let policy = MeasuredPolicy { terms: &terms, ..policy };
        let without = of_stock(&SecondFeature, &inputs, (0, &returns), &policy, 2);
        assert_eq!(without[2 * NUMBERS], found[2 * NUMBERS]);
        assert_eq!(without[2 * NUMBERS + 3], 0.0);
    }

    /// Twelve stretches of two, with means 1 and 3 in turn: the mean is 2, deviations are 1, so the
    /// error is sqrt(12 / 11 / 12), and Student's quantile for 11 degrees of freedom is 2.201.
    #[test]
    fn the_interval_is_by_the_means_of_stretches() {
        let values: Vec<f64> = (0..24).map(|i| if i / 2 % 2 == 0 { 1.0 } else { 3.0 }).collect();
        let found = BlockMean::of(&values);
        let [low, high] = found.interval.unwrap();
        let reach = 2.201 / 11f64.sqrt();
        assert_eq!(found.value, 2.0);
        assert!((low - (2.0 - reach)).abs() < 1e-3 && (high - (2.0 + reach)).abs() < 1e-3);
        assert_eq!(BlockMean::of(&values[..23]).interval, None);
        let kept = BlockMean::from_numbers(&found.to_numbers());
        assert!((kept.value - 2.0).abs() < 1e-6 && kept.interval.is_some());
        let none = BlockMean { value: 1.0, interval: None };
        assert_eq!(BlockMean::from_numbers(&none.to_numbers()), none);
    }
}
