//! Expert weights over past data, before any trading.

use std::ops::Range;

use super::{Book, CapitalPlan, DqnProposal, FixedShare, MetaPolicy, Shares};
use crate::market::panel::Panel;
use crate::math::fixed_share::FixedSharePrior;

/// Weights of the experts: for all stocks in common, and for every stock by itself. Rules were
/// fitted to nothing, so all of the past counts for them; of the DQN only what it earned on days
/// that it did not learn from.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpertWeights {
    shape: [usize; 3],
    /// `[all and each stock, share rate, expert]`; they add up to 1 for all and for each stock. In
    /// f32, as in a model file.
    joint: Vec<f32>,
    /// Weight of the common ones; that of the own ones is the rest.
    common: f32,
}

impl ExpertWeights {
    /// None if the length of `joint` does not match `shape`.
    pub(crate) fn from_parts(
        shape: [usize; 3],
        joint: Vec<f32>,
        common: f32,
    ) -> Option<ExpertWeights> {
        let is_whole = joint.len() == shape.iter().product::<usize>();
        is_whole.then_some(ExpertWeights { shape, joint, common })
    }

    /// `[1 + stocks, share rates, experts]`.
    pub(crate) fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// All weights, `[all and each stock, share rate, expert]`.
    pub(crate) fn numbers(&self) -> &[f32] {
        &self.joint
    }

    /// Weight of the common ones.
    pub(crate) fn common(&self) -> f32 {
        self.common
    }

    /// As if the experts had begun with the priors `new` instead of `old`, both `[expert]`: exact
    /// but for what was shared since.
    pub(crate) fn with_priors(&self, old: &[f64], new: &[f64]) -> ExpertWeights {
        let [_, rates, experts] = self.shape;
        let factor = |i: usize| new[i % experts] / old[i % experts];
        let mut joint: Vec<f64> =
            self.joint.iter().enumerate().map(|(i, &x)| f64::from(x) * factor(i)).collect();
        for of_stock in joint.chunks_exact_mut(rates * experts) {
            let sum: f64 = of_stock.iter().sum();
            of_stock.iter_mut().for_each(|weight| *weight /= sum);
        }
        ExpertWeights { joint: joint.into_iter().map(|x| x as f32).collect(), ..*self }
    }

    /// With the weight `after` for the last expert, of which nothing is known but its prior `before`.
    fn with_newcomer_at(&self, before: f64, after: f64) -> ExpertWeights {
        let [.., experts] = self.shape;
        let factor = |i: usize| match i % experts + 1 == experts {
            true => after / before,
            false if before < 1.0 => (1.0 - after) / (1.0 - before),
            false => 1.0,
        };
        let joint = self.joint.iter().enumerate().map(|(i, &x)| (f64::from(x) * factor(i)) as f32);
        ExpertWeights { joint: joint.collect(), ..*self }
    }

    pub(super) fn shares(&self, experts: usize) -> Shares {
        let [_, rates, _] = self.shape;
        let joints = self.joint.chunks_exact(rates * experts);
        let mut shares = joints.map(|joint| {
            FixedShare::from_joint(joint.iter().map(|&x| f64::from(x)).collect(), experts)
        });
        let common = shares.next().expect("all stocks come first");
        let own = shares.collect();
        let of_common = f64::from(self.common);
        let kinds = FixedShare::from_joint(vec![of_common, 1.0 - of_common], 2);
        Shares { common, own, kinds }
    }

    fn from_shares(shares: &Shares, [rates, experts]: [usize; 2]) -> ExpertWeights {
        let all = std::iter::once(&shares.common).chain(&shares.own);
        let joint = all.flat_map(|share| share.joint().iter().map(|&weight| weight as f32));
        let common = shares.kinds.weights()[0] as f32;
        ExpertWeights {
            shape: [1 + shares.own.len(), rates, experts],
            joint: joint.collect(),
            common,
        }
    }
}

impl MetaPolicy {
    /// Whether `weights` are of the same stocks, share rates and experts.
    pub(crate) fn fits(&self, weights: &ExpertWeights) -> bool {
        weights.shape() == [1 + self.stocks, self.belief.share_rates.len(), self.names.len()]
    }

    /// Weights just before each of the rows `starts`, in ascending order, learned from the row
    /// `first` on; the DQN, of which nothing is known, has its prior.
    pub(crate) fn expert_weights(
        &self,
        panel: &Panel,
        first: usize,
        starts: &[usize],
        plan: &CapitalPlan,
    ) -> Vec<ExpertWeights> {
        let rules = self.names.len() - 1;
        let sizes = [self.belief.share_rates.len(), rules + 1];
        if rules == 0 {
            let alone = Shares::new(self.stocks, &self.belief);
            return vec![ExpertWeights::from_shares(&alone, sizes); starts.len()];
        }
        let mut prior = self.belief.prior.clone();
        prior[rules] = 0.0;
        let sum: f64 = prior.iter().sum();
        prior.iter_mut().for_each(|weight| *weight /= sum);
        let belief = FixedSharePrior { prior, share_rates: self.belief.share_rates.clone() };
        let mut book = self.begin(Shares::new(self.stocks, &belief));
        let joined = |share: &FixedShare| {
            let of_rate = share.joint().chunks_exact(rules + 1);
            let known: Vec<f64> = of_rate.flat_map(|row| row[..rules].iter().copied()).collect();
            FixedShare::joined_by_one(&known, &self.belief)
        };
        let mut start_weights = Vec::with_capacity(starts.len());
        let mut next = first;
        for &start in starts {
            self.trade(&belief, &mut book, panel, next..start, plan, |_, _| 0.0);
            next = next.max(start);
            let Shares { common, own, kinds } = &book.shares;
            let own = own.iter().map(joined).collect();
            let shares = Shares { common: joined(common), own, kinds: kinds.clone() };
            start_weights.push(ExpertWeights::from_shares(&shares, sizes));
        }
        start_weights
    }

    /// Weights just after `rows`, from those just `before`, at which nothing is known of the DQN. It
    /// is believed or not, and wanted the position `dqn(row, stock)`.
    pub(crate) fn weights_after(
        &self,
        before: &ExpertWeights,
        is_believed: bool,
        panel: &Panel,
        rows: Range<usize>,
        plan: &CapitalPlan,
        dqn: impl Fn(usize, usize) -> f64,
    ) -> ExpertWeights {
        let belief = if is_believed { self.belief.clone() } else { self.unbelieved() };
        let last = |belief: &FixedSharePrior| belief.prior[self.names.len() - 1];
        let before = before.with_newcomer_at(last(&self.belief), last(&belief));
        let mut book = self.book(Some(&before));
        self.trade(&belief, &mut book, panel, rows, plan, dqn);
        ExpertWeights::from_shares(&book.shares, [self.belief.share_rates.len(), self.names.len()])
    }

    fn trade(
        &self,
        belief: &FixedSharePrior,
        book: &mut Book,
        panel: &Panel,
        rows: Range<usize>,
        plan: &CapitalPlan,
        dqn: impl Fn(usize, usize) -> f64,
    ) {
        for row in rows {
            let view = panel.view(row);
            self.observe_under(belief, book, &view, plan.at(&view));
            for stock in 0..self.stocks {
                let wanted = DqnProposal::plain((dqn(row, stock), 0.0));
                self.choose(book, &view, stock, wanted);
            }
        }
    }
}
