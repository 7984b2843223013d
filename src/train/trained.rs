//! A finished run on disk, and how its model trades another period.

use std::path::Path;

use anyhow::{Context, Result, bail};
use chrono::NaiveDate;

use super::callbacks::Callbacks;
use super::dataset::PreparedData;
use super::evaluation::{BarDecision, EvaluationResult};
use super::explanation::Explanation;
use super::importance::MeasuredPolicy;
use super::model::{Actors, MODEL_FILE, Model, SETTINGS_FILE, untrained_shape};
use super::run_data::{RunData, data_plan};
use super::setup;
use crate::comm::local::LocalComm;
use crate::config::{ConfigError, RunConfig};
use crate::market::Symbol;
use crate::portfolio::mandate::Mandate;
use crate::portfolio::meta_policy::expert_priors;

/// A model with the settings of its run.
pub struct SavedRun {
    /// Settings, as the run's `config.toml` has them.
    pub config: RunConfig,
    /// Weights and fit.
    pub model: Model,
}

impl SavedRun {
    /// From the results folder of a finished run.
    pub fn read(folder: &Path) -> Result<SavedRun> {
        SavedRun::with_settings(saved_settings(folder)?, &folder.join(MODEL_FILE))
    }

    /// From a model file, with settings that may differ in all that the network does not see. From
    /// then on this process goes by the calendar of the settings, for the network sees times of day.
    ///
    /// Errors: there is no such model, or it is of other settings; this process goes by another
    /// calendar.
    pub fn with_settings(config: RunConfig, model: &Path) -> Result<SavedRun> {
        let place = || model.display().to_string();
        config.data.calendar.adopt().with_context(place)?;
        let RunConfig { stocks, features, env, network, .. } = &config;
        let shape = untrained_shape(stocks.len(), features, env, network);
        let saved = Model::read(model, shape)?;
        let (asked, trained) = (&config.features.columns, &saved.fit.scaler.columns);
        if asked != trained {
            bail!(
                "{}: it was trained with features.columns = {trained:?} but config.toml has {asked:?}; \
                 the two files are not from the same run",
                model.display()
            );
        }
        Ok(SavedRun { model: saved, config })
    }

    /// Takes account of a meta-policy that is not set as in the run, whose settings were `before`:
    /// what experts have earned counts from other priors. Returns a sentence if other experts start
    /// from nothing but their priors.
    ///
    /// Errors: a strategy is unknown.
    pub fn adopt_experts(&mut self, before: &RunConfig) -> Result<Option<String>> {
        let (new, old) = (&self.config.portfolio.meta_policy, &before.portfolio.meta_policy);
        let Some(weights) = self.model.expert_weights.take() else { return Ok(None) };
        let same = (&new.strategies, &new.define, &new.share_rates)
            == (&old.strategies, &old.define, &old.share_rates);
        if !same {
            return Ok(Some(
                "the model knows nothing of these experts: they begin at their priors".into(),
            ));
        }
        let (stocks, is_believed) = (before.stocks.len(), self.model.belief.share > 0.0);
        let [old, new] = [old, new].map(|config| expert_priors(config, stocks, is_believed));
        let (old, new) = (old?, new?);
        let weights = if old == new { weights } else { weights.with_priors(&old, &new) };
        self.model.expert_weights = Some(weights);
        Ok(None)
    }

    /// Lets the model trade the evaluation period of its settings, exactly as the training run
    /// itself did at its end. Tells `watch` what is decided at every bar. Returns the bars with
    /// what became of them.
    ///
    /// Errors: bars are missing or cannot be read; a device or a strategy is unknown; whatever the
    /// callbacks return.
    pub fn evaluate(
        &self,
        data: RunData<'_>,
        callbacks: &mut dyn Callbacks,
        watch: &mut dyn FnMut(&BarDecision<'_>),
    ) -> Result<(PreparedData, EvaluationResult)> {
        let SavedRun { config, model } = self;
        let (device, period) = (setup::device(&config.device)?, config.eval_period());
        let bar_minutes = config
            .data
            .bar_minutes
            .context("the run's config.toml has no data.bar_minutes; give it with --bar-minutes")?;
        let mut on_days = |symbol: &Symbol, done, total| callbacks.on_days(symbol, done, total);
        let plan = data_plan(&LocalComm, config, data);
        let eval = plan.eval(period, &model.fit, bar_minutes, &mut on_days)?;
        callbacks.on_data(period, &eval);
        let mandate = Mandate::new(&config.stocks, &config.env, &config.portfolio);
        let evaluated =
            model.evaluate(&config.learner.in_bars(bar_minutes), device, &mandate, &eval, watch)?;
        Ok((eval, evaluated))
    }

    /// What the network listens to in these bars.
    ///
    /// Errors: a device is unknown.
    pub fn explanation(&self, eval: &PreparedData) -> Result<Explanation> {
        let SavedRun { config, model } = self;
        let learner = config.learner.in_bars(eval.note.bar_minutes);
        let device = setup::device(&config.device)?;
        let Actors { terms, mut agents, .. } = model.actors(&learner, device, &config.env)?;
        let (shape, weights) = (&model.shape, &model.weights[..]);
        let policy = MeasuredPolicy { shape, weights, terms: &terms, seed: config.seed };
        let mut agents: Vec<_> = agents.iter_mut().enumerate().collect();
        Explanation::gather(&LocalComm, &[eval], &policy, &mut agents)
    }
}

/// Runs before the one that a run began with, at most.
const MOST_BEFORE: usize = 100;

/// The last day that the model of a run with these settings was fitted on, be it in the run with
/// whose weights it began.
pub fn fitted_until(config: &RunConfig) -> NaiveDate {
    let (mut latest, mut before) = (config.end_date, config.init_from.clone());
    for _ in 0..MOST_BEFORE {
        let Some(config) = before.and_then(|folder| saved_settings(&folder).ok()) else { break };
        latest = latest.max(config.end_date);
        before = config.init_from;
    }
    latest
}

/// The settings of a finished run.
///
/// Errors: the folder is none of a finished run.
pub fn saved_settings(folder: &Path) -> Result<RunConfig, ConfigError> {
    let path = folder.join(SETTINGS_FILE);
    let wrong = |what: String| {
        let path = path.display().to_string();
        ConfigError::new(&path, what, "give the results folder of a finished run")
    };
    let text = std::fs::read_to_string(&path).map_err(|e| wrong(e.to_string()))?;
    let config: RunConfig = toml::from_str(&text).map_err(|e| wrong(e.message().to_string()))?;
    config.validate().map_err(|e| wrong(e.to_string()))?;
    if config.data.bar_minutes.is_none() {
        return Err(wrong("it has no data.bar_minutes".into()));
    }
    Ok(config)
}
