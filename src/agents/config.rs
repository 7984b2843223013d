//! The JSON configuration of a run of agents. The format is that of HKUDS/AI-Trader, with
//! additional keys.

mod budget;
mod checks;
mod file;
mod models;
mod period;
mod universe;

use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use reqwest::Url;
use serde::Deserialize;

use super::secret::Secret;
use super::step_time::StepTime;
use crate::config::{ConfigError, EnvConfig};
use crate::files::read_text;
use crate::market::calendar::Calendar;
use crate::market::{Period, Symbol};
use crate::strategy::GivenParameters;
use crate::strategy::ensemble::EnsembleMethod;

pub use budget::TokenPrice;
pub(crate) use budget::{AfterBudget, Budget, Limits};

/// All settings of a run, checked as far as possible without data.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AgentsConfig {
    /// Start of the accounts, all in cash. Trading starts with the next day or bar.
    pub(crate) init: StepTime,
    /// The last day, or the last start time of a bar.
    pub(crate) end: StepTime,
    /// The first day of an account: that of `init`, or of an account that was started in an earlier
    /// run.
    pub(crate) first_day: NaiveDate,
    /// How often there is a session and a record.
    pub(crate) sessions: SessionLength,
    /// The enabled models; signatures are unique.
    pub(crate) models: Vec<AgentSpec>,
    /// Sessions of the language models.
    pub(crate) session: SessionConfig,
    /// Initial cash of every agent, in the currency of the prices.
    pub(crate) initial_cash: f64,
    /// Each agent's files are in the subfolder of its signature.
    pub(crate) log_path: PathBuf,
    pub(crate) stocks: Vec<Symbol>,
    /// The data source, as for `--data`.
    pub(crate) data: Option<String>,
    /// Azure Blob container.
    pub(crate) container: String,
    /// Bar length, minutes; None: that of the data.
    pub(crate) bar_minutes: Option<u32>,
    /// When the market is open, and in which zone its dates are.
    pub(crate) calendar: Calendar,
    /// Calendar days before the first day that are also loaded, for the warm-up of indicators and
    /// as history.
    pub(crate) lead_days: u32,
    /// Fee per trade, basis points of its value.
    pub(crate) fee_bps: f64,
    /// Distance of a fill from the open, against the trader, basis points.
    pub(crate) slippage_bps: f64,
    /// Maximum number of agents that run at the same time.
    pub(crate) max_concurrent: usize,
    /// Time limit per agent, seconds.
    pub(crate) timeout_s: f64,
    /// Memory limit per agent that runs in its own process, MiB.
    pub(crate) max_memory_mb: u64,
    /// Remarks for the user on how the file was interpreted.
    pub(crate) notices: Vec<String>,
}

/// How often a language model is asked, and an account recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SessionLength {
    Day,
    /// The bars that start in one hour.
    Hour,
    Bar,
}

impl SessionLength {
    /// Its name in the configuration.
    pub(crate) fn word(self) -> &'static str {
        match self {
            SessionLength::Day => "day",
            SessionLength::Hour => "hour",
            SessionLength::Bar => "bar",
        }
    }
}

/// One agent.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentSpec {
    /// Name for messages and tables.
    pub name: String,
    /// Name of the agent's folder.
    pub signature: String,
    /// What makes its decisions.
    pub kind: AgentKind,
}

/// What an agent decides with.
#[derive(Clone, Debug, PartialEq)]
pub enum AgentKind {
    /// A trained run; `results` is its results folder.
    Dqn {
        /// Results folder of the run, which has the model and its settings.
        results: PathBuf,
    },
    /// One strategy of the registry.
    Strategy(StrategyChoice),
    /// Several strategies, combined.
    Ensemble(Ensemble),
    /// A language model behind an OpenAI-compatible endpoint.
    Llm(LlmConfig),
}

/// A strategy of the registry.
#[derive(Clone, Debug, PartialEq)]
pub struct StrategyChoice {
    /// Its name in the registry.
    pub strategy: String,
    /// Those that were given; the others have their defaults.
    pub parameters: GivenParameters,
}

/// Strategies that trade as one.
#[derive(Clone, Debug, PartialEq)]
pub struct Ensemble {
    /// In the order of the configuration.
    pub members: Vec<StrategyChoice>,
    /// How the members' targets are combined.
    pub method: EnsembleMethod,
    /// One per member.
    pub weights: Vec<f64>,
    /// Window of the weights by variance or performance, in bars.
    pub window_bars: usize,
}

/// The endpoint of a language model, and how to reach it.
#[derive(Clone, Debug, PartialEq)]
pub struct LlmConfig {
    /// The endpoint's name of the model.
    pub basemodel: String,
    /// URL of the endpoint, without `/chat/completions`.
    pub base_url: Url,
    /// None if the endpoint requires none.
    pub(crate) api_key: Option<Secret>,
    /// None if it is not given.
    pub price: Option<TokenPrice>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SessionConfig {
    /// Maximum number of answers of the model per session.
    pub(crate) max_steps: u32,
    /// Number of retries of a failed request.
    pub(crate) max_retries: u32,
    /// Delay before the first retry, seconds; it doubles with each further one.
    pub(crate) base_delay_s: f64,
    /// Time limit of one answer, seconds.
    pub(crate) request_timeout_s: f64,
    /// What a model may use.
    pub(crate) budget: Budget,
}

impl AgentKind {
    /// The value of `kind` in the configuration.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            AgentKind::Dqn { .. } => "dqn",
            AgentKind::Strategy(_) => "strategy",
            AgentKind::Ensemble(_) => "ensemble",
            AgentKind::Llm(_) => "llm",
        }
    }
}

impl AgentsConfig {
    /// Reads and checks `path`. Dates in the environment (`INIT_DATE`, `END_DATE`) override the
    /// file's; key and endpoint in the environment (`OPENAI_API_KEY`, `OPENAI_API_BASE`) are the
    /// defaults of the models. Errors name the file and the field.
    pub(crate) fn read(path: &Path) -> Result<AgentsConfig, ConfigError> {
        let text = read_text(path).map_err(|e| {
            let hint = "name a JSON file; configs/default_config.json is an example";
            ConfigError::new(&path.display().to_string(), e.to_string(), hint).caused_by(e)
        })?;
        AgentsConfig::parse(&text, &|name| std::env::var(name).ok()).map_err(|error| {
            let field = format!("{}: {}", path.display(), error.field);
            ConfigError { field, ..error }
        })
    }

    /// Parses the file's `text`, with the given lookup of environment variables.
    pub(crate) fn parse(
        text: &str,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<AgentsConfig, ConfigError> {
        file::parse(text, variable)
    }

    /// The enabled model with that signature.
    pub(crate) fn model(&self, signature: &str) -> Result<&AgentSpec, ConfigError> {
        let found = self.models.iter().find(|model| model.signature == signature);
        found.ok_or_else(|| {
            let known: Vec<&str> = self.models.iter().map(|m| m.signature.as_str()).collect();
            let what = format!("no enabled model has the signature {signature:?}");
            ConfigError::new("--signature", what, format!("there are {}", known.join(", ")))
        })
    }

    /// The days of which bars are loaded.
    pub(crate) fn period(&self) -> Period {
        let lead = chrono::Days::new(self.lead_days.into());
        let start = self.first_day.checked_sub_days(lead).unwrap_or(self.first_day);
        Period { start, end: self.end.date }
    }

    /// Account terms: long only, no borrowed cash.
    pub(crate) fn env(&self) -> EnvConfig {
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
