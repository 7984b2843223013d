//! One account during an evaluation, and the desk that allocates its capital.

use std::ops::Range;
use std::sync::Arc;

use super::backtest::Backtest;
use super::metrics::BacktestRecord;
use crate::market::panel::{MarketView, Panel};
use crate::portfolio::desk::Desk;
use crate::portfolio::limits::Limits;
use crate::portfolio::mandate::Mandate;
use crate::portfolio::meta_policy::{
    CapitalPlan, DqnProposal, ExpertWeights, MetaPolicy, RulePositions,
};

pub(crate) struct BacktestAccount {
    desk: Desk,
    backtest: Backtest,
}

impl BacktestAccount {
    /// All cash at the first of `rows`.
    pub(crate) fn new(
        mandate: &Mandate,
        panel: &Panel,
        rows: &Range<usize>,
        limits: &Limits,
    ) -> BacktestAccount {
        let plan = CapitalPlan::new(panel, mandate.stocks.len(), &mandate.portfolio);
        BacktestAccount::start(mandate, plan, &panel.view(rows.start), limits)
    }

    /// All cash at the close of `view`.
    pub(crate) fn start(
        mandate: &Mandate,
        plan: CapitalPlan,
        view: &MarketView<'_>,
        limits: &Limits,
    ) -> BacktestAccount {
        let Mandate { stocks, env, portfolio } = mandate;
        BacktestAccount {
            desk: Desk::new(1, plan, portfolio, limits.clone()),
            backtest: Backtest::start(stocks, view, env),
        }
    }

    /// Adds a meta-policy. `expert_weights`: its initial expert
    /// weights, if known.
    pub(crate) fn with_meta_policy(
        self,
        meta: Option<Arc<MetaPolicy>>,
        expert_weights: Option<&ExpertWeights>,
    ) -> BacktestAccount {
        BacktestAccount {
            desk: self
                .desk
                .with_meta_policy(meta, expert_weights.map_or(&[], std::slice::from_ref)),
            ..self
        }
    }

    /// Places orders at the close of `view`. `wanted` gives each stock's position, from -1 to 1 as a
    /// fraction of its capital, and conviction.
    pub(crate) fn order(
        &mut self,
        view: &MarketView<'_>,
        wanted: impl Iterator<Item = (f64, f32)>,
    ) {
        let gain = self.backtest.last_reward();
        self.desk.decide(0, view, gain, wanted.map(DqnProposal::plain));
        self.backtest.order(view, self.desk.orders(0));
    }

    /// As [`Desk::know`].
    pub(crate) fn know(&mut self, plan: CapitalPlan, rule_positions: Option<RulePositions>) {
        self.desk.know(plan, rule_positions);
    }

    /// Moves to the next bar: orders are filled at its open.
    pub(crate) fn advance(&mut self, next: &MarketView<'_>) {
        self.backtest.advance(next);
    }

    pub(crate) fn desk(&self) -> &Desk {
        &self.desk
    }

    pub(crate) fn backtest(&self) -> &Backtest {
        &self.backtest
    }

    pub(crate) fn into_parts(self) -> (Desk, Backtest) {
        (self.desk, self.backtest)
    }

    pub(crate) fn into_record(self) -> BacktestRecord {
        self.backtest.into_record()
    }
}

/// Back-tests a policy over `rows` of a panel with the agent's capital, limits and costs. The
/// policy maps (view, stock, direction held) to the desired direction: -1, 0 or 1.
pub(crate) fn run_policy(
    mandate: &Mandate,
    panel: &Panel,
    rows: &Range<usize>,
    limits: &Limits,
    policy: &mut dyn FnMut(&MarketView<'_>, usize, i8) -> i8,
) -> BacktestRecord {
    let mut account = BacktestAccount::new(mandate, panel, rows, limits);
    for t in rows.start..rows.end - 1 {
        let view = panel.view(t);
        let held = |stock: usize| account.backtest().direction(stock);
        let wanted: Vec<(f64, f32)> = (0..mandate.stocks.len())
            .map(|stock| (f64::from(policy(&view, stock, held(stock))), 1.0))
            .collect();
        account.order(&view, wanted.into_iter());
        account.advance(&panel.view(t + 1));
    }
    account.into_record()
}
