//! Telling work on another thread to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::StrategyError;

/// A thread cannot be stopped from outside: work stops by itself once it sees that its token was
/// cancelled. Clones are the same token.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    pub fn new() -> Cancel {
        Cancel::default()
    }

    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Costs no more than reading a variable.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// For `?` in a long loop.
    pub fn check(&self) -> Result<(), StrategyError> {
        if self.is_cancelled() { Err(StrategyError::Cancelled) } else { Ok(()) }
    }
}
