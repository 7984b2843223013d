//! Axes with ticks at round numbers and at the starts of months, weeks or days.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::dates::date_ticks;
use super::header::Header;
use super::{Area, Drawn, GRID, LABEL, MUTED, SCALE, line, text_style, units};

#[derive(Clone)]
pub(super) struct Axis {
    /// Never empty.
    pub(super) range: Range<f64>,
    /// Where, and what stands there.
    pub(super) ticks: Vec<(f64, String)>,
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (start, end): (i32, i32)) -> i32 {
        let fraction = (value - self.range.start) / (self.range.end - self.range.start);
        start + (f64::from(end - start) * fraction).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() {
            return Vec::new();
        }
        self.ticks.iter().map(|(at, _)| *at).collect()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        let tick = self.ticks.iter().find(|(at, _)| at == value);
        tick.map_or(String::new(), |(_, text)| text.clone())
    }
}

pub(super) type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Axis, Axis>>;

/// Pixels left of and below a chart, for its labels.
const LEFT: u32 = 56;
const BOTTOM: u32 = 26;
/// Room for half of the last date.
const RIGHT: u32 = 28;

/// Header, grid and labels; the caller adds the curves.
pub(super) fn chart<'a, 'b>(
    area: &'a Area<'b>,
    header: &Header,
    x: &Axis,
    y: &Axis,
) -> Drawn<Chart<'a, 'b>> {
    header.draw(area)?;
    let mut chart = ChartBuilder::on(area)
        .margin_top(units(header.height(area.dim_in_pixel().0 / SCALE)))
        .margin_right(units(RIGHT))
        .set_label_area_size(LabelAreaPosition::Left, units(LEFT))
        .set_label_area_size(LabelAreaPosition::Bottom, units(BOTTOM))
        .build_cartesian_2d(x.clone(), y.clone())?;
    let labels = text_style(LABEL, MUTED, HPos::Left, VPos::Top);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(line(GRID, 10))
        .light_line_style(TRANSPARENT)
        .axis_style(line(GRID, 10))
        .set_all_tick_mark_size(units(4))
        .x_label_style(labels.clone())
        .y_label_style(labels)
        .draw()?;
    Ok(chart)
}

impl Axis {
    /// Around `values` with a margin of 4 % and about `count` ticks at 1, 2 or 5 times a power of
    /// ten.
    pub(super) fn around(
        values: impl Iterator<Item = f64>,
        count: usize,
        label: impl Fn(f64, f64) -> String,
    ) -> Axis {
        let (low, high) = values
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        let (low, high) = match high - low {
            span if span > 0.0 => (low - 0.04 * span, high + 0.04 * span),
            span if span == 0.0 && low != 0.0 => (low - 0.5 * low.abs(), high + 0.5 * low.abs()),
            _ => (-1.0, 1.0),
        };
        Axis::between(low..high, count, label)
    }

    /// Around natural logarithms of multiples: ticks at round returns where all are within a factor
    /// of about two, else at multiples of 1, 2 and 5 times powers of ten, or at powers alone.
    pub(super) fn of_logarithms(values: impl Iterator<Item = f64>) -> Axis {
        let Axis { range, .. } = Axis::around(values, 5, number);
        let returns = range.start.exp() - 1.0..range.end.exp() - 1.0;
        if range.end - range.start < 1.0 {
            let linear = Axis::between(returns, 5, signed_percent);
            let ticks = linear.ticks.into_iter().map(|(at, text)| ((1.0 + at).ln(), text));
            return Axis { range, ticks: ticks.collect() };
        }
        let powers = (range.start / 10_f64.ln()).floor() as i32..=(range.end / 10_f64.ln()) as i32;
        let every = (powers.clone().count() / 6).max(1);
        let factors: &[f64] = if powers.clone().count() <= 3 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let at = powers.filter(|power| power.rem_euclid(every as i32) == 0);
        let at = at.flat_map(|power| factors.iter().map(move |factor| factor * 10_f64.powi(power)));
        let ticks = at.map(|multiple| (multiple.ln(), format!("{}x", number(multiple, multiple))));
        let ticks = ticks.filter(|(at, _)| range.contains(at)).collect();
        Axis { range, ticks }
    }

