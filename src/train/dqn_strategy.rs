//! A trained run as a strategy like any other: bars in, what its network would hold out.
//!
//! It decides as [`super::evaluation`] does where a meta-policy trades: greedily, with the run's own
//! settings, scaler, relations and network, and in every stock from a position of its own. It begins
//! flat at the first bar at which a stock's features are settled.

mod bar_spacing;

use std::path::Path;

use super::model::{MODEL_FILE, Model};
use super::setup::agent_terms;
use super::trained::{SavedRun, fitted_until, saved_settings};
use crate::errors::message;
use crate::features::stream::FeatureStream;
use crate::interface::ActionSet;
use crate::market::{Bar, Symbol};
use crate::rl::agent::{AgentTerms, q_values};
use crate::rl::device::Device;
use crate::rl::engine::Engine;
use crate::rl::engines::engine;
use crate::rl::td::argmax;
use crate::strategy::{
    BarsAt, Cancel, Decision, Parameter, Parameters, Strategy, StrategyError, StrategyKind,
    TextParameter,
};
use crate::train::worker::propose;
use bar_spacing::BarSpacingCheck;

pub(crate) const NAME: &str = "DQN";

/// Parameters.
pub(crate) const MODEL: &str = "model";
const FILE: &str = "file";
const THRESHOLD: &str = "threshold";

/// What a registry takes in. `model` is the run's folder where none is given with the parameters.
pub fn kind(model: Option<&Path>) -> StrategyKind {
    let folder = TextParameter::needed(MODEL, "folder", "results folder of a training run");
    let folder = match model {
        Some(model) => folder.with_default(model.to_string_lossy()),
        None => folder,
    };
    let file = TextParameter::needed(FILE, "file", "model file").with_default(MODEL_FILE);
    let threshold = Parameter::real(
        THRESHOLD,
        0.0,
        0.0..=100.0,
        "bar deviations",
        "minimum advantage over being flat",
    );
    let description = "the greedy policy of a trained network, with a separate account per stock";
    let parameters = (vec![threshold], vec![folder, file]);
    StrategyKind::for_named_stocks(NAME, description, parameters, |parameters, stocks| {
        Ok(Box::new(DqnStrategy::new(parameters, stocks)?))
    })
    .with_aliases(&["trained DQN", "agent"])
    .check(|parameters| {
        let settings = saved_settings(Path::new(parameters.text(MODEL)));
        settings.map(|_| ()).map_err(|e| (MODEL.into(), format!("{}: {}", e.field, e.what).into()))
    })
    .needs_columns(|parameters| {
        let settings = saved_settings(Path::new(parameters.text(MODEL)));
        settings.map_or(Vec::new(), |config| config.features.columns)
    })
    .was_fitted(|parameters| {
        let settings = saved_settings(Path::new(parameters.text(MODEL)));
        settings.ok().map(|config| fitted_until(&config))
    })
}

struct DqnStrategy {
    /// Of each stock that is asked about, its place in the run.
    place: Vec<usize>,
    pace: BarSpacingCheck,
    features: FeatureStream,
    /// What each stock's part of the network shows: the stock itself, then its peers.
    slots: Vec<Vec<usize>>,
    engine: Box<dyn Engine>,
    terms: Vec<AgentTerms>,
    actions: ActionSet,
    threshold: f32,
    /// The position in each stock, from -1 to 1.
    held: Vec<f32>,
    /// What is wanted from the next open on; None before the first decision.
    wanted: Option<Vec<f32>>,
    /// In the order of the run's stocks.
    bars: Vec<Option<Bar>>,
    /// Further columns of the day files that are features, and their values, `[stock, column]`.
    columns: Vec<String>,
    extras: Vec<f32>,
    gathered: Vec<f32>,
    /// `[action]` of a stock.
    values: Vec<f32>,
    /// `[stock, action]`.
    q: Vec<f32>,
}

impl DqnStrategy {
    fn new(parameters: &Parameters, stocks: &[Symbol]) -> Result<DqnStrategy, StrategyError> {
        let folder = Path::new(parameters.text(MODEL));
        let wrong = |what: String, hint: &str| StrategyError::Parameter {
            strategy: NAME.into(),
            parameter: MODEL.into(),
            what,
            hint: hint.into(),
        };
        let finished = "give the results folder of a finished run";
        let config = saved_settings(folder)
            .map_err(|e| wrong(format!("{}: {}", e.field, e.what), finished))?;
        let place = places(&config.stocks, stocks).ok_or_else(|| {
            let (its, asked) = (names(&config.stocks), names(stocks));
            let what = format!("{} was trained on {its}, not on {asked}", folder.display());
            wrong(what, &format!("use --stocks {its}"))
        })?;
        let path = folder.join(parameters.text(FILE));
        let SavedRun { config, model } = SavedRun::with_settings(config, &path)
            .map_err(|error| wrong(message(&error), finished))?;
        let Model { shape, weights, belief, fit, .. } = model;
        let count = config.stocks.len();
        let engine = engine(&shape, &weights, Device::Cpu)
            .map_err(|error| wrong(error.to_string(), finished))?;
        let minutes = config.data.bar_minutes.expect("checked with the settings");
        let actions = config.env.action_set();
        let returns = &fit.scaler.return_std;
        let terms = agent_terms(&config.env, returns, &belief, &config.learner.in_bars(minutes));
        Ok(DqnStrategy {
            place,
            pace: BarSpacingCheck::new(minutes, config.features.longest_window()),
            terms,
            features: FeatureStream::new(&config.features, fit.scaler, &fit.peers),
            slots: (0..count).map(|stock| shape.slots_of(stock)).collect(),
            engine,
            actions,
            threshold: parameters.real(THRESHOLD) as f32,
            held: vec![0.0; count],
            wanted: None,
            bars: vec![None; count],
            extras: vec![f32::NAN; count * config.features.columns.len()],
            columns: config.features.columns,
            gathered: Vec::new(),
            values: Vec::new(),
            q: Vec::new(),
        })
    }

