//! The price of a stock, with marks where positions were entered and left.

use plotters::prelude::*;

use super::axis::{self, Axis};
use super::header::Header;
use super::{AGENT, BENCHMARK, Drawn, MUTED, Screen, downsample, line, units};

const WIDTH: u32 = 600;
const HEIGHT: u32 = 230;
/// Points of the price's curve, by screen.
const MAX_POINTS: [usize; 2] = [700, 400];
/// Half the width of a mark, pixels.
const MARK: i32 = 4;

/// A fill that opened or closed a position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TradeMark {
    /// Index of the bar.
    pub(crate) bar: usize,
    /// At which it was filled.
    pub(crate) price: f64,
    /// Of a long position; else of a short one.
    pub(crate) is_long: bool,
    pub(crate) is_entry: bool,
}

/// `prices` are closes, one per bar; those that are not above 0 are left out. A whole SVG document.
pub(crate) fn price_svg(
    end_s: &[i64],
    prices: &[f64],
    marks: &[TradeMark],
    screen: Screen,
) -> String {
    let width = screen.width(WIDTH);
    let known = prices.iter().enumerate().filter(|(_, price)| **price > 0.0);
    let points: Vec<(f64, f64)> = known.map(|(bar, &price)| (bar as f64, price)).collect();
    let points = downsample(&points, screen.pick(MAX_POINTS[0], MAX_POINTS[1]));
    let x = Axis::bars(end_s, width);
    let marked = marks.iter().map(|mark| mark.price);
    let y = Axis::around(points.iter().map(|(_, price)| *price).chain(marked), 4, axis::number);
    super::document(width, HEIGHT, |area| {
        let header = Header::new("Close, and fills at the open");
        let mut chart = axis::chart(area, &header, &x, &y)?;
        chart.draw_series(LineSeries::new(points.iter().copied(), line(MUTED, 10)))?;
        // Entries lie on top: where one position is turned into another, both are told.
        for is_entry in [false, true] {
            for mark in marks.iter().filter(|mark| mark.is_entry == is_entry) {
                draw(&mut chart, mark)?;
            }
        }
        Ok(())
    })
}

/// An entry is a triangle that points up for a long position and down for a short one; an exit is a
/// circle.
fn draw(chart: &mut axis::Chart<'_, '_>, mark: &TradeMark) -> Drawn<()> {
    let at = (mark.bar as f64, mark.price);
    let colour = if mark.is_long { AGENT } else { BENCHMARK };
    let size = units(1) * MARK;
    if !mark.is_entry {
        let circle = Circle::new(at, size * 3 / 4, line(colour, 15));
        chart.draw_series([circle])?;
        return Ok(());
    }
    let tip = if mark.is_long { -size } else { size };
    let corners = vec![(-size, -tip), (size, -tip), (0, tip)];
    let triangle = EmptyElement::at(at) + Polygon::new(corners, colour.filled());
    chart.draw_series([triangle])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_is_drawn_by_its_kind_and_a_long_price_stays_small() {
        let bars = 20_000;
        let end_s: Vec<i64> = (0..bars).map(|t| 1_577_979_000 + 3_600 * t).collect();
        let mut prices: Vec<f64> = (0..bars).map(|t| 100.0 + (t as f64).sin()).collect();
        prices[..10].fill(0.0);
        let mark = |bar, is_long, is_entry| TradeMark { bar, price: 100.0, is_long, is_entry };
        let marks = [
            mark(100, true, true),
            mark(200, true, false),
            mark(200, false, true),
            mark(400, false, false),
            mark(500, true, true),
        ];
        let svg = price_svg(&end_s, &prices, &marks, Screen::Wide);
        let drawn = |shape: &str, colour: &str| {
            svg.lines().filter(|line| line.contains(shape) && line.contains(colour)).count()
        };
        assert_eq!(drawn("<polygon", "#1F5FA8"), 2, "long entries");
        assert_eq!(drawn("<polygon", "#B76E12"), 1, "short entries");
        assert_eq!([drawn("<circle", "#1F5FA8"), drawn("<circle", "#B76E12")], [1, 1], "exits");
        assert!(svg.len() < 40_000 && !svg.contains("NaN"), "{} bytes", svg.len());
        assert!(!price_svg(&[0], &[0.0], &[], Screen::Narrow).contains("NaN"));
    }
}
