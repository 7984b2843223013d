//! The equity of every seed of a study beside buy-and-hold.

use plotters::prelude::*;

use super::axis::{self, Axis};
use super::header::Header;
use super::{AGENT, BENCHMARK, MUTED, Screen, downsample, line, max_points};

const WIDTH: u32 = 980;
const HEIGHT: u32 = 330;
const NARROW_HEIGHT: u32 = 250;
/// All curves together have at most as many points as this many of one seed.
const FULL_CURVES: usize = 6;

/// Return since the start of each seed's account (thin), of their mean, and of the benchmark, over
/// the same bars; a whole SVG document.
pub(crate) fn seeds_svg(
    end_s: &[i64],
    seeds: &[&[f64]],
    mean: &[f64],
    benchmark: &[f64],
    screen: Screen,
) -> String {
    let width = screen.width(WIDTH);
    let x = Axis::bars(end_s, width);
    let most = max_points(width) * FULL_CURVES / seeds.len().max(FULL_CURVES);
    let growth = |equity: &[f64], most: usize| -> Vec<(f64, f64)> {
        let start = equity.first().copied().unwrap_or(1.0);
        let points: Vec<(f64, f64)> =
            equity.iter().enumerate().map(|(t, value)| (t as f64, value / start - 1.0)).collect();
        downsample(&points, most.max(4))
    };
    let thin: Vec<_> = seeds.iter().map(|equity| growth(equity, most)).collect();
    let whole = |equity: &[f64]| growth(equity, max_points(width));
    let thick = [(whole(benchmark), BENCHMARK), (whole(mean), AGENT)];
    let header = Header::with_names(
        "Return since the start, out of sample, after costs",
        [("each seed", MUTED), ("their mean", AGENT), ("benchmark", BENCHMARK)],
    );
    let height = screen.pick(HEIGHT, NARROW_HEIGHT) + header.added_height(width);
    super::document(width, height, |area| {
        let of_thick = thick.iter().flat_map(|(points, _)| points);
        let heights = thin.iter().flatten().chain(of_thick).map(|(_, y)| *y);
        let y = Axis::around(heights.chain([0.0]), 5, axis::signed_percent);
        let mut chart = axis::chart(area, &header, &x, &y)?;
        let zero = vec![(x.range.start, 0.0), (x.range.end, 0.0)];
        chart.draw_series([PathElement::new(zero, line(MUTED.mix(0.6), 10))])?;
        for points in &thin {
            let points = points.iter().copied();
            chart.draw_series(LineSeries::new(points, line(MUTED.mix(0.7), 8)))?;
        }
        for (points, colour) in &thick {
            chart.draw_series(LineSeries::new(points.iter().copied(), line(colour, 20)))?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn many_seeds_make_a_small_figure() {
        let example = example::run(2, 20_000);
        let (equity, end_s) = (&example.record.equity[..], &example.record.end_s[..]);
        let svg =
            seeds_svg(end_s, &vec![equity; 40], equity, &example.benchmark_equity, Screen::Wide);
        assert!(svg.len() < 400_000 && !svg.contains("NaN"), "{} bytes", svg.len());
        for bars in [1, 2, 8] {
            let equity = &equity[..bars];
            let svg = seeds_svg(&end_s[..bars], &[equity], equity, equity, Screen::Narrow);
            assert!(!svg.contains("NaN"), "{bars} bars");
        }
    }
}
