//! The figures of an interval and the time left, as both displays show them.

use std::time::{Duration, Instant};

use crate::report::format::{basis_points, count, short_duration, significant};
use crate::report::metrics_log::MetricsLine;

/// What a reader looks for first comes first: a narrow terminal cuts off the end.
pub(super) fn figures(line: &MetricsLine, left: Option<Duration>) -> String {
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
pub(super) struct TimeEstimate {
    pub(super) total_env_steps: u64,
    first: Option<(Instant, u64)>,
}

impl TimeEstimate {
    pub(super) fn new(total_env_steps: u64) -> TimeEstimate {
        TimeEstimate { total_env_steps, first: None }
    }

    /// None while nothing has been stepped.
    pub(super) fn time_left(&mut self, now: Instant, line: &MetricsLine) -> Option<Duration> {
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
pub(super) mod tests {
    use super::*;

    pub(crate) fn at(episode: u32, env_steps: u64) -> MetricsLine {
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
}
