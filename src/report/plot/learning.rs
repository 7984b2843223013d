//! Learning curves: reward, loss and mean Q-value over environment steps.

use plotters::prelude::*;

use super::axis::{self, Axis};
use super::{AGENT, Area, Drawn, MAX_POINTS, document, downsample, line, units};
use crate::report::metrics_log::MetricsLine;

const WIDTH: u32 = 980;
const HEIGHT: u32 = 230;
/// Between panels, pixels.
const GAP: u32 = 22;
/// Curves of more intervals than this are smoothed, the intervals themselves kept faint behind.
const SMOOTH_FROM: usize = 40;

/// Three panels side by side; a whole SVG document.
pub(crate) fn learning_svg(lines: &[MetricsLine]) -> String {
    let curve = |value: fn(&MetricsLine) -> Option<f64>| -> Vec<(f64, f64)> {
        let defined = |line: &MetricsLine| value(line).map(|y| (line.env_steps as f64, y));
        lines.iter().filter_map(defined).filter(|(_, y)| y.is_finite()).collect()
    };
    let panels = [
        ("Reward per step", curve(|line| Some(line.reward))),
        ("Loss", curve(|line| line.loss)),
        ("Mean Q-value", curve(|line| line.mean_q)),
    ];
    let last = lines.last().map_or(1.0, |line| line.env_steps.max(1) as f64);
    let x = Axis::between(0.0..last, 4, axis::number);
    document(WIDTH, HEIGHT, |area| {
        let window = smoothing(lines.len());
        let width = (WIDTH - 2 * GAP) / 3;
        for (i, (title, points)) in panels.iter().enumerate() {
            let left = units(i as u32 * (width + GAP));
            let panel = area.clone().shrink((left, 0), (units(width), units(HEIGHT)));
            draw(&panel, title, &x, points, window)?;
        }
        Ok(())
    })
}

/// Intervals over which curves of so many are averaged; 1: not at all.
pub(in crate::report) fn smoothing(intervals: usize) -> usize {
    if intervals > SMOOTH_FROM { intervals / 20 } else { 1 }
}

fn draw(area: &Area, title: &str, x: &Axis, points: &[(f64, f64)], window: usize) -> Drawn<()> {
    let y = Axis::around(points.iter().map(|(_, y)| *y), 4, axis::number);
    let mut chart = axis::chart(area, title, x, &y)?;
    let mean = trailing_mean(points, window);
    if window > 1 {
        let raw = downsample(points, MAX_POINTS);
        chart.draw_series(LineSeries::new(raw, line(AGENT.mix(0.25), 10)))?;
    }
    let mean = downsample(&mean, MAX_POINTS);
    chart.draw_series(LineSeries::new(mean, line(AGENT, 17)))?;
    Ok(())
}

/// The mean of each point and the up to `window - 1` before it.
fn trailing_mean(points: &[(f64, f64)], window: usize) -> Vec<(f64, f64)> {
    let mean = |i: usize| {
        let part = &points[(i + 1).saturating_sub(window)..=i];
        part.iter().map(|(_, y)| y).sum::<f64>() / part.len() as f64
    };
    points.iter().enumerate().map(|(i, (x, _))| (*x, mean(i))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn the_mean_looks_back_only() {
        let points = [(0.0, 1.0), (1.0, 3.0), (2.0, 8.0), (3.0, 1.0)];
        let expected = [(0.0, 1.0), (1.0, 2.0), (2.0, 4.0), (3.0, 4.0)];
        assert_eq!(trailing_mean(&points, 3), expected);
        assert_eq!(trailing_mean(&points, 1), points);
    }

    #[test]
    fn draws_three_panels_whatever_is_defined() {
        let example = example::run(1, 8);
        for lines in [&example.lines[..], &example.lines[..1], &[]] {
            let svg = learning_svg(lines);
            for title in ["Reward per step", "Loss", "Mean Q-value"] {
                assert!(svg.contains(title), "{title}");
            }
            assert!(!svg.contains("NaN"));
        }
    }
}
