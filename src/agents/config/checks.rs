//! Bounds of the numbers of a configuration.

use super::{AgentKind, AgentsConfig};
use crate::config::ConfigError;

pub(super) fn check_numbers(config: &AgentsConfig) -> Result<(), ConfigError> {
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
    check("max_memory_mb", (8..=1 << 30).contains(&config.max_memory_mb), "use 8 or more")?;
    let has_no_price =
        |kind: &AgentKind| matches!(kind, AgentKind::Llm(llm) if llm.price.is_none());
    let unpriced = config.models.iter().find(|model| has_no_price(&model.kind));
    if let (Some(key), Some(model)) = (session.budget.cost_key(), unpriced) {
        let what = format!("limits money, and {} has no price", model.signature);
        let hint = r#"give the model "price_per_mtok": {"input": 1.25, "output": 10}"#;
        return Err(ConfigError::new(key, what, hint));
    }
    Ok(())
}
