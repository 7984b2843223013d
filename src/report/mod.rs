//! What a run leaves behind and what it says while it runs. Values in, files and text out: nothing here knows
//! ranks, tensors or the market's store.
//!
//! ```text
//! ResultsFolder -- MetricsLog     metrics.jsonl, one line per interval
//!               |- EventWriter    TensorBoard events
//!               |- portfolio_csv  portfolio_ep{episode}.csv
//!               |- summary        summary.json
//!               |- relationships  relationships.csv
//!               `- html           report.html, with the figures of `plot`
//! Progress (standard error)      table (standard output)
//! ```

pub mod folder;
pub mod html;
pub mod metrics_log;
pub mod plot;
pub mod portfolio_csv;
pub mod progress;
pub mod relationships;
pub mod summary;
pub mod table;
pub mod tensorboard;

mod format;
mod new_york;
mod verdict;

#[cfg(test)]
mod example;

pub use folder::{ReportError, ResultsFolder};
pub use metrics_log::{MetricsLine, MetricsLog};
pub use progress::{Progress, Verbosity};
pub use relationships::Relationships;
pub use summary::{RunSummary, Summary};
pub use tensorboard::EventWriter;
