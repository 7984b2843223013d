//! Flags of `dqn-trader evaluate`.

use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use clap::Args;

use super::settings::{read_config, set};
use super::{DataArgs, GlobalArgs};
use crate::config::{ConfigError, Mode, RunConfig};

#[derive(Args, Debug, Clone)]
pub(crate) struct EvaluateArgs {
    /// Results folder of the training run
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// First day of evaluation [default: as in the run]
    #[arg(long = "eval_start", alias = "eval-start", value_name = "DATE")]
    pub(crate) eval_start: Option<NaiveDate>,
    /// Last day of evaluation [default: as in the run]
    #[arg(long = "eval_end", alias = "eval-end", value_name = "DATE")]
    pub(crate) eval_end: Option<NaiveDate>,
    /// Folder for portfolio.csv and summary.json [default: evaluation/ in the run's folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Device of the network: cpu or cuda:N [default: as in the run]
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<String>,
    /// A setting of portfolio or env with which the model is tried, such as
    /// portfolio.meta_policy.dqn_prior=0.2; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

impl EvaluateArgs {
    /// The run's own settings, with the flags' changes.
    pub(crate) fn resolve(&self) -> Result<RunConfig, ConfigError> {
        let mut config = read_config(&self.model.join("config.toml"))?;
        for assignment in &self.set {
            check_is_of_the_account(assignment)?;
            config = config.with_setting(assignment)?;
        }
        config.mode = Mode::Single;
        set(&mut config.eval_start, &self.eval_start);
        set(&mut config.eval_end, &self.eval_end);
        config.output = self.output.clone().unwrap_or_else(|| self.model.join("evaluation"));
        set(&mut config.device, &self.device);
        if is_same_folder(&config.output, &self.model) {
            let what = format!("{} is the run's own folder", self.model.display());
            return Err(ConfigError::new("--output", what, "choose another, or omit it"));
        }
        let calendar = config.data.calendar;
        self.data.apply(&mut config);
        if config.data.calendar != calendar {
            let what = format!("the model was trained by the calendar {calendar}");
            return Err(ConfigError::new("--calendar", what, "leave it out"));
        }
        config.validate()?;
        Ok(config)
    }
}

/// The network was trained with all other settings, and has an output for each position.
fn check_is_of_the_account(assignment: &str) -> Result<(), ConfigError> {
    let key = assignment.split('=').next().unwrap_or("").trim();
    let is_free = key.starts_with("portfolio.")
        || key.starts_with("env.") && !["env.positions", "env.long_only"].contains(&key);
    if is_free {
        return Ok(());
    }
    let what = format!("{key} is settled by training");
    let hint = "set portfolio.* or env.* other than env.positions and env.long_only, or train anew";
    Err(ConfigError::new("--set", what, hint))
}

fn is_same_folder(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}
