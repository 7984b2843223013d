//! The equity curves of an evaluation: growth since the start, and drawdown below.

use plotters::prelude::*;

use super::axis::{self, Axis};
use super::header::Header;
use super::{AGENT, BENCHMARK, Drawn, INK, MUTED, Screen, downsample, line, max_points};
use crate::eval::metrics::BacktestRecord;

const WIDTH: u32 = 980;
/// Of growth and of drawdown, by screen.
const UPPER: [u32; 2] = [310, 240];
const LOWER: [u32; 2] = [160, 130];
/// Accounts that grow by more than this have an axis of multiples.
const MULTIPLES_FROM: f64 = 9.0;

/// What equity is drawn on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    Linear,
    /// Equal distances are equal factors.
    Logarithmic,
}

/// Accounts over the same bars.
#[derive(Clone, Copy)]
pub(crate) struct EquityCurves<'a> {
    pub(crate) portfolio: &'a BacktestRecord,
    pub(crate) benchmark: &'a BacktestRecord,
    /// The DQN alone; None where it is no other account.
    pub(crate) dqn: Option<&'a BacktestRecord>,
}

/// Growth of all accounts and, on the linear scale, the drawdown of the portfolio and the benchmark;
/// a whole SVG document.
///
/// # Panics
/// If the accounts differ in their bars.
pub(crate) fn equity_svg(curves: EquityCurves<'_>, scale: Scale, screen: Screen) -> String {
    let EquityCurves { portfolio, benchmark, dqn } = curves;
    let mut accounts = vec![("benchmark", benchmark, BENCHMARK)];
    accounts.extend(dqn.map(|dqn| ("DQN", dqn, INK)));
    accounts.push(("portfolio", portfolio, AGENT));
    for (name, record, _) in &accounts {
        assert_eq!(record.end_s, portfolio.end_s, "{name} covers the same bars");
    }
    let width = screen.width(WIDTH);
    let most = max_points(width);
    let x = Axis::bars(&portfolio.end_s, width);
    let growth = Growth::of(accounts.iter().map(|(_, record, _)| &record.equity[..]), scale);
    let grown: Vec<_> = accounts
        .iter()
        .map(|(_, record, colour)| (growth.curve(&record.equity, most), *colour))
        .collect();
    let losses = [
        (curve(drawdown(&benchmark.equity).into_iter(), most), BENCHMARK),
        (curve(portfolio.drawdown.iter().copied(), most), AGENT),
    ];
    let names = accounts.iter().rev().map(|(name, _, colour)| (*name, *colour));
    let header = Header::with_names(growth.title(), names);
    let [upper, lower] = [UPPER, LOWER].map(|[wide, narrow]| screen.pick(wide, narrow));
    let upper = upper + header.added_height(width);
    let height = if scale == Scale::Linear { upper + lower } else { upper };
    super::document(width, height, |area| {
        let (upper, lower) = area.split_vertically(super::units(upper));
        draw(&upper, &header, &x, &growth.axis(&grown), &grown)?;
        if scale == Scale::Linear {
            draw(&lower, &Header::new("Drawdown"), &x, &axis_of(&losses, 3), &losses)?;
        }
        Ok(())
    })
}

/// How growth is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Growth {
    /// Return since the start.
    Return,
    /// Multiple of the start.
    Multiple,
    /// Logarithm of that multiple.
    Logarithm,
}

impl Growth {
    fn of<'a>(mut accounts: impl Iterator<Item = &'a [f64]>, scale: Scale) -> Growth {
        let is_large = |equity: &[f64]| {
            let start = equity.first().copied().unwrap_or(1.0);
            equity.iter().any(|value| value / start - 1.0 >= MULTIPLES_FROM)
        };
        match scale {
            Scale::Logarithmic => Growth::Logarithm,
            Scale::Linear if accounts.any(is_large) => Growth::Multiple,
            Scale::Linear => Growth::Return,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Growth::Return => "Return since the start, after costs",
            Growth::Logarithm => "Growth since the start, after costs",
            Growth::Multiple => "Multiple of the start, after costs",
        }
    }

    /// At most `most` points of a course; where nothing is left, the logarithm has none.
    fn curve(self, equity: &[f64], most: usize) -> Vec<(f64, f64)> {
        let start = equity.first().copied().unwrap_or(1.0);
        let height = |value: &f64| match self {
            Growth::Return => value / start - 1.0,
            Growth::Multiple => value / start,
            Growth::Logarithm => (value / start).ln(),
        };
        curve(equity.iter().map(height), most)
    }

    fn axis(self, curves: &[(Vec<(f64, f64)>, RGBColor)]) -> Axis {
        let heights = curves.iter().flat_map(|(points, _)| points).map(|(_, y)| *y);
        match self {
            Growth::Return => axis_of(curves, 5),
            Growth::Multiple => Axis::around(heights.chain([0.0]), 5, multiples),
            Growth::Logarithm => Axis::of_logarithms(heights.chain([0.0])),
        }
    }
}

