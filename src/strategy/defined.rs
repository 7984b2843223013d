//! Strategies that are written in a TOML file instead of in Rust.
//!
//! ```toml
//! [strategies."Quick RSI"]
//! kind = "RSI"
//! parameters = { period = 7 }
//!
//! [strategies."Dip in a rise"]
//! description = "buys what has fallen while the long average is below the price"
//! long = "index < limit && close > average"
//! exit = "index > 50"
//! parameters = { limit = 30.0, slow = 100 }
//! indicators.index = { kind = "rsi", period = 14 }
//! indicators.average = { kind = "sma", period = "slow" }
//! ```

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::expression::{Expression, FUNCTIONS, TermKind};
use super::indicator::{Indicator, IndicatorKind, PriceSource, as_json, kinds};
use super::kind::ParameterConflict;
use super::names::nearest;
use super::{
    Decision, GivenParameters, Number, Parameter, Parameters, PerStock, Registry, Rule,
    StrategyError, StrategyKind,
};
use crate::errors::Cause;
use crate::files::read_text;
use crate::market::Bar;

/// A file of strategies, and of parameters for other strategies.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StrategyFile {
    strategies: BTreeMap<String, Definition>,
    /// Parameters for a run, by the names of strategies.
    pub parameters: BTreeMap<String, GivenParameters>,
}

/// A registered kind with parameters, or a rule.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Definition {
    description: Option<String>,
    kind: Option<String>,
    parameters: BTreeMap<String, Value>,
    indicators: BTreeMap<String, IndicatorDefinition>,
    long: Option<String>,
    short: Option<String>,
    exit: Option<String>,
    target: Option<String>,
    confidence: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct IndicatorDefinition {
    kind: String,
    #[serde(default = "close")]
    of: PriceSource,
    /// Values are numbers or names of the strategy's parameters.
    #[serde(flatten)]
    settings: GivenParameters,
}

fn close() -> PriceSource {
    PriceSource::Close
}

/// A parameter with more than a default.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ParameterDefinition {
    default: Value,
    low: Option<Value>,
    high: Option<Value>,
    #[serde(default)]
    unit: String,
    #[serde(default)]
    description: String,
}

impl StrategyFile {
    /// Reads a TOML file. Errors: it cannot be read, or a key is unknown or of the wrong type.
    pub fn read(path: &Path) -> Result<StrategyFile, StrategyError> {
        let wrong = |what: String, cause: Cause| StrategyError::File {
            path: path.display().to_string(),
            what,
            hint: "see docs/strategies.md".into(),
            cause: Some(cause),
        };
        let text = read_text(path).map_err(|e| wrong(e.to_string(), Cause::new(e)))?;
        toml::from_str(&text).map_err(|e| {
            let message: Vec<String> = e.to_string().lines().map(|l| l.trim().into()).collect();
            wrong(message.join(" "), Cause::new(e))
        })
    }

    /// Strategies from a table in another file, each as under `[strategies]`; `place` names the
    /// table in errors.
    pub(crate) fn from_table(
        strategies: &toml::Table,
        place: &str,
    ) -> Result<StrategyFile, StrategyError> {
        let strategies = strategies.clone().try_into().map_err(|e: toml::de::Error| {
            let what = e.message().to_string();
            let (hint, cause) = ("see docs/strategies.md".into(), Some(Cause::new(e)));
            StrategyError::File { path: place.into(), what, hint, cause }
        })?;
        Ok(StrategyFile { strategies, parameters: BTreeMap::new() })
    }

    /// Adds the file's strategies to a registry. One strategy may be the `kind` of another in the
    /// same file. Errors: a definition is invalid or its name is taken.
    pub fn register(&self, registry: &mut Registry) -> Result<(), StrategyError> {
        let mut left: Vec<(&String, &Definition)> = self.strategies.iter().collect();
        while !left.is_empty() {
            let before = left.len();
            let mut failed = None;
            let mut later = Vec::new();
            for (name, definition) in left {
                match definition.kind(name, registry) {
                    Ok(kind) => registry.register(kind)?,
                    Err(error) => {
                        failed = failed.or(Some(error));
                        later.push((name, definition));
                    }
                }
            }
            if let Some(error) = failed.filter(|_| later.len() == before) {
                return Err(error);
            }
            left = later;
        }
        Ok(())
    }
}

