//! A language model as an agent: before every day (or bar) it is asked, with tools, what to trade.
//! Sessions are independent: the prompt follows from the position file and the bars, so an
//! interrupted run resumes as if it had not been interrupted.

mod arguments;
mod client;
mod endpoint;
mod failure;
mod outcome;
mod protocol;
mod proxy;
mod server_words;
mod stream;
mod text_calls;
mod tools;
mod usage;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::bars::TradingStep;
use super::config::{AfterBudget, AgentSpec, AgentsConfig, LlmConfig, SessionLength};
use super::journal::TradeActionKind;
use super::ledger::{ShareOrder, Side};
use super::paper_broker::{PaperBroker, StepTrades};
use super::step_time::StepTime;
use crate::market::Symbol;
use crate::strategy::Cancel;
use client::LlmClient;
use protocol::ModelReply;
use usage::{AnswerUsage, SessionTotals};

pub(crate) use outcome::LlmOutcome;

/// Text with which models tuned for HKUDS/AI-Trader end a session.
const FINISHED: &str = "<FINISH_SIGNAL>";
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

pub(crate) struct LlmSession<'a> {
    config: &'a AgentsConfig,
    model: &'a AgentSpec,
    endpoint: &'a LlmConfig,
    client: LlmClient,
    /// Of all sessions, also of earlier runs.
    totals: SessionTotals,
    tools: Value,
    cancel: &'a Cancel,
    say: &'a dyn Fn(&str),
    /// Time of the last progress line.
    told: Instant,
}

