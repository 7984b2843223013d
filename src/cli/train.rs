//! Flags of a training run.

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::Args;

use super::numbers::{LARGEST_SEED, MOST_PASSES, between};
use super::settings::{read_config, set, settings};
use super::{DataArgs, GlobalArgs, TradingArgs};
use crate::config::{Compression, ConfigError, Mode, RunConfig, SyncMode};
use crate::market::Symbol;

#[derive(Args, Debug, Clone)]
pub(crate) struct TrainArgs {
    /// One process, or MPI ranks (started by mpirun, or by the program itself) [default: single]
    #[arg(long, value_enum)]
    pub(crate) mode: Option<Mode>,
    /// Stock symbols to train on [default: AAPL MSFT GOOGL AMZN META]
    #[arg(long, num_args = 1.., value_delimiter = ',', value_name = "SYMBOL")]
    pub(crate) stocks: Vec<Symbol>,
    /// First day of training, YYYY-MM-DD [default: 2018-01-01]
    #[arg(long = "start_date", alias = "start-date", value_name = "DATE")]
    pub(crate) start_date: Option<NaiveDate>,
    /// Last day of training [default: 2019-12-31]
    #[arg(long = "end_date", alias = "end-date", value_name = "DATE")]
    pub(crate) end_date: Option<NaiveDate>,
    /// First day of evaluation [default: 2020-01-01]
    #[arg(long = "eval_start", alias = "eval-start", value_name = "DATE")]
    pub(crate) eval_start: Option<NaiveDate>,
    /// Last day of evaluation [default: 2020-12-31]
    #[arg(long = "eval_end", alias = "eval-end", value_name = "DATE")]
    pub(crate) eval_end: Option<NaiveDate>,
    /// Passes over the training period [default: 100]
    #[arg(long, value_name = "N", value_parser = between::<u32>(1, MOST_PASSES))]
    pub(crate) episodes: Option<u32>,
    /// Begin with the weights of a finished run, such as on newer days: its results folder
    #[arg(long, alias = "init_from", value_name = "RUN")]
    pub(crate) init_from: Option<PathBuf>,
    /// Folder for the results; an earlier run in it moves to earlier/N [default: results]
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Seed of all random numbers [default: 1]
    #[arg(long, value_name = "N", value_parser = between::<u64>(0, LARGEST_SEED))]
    pub(crate) seed: Option<u64>,
    /// Settings of an earlier run: its folder or its config.toml; flags override them
    #[arg(long, value_name = "PATH")]
    pub(crate) config: Option<PathBuf>,
    /// Any setting of config.toml, such as learner.gamma=0.95; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Device of the networks: cpu or cuda:N [default: cpu]
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<String>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    #[command(flatten)]
    pub(crate) trading: TradingArgs,

    /// Segments of the training period that are stepped in parallel [default: 64]
    #[arg(long, value_name = "N", help_heading = "Learning")]
    #[arg(value_parser = between::<usize>(1, 65_536))]
    pub(crate) lanes: Option<usize>,
    /// Sampled bars per gradient step and stock [default: 128]
    #[arg(long, alias = "batch_size", value_name = "N", help_heading = "Learning")]
    #[arg(value_parser = between::<usize>(1, 65_536))]
    pub(crate) batch_size: Option<usize>,
    /// Sampled bars per new bar [default: 1]
    #[arg(long, alias = "replay_ratio", value_name = "RATIO", help_heading = "Learning")]
    pub(crate) replay_ratio: Option<f64>,
    /// Initial learning rate of Adam; it decays linearly to 0 [default: 0.002]
    #[arg(long, alias = "learning_rate", value_name = "RATE", help_heading = "Learning")]
    pub(crate) learning_rate: Option<f64>,
    /// Each stock sees only itself: no attention, no features of its peers
    #[arg(long, alias = "no_attention", help_heading = "Learning")]
    pub(crate) no_attention: bool,
    /// How workers synchronize: in lockstep bar by bar, with the same result for any number of
    /// processes, or asynchronously, each at its own pace [default: lockstep]
    #[arg(long, value_enum, help_heading = "Learning")]
    pub(crate) sync: Option<SyncMode>,
    /// With --sync async: drop a gradient whose weights are more than N updates old [default: 8 per
    /// stock]
    #[arg(long, alias = "max_staleness", value_name = "N", help_heading = "Learning")]
    #[arg(value_parser = between::<u64>(0, 1_000_000_000))]
    pub(crate) max_staleness: Option<u64>,
    /// With --sync async: compression of gradients, for slow networks [default: none]
    #[arg(long, value_enum, help_heading = "Learning")]
    pub(crate) compression: Option<Compression>,
    /// Episodes between evaluations; the last episode is always evaluated [default: 10]
    #[arg(long, alias = "eval_every", value_name = "N", help_heading = "Learning")]
    #[arg(value_parser = between::<u32>(1, MOST_PASSES))]
    pub(crate) eval_every: Option<u32>,

