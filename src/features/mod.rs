//! What a policy may know: indicators, relations between stocks, and the pipeline that turns bars into scaled features.

pub mod indicators;
pub mod pipeline;
pub mod relations;
