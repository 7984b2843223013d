//! What a model's sessions used, counted from its logs, and the budget that ends them.

use std::fs;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::client::Traffic;
use super::protocol::Usage;
use crate::agents::config::{Limits, TokenPrice};
use crate::agents::metrics::TokenUsage;
use crate::agents::step_time::StepTime;
use crate::report::format::count;

/// Bytes of text that make a token, where the endpoint reports none.
const BYTES_PER_TOKEN: u64 = 4;

/// What one answer used, as its line in the log has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct AnswerUsage {
    #[serde(flatten)]
    tokens: Usage,
    /// The endpoint reported no tokens: these follow from the bytes.
    #[serde(skip_serializing_if = "is_false")]
    is_estimated: bool,
    bytes: u64,
    /// Calls that were understood. Logs of earlier versions do not say.
    pub(crate) understood: Option<u64>,
    /// Calls that were not.
    pub(crate) misread: u64,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl AnswerUsage {
    pub(crate) fn new(reported: Usage, traffic: Traffic) -> AnswerUsage {
        let is_estimated = reported == Usage::default();
        let tokens = match is_estimated {
            true => Usage {
                prompt_tokens: traffic.sent_bytes / BYTES_PER_TOKEN,
                completion_tokens: traffic.received_bytes / BYTES_PER_TOKEN,
            },
            false => reported,
        };
        let bytes = traffic.sent_bytes + traffic.received_bytes;
        AnswerUsage { tokens, is_estimated, bytes, understood: None, misread: 0 }
    }
}

/// What some sessions used together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct SessionTotals {
    pub(crate) used: TokenUsage,
    /// The last session with an answer.
    pub(crate) last: Option<StepTime>,
}

impl SessionTotals {
    /// All sessions, from an agent's logs, including interrupted ones.
    pub(crate) fn read(log: &Path, price: Option<&TokenPrice>) -> Result<SessionTotals> {
        let mut totals = SessionTotals::default();
        let Ok(days) = fs::read_dir(log) else { return Ok(totals) };
        for day in days {
            let day = day?;
            let Ok(text) = fs::read_to_string(day.path().join("log.jsonl")) else { continue };
            let stamp = day.file_name().to_string_lossy().parse::<StepTime>().ok();
            // An incomplete line belongs to a session that was killed.
            for line in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
                let messages = line["new_messages"].as_array().map(Vec::as_slice);
                for usage in messages.unwrap_or_default().iter().filter_map(|one| one.get("usage"))
                {
                    let usage = serde_json::from_value(usage.clone()).unwrap_or_default();
                    totals.add(&usage, stamp.as_ref(), price);
                }
            }
        }
        Ok(totals)
    }

    pub(crate) fn add(
        &mut self,
        answer: &AnswerUsage,
        stamp: Option<&StepTime>,
        price: Option<&TokenPrice>,
    ) {
        let used = &mut self.used;
        used.requests += 1;
        used.prompt_tokens += answer.tokens.prompt_tokens;
        used.completion_tokens += answer.tokens.completion_tokens;
        used.estimated += u64::from(answer.is_estimated);
        used.bytes += answer.bytes;
        used.understood += answer.understood.unwrap_or(1);
        used.misread += answer.misread;
        used.cost = price.map(|price| {
            let cost = |tokens: u64, per_mtok: f64| tokens as f64 / 1e6 * per_mtok;
            cost(used.prompt_tokens, price.input) + cost(used.completion_tokens, price.output)
        });
        let moment = |stamp: &StepTime| stamp.last_moment();
        if stamp.map(moment) > self.last.as_ref().map(moment) {
            self.last = stamp.copied();
        }
    }

    /// Which of the limits is reached, in words; None if none is.
    pub(crate) fn reached(&self, limits: &Limits) -> Option<String> {
        let used = &self.used;
        let tokens = used.prompt_tokens + used.completion_tokens;
        let over = |used: u64, limit: Option<u64>| limit.filter(|limit| used >= *limit);
        if let Some(limit) = over(tokens, limits.tokens) {
            return Some(format!("{} tokens", count(limit)));
        }
        if let Some(limit) = over(used.bytes, limits.bytes) {
            return Some(format!("{} bytes", count(limit)));
        }
        let cost = limits.cost.filter(|limit| used.cost.is_some_and(|cost| cost >= *limit));
        cost.map(|limit| format!("a cost of {limit}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1,000 tokens in and 100 out at 2 and 10 per million: 0.003.
    #[test]
    fn limits_are_reached_by_what_was_used() {
        let price = TokenPrice { input: 2.0, output: 10.0 };
        let traffic = Traffic { sent_bytes: 3_000, received_bytes: 400 };
        let reported = Usage { prompt_tokens: 1_000, completion_tokens: 100 };
        let mut totals = SessionTotals::default();
        let day = "2020-01-03".parse::<StepTime>().unwrap();
        totals.add(&AnswerUsage::new(reported, traffic), Some(&day), Some(&price));
        assert_eq!((totals.used.bytes, totals.used.estimated, totals.last), (3_400, 0, Some(day)));
        assert!((totals.used.cost.unwrap() - 0.003).abs() < 1e-12);
        let limits = |tokens, bytes, cost| Limits { tokens, bytes, cost };
        assert_eq!(totals.reached(&limits(None, None, None)), None);
        assert_eq!(totals.reached(&limits(Some(1_101), Some(3_401), Some(0.0031))), None);
        assert_eq!(totals.reached(&limits(Some(1_100), None, None)), Some("1,100 tokens".into()));
        assert_eq!(totals.reached(&limits(None, Some(3_400), None)), Some("3,400 bytes".into()));
        let cost = totals.reached(&limits(None, None, Some(0.002)));
        assert_eq!(cost, Some("a cost of 0.002".into()));
        // An endpoint that reports nothing: four bytes make a token.
        totals.add(&AnswerUsage::new(Usage::default(), traffic), None, None);
        assert_eq!((totals.used.prompt_tokens, totals.used.completion_tokens), (1_750, 200));
        assert_eq!((totals.used.estimated, totals.used.cost), (1, None));
    }
}