fn multiples(value: f64, step: f64) -> String {
    format!("{}x", axis::number(value, step))
}

fn axis_of(curves: &[(Vec<(f64, f64)>, RGBColor)], ticks: usize) -> Axis {
    let heights = curves.iter().flat_map(|(points, _)| points).map(|(_, y)| *y);
    Axis::around(heights.chain([0.0]), ticks, axis::signed_percent)
}

/// The last curve lies on top, over a faint area down to zero.
fn draw(
    area: &super::Area,
    header: &Header,
    x: &Axis,
    y: &Axis,
    curves: &[(Vec<(f64, f64)>, RGBColor)],
) -> Drawn<()> {
    let mut chart = axis::chart(area, header, x, y)?;
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

fn curve(values: impl Iterator<Item = f64>, most: usize) -> Vec<(f64, f64)> {
    let points: Vec<(f64, f64)> = values.enumerate().map(|(t, y)| (t as f64, y)).collect();
    downsample(&points, most)
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
        let svg = equity_svg(example.curves(), Scale::Linear, Screen::Wide);
        assert!(svg.starts_with("<svg width=\"980\" height=\"470\""), "{}", &svg[..80]);
        let drawn = |svg: &str, colour: &str| {
            let curve = format!("<path fill=\"none\" opacity=\"1\" stroke=\"{colour}\"");
            svg.matches(&curve).count()
        };
        for colour in ["#1F5FA8", "#B76E12"] {
            assert_eq!(drawn(&svg, colour), 3, "two curves and the legend in {colour}");
        }
        assert_eq!(drawn(&svg, "#1C2330"), 2, "the DQN's curve and its legend");
        assert!(svg.len() < 200_000, "{} bytes", svg.len());
        assert!(svg.contains("benchmark") && svg.contains("\nDQN\n"));
        let svg = equity_svg(example.curves(), Scale::Logarithmic, Screen::Wide);
        let found = ["#1F5FA8", "#B76E12", "#1C2330"].map(|colour| drawn(&svg, colour));
        assert_eq!(found, [2; 3], "without drawdown");
        let alone = EquityCurves { dqn: None, ..example.curves() };
        assert!(!equity_svg(alone, Scale::Linear, Screen::Wide).contains("\nDQN\n"));
    }

    #[test]
    fn a_narrow_figure_has_the_names_below_its_title_and_fewer_points() {
        let example = example::run(2, 20_000);
        let [wide, narrow] =
            Screen::ALL.map(|screen| equity_svg(example.curves(), Scale::Linear, screen));
        assert!(narrow.starts_with("<svg width=\"362\" height=\"390\""), "{}", &narrow[..80]);
        assert!(2 * narrow.len() < wide.len(), "{} and {} bytes", narrow.len(), wide.len());
    }

    #[test]
    fn the_shortest_courses_can_be_drawn() {
        for bars in [1, 2, 8] {
            let example = example::run(1, bars);
            for (scale, screen) in [Scale::Linear, Scale::Logarithmic].into_iter().zip(Screen::ALL)
            {
                let svg = equity_svg(example.curves(), scale, screen);
                assert!(!svg.contains("NaN"), "{bars} bars");
            }
        }
    }

    /// A course to twelve times the start and one to nothing: the linear axis is of multiples; the
    /// logarithm ends where nothing is left.
    #[test]
    fn large_growth_is_a_multiple_and_equal_factors_are_equally_far() {
        let large = [100.0, 400.0, 1_200.0];
        let small = [100.0, 50.0, 0.0];
        let both = || [&large[..], &small[..]].into_iter();
        assert_eq!(Growth::of(both(), Scale::Linear), Growth::Multiple);
        assert_eq!(Growth::of([&small[..]].into_iter(), Scale::Linear), Growth::Return);
        let y = |points: Vec<(f64, f64)>| points.iter().map(|(_, y)| *y).collect::<Vec<f64>>();
        assert_eq!(y(Growth::Multiple.curve(&large, 100)), [1.0, 4.0, 12.0]);
        let logarithm = Growth::Logarithm.curve(&large, 100);
        let axis = Growth::Logarithm.axis(&[(logarithm, AGENT)]);
        let texts: Vec<&str> = axis.ticks.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["1x", "2x", "5x", "10x"]);
        assert!((axis.ticks[3].0 - axis.ticks[2].0 - 2f64.ln()).abs() < 1e-12);
        assert_eq!(y(Growth::Logarithm.curve(&small, 100)), [0.0, 0.5f64.ln()]);
    }
}
