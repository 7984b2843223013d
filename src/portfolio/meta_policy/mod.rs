//! Who trades with how much. Every stock is traded by whom its past speaks for, some rules and the
//! DQN; capital is dealt so that every stock carries the same risk.
//!
//! Prices do not react to us, so what each expert would have earned in a stock is known at every
//! close, whoever traded it: [`Notional`] keeps that account. After every period the profits move
//! the weights of [`FixedShare`], which hold until the next, and the expert with the largest weight
//! trades the stock: all of it, because an account is in a stock or out of it. A mean of several
//! would be rounded to nothing where two good ones differ.
//!
//! In an evaluation the DQN hears a [`SecondOpinion`] before it says what it wants.

mod advice;
mod capital;
mod co_moves;
mod equal_risk;
mod notional;
mod second_opinion;
mod standing;

use serde::{Deserialize, Serialize};

use super::mandate::Mandate;
use super::risk::Order;
use crate::config::MetaPolicyConfig;
use crate::env::costs::Costs;
use crate::market::calendar::new_york_date;
use crate::market::panel::{MarketView, Panel};
use crate::math::fixed_share::{Belief, FixedShare};
use crate::strategy::StrategyError;
use advice::Advice;
pub use advice::{registry, rule_names};
pub use capital::{Capital, CapitalPlan};
use equal_risk::EqualRisk;
use notional::Notional;
pub use second_opinion::Values;
use second_opinion::{Hearing, SecondOpinion};
pub use standing::Standing;

/// The expert beside the rules.
pub const DQN: &str = "DQN";

/// Profits beyond so many standard deviations of a period count as much.
const MOST_DEVIATIONS: f64 = 3.0;
/// Another expert takes over when its weight is more than this times that of the present one: it
/// costs a turn, and of two that are about as good each would lead every other day.
const TAKE_OVER: f64 = 2.0;

/// What the DQN wants of a stock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wanted {
    /// -1, 0 or 1; perhaps by chance, to explore.
    pub direction: i8,
    pub conviction: f32,
    /// What it would do without exploring, by which it is judged.
    pub greedy: i8,
    /// None in training, where it explores and what it knows changes.
    pub values: Option<Values>,
}

impl Wanted {
    /// Of one that does not explore.
    pub fn plain((direction, conviction): (i8, f32)) -> Wanted {
        Wanted { direction, conviction, greedy: direction, values: None }
    }
}

/// What the meta-policy remembers of one account's way through the market.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Book {
    /// `[stock]`
    shares: Vec<FixedShare>,
    /// `[stock, expert]`
    accounts: Vec<Notional>,
    /// Signed fractions of equity that were approved last, `[stock]`.
    approved: Vec<f64>,
    /// The expert that trades, `[stock]`.
    leaders: Vec<usize>,
    /// `[stock]`; empty where there is no second opinion.
    hearings: Vec<Hearing>,
    /// Of the present period.
    bars: usize,
    date: Option<chrono::NaiveDate>,
}

/// Fixed-share weights over the rules and the DQN, for each stock by itself.
pub struct MetaPolicy {
    config: MetaPolicyConfig,
    belief: Belief,
    names: Vec<String>,
    advice: Advice,
    second_opinion: Option<SecondOpinion>,
    /// Of trading all of an account once.
    cost: f64,
    /// 0 where it is unknown.
    correlation: Vec<Vec<f64>>,
}

