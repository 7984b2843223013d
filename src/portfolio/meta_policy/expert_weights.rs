//! Expert weights of the rules over past data, before any trading.

use super::{CapitalPlan, DqnProposal, MetaPolicy};
use crate::market::panel::Panel;
use crate::math::fixed_share::FixedSharePrior;

/// Weights of the rules without the DQN: its profit on its own training data says little, while the
/// rules were not fitted.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpertWeights {
    stocks: usize,
    rates: usize,
    /// `[stock, share rate, rule]`; they add up to 1 per stock. In f32, as in a model file.
    joint: Vec<f32>,
}

impl ExpertWeights {
    /// None if the length of `joint` does not match `shape`.
    pub(crate) fn from_parts(shape: [usize; 3], joint: Vec<f32>) -> Option<ExpertWeights> {
        let [stocks, rates, rules] = shape;
        let all = joint.len() == stocks * rates * rules;
        all.then_some(ExpertWeights { stocks, rates, joint })
    }

    /// `[stock, share rate, rule]`.
    pub(crate) fn shape(&self) -> [usize; 3] {
        let rules = self.joint.len() / (self.stocks * self.rates).max(1);
        [self.stocks, self.rates, rules]
    }

    /// All weights, `[stock, share rate, rule]`.
    pub(crate) fn numbers(&self) -> &[f32] {
        &self.joint
    }

    /// `[share rate, rule]` of one stock.
    pub(super) fn joint(&self, stock: usize) -> Vec<f64> {
        let per_stock = self.joint.len() / self.stocks;
        self.joint[stock * per_stock..][..per_stock].iter().map(|&x| f64::from(x)).collect()
    }
}

impl MetaPolicy {
    /// Whether `expert_weights` has the same stocks, share rates and rules.
    pub(crate) fn fits(&self, expert_weights: &ExpertWeights) -> bool {
        let (stocks, rules) = (self.correlation.len(), self.names.len() - 1);
        expert_weights.shape() == [stocks, self.belief.share_rates.len(), rules]
    }

    /// Expert weights just before each of the rows `starts`, in ascending order, learned from the
    /// row `first` on.
    pub(crate) fn expert_weights(
        &self,
        panel: &Panel,
        first: usize,
        starts: &[usize],
        plan: &CapitalPlan,
    ) -> Vec<ExpertWeights> {
        let (stocks, rules) = (self.correlation.len(), self.names.len() - 1);
        let mut prior = self.belief.prior.clone();
        if rules == 0 {
            return vec![ExpertWeights { stocks, rates: 0, joint: Vec::new() }; starts.len()];
        }
        prior[rules] = 0.0;
        let sum: f64 = prior.iter().sum();
        prior.iter_mut().for_each(|weight| *weight /= sum);
        let belief = FixedSharePrior { prior, share_rates: self.belief.share_rates.clone() };
        let mut book = self.begin(vec![super::FixedShare::new(&belief); stocks]);
        let mut start_weights = Vec::with_capacity(starts.len());
        let mut next = first;
        for &start in starts {
            for row in next..start {
                let view = panel.view(row);
                self.observe_under(&belief, &mut book, &view, plan.at(&view));
                for stock in 0..stocks {
                    self.choose(&mut book, &view, stock, DqnProposal::plain((0, 0.0)));
                }
            }
            next = next.max(start);
            let joint = book.shares.iter().flat_map(|share| {
                let of_rate = share.joint().chunks_exact(rules + 1);
                of_rate.flat_map(|row| row[..rules].iter().map(|&weight| weight as f32))
            });
            let rates = belief.share_rates.len();
            start_weights.push(ExpertWeights { stocks, rates, joint: joint.collect() });
        }
        start_weights
    }
}
