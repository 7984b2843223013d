//! Parses and checks the configuration file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use super::models::{AgentEntry, Variable, models};
use super::{AgentsConfig, SessionConfig};
use crate::agents::step_time::StepTime;
use crate::config::{ConfigError, RunConfig};
use crate::market::Symbol;
use crate::market::calendar::Calendar;
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
    stocks: Option<Vec<Symbol>>,
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
    let file: File = serde_json::from_str(text).map_err(|e| {
        let hint = "JSON has no comments and no comma before } or ]; see docs/agents.md";
        ConfigError::new("the file", e.to_string(), hint).caused_by(e)
    })?;
    let mut notices = notices_on_unknown_keys(&file);
    let init = date("init_date", "INIT_DATE", file.date_range.init_date, variable, &mut notices)?;
    let end = date("end_date", "END_DATE", file.date_range.end_date, variable, &mut notices)?;
    if end.last_moment() < init.last_moment() {
        let what = format!("{end} is before {init}");
        return Err(ConfigError::new(
            "date_range.end_date",
            what,
            "the last day must not be before the first",
        ));
    }
    let calendar = calendar(file.calendar.as_deref(), file.market.as_deref())?;
    let hourly = file.agent_type.as_deref().is_some_and(|kind| kind.ends_with("_Hour"));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let standard = RunConfig::default();
    let config = AgentsConfig {
        first_day: init.date,
        init,
        end,
        by_bar: hourly || init.time.is_some() || end.time.is_some(),
        models: models(file.models, variable)?,
        session: SessionConfig {
            max_steps: file.agent_config.max_steps,
            max_retries: file.agent_config.max_retries,
            base_delay_s: file.agent_config.base_delay,
            request_timeout_s: file.agent_config.request_timeout_s,
        },
        initial_cash: file.agent_config.initial_cash,
        log_path: file.log_config.log_path,
        stocks: file.stocks.unwrap_or(standard.stocks),
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

/// That which is named, else that of AI-Trader's markets.
fn calendar(name: Option<&str>, market: Option<&str>) -> Result<Calendar, ConfigError> {
    if let Some(name) = name {
        return name.parse().map_err(|e: String| ConfigError::new("calendar", "is unknown", e));
    }
    match market {
        None | Some("us") => Ok(Calendar::Nyse),
        Some("cn") => Ok("XSHG".parse().expect("the table has Shanghai")),
        Some("crypto") => Ok(Calendar::Always),
        Some(other) => {
            let what = format!("{other:?} is none of us, cn and crypto");
            Err(ConfigError::new("market", what, "name an exchange with calendar, as \"XLON\""))
        }
    }
}

fn date(
    key: &str,
    name: &str,
    given: Option<String>,
    variable: &Variable<'_>,
    notices: &mut Vec<String>,
) -> Result<StepTime, ConfigError> {
    let field = format!("date_range.{key}");
    let set = variable(name).filter(|text| !text.trim().is_empty());
    if let Some(text) = &set {
        notices.push(format!("{name}={} in the environment overrides {field}", text.trim()));
    }
    let (field, text) = match (set, given) {
        (Some(text), _) => (name.to_string(), text),
        (None, Some(text)) => (field, text),
        (None, None) => {
            let hint = format!("add it, or set {name}");
            return Err(ConfigError::new(&field, "is missing", hint));
        }
    };
    text.parse().map_err(|what: String| {
        ConfigError::new(&field, what, "write YYYY-MM-DD or YYYY-MM-DD HH:MM:SS")
    })
}

fn check_numbers(config: &AgentsConfig) -> Result<(), ConfigError> {
    let check = |field: &str, holds: bool, rule: &str| {
        if holds { Ok(()) } else { Err(ConfigError::new(field, "is out of range", rule)) }
    };
    let mut named = config.stocks.clone();
    named.sort();
    named.dedup();
    check("stocks", !named.is_empty(), "name at least one")?;
    check("stocks", named.len() == config.stocks.len(), "give each symbol once")?;
    let cash = config.initial_cash;
    check("agent_config.initial_cash", (0.01..=1e15).contains(&cash), "take 0.01 to 1e15")?;
    let session = &config.session;
    let tries = session.max_retries;
    check("agent_config.max_steps", (1..=10_000).contains(&session.max_steps), "take 1 to 10000")?;
    check("agent_config.max_retries", tries <= 1_000, "take 0 to 1000")?;
    let delay = session.base_delay_s;
    check("agent_config.base_delay", (0.0..=3_600.0).contains(&delay), "take 0 to 3600 seconds")?;
    let answer = session.request_timeout_s;
    let rule = "take 0.1 to 3600 seconds";
    check("agent_config.request_timeout_s", (0.1..=3_600.0).contains(&answer), rule)?;
    let minutes = config.bar_minutes.unwrap_or(1);
    check("bar_minutes", (1..=1_440).contains(&minutes), "take 1 to 1440")?;
    check("lead_days", config.lead_days <= 36_525, "take 0 to 36525")?;
    for (field, bps) in [("fee_bps", config.fee_bps), ("slippage_bps", config.slippage_bps)] {
        check(field, (0.0..1_000.0).contains(&bps), "take 0 to below 1000")?;
    }
    check("max_concurrent", (1..=1_024).contains(&config.max_concurrent), "use 1 to 1024")?;
    let seconds = config.timeout_s;
    check("timeout_s", seconds > 0.0 && seconds <= 1e9, "use a number above 0")?;
    check("max_memory_mb", (8..=1 << 30).contains(&config.max_memory_mb), "use 8 or more")
}
