//! The bound on the regret of the weights, and what came of it in the account that is traded.

use serde::{Deserialize, Serialize};

use super::{Book, KIND_RATE, MetaPolicy};

/// How the bets of a book grew since its start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct BetRecord {
    /// `[expert]`: log growth of the bet on each expert in all stocks; empty before the first period.
    experts: Vec<f64>,
    /// Of the account.
    account: f64,
    /// Simple return of the account in the present period.
    gain: f64,
    periods: u32,
    /// Sum over periods of the standard deviation of an account with all capital held long.
    deviations: f64,
}

/// The account beside its best expert in hindsight, over the whole periods of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Regret {
    /// The expert whose bet in all stocks grew most.
    pub best_expert: String,
    /// How much more that expert earned than the account, as a fraction of the equity.
    pub regret: f64,
    /// The most that it can be, by the weights at the start, whatever prices do.
    pub bound: f64,
    /// Periods of the meta-policy, days by default.
    pub periods: u32,
}

impl BetRecord {
    /// Takes in the simple return of the account over a bar.
    pub(super) fn earn(&mut self, gain: f64) {
        self.gain += gain;
    }

    /// Ends a period: growth of the bet on each expert in all stocks, and `growth(deviations)` that
    /// of a bet on an account. `std` is the standard deviation of the period's return with all
    /// capital held long; unknown, nothing was bet.
    pub(super) fn settle(
        &mut self,
        experts: &[f64],
        std: Option<f64>,
        growth: impl Fn(f64) -> f64,
    ) {
        let gain = std::mem::take(&mut self.gain);
        self.experts.resize(experts.len(), 0.0);
        self.periods += 1;
        let Some(std) = std else { return };
        self.experts.iter_mut().zip(experts).for_each(|(sum, growth)| *sum += growth.ln());
        self.account += growth(gain / std).ln();
        self.deviations += std;
    }
}

impl MetaPolicy {
    /// The regret of an account whose book was `start` at first; None before its first period is
    /// over.
    ///
    /// A bet is what the weights are about: it grows by 1 + eta x in a period in which x standard
    /// deviations are earned. The weights' mixture of bets has at least the part of the bet on one
    /// expert that had its weight at the start and never lost any of it to others (see
    /// `FixedSharePrior::regret_bound`), in the weights for all stocks in common. Log growth over
    /// eta is in standard deviations, which are made fractions of the equity by their mean.
    pub(crate) fn regret(&self, start: &Book, book: &Book) -> Option<Regret> {
        let bets = &book.bets;
        let by_growth = |a: &(usize, &f64), b: &(usize, &f64)| a.1.total_cmp(b.1);
        let (best, growth) = bets.experts.iter().enumerate().max_by(by_growth)?;
        let stays = f64::from(bets.periods.saturating_sub(1));
        let experts = self.names.len();
        let rows = start.shares.common.joint().chunks_exact(experts);
        let stayed = |(row, rate): (&[f64], &f64)| row[best] * (1.0 - rate).powf(stays);
        let kept: f64 = rows.zip(&self.belief.share_rates).map(stayed).sum();
        let of_kind = start.shares.kinds.weights()[0] * (1.0 - KIND_RATE).powf(stays);
        let unit = bets.deviations / f64::from(bets.periods) / self.config.learning_rate;
        Some(Regret {
            best_expert: self.names[best].clone(),
            regret: unit * (growth - bets.account),
            bound: -unit * (kept * of_kind).ln(),
            periods: bets.periods,
        })
    }
}
