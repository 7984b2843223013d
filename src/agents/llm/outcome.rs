//! What a model's run came to besides its account: what it used, and what the table has to say.

use std::path::Path;

use anyhow::Result;

use super::usage::SessionTotals;
use crate::agents::config::{AfterBudget, AgentsConfig, LlmConfig};
use crate::agents::journal::JournalRecord;
use crate::agents::metrics::TokenUsage;
use crate::agents::step_time::StepTime;
use crate::report::format::count;
use crate::wording::counted;

/// Follows from the logs and the position file, so that it does not depend on interruptions.
pub(crate) struct LlmOutcome {
    pub(crate) used: TokenUsage,
    pub(crate) notices: Vec<String>,
    /// Why the account says nothing about the model.
    pub(crate) unranked: Option<String>,
}

impl LlmOutcome {
    pub(crate) fn read(
        config: &AgentsConfig,
        endpoint: &LlmConfig,
        signature: &str,
        folder: &Path,
        records: &[JournalRecord],
    ) -> Result<LlmOutcome> {
        let totals = SessionTotals::read(&folder.join("log"), endpoint.price.as_ref())?;
        let used = totals.used;
        let budget = &config.session.budget;
        let mut notices = Vec::new();
        let unasked = sessions_after(records, totals.last.as_ref());
        if let Some(limit) = totals.reached(&budget.per_run).filter(|_| unasked > 0) {
            let until = totals.last.map(|stamp| format!(" on {stamp}")).unwrap_or_default();
            let then = match budget.then {
                AfterBudget::Hold => "held",
                AfterBudget::Sell => "sold",
            };
            notices.push(format!(
                "{signature}: the budget of {limit} was used up{until}; in the {} after \
                 that it was not asked, and its shares were {then}.",
                counted(unasked as usize, "session")
            ));
        }
        if used.estimated > 0 {
            notices.push(format!(
                "{signature}: the endpoint reported no tokens for {} of {}; these are \
                 estimated at four bytes each.",
                count(used.estimated),
                counted(used.requests as usize, "request")
            ));
        }
        let unranked = (used.requests > 0 && used.understood == 0).then(|| match used.misread {
            0 => format!("it called no tool in {}", counted(used.requests as usize, "answer")),
            misread => format!("none of its {} was understood", counted(misread as usize, "call")),
        });
        Ok(LlmOutcome { used, notices, unranked })
    }
}

/// Number of sessions in the position file after `last`.
fn sessions_after(records: &[JournalRecord], last: Option<&StepTime>) -> u64 {
    let mut dates: Vec<&str> = records.iter().skip(1).map(|record| &record.date[..]).collect();
    dates.dedup();
    let is_later = |date: &&&str| {
        let stamp = date.parse::<StepTime>().ok();
        stamp.map(|stamp| stamp.last_moment()) > last.map(StepTime::last_moment)
    };
    dates.iter().filter(is_later).count() as u64
}
