//! `dqn-trader study`

use chrono::Days;
use clap::Args;

use super::TrainArgs;
use super::numbers::{MOST_THREADS, between};
use super::settings::set;
use crate::config::{ConfigError, RunConfig, StudySearch, StudyWindow};

#[derive(Args, Debug, Clone)]
pub(crate) struct StudyArgs {
    /// Runs of each fold and setting, with seeds from --seed on [default: 5]
    #[arg(long, value_name = "N", help_heading = "Study", value_parser = between::<u32>(1, 1_000))]
    pub(crate) seeds: Option<u32>,
    /// Months that a fold learns from; --start_date and --eval_end are the first and the last day
    /// of the study [default: 24]
    #[arg(long, alias = "train_months", value_name = "N", help_heading = "Study")]
    #[arg(value_parser = between::<u32>(1, 1_200))]
    pub(crate) train_months: Option<u32>,
    /// Months after them that it trades [default: 3]
    #[arg(long, alias = "test_months", value_name = "N", help_heading = "Study")]
    #[arg(value_parser = between::<u32>(1, 1_200))]
    pub(crate) test_months: Option<u32>,
    /// Where the months that are learned from begin [default: rolling]
    #[arg(long, value_enum, help_heading = "Study")]
    pub(crate) window: Option<StudyWindow>,
    /// Days between learning and trading that are neither [default: 1]
    #[arg(long, alias = "embargo_days", value_name = "N", help_heading = "Study")]
    #[arg(value_parser = between::<u32>(0, 3_660))]
    pub(crate) embargo_days: Option<u32>,
    /// Try several values of a setting, such as learner.gamma=0.9,0.99; repeatable
    #[arg(long, num_args = 1.., value_name = "KEY=A,B,C", help_heading = "Study")]
    pub(crate) grid: Vec<String>,
    /// Every combination, or --trials of them at random; then KEY=LOW:HIGH and KEY=LOW:HIGH:log are
    /// ranges [default: grid]
    #[arg(long, value_enum, help_heading = "Study")]
    pub(crate) search: Option<StudySearch>,
    /// Settings of a random search [default: 30]
    #[arg(long, value_name = "N", help_heading = "Study", value_parser = between::<u32>(1, 10_000))]
    pub(crate) trials: Option<u32>,
    /// After 1, 2, 4, ... seeds go on with the better half of the settings of each fold
    #[arg(long, help_heading = "Study")]
    pub(crate) prune: bool,
    /// Begin each fold with the weights of the one before
    #[arg(long, alias = "warm_start", help_heading = "Study")]
    pub(crate) warm_start: bool,
    /// Runs at a time, in each rank [default: one per core; with several ranks, their share]
    #[arg(long, value_name = "N", help_heading = "Study")]
    #[arg(value_parser = between::<usize>(1, MOST_THREADS))]
    pub(crate) jobs: Option<usize>,
    #[command(flatten)]
    pub(crate) train: TrainArgs,
}

impl StudyArgs {
    /// The settings of every run, with those of the study.
    pub(crate) fn resolve(&self) -> Result<RunConfig, ConfigError> {
        let mut train = self.train.clone();
        for (flag, given) in [("--end_date", train.end_date), ("--eval_start", train.eval_start)] {
            if given.is_some() {
                let hint = "give --start_date and --eval_end, the first and last day of the study";
                return Err(ConfigError::new(flag, "the folds of a study have their own", hint));
            }
        }
        // Where training ends is decided by the folds; these only have to be in order.
        let first = train.start_date.unwrap_or(train.base()?.start_date);
        train.start_date = Some(first);
        train.end_date = Some(first);
        train.eval_start = Some(first + Days::new(1));
        let mut config = train.resolve()?;
        let mut study = config.study.take().unwrap_or_default();
        set(&mut study.seeds, &self.seeds);
        set(&mut study.train_months, &self.train_months);
        set(&mut study.test_months, &self.test_months);
        set(&mut study.window, &self.window);
        set(&mut study.embargo_days, &self.embargo_days);
        if !self.grid.is_empty() {
            study.grid.clone_from(&self.grid);
        }
        set(&mut study.search, &self.search);
        set(&mut study.trials, &self.trials);
        study.prune |= self.prune;
        study.warm_start |= self.warm_start;
        if study.prune && study.warm_start {
            let what = "a setting that is left out of a fold has no weights for the next";
            return Err(ConfigError::new("--prune", what, "omit it, or --warm-start"));
        }
        for (key, count) in [
            ("study.seeds", study.seeds),
            ("study.train_months", study.train_months),
            ("study.test_months", study.test_months),
            ("study.trials", study.trials),
        ] {
            if !(1..=10_000).contains(&count) {
                return Err(ConfigError::new(key, "must be from 1 to 10000", "correct it"));
            }
        }
        if study.embargo_days > 3_660 {
            let key = "study.embargo_days";
            return Err(ConfigError::new(key, "must be from 0 to 3660", "correct it"));
        }
        config.study = Some(study);
        Ok(config)
    }
}