impl Definition {
    fn kind(&self, name: &str, registry: &Registry) -> Result<StrategyKind, StrategyError> {
        let wrong = |what: String, hint: &str| StrategyError::Failed {
            strategy: name.into(),
            what,
            hint: hint.into(),
        };
        let has_rule = [&self.long, &self.short, &self.exit, &self.target, &self.confidence]
            .into_iter()
            .any(Option::is_some);
        let Some(kind) = &self.kind else { return self.rule_kind(name) };
        if has_rule || !self.indicators.is_empty() {
            let what = "has both a kind and a rule".into();
            return Err(wrong(what, "omit kind, or omit long, short, exit, target and indicators"));
        }
        let base = registry.find(kind)?;
        let parameters = base.resolve(&self.parameters)?;
        Ok(base.renamed(name, self.description.as_deref(), &parameters))
    }

    fn rule_kind(&self, name: &str) -> Result<StrategyKind, StrategyError> {
        let named = |definition: (&String, &Value)| parameter(name, definition.0, definition.1);
        let parameters = self.parameters.iter().map(named).collect::<Result<Vec<_>, _>>()?;
        let definition = Arc::new(self.clone());
        let description = self.description.clone().unwrap_or_else(|| "a rule of its own".into());
        let (checked, strategy) = (Arc::clone(&definition), name.to_string());
        let build = move |parameters: &Parameters, stocks: usize| {
            let rule =
                definition.rule(parameters).map_err(|(what, hint)| StrategyError::Failed {
                    strategy: strategy.clone(),
                    what: what.into(),
                    hint: hint.into(),
                })?;
            Ok(Box::new(PerStock::new(rule, stocks)) as Box<_>)
        };
        let kind = StrategyKind::new(name.to_string(), description, parameters, build)
            .check(move |parameters| checked.rule(parameters).map(|_| ()));
        // A strategy must be valid with its defaults.
        kind.resolve(&GivenParameters::new())?;
        Ok(kind)
    }

    fn rule(&self, parameters: &Parameters) -> Result<DefinedRule, ParameterConflict> {
        let known = kinds();
        let mut names: Vec<String> =
            ["open", "high", "low", "close", "volume", "position"].map(String::from).into();
        names.extend(parameters.iter().map(|(name, _)| name.to_string()));
        let fixed = names.len();
        let mut indicators = Vec::new();
        for (name, definition) in &self.indicators {
            let kind = definition.kind(name, &known)?;
            for output in kind.outputs {
                let called = format!("{name}{output}");
                if names.contains(&called) || FUNCTIONS.contains(&called.as_str()) {
                    return Err(clash(format!("indicators.{name}"), format!("{called} is taken")));
                }
                names.push(called);
            }
            indicators.push((definition.build(name, kind, parameters)?, kind.outputs.len()));
        }
        let parse = |field: &str, text: &Option<String>, kind| {
            let parsed = text.as_ref().map(|text| Expression::parse(text, &names, kind));
            parsed.transpose().map_err(|what| clash(field.to_string(), what))
        };
        let rule = DefinedRule {
            long: parse("long", &self.long, TermKind::Condition)?,
            short: parse("short", &self.short, TermKind::Condition)?,
            exit: parse("exit", &self.exit, TermKind::Condition)?,
            target: parse("target", &self.target, TermKind::Number)?,
            confidence: parse("confidence", &self.confidence, TermKind::Number)?,
            values: vec![0.0; names.len()],
            indicators,
            fixed,
            parameters: parameters.iter().map(|(_, number)| number.as_f64()).collect(),
            position: 0.0,
        };
        let entries = rule.long.is_some() || rule.short.is_some();
        let what = match (entries, rule.target.is_some()) {
            (false, false) => "it has none of long, short and target",
            (true, true) => "target cannot be combined with long and short",
            (false, true) if rule.exit.is_some() => "target cannot be combined with exit",
            _ => return Ok(rule),
        };
        Err(clash("the rule".into(), what.into()))
    }
}

fn clash(parameter: String, what: String) -> ParameterConflict {
    (parameter.into(), what.into())
}

impl IndicatorDefinition {
    fn kind<'a>(
        &self,
        name: &str,
        known: &'a [IndicatorKind],
    ) -> Result<&'a IndicatorKind, ParameterConflict> {
        known.iter().find(|kind| kind.name == self.kind).ok_or_else(|| {
            let names: Vec<&str> = known.iter().map(|kind| kind.name).collect();
            let near = nearest(&self.kind, names.iter().copied());
            let near = near.map_or(String::new(), |near| format!("did you mean {near}? "));
            let what = format!("{:?} is unknown; {near}there are {}", self.kind, names.join(", "));
            clash(format!("indicators.{name}.kind"), what)
        })
    }

    fn build(
        &self,
        name: &str,
        kind: &IndicatorKind,
        parameters: &Parameters,
    ) -> Result<Indicator, ParameterConflict> {
        let mut given = self.settings.clone();
        for value in given.values_mut() {
            let named = value.as_str().map(str::to_string);
            if let Some(named) = named {
                let found = parameters.iter().find(|(parameter, _)| *parameter == named);
                let Some((_, number)) = found else {
                    let what = format!("the strategy has no parameter {named:?}");
                    return Err(clash(format!("indicators.{name}"), what));
                };
                *value = as_json(number);
            }
        }
        let resolved = Parameters::resolve(kind.name, &kind.parameters, &[], &given);
        let resolved = resolved.map_err(|e| clash(format!("indicators.{name}"), e.to_string()))?;
        Ok(kind.build(&resolved, self.of))
    }
}

