//! `dqn-trader compare`

use std::path::PathBuf;

use clap::Args;

#[derive(Args, Debug, Clone)]
pub(crate) struct CompareArgs {
    /// Results folders of finished runs or studies; the others are compared with the first
    #[arg(required = true, num_args = 2.., value_name = "RUN")]
    pub(crate) runs: Vec<PathBuf>,
    /// Folder for comparison.json and report.html
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
}
