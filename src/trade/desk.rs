//! The desk of an evaluation, one row of bars at a time.

use anyhow::{Context, Result};
use chrono::NaiveDate;

use super::rows::Row;
use crate::compute::threads::run_parallel;
use crate::eval::account::BacktestAccount;
use crate::eval::backtest::BuyAndHold;
use crate::eval::metrics::BacktestRecord;
use crate::features::pipeline::feature_names;
use crate::features::stream::FeatureStream;
use crate::market::calendar::market_date;
use crate::market::panel::{Panel, PanelAbout, PanelBar, PanelRows};
use crate::portfolio::limits::Limits;
use crate::portfolio::mandate::Mandate;
use crate::portfolio::meta_policy::{
    CapitalPlan, EqualRisk, ExpertWeights, MetaPolicy, RulePositions, Rules,
};
use crate::rl::agent::Agent;
use crate::train::evaluation::{EvaluationResult, NextOrder};
use crate::train::model::Actors;
use crate::train::setup::device;
use crate::train::trader::Trader;
use crate::train::trained::SavedRun;

/// A trained desk with its account, at the last row that it was given.
pub(crate) struct LiveDesk {
    mandate: Mandate,
    limits: Limits,
    /// The account is opened at the first row from this day on at which a stock can be traded.
    start: NaiveDate,
    about: PanelAbout,
    features: FeatureStream,
    risk: EqualRisk,
    /// None without a meta-policy.
    rules: Option<Rules>,
    expert_weights: Option<ExpertWeights>,
    actors: Actors,
    /// The row before the present one.
    last: Option<PanelRows>,
    open: Option<OpenAccount>,
    /// `[stock][action]`.
    values: Vec<Vec<f32>>,
}

struct OpenAccount {
    trader: Trader,
    /// What the DQN would trade if it were alone.
    dqn: BacktestAccount,
    benchmark: BuyAndHold,
    next_orders: Vec<NextOrder>,
}

impl LiveDesk {
    /// A desk that has seen nothing yet. Its account is opened on or after `start`.
    ///
    /// Errors: the device or a strategy is unknown; the run's settings lack the length of a bar.
    pub(crate) fn new(run: &SavedRun, start: NaiveDate) -> Result<LiveDesk> {
        let SavedRun { config, model } = run;
        let minutes = config.data.bar_minutes.context("config.toml has no data.bar_minutes")?;
        let mandate = Mandate::new(&config.stocks, &config.env, &config.portfolio);
        let (stocks, portfolio) = (mandate.stocks.len(), &mandate.portfolio);
        let features = config.features.for_bars(minutes);
        let learner = config.learner.in_bars(minutes);
        let (meta, long_only) = (&portfolio.meta_policy, mandate.env.long_only);
        let rules = match meta.enabled {
            true => Some(Rules::new(stocks, meta, long_only)?),
            false => None,
        };
        Ok(LiveDesk {
            limits: mandate.limits(&model.fit.relations.correlation),
            start,
            about: PanelAbout {
                stocks: mandate.stocks.clone(),
                feature_names: feature_names(&features),
                rows: 1,
                note: String::new(),
            },
            features: FeatureStream::new(&features, model.fit.scaler.clone(), &model.fit.peers),
            risk: EqualRisk::new(stocks, portfolio),
            rules,
            expert_weights: model.expert_weights.clone(),
            actors: model.actors(&learner, device(&config.device)?, &mandate.env)?,
            last: None,
            open: None,
            values: vec![Vec::new(); stocks],
            mandate,
        })
    }

    /// Takes in the row after the last one: orders are filled at its opens, and new ones decided at
    /// its close. Returns whether the account is open.
    ///
    /// Errors: a strategy fails; a value is not a number.
    pub(crate) fn take(&mut self, row: &Row) -> Result<bool> {
        self.features.update(&row.bars, &row.extras);
        let now = panel_row(row.end_s, self.features.bars(), self.features.features());
        let (panel, t) = self.panel(now.clone());
        self.last = Some(now);
        let view = panel.view(t);
        let stocks = self.mandate.stocks.len();
        self.risk.observe(&view);
        let plan = || CapitalPlan::of(&self.risk, stocks, t + 1);
        let rules = self.rules.as_mut().map(|rules| rules.at(&view)).transpose()?;
        let is_settled = (0..stocks).any(|stock| view.bar(stock).tradable);
        match &mut self.open {
            Some(open) => {
                open.trader.advance(&view, &mut |_| {});
                open.dqn.advance(&view);
                open.benchmark.advance(&panel.view(t - 1), &view);
            }
            None if market_date(row.end_s) >= self.start && is_settled => {
                let limits = &self.limits;
                let account = || BacktestAccount::start(&self.mandate, plan(), &view, limits);
                let meta = MetaPolicy::without_rows(&self.mandate)?;
                let (terms, weights) = (&self.actors.terms, self.expert_weights.as_ref());
                let trader = Trader::new(&self.mandate, account(), meta, terms, weights);
                let Mandate { stocks, env, .. } = &self.mandate;
                let benchmark = BuyAndHold::start(stocks, &view, env);
                let (dqn, next_orders) = (account(), Vec::new());
                self.open = Some(OpenAccount { trader, dqn, benchmark, next_orders });
            }
            None => return Ok(false),
        }
        let plans = [plan(), plan()];
        self.decide(&panel, t, plans, rules)?;
        Ok(true)
    }

