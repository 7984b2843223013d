//! The accounts of several runs over time.

use plotters::prelude::*;

use super::axis::{self, Axis};
use super::header::Header;
use super::{AGENT, BENCHMARK, INK, MUTED, Screen, downsample, line, max_points};
use crate::report::portfolio_csv::EquityRow;

const WIDTH: u32 = 980;
const HEIGHT: u32 = 330;
const NARROW_HEIGHT: u32 = 250;
const COLOURS: [RGBColor; 4] = [AGENT, BENCHMARK, INK, MUTED];
/// Longer names lose their beginning, where folders are alike.
const MAX_NAME: usize = 16;

/// Return since the start of each run, by day; a whole SVG document. The first [`COLOURS`] runs are
/// told apart; further ones have the last colour.
pub(crate) fn compared_svg(runs: &[(&str, &[EquityRow])], screen: Screen) -> String {
    let width = screen.width(WIDTH);
    let mut dates: Vec<_> =
        runs.iter().flat_map(|(_, rows)| rows.iter().map(|row| row.date)).collect();
    dates.sort_unstable();
    dates.dedup();
    let noon = |date: &chrono::NaiveDate| {
        date.and_hms_opt(17, 0, 0).map_or(0, |noon| noon.and_utc().timestamp())
    };
    let x = Axis::bars(&dates.iter().map(noon).collect::<Vec<_>>(), width);
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
        downsample(&points, max_points(width))
    };
    let colour = |i: usize| COLOURS[i.min(COLOURS.len() - 1)];
    let curves: Vec<_> = runs.iter().map(|(_, rows)| curve(rows, |row| row.equity)).collect();
    let held = runs.first().map(|(_, rows)| curve(rows, |row| row.benchmark)).unwrap_or_default();
    let colours = (0..COLOURS.len()).map(colour);
    let names = runs.iter().map(|(name, _)| {
        let skipped = name.chars().count().saturating_sub(MAX_NAME);
        name.chars().skip(skipped).collect::<String>()
    });
    let header = Header::with_names("Return since the start, after costs", names.zip(colours));
    let height = screen.pick(HEIGHT, NARROW_HEIGHT) + header.added_height(width);
    super::document(width, height, |area| {
        let heights = curves.iter().flatten().chain(&held).map(|(_, y)| *y);
        let y = Axis::around(heights.chain([0.0]), 5, axis::signed_percent);
        let mut chart = axis::chart(area, &header, &x, &y)?;
        chart.draw_series(LineSeries::new(held.iter().copied(), line(MUTED.mix(0.6), 8)))?;
        for (i, points) in curves.iter().enumerate().rev() {
            chart.draw_series(LineSeries::new(points.iter().copied(), line(colour(i), 20)))?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_is_named_by_the_end_of_its_name_at_both_widths() {
        let date = |day| chrono::NaiveDate::from_ymd_opt(2020, 1, day).unwrap();
        let row = |day| EquityRow { date: date(day), equity: f64::from(day), benchmark: 1.0 };
        let rows: Vec<EquityRow> = (2..20).map(row).collect();
        let names = ["results/a_long_name/first", "results/second", "third", "fourth", "fifth"];
        let runs: Vec<(&str, &[EquityRow])> = names.iter().map(|name| (*name, &rows[..])).collect();
        for screen in Screen::ALL {
            let svg = compared_svg(&runs, screen);
            for name in ["_long_name/first", "results/second", "third", "fourth"] {
                assert!(svg.contains(&format!("\n{name}\n")), "{name} of {screen:?}");
            }
            assert!(!svg.contains("fifth") && !svg.contains("NaN"));
        }
    }
}
