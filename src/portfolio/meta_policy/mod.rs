//! The meta-policy: who trades which stock, with how much capital. Each stock has an expert, one of
//! the rules or the DQN, selected by past performance; capital is allocated by equal risk
//! contributions.
//!
//! Prices do not react to our orders, so at every close the profit of each expert in a stock is
//! known, whoever traded it: `ConstantNotional` keeps that account. After every period the
//! profits update the weights of `FixedShare`, which hold until the next. The expert with the
//! largest weight trades the whole stock, since an account is either in a stock or out of it: a
//! weighted mean would be rounded to flat whenever two good experts differ.
//!
//! In an evaluation the DQN's forecast may be combined with another one, see `ForecastCombiner`.

mod capital;
mod constant_notional;
mod decaying_covariance;
mod equal_risk;
mod expert_weights;
mod forecast_combination;
mod rule_directions;

use serde::{Deserialize, Serialize};

use super::mandate::Mandate;
use super::risk::PositionOrder;
use crate::config::MetaPolicyConfig;
use crate::env::costs::Costs;
use crate::market::calendar::new_york_date;
use crate::market::panel::{MarketView, Panel};
use crate::math::fixed_share::{FixedShare, FixedSharePrior};
use crate::strategy::StrategyError;
pub(crate) use capital::{Capital, CapitalPlan};
use constant_notional::ConstantNotional;
use equal_risk::EqualRisk;
pub use expert_weights::ExpertWeights;
pub(crate) use forecast_combination::ActionValues;
use forecast_combination::{CombinationState, ForecastCombiner};
use rule_directions::RuleDirections;
pub(crate) use rule_directions::{registry, rule_names};

/// Name of the expert next to the rules.
pub(crate) const DQN: &str = "DQN";

/// Profits are clipped at this many standard deviations of a period.
const MAX_DEVIATIONS: f64 = 3.0;
/// Another expert takes over once its weight exceeds this multiple of the current one's. Switching
/// costs a trade, and two experts that are about equally good would otherwise take turns every
/// other day.
const SWITCH_RATIO: f64 = 2.0;

/// Desired position of the DQN in a stock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct DqnProposal {
    /// -1, 0 or 1; may be random, for exploration.
    pub(crate) direction: i8,
    pub(crate) conviction: f32,
    /// The direction without exploration; the DQN's performance is measured by it.
    pub(crate) greedy: i8,
    /// None in training, where the DQN explores and its values change.
    pub(crate) values: Option<ActionValues>,
}

impl DqnProposal {
    /// Desired position of a policy that does not explore.
    pub(crate) fn plain((direction, conviction): (i8, f32)) -> DqnProposal {
        DqnProposal { direction, conviction, greedy: direction, values: None }
    }
}

/// State of the meta-policy for one account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Book {
    /// `[stock]`: expert weights.
    shares: Vec<FixedShare>,
    /// `[stock, expert]`.
    accounts: Vec<ConstantNotional>,
    /// `[stock]`: signed fractions of equity that were approved last.
    approved: Vec<f64>,
    /// `[stock]`: the expert that trades.
    leaders: Vec<usize>,
    /// `[stock]`; empty without a second opinion.
    combinations: Vec<CombinationState>,
    /// Bars so far in the current period.
    bars: usize,
    date: Option<chrono::NaiveDate>,
}

/// Fixed-share weights over the rules and the DQN, separately for each stock.
pub(crate) struct MetaPolicy {
    config: MetaPolicyConfig,
    belief: FixedSharePrior,
    names: Vec<String>,
    rule_directions: RuleDirections,
    second_opinion: Option<ForecastCombiner>,
    /// Cost of trading all of an account once, as a fraction of it.
    cost: f64,
    /// `[stock][stock]` over the training period; 0 if unknown.
    correlation: Vec<Vec<f64>>,
}

