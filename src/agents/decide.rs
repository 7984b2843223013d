//! The target positions of an agent without a language model: at every bar, from the bars up to it.

use anyhow::Result;

use super::config::{AgentKind, Ensemble, StrategyChoice};
use super::dqn;
use super::ledger::{Ledger, ShareOrder, Side, affordable};
use super::registry::registry;
use super::target_weights::{DecisionContext, TargetWeights};
use crate::market::MarketData;
use crate::market::panel::MarketView;
use crate::runner::backtest_signals;
use crate::strategy::ensemble::{EnsembleMethod, Member, combine, weights};
use crate::strategy::{Cancel, Signals};

/// The targets of an agent; None for a language model, which is asked session by session.
pub(crate) fn target_weights(
    kind: &AgentKind,
    setting: &DecisionContext<'_>,
) -> Result<Option<TargetWeights>> {
    let first = setting.first_row();
    let data = || setting.bars.market_data(first);
    let signals = match kind {
        AgentKind::Llm(_) => return Ok(None),
        AgentKind::Dqn { results } => return dqn::target_weights(results, setting).map(Some),
        AgentKind::Strategy(choice) => signals(choice, &data()?, setting.cancel)?,
        AgentKind::Ensemble(ensemble) => ensemble_signals(ensemble, &data()?, setting)?,
    };
    Ok(Some(TargetWeights::from_signals(&signals, first)))
}

fn signals(choice: &StrategyChoice, data: &MarketData, cancel: &Cancel) -> Result<Signals> {
    let registry = registry()?;
    let kind = registry.find(&choice.strategy)?;
    let mut strategy = kind.build_for(&kind.resolve(&choice.parameters)?, data.stocks())?;
    Ok(Signals::from_strategy(strategy.as_mut(), data, cancel)?)
}

fn ensemble_signals(
    ensemble: &Ensemble,
    data: &MarketData,
    setting: &DecisionContext<'_>,
) -> Result<Signals> {
    let (env, cancel) = (setting.config.env(), setting.cancel);
    let by_past = [EnsembleMethod::InverseVariance, EnsembleMethod::Performance];
    let needs_rewards = by_past.contains(&ensemble.method);
    let mut all = Vec::new();
    for choice in &ensemble.members {
        let signals = signals(choice, data, cancel)?;
        let rewards = match needs_rewards {
            true => backtest_signals(&signals, data, 0..data.rows(), &env, cancel)?.reward,
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

/// Orders for the next open after which the account holds `weights`, from what is known at the
/// close of `view`. Sell orders come first, because buy orders may need their proceeds. A position
/// that is kept is resized only outside its rebalance `band`.
pub(crate) fn orders(
    ledger: &Ledger,
    view: &MarketView<'_>,
    weights: &[f64],
    band: f64,
) -> Vec<ShareOrder> {
    let equity = ledger.equity(view);
    let (mut sales, mut purchases) = (Vec::new(), Vec::new());
    for (stock, weight) in weights.iter().enumerate() {
        let Some(each) = ledger.expected_price(view, stock, Side::Buy) else { continue };
        let (held, target) = (ledger.shares(stock), affordable(weight * equity, each));
        let difference = held.abs_diff(target);
        let is_kept = (held > 0) == (target > 0);
        if difference == 0 || (is_kept && difference as f64 <= band * target as f64) {
            continue;
        }
        let side = if target > held { Side::Buy } else { Side::Sell };
        let list = if side == Side::Buy { &mut purchases } else { &mut sales };
        list.push(ShareOrder::at(view, stock, side, difference));
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
        let order_list = |ledger: &Ledger, weights: &[f64]| -> Vec<(usize, Side, u64)> {
            let orders = orders(ledger, &view, weights, 0.25);
            orders.iter().map(|order| (order.stock, order.side, order.shares)).collect()
        };
        let cash = Ledger::new(vec![0, 0], 10_000.0, FREE);
        let half = [(0, Side::Buy, 50), (1, Side::Buy, 100)];
        assert_eq!(order_list(&cash, &[0.5, 0.504]), half);
        let held = Ledger::new(vec![50, 100], 0.0, FREE);
        assert_eq!(order_list(&held, &[0.5, 0.5]), []);
        // A target of 60 is within a quarter of the position, 80 is not.
        assert_eq!(order_list(&held, &[0.6, 0.4]), []);
        let moved = [(1, Side::Sell, 60), (0, Side::Buy, 30)];
        assert_eq!(order_list(&held, &[0.8, 0.2]), moved);
        assert_eq!(order_list(&held, &[0.0, 0.5]), [(0, Side::Sell, 50)]);
    }
}
