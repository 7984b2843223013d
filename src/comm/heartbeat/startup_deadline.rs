//! A timeout for the start-up, until the ranks watch each other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::errors::tell;

use super::{HeartbeatTimeouts, ROUND, SECOND_SPEAKER, end_process};

/// The start-up limit as a multiple of the silence limit: loading libraries on hundreds of machines
/// takes longer than a heartbeat.
const TIMES_SILENT: u32 = 8;

/// Ends this process, and with it the job, unless it is dropped within the limit.
pub(crate) struct StartupDeadline {
    is_over: Arc<AtomicBool>,
    awaited: Arc<Mutex<String>>,
}

impl StartupDeadline {
    pub(crate) fn expect(rank: usize, timeouts: HeartbeatTimeouts) -> StartupDeadline {
        let limit = timeouts.silent.saturating_mul(TIMES_SILENT);
        // Rank 0 reports first; another rank follows if rank 0 hangs.
        let limit = limit.saturating_add(SECOND_SPEAKER * rank.min(2) as u32);
        let is_over = Arc::new(AtomicBool::new(false));
        let awaited = Arc::new(Mutex::new("one of the ranks".to_string()));
        let start = StartupDeadline { is_over: is_over.clone(), awaited: awaited.clone() };
        std::thread::spawn(move || {
            let since = Instant::now();
            while since.elapsed() < limit {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                std::thread::sleep(ROUND);
            }
            let awaited = awaited.lock().unwrap_or_else(PoisonError::into_inner);
            tell(&error_line(&awaited, limit));
            end_process();
        });
        start
    }

    /// Sets the rank that the error line names as missing.
    pub(crate) fn wait_for(&self, rank: &str) {
        *self.awaited.lock().unwrap_or_else(PoisonError::into_inner) = rank.into();
    }
}

impl Drop for StartupDeadline {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

fn error_line(awaited: &str, limit: Duration) -> String {
    format!(
        "error: {awaited} did not start within {:.0} s (6 times \
         ranks.timeout_s): it hangs, or its machine cannot be reached; the job ends",
        limit.as_secs_f64()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_who_is_missing_and_the_setting() {
        let line = error_line("rank 3 (META)", Duration::from_secs(60));
        assert!(line.starts_with("error: rank 3 (META) did not start within 60 s"), "{line}");
        assert!(line.contains("ranks.timeout_s"), "{line}");
    }
}