impl MetaPolicy {
    /// For accounts on `panel`; None if switched off. `correlation` is that of the training period.
    /// An unknown or failing strategy is an error.
    pub(crate) fn new(
        mandate: &Mandate,
        panel: &Panel,
        correlation: &[Vec<Option<f64>>],
    ) -> Result<Option<MetaPolicy>, StrategyError> {
        let (stocks, meta) = (mandate.stocks.len(), &mandate.portfolio.meta_policy);
        if !meta.enabled {
            return Ok(None);
        }
        let mut names = rule_names(meta, stocks)?;
        let rules = names.len();
        names.push(DQN.into());
        let mut prior = vec![(1.0 - meta.dqn_prior) / rules as f64; rules];
        prior.push(if rules == 0 { 1.0 } else { meta.dqn_prior });
        let known = |row: &Vec<Option<f64>>| row.iter().map(|c| c.unwrap_or(0.0)).collect();
        Ok(Some(MetaPolicy {
            belief: FixedSharePrior { prior, share_rates: meta.share_rates.clone() },
            names,
            rule_directions: RuleDirections::new(panel, stocks, meta, mandate.env.long_only)?,
            second_opinion: None,
            cost: Costs::new(&mandate.env).turnover_cost(),
            correlation: correlation.iter().map(known).collect(),
            config: meta.clone(),
        }))
    }

    /// For an evaluation, in which the DQN passes its values.
    pub(crate) fn with_forecast_combiner(self, panel: &Panel) -> MetaPolicy {
        let (stocks, prior) = (self.correlation.len(), self.config.second_opinion);
        let second_opinion = (prior > 0.0).then(|| ForecastCombiner::new(panel, stocks, prior));
        MetaPolicy { second_opinion, ..self }
    }

    /// The experts, in the order of their weights.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Book of an account at its start. Nothing is known of the DQN yet; `expert_weights` has what
    /// is known of the rules.
    pub(crate) fn book(&self, expert_weights: Option<&ExpertWeights>) -> Book {
        let stocks = self.correlation.len();
        let expert_weights = expert_weights.filter(|_| self.names.len() > 1);
        let share = |stock: usize| match expert_weights {
            Some(expert_weights) => {
                FixedShare::joined_by_one(&expert_weights.joint(stock), &self.belief)
            }
            None => FixedShare::new(&self.belief),
        };
        self.begin((0..stocks).map(share).collect())
    }

    fn begin(&self, shares: Vec<FixedShare>) -> Book {
        let stocks = shares.len();
        let combinations = self.second_opinion.iter();
        let combinations = combinations.flat_map(|opinion| vec![opinion.new_state(); stocks]);
        Book {
            combinations: combinations.collect(),
            leaders: shares.iter().map(|share| largest(share.weights())).collect(),
            shares,
            accounts: vec![ConstantNotional::default(); stocks * self.names.len()],
            approved: vec![0.0; stocks],
            bars: 0,
            date: None,
        }
    }

    /// Takes in the bar that has just closed, and the risk from that bar on.
    pub(crate) fn observe(&self, book: &mut Book, view: &MarketView<'_>, risk: Capital<'_>) {
        self.observe_under(&self.belief, book, view, risk);
    }

    fn observe_under(
        &self,
        belief: &FixedSharePrior,
        book: &mut Book,
        view: &MarketView<'_>,
        risk: Capital<'_>,
    ) {
        let date = new_york_date(view.end_s());
        let is_over = match self.config.period_bars {
            Some(bars) => book.bars >= bars,
            None => book.date.is_some_and(|last| last != date),
        };
        if is_over {
            self.settle(belief, book, risk);
        }
        book.date = Some(date);
        book.bars += 1;
        let before = view.back(1);
        for (stock, accounts) in book.accounts.chunks_exact_mut(self.names.len()).enumerate() {
            let bar = view.bar(stock);
            let last_close = before.as_ref().map_or(f64::NAN, |view| view.bar(stock).close);
            let exposure = self.correlated_exposure(&book.approved, stock);
            let aversion = self.config.exposure_aversion * risk.bar_std(stock).unwrap_or(0.0);
            for account in accounts {
                account.close(last_close, &bar, self.cost);
                account.charge(aversion * (f64::from(account.held()) * exposure).max(0.0));
            }
        }
    }