    /// `label` gets a tick's value and the distance between ticks.
    pub(super) fn between(
        range: Range<f64>,
        count: usize,
        label: impl Fn(f64, f64) -> String,
    ) -> Axis {
        let step = round_step((range.end - range.start) / count as f64);
        let first = (range.start / step).ceil() as i64;
        let last = (range.end / step).floor() as i64;
        let ticks = (first..=last).map(|k| k as f64 * step);
        let ticks = ticks.map(|value| (value, label(value, step))).collect();
        Axis { range, ticks }
    }

    /// The bars by their number, labelled by New York dates: nights and weekends take no room. For a
    /// [`chart`] of `width` pixels, labels included.
    pub(super) fn bars(end_s: &[i64], width: u32) -> Axis {
        let last = end_s.len().saturating_sub(1).max(1) as f64;
        let room = f64::from(width.saturating_sub(LEFT + RIGHT));
        Axis { range: 0.0..last, ticks: date_ticks(end_s, room, f64::from(RIGHT)) }
    }
}

/// A plain number with as many decimals as ticks `step` apart need; thousands and millions as k and
/// M.
pub(super) fn number(value: f64, step: f64) -> String {
    let largest = value.abs().max(step);
    let (unit, suffix) = match largest {
        v if v >= 1e9 => (1e9, "G"),
        v if v >= 1e6 => (1e6, "M"),
        v if v >= 1e4 => (1e3, "k"),
        _ => (1.0, ""),
    };
    if value == 0.0 {
        return "0".into();
    }
    if step < 1e-4 {
        return format!("{value:.1e}").replace(".0e", "e");
    }
    format!("{:.*}{suffix}", decimals(step / unit), value / unit)
}

/// A fraction as percent with its sign.
pub(super) fn signed_percent(value: f64, step: f64) -> String {
    if value == 0.0 {
        "0%".into()
    } else {
        format!("{:+.*}%", decimals(100.0 * step), 100.0 * value)
    }
}

/// A fraction as a percentage without a plus sign.
pub(super) fn percent(value: f64, step: f64) -> String {
    signed_percent(value, step).replace('+', "")
}

fn decimals(step: f64) -> usize {
    (-(step * 1.000_001).log10().floor()).max(0.0) as usize
}

/// 1, 2 or 5 times a power of ten, the nearest one not below `least`.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= least * 0.999_999);
    factor.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(ticks: &[(f64, String)]) -> Vec<&str> {
        ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn ticks_are_round() {
        let axis = Axis::around([-0.031, 0.118].into_iter(), 5, signed_percent);
        assert_eq!(texts(&axis.ticks), ["0%", "+5%", "+10%"]);
        let axis = Axis::around([0.0, 1_965_600.0].into_iter(), 4, number);
        assert_eq!(texts(&axis.ticks), ["0", "1M", "2M"]);
        let axis = Axis::around([1e-6, 7e-6].into_iter(), 4, number);
        assert_eq!(texts(&axis.ticks), ["2e-6", "4e-6", "6e-6"]);
        let axis = Axis::around([0.0021, 0.0032].into_iter(), 4, number);
        assert_eq!(texts(&axis.ticks), ["0.0025", "0.0030"]);
        let axis = Axis::between(0.0..45_000.0, 4, number);
        assert_eq!(texts(&axis.ticks), ["0", "20k", "40k"]);
    }

    #[test]
    fn logarithms_have_returns_or_multiples() {
        let axis = |from: f64, to: f64| Axis::of_logarithms([from.ln(), to.ln()].into_iter());
        assert_eq!(texts(&axis(0.92, 1.31).ticks), ["0%", "+10%", "+20%", "+30%"]);
        assert!((axis(0.92, 1.31).ticks[1].0 - 1.1f64.ln()).abs() < 1e-12);
        assert_eq!(texts(&axis(0.4, 3.0).ticks), ["0.5x", "1x", "2x"]);
        let long = axis(1.0, 3e13);
        assert!(long.ticks.len() <= 9 && texts(&long.ticks).contains(&"1Mx"), "{:?}", long.ticks);
        assert_eq!(texts(&axis(1.0, 1.0).ticks).len(), axis(1.0, 1.0).ticks.len());
    }

    #[test]
    fn flat_or_empty_values_still_make_an_axis() {
        for values in [vec![], vec![0.0], vec![3.0, 3.0], vec![f64::NAN]] {
            let axis = Axis::around(values.into_iter(), 4, number);
            assert!(axis.range.start < axis.range.end && axis.ticks.len() > 1, "{:?}", axis.range);
        }
    }
}
