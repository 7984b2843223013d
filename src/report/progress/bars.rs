//! The live display on a terminal.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::figures::{TimeEstimate, figures};
use crate::report::format::wrapped_at;
use crate::report::metrics_log::MetricsLine;

/// Lines are at most so many characters long, as the tables at the end are.
const WIDTH: usize = 80;
/// Between two updates of the elapsed time.
const TICK: Duration = Duration::from_millis(200);

/// One bar per symbol while its data are read, then one for the training.
pub(super) struct ProgressBars {
    pub(super) all: MultiProgress,
    data: BTreeMap<String, ProgressBar>,
    training: Option<(ProgressBar, TimeEstimate)>,
    strategies: Option<ProgressBar>,
}

impl ProgressBars {
    pub(super) fn new() -> ProgressBars {
        let (data, training, strategies) = (BTreeMap::new(), None, None);
        ProgressBars { all: MultiProgress::new(), data, training, strategies }
    }

    pub(super) fn data(&mut self, symbol: &str, done: usize, total: usize) {
        let bar = self.data.entry(symbol.to_string()).or_insert_with(|| {
            let style = style("{prefix:<8} {bar:28} {pos}/{len} days");
            self.all.add(ProgressBar::new(0).with_style(style).with_prefix(symbol.to_string()))
        });
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        if done >= total {
            bar.finish_and_clear();
        }
    }

    pub(super) fn training_start(&mut self, total_env_steps: u64) {
        self.clear();
        let style = style("{prefix} {bar:10} {percent:>3}%  {wide_msg}");
        let bar = ProgressBar::new(total_env_steps).with_style(style).with_prefix("training");
        let bar = self.all.add(bar);
        bar.tick();
        self.training = Some((bar, TimeEstimate::new(total_env_steps)));
    }

    pub(super) fn strategies(&mut self, done: usize, total: usize) {
        let all = &self.all;
        let bar = self.strategies.get_or_insert_with(|| {
            let style = style("{prefix} {bar:28} {pos}/{len}  {elapsed}");
            let bar = all.add(ProgressBar::new(0).with_style(style).with_prefix("strategies"));
            bar.enable_steady_tick(TICK);
            bar
        });
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    }

    pub(super) fn training(&mut self, now: Instant, line: &MetricsLine) {
        if let Some((bar, pace)) = &mut self.training {
            bar.set_prefix(format!("episode {}", line.episode));
            bar.set_position(line.env_steps);
            bar.set_message(figures(line, pace.time_left(now, line)));
        }
    }

    pub(super) fn line(&self, text: &str) {
        // A display that cannot be written to must not stop the run.
        let _ = self.all.println(within(text, WIDTH));
    }

    pub(super) fn clear(&mut self) {
        for bar in std::mem::take(&mut self.data).into_values() {
            bar.finish_and_clear();
        }
        if let Some((bar, _)) = self.training.take() {
            bar.finish_and_clear();
        }
        if let Some(bar) = self.strategies.take() {
            bar.finish_and_clear();
        }
    }
}

/// `text` as it is if it fits, else in several lines, all but the first indented.
fn within(text: &str, width: usize) -> Cow<'_, str> {
    if text.chars().count() <= width { text.into() } else { wrapped_at(2, text, width).into() }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).expect("a template in the source");
    style.progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_wrapped_and_a_short_one_is_left_alone() {
        assert_eq!(within("  1 of 8  done", 20), "  1 of 8  done");
        assert_eq!(
            within("AAPL, MSFT: 887 bars from 128 days", 20),
            "AAPL, MSFT: 887\n  bars from 128 days"
        );
    }
}
