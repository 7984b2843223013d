//! Cancellation of work on another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::StrategyError;

/// A cancellation token. A thread cannot be stopped from outside: work checks its token and stops
/// by itself. Clones share the same token.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A token that nobody has cancelled.
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// Tells all holders of the token to stop. It cannot be taken back.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Costs one relaxed atomic load.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// For `?` in a long loop. Errors: the token is cancelled.
    pub fn check(&self) -> Result<(), StrategyError> {
        if self.is_cancelled() { Err(StrategyError::Cancelled) } else { Ok(()) }
    }
}
