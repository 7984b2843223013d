//! Fills and records an agent's orders.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::bars::Bars;
use super::config::AgentsConfig;
use super::journal::{Act, Action, Journal, Positions, append_lines};
use super::ledger::{Fill, Ledger, Order};
use super::stamp::Stamp;

/// Executes and records an agent's orders.
pub struct Desk<'a> {
    pub config: &'a AgentsConfig,
    pub bars: &'a Bars,
    /// The agent's folder, with journal, log and figures.
    pub folder: &'a Path,
    pub journal: Journal,
    pub ledger: Ledger,
}

/// The trades of a step, with the positions after each.
pub type Done = Vec<(Option<Action>, Positions)>;

impl Desk<'_> {
    /// Fills an order at the open of row `t`, as far as cash and shares allow.
    pub fn fill(&mut self, order: &Order, t: usize, done: &mut Done) -> Option<Fill> {
        let fill = self.ledger.fill(order, &self.bars.view(t))?;
        done.push((Some(Action::of(&fill, self.bars.stocks())), self.positions()));
        Some(fill)
    }

    /// Records a step. A step without trades has a record, too.
    pub fn close(&mut self, stamp: &Stamp, mut done: Done) -> Result<()> {
        if done.is_empty() {
            done.push((Some(Action::none()), self.positions()));
        }
        self.journal.append(&stamp.to_string(), done)
    }

    pub fn in_words(&self, fill: &Fill) -> String {
        let Action { action, symbol, amount } = Action::of(fill, self.bars.stocks());
        let verb = match action {
            Act::Sell => "sold",
            _ => "bought",
        };
        format!("{verb} {amount} {symbol} at {:.4}", fill.price)
    }

    /// Appends messages to the log of a step.
    pub fn log(&self, stamp: &Stamp, messages: &[serde_json::Value]) -> Result<()> {
        let signature = self.folder.file_name().unwrap_or_default().to_string_lossy();
        let line = serde_json::json!({ "signature": signature, "new_messages": messages });
        let path = self.log_path(stamp);
        append_lines(&path, format!("{line}\n").as_bytes())
            .with_context(|| format!("{}: cannot be written", path.display()))
    }

    fn log_path(&self, stamp: &Stamp) -> PathBuf {
        self.folder.join("log").join(stamp.to_string()).join("log.jsonl")
    }

    pub fn positions(&self) -> Positions {
        Positions::of(self.bars.stocks(), |stock| self.ledger.shares(stock), self.ledger.cash())
    }
}
