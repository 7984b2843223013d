//! Days, sessions and market of a configuration.

use super::SessionLength;
use super::models::Variable;
use crate::agents::step_time::StepTime;
use crate::config::ConfigError;
use crate::market::calendar::Calendar;
use crate::source::SYNTHETIC;

/// Start, end and length of the sessions: by the hour for AI-Trader's hourly agents and where the
/// dates have times of day; else by the day.
pub(super) fn sessions(
    agent_type: Option<&str>,
    given: Option<SessionLength>,
    [init, end]: [StepTime; 2],
) -> Result<(SessionLength, [StepTime; 2]), ConfigError> {
    let time = |stamp: &StepTime| stamp.time.map(|time| time.format("%H:%M:%S").to_string());
    let begins_day = time(&init).is_none_or(|time| time == "00:00:00");
    let ends_day = time(&end).is_none_or(|time| matches!(&time[..], "00:00:00" | "23:59:59"));
    let hourly = agent_type.is_some_and(|kind| kind.ends_with("_Hour"));
    let by_dates = match hourly || !(begins_day && ends_day) {
        true => SessionLength::Hour,
        false => SessionLength::Day,
    };
    let length = given.unwrap_or(by_dates);
    let days = [init, end].map(|stamp| StepTime::from_date(stamp.date));
    let period = if length == SessionLength::Day { days } else { [init, end] };
    if period[1].last_moment() < period[0].last_moment() {
        let what = format!("{} is before {}", period[1], period[0]);
        let hint = "the last day must not be before the first";
        return Err(ConfigError::new("date_range.end_date", what, hint));
    }
    Ok((length, period))
}

/// The calendar that is named, else that of AI-Trader's markets, which its types of agents name,
/// too.
pub(super) fn calendar(
    name: Option<&str>,
    market: Option<&str>,
    agent_type: Option<&str>,
    data: Option<&str>,
) -> Result<Calendar, ConfigError> {
    let of_type = agent_type.and_then(|kind| match kind {
        _ if kind.starts_with("BaseAgentAStock") => Some("cn"),
        _ if kind.starts_with("BaseAgentCrypto") => Some("crypto"),
        _ => None,
    });
    let market = of_type.or(market).unwrap_or("us");
    let own = match market {
        "us" => Calendar::Nyse,
        "cn" => "XSHG".parse().expect("the table has Shanghai"),
        "crypto" => Calendar::Always,
        other => {
            let what = format!("{other:?} is none of us, cn and crypto");
            let hint = "name an exchange with calendar, as \"XLON\"";
            return Err(ConfigError::new("market", what, hint));
        }
    };
    // The built-in prices are made up like those of New York.
    if market != "us" && data.is_none() {
        let what = format!("is {market}, for which the program has no prices of its own");
        let hint = "name yours in `data`, a folder or azure";
        return Err(ConfigError::new("market", what, hint));
    }
    if market != "us" && data.is_some_and(|data| data.starts_with(SYNTHETIC)) {
        let what = format!("is {market}, but the made-up prices of `data` are those of New York");
        let hint = "name yours in `data`, a folder or azure, or leave `market` out";
        return Err(ConfigError::new("market", what, hint));
    }
    match name {
        Some(name) => {
            name.parse().map_err(|e: String| ConfigError::new("calendar", "is unknown", e))
        }
        None => Ok(own),
    }
}

pub(super) fn date(
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
