//! Parameters of strategies: typed, with a default, a range and a unit.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::StrategyError;
use super::registry::{nearest, plain};

/// Parameters as a user gives them, by name.
pub type Given = BTreeMap<String, Value>;

/// The value of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub enum Number {
    Whole(u64),
    Real(f64),
}

/// One parameter of a kind of strategy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Parameter {
    pub name: Cow<'static, str>,
    /// Whole numbers where the default is one.
    pub default: Number,
    /// Both ends included.
    pub low: Number,
    pub high: Number,
    pub unit: Cow<'static, str>,
    pub description: Cow<'static, str>,
}

/// A whole set of parameters of one kind, each within its range.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters(BTreeMap<String, Number>);

impl Number {
    pub fn as_f64(self) -> f64 {
        match self {
            Number::Whole(value) => value as f64,
            Number::Real(value) => value,
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Whole(value) => write!(f, "{value}"),
            Number::Real(value) => write!(f, "{value}"),
        }
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Number::Whole(value) => serializer.serialize_u64(*value),
            Number::Real(value) => serializer.serialize_f64(*value),
        }
    }
}

impl Parameter {
    pub fn whole(
        name: &'static str,
        default: u64,
        range: RangeInclusive<u64>,
        unit: &'static str,
        description: &'static str,
    ) -> Parameter {
        Parameter {
            name: name.into(),
            default: Number::Whole(default),
            low: Number::Whole(*range.start()),
            high: Number::Whole(*range.end()),
            unit: unit.into(),
            description: description.into(),
        }
    }

    pub fn real(
        name: &'static str,
        default: f64,
        range: RangeInclusive<f64>,
        unit: &'static str,
        description: &'static str,
    ) -> Parameter {
        Parameter {
            name: name.into(),
            default: Number::Real(default),
            low: Number::Real(*range.start()),
            high: Number::Real(*range.end()),
            unit: unit.into(),
            description: description.into(),
        }
    }

    /// "whole bars from 2 to 100".
    pub fn rule(&self) -> String {
        let Parameter { low, high, unit, .. } = self;
        match self.default {
            Number::Whole(_) => format!("must be a whole number from {low} to {high} ({unit})"),
            Number::Real(_) => format!("must be from {low} to {high} ({unit})"),
        }
    }

    /// None where `value` is of another type or out of range.
    fn read(&self, value: &Value) -> Option<Number> {
        let number = match self.default {
            // 14.0 is as good as 14: other programs write whole numbers so.
            Number::Whole(_) => Number::Whole(value.as_u64().or_else(|| {
                let real = value.as_f64().filter(|real| real.fract() == 0.0 && *real >= 0.0)?;
                (real <= 9e15).then_some(real as u64)
            })?),
            Number::Real(_) => Number::Real(value.as_f64().filter(|real| real.is_finite())?),
        };
        (self.low <= number && number <= self.high).then_some(number)
    }
}

impl Parameters {
    /// Those of `strategy`, as given, with defaults where nothing is given.
    pub fn resolve(
        strategy: &str,
        known: &[Parameter],
        given: &Given,
    ) -> Result<Parameters, StrategyError> {
        let wrong = |parameter: &str, what: String, todo: String| StrategyError::Parameter {
            strategy: strategy.into(),
            parameter: parameter.into(),
            what,
            todo,
        };
        let default = |one: &Parameter| (one.name.to_string(), one.default);
        let mut values: BTreeMap<String, Number> = known.iter().map(default).collect();
        let mut named: Vec<&str> = Vec::new();
        for (name, value) in given {
            let Some(parameter) = known.iter().find(|one| plain(&one.name) == plain(name)) else {
                return Err(Parameters::unknown(strategy, name, known));
            };
            if named.contains(&&*parameter.name) {
                let todo = format!("name {} once", parameter.name);
                return Err(wrong(name, "is given twice".into(), todo));
            }
            named.push(&parameter.name);
            let number = parameter.read(value).ok_or_else(|| {
                let todo = format!("its default is {}", parameter.default);
                wrong(&parameter.name, format!("{value} {}", cannot_be(parameter)), todo)
            })?;
            values.insert(parameter.name.to_string(), number);
        }
        Ok(Parameters(values))
    }

    pub(super) fn unknown(strategy: &str, name: &str, known: &[Parameter]) -> StrategyError {
        StrategyError::Parameter {
            strategy: strategy.into(),
            parameter: name.into(),
            what: "is unknown".into(),
            todo: has(name, known),
        }
    }

    /// # Panics
    /// If the kind has no such parameter, or it is no whole number.
    pub fn whole(&self, name: &str) -> usize {
        match self.0.get(name) {
            Some(Number::Whole(value)) => usize::try_from(*value).expect("a checked range"),
            other => panic!("{name} is {other:?}, not a whole number"),
        }
    }

    /// # Panics
    /// If the kind has no such parameter.
    pub fn real(&self, name: &str) -> f64 {
        self.0.get(name).unwrap_or_else(|| panic!("there is no parameter {name}")).as_f64()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, Number)> {
        self.0.iter().map(|(name, number)| (name.as_str(), *number))
    }
}

impl Serialize for Parameters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

fn cannot_be(parameter: &Parameter) -> String {
    format!("is out of range: it {}", parameter.rule())
}

/// What to do about a parameter that is unknown.
fn has(name: &str, known: &[Parameter]) -> String {
    let names: Vec<&str> = known.iter().map(|one| &*one.name).collect();
    if names.is_empty() {
        return "it has none".into();
    }
    let meant = nearest(name, names.iter().copied());
    let meant = meant.map_or(String::new(), |near| format!("did you mean {near}? "));
    format!("{meant}it has {}", names.join(", "))
}
