//! The parameter sets of a search.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use serde_json::Value;

use super::Optimization;
use crate::runner::RunnerError;
use crate::strategy::{GivenParameters, Number, Parameters, StrategyKind};

/// Maximum number of sets of one search.
pub(crate) const MOST_SETS: usize = 100_000;

/// Values of one parameter that are tried.
#[derive(Clone, Debug, PartialEq)]
pub enum ParameterRange {
    /// Exactly these.
    Values(Vec<Value>),
    /// From low to high, both inclusive, in steps. `step` None: 1 for whole numbers; for real ones,
    /// uniform draws in a random search.
    Span {
        /// Lowest value.
        low: f64,
        /// Highest value.
        high: f64,
        /// Distance between values; above 0.
        step: Option<f64>,
    },
}

/// Which combinations of the ranges are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Search {
    /// Every combination
    Grid,
    /// A random sample of combinations
    Random,
}

impl Optimization {
    /// All combinations, or a random sample of them, and the number of those that were left out
    /// because they violate the strategy's rules. Errors: a range is invalid, or no combination is
    /// left.
    pub(super) fn sets(
        &self,
        kind: &StrategyKind,
        rng: &mut ChaCha8Rng,
    ) -> Result<(Vec<Parameters>, usize), RunnerError> {
        let combinations = match self.search {
            Search::Grid => self.grid(kind)?,
            Search::Random => self.draw(kind, rng)?,
        };
        let count = combinations.len();
        let mut sets: Vec<Parameters> = Vec::new();
        let mut last = None;
        for given in combinations {
            match kind.resolve(&given) {
                Ok(set) => sets.push(set),
                Err(error) => last = Some(error),
            }
        }
        match (sets.is_empty(), last) {
            (true, None) => {
                Err(RunnerError::new("--range", "there is no combination", "change the ranges"))
            }
            (true, Some(error)) => {
                let what = error.to_string();
                Err(RunnerError::new("--range", what, "change the ranges").caused_by(error))
            }
            (false, _) => Ok((sets.clone(), count - sets.len())),
        }
    }

    fn grid(&self, kind: &StrategyKind) -> Result<Vec<GivenParameters>, RunnerError> {
        let mut all = vec![GivenParameters::new()];
        for (name, range) in &self.ranges {
            let values = range.values(name, kind)?;
            if all.len() * values.len() > MOST_SETS {
                let what = format!("more than {MOST_SETS} combinations");
                return Err(RunnerError::new(
                    "--range",
                    what,
                    "use larger steps, or --search random",
                ));
            }
            all = all
                .iter()
                .flat_map(|given| {
                    values.iter().map(|value| {
                        let mut given = given.clone();
                        given.insert(name.clone(), value.clone());
                        given
                    })
                })
                .collect();
        }
        Ok(all)
    }

    fn draw(
        &self,
        kind: &StrategyKind,
        rng: &mut ChaCha8Rng,
    ) -> Result<Vec<GivenParameters>, RunnerError> {
        if !(1..=MOST_SETS).contains(&self.trials) {
            let what = format!("{} is out of range", self.trials);
            return Err(RunnerError::new("--trials", what, format!("use 1 to {MOST_SETS}")));
        }
        let mut all = Vec::new();
        for _ in 0..self.trials {
            let mut given = GivenParameters::new();
            for (name, range) in &self.ranges {
                let value = match range {
                    ParameterRange::Span { low, high, step: None } if !is_whole(name, kind)? => {
                        check_order(name, *low, *high)?;
                        rng.random_range(*low..=*high).into()
                    }
                    _ => {
                        let values = range.values(name, kind)?;
                        values[rng.random_range(0..values.len())].clone()
                    }
                };
                given.insert(name.clone(), value);
            }
            all.push(given);
        }
        Ok(all)
    }
}

impl ParameterRange {
    pub(super) fn values(
        &self,
        name: &str,
        kind: &StrategyKind,
    ) -> Result<Vec<Value>, RunnerError> {
        let wrong = |what: String, hint: &str| Err(RunnerError::new("--range", what, hint));
        let whole = is_whole(name, kind)?;
        match self {
            ParameterRange::Values(values) => Ok(values.clone()),
            ParameterRange::Span { step: None, .. } if !whole => {
                wrong(format!("{name}: a grid needs steps"), "write LOW:HIGH:STEP")
            }
            ParameterRange::Span { low, high, step } => {
                check_order(name, *low, *high)?;
                let step = step.unwrap_or(1.0);
                let count = ((high - low) / step + 1e-9).floor();
                if step.is_nan() || step <= 0.0 || count >= MOST_SETS as f64 {
                    return wrong(
                        format!("{name}: a step of {step} will not do"),
                        "take a larger one",
                    );
                }
                // Rounds accumulated steps to decimals such as 0.1.
                let at = |i: usize| ((low + step * i as f64) * 1e9).round() / 1e9;
                Ok((0..=count as usize).map(|i| at(i).into()).collect())
            }
        }
    }
}

fn check_order(name: &str, low: f64, high: f64) -> Result<(), RunnerError> {
    if low <= high && (high - low).is_finite() {
        return Ok(());
    }
    let what = format!("{name}: {low} to {high} is not a range");
    Err(RunnerError::new("--range", what, "write LOW:HIGH"))
}

/// Whether a parameter is a whole number. Errors: it is unknown.
fn is_whole(name: &str, kind: &StrategyKind) -> Result<bool, RunnerError> {
    match kind.parameter(name) {
        Ok(parameter) => Ok(matches!(parameter.default, Number::Whole(_))),
        Err(error) => {
            let (what, hint) = (error.to_string(), "name a parameter of it");
            Err(RunnerError::new("--range", what, hint).caused_by(error))
        }
    }
}
