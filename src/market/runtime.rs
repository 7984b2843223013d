//! The async runtime for network access.

use std::mem;

use tokio::runtime::{Builder, Runtime};
use tracing::subscriber::NoSubscriber;

/// A tokio runtime whose threads do not log: HTTP clients and the layers below log addresses and
/// headers, and with them signatures and keys.
pub(crate) fn silent_runtime(threads: &str) -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name(threads)
        .on_thread_start(|| mem::forget(tracing::subscriber::set_default(NoSubscriber::new())))
        .enable_all()
        .build()
}
