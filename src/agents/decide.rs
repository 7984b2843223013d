//! What an agent without a language model wants to hold: its decisions at every bar, from the bars
//! up to it.

use std::path::Path;

use anyhow::Result;

use super::bars::Bars;
use super::config::{AgentsConfig, Choice, Ensemble, ModelKind};
use super::dqn;
use super::ledger::{Ledger, Order, Side, affordable};
use super::stamp::Stamp;
use crate::market::MarketData;
use crate::market::panel::MarketView;
use crate::runner::positions_course;
use crate::strategy::ensemble::{EnsembleMethod, Member, combine, weights};
use crate::strategy::{Cancel, Registry, Signals, StrategyError};
use crate::train::dqn_strategy;

/// Fractions of equity to hold of each stock, 0 or above, decided at the close of each row.
pub struct Wanted {
    stocks: usize,
    /// `[time, stock]`
    weights: Vec<f64>,
}

/// Everything that a decision may depend on beside the bars.
pub struct Setting<'a> {
    pub config: &'a AgentsConfig,
    pub bars: &'a Bars,
    /// When the account began.
    pub since: Stamp,
    pub cache: &'a Path,
    pub cancel: &'a Cancel,
}

impl Setting<'_> {
    /// The first row that counts: bars of before may be there for another agent, whose account was
    /// begun earlier, and what this one decides is not to depend on company.
    fn first_row(&self) -> usize {
        let lead = chrono::Days::new(self.config.lead_days.into());
        self.bars.first_row(self.since.date.checked_sub_days(lead).unwrap_or(self.since.date))
    }
}

impl Wanted {
    /// Nothing, in so many rows.
    pub fn nothing(stocks: usize, rows: usize) -> Wanted {
        Wanted { stocks, weights: vec![0.0; stocks * rows] }
    }

    /// Every stock has an equal share of the equity; a short position is none. The signals begin
    /// at row `first`.
    fn of(signals: &Signals, first: usize) -> Wanted {
        let stocks = signals.stocks();
        let share = 1.0 / stocks as f64;
        let of_row = |t| signals.at(t).iter().map(|decision| decision.target.max(0.0) * share);
        let none = std::iter::repeat_n(0.0, stocks * first);
        Wanted { stocks, weights: none.chain((0..signals.rows()).flat_map(of_row)).collect() }
    }

    pub fn at(&self, t: usize) -> &[f64] {
        &self.weights[t * self.stocks..][..self.stocks]
    }

    pub fn set(&mut self, t: usize, stock: usize, weight: f64) {
        self.weights[t * self.stocks + stock] = weight;
    }
}

/// None for a language model, which is asked session by session.
pub fn wanted(kind: &ModelKind, setting: &Setting<'_>) -> Result<Option<Wanted>> {
    let first = setting.first_row();
    let data = || setting.bars.market_data(first);
    let signals = match kind {
        ModelKind::Llm(_) => return Ok(None),
        ModelKind::Dqn { results } => return dqn::wanted(results, setting).map(Some),
        ModelKind::Strategy(choice) => signals(choice, &data()?, setting.cancel)?,
        ModelKind::Ensemble(ensemble) => together(ensemble, &data()?, setting)?,
    };
    Ok(Some(Wanted::of(&signals, first)))
}

/// The standard strategies, and a trained run.
pub fn registry() -> Result<Registry, StrategyError> {
    let mut registry = Registry::standard();
    registry.register(dqn_strategy::kind(None))?;
    Ok(registry)
}

fn signals(choice: &Choice, data: &MarketData, cancel: &Cancel) -> Result<Signals> {
    let registry = registry()?;
    let kind = registry.find(&choice.strategy)?;
    let mut strategy = kind.build_for(&kind.resolve(&choice.parameters)?, data.stocks())?;
    Ok(Signals::of(strategy.as_mut(), data, cancel)?)
}

fn together(ensemble: &Ensemble, data: &MarketData, setting: &Setting<'_>) -> Result<Signals> {
    let (env, cancel) = (setting.config.env(), setting.cancel);
    let by_past = [EnsembleMethod::InverseVariance, EnsembleMethod::Performance];
    let needs_rewards = by_past.contains(&ensemble.method);
    let mut all = Vec::new();
    for choice in &ensemble.members {
        let signals = signals(choice, data, cancel)?;
        let rewards = match needs_rewards {
            true => positions_course(&signals, data, 0..data.rows(), &env, cancel)?.reward,
            false => Vec::new(),
        };
        all.push((signals, rewards));
    }
    let mut members: Vec<Member<'_>> = Vec::new();
    for ((signals, rewards), &weight) in all.iter().zip(&ensemble.weights) {
        members.push(Member { signals, weight, rewards });
    }
    let weights = weights(ensemble.method, &members, ensemble.window_bars);
    Ok(combine(ensemble.method, &members, &weights))
}

/// What is to be traded at the next open so that the account holds `weights`, from what is known at
/// the close of `view`: sales first, whose proceeds the purchases may need. A position that is kept
/// is resized only when it is out of its `band`.
pub fn orders(ledger: &Ledger, view: &MarketView<'_>, weights: &[f64], band: f64) -> Vec<Order> {
    let equity = ledger.equity(view);
    let (mut sales, mut purchases) = (Vec::new(), Vec::new());
    for (stock, weight) in weights.iter().enumerate() {
        let Some(each) = ledger.expected(view, stock, Side::Buy) else { continue };
        let (held, target) = (ledger.shares(stock), affordable(weight * equity, each));
        let off = held.abs_diff(target);
        let is_kept = (held > 0) == (target > 0);
        if off == 0 || (is_kept && off as f64 <= band * target as f64) {
            continue;
        }
        let side = if target > held { Side::Buy } else { Side::Sell };
        let list = if side == Side::Buy { &mut purchases } else { &mut sales };
        list.push(Order::at(view, stock, side, off));
    }
    sales.append(&mut purchases);
    sales
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::bars::tests::bars;
    use crate::env::costs::Costs;

    const FREE: Costs = Costs { fee_bps: 0.0, slippage_bps: 0.0 };

    /// 10,000 at closes of 100 and 50.
    #[test]
    fn orders_are_whole_shares_of_equity_sales_first() {
        let bars = bars(&[[100.0, 50.0], [100.0, 50.0]]);
        let view = bars.view(0);
        let told = |ledger: &Ledger, weights: &[f64]| -> Vec<(usize, Side, u64)> {
            let orders = orders(ledger, &view, weights, 0.25);
            orders.iter().map(|order| (order.stock, order.side, order.shares)).collect()
        };
        let cash = Ledger::new(vec![0, 0], 10_000.0, FREE);
        let half = [(0, Side::Buy, 50), (1, Side::Buy, 100)];
        assert_eq!(told(&cash, &[0.5, 0.504]), half);
        let held = Ledger::new(vec![50, 100], 0.0, FREE);
        assert_eq!(told(&held, &[0.5, 0.5]), []);
        // 60 wanted: within a quarter of it; 80 wanted: out of it.
        assert_eq!(told(&held, &[0.6, 0.4]), []);
        let moved = [(1, Side::Sell, 60), (0, Side::Buy, 30)];
        assert_eq!(told(&held, &[0.8, 0.2]), moved);
        assert_eq!(told(&held, &[0.0, 0.5]), [(0, Side::Sell, 50)]);
    }
}
