//! Expert weights of all kinds: for all stocks in common, and for each stock by itself.

use serde::{Deserialize, Serialize};

use crate::math::fixed_share::{FixedShare, FixedSharePrior};

/// Chance per period that it is now the other kind of weights, common or a stock's own, that is
/// right.
pub(super) const KIND_RATE: f64 = 1e-3;

/// Expert weights of all kinds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Shares {
    /// For all stocks.
    pub(super) common: FixedShare,
    /// `[stock]`.
    pub(super) own: Vec<FixedShare>,
    /// Of the common weights, and of the own ones.
    pub(super) kinds: FixedShare,
}

/// Nothing speaks for either kind of weights.
pub(super) fn kinds_prior() -> FixedSharePrior {
    FixedSharePrior { prior: vec![0.5; 2], share_rates: vec![KIND_RATE] }
}

impl Shares {
    pub(super) fn new(stocks: usize, belief: &FixedSharePrior) -> Shares {
        let share = FixedShare::new(belief);
        let own = vec![share.clone(); stocks];
        Shares { common: share, own, kinds: FixedShare::new(&kinds_prior()) }
    }

    /// `[stock, expert]`: the mean over both kinds, each of the experts that are awake. `asleep`
    /// `[stock, expert]`.
    pub(super) fn weights(&self, asleep: &[bool]) -> Vec<f64> {
        let kinds = self.kinds.weights();
        let experts = self.common.weights().len();
        let of_stock = |(own, asleep): (&FixedShare, &[bool])| {
            let [common, own] = [&self.common, own].map(|share| of_awake(share.weights(), asleep));
            let both = common.into_iter().zip(own);
            both.map(|(common, own)| kinds[0] * common + kinds[1] * own).collect::<Vec<_>>()
        };
        self.own.iter().zip(asleep.chunks_exact(experts)).flat_map(of_stock).collect()
    }
}

/// `[expert]`: the weights of those that are awake, scaled so that they add up to 1 without the
/// others.
fn of_awake(weights: &[f64], asleep: &[bool]) -> Vec<f64> {
    if !asleep.contains(&true) {
        return weights.to_vec();
    }
    let awake = weights.iter().zip(asleep).map(|(&w, &asleep)| if asleep { 0.0 } else { w });
    let awake: Vec<f64> = awake.collect();
    let sum: f64 = awake.iter().sum();
    awake.into_iter().map(|weight| weight / sum).collect()
}

/// Mean of `values` `[expert]` by these weights, over those that are awake.
pub(super) fn mean_of_awake(weights: &[f64], values: &[f64], asleep: &[bool]) -> f64 {
    let awake = of_awake(weights, asleep);
    awake.iter().zip(values).map(|(weight, value)| weight * value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weights of 1/2, 1/4, 1/4; without the first the others have a half each.
    #[test]
    fn who_sleeps_leaves_its_weight_to_the_others() {
        let weights = [0.5, 0.25, 0.25];
        let (first, nobody) = ([true, false, false], [false; 3]);
        assert_eq!(of_awake(&weights, &first), [0.0, 0.5, 0.5]);
        assert_eq!(mean_of_awake(&weights, &[9.0, 1.0, 3.0], &first), 2.0);
        assert_eq!(mean_of_awake(&weights, &[8.0, 1.0, 3.0], &nobody), 5.0);
    }
}
