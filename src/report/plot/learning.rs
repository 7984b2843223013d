//! Learning curves: reward, loss and mean Q-value over environment steps.

use plotters::prelude::*;

use super::axis::{self, Axis};
use super::header::Header;
use super::{AGENT, Area, Drawn, SCALE, Screen, document, downsample, line, max_points, units};
use crate::report::metrics_log::MetricsLine;

const WIDTH: u32 = 980;
/// Of a panel.
const HEIGHT: u32 = 230;
const NARROW_HEIGHT: u32 = 190;
/// Between panels, pixels.
const GAP: u32 = 22;
/// Curves of more intervals than this are smoothed, the intervals themselves kept faint behind.
const SMOOTH_FROM: usize = 40;

/// Three panels, side by side or, on narrow screens, one below the other; a whole SVG document.
pub(crate) fn learning_svg(lines: &[MetricsLine], screen: Screen) -> String {
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
    let width = screen.width((WIDTH - 2 * GAP) / 3);
    let height = screen.pick(HEIGHT, NARROW_HEIGHT);
    let size = screen.pick((WIDTH, height), (width, 3 * height));
    document(size.0, size.1, |area| {
        let window = smoothing(lines.len());
        for (i, (title, points)) in (0..).zip(&panels) {
            let corner = screen.pick((i * (width + GAP), 0), (0, i * height));
            let corner = (units(corner.0), units(corner.1));
            let panel = area.clone().shrink(corner, (units(width), units(height)));
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
    let mut chart = axis::chart(area, &Header::new(title), x, &y)?;
    let most = max_points(area.dim_in_pixel().0 / SCALE);
    let mean = trailing_mean(points, window);
    if window > 1 {
        let raw = downsample(points, most);
        chart.draw_series(LineSeries::new(raw, line(AGENT.mix(0.25), 10)))?;
    }
    let mean = downsample(&mean, most);
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
        let all = [&example.lines[..], &example.lines[..1], &[]];
        for (lines, screen) in
            all.iter().flat_map(|lines| Screen::ALL.map(|screen| (lines, screen)))
        {
            let svg = learning_svg(lines, screen);
            for title in ["Reward per step", "Loss", "Mean Q-value"] {
                assert!(svg.contains(title), "{title}");
            }
            assert!(!svg.contains("NaN"));
        }
    }
}
