//! Progress on standard error: a live display on a terminal, made for 80 columns, else plain
//! lines.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::format::{basis_points, count, short_duration, significant};
use super::metrics_log::MetricsLine;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verbosity {
    /// Nothing; also for every rank but 0.
    Quiet,
    Normal,
}

/// Between two updates of the elapsed time.
const TICK: Duration = Duration::from_millis(200);
/// Plain lines within a phase come at most this often, the first of an episode somewhat earlier.
const LINE_EVERY: Duration = Duration::from_secs(10);
const EPISODE_LINE_EVERY: Duration = Duration::from_secs(5);

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

/// One bar per symbol while its data are read, then one for the training.
struct ProgressBars {
    all: MultiProgress,
    data: BTreeMap<String, ProgressBar>,
    training: Option<(ProgressBar, TimeEstimate)>,
    strategies: Option<ProgressBar>,
}

impl ProgressBars {
    fn new() -> ProgressBars {
        let (data, training, strategies) = (BTreeMap::new(), None, None);
        ProgressBars { all: MultiProgress::new(), data, training, strategies }
    }

    fn data(&mut self, symbol: &str, done: usize, total: usize) {
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

    fn training_start(&mut self, total_env_steps: u64) {
        self.clear();
        let style = style("{prefix} {bar:10} {percent:>3}%  {wide_msg}");
        let bar = ProgressBar::new(total_env_steps).with_style(style).with_prefix("training");
        let bar = self.all.add(bar);
        bar.tick();
        self.training = Some((bar, TimeEstimate::new(total_env_steps)));
    }

    fn strategies(&mut self, done: usize, total: usize) {
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

    fn training(&mut self, now: Instant, line: &MetricsLine) {
        if let Some((bar, pace)) = &mut self.training {
            bar.set_prefix(format!("episode {}", line.episode));
            bar.set_position(line.env_steps);
            bar.set_message(figures(line, pace.time_left(now, line)));
        }
    }

    fn line(&self, text: &str) {
        // A display that cannot be written to must not stop the run.
        let _ = self.all.println(text);
    }

    fn clear(&mut self) {
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

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).expect("a template in the source");
    style.progress_chars("=> ")
}

/// Plain lines, at a limited rate.
struct PlainLines {
    out: Box<dyn Write + Send>,
    said: Option<Instant>,
    episode: u32,
    /// Days read and days in all, per symbol.
    data: BTreeMap<String, (usize, usize)>,
    pace: TimeEstimate,
}

impl PlainLines {
    fn new(out: Box<dyn Write + Send>) -> PlainLines {
        PlainLines {
            out,
            said: None,
            episode: 0,
            data: BTreeMap::new(),
            pace: TimeEstimate::new(0),
        }
    }

    fn data(&mut self, now: Instant, symbol: &str, done: usize, total: usize) {
        if self.data.is_empty() {
            self.say("reading market data");
            self.said = Some(now);
        }
        self.data.insert(symbol.to_string(), (done, total));
        if self.is_due(now, LINE_EVERY) {
            let whole = self.data.values().filter(|(done, total)| done >= total).count();
            let symbols = self.data.len();
            self.say(&format!(
                "data: {symbol} {done} of {total} days; {whole} of {symbols} symbols complete"
            ));
            self.said = Some(now);
        }
    }

    fn training_start(&mut self, now: Instant, total_env_steps: u64) {
        if !self.data.is_empty() {
            let days: usize = self.data.values().map(|(done, _)| done).sum();
            let symbols = self.data.len();
            self.say(&format!("data: read {} days of {symbols} symbols", count(days as u64)));
        }
        self.say(&format!("training: {} steps", count(total_env_steps)));
        self.pace = TimeEstimate::new(total_env_steps);
        self.said = Some(now);
    }

    fn training(&mut self, now: Instant, line: &MetricsLine) {
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

    fn say(&mut self, text: &str) {
        // A closed standard error must not stop the run.
        let _ = self.out.write_all(format!("{text}\n").as_bytes());
        let _ = self.out.flush();
    }
}

/// What a reader looks for first comes first: a narrow terminal cuts off the end.
fn figures(line: &MetricsLine, left: Option<Duration>) -> String {
    let mut text = left.map_or(String::new(), |left| format!("{} left, ", short_duration(left)));
    text += &format!("reward {}", basis_points(line.reward));
    if let Some(loss) = line.loss {
        text += &format!(", loss {}", significant(loss));
    }
    text + &format!(", {}/s", short_count(line.env_steps_per_s))
}

/// `114790` as `115k`.
fn short_count(value: f64) -> String {
    match value {
        ..1e4 => count(value.round() as u64),
        1e4..1e7 => format!("{:.0}k", value / 1e3),
        _ => format!("{:.0}M", value / 1e6),
    }
}

/// How far the training is: the time left at the mean speed since its first interval, evaluations
/// included.
struct TimeEstimate {
    total_env_steps: u64,
    first: Option<(Instant, u64)>,
}

impl TimeEstimate {
    fn new(total_env_steps: u64) -> TimeEstimate {
        TimeEstimate { total_env_steps, first: None }
    }

    /// None while nothing has been stepped.
    fn time_left(&mut self, now: Instant, line: &MetricsLine) -> Option<Duration> {
        let (since, steps) = *self.first.get_or_insert((now, line.env_steps));
        let elapsed_s = now.duration_since(since).as_secs_f64();
        let stepped = line.env_steps.saturating_sub(steps) as f64;
        let steps_per_s = if stepped > 0.0 && elapsed_s > 0.0 {
            stepped / elapsed_s
        } else {
            line.env_steps_per_s
        };
        let left = self.total_env_steps.saturating_sub(line.env_steps) as f64;
        Duration::try_from_secs_f64(left / steps_per_s).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

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

    fn at(episode: u32, env_steps: u64) -> MetricsLine {
        MetricsLine {
            episode,
            env_steps,
            gradient_steps: 0,
            env_steps_per_s: 1_000.0,
            loss: (env_steps > 1_000).then_some(0.01),
            mean_q: None,
            epsilon: 0.1,
            reward: -0.005,
            asynchronous: None,
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

    #[test]
    fn the_figures_of_a_long_run_fit_beside_the_bar() {
        // 80 columns less "episode 100", the bar and the percentage.
        let room = 80 - 11 - 1 - 10 - 1 - 4 - 2;
        let line = MetricsLine { reward: -1.234e-4, loss: Some(1.234e-7), ..at(100, 1) };
        for (rate, shown) in [(9_876.0, "9,876/s"), (114_790.0, "115k/s"), (2.5e7, "25M/s")] {
            let line = MetricsLine { env_steps_per_s: rate, ..line.clone() };
            let text = figures(&line, Some(Duration::from_secs(7_530)));
            assert!(text.starts_with("2h05m left, reward -1.23 bps, loss 1.23e-7, "), "{text}");
            assert!(text.ends_with(shown) && text.len() <= room, "{text}");
        }
    }

    #[test]
    fn without_speed_there_is_no_time_left() {
        let mut pace = TimeEstimate::new(100);
        let now = Instant::now();
        let idle = MetricsLine { env_steps_per_s: 0.0, ..at(1, 0) };
        assert_eq!(pace.time_left(now, &idle), None);
        assert_eq!(
            pace.time_left(now + Duration::from_secs(2), &at(1, 20)),
            Some(Duration::from_secs(8))
        );
    }

    #[test]
    fn quiet_says_nothing() {
        let progress = Progress::new(Verbosity::Quiet);
        assert!(matches!(*progress.face(), ProgressView::Silent));
        progress.line("unheard");
    }
}
