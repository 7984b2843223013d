//! A study: seeds x walk-forward folds x settings, and what they say together. Pure: nothing is
//! trained or read here.
//!
//! ```text
//! folds       |------ train ------|embargo|- test -|
//!                      |------ train ------|embargo|- test -|
//! plan        every run of a study, numbered
//! settings    what varies, as assignments
//! account     the folds' accounts, one after another, and their mean over seeds
//! statistics  median and interquartile mean over runs, with an interval
//! outcome     all of it, as `study.json` has it
//! ```
//!
//! In each fold the setting is chosen that was best on the fold's own validation days, which lie in
//! its training period. Stitched together, what the chosen ones traded is the out-of-sample account
//! of the whole procedure, of which nobody chose among several.

pub mod account;
pub mod folds;
pub mod outcome;
pub mod plan;
pub mod settings;
pub mod statistics;
