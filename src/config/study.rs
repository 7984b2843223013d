//! Settings of a study.

use serde::{Deserialize, Serialize};

/// Where the training period of a fold begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum StudyWindow {
    /// So many months before the days that are traded
    Rolling,
    /// With the first day of the study
    Growing,
}

/// How settings are drawn from what a study varies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum StudySearch {
    /// Every combination
    Grid,
    /// So many at random
    Random,
}

/// Section `[study]`: seeds x folds x settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StudyConfig {
    /// Runs of each fold and setting: `seed`, `seed` + 1, ...
    pub seeds: u32,
    /// Length of a fold's training period.
    pub train_months: u32,
    /// Length of the days after it that a fold trades.
    pub test_months: u32,
    /// Whether training periods move along or grow.
    pub window: StudyWindow,
    /// Calendar days between them that are neither learned from nor traded.
    pub embargo_days: u32,
    /// What varies: `KEY=A,B,C`, or for a random search `KEY=LOW:HIGH` or `KEY=LOW:HIGH:log`.
    pub grid: Vec<String>,
    /// Every combination, or a sample.
    pub search: StudySearch,
    /// Settings of a random search.
    pub trials: u32,
    /// Go on with the better half of the settings of a fold, by its validation days, for the further
    /// seeds. Successive halving: Jamieson and Talwalkar (2016).
    pub prune: bool,
    /// Begin each fold with the weights of the one before.
    pub warm_start: bool,
}

impl Default for StudyConfig {
    fn default() -> StudyConfig {
        StudyConfig {
            seeds: 5,
            train_months: 24,
            test_months: 3,
            window: StudyWindow::Rolling,
            embargo_days: 1,
            grid: Vec::new(),
            search: StudySearch::Grid,
            trials: 30,
            prune: false,
            warm_start: false,
        }
    }
}
