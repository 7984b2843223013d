//! Flags of `dqn-trader agents`.

use std::path::PathBuf;

use clap::Args;

use super::{Format, GlobalArgs};

#[derive(Args, Debug, Clone)]
pub(crate) struct AgentsArgs {
    /// JSON configuration; the environment variables INIT_DATE and END_DATE override its dates
    /// [default: configs/default_config.json]
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// The same file, as a flag
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    pub(crate) config: Option<PathBuf>,
    /// Run only the model with this signature, in this process
    #[arg(long, value_name = "NAME")]
    pub(crate) signature: Option<String>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// Bars prepared by the parent process; this process ends with its parent
    #[arg(long, value_name = "FILE", hide = true, requires = "signature")]
    pub(crate) bars: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

impl AgentsArgs {
    pub(crate) fn path(&self) -> PathBuf {
        let given = self.config.clone().or_else(|| self.file.clone());
        given.unwrap_or_else(|| "configs/default_config.json".into())
    }
}
