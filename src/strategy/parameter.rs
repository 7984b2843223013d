//! Parameters of strategies: typed, with a default, a range and a unit.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::StrategyError;
use super::names::{nearest, plain};

/// Parameters by name, as the user gives them.
pub type GivenParameters = BTreeMap<String, Value>;

/// The value of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub enum Number {
    /// A count, such as bars.
    Whole(u64),
    /// Any finite number.
    Real(f64),
}

/// A numeric parameter of a kind of strategy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Parameter {
    /// As users write it.
    pub name: Cow<'static, str>,
    /// Its type, whole or real, is the parameter's type.
    pub default: Number,
    /// Both bounds are inclusive.
    pub low: Number,
    /// The largest value that is allowed.
    pub high: Number,
    /// Unit of the value, for messages and tables.
    pub unit: Cow<'static, str>,
    /// What it means, for tables.
    pub description: Cow<'static, str>,
}

/// A text parameter, such as the name of a folder.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TextParameter {
    /// As users write it.
    pub name: Cow<'static, str>,
    /// None: it must be given.
    pub default: Option<String>,
    /// What kind of text it is, for messages and tables.
    pub unit: Cow<'static, str>,
    /// What it means, for tables.
    pub description: Cow<'static, str>,
}

/// A complete set of parameters of one kind, each within its range.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters {
    numbers: BTreeMap<String, Number>,
    texts: BTreeMap<String, String>,
}

impl Number {
    /// The value as a float; whole numbers above 2^53 are rounded.
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
    /// A parameter that takes whole numbers of `range`.
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

    /// A parameter that takes finite numbers of `range`.
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

    /// The rule that a value must satisfy, as in "must be a whole number from 2 to 100 (bars)".
    pub(crate) fn rule(&self) -> String {
        let Parameter { low, high, unit, .. } = self;
        match self.default {
            Number::Whole(_) => format!("must be a whole number from {low} to {high} ({unit})"),
            Number::Real(_) => format!("must be from {low} to {high} ({unit})"),
        }
    }

    /// None if `value` is of another type or out of range.
    fn read(&self, value: &Value) -> Option<Number> {
        let number = match self.default {
            // 14.0 counts as 14: other programs write whole numbers this way.
            Number::Whole(_) => Number::Whole(value.as_u64().or_else(|| {
                let real = value.as_f64().filter(|real| real.fract() == 0.0 && *real >= 0.0)?;
                (real <= 9e15).then_some(real as u64)
            })?),
            Number::Real(_) => Number::Real(value.as_f64().filter(|real| real.is_finite())?),
        };
        (self.low <= number && number <= self.high).then_some(number)
    }
}

impl TextParameter {
    /// One without a default.
    pub fn needed(
        name: &'static str,
        unit: &'static str,
        description: &'static str,
    ) -> TextParameter {
        let (unit, description) = (unit.into(), description.into());
        TextParameter { name: name.into(), default: None, unit, description }
    }

    /// The same parameter, which then need not be given.
    pub fn with_default(self, default: impl Into<String>) -> TextParameter {
        TextParameter { default: Some(default.into()), ..self }
    }
}

