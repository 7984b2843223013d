//! The meta-policy: how much each expert, one of the rules or the DQN, counts in each stock, and how
//! much capital each stock is allocated.
//!
//! Prices do not react to our orders, so at every close the profit of each expert in a stock is
//! known, whoever traded it: `ConstantNotional` keeps that account. After every period the
//! profits update the weights of `FixedShare`, which hold until the next. The account holds the
//! weighted mean of the experts' positions, for which the weights' bound on the regret is made;
//! capital is allocated by equal risk contributions.
//!
//! What is to be known of an expert is known sooner from all stocks together, unless different ones
//! are good in different stocks. So there are weights for all stocks in common and for each stock by
//! itself, and the weight of either kind follows Bayes' rule as well.

mod capital;
mod constant_notional;
mod decaying_covariance;
mod equal_risk;
mod expert_weights;
mod regret;
mod rule_positions;
mod shares;

use serde::{Deserialize, Serialize};

use super::mandate::Mandate;
use crate::config::MetaPolicyConfig;
use crate::env::costs::Costs;
use crate::market::calendar::market_date;
use crate::market::panel::{MarketView, Panel};
use crate::math::fixed_share::{FixedShare, FixedSharePrior};
use crate::strategy::StrategyError;
pub(crate) use capital::{Capital, CapitalPlan};
use constant_notional::ConstantNotional;
pub(crate) use equal_risk::EqualRisk;
pub use expert_weights::ExpertWeights;
use regret::BetRecord;
pub use regret::Regret;
pub(crate) use rule_positions::{RulePositions, Rules, registry, rule_names};
use shares::{KIND_RATE, Shares, kinds_prior, mean_of_awake};

/// Name of the expert next to the rules.
pub(crate) const DQN: &str = "DQN";

const PAIRS: &str = "Pairs";

/// Profits are clipped at this many standard deviations of a period.
const MAX_DEVIATIONS: f64 = 3.0;

/// Desired position of the DQN in a stock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct DqnProposal {
    /// From -1 to 1; may be random, for exploration.
    pub(crate) position: f64,
    pub(crate) conviction: f32,
    /// The position without exploration; the DQN's performance is measured by it.
    pub(crate) greedy: f64,
}

impl DqnProposal {
    /// Desired position of a policy that does not explore.
    pub(crate) fn plain((position, conviction): (f64, f32)) -> DqnProposal {
        DqnProposal { position, conviction, greedy: position }
    }
}

/// State of the meta-policy for one account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Book {
    shares: Shares,
    /// `[stock, expert]`: weights of the present period.
    weights: Vec<f64>,
    /// `[stock, expert]`.
    accounts: Vec<ConstantNotional>,
    /// Bars so far in the current period.
    bars: usize,
    date: Option<chrono::NaiveDate>,
    bets: BetRecord,
    /// `[stock, expert]`: profit of each account over the last bar, as a fraction of its notional.
    #[serde(skip)]
    gains: Vec<f64>,
}

/// Fixed-share weights over the rules and the DQN.
pub(crate) struct MetaPolicy {
    config: MetaPolicyConfig,
    /// Half of it is charged per unit of variance.
    risk_aversion: f64,
    belief: FixedSharePrior,
    names: Vec<String>,
    stocks: usize,
    /// `[stock, expert]`: whether the rule can trade the stock at all. What cannot say anything of a
    /// stock has no weight there: it is no second Flat (Freund, Schapire, Singer and Warmuth 1997
    /// on experts that sleep).
    asleep: Vec<bool>,
    rule_positions: RulePositions,
    /// Cost of trading all of an account once, as a fraction of it.
    cost: f64,
}

impl MetaPolicy {
    /// For accounts on `panel`; None if switched off. An unknown or failing strategy is an error.
    pub(crate) fn new(
        mandate: &Mandate,
        panel: &Panel,
    ) -> Result<Option<MetaPolicy>, StrategyError> {
        let Some(mut policy) = MetaPolicy::without_rows(mandate)? else { return Ok(None) };
        let long_only = mandate.env.long_only;
        policy.rule_positions =
            RulePositions::new(panel, policy.stocks, &policy.config, long_only)?;
        Ok(Some(policy))
    }

    /// For an account whose rows come one by one: each is told by [`MetaPolicy::know`].
    pub(crate) fn without_rows(mandate: &Mandate) -> Result<Option<MetaPolicy>, StrategyError> {
        let (stocks, meta) = (mandate.stocks.len(), &mandate.portfolio.meta_policy);
        if !meta.enabled {
            return Ok(None);
        }
        let mut names = rule_names(meta, stocks)?;
        names.push(DQN.into());
        Ok(Some(MetaPolicy {
            belief: FixedSharePrior {
                prior: prior(&names, meta)?,
                share_rates: meta.share_rates.clone(),
            },
            risk_aversion: mandate.portfolio.risk_aversion,
            asleep: asleep(&names, stocks),
            names,
            stocks,
            rule_positions: RulePositions::none(stocks),
            cost: Costs::new(&mandate.env).turnover_cost(),
            config: meta.clone(),
        }))
    }

