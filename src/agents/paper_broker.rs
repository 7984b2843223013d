//! Fills and records an agent's orders.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::bars::AgentBars;
use super::config::AgentsConfig;
use super::journal::{Journal, Positions, TradeAction, TradeActionKind, append_lines};
use super::ledger::{Ledger, ShareFill, ShareOrder};
use super::step_time::StepTime;

/// Executes and records an agent's orders.
pub(crate) struct PaperBroker<'a> {
    pub(crate) config: &'a AgentsConfig,
    pub(crate) bars: &'a AgentBars,
    /// The agent's folder, with journal, log and figures.
    pub(crate) folder: &'a Path,
    pub(crate) journal: Journal,
    pub(crate) ledger: Ledger,
}

/// The trades of a step, with the positions after each.
pub(crate) type StepTrades = Vec<(Option<TradeAction>, Positions)>;

impl PaperBroker<'_> {
    /// Fills an order at the open of row `t`, as far as cash and shares allow.
    pub(crate) fn fill(
        &mut self,
        order: &ShareOrder,
        t: usize,
        done: &mut StepTrades,
    ) -> Option<ShareFill> {
        let fill = self.ledger.fill(order, &self.bars.view(t))?;
        done.push((Some(TradeAction::from_fill(&fill, self.bars.stocks())), self.positions()));
        Some(fill)
    }

    /// Records a step. A step without trades has a record, too.
    pub(crate) fn close(&mut self, stamp: &StepTime, mut done: StepTrades) -> Result<()> {
        if done.is_empty() {
            done.push((Some(TradeAction::no_trade()), self.positions()));
        }
        self.journal.append(&stamp.to_string(), done)
    }

    pub(crate) fn describe(&self, fill: &ShareFill) -> String {
        let TradeAction { action, symbol, amount } =
            TradeAction::from_fill(fill, self.bars.stocks());
        let verb = match action {
            TradeActionKind::Sell => "sold",
            _ => "bought",
        };
        format!("{verb} {amount} {symbol} at {:.4}", fill.price)
    }

    /// Appends messages to the log of a step.
    pub(crate) fn log(&self, stamp: &StepTime, messages: &[serde_json::Value]) -> Result<()> {
        let signature = self.folder.file_name().unwrap_or_default().to_string_lossy();
        let line = serde_json::json!({ "signature": signature, "new_messages": messages });
        let path = self.log_path(stamp);
        append_lines(&path, format!("{line}\n").as_bytes())
            .with_context(|| format!("{}: cannot be written", path.display()))
    }

    fn log_path(&self, stamp: &StepTime) -> PathBuf {
        self.folder.join("log").join(stamp.to_string()).join("log.jsonl")
    }

    pub(crate) fn positions(&self) -> Positions {
        Positions::new(self.bars.stocks(), |stock| self.ledger.shares(stock), self.ledger.cash())
    }
}