/// A parameter from a plain default or from a table.
fn parameter(strategy: &str, name: &str, value: &Value) -> Result<Parameter, StrategyError> {
    let wrong = |what: &str| StrategyError::Parameter {
        strategy: strategy.into(),
        parameter: name.into(),
        what: what.into(),
        hint: "write a number, or { default = .., low = .., high = .. }".into(),
    };
    let definition = match value {
        Value::Object(_) => {
            serde_json::from_value(value.clone()).map_err(|e| wrong(&e.to_string()))?
        }
        plain => ParameterDefinition {
            default: plain.clone(),
            low: None,
            high: None,
            unit: String::new(),
            description: String::new(),
        },
    };
    let whole = definition.default.is_u64();
    let number = |value: &Value| match whole {
        true => value.as_u64().map(Number::Whole),
        false => value.as_f64().filter(|value| value.is_finite()).map(Number::Real),
    };
    let end = |given: &Option<Value>, whole_end: u64, real_end: f64| match given {
        Some(value) => number(value),
        None if whole => Some(Number::Whole(whole_end)),
        None => Some(Number::Real(real_end)),
    };
    let default =
        number(&definition.default).ok_or_else(|| wrong("its default is not a number"))?;
    let low = end(&definition.low, 0, -1e9).ok_or_else(|| wrong("low is not a number in range"))?;
    let high = end(&definition.high, 100_000, 1e9)
        .ok_or_else(|| wrong("high is not a number in range"))?;
    if !(low <= default && default <= high) {
        return Err(wrong("its default is not between low and high"));
    }
    let (unit, description) = (definition.unit.into(), definition.description.into());
    Ok(Parameter { name: name.to_string().into(), default, low, high, unit, description })
}

/// A rule over indicators, for one stock.
#[derive(Clone, Debug)]
struct DefinedRule {
    long: Option<Expression>,
    short: Option<Expression>,
    exit: Option<Expression>,
    target: Option<Expression>,
    confidence: Option<Expression>,
    /// Each with its number of outputs.
    indicators: Vec<(Indicator, usize)>,
    /// The values of all names: bar, position, parameters, indicators.
    values: Vec<f64>,
    /// Number of values before those of the indicators.
    fixed: usize,
    parameters: Vec<f64>,
    position: f64,
}

impl Rule for DefinedRule {
    fn update(&mut self, bar: &Bar) -> Decision {
        let of_bar = [bar.open, bar.high, bar.low, bar.close, bar.volume, self.position];
        self.values[..of_bar.len()].copy_from_slice(&of_bar);
        self.values[of_bar.len()..self.fixed].copy_from_slice(&self.parameters);
        let (mut from, mut is_warm) = (self.fixed, true);
        for (indicator, outputs) in &mut self.indicators {
            is_warm &= indicator.update(bar, &mut self.values[from..from + *outputs]);
            from += *outputs;
        }
        if !is_warm {
            return Decision::NONE;
        }
        let target = match &self.target {
            Some(target) => target.number(&self.values),
            None => self.direction(),
        };
        // NaN means no opinion.
        let usual = if target == 0.0 { 0.0 } else { 1.0 };
        let confidence = self.confidence.as_ref().map_or(usual, |one| one.number(&self.values));
        if target.is_nan() || confidence.is_nan() {
            self.position = 0.0;
            return Decision::NONE;
        }
        let decision = Decision::new(target, confidence);
        self.position = decision.target;
        decision
    }
}

impl DefinedRule {
    /// Both at once: flat. Neither: the position is kept until `exit` holds; without `exit` it is
    /// closed.
    fn direction(&self) -> f64 {
        let holds = |one: &Option<Expression>| one.as_ref().map(|one| one.holds(&self.values));
        match (holds(&self.long).unwrap_or(false), holds(&self.short).unwrap_or(false)) {
            (true, false) => 1.0,
            (false, true) => -1.0,
            (true, true) => 0.0,
            (false, false) if holds(&self.exit) == Some(false) => self.position,
            (false, false) => 0.0,
        }
    }
}

#[cfg(test)]
mod tests;
