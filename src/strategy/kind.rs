//! A kind of strategy: its name, its parameters, and how to build one.

use chrono::NaiveDate;
use std::borrow::Cow;
use std::sync::Arc;

use super::names::plain;
use super::staged::{StagePair, Stages};
use super::{
    Cancel, GivenParameters, Measure, Parameter, Parameters, PerStock, Readings, Rule, SignalRule,
    Staged, Strategy, StrategyError, TextParameter,
};
use crate::market::{MarketData, Symbol};

type Check = dyn Fn(&Parameters) -> Result<(), ParameterConflict> + Send + Sync;
type Columns = dyn Fn(&Parameters) -> Vec<String> + Send + Sync;
type FittedUntil = dyn Fn(&Parameters) -> Option<NaiveDate> + Send + Sync;
type Built = Result<Box<dyn Strategy>, StrategyError>;
type Build = dyn Fn(&Parameters, Stocks<'_>) -> Built + Send + Sync;

/// The stocks that a strategy decides on, in order.
#[derive(Clone, Copy)]
enum Stocks<'a> {
    /// This many stocks; their names do not matter.
    Count(usize),
    Named(&'a [Symbol]),
}

/// A parameter whose value conflicts with another's: its name, and the rule that it violates.
pub type ParameterConflict = (Cow<'static, str>, Cow<'static, str>);

/// A kind of strategy: its name, its parameters and its constructor.
#[derive(Clone)]
pub struct StrategyKind {
    /// As the registry and the tables have it.
    pub name: Cow<'static, str>,
    /// Other names, besides the spellings of `name`.
    pub aliases: Vec<Cow<'static, str>>,
    /// One sentence for the user.
    pub description: Cow<'static, str>,
    /// Numeric parameters, in the order in which they are listed.
    pub parameters: Vec<Parameter>,
    /// Text parameters, such as the path of a model.
    pub texts: Vec<TextParameter>,
    check: Arc<Check>,
    columns: Arc<Columns>,
    fitted_until: Arc<FittedUntil>,
    build: Arc<Build>,
    stages: Option<Arc<dyn Stages>>,
}

impl StrategyKind {
    /// `build` makes a new strategy for a number of stocks.
    pub fn new<B>(
        name: impl Into<Cow<'static, str>>,
        description: impl Into<Cow<'static, str>>,
        parameters: Vec<Parameter>,
        build: B,
    ) -> StrategyKind
    where
        B: Fn(&Parameters, usize) -> Result<Box<dyn Strategy>, StrategyError>,
        B: Send + Sync + 'static,
    {
        let count = |stocks: Stocks<'_>| match stocks {
            Stocks::Count(count) => count,
            Stocks::Named(stocks) => stocks.len(),
        };
        StrategyKind {
            name: name.into(),
            aliases: Vec::new(),
            description: description.into(),
            parameters,
            texts: Vec::new(),
            check: Arc::new(|_| Ok(())),
            columns: Arc::new(|_| Vec::new()),
            fitted_until: Arc::new(|_| None),
            build: Arc::new(move |parameters, stocks| build(parameters, count(stocks))),
            stages: None,
        }
    }

    /// A kind that depends on the names of its stocks.
    pub fn for_named_stocks<B>(
        name: &'static str,
        description: &'static str,
        (parameters, texts): (Vec<Parameter>, Vec<TextParameter>),
        build: B,
    ) -> StrategyKind
    where
        B: Fn(&Parameters, &[Symbol]) -> Result<Box<dyn Strategy>, StrategyError>,
        B: Send + Sync + 'static,
    {
        let build = move |parameters: &Parameters, stocks: Stocks<'_>| match stocks {
            Stocks::Named(stocks) => build(parameters, stocks),
            Stocks::Count(_) => Err(StrategyError::Failed {
                strategy: name.into(),
                what: "it has to know which stocks it decides on".into(),
                hint: "make it with StrategyKind::build_for".into(),
            }),
        };
        // Replaced below.
        let none = |_: &Parameters, _| Err(StrategyError::Cancelled);
        let kind = StrategyKind::new(name, description, parameters, none);
        StrategyKind { texts, build: Arc::new(build), ..kind }
    }

    /// A kind that considers each stock by itself.
    pub fn per_stock<R: Rule + Clone + 'static>(
        name: &'static str,
        description: &'static str,
        parameters: Vec<Parameter>,
        rule: fn(&Parameters) -> R,
    ) -> StrategyKind {
        StrategyKind::new(name, description, parameters, move |parameters, stocks| {
            Ok(Box::new(PerStock::new(rule(parameters), stocks)))
        })
    }

    /// A kind that considers each stock by itself, in two stages. The gauge depends only on the
    /// parameters `measured_by`.
    pub fn staged<G, J>(
        name: &'static str,
        description: &'static str,
        parameters: Vec<Parameter>,
        measured_by: &'static [&'static str],
        gauge: fn(&Parameters) -> G,
        judge: fn(&Parameters) -> J,
    ) -> StrategyKind
    where
        G: Measure + Clone + 'static,
        J: SignalRule<G::Reading> + Clone + 'static,
    {
        let build = move |parameters: &Parameters, stocks| {
            let rule = Staged { gauge: gauge(parameters), judge: judge(parameters) };
            Ok(Box::new(PerStock::new(rule, stocks)) as Box<dyn Strategy>)
        };
        let stages = Arc::new(StagePair { measured_by, gauge, judge });
        StrategyKind {
            stages: Some(stages),
            ..StrategyKind::new(name, description, parameters, build)
        }
    }

    /// Adds names under which the registry finds it, too.
    pub fn with_aliases(mut self, aliases: &[&'static str]) -> StrategyKind {
        self.aliases.extend(aliases.iter().map(|&alias| Cow::Borrowed(alias)));
        self
    }

    /// Adds a rule that involves several parameters.
    pub fn check(
        mut self,
        check: impl Fn(&Parameters) -> Result<(), ParameterConflict> + Send + Sync + 'static,
    ) -> StrategyKind {
        self.check = Arc::new(check);
        self
    }

    /// Says which further columns of the day files a strategy with such parameters needs.
    pub fn needs_columns(
        mut self,
        columns: impl Fn(&Parameters) -> Vec<String> + Send + Sync + 'static,
    ) -> StrategyKind {
        self.columns = Arc::new(columns);
        self
    }

    /// Says what the last day is that a strategy with such parameters was fitted on.
    pub fn was_fitted(
        mut self,
        until: impl Fn(&Parameters) -> Option<NaiveDate> + Send + Sync + 'static,
    ) -> StrategyKind {
        self.fitted_until = Arc::new(until);
        self
    }

    /// The last day that a strategy with these parameters was fitted on; None if it is not fitted
    /// on data. Its figures up to that day are in sample.
    pub fn fitted_until(&self, parameters: &Parameters) -> Option<NaiveDate> {
        (self.fitted_until)(parameters)
    }

    /// The further columns of the day files that a strategy with these parameters needs.
    pub fn columns(&self, parameters: &Parameters) -> Vec<String> {
        (self.columns)(parameters)
    }

    /// Completes the given parameters with defaults and checks them. Errors: see
    /// `Parameters::resolve`; or the rules of [`StrategyKind::check`] are violated.
    pub fn resolve(&self, given: &GivenParameters) -> Result<Parameters, StrategyError> {
        let parameters = Parameters::resolve(&self.name, &self.parameters, &self.texts, given)?;
        (self.check)(&parameters).map_err(|(parameter, rule)| {
            let value = parameters.iter().find(|(name, _)| *name == parameter);
            let strategy = self.name.to_string();
            if let Some(text) = self.texts.iter().find(|text| text.name == parameter) {
                return StrategyError::Parameter {
                    strategy,
                    parameter: parameter.into(),
                    what: rule.into(),
                    hint: format!("give the {}", text.description),
                };
            }
            match value {
                Some((name, number)) => StrategyError::Parameter {
                    strategy,
                    parameter: name.into(),
                    what: format!("{number} does not fit: it {rule}"),
                    hint: "change one of the two".into(),
                },
                // A rule that is defined in a file.
                None => StrategyError::Failed {
                    strategy,
                    what: format!("{parameter}: {rule}"),
                    hint: "see docs/strategies.md".into(),
                },
            }
        })?;
        Ok(parameters)
    }

    /// Finds a parameter by name; case and punctuation are ignored. Errors: it is unknown.
    pub fn parameter(&self, name: &str) -> Result<&Parameter, StrategyError> {
        let found = self.parameters.iter().find(|known| plain(&known.name) == plain(name));
        let known = self.parameters.iter().map(|known| &*known.name);
        found.ok_or_else(|| Parameters::unknown(&self.name, name, known))
    }

    /// A new strategy for `stocks` stocks.
    pub fn build(
        &self,
        parameters: &Parameters,
        stocks: usize,
    ) -> Result<Box<dyn Strategy>, StrategyError> {
        (self.build)(parameters, Stocks::Count(stocks))
    }

    /// A new strategy for these stocks, in this order.
    pub fn build_for(
        &self,
        parameters: &Parameters,
        stocks: &[Symbol],
    ) -> Result<Box<dyn Strategy>, StrategyError> {
        (self.build)(parameters, Stocks::Named(stocks))
    }

    /// The values of the parameters that the readings depend on, for a staged kind: parameter sets
    /// with the same values can share [`StrategyKind::readings`].
    pub fn measured_by(&self, parameters: &Parameters) -> Option<Vec<u64>> {
        let names = self.stages.as_ref()?.measured_by();
        Some(names.iter().map(|name| parameters.real(name).to_bits()).collect())
    }

    /// The readings of a whole market with these parameters, for a staged kind.
    pub fn readings(
        &self,
        parameters: &Parameters,
        data: &MarketData,
        cancel: &Cancel,
    ) -> Option<Result<Box<dyn Readings>, StrategyError>> {
        Some(self.stages.as_ref()?.read(parameters, data, cancel))
    }

    /// A new strategy with default parameters.
    pub fn build_default(&self, stocks: usize) -> Result<Box<dyn Strategy>, StrategyError> {
        self.build(&self.resolve(&GivenParameters::new())?, stocks)
    }

    /// A copy under another name, with these defaults.
    pub(super) fn renamed(
        &self,
        name: &str,
        description: Option<&str>,
        defaults: &Parameters,
    ) -> StrategyKind {
        let mut kind = self.with_defaults(defaults);
        (kind.name, kind.aliases) = (name.to_string().into(), Vec::new());
        if let Some(description) = description {
            kind.description = description.to_string().into();
        }
        kind
    }

    /// A copy with these defaults.
    pub(crate) fn with_defaults(&self, defaults: &Parameters) -> StrategyKind {
        let mut kind = self.clone();
        for (parameter, default) in defaults.texts() {
            for known in kind.texts.iter_mut().filter(|known| known.name == parameter) {
                known.default = Some(default.into());
            }
        }
        for (parameter, default) in defaults.iter() {
            for known in kind.parameters.iter_mut().filter(|known| known.name == parameter) {
                known.default = default;
            }
        }
        kind
    }

    /// `name`, then the aliases.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&*self.name).chain(self.aliases.iter().map(|alias| &**alias))
    }
}
