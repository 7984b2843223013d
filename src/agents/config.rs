//! The JSON configuration of a run of agents: the file of the system that this one takes after,
//! which opens unchanged, and what this program adds to it.

mod file;
mod models;

use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use reqwest::Url;

use super::secret::Secret;
use super::stamp::Stamp;
use crate::config::{ConfigError, EnvConfig};
use crate::market::{Period, Symbol};
use crate::strategy::Given;
use crate::strategy::ensemble::EnsembleMethod;

/// Everything that decides a run, checked as far as that goes without data.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentsConfig {
    /// When the accounts begin, all cash. Trading begins with what comes after.
    pub init: Stamp,
    /// The last day, or the last time at which a bar may begin.
    pub end: Stamp,
    /// The first day of an account: that of `init`, or of an account that was begun before.
    pub first_day: NaiveDate,
    /// A session and a record for every bar instead of every day.
    pub by_bar: bool,
    /// Those that are enabled, no signature twice.
    pub models: Vec<Model>,
    /// Of the language models' sessions.
    pub session: SessionConfig,
    /// Cash of every agent at the start, in the currency of the prices.
    pub initial_cash: f64,
    /// Each agent's files are below, in a folder of its signature.
    pub log_path: PathBuf,
    pub stocks: Vec<Symbol>,
    /// As `--data`.
    pub data: Option<String>,
    /// Azure Blob container.
    pub container: String,
    /// Length of a bar; None: as the data has it.
    pub bar_minutes: Option<u32>,
    /// Calendar days before the first one that are read too, for indicators to settle and as
    /// history.
    pub lead_days: u32,
    /// Fee per trade, basis points of its value.
    pub fee_bps: f64,
    /// Distance of a fill from the open, against the trader, basis points.
    pub slippage_bps: f64,
    /// Agents that run at the same time, at most.
    pub max_concurrent: usize,
    /// Seconds for each agent.
    pub timeout_s: f64,
    /// Memory for each agent that runs as a process of its own, MiB.
    pub max_memory_mb: u64,
    /// What a user should know of how the file was read.
    pub notices: Vec<String>,
}

/// One agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub name: String,
    /// Names the agent's folder.
    pub signature: String,
    pub kind: ModelKind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ModelKind {
    /// A trained run, by its results folder.
    Dqn {
        results: PathBuf,
    },
    Strategy(Choice),
    Ensemble(Ensemble),
    Llm(LlmConfig),
}

/// A strategy of the registry.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    pub strategy: String,
    pub parameters: Given,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Ensemble {
    pub members: Vec<Choice>,
    pub method: EnsembleMethod,
    /// One per member.
    pub weights: Vec<f64>,
    /// Bars over which weights by variance or performance look back.
    pub window_bars: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LlmConfig {
    /// As the endpoint calls it.
    pub basemodel: String,
    /// Of the endpoint, without `/chat/completions`.
    pub base_url: Url,
    /// None where the endpoint wants none.
    pub api_key: Option<Secret>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SessionConfig {
    /// Answers of the model in one session, at most.
    pub max_steps: u32,
    /// How often a request that failed is sent again.
    pub max_retries: u32,
    /// Before the first repetition, seconds; it doubles with each further one.
    pub base_delay_s: f64,
    /// For one answer, seconds.
    pub request_timeout_s: f64,
}

impl ModelKind {
    /// As the configuration spells it.
    pub fn word(&self) -> &'static str {
        match self {
            ModelKind::Dqn { .. } => "dqn",
            ModelKind::Strategy(_) => "strategy",
            ModelKind::Ensemble(_) => "ensemble",
            ModelKind::Llm(_) => "llm",
        }
    }
}

impl AgentsConfig {
    /// Reads and checks `path`. Dates in the environment (`INIT_DATE`, `END_DATE`) override the
    /// file's; a key and an endpoint (`OPENAI_API_KEY`, `OPENAI_API_BASE`) fill in for models
    /// without.
    pub fn read(path: &Path) -> Result<AgentsConfig, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|e| {
            let hint = "name a JSON file; configs/default_config.json is an example";
            ConfigError::new(&path.display().to_string(), e.to_string(), hint).caused_by(e)
        })?;
        AgentsConfig::parse(&text, &|name| std::env::var(name).ok()).map_err(|error| {
            let field = format!("{}: {}", path.display(), error.field);
            ConfigError { field, ..error }
        })
    }

    /// Of the file's `text`, in an environment of these variables.
    pub fn parse(
        text: &str,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<AgentsConfig, ConfigError> {
        file::parse(text, variable)
    }

    /// The enabled model of that signature.
    pub fn model(&self, signature: &str) -> Result<&Model, ConfigError> {
        let found = self.models.iter().find(|model| model.signature == signature);
        found.ok_or_else(|| {
            let known: Vec<&str> = self.models.iter().map(|m| m.signature.as_str()).collect();
            let what = format!("no enabled model has the signature {signature:?}");
            ConfigError::new("--signature", what, format!("there are {}", known.join(", ")))
        })
    }

    /// The days of which bars are read.
    pub fn period(&self) -> Period {
        let lead = chrono::Days::new(self.lead_days.into());
        let start = self.first_day.checked_sub_days(lead).unwrap_or(self.first_day);
        Period { start, end: self.end.date }
    }

    /// The terms on which accounts trade: own cash only, nothing sold that is not held.
    pub fn env(&self) -> EnvConfig {
        EnvConfig {
            fee_bps: self.fee_bps,
            slippage_bps: self.slippage_bps,
            long_only: true,
            initial_cash: self.initial_cash,
            ..EnvConfig::default()
        }
    }
}

#[cfg(test)]
mod tests;
