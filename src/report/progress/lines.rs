//! Plain lines, where standard error is no terminal.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use super::figures::{TimeEstimate, figures};
use crate::report::format::{count, counted};
use crate::report::metrics_log::MetricsLine;

/// Lines within a phase come at most this often, the first of an episode somewhat earlier.
const LINE_EVERY: Duration = Duration::from_secs(10);
const EPISODE_LINE_EVERY: Duration = Duration::from_secs(5);

/// Plain lines, at a limited rate.
pub(super) struct PlainLines {
    out: Box<dyn Write + Send>,
    said: Option<Instant>,
    episode: u32,
    /// Days read and days in all, per symbol.
    data: BTreeMap<String, (usize, usize)>,
    pace: TimeEstimate,
}

impl PlainLines {
    pub(super) fn new(out: Box<dyn Write + Send>) -> PlainLines {
        PlainLines {
            out,
            said: None,
            episode: 0,
            data: BTreeMap::new(),
            pace: TimeEstimate::new(0),
        }
    }

    pub(super) fn data(&mut self, now: Instant, symbol: &str, done: usize, total: usize) {
        if self.data.is_empty() {
            self.say("reading market data");
            self.said = Some(now);
        }
        self.data.insert(symbol.to_string(), (done, total));
        if self.is_due(now, LINE_EVERY) {
            let whole = self.data.values().filter(|(done, total)| done >= total).count();
            let symbols = self.data.len();
            self.say(&format!(
                "data: {symbol} {done} of {}; {whole} of {} complete",
                counted(total, "day"),
                counted(symbols, "symbol"),
            ));
            self.said = Some(now);
        }
    }

    pub(super) fn training_start(&mut self, now: Instant, total_env_steps: u64) {
        if !self.data.is_empty() {
            let days: usize = self.data.values().map(|(done, _)| done).sum();
            let symbols = self.data.len();
            self.say(&format!(
                "data: read {} of {}",
                counted(days, "day"),
                counted(symbols, "symbol")
            ));
        }
        self.say(&format!("training: {}", counted(total_env_steps as usize, "step")));
        self.pace = TimeEstimate::new(total_env_steps);
        self.said = Some(now);
    }

    pub(super) fn training(&mut self, now: Instant, line: &MetricsLine) {
        let left = self.pace.time_left(now, line);
        let wait = if line.episode == self.episode { LINE_EVERY } else { EPISODE_LINE_EVERY };
        if self.is_due(now, wait) {
            let steps = count(line.env_steps);
            let percent = 100 * line.env_steps / self.pace.total_env_steps.max(1);
            let figures = figures(line, left);
            self.say(&format!("episode {}: {steps} steps ({percent}%), {figures}", line.episode));
            self.said = Some(now);
            self.episode = line.episode;
        }
    }

    fn is_due(&self, now: Instant, wait: Duration) -> bool {
        self.said.is_none_or(|said| now.duration_since(said) >= wait)
    }

    pub(super) fn say(&mut self, text: &str) {
        // A closed standard error must not stop the run.
        let _ = self.out.write_all(format!("{text}\n").as_bytes());
        let _ = self.out.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::report::progress::figures::tests::at;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Shared {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
        }
    }

    #[test]
    fn lines_keep_a_limited_rate() {
        let out = Shared::default();
        let mut lines = PlainLines::new(Box::new(out.clone()));
        let start = Instant::now();
        let second = |s| start + Duration::from_secs(s);
        lines.training_start(start, 100_000);
        assert_eq!(out.take(), "training: 100,000 steps\n");
        lines.training(second(4), &at(1, 1_000));
        assert_eq!(out.take(), "", "within 5 s of the phase change");
        lines.training(second(6), &at(1, 3_000));
        // 2,000 steps in 2 s since the first interval; 97,000 to go.
        let expected =
            "episode 1: 3,000 steps (3%), 1m37s left, reward -50.00 bps, loss 0.0100, 1,000/s\n";
        assert_eq!(out.take(), expected);
        lines.training(second(12), &at(1, 5_000));
        assert_eq!(out.take(), "", "within 10 s in the same episode");
        lines.training(second(12), &at(2, 6_000));
        assert!(out.take().starts_with("episode 2: 6,000 steps (6%), "));
        lines.training(second(21), &at(2, 7_000));
        assert_eq!(out.take(), "");
        lines.training(second(22), &at(2, 8_000));
        assert!(out.take().starts_with("episode 2: 8,000 steps (8%), "));
    }

    #[test]
    fn data_are_summed_up() {
        let out = Shared::default();
        let mut lines = PlainLines::new(Box::new(out.clone()));
        let start = Instant::now();
        for day in 1..=504 {
            lines.data(start, "AAPL", day, 504);
        }
        lines.data(start + LINE_EVERY, "MSFT", 2, 504);
        lines.data(start + LINE_EVERY, "MSFT", 504, 504);
        lines.training_start(start, 10);
        let expected = "reading market data\n\
            data: MSFT 2 of 504 days; 1 of 2 symbols complete\n\
            data: read 1,008 days of 2 symbols\n\
            training: 10 steps\n";
        assert_eq!(out.take(), expected);
    }
}
