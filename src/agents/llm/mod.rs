//! A language model as an agent: before every day (or bar) it is asked, with tools, what to trade.
//! Sessions are independent: the prompt follows from the position file and the bars, so an
//! interrupted run resumes as if it had not been interrupted.

mod client;
mod protocol;
mod tools;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::bars::TradingStep;
use super::config::{AgentSpec, AgentsConfig, LlmConfig};
use super::journal::TradeActionKind;
use super::ledger::ShareOrder;
use super::metrics::TokenUsage;
use super::paper_broker::{PaperBroker, StepTrades};
use super::step_time::StepTime;
use crate::market::Symbol;
use crate::strategy::Cancel;
use client::LlmClient;
use protocol::{ModelReply, Usage};

/// Text with which models tuned for HKUDS/AI-Trader end a session.
const FINISHED: &str = "<FINISH_SIGNAL>";
/// Maximum number of calls in one answer that are executed.
const MAX_CALLS: usize = 64;
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

pub(crate) struct LlmSession<'a> {
    config: &'a AgentsConfig,
    model: &'a AgentSpec,
    client: LlmClient,
    tools: Value,
    cancel: &'a Cancel,
    say: &'a dyn Fn(&str),
    /// Time of the last progress line.
    told: Instant,
}

impl<'a> LlmSession<'a> {
    pub(crate) fn new(
        config: &'a AgentsConfig,
        model: &'a AgentSpec,
        endpoint: &LlmConfig,
        cancel: &'a Cancel,
        say: &'a dyn Fn(&str),
    ) -> Result<LlmSession<'a>> {
        let client = LlmClient::new(endpoint, &config.session, &model.signature, cancel)?;
        let (tools, told) = (tools::described(), Instant::now());
        Ok(LlmSession { config, model, client, tools, cancel, say, told })
    }

    /// Asks the model before the first bar of `step`, and fills its orders at each stock's first
    /// open in the step.
    pub(crate) fn trade(&mut self, broker: &mut PaperBroker<'_>, step: &TradingStep) -> Result<()> {
        self.cancel.check()?;
        // Before the first bar there is no data to decide on.
        let orders = match step.rows.start.checked_sub(1) {
            Some(t) => self
                .ask(broker, &step.stamp, t)
                .with_context(|| format!("{}, {}", self.model.signature, step.stamp))?,
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

    /// The model's orders, given the bars up to row `t`.
    fn ask(&self, broker: &PaperBroker<'_>, stamp: &StepTime, t: usize) -> Result<Vec<ShareOrder>> {
        let mut trading = tools::TradingTools {
            stocks: broker.bars.stocks(),
            view: broker.bars.view(t),
            ledger: &broker.ledger,
            orders: Vec::new(),
            by_bar: self.config.by_bar,
            is_finished: false,
        };
        let mut messages =
            vec![self.instructions(trading.stocks), self.opening(broker, stamp, &trading)];
        broker.log(stamp, &messages)?;
        for turn in 0..self.config.session.max_steps {
            let answer = self.client.ask(&messages, &self.tools, turn)?;
            let mut new = execute_calls(&answer, &mut trading);
            messages.extend_from_slice(&new);
            new[0]["usage"] = serde_json::to_value(answer.usage)?;
            broker.log(stamp, &new)?;
            if trading.is_finished {
                break;
            }
        }
        Ok(trading.orders)
    }

    fn instructions(&self, stocks: &[Symbol]) -> Value {
        let config = self.config;
        let names: Vec<&str> = stocks.iter().map(Symbol::as_str).collect();
        let span = if config.by_bar { "bar" } else { "day" };
        let content = format!(
            "You manage an account of US stocks, to make it grow and not to lose it. You trade {}, \
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

/// The answer and the results of its calls, as messages.
fn execute_calls(answer: &ModelReply, trading: &mut tools::TradingTools<'_>) -> Vec<Value> {
    let mut new = vec![answer.message()];
    for (i, call) in answer.calls.iter().enumerate() {
        let too_many = || json!({ "error": format!("an answer may have {MAX_CALLS} calls") });
        let told = if i < MAX_CALLS { trading.answer(call) } else { too_many() };
        new.push(call.reply(&told));
    }
    trading.is_finished |= answer.content.contains(FINISHED);
    if answer.calls.is_empty() && !trading.is_finished {
        let words = "Nothing was called. Call a tool; when you are done, call finish.";
        new.push(json!({ "role": "user", "content": words }));
    }
    new
}

/// Total token usage of all sessions, from an agent's logs, including interrupted ones.
pub(crate) fn tokens_of(log: &Path) -> Result<TokenUsage> {
    let mut tokens = TokenUsage::default();
    let Ok(days) = fs::read_dir(log) else { return Ok(tokens) };
    for day in days {
        let Ok(text) = fs::read_to_string(day?.path().join("log.jsonl")) else { continue };
        // An incomplete line belongs to a session that was killed.
        for line in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            let messages = line["new_messages"].as_array().map(Vec::as_slice).unwrap_or_default();
            for usage in messages.iter().filter_map(|message| message.get("usage")) {
                let usage: Usage = serde_json::from_value(usage.clone()).unwrap_or_default();
                tokens.requests += 1;
                tokens.prompt_tokens += usage.prompt_tokens;
                tokens.completion_tokens += usage.completion_tokens;
            }
        }
    }
    Ok(tokens)
}
