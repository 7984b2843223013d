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

    /// `[stock, expert]`: the mean over both kinds.
    pub(super) fn weights(&self) -> Vec<f64> {
        let [of_common, of_own] = [0, 1].map(|kind| self.kinds.weights()[kind]);
        let of_stock = |own: &FixedShare| {
            let both = self.common.weights().iter().zip(own.weights());
            both.map(|(common, own)| of_common * common + of_own * own).collect::<Vec<_>>()
        };
        self.own.iter().flat_map(of_stock).collect()
    }
}
