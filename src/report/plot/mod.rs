//! Figures as SVG text, each for a wide and for a narrow screen. Every colour is one of the roles
//! below, so that the page can map them to its theme.

mod axis;
mod compact;
mod compared;
mod dates;
mod equity;
mod header;
mod heat_map;
mod learning;
mod price;
mod profits;
mod seeds;
mod weights;

use std::io;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

pub(crate) use compared::compared_svg;
pub(crate) use equity::{EquityCurves, Scale, equity_svg};
pub(crate) use heat_map::heat_map_svg;
pub(crate) use learning::learning_svg;
pub(super) use learning::smoothing;
pub(crate) use price::{TradeMark, price_svg};
pub(crate) use profits::{member_weights_svg, profits_svg};
pub(crate) use seeds::seeds_svg;
pub(crate) use weights::weights_svg;

/// What a figure is drawn for. A page has it once for each, and its style shows the one that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Screen {
    Wide,
    /// A telephone, held upright.
    Narrow,
}

impl Screen {
    pub(crate) const ALL: [Screen; 2] = [Screen::Wide, Screen::Narrow];
    /// The width of every figure for narrow screens, pixels.
    const NARROW: u32 = 362;

    /// Pixels, of a figure that is `wide` pixels wide where there is room.
    fn width(self, wide: u32) -> u32 {
        self.pick(wide, Screen::NARROW)
    }

    fn pick<T>(self, wide: T, narrow: T) -> T {
        match self {
            Screen::Wide => wide,
            Screen::Narrow => narrow,
        }
    }
}

/// Points per curve in a figure of so many pixels: about as many as can be told apart.
fn max_points(width: u32) -> usize {
    width as usize * 3 / 2
}

/// The backend rounds to whole units; two units a pixel keep curves smooth.
const SCALE: u32 = 2;
/// Size of the letters on axes, pixels.
const LABEL: f64 = 11.5;

/// The roles of colours, as `report.css` knows them.
const PAPER: RGBColor = RGBColor(0xFF, 0xFF, 0xFF);
const INK: RGBColor = RGBColor(0x1C, 0x23, 0x30);
const MUTED: RGBColor = RGBColor(0x66, 0x70, 0x80);
const GRID: RGBColor = RGBColor(0xE4, 0xE7, 0xEC);
const AGENT: RGBColor = RGBColor(0x1F, 0x5F, 0xA8);
const BENCHMARK: RGBColor = RGBColor(0xB7, 0x6E, 0x12);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn<T> = Result<T, DrawingAreaErrorKind<io::Error>>;

/// An SVG document of `width` by `height` pixels. `draw` works in units of 1/[`SCALE`] pixel.
fn document(width: u32, height: u32, draw: impl FnOnce(&Area) -> Drawn<()>) -> String {
    let mut text = String::new();
    {
        let size = (units(width), units(height));
        let area = SVGBackend::with_string(&mut text, (size.0 as u32, size.1 as u32));
        let area = area.into_drawing_area();
        let drawn = area.fill(&PAPER).and_then(|()| draw(&area)).and_then(|()| area.present());
        drawn.expect("drawing into a string does not fail");
    }
    let in_units = format!("width=\"{}\" height=\"{}\"", SCALE * width, SCALE * height);
    let in_pixels = format!("width=\"{width}\" height=\"{height}\" stroke-linejoin=\"round\"");
    compact::compact(&text.replacen(&in_units, &in_pixels, 1))
}

fn units(pixels: u32) -> i32 {
    (SCALE * pixels) as i32
}

/// A stroke of so many tenths of a pixel.
fn line(colour: impl Color, tenths: u32) -> ShapeStyle {
    colour.stroke_width((SCALE * tenths).div_ceil(10))
}

/// Text of `pixels` height, placed by the given anchor. The backend divides font sizes by 1.24.
fn text_style(pixels: f64, colour: RGBColor, h: HPos, v: VPos) -> TextStyle<'static> {
    let size = pixels * f64::from(SCALE) * 1.24;
    let font = ("sans-serif", size).into_font();
    TextStyle { font, color: colour.to_backend_color(), pos: Pos::new(h, v) }
}

/// At most `max_points` of the finite points, `x` rising: the first, the last, and the lowest and
/// highest of each stretch between, so that no peak or trough is lost.
fn downsample(points: &[(f64, f64)], max_points: usize) -> Vec<(f64, f64)> {
    let finite: Vec<(f64, f64)> =
        points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    if finite.len() <= max_points || max_points < 4 {
        return finite;
    }
    let inner = &finite[1..finite.len() - 1];
    let mut kept = vec![finite[0]];
    for stretch in inner.chunks(inner.len().div_ceil((max_points - 2) / 2)) {
        let by_height = |a: &usize, b: &usize| stretch[*a].1.total_cmp(&stretch[*b].1);
        let lowest = (0..stretch.len()).min_by(by_height).unwrap_or(0);
        let highest = (0..stretch.len()).max_by(by_height).unwrap_or(0);
        kept.push(stretch[lowest.min(highest)]);
        if lowest != highest {
            kept.push(stretch[lowest.max(highest)]);
        }
    }
    kept.push(finite[finite.len() - 1]);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 1_500;

    #[test]
    fn downsampling_keeps_ends_peaks_and_troughs() {
        let mut points: Vec<(f64, f64)> =
            (0..100_000).map(|i| (i as f64, (i as f64 * 0.01).sin())).collect();
        points[0].1 = 0.25;
        points[99_999].1 = 0.5;
        points[12_345].1 = 9.0;
        points[54_321].1 = -9.0;
        points[60_000].1 = f64::NAN;
        let kept = downsample(&points, MOST);
        assert!(kept.len() <= MOST && kept.len() > MOST / 2, "{}", kept.len());
        assert!(kept.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for expected in [(0.0, 0.25), (12_345.0, 9.0), (54_321.0, -9.0), (99_999.0, 0.5)] {
            assert!(kept.contains(&expected), "{expected:?}");
        }
        assert_eq!(downsample(&points[..1_000], MOST), points[..1_000]);
    }
}
