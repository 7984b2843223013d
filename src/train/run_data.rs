//! Which data a run reads, and how.

use std::path::Path;

use super::dataset::DataPlan;
use crate::comm::Comm;
use crate::config::RunConfig;
use crate::market::options::LoadOptions;
use crate::source::DataSource;

/// Where bars come from, and where what is made of them is kept.
#[derive(Clone, Copy)]
pub struct RunData<'a> {
    /// Where bars are read.
    pub source: &'a DataSource,
    /// Folder for fetched files and panels.
    pub cache: &'a Path,
}

/// How the panels of a run are made.
pub fn data_plan<'a>(comm: &'a dyn Comm, config: &'a RunConfig, data: RunData<'a>) -> DataPlan<'a> {
    DataPlan {
        comm,
        stocks: &config.stocks,
        features: &config.features,
        risk_sessions: config.portfolio.risk_sessions,
        max_peers: config.network.max_peers,
        source: data.source,
        options: LoadOptions {
            columns: config.features.columns.clone(),
            ..config.data.load_options(Some(data.cache.to_path_buf()))
        },
        cache: data.cache,
    }
}