impl<'a> LlmSession<'a> {
    /// `folder` has the agent's logs.
    pub(crate) fn new(
        config: &'a AgentsConfig,
        model: &'a AgentSpec,
        endpoint: &'a LlmConfig,
        folder: &Path,
        cancel: &'a Cancel,
        say: &'a dyn Fn(&str),
    ) -> Result<LlmSession<'a>> {
        let client = LlmClient::new(endpoint, &config.session, &model.signature, cancel)?;
        let (tools, told) = (tools::described(), Instant::now());
        let totals = SessionTotals::read(&folder.join("log"), endpoint.price.as_ref())?;
        Ok(LlmSession { config, model, endpoint, client, totals, tools, cancel, say, told })
    }

    /// Asks the model before the first bar of `step`, and fills its orders at each stock's first
    /// open in the step.
    pub(crate) fn trade(&mut self, broker: &mut PaperBroker<'_>, step: &TradingStep) -> Result<()> {
        self.cancel.check()?;
        // Before the first bar there is no data to decide on.
        let orders = match step.rows.start.checked_sub(1) {
            Some(t) if self.totals.reached(&self.config.session.budget.per_run).is_some() => {
                self.without_budget(broker, t)
            }
            Some(t) => {
                let signature = &self.model.signature;
                let place = || format!("{signature}, {}", step.stamp);
                self.ask(broker, &step.stamp, t).with_context(place)?
            }
            None => Vec::new(),
        };
        let (mut done, mut told) = (StepTrades::new(), Vec::new());
        let mut open = orders;
        for t in step.rows.clone() {
            let view = broker.bars.view(t);
            let (now, later): (Vec<ShareOrder>, _) =
                open.into_iter().partition(|order| view.bar(order.stock).tradable);
            open = later;
            for order in now {
                let symbol = &broker.bars.stocks()[order.stock];
                let asked = order.shares;
                told.push(match broker.fill(&order, t, &mut done) {
                    Some(fill) if fill.shares < asked => {
                        format!(
                            "{}, for {asked} cash or shares did not reach",
                            broker.describe(&fill)
                        )
                    }
                    Some(fill) => broker.describe(&fill),
                    None => format!("an order of {asked} {symbol}: nothing was left for it"),
                });
            }
        }
        told.extend(open.iter().map(|order| {
            format!(
                "an order of {} {}: no bar to fill it",
                order.shares,
                broker.bars.stocks()[order.stock]
            )
        }));
        if !told.is_empty() {
            let fills = json!({ "role": "user", "content": told.join("\n") });
            broker.log(&step.stamp, &[fills])?;
        }
        broker.close(&step.stamp, done)?;
        if self.told.elapsed() > PROGRESS_INTERVAL {
            (self.say)(&format!("{} is done", step.stamp));
            self.told = Instant::now();
        }
        Ok(())
    }

    /// The orders of a model that is not asked any more.
    fn without_budget(&self, broker: &PaperBroker<'_>, t: usize) -> Vec<ShareOrder> {
        let view = broker.bars.view(t);
        let sale = |stock| {
            let shares = broker.ledger.shares(stock);
            (shares > 0).then(|| ShareOrder::at(&view, stock, Side::Sell, shares))
        };
        match self.config.session.budget.then {
            AfterBudget::Hold => Vec::new(),
            AfterBudget::Sell => (0..broker.bars.stocks().len()).filter_map(sale).collect(),
        }
    }

    /// The model's orders, given the bars up to row `t`.
    fn ask(
        &mut self,
        broker: &PaperBroker<'_>,
        stamp: &StepTime,
        t: usize,
    ) -> Result<Vec<ShareOrder>> {
        let session = &self.config.session;
        let mut trading = tools::TradingTools {
            stocks: broker.bars.stocks(),
            view: broker.bars.view(t),
            ledger: &broker.ledger,
            orders: Vec::new(),
            by_bar: self.config.sessions != SessionLength::Day,
            is_finished: false,
            understood: 0,
            misread: 0,
        };
        let mut messages =
            vec![self.instructions(trading.stocks), self.opening(broker, stamp, &trading)];
        broker.log(stamp, &messages)?;
        let mut of_session = SessionTotals::default();
        for turn in 0..session.max_steps {
            let answer = self.client.ask(&messages, &self.tools, turn)?;
            let mut used = AnswerUsage::new(answer.usage, self.client.take_traffic());
            let mut new = execute_calls(&answer, &mut trading, session.budget.calls_per_answer);
            used.understood = Some(std::mem::take(&mut trading.understood));
            used.misread = std::mem::take(&mut trading.misread);
            messages.extend_from_slice(&new);
            new[0]["usage"] = serde_json::to_value(used)?;
            broker.log(stamp, &new)?;
            for totals in [&mut of_session, &mut self.totals] {
                totals.add(&used, Some(stamp), self.endpoint.price.as_ref());
            }
            if trading.is_finished {
                break;
            }
            let of_run = self.totals.reached(&session.budget.per_run);
            let spent = of_session.reached(&session.budget.per_session).or(of_run);
            if let Some(spent) = spent {
                let told = format!("The budget of {spent} is used up; the orders so far count.");
                broker.log(stamp, &[json!({ "role": "user", "content": told })])?;
                break;
            }
        }
        Ok(trading.orders)
    }

    fn instructions(&self, stocks: &[Symbol]) -> Value {
        let config = self.config;
        let names: Vec<&str> = stocks.iter().map(Symbol::as_str).collect();
        let span = config.sessions.word();
        let content = format!(
            "You manage an account of stocks, to make it grow and not to lose it. You trade {}, \
             in whole shares, with your own cash only: no short sales, no debt. You are asked \
             before every {span} and know prices up to now. What you order is filled at the next \
             open, in the order in which you gave it, as far as cash reaches; every trade costs {} \
             basis points of fee and {} of slippage. Look at prices and positions with the tools, \
             order with buy and sell, and call finish when you are done. You have {} answers.",
            names.join(", "),
            config.fee_bps,
            config.slippage_bps,
            config.session.max_steps
        );
        json!({ "role": "system", "content": content })
    }

    fn opening(
        &self,
        broker: &PaperBroker<'_>,
        stamp: &StepTime,
        trading: &tools::TradingTools<'_>,
    ) -> Value {
        let records = broker.journal.records();
        let last = records.last().map(|record| record.date.as_str()).unwrap_or_default();
        let of_last = records.iter().rev().take_while(|record| record.date == last);
        let mut trades: Vec<String> = of_last
            .filter_map(|record| record.this_action.as_ref())
            .filter(|action| action.action != TradeActionKind::NoTrade)
            .map(|action| {
                let verb = if action.action == TradeActionKind::Buy { "bought" } else { "sold" };
                format!("{verb} {} {}", action.amount, action.symbol)
            })
            .collect();
        trades.reverse();
        let trades = if trades.is_empty() { "nothing".into() } else { trades.join(", ") };
        let content = format!(
            "Next is {stamp}. Your account: {}\nTraded on {last}: {trades}.",
            trading.positions()
        );
        json!({ "role": "user", "content": content })
    }
}

/// The answer and the results of its calls, as messages. Calls beyond `most` are not executed.
fn execute_calls(
    answer: &ModelReply,
    trading: &mut tools::TradingTools<'_>,
    most: usize,
) -> Vec<Value> {
    let mut new = vec![answer.message()];
    let too_many = json!({ "error": format!("an answer may have {most} calls") });
    let call = |(i, call)| if i < most { trading.answer(call) } else { too_many.clone() };
    let results: Vec<Value> = answer.calls.iter().enumerate().map(call).collect();
    new.extend(answer.results(&results));
    let is_signal = answer.content.contains(FINISHED);
    trading.is_finished |= is_signal;
    trading.understood += u64::from(is_signal);
    if answer.calls.is_empty() && !trading.is_finished {
        let is_unread = answer.has_unread_call();
        trading.misread += u64::from(is_unread);
        let words = match is_unread {
            true => {
                "Your call could not be read. Call a tool as your interface describes it, or write \
                 {\"name\": \"TOOL\", \"arguments\": {...}} and nothing else."
            }
            false => "Nothing was called. Call a tool; when you are done, call finish.",
        };
        new.push(json!({ "role": "user", "content": words }));
    }
    new
}