impl Parameters {
    /// The parameters of `strategy`: those given, completed with defaults. Errors: a name is
    /// unknown or given twice, a value is of the wrong type or out of range, or a required text is
    /// missing.
    pub(crate) fn resolve(
        strategy: &str,
        known: &[Parameter],
        texts: &[TextParameter],
        given: &GivenParameters,
    ) -> Result<Parameters, StrategyError> {
        let wrong = |parameter: &str, what: String, hint: String| StrategyError::Parameter {
            strategy: strategy.into(),
            parameter: parameter.into(),
            what,
            hint,
        };
        let default = |one: &Parameter| (one.name.to_string(), one.default);
        let default_text = |one: &TextParameter| Some((one.name.to_string(), one.default.clone()?));
        let mut parameters = Parameters {
            numbers: known.iter().map(default).collect(),
            texts: texts.iter().filter_map(default_text).collect(),
        };
        let mut named: Vec<&str> = Vec::new();
        for (name, value) in given {
            let is_asked = |known: &str| plain(known) == plain(name);
            let number = known.iter().find(|one| is_asked(&one.name));
            let text = texts.iter().find(|one| is_asked(&one.name));
            let Some(known_as) = number.map(|one| &*one.name).or(text.map(|one| &*one.name)) else {
                let names = known.iter().map(|one| &*one.name);
                let names = names.chain(texts.iter().map(|one| &*one.name));
                return Err(Parameters::unknown(strategy, name, names));
            };
            if named.contains(&known_as) {
                let hint = format!("name {known_as} once");
                return Err(wrong(name, "is given twice".into(), hint));
            }
            named.push(known_as);
            if let Some(parameter) = number {
                let number = parameter.read(value).ok_or_else(|| {
                    let hint = format!("its default is {}", parameter.default);
                    wrong(known_as, format!("{value} {}", out_of_range(parameter)), hint)
                })?;
                parameters.numbers.insert(known_as.to_string(), number);
            } else if let Some(parameter) = text {
                let text = value.as_str().filter(|text| !text.is_empty()).ok_or_else(|| {
                    let hint = format!("give the {}", parameter.description);
                    wrong(known_as, format!("{value} is not text"), hint)
                })?;
                parameters.texts.insert(known_as.to_string(), text.to_string());
            }
        }
        let missing = texts.iter().find(|one| !parameters.texts.contains_key(&*one.name));
        match missing {
            Some(one) => {
                let hint = format!("give the {}", one.description);
                Err(wrong(&one.name, "is missing".into(), hint))
            }
            None => Ok(parameters),
        }
    }

    pub(super) fn unknown<'a>(
        strategy: &str,
        name: &str,
        known: impl Iterator<Item = &'a str>,
    ) -> StrategyError {
        StrategyError::Parameter {
            strategy: strategy.into(),
            parameter: name.into(),
            what: "is unknown".into(),
            hint: advice_for_unknown(name, known),
        }
    }

    /// # Panics
    /// If the kind has no such parameter, or it is no whole number.
    pub fn whole(&self, name: &str) -> usize {
        match self.numbers.get(name) {
            Some(Number::Whole(value)) => usize::try_from(*value).expect("a checked range"),
            other => panic!("{name} is {other:?}, not a whole number"),
        }
    }

    /// # Panics
    /// If the kind has no such parameter.
    pub fn real(&self, name: &str) -> f64 {
        let number = self.numbers.get(name);
        number.unwrap_or_else(|| panic!("there is no parameter {name}")).as_f64()
    }

    /// # Panics
    /// If the kind has no such parameter.
    pub fn text(&self, name: &str) -> &str {
        self.texts.get(name).unwrap_or_else(|| panic!("there is no parameter {name}"))
    }

    /// The numeric parameters.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Number)> {
        self.numbers.iter().map(|(name, number)| (name.as_str(), *number))
    }

    /// The text parameters.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }
}

impl Serialize for Parameters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.numbers.len() + self.texts.len()))?;
        self.numbers.iter().try_for_each(|(name, number)| map.serialize_entry(name, number))?;
        self.texts.iter().try_for_each(|(name, text)| map.serialize_entry(name, text))?;
        map.end()
    }
}

fn out_of_range(parameter: &Parameter) -> String {
    format!("is out of range: it {}", parameter.rule())
}

/// The advice for an unknown parameter.
fn advice_for_unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = known.collect();
    if names.is_empty() {
        return "it has none".into();
    }
    let meant = nearest(name, names.iter().copied());
    let meant = meant.map_or(String::new(), |near| format!("did you mean {near}? "));
    format!("{meant}it has {}", names.join(", "))
}