    /// Takes in the bars' further columns. Errors: the name of one that they lack.
    fn read_columns(&mut self, now: &BarsAt<'_>) -> Result<(), String> {
        for (i, name) in self.columns.iter().enumerate() {
            let values = now.column(name).ok_or(name)?;
            for (&place, value) in self.place.iter().zip(values) {
                self.extras[place * self.columns.len() + i] = value;
            }
        }
        Ok(())
    }

    /// Takes in the bars, and carries out what was decided at those before. Says whether there is
    /// anything to decide.
    fn observe(&mut self) -> bool {
        self.features.update(&self.bars, &self.extras);
        let bars = self.features.bars();
        let Some(wanted) = &self.wanted else {
            return bars.iter().any(|bar| bar.tradable);
        };
        for ((held, &wanted), bar) in self.held.iter_mut().zip(wanted).zip(bars) {
            if bar.tradable {
                *held = wanted;
            }
        }
        true
    }

    /// Q-values, `[stock, action]`, into `q`.
    fn value(&mut self) {
        let features = self.features.features();
        let width = features.len() / self.held.len();
        self.q.clear();
        for (stock, slots) in self.slots.iter().enumerate() {
            self.gathered.clear();
            for &slot in slots {
                self.gathered.extend_from_slice(&features[slot * width..][..width]);
            }
            self.engine.values(slots, &self.gathered, &mut self.values);
            q_values(&self.values, self.held[stock], &self.terms[stock], &mut self.q);
        }
    }
}

impl Strategy for DqnStrategy {
    fn decide(
        &mut self,
        now: &BarsAt<'_>,
        _cancel: &Cancel,
        decisions: &mut [Decision],
    ) -> Result<(), StrategyError> {
        let failed = |what: String, hint: String| StrategyError::Failed {
            strategy: NAME.into(),
            what,
            hint,
        };
        self.pace.check(now.end_s()).map_err(|(what, hint)| failed(what, hint))?;
        for (&place, bar) in self.place.iter().zip(now.bars()) {
            self.bars[place] = *bar;
        }
        self.read_columns(now).map_err(|name| {
            let what = format!("it was trained with the column {name}, which these bars lack");
            failed(what, "use it where day files or lines of a stream have this column".into())
        })?;
        if !self.observe() {
            return Ok(());
        }
        self.value();
        if self.q.iter().any(|q| q.is_nan()) {
            let what = "its network gives values that are not numbers".into();
            return Err(failed(what, "train it again with a lower --learning-rate".into()));
        }
        let decided: Vec<Decision> = self
            .q
            .chunks_exact(self.actions.len())
            .map(|q| decision(&self.actions, q, self.threshold))
            .collect();
        self.wanted = Some(decided.iter().map(|decision| decision.target as f32).collect());
        for (decision, &place) in decisions.iter_mut().zip(&self.place) {
            *decision = decided[place];
        }
        Ok(())
    }
}

fn names(stocks: &[Symbol]) -> String {
    stocks.iter().map(Symbol::as_str).collect::<Vec<_>>().join(" ")
}

/// The place of each of `asked` among `known`; None where they are not the same stocks.
fn places(known: &[Symbol], asked: &[Symbol]) -> Option<Vec<usize>> {
    let place = |symbol: &Symbol| known.iter().position(|one| one == symbol);
    let places: Option<Vec<usize>> = asked.iter().map(place).collect();
    places.filter(|_| known.len() == asked.len())
}

/// The best action, or none where it is not worth `threshold` more than holding nothing. Confidence
/// is x / (1 + x), where x is how far the best value is ahead of the next, in standard deviations
/// of a bar's return.
fn decision(actions: &ActionSet, q: &[f32], threshold: f32) -> Decision {
    let best = argmax(q);
    let proposal = propose(actions, q, best);
    let others = q.iter().enumerate().filter(|(action, _)| *action != best);
    let next = others.map(|(_, &value)| value).fold(f32::NEG_INFINITY, f32::max);
    let lead = f64::from(q[best] - next);
    let confidence = if lead.is_finite() { lead / (1.0 + lead) } else { 1.0 };
    let position = if proposal.conviction < threshold { 0.0 } else { proposal.position };
    Decision::new(f64::from(position), confidence)
}

#[cfg(test)]
mod tests;