    /// Replaces what the rules want by their positions at the row that is decided next.
    pub(crate) fn know(&mut self, rule_positions: RulePositions) {
        self.rule_positions = rule_positions;
    }

    /// For an evaluation of a DQN whose values validation did not believe: it counts for less.
    pub(crate) fn with_unbelieved_dqn(mut self) -> MetaPolicy {
        self.belief = self.unbelieved();
        self
    }

    /// The prior with a DQN that is not believed.
    fn unbelieved(&self) -> FixedSharePrior {
        FixedSharePrior {
            prior: with_last(&self.belief.prior, self.config.unbelieved_dqn_prior),
            ..self.belief.clone()
        }
    }

    /// The experts, in the order of their weights.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Book of an account at its start, with `weights` if they are of the same experts.
    pub(crate) fn book(&self, weights: Option<&ExpertWeights>) -> Book {
        let weights = weights.filter(|weights| self.fits(weights));
        self.begin(match weights {
            Some(weights) => weights.shares(self.names.len()),
            None => Shares::new(self.stocks, &self.belief),
        })
    }

    fn begin(&self, shares: Shares) -> Book {
        let accounts = vec![ConstantNotional::default(); self.stocks * self.names.len()];
        let (gains, bets) = (vec![0.0; accounts.len()], BetRecord::default());
        Book {
            weights: shares.weights(&self.asleep),
            shares,
            accounts,
            bars: 0,
            date: None,
            bets,
            gains,
        }
    }

    /// Takes in the bar that has just closed, over which the account's simple return was `gain`, and
    /// the risk from that bar on.
    pub(crate) fn observe(
        &self,
        book: &mut Book,
        view: &MarketView<'_>,
        risk: Capital<'_>,
        gain: f64,
    ) {
        self.observe_under(&self.belief, book, view, risk);
        book.bets.earn(gain);
    }

    fn observe_under(
        &self,
        belief: &FixedSharePrior,
        book: &mut Book,
        view: &MarketView<'_>,
        risk: Capital<'_>,
    ) {
        let date = market_date(view.end_s());
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
        let experts = self.names.len();
        book.gains.resize(book.accounts.len(), 0.0);
        let accounts = book.accounts.chunks_exact_mut(experts);
        for (stock, (accounts, gains)) in
            accounts.zip(book.gains.chunks_exact_mut(experts)).enumerate()
        {
            let bar = view.bar(stock);
            let last_close = before.as_ref().map_or(f64::NAN, |view| view.bar(stock).close);
            let variance = risk.bar_std(stock).map_or(0.0, |std| std * std);
            for (account, gain) in accounts.iter_mut().zip(gains) {
                *gain = account.close(last_close, &bar, self.cost);
                account.charge_risk(0.5 * self.risk_aversion * variance);
            }
        }
    }

    /// Ends a period: its profits update the weights.
    fn settle(&self, belief: &FixedSharePrior, book: &mut Book, risk: Capital<'_>) {
        let root = (book.bars as f64).sqrt();
        book.bars = 0;
        let (experts, bet) = (self.names.len(), self.config.learning_rate);
        let growth =
            |deviations: f64| 1.0 + bet * deviations.clamp(-MAX_DEVIATIONS, MAX_DEVIATIONS);
        let Shares { common, own, kinds } = &mut book.shares;
        // Of each expert in all stocks, and of the own weights: deviations of the account.
        let (mut of_all, mut of_own) = (vec![0.0; experts], 0.0);
        let mut growths = Vec::with_capacity(experts);
        let accounts = book.accounts.chunks_exact_mut(experts);
        for (stock, (accounts, own)) in accounts.zip(own).enumerate() {
            let scores: Vec<f64> = accounts.iter_mut().map(ConstantNotional::settle).collect();
            // No volatility to scale profits by yet.
            let Some(std) = risk.bar_std(stock) else { continue };
            let part = risk.part(stock).unwrap_or(0.0);
            let deviations: Vec<f64> = scores.iter().map(|score| score / (std * root)).collect();
            let asleep = &self.asleep[stock * experts..][..experts];
            // The account holds the mean of those that are awake, and so does who sleeps.
            let [of_common, mean] = [common.weights(), own.weights()]
                .map(|weights| mean_of_awake(weights, &deviations, asleep));
            of_own += part * mean;
            growths.clear();
            for ((all, deviations), asleep) in of_all.iter_mut().zip(&deviations).zip(asleep) {
                *all += part * if *asleep { of_common } else { *deviations };
                growths.push(growth(if *asleep { mean } else { *deviations }));
            }
            own.update(&growths, belief);
        }
        growths.clear();
        growths.extend(of_all.into_iter().map(growth));
        let std = risk.account_std().map(|std| std * root);
        book.bets.settle(&growths, std, growth);
        let together = common.update(&growths, belief);
        kinds.update(&[together, growth(of_own)], &kinds_prior());
        book.weights = book.shares.weights(&self.asleep);
    }

