//! What a language model may use, and what its tokens cost.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::config::ConfigError;
use crate::strategy::nearest;

/// Calls of one answer that are executed.
const CALLS_PER_ANSWER: usize = 64;
const FIELD: &str = "agent_config.budget";
/// Letters by which a limit in the wrong place may be misspelt.
const MOST_MISSPELT: usize = 2;
const KEYS: [&str; 8] = [
    "calls_per_answer",
    "tokens_per_session",
    "tokens_per_run",
    "bytes_per_session",
    "bytes_per_run",
    "cost_per_session",
    "cost_per_run",
    "then",
];

/// What a model may use. A limit is checked before every request; the answer that reaches it
/// counts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Budget {
    /// Further calls of an answer are refused.
    pub(crate) calls_per_answer: usize,
    /// At a limit the session ends, and the orders so far count.
    pub(crate) per_session: Limits,
    /// At a limit the model is not asked any more, in this run and in those that resume it.
    pub(crate) per_run: Limits,
    /// What becomes of its shares then.
    pub(crate) then: AfterBudget,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget {
            calls_per_answer: CALLS_PER_ANSWER,
            per_session: Limits::default(),
            per_run: Limits::default(),
            then: AfterBudget::Hold,
        }
    }
}

/// None is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Limits {
    /// Of prompts and completions together.
    pub(crate) tokens: Option<u64>,
    /// Of requests and answers together.
    pub(crate) bytes: Option<u64>,
    /// In the currency of `price_per_mtok`.
    pub(crate) cost: Option<f64>,
}

/// What becomes of the shares of a model that is not asked any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AfterBudget {
    /// They are kept to the end.
    #[default]
    Hold,
    /// They are sold at the next open.
    Sell,
}

/// Price of a million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenPrice {
    /// Of the prompt.
    pub input: f64,
    /// Of the completion.
    pub output: f64,
}

/// `agent_config.budget` of the file.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct BudgetEntry {
    calls_per_answer: Option<usize>,
    tokens_per_session: Option<u64>,
    tokens_per_run: Option<u64>,
    bytes_per_session: Option<u64>,
    bytes_per_run: Option<u64>,
    cost_per_session: Option<f64>,
    cost_per_run: Option<f64>,
    then: AfterBudget,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

/// Errors: a key of `section`, which holds no limits, is a limit or the budget itself, misspelt or
/// in the wrong place. Without effect it would leave a model without its limit.
pub(super) fn check_no_limit(
    section: &str,
    rest: &BTreeMap<String, Value>,
) -> Result<(), ConfigError> {
    for key in rest.keys() {
        let limit = KEYS
            .into_iter()
            .find(|limit| *limit != "then" && strsim::osa_distance(key, limit) <= MOST_MISSPELT);
        let hint = match limit {
            Some(limit) => format!("did you mean {FIELD}.{limit}?"),
            None if strsim::osa_distance(key, "budget") <= 1 => format!("did you mean {FIELD}?"),
            None => continue,
        };
        return Err(ConfigError::new(&format!("{section}{key}"), "is not known", hint));
    }
    Ok(())
}

impl BudgetEntry {
    /// Checks the numbers.
    ///
    /// Errors: one is out of range; a key is unknown, for whoever misspells a limit means to have it.
    pub(super) fn budget(self) -> Result<Budget, ConfigError> {
        if let Some(key) = self.rest.keys().next() {
            let hint = match nearest(key, KEYS.into_iter()) {
                Some(nearest) => format!("did you mean {nearest}?"),
                None => format!("take {}", KEYS.join(", ")),
            };
            return Err(ConfigError::new(&format!("{FIELD}.{key}"), "is not known", hint));
        }
        let check = |key: &str, holds: bool, rule: &str| {
            let field = format!("{FIELD}.{key}");
            if holds { Ok(()) } else { Err(ConfigError::new(&field, "is out of range", rule)) }
        };
        let calls = self.calls_per_answer.unwrap_or(CALLS_PER_ANSWER);
        check("calls_per_answer", (1..=1_000).contains(&calls), "take 1 to 1000")?;
        let counts = [
            ("tokens_per_session", self.tokens_per_session),
            ("tokens_per_run", self.tokens_per_run),
            ("bytes_per_session", self.bytes_per_session),
            ("bytes_per_run", self.bytes_per_run),
        ];
        for (key, count) in counts {
            check(key, count.is_none_or(|count| count > 0), "take 1 or more, or leave it out")?;
        }
        let costs =
            [("cost_per_session", self.cost_per_session), ("cost_per_run", self.cost_per_run)];
        for (key, cost) in costs {
            let holds = cost.is_none_or(|cost| cost > 0.0 && cost <= 1e12);
            check(key, holds, "take a number above 0, or leave it out")?;
        }
        Ok(Budget {
            calls_per_answer: calls,
            per_session: Limits {
                tokens: self.tokens_per_session,
                bytes: self.bytes_per_session,
                cost: self.cost_per_session,
            },
            per_run: Limits {
                tokens: self.tokens_per_run,
                bytes: self.bytes_per_run,
                cost: self.cost_per_run,
            },
            then: self.then,
        })
    }
}

impl Budget {
    /// The key of a limit in money, which needs a price.
    pub(crate) fn cost_key(&self) -> Option<&'static str> {
        let of_session = self.per_session.cost.map(|_| "agent_config.budget.cost_per_session");
        of_session.or(self.per_run.cost.map(|_| "agent_config.budget.cost_per_run"))
    }
}