    fn decide(
        &mut self,
        panel: &Panel,
        t: usize,
        [plan, of_dqn]: [CapitalPlan; 2],
        rules: Option<RulePositions>,
    ) -> Result<()> {
        let Actors { networks, agents, .. } = &mut self.actors;
        let of_all: Vec<(&mut Agent, &mut Vec<f32>)> =
            agents.iter_mut().zip(&mut self.values).collect();
        run_parallel(of_all, |(agent, values)| agent.values(networks, panel, &[t as u32], values));
        if self.values.iter().flatten().any(|value| value.is_nan()) {
            anyhow::bail!(
                "its network gives values that are not numbers; train it again with a lower \
                 --learning-rate"
            );
        }
        let view = panel.view(t);
        let open = self.open.as_mut().expect("opened before its first decision");
        open.trader.know(plan, rules);
        open.trader.decide(&view, |stock| &self.values[stock][..]);
        open.dqn.know(of_dqn, None);
        open.dqn.order(&view, open.trader.wanted());
        open.next_orders = open.trader.next_orders(&view);
        Ok(())
    }

    /// The last row, if there is one, and `now`; and the place of `now`.
    fn panel(&self, now: PanelRows) -> (Panel, usize) {
        let (rows, t) = match &self.last {
            Some(last) => (joined(last.clone(), now), 1),
            None => (now, 0),
        };
        (Panel::in_memory(PanelAbout { rows: t + 1, ..self.about.clone() }, rows), t)
    }

    /// What is to be traded at the next open.
    pub(crate) fn next_orders(&self) -> &[NextOrder] {
        self.open.as_ref().map_or(&[], |open| &open.next_orders)
    }

    /// The account and buy-and-hold bar by bar; None while it is not open.
    pub(crate) fn records(&self) -> Option<[&BacktestRecord; 2]> {
        self.open.as_ref().map(|open| [open.trader.record(), open.benchmark.record()])
    }

    /// The account of the DQN alone, bar by bar; None likewise.
    pub(crate) fn dqn(&self) -> Option<&BacktestRecord> {
        self.open.as_ref().map(|open| open.dqn.backtest().so_far())
    }

    /// What came of it so far; None while the account is not open.
    pub(crate) fn so_far(&self) -> Option<EvaluationResult> {
        let OpenAccount { trader, benchmark, next_orders, .. } = self.open.as_ref()?;
        let result = trader.so_far(&self.mandate, benchmark.record().clone());
        Some(EvaluationResult { next_orders: next_orders.clone(), ..result })
    }

    pub(crate) fn mandate(&self) -> &Mandate {
        &self.mandate
    }
}

fn panel_row(end_s: i64, bars: &[PanelBar], features: &[f32]) -> PanelRows {
    let column = |of: fn(&PanelBar) -> f64| bars.iter().map(of).collect();
    PanelRows {
        end_s: vec![end_s],
        open: column(|bar| bar.open),
        high: column(|bar| bar.high),
        low: column(|bar| bar.low),
        close: column(|bar| bar.close),
        volume: column(|bar| bar.volume),
        tradable: bars.iter().map(|bar| bar.tradable).collect(),
        features: features.to_vec(),
    }
}

fn joined(mut first: PanelRows, second: PanelRows) -> PanelRows {
    first.end_s.extend(second.end_s);
    first.open.extend(second.open);
    first.high.extend(second.high);
    first.low.extend(second.low);
    first.close.extend(second.close);
    first.volume.extend(second.volume);
    first.tradable.extend(second.tradable);
    first.features.extend(second.features);
    first
}
