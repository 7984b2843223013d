//! Progress on standard error: a live display on a terminal, made for 80 columns, else plain
//! lines.

mod bars;
mod figures;
mod lines;

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use indicatif::MultiProgress;

use super::metrics_log::MetricsLine;
use crate::errors::printable;
use bars::ProgressBars;
use lines::PlainLines;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verbosity {
    /// Nothing; also for every rank but 0.
    Quiet,
    Normal,
}

/// Can be shared among threads. Call [`Progress::finish`] before an error is printed; dropping does
/// it too.
pub(crate) struct Progress(Mutex<ProgressView>);

enum ProgressView {
    Silent,
    Bars(ProgressBars),
    Lines(PlainLines),
}

impl Progress {
    pub(crate) fn new(verbosity: Verbosity) -> Progress {
        let face = match verbosity {
            Verbosity::Quiet => ProgressView::Silent,
            Verbosity::Normal if io::stderr().is_terminal() => {
                ProgressView::Bars(ProgressBars::new())
            }
            Verbosity::Normal => ProgressView::Lines(PlainLines::new(Box::new(io::stderr()))),
        };
        Progress(Mutex::new(face))
    }

    /// `done` of `total` days of `symbol` are read.
    pub(crate) fn data(&self, symbol: &str, done: usize, total: usize) {
        match &mut *self.face() {
            ProgressView::Silent => {}
            ProgressView::Bars(bars) => bars.data(symbol, done, total),
            ProgressView::Lines(lines) => lines.data(Instant::now(), symbol, done, total),
        }
    }

    /// The data are read and the first of `total_env_steps` is about to be taken.
    pub(crate) fn training_start(&self, total_env_steps: u64) {
        match &mut *self.face() {
            ProgressView::Silent => {}
            ProgressView::Bars(bars) => bars.training_start(total_env_steps),
            ProgressView::Lines(lines) => lines.training_start(Instant::now(), total_env_steps),
        }
    }

    /// An interval of training has ended.
    pub(crate) fn training(&self, line: &MetricsLine) {
        match &mut *self.face() {
            ProgressView::Silent => {}
            ProgressView::Bars(bars) => bars.training(Instant::now(), line),
            ProgressView::Lines(lines) => lines.training(Instant::now(), line),
        }
    }

    /// `done` of `total` strategies have finished. Plain lines report that by themselves.
    pub(crate) fn strategies(&self, done: usize, total: usize) {
        if let ProgressView::Bars(bars) = &mut *self.face() {
            bars.strategies(done, total);
        }
    }

    /// Prints a notice or the start of a phase, in one line.
    pub(crate) fn line(&self, text: &str) {
        let text = &*printable(text);
        match &mut *self.face() {
            ProgressView::Silent => {}
            ProgressView::Bars(bars) => bars.line(text),
            ProgressView::Lines(lines) => lines.say(text),
        }
    }

    /// Clears the display, before something else is printed.
    pub(crate) fn finish(&self) {
        if let ProgressView::Bars(bars) = &mut *self.face() {
            bars.clear();
        }
    }

    /// Standard error for log records: the display is suspended while one is written.
    pub(crate) fn log_writer(&self) -> LogWriter {
        match &*self.face() {
            ProgressView::Bars(bars) => LogWriter(Some(bars.all.clone())),
            ProgressView::Silent | ProgressView::Lines(_) => LogWriter(None),
        }
    }

    /// A thread that panicked while it showed progress leaves no inconsistent state.
    fn face(&self) -> MutexGuard<'_, ProgressView> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

/// See [`Progress::log_writer`].
#[derive(Clone)]
pub(crate) struct LogWriter(Option<MultiProgress>);

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Some(display) => display.suspend(|| io::stderr().write(bytes)),
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_says_nothing() {
        let progress = Progress::new(Verbosity::Quiet);
        assert!(matches!(*progress.face(), ProgressView::Silent));
        progress.line("unheard");
    }
}