    /// Correlation-weighted position in the other stocks: between -1 and 1 if no more than the
    /// equity is held.
    fn correlated_exposure(&self, approved: &[f64], stock: usize) -> f64 {
        let row = self.correlation[stock].iter().zip(approved).enumerate();
        row.filter(|(other, _)| *other != stock).map(|(_, (c, held))| c * held).sum()
    }

    /// Ends a period: its profits update the weights.
    fn settle(&self, belief: &FixedSharePrior, book: &mut Book, risk: Capital<'_>) {
        let root = (book.bars as f64).sqrt();
        book.bars = 0;
        let accounts = book.accounts.chunks_exact_mut(self.names.len());
        let mut growth = Vec::with_capacity(self.names.len());
        for (stock, (accounts, share)) in accounts.zip(&mut book.shares).enumerate() {
            growth.clear();
            let scores = accounts.iter_mut().map(|a| a.settle(self.config.drawdown_aversion));
            let Some(std) = risk.bar_std(stock) else {
                // No volatility to scale profits by yet.
                scores.for_each(drop);
                continue;
            };
            let deviations = scores.map(|score| score / (std * root));
            growth.extend(deviations.map(|deviations| {
                let counted = deviations.clamp(-MAX_DEVIATIONS, MAX_DEVIATIONS);
                1.0 + self.config.learning_rate * counted
            }));
            share.update(&growth, belief);
            let (weights, leader) = (share.weights(), &mut book.leaders[stock]);
            let first = largest(weights);
            if weights[first] > SWITCH_RATIO * weights[*leader] {
                *leader = first;
            }
        }
    }

    /// Direction in which to hold `stock` from the next open on, and the conviction: that of the
    /// DQN if it trades the stock, else the weight of the rule that does.
    pub(crate) fn choose(
        &self,
        book: &mut Book,
        view: &MarketView<'_>,
        stock: usize,
        dqn: DqnProposal,
    ) -> (i8, f32) {
        let experts = self.names.len();
        let directions = self.rule_directions.at(view, stock);
        let accounts = &mut book.accounts[stock * experts..(stock + 1) * experts];
        let mut dqn = dqn;
        if let (Some(values), Some(opinion)) = (dqn.values, &self.second_opinion) {
            let account = (&values, accounts[experts - 1].held(), self.cost);
            dqn = DqnProposal::plain(opinion.combine(
                &mut book.combinations[stock],
                view,
                stock,
                account,
            ));
        }
        let wanted = directions.iter().copied().chain([dqn.greedy]);
        accounts.iter_mut().zip(wanted).for_each(|(account, direction)| account.want(direction));
        let leader = book.leaders[stock];
        match directions.get(leader) {
            Some(&direction) => (direction, book.shares[stock].weights()[leader] as f32),
            None => (dqn.direction, dqn.conviction),
        }
    }

    /// Takes in the approved orders, `[stock]`.
    pub(crate) fn approve(&self, book: &mut Book, orders: &[PositionOrder]) {
        let signed = orders.iter().map(|order| f64::from(order.direction) * order.weight);
        book.approved.clear();
        book.approved.extend(signed);
    }
}

impl Book {
    /// `[expert]`: weight of each expert in a stock.
    pub(crate) fn weights(&self, stock: usize) -> &[f64] {
        self.shares[stock].weights()
    }

    /// Index of the expert that trades a stock.
    #[cfg(test)]
    pub(crate) fn leader(&self, stock: usize) -> usize {
        self.leaders[stock]
    }
}

/// Index of the largest weight; the first of equal ones.
fn largest(weights: &[f64]) -> usize {
    let mut found = 0;
    for (at, weight) in weights.iter().enumerate() {
        if *weight > weights[found] {
            found = at;
        }
    }
    found
}

#[cfg(test)]
mod tests;
