//! The models of the configuration file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;

use super::{AgentKind, AgentSpec, Ensemble, LlmConfig, StrategyChoice, TokenPrice};
use crate::agents::registry::registry;
use crate::agents::secret::Secret;
use crate::config::ConfigError;
use crate::market::store::is_exposed;
use crate::runner::EnsembleConfig;
use crate::strategy::GivenParameters;
use crate::strategy::ensemble::EnsembleMethod;

/// Endpoint of a model without `openai_base_url`.
const STANDARD_ENDPOINT: &str = "https://api.openai.com/v1";
const KEY: &str = "OPENAI_API_KEY";
/// The first one that is set is used.
const ENDPOINTS: [&str; 2] = ["OPENAI_API_BASE", "OPENAI_BASE_URL"];
const WINDOW_BARS: usize = 1_000;
/// Parts of the names of parameters of a URL that hold a secret.
const SECRETS: [&str; 6] = ["key", "token", "secret", "sig", "auth", "password"];

/// Looks up an environment variable.
pub(super) type Variable<'a> = dyn Fn(&str) -> Option<String> + 'a;

#[derive(Deserialize)]
pub(super) struct AgentEntry {
    name: Option<String>,
    pub(crate) signature: Option<String>,
    #[serde(default = "yes")]
    pub(crate) enabled: bool,
    #[serde(default)]
    kind: AgentKindName,
    basemodel: Option<String>,
    openai_base_url: Option<String>,
    openai_api_key: Option<Secret>,
    price_per_mtok: Option<TokenPrice>,
    results: Option<PathBuf>,
    strategy: Option<String>,
    parameters: Option<GivenParameters>,
    strategies: Option<Vec<EnsembleEntry>>,
    method: Option<EnsembleMethod>,
    weights: Option<Vec<f64>>,
    window_bars: Option<usize>,
    #[serde(flatten)]
    pub(crate) rest: BTreeMap<String, Value>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AgentKindName {
    Dqn,
    Strategy,
    Ensemble,
    #[default]
    Llm,
}

/// A member of an ensemble: its name, alone or with parameters.
#[derive(Deserialize)]
#[serde(untagged)]
enum EnsembleEntry {
    Name(String),
    With {
        strategy: String,
        #[serde(default)]
        parameters: GivenParameters,
    },
}

fn yes() -> bool {
    true
}

/// The enabled models. All are checked before any of them runs.
pub(super) fn models(
    entries: Vec<AgentEntry>,
    variable: &Variable<'_>,
) -> Result<Vec<AgentSpec>, ConfigError> {
    let mut models: Vec<AgentSpec> = Vec::new();
    for (i, entry) in entries.into_iter().enumerate().filter(|(_, entry)| entry.enabled) {
        let field = format!("models[{i}].signature");
        let Some(signature) = entry.signature.clone().filter(|text| !text.trim().is_empty()) else {
            let what = match &entry.name {
                Some(name) => format!("{name} has none"),
                None => "is missing".into(),
            };
            return Err(ConfigError::new(&field, what, "give each enabled model its own"));
        };
        let is_forbidden = |c: char| c.is_control() || c == '/' || c == '\\';
        let is_dots = signature.chars().all(|c| c == '.');
        if is_dots
            || signature.starts_with('-')
            || signature.len() > 200
            || signature.contains(is_forbidden)
        {
            let what = format!("{signature:?} cannot name a folder");
            return Err(ConfigError::new(&field, what, "avoid slashes and a leading hyphen"));
        }
        if models.iter().any(|other| other.signature == signature) {
            let what = format!("{signature} is given twice");
            return Err(ConfigError::new(&field, what, "give each enabled model its own"));
        }
        let name = entry.name.clone().unwrap_or_else(|| signature.clone());
        let kind = kind(entry, variable).map_err(|(key, what, hint)| {
            ConfigError::new(&format!("{signature}: {key}"), what, hint)
        })?;
        models.push(AgentSpec { name, signature, kind });
    }
    if models.is_empty() {
        return Err(ConfigError::new("models", "none is enabled", "enable at least one"));
    }
    Ok(models)
}

/// A key, what is wrong with it, and what to do.
type EntryError = (&'static str, String, String);

fn missing(key: &'static str, hint: &str) -> EntryError {
    (key, "is missing".into(), hint.into())
}

fn kind(entry: AgentEntry, variable: &Variable<'_>) -> Result<AgentKind, EntryError> {
    match entry.kind {
        AgentKindName::Dqn => {
            let hint = "give the results folder of a finished run";
            let results = entry.results.ok_or_else(|| missing("results", hint))?;
            if !results.join("config.toml").is_file() {
                let what = format!("{} has no config.toml", results.display());
                return Err(("results", what, hint.into()));
            }
            Ok(AgentKind::Dqn { results })
        }
        AgentKindName::Strategy => {
            let hint = "name one that dqn-trader strategies list has";
            let strategy = entry.strategy.ok_or_else(|| missing("strategy", hint))?;
            let parameters = entry.parameters.unwrap_or_default();
            Ok(AgentKind::Strategy(choice("strategy", strategy, parameters)?))
        }
        AgentKindName::Ensemble => {
            let listed = entry.strategies.unwrap_or_default();
            let mut members = Vec::new();
            for one in listed {
                let (strategy, parameters) = match one {
                    EnsembleEntry::Name(strategy) => (strategy, GivenParameters::new()),
                    EnsembleEntry::With { strategy, parameters } => (strategy, parameters),
                };
                members.push(choice("strategies", strategy, parameters)?);
            }
            if members.is_empty() {
                return Err(missing("strategies", "name at least one"));
            }
            let config = EnsembleConfig { weights: entry.weights, ..EnsembleConfig::default() };
            let weights = config
                .weights_for(members.len())
                .map_err(|error| ("weights", error.what, error.hint))?;
            let window_bars = entry.window_bars.unwrap_or(WINDOW_BARS);
            if !(1..=1_000_000).contains(&window_bars) {
                let hint = "use 1 to 1000000".into();
                return Err(("window_bars", format!("{window_bars} is out of range"), hint));
            }
            Ok(AgentKind::Ensemble(Ensemble {
                members,
                method: entry.method.unwrap_or(EnsembleMethod::Weighted),
                weights,
                window_bars,
            }))
        }
        AgentKindName::Llm => llm(entry, variable).map(AgentKind::Llm),
    }
}

fn choice(
    key: &'static str,
    strategy: String,
    parameters: GivenParameters,
) -> Result<StrategyChoice, EntryError> {
    let hint = || "see dqn-trader strategies list".to_string();
    let registry = registry().map_err(|error| (key, error.to_string(), hint()))?;
    let known = registry.find(&strategy).map_err(|error| (key, error.to_string(), hint()))?;
    let used = known.resolve(&parameters);
    used.map_err(|error| ("parameters", error.to_string(), hint()))?;
    Ok(StrategyChoice { strategy, parameters })
}

fn llm(entry: AgentEntry, variable: &Variable<'_>) -> Result<LlmConfig, EntryError> {
    let hint = "give the model name of the endpoint, or choose another kind";
    let basemodel = entry.basemodel.filter(|name| !name.trim().is_empty());
    let basemodel = basemodel.ok_or_else(|| missing("basemodel", hint))?;
    let from_environment = || ENDPOINTS.iter().find_map(|name| non_placeholder(variable(name)));
    let address = non_placeholder(entry.openai_base_url).or_else(from_environment);
    let is_standard = address.is_none();
    let address = address.unwrap_or_else(|| STANDARD_ENDPOINT.into());
    let wrong = || {
        let what = "is not a URL such as https://HOST/v1".to_string();
        ("openai_base_url", what, "correct it, without a key in it".to_string())
    };
    let mut base_url = Url::parse(address.trim_end_matches('/')).map_err(|_| wrong())?;
    base_url.set_fragment(None);
    let plain = base_url.username().is_empty() && base_url.password().is_none();
    let is_web = matches!(base_url.scheme(), "http" | "https") && base_url.has_host();
    if !is_web || !plain || has_secret_query(&base_url) {
        return Err(wrong());
    }
    let given = non_placeholder(entry.openai_api_key.map(|key| key.reveal().to_string()));
    let given = given.or_else(|| non_placeholder(variable(KEY)));
    // As it is copied from an example of a request.
    let bare = |key: String| key.trim().trim_start_matches("Bearer ").to_string();
    let api_key = given.map(bare).as_deref().and_then(Secret::new);
    if api_key.is_none() && is_standard {
        return Err(missing("openai_api_key", &format!("add it, or set {KEY}")));
    }
    let sendable = |key: &Secret| key.reveal().bytes().all(|byte| byte.is_ascii_graphic());
    if !api_key.as_ref().is_none_or(sendable) {
        let what = "holds more than letters, digits and signs".to_string();
        return Err(("openai_api_key", what, "copy it again".to_string()));
    }
    if api_key.is_some() && is_exposed(&base_url) {
        let what = "is not https, and not on this machine: others could read the key".to_string();
        return Err(("openai_base_url", what, "write https://, or give no key".to_string()));
    }
    let price = entry.price_per_mtok;
    let is_price = |price: f64| (0.0..=1e9).contains(&price);
    if price.is_some_and(|price| !is_price(price.input) || !is_price(price.output)) {
        let hint = r#"write {"input": 1.25, "output": 10}, the prices of a million tokens"#;
        return Err(("price_per_mtok", "is out of range".into(), hint.into()));
    }
    Ok(LlmConfig { basemodel, base_url, api_key, price })
}

/// Whether a query may hold a secret, which messages would show. Azure's `api-version` is none.
fn has_secret_query(url: &Url) -> bool {
    url.query_pairs().any(|(name, _)| {
        let name = name.to_ascii_lowercase();
        SECRETS.iter().any(|part| name.contains(part))
    })
}

/// None for an empty text, and for the placeholders of common example files.
fn non_placeholder(given: Option<String>) -> Option<String> {
    let text = given?.trim().to_string();
    let placeholder = text.starts_with("Optional") || text.contains("YOUR_");
    (!text.is_empty() && !placeholder).then_some(text)
}