impl MetaPolicy {
    /// For accounts that go through `panel`; None where it is switched off. `correlation` as
    /// measured over the training period.
    pub fn of(
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
            belief: Belief { prior, share_rates: meta.share_rates.clone() },
            names,
            advice: Advice::of(panel, stocks, meta, mandate.env.long_only)?,
            second_opinion: None,
            cost: Costs::of(&mandate.env).of_turning_over_once(),
            correlation: correlation.iter().map(known).collect(),
            config: meta.clone(),
        }))
    }

    /// The same for an evaluation, in which the DQN is told by its values.
    pub fn with_second_opinion(self, panel: &Panel) -> MetaPolicy {
        let (stocks, prior) = (self.correlation.len(), self.config.second_opinion);
        let second_opinion = (prior > 0.0).then(|| SecondOpinion::of(panel, stocks, prior));
        MetaPolicy { second_opinion, ..self }
    }

    /// The experts, in the order of their weights.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Of an account that has not begun. Of the DQN nothing is known yet, of the rules what
    /// `standing` says.
    pub fn book(&self, standing: Option<&Standing>) -> Book {
        let stocks = self.correlation.len();
        let standing = standing.filter(|_| self.names.len() > 1);
        let share = |stock: usize| match standing {
            Some(standing) => FixedShare::joined_by_one(&standing.joint(stock), &self.belief),
            None => FixedShare::new(&self.belief),
        };
        self.begin((0..stocks).map(share).collect())
    }

    fn begin(&self, shares: Vec<FixedShare>) -> Book {
        let stocks = shares.len();
        let hearings = self.second_opinion.iter();
        let hearings = hearings.flat_map(|opinion| vec![opinion.hearing(); stocks]);
        Book {
            hearings: hearings.collect(),
            leaders: shares.iter().map(|share| largest(share.weights())).collect(),
            shares,
            accounts: vec![Notional::default(); stocks * self.names.len()],
            approved: vec![0.0; stocks],
            bars: 0,
            date: None,
        }
    }

    /// Takes in the bar that has just closed, with the risks that hold from it on.
    pub fn observe(&self, book: &mut Book, view: &MarketView<'_>, risk: Capital<'_>) {
        self.observe_under(&self.belief, book, view, risk);
    }

    fn observe_under(
        &self,
        belief: &Belief,
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
            let beside = self.held_beside(&book.approved, stock);
            let aversion = self.config.exposure_aversion * risk.bar_std(stock).unwrap_or(0.0);
            for account in accounts {
                account.close(last_close, &bar, self.cost);
                account.charge(aversion * (f64::from(account.held()) * beside).max(0.0));
            }
        }
    }

    /// What is held in other stocks, each by its correlation with this one: between -1 and 1 where
    /// no more than the equity is held.
    fn held_beside(&self, approved: &[f64], stock: usize) -> f64 {
        let row = self.correlation[stock].iter().zip(approved).enumerate();
        row.filter(|(other, _)| *other != stock).map(|(_, (c, held))| c * held).sum()
    }

    /// The end of a period: the profits of it move the weights.
    fn settle(&self, belief: &Belief, book: &mut Book, risk: Capital<'_>) {
        let root = (book.bars as f64).sqrt();
        book.bars = 0;
        let accounts = book.accounts.chunks_exact_mut(self.names.len());
        let mut growth = Vec::with_capacity(self.names.len());
        for (stock, (accounts, share)) in accounts.zip(&mut book.shares).enumerate() {
            growth.clear();
            let worth = accounts.iter_mut().map(|a| a.settle(self.config.drawdown_aversion));
            let Some(std) = risk.bar_std(stock) else {
                // Nothing to measure it by yet.
                worth.for_each(drop);
                continue;
            };
            let deviations = worth.map(|worth| worth / (std * root));
            growth.extend(deviations.map(|deviations| {
                let counted = deviations.clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS);
                1.0 + self.config.learning_rate * counted
            }));
            share.update(&growth, belief);
            let (weights, leader) = (share.weights(), &mut book.leaders[stock]);
            let first = largest(weights);
            if weights[first] > TAKE_OVER * weights[*leader] {
                *leader = first;
            }
        }
    }

    /// The direction in which `stock` is to be held from the next open on, and the conviction: that
    /// of the DQN where it trades, else the weight of the rule that does.
    pub fn choose(
        &self,
        book: &mut Book,
        view: &MarketView<'_>,
        stock: usize,
        dqn: Wanted,
    ) -> (i8, f32) {
        let experts = self.names.len();
        let said = self.advice.at(view, stock);
        let accounts = &mut book.accounts[stock * experts..(stock + 1) * experts];
        let mut dqn = dqn;
        if let (Some(values), Some(opinion)) = (dqn.values, &self.second_opinion) {
            let account = (&values, accounts[experts - 1].held(), self.cost);
            dqn = Wanted::plain(opinion.hear(&mut book.hearings[stock], view, stock, account));
        }
        let wanted = said.iter().copied().chain([dqn.greedy]);
        accounts.iter_mut().zip(wanted).for_each(|(account, direction)| account.want(direction));
        let leader = book.leaders[stock];
        match said.get(leader) {
            Some(&direction) => (direction, book.shares[stock].weights()[leader] as f32),
            None => (dqn.direction, dqn.conviction),
        }
    }

    /// What became of the proposals, `[stock]`.
    pub fn approve(&self, book: &mut Book, orders: &[Order]) {
        let signed = orders.iter().map(|order| f64::from(order.direction) * order.weight);
        book.approved.clear();
        book.approved.extend(signed);
    }
}

impl Book {
    /// Weight of each expert in a stock, `[expert]`.
    pub fn weights(&self, stock: usize) -> &[f64] {
        self.shares[stock].weights()
    }

    /// The expert that trades a stock.
    pub fn leader(&self, stock: usize) -> usize {
        self.leaders[stock]
    }
}

/// Where the largest weight stands; the first of equal ones.
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
