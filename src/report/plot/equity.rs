//! The equity curve of an evaluation: return since the start, and drawdown below.

use plotters::prelude::*;

use super::axis::{self, Axis};
use super::{AGENT, BENCHMARK, Drawn, MAX_POINTS, MUTED, downsample, legend, line};
use crate::eval::metrics::BacktestRecord;

const WIDTH: u32 = 980;
const HEIGHT: u32 = 470;
const UPPER: u32 = 310;

/// The agent against the benchmark's equity over the same bars; a whole SVG document.
pub(crate) fn equity_svg(record: &BacktestRecord, benchmark_equity: &[f64]) -> String {
    assert_eq!(benchmark_equity.len(), record.equity.len(), "the benchmark covers the same bars");
    let x = Axis::bars(&record.end_s);
    let growth = |equity: &[f64]| -> Vec<(f64, f64)> {
        let start = equity.first().copied().unwrap_or(1.0);
        curve(equity.iter().map(|value| value / start - 1.0))
    };
    let returns = [(growth(benchmark_equity), BENCHMARK), (growth(&record.equity), AGENT)];
    let losses = [
        (curve(drawdown(benchmark_equity).into_iter()), BENCHMARK),
        (curve(record.drawdown.iter().copied()), AGENT),
    ];
    super::document(WIDTH, HEIGHT, |area| {
        let (upper, lower) = area.split_vertically(super::units(UPPER));
        draw(&upper, "Return since the start, after costs", &x, 5, &returns)?;
        draw(&lower, "Drawdown", &x, 3, &losses)?;
        legend(area, WIDTH - 230, axis::TITLE / 2 - 3, AGENT, "portfolio")?;
        legend(area, WIDTH - 140, axis::TITLE / 2 - 3, BENCHMARK, "benchmark")
    })
}

/// The last curve lies on top, over a faint area down to zero.
fn draw(
    area: &super::Area,
    title: &str,
    x: &Axis,
    ticks: usize,
    curves: &[(Vec<(f64, f64)>, RGBColor)],
) -> Drawn<()> {
    let heights = curves.iter().flat_map(|(points, _)| points).map(|(_, y)| *y);
    let y = Axis::around(heights.chain([0.0]), ticks, axis::signed_percent);
    let mut chart = axis::chart(area, title, x, &y)?;
    let zero = vec![(x.range.start, 0.0), (x.range.end, 0.0)];
    chart.draw_series([PathElement::new(zero, line(MUTED.mix(0.6), 10))])?;
    if let Some((points, colour)) = curves.last() {
        chart.draw_series(AreaSeries::new(points.iter().copied(), 0.0, colour.mix(0.1)))?;
    }
    for (points, colour) in curves {
        chart.draw_series(LineSeries::new(points.iter().copied(), line(colour, 15)))?;
    }
    Ok(())
}

fn curve(values: impl Iterator<Item = f64>) -> Vec<(f64, f64)> {
    let points: Vec<(f64, f64)> = values.enumerate().map(|(t, y)| (t as f64, y)).collect();
    downsample(&points, MAX_POINTS)
}

/// Equity over its running maximum, less 1.
fn drawdown(equity: &[f64]) -> Vec<f64> {
    let mut peak = f64::NEG_INFINITY;
    let below = |value: &f64| {
        peak = peak.max(*value);
        value / peak - 1.0
    };
    equity.iter().map(below).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn drawdown_is_from_the_running_peak() {
        assert_eq!(drawdown(&[100.0, 120.0, 90.0, 126.0]), [0.0, 0.0, -0.25, 0.0]);
    }

    #[test]
    fn a_long_course_makes_a_small_figure() {
        let example = example::run(2, 20_000);
        let svg = equity_svg(&example.record, &example.benchmark_equity);
        assert!(svg.starts_with("<svg width=\"980\" height=\"470\""), "{}", &svg[..80]);
        for colour in ["#1F5FA8", "#B76E12"] {
            let curves = format!("<polyline fill=\"none\" opacity=\"1\" stroke=\"{colour}\"");
            assert_eq!(svg.matches(&curves).count(), 3, "two curves and the legend in {colour}");
        }
        assert!(svg.len() < 200_000, "{} bytes", svg.len());
        assert!(svg.contains("benchmark"));
    }

    #[test]
    fn the_shortest_courses_can_be_drawn() {
        for bars in [1, 2, 8] {
            let example = example::run(1, bars);
            let svg = equity_svg(&example.record, &example.benchmark_equity);
            assert!(!svg.contains("NaN"), "{bars} bars");
        }
    }
}
