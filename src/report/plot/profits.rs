//! What experts and stocks contributed to the profit, over time.

use plotters::prelude::*;

use super::axis::{self, Axis};
use super::header::Header;
use super::{AGENT, BENCHMARK, Drawn, INK, MUTED, SCALE, Screen, downsample, line, max_points};

const WIDTH: u32 = 600;
const HEIGHT: u32 = 260;
const COLOURS: [RGBColor; 4] = [AGENT, BENCHMARK, INK, MUTED];
/// Longer names are cut.
const MAX_NAME: usize = 16;

/// A name, and a value per day.
type NamedCurve<'a> = (&'a str, Vec<f64>);

/// Profits since the start, one value per entry of `end_s` and name. The three that end farthest from
/// zero have a curve of their own; the others have one together. A whole SVG document.
pub(crate) fn profits_svg(end_s: &[i64], named: &[NamedCurve<'_>], screen: Screen) -> String {
    let last = |profits: &[f64]| profits.last().map_or(0.0, |profit| profit.abs());
    let title = "Profit since the start, after costs";
    sums_svg(end_s, named, screen, title, last, axis::number)
}

/// Weights of the members of an ensemble, drawn alike; the three whose weights are the largest on
/// average have a curve of their own.
pub(crate) fn member_weights_svg(
    end_s: &[i64],
    named: &[NamedCurve<'_>],
    screen: Screen,
) -> String {
    let sum = |weights: &[f64]| weights.iter().sum();
    sums_svg(end_s, named, screen, "Weight of each member", sum, axis::percent)
}

/// Curves that can be added up; those of the highest `rank` have their own.
fn sums_svg(
    end_s: &[i64],
    named: &[NamedCurve<'_>],
    screen: Screen,
    title: &str,
    rank: impl Fn(&[f64]) -> f64,
    label: impl Fn(f64, f64) -> String,
) -> String {
    let mut ranked: Vec<&NamedCurve<'_>> = named.iter().collect();
    ranked.sort_by(|a, b| rank(&b.1).total_cmp(&rank(&a.1)));
    let own = COLOURS.len() - 1;
    let rest = ranked.split_off(own.min(ranked.len()));
    let mut curves: Vec<(String, Vec<f64>)> =
        ranked.into_iter().map(|(name, profits)| (name.to_string(), profits.clone())).collect();
    if !rest.is_empty() {
        let sum = |t: usize| rest.iter().map(|(_, profits)| profits[t]).sum();
        let name = if rest.len() == 1 { rest[0].0 } else { "others" };
        curves.push((name.into(), (0..end_s.len()).map(sum).collect()));
    }
    let width = screen.width(WIDTH);
    let x = Axis::bars(end_s, width);
    let heights = curves.iter().flat_map(|(_, profits)| profits.iter().copied());
    let y = Axis::around(heights.chain([0.0]), 4, label);
    let short = |name: &String| name.chars().take(MAX_NAME).collect::<String>();
    let names = curves.iter().map(|(name, _)| short(name)).zip(COLOURS);
    let header = Header::with_names(title, names);
    let height = HEIGHT + header.added_height(width);
    super::document(width, height, |area| draw(area, &header, &x, &y, &curves))
}

fn draw(
    area: &super::Area,
    header: &Header,
    x: &Axis,
    y: &Axis,
    curves: &[(String, Vec<f64>)],
) -> Drawn<()> {
    let mut chart = axis::chart(area, header, x, y)?;
    let most = max_points(area.dim_in_pixel().0 / SCALE);
    let zero = vec![(x.range.start, 0.0), (x.range.end, 0.0)];
    chart.draw_series([PathElement::new(zero, line(MUTED.mix(0.6), 10))])?;
    for ((_, profits), colour) in curves.iter().zip(COLOURS).rev() {
        let points: Vec<(f64, f64)> =
            profits.iter().enumerate().map(|(t, &profit)| (t as f64, profit)).collect();
        let points = downsample(&points, most);
        chart.draw_series(LineSeries::new(points, line(colour, 15)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_have_a_curve_each_and_the_others_one() {
        let end_s: Vec<i64> = (0..5_000).map(|t| 1_577_979_000 + 86_400 * t).collect();
        let course = |slope: f64| (0..5_000).map(|t| slope * t as f64).collect();
        let named =
            [("A", course(1.0)), ("B", course(-9.0)), ("C", course(3.0)), ("D", course(2.0))];
        let svg = profits_svg(&end_s, &named, Screen::Wide);
        for name in ["A", "B", "C", "D"] {
            assert!(svg.contains(&format!("\n{name}\n")), "{name}");
        }
        let more = [&named[..], &[("E", course(0.5))]].concat();
        let svg = profits_svg(&end_s, &more, Screen::Narrow);
        assert!(svg.contains("\nothers\n") && !svg.contains("\nA\n") && !svg.contains("\nE\n"));
        let weights = member_weights_svg(&end_s, &more, Screen::Narrow);
        assert!(weights.contains("\nA\n") && !weights.contains("\nB\n"), "B never has weight");
        assert!(svg.len() < 150_000, "{} bytes", svg.len());
        assert!(!profits_svg(&[0], &[("A", vec![0.0])], Screen::Wide).contains("NaN"));
    }
}
