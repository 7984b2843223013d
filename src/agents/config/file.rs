//! Parses and checks the configuration file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;
use serde_json::error::Category;

use super::budget::{BudgetEntry, check_no_limit};
use super::checks::check_numbers;
use super::models::{AgentEntry, Variable, models};
use super::period::{calendar, date, sessions};
use super::universe::universe;
use super::{AgentsConfig, SessionConfig, SessionLength};
use crate::config::{ConfigError, RunConfig};
use crate::source::CONTAINER;

const LEAD_DAYS: u32 = 120;
const TIMEOUT_S: f64 = 86_400.0;
const MAX_MEMORY_MB: u64 = 4_096;

/// All known keys; others are reported and ignored.
#[derive(Deserialize)]
struct File {
    agent_type: Option<String>,
    market: Option<String>,
    #[serde(default)]
    date_range: DateRange,
    #[serde(default)]
    models: Vec<AgentEntry>,
    #[serde(default)]
    agent_config: AgentConfig,
    #[serde(default)]
    log_config: LogConfig,
    sessions: Option<SessionLength>,
    data: Option<String>,
    container: Option<String>,
    bar_minutes: Option<u32>,
    calendar: Option<String>,
    lead_days: Option<u32>,
    fee_bps: Option<f64>,
    slippage_bps: Option<f64>,
    max_concurrent: Option<usize>,
    timeout_s: Option<f64>,
    max_memory_mb: Option<u64>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Default, Deserialize)]
struct DateRange {
    init_date: Option<String>,
    end_date: Option<String>,
}

#[derive(Deserialize)]
#[serde(default)]
struct AgentConfig {
    max_steps: u32,
    max_retries: u32,
    base_delay: f64,
    request_timeout_s: f64,
    initial_cash: f64,
    budget: BudgetEntry,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(default)]
struct LogConfig {
    log_path: PathBuf,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

impl Default for AgentConfig {
    fn default() -> AgentConfig {
        AgentConfig {
            max_steps: 10,
            max_retries: 3,
            base_delay: 0.5,
            request_timeout_s: 120.0,
            initial_cash: 10_000.0,
            budget: BudgetEntry::default(),
            rest: BTreeMap::new(),
        }
    }
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig { log_path: "./data/agent_data".into(), rest: BTreeMap::new() }
    }
}

pub(super) fn parse(text: &str, variable: &Variable<'_>) -> Result<AgentsConfig, ConfigError> {
    let mut file: File = serde_json::from_str(text).map_err(|e| {
        let hint = match e.classify() {
            Category::Data => "see docs/agents.md",
            _ => "JSON has no comments and no comma before } or ]; see docs/agents.md",
        };
        ConfigError::new("the file", e.to_string(), hint).caused_by(e)
    })?;
    let stocks = universe(&mut file.rest)?;
    check_no_limit("", &file.rest)?;
    check_no_limit("agent_config.", &file.agent_config.rest)?;
    for entry in file.models.iter().filter(|entry| entry.enabled) {
        let of = entry.signature.as_deref().unwrap_or_default();
        check_no_limit(&format!("{of}: "), &entry.rest)?;
    }
    let mut notices = notices_on_unknown_keys(&file);
    let init = date("init_date", "INIT_DATE", file.date_range.init_date, variable, &mut notices)?;
    let end = date("end_date", "END_DATE", file.date_range.end_date, variable, &mut notices)?;
    let agent_type = file.agent_type.as_deref();
    let (sessions, [init, end]) = sessions(agent_type, file.sessions, [init, end])?;
    let market = file.market.as_deref();
    let calendar = calendar(file.calendar.as_deref(), market, agent_type, file.data.as_deref())?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let standard = RunConfig::default();
    let config = AgentsConfig {
        first_day: init.date,
        init,
        end,
        sessions,
        models: models(file.models, variable)?,
        session: SessionConfig {
            max_steps: file.agent_config.max_steps,
            max_retries: file.agent_config.max_retries,
            base_delay_s: file.agent_config.base_delay,
            request_timeout_s: file.agent_config.request_timeout_s,
            budget: file.agent_config.budget.budget()?,
        },
        initial_cash: file.agent_config.initial_cash,
        log_path: file.log_config.log_path,
        stocks: stocks.unwrap_or(standard.stocks),
        data: file.data,
        container: file
            .container
            .or_else(|| variable(CONTAINER))
            .unwrap_or(standard.data.container),
        bar_minutes: file.bar_minutes,
        calendar,
        lead_days: file.lead_days.unwrap_or(LEAD_DAYS),
        fee_bps: file.fee_bps.unwrap_or(standard.env.fee_bps),
        slippage_bps: file.slippage_bps.unwrap_or(standard.env.slippage_bps),
        max_concurrent: file.max_concurrent.unwrap_or(cores),
        timeout_s: file.timeout_s.unwrap_or(TIMEOUT_S),
        max_memory_mb: file.max_memory_mb.unwrap_or(MAX_MEMORY_MB),
        notices,
    };
    check_numbers(&config)?;
    Ok(config)
}

fn notices_on_unknown_keys(file: &File) -> Vec<String> {
    let mut notices = Vec::new();
    let mut ignored: Vec<String> = file.rest.keys().cloned().collect();
    let sections =
        [("agent_config", &file.agent_config.rest), ("log_config", &file.log_config.rest)];
    for (name, rest) in sections {
        ignored.extend(rest.keys().map(|key| format!("{name}.{key}")));
    }
    for entry in file.models.iter().filter(|entry| entry.enabled) {
        let of = entry.signature.as_deref().unwrap_or_default();
        ignored.extend(entry.rest.keys().map(|key| format!("{key} of {of}")));
    }
    if !ignored.is_empty() {
        let several = ignored.len() > 1;
        let verb = if several { "are not known and have" } else { "is not known and has" };
        notices.push(format!("{} {verb} no effect", ignored.join(", ")));
    }
    notices
}