    /// Resume from the newest checkpoint in the results folder, with that run's settings but for flags
    /// that are given; start if there is none. A finished run goes on with more --episodes
    #[arg(long, help_heading = "Checkpoints")]
    pub(crate) resume: bool,
    /// Seconds between checkpoints; inf: only when the run is stopped [default: 300]
    #[arg(long, alias = "checkpoint_every", value_name = "S", help_heading = "Checkpoints")]
    pub(crate) checkpoint_every: Option<f64>,
    /// How many times a parallel run that started its own ranks restarts them after one has died
    #[arg(long, alias = "max_restarts", value_name = "N", default_value_t = 3)]
    #[arg(help_heading = "Checkpoints", value_parser = between::<u32>(0, 1_000_000))]
    pub(crate) max_restarts: u32,
    /// Machines of a parallel run that starts its own ranks, a line each: NAME slots=N; the first is
    /// this one. Machines that die are left out, and taken back
    #[arg(long, value_name = "FILE")]
    pub(crate) hostfile: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

impl TrainArgs {
    /// The settings of the run that is resumed, where there is one.
    fn resumed_settings(&self) -> Option<PathBuf> {
        let output = self.output.clone().unwrap_or_else(|| RunConfig::default().output);
        let path = output.join("config.toml");
        (self.resume && path.is_file()).then_some(path)
    }

    /// The settings before any flag changes them.
    pub(super) fn base(&self) -> Result<RunConfig, ConfigError> {
        Ok(match (&self.config, self.resumed_settings()) {
            (Some(path), _) => read_config(path)?,
            (None, Some(path)) => RunConfig { machine: None, ..read_config(&path)? },
            (None, None) => settings("", "defaults").unwrap_or_default(),
        })
    }

    /// Defaults, then the settings file (of a run that is resumed: its own), then `--set`, then the
    /// other flags; validated.
    pub(crate) fn resolve(&self) -> Result<RunConfig, ConfigError> {
        let mut config = self.base()?;
        for assignment in &self.set {
            config = config.with_setting(assignment)?;
        }
        if !self.stocks.is_empty() {
            config.stocks.clone_from(&self.stocks);
        }
        set(&mut config.mode, &self.mode);
        if self.hostfile.is_some() && config.mode == Mode::Single {
            let what = "one process needs no machines".to_string();
            return Err(ConfigError::new("--hostfile", what, "use it with --mode parallel"));
        }
        set(&mut config.start_date, &self.start_date);
        set(&mut config.end_date, &self.end_date);
        set(&mut config.eval_start, &self.eval_start);
        set(&mut config.eval_end, &self.eval_end);
        set(&mut config.episodes, &self.episodes);
        if self.init_from.is_some() {
            config.init_from.clone_from(&self.init_from);
        }
        set(&mut config.output, &self.output);
        set(&mut config.seed, &self.seed);
        set(&mut config.device, &self.device);
        self.trading.apply(&mut config);
        set(&mut config.learner.lanes, &self.lanes);
        set(&mut config.learner.batch_size, &self.batch_size);
        set(&mut config.learner.replay_ratio, &self.replay_ratio);
        set(&mut config.learner.learning_rate, &self.learning_rate);
        config.network.attention &= !self.no_attention;
        config.features.peers &= !self.no_attention;
        set(&mut config.sync, &self.sync);
        set(&mut config.asynchronous.compression, &self.compression);
        if self.max_staleness.is_some() {
            config.asynchronous.max_staleness = self.max_staleness;
        }
        set(&mut config.evaluation.every_episodes, &self.eval_every);
        set(&mut config.checkpoint.every_s, &self.checkpoint_every);
        self.data.apply(&mut config);
        config.validate()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    fn parse(flags: &[&str]) -> Result<RunConfig, ConfigError> {
        let mut words = vec!["dqn-trader"];
        words.extend(flags);
        Cli::try_parse_from(words).unwrap().train.resolve()
    }

    #[test]
    fn no_flags_give_the_documented_defaults() {
        assert_eq!(parse(&[]).unwrap(), RunConfig::default());
    }

    #[test]
    fn dates_are_spelled_with_underscores_or_hyphens() {
        let underscores =
            parse(&["--start_date", "2019-01-01", "--eval_start=2020-02-01"]).unwrap();
        let hyphens = parse(&["--start-date", "2019-01-01", "--eval-start=2020-02-01"]).unwrap();
        assert_eq!(underscores, hyphens);
        assert_eq!(underscores.start_date.to_string(), "2019-01-01");
    }

    #[test]
    fn stocks_are_a_list_and_any_setting_can_be_set() {
        let flags = ["--stocks", "aapl", "SPY", "--set", "learner.gamma=0.9", "--long-only"];
        let config = parse(&flags).unwrap();
        let symbols: Vec<&str> = config.stocks.iter().map(Symbol::as_str).collect();
        assert_eq!(symbols, ["AAPL", "SPY"]);
        assert_eq!(config.learner.gamma, 0.9);
        assert!(config.env.long_only);
    }

    #[test]
    fn a_setting_that_is_not_one_names_itself() {
        let error = parse(&["--set", "learner.gama=0.9"]).unwrap_err().to_string();
        assert!(error.contains("did you mean learner.gamma?"), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }

    #[test]
    fn a_saved_configuration_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let config = parse(&["--seed", "7", "--fee-bps", "0.5", "--stocks", "IBM"]).unwrap();
        std::fs::write(&path, toml::to_string(&config).unwrap()).unwrap();
        for given in [path.as_path(), folder.path()] {
            let again = parse(&["--config", given.to_str().unwrap()]).unwrap();
            assert_eq!(again, config);
        }
    }

    #[test]
    fn evaluation_may_not_overlap_training_unless_allowed() {
        let overlapping = ["--eval_start", "2019-06-01"];
        let error = parse(&overlapping).unwrap_err().to_string();
        assert!(error.contains("2019-06-01") && error.contains("--allow-overlap"), "{error}");
        assert!(parse(&[&overlapping[..], &["--allow-overlap"]].concat()).is_ok());
    }
}