    /// The position to hold in `stock` from the next open on, from -1 to 1, and the conviction: the
    /// weighted mean of the experts' positions, and its size.
    pub(crate) fn choose(
        &self,
        book: &mut Book,
        view: &MarketView<'_>,
        stock: usize,
        dqn: DqnProposal,
    ) -> (f64, f32) {
        let experts = self.names.len();
        let rules = self.rule_positions.at(view, stock).iter().map(|&position| f64::from(position));
        let accounts = &mut book.accounts[stock * experts..(stock + 1) * experts];
        let weights = &book.weights[stock * experts..(stock + 1) * experts];
        let mut mean = weights[experts - 1] * dqn.position;
        for ((account, wanted), weight) in
            accounts.iter_mut().zip(rules.chain([dqn.greedy])).zip(&weights[..experts - 1])
        {
            account.want(wanted);
            mean += weight * wanted;
        }
        accounts[experts - 1].want(dqn.greedy);
        // Weights add up to 1 but for rounding.
        let mean = mean.clamp(-1.0, 1.0);
        (mean, mean.abs() as f32)
    }
}

/// `[expert]`: the DQN is the last and has its own; the rules share the rest, as `config` says.
fn prior(names: &[String], config: &MetaPolicyConfig) -> Result<Vec<f64>, StrategyError> {
    let Some((_, rules)) = names.split_last() else { return Ok(Vec::new()) };
    if rules.is_empty() {
        return Ok(vec![1.0]);
    }
    let registry = registry(config)?;
    let mut given = vec![None; rules.len()];
    for (name, &weight) in &config.priors {
        let name = &registry.find(name)?.name;
        if let Some(place) = rules.iter().position(|rule| *rule == **name) {
            given[place] = Some(weight);
        }
    }
    let others = given.iter().filter(|weight| weight.is_none()).count();
    let rest = (1.0 - given.iter().flatten().sum::<f64>()) / others.max(1) as f64;
    let weights: Vec<f64> = given.iter().map(|weight| weight.unwrap_or(rest)).collect();
    let sum: f64 = weights.iter().sum();
    let of_rule = |weight: f64| (1.0 - config.dqn_prior) * weight / sum;
    Ok(weights.into_iter().map(of_rule).chain([config.dqn_prior]).collect())
}

/// `[expert]`: weights before anything is known of the rules, and of a DQN that is believed or not.
///
/// Errors: a strategy is unknown.
pub(crate) fn expert_priors(
    config: &MetaPolicyConfig,
    stocks: usize,
    is_believed: bool,
) -> Result<Vec<f64>, StrategyError> {
    let mut names = rule_names(config, stocks)?;
    names.push(DQN.into());
    let prior = prior(&names, config)?;
    Ok(if is_believed { prior } else { with_last(&prior, config.unbelieved_dqn_prior) })
}

/// Weights with `wanted` for the last expert, the others in proportion; a single one keeps its own.
fn with_last(weights: &[f64], wanted: f64) -> Vec<f64> {
    match weights.split_last() {
        Some((last, rest)) if !rest.is_empty() => {
            let others = rest.iter().map(|weight| weight * (1.0 - wanted) / (1.0 - last));
            others.chain([wanted]).collect()
        }
        _ => weights.to_vec(),
    }
}

/// `[stock, expert]`: Pairs has nothing to say of an odd last stock.
fn asleep(names: &[String], stocks: usize) -> Vec<bool> {
    let is_odd_one = |stock: usize| stocks % 2 == 1 && stock + 1 == stocks;
    let of_stock = |stock| names.iter().map(move |name| is_odd_one(stock) && name == PAIRS);
    (0..stocks).flat_map(of_stock).collect()
}

impl Book {
    /// `[expert]`: weight of each expert in a stock.
    pub(crate) fn weights(&self, stock: usize) -> &[f64] {
        let experts = self.shares.common.weights().len();
        &self.weights[stock * experts..][..experts]
    }

    /// `[expert]`: profit of each expert in a stock over the last bar, after costs, as a fraction of
    /// the capital that the stock is allocated.
    pub(crate) fn gains(&self, stock: usize) -> &[f64] {
        let experts = self.shares.common.weights().len();
        &self.gains[stock * experts..][..experts]
    }

    /// `[expert]`: what each expert wants to hold of a stock from the next open on.
    pub(crate) fn wanted(&self, stock: usize) -> impl Iterator<Item = f64> {
        let experts = self.shares.common.weights().len();
        self.accounts[stock * experts..][..experts].iter().map(ConstantNotional::wanted)
    }
}

#[cfg(test)]
mod tests;
