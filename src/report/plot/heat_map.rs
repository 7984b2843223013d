//! A matrix over pairs of stocks as shaded cells.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::{AGENT, BENCHMARK, Drawn, GRID, INK, MUTED, document, text_style, units};
use crate::market::Symbol;

/// Room for the stocks' names, pixels.
const NAMES: u32 = 72;
/// The matrix is at most this wide, pixels.
const WIDTH: u32 = 400;
const MAX_CELL: u32 = 66;
/// Cells from this width on carry their number.
const NUMBERED_CELL: u32 = 34;
/// A name takes this many pixels of height.
const NAME_HEIGHT: u32 = 13;

/// Rows are stocks, columns peers. Absolute values of `full` and more have the deepest shade; negative
/// values have the other hue; undefined cells are left empty. A whole SVG document.
pub(crate) fn heat_map_svg(stocks: &[Symbol], matrix: &[Vec<Option<f64>>], full: f64) -> String {
    let n = stocks.len() as u32;
    let cell = (WIDTH / n.max(1)).clamp(2, MAX_CELL);
    let height = if cell == MAX_CELL { 40 } else { cell.min(40) };
    let every = NAME_HEIGHT.div_ceil(cell.min(height)) as usize;
    let top = if cell >= NUMBERED_CELL { 24 } else { NAMES };
    document(NAMES + n * cell + 1, top + n * height + 1, |area| {
        for (i, stock) in stocks.iter().enumerate() {
            let (x, y) = (NAMES + i as u32 * cell, top + i as u32 * height);
            if i % every == 0 {
                let name = text_style(11.5, MUTED, HPos::Right, VPos::Center);
                area.draw_text(stock.as_str(), &name, (units(NAMES - 8), units(y + height / 2)))?;
                draw_column_name(area, stock.as_str(), x + cell / 2, top, cell)?;
            }
            for (j, value) in matrix[i].iter().enumerate() {
                let left = NAMES + j as u32 * cell;
                draw_cell(area, (left, y), (cell, height), *value, full)?;
            }
        }
        Ok(())
    })
}

/// Upright where there is room, else rising.
fn draw_column_name(area: &super::Area, name: &str, x: u32, top: u32, cell: u32) -> Drawn<()> {
    let at = (units(x), units(top - 8));
    if cell >= NUMBERED_CELL {
        let style = text_style(11.5, MUTED, HPos::Center, VPos::Bottom);
        return area.draw_text(name, &style, at);
    }
    let style = text_style(11.5, MUTED, HPos::Left, VPos::Center);
    area.draw_text(name, &style.transform(FontTransform::Rotate270), at)
}

fn draw_cell(
    area: &super::Area,
    (x, y): (u32, u32),
    (width, height): (u32, u32),
    value: Option<f64>,
    full: f64,
) -> Drawn<()> {
    // A pixel of paper shows between cells that are large enough.
    let seam = u32::from(width > 8);
    let corners = [(units(x), units(y)), (units(x + width - seam), units(y + height - seam))];
    let Some(value) = value.filter(|value| value.is_finite()) else {
        return area.draw(&Rectangle::new(corners, GRID.mix(0.4).filled()));
    };
    let strength = (value.abs() / full).min(1.0);
    // Ink is legible on the deepest shade, light and dark.
    let opacity = (5.0 + 45.0 * strength).round() / 100.0;
    let hue = if value < 0.0 { BENCHMARK } else { AGENT };
    area.draw(&Rectangle::new(corners, hue.mix(opacity).filled()))?;
    if width < NUMBERED_CELL {
        return Ok(());
    }
    let style = text_style(12.0, INK, HPos::Center, VPos::Center);
    area.draw_text(&format!("{value:.2}"), &style, (units(x + width / 2), units(y + height / 2)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn few_stocks_get_numbers_and_many_get_every_other_name() {
        let few = example::run(5, 2).relationships;
        let svg = heat_map_svg(&few.stocks, &few.attention, 1.0);
        assert_eq!(svg.matches("<rect").count(), 1 + 25);
        let numbers = svg.lines().filter(|line| line.starts_with("0.")).count();
        assert_eq!(numbers, 25);
        assert_eq!(svg.lines().filter(|line| *line == "GOOGL").count(), 2);
        let many = example::run(100, 2).relationships;
        let svg = heat_map_svg(&many.stocks, &many.attention, 1.0);
        // 100 cells of 4 pixels: a name of 13 pixels on every fourth row and column.
        assert_eq!(svg.matches("<text").count(), 2 * 25);
    }

    #[test]
    fn the_sign_has_its_hue_and_undefined_is_empty() {
        let stocks = ["A", "B"].map(|symbol| symbol.parse().unwrap());
        let matrix = vec![vec![None, Some(-0.5)], vec![Some(0.25), Some(0.0)]];
        let svg = heat_map_svg(&stocks, &matrix, 0.5);
        assert!(svg.contains("opacity=\"0.5\" fill=\"#B76E12\""), "{svg}");
        assert!(svg.contains("opacity=\"0.28\" fill=\"#1F5FA8\""), "{svg}");
        assert_eq!(svg.matches("fill=\"#E4E7EC\"").count(), 1);
        // The scale is the same whatever else there is; beyond its end nothing deepens.
        let svg = heat_map_svg(&stocks, &[vec![None, Some(3.0)], vec![Some(0.25), None]], 0.5);
        let found = ["0.5", "0.28"].map(|shade| svg.contains(&format!("opacity=\"{shade}\"")));
        assert_eq!(found, [true; 2], "{svg}");
    }
}
