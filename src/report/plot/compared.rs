//! The accounts of several runs over time.

use plotters::prelude::*;

use super::axis::{self, Axis};
use super::{AGENT, BENCHMARK, INK, MAX_POINTS, MUTED, downsample, legend, line};
use crate::report::portfolio_csv::EquityRow;

const WIDTH: u32 = 980;
const HEIGHT: u32 = 330;
/// Where the names begin: beside the title, so that narrow screens show the first.
const NAMES: u32 = 240;
const COLOURS: [RGBColor; 4] = [AGENT, BENCHMARK, INK, MUTED];
/// Longer names lose their beginning, where folders are alike.
const MAX_NAME: usize = 16;

/// Return since the start of each run, by day; a whole SVG document. The first [`COLOURS`] runs are
/// told apart; further ones have the last colour.
pub(crate) fn compared_svg(runs: &[(&str, &[EquityRow])]) -> String {
    let mut dates: Vec<_> =
        runs.iter().flat_map(|(_, rows)| rows.iter().map(|row| row.date)).collect();
    dates.sort_unstable();
    dates.dedup();
    let noon = |date: &chrono::NaiveDate| {
        date.and_hms_opt(17, 0, 0).map_or(0, |noon| noon.and_utc().timestamp())
    };
    let x = Axis::bars(&dates.iter().map(noon).collect::<Vec<_>>());
    let curve = |rows: &[EquityRow], of: fn(&EquityRow) -> f64| -> Vec<(f64, f64)> {
        let start = rows.first().map_or(1.0, of);
        let mut points: Vec<(f64, f64)> = Vec::new();
        for row in rows {
            let at = dates.partition_point(|date| *date < row.date) as f64;
            let point = (at, of(row) / start - 1.0);
            match points.last_mut() {
                Some(last) if last.0 == at => *last = point,
                _ => points.push(point),
            }
        }
        downsample(&points, MAX_POINTS)
    };
    let colour = |i: usize| COLOURS[i.min(COLOURS.len() - 1)];
    let curves: Vec<_> = runs.iter().map(|(_, rows)| curve(rows, |row| row.equity)).collect();
    let held = runs.first().map(|(_, rows)| curve(rows, |row| row.benchmark)).unwrap_or_default();
    super::document(WIDTH, HEIGHT, |area| {
        let heights = curves.iter().flatten().chain(&held).map(|(_, y)| *y);
        let y = Axis::around(heights.chain([0.0]), 5, axis::signed_percent);
        let mut chart = axis::chart(area, "Return since the start, after costs", &x, &y)?;
        chart.draw_series(LineSeries::new(held.iter().copied(), line(MUTED.mix(0.6), 8)))?;
        for (i, points) in curves.iter().enumerate().rev() {
            chart.draw_series(LineSeries::new(points.iter().copied(), line(colour(i), 20)))?;
        }
        let mut left = NAMES;
        for (i, (name, _)) in runs.iter().enumerate().take(COLOURS.len()) {
            let skipped = name.chars().count().saturating_sub(MAX_NAME);
            let short: String = name.chars().skip(skipped).collect();
            legend(area, left, axis::TITLE / 2 - 3, colour(i), &short)?;
            left += 150;
        }
        Ok(())
    })
}
