//! What stands above a chart: its title, and the names of its curves beside it or below.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::{Area, Drawn, INK, SCALE, line, text_style, units};

/// Height of the title with its margins, and of a row of names below it, pixels.
const TITLE: u32 = 34;
const ROW: u32 = 20;
/// Sizes of letters, pixels.
const TITLE_SIZE: f64 = 13.0;
const NAME_SIZE: f64 = 12.0;
/// The stroke before a name, and the space between it and the name, pixels.
const STROKE: u32 = 18;
const SPACE: u32 = 6;
/// Between two names, and between the title and the first, pixels.
const GAP: u32 = 18;

/// A title and the names of the curves, each with its colour.
pub(super) struct Header {
    title: String,
    names: Vec<(String, RGBColor)>,
}

impl Header {
    pub(super) fn new(title: &str) -> Header {
        Header { title: title.into(), names: Vec::new() }
    }

    pub(super) fn with_names<S: Into<String>>(
        title: &str,
        names: impl IntoIterator<Item = (S, RGBColor)>,
    ) -> Header {
        let names = names.into_iter().map(|(name, colour)| (name.into(), colour)).collect();
        Header { title: title.into(), names }
    }

    /// Pixels that it takes above a chart that is `width` pixels wide.
    pub(super) fn height(&self, width: u32) -> u32 {
        TITLE + self.added_height(width)
    }

    /// Pixels that names below the title take; 0 where they stand beside it.
    pub(super) fn added_height(&self, width: u32) -> u32 {
        let rows = self.places(width).iter().map(|&(_, row)| row).max().unwrap_or(0);
        ROW * rows
    }

    /// Left edge of each name in pixels, and its row; row 0 is beside the title. All names stand in
    /// row 0 if they fit, else none does.
    fn places(&self, width: u32) -> Vec<(u32, u32)> {
        let taken = |name: &str| STROKE + SPACE + text_width(name, NAME_SIZE);
        let beside = text_width(&self.title, TITLE_SIZE) + GAP;
        let all: u32 = self.names.iter().map(|(name, _)| taken(name) + GAP).sum();
        let (mut left, mut row) = if beside + all <= width + GAP { (beside, 0) } else { (0, 1) };
        let mut places = Vec::with_capacity(self.names.len());
        for (name, _) in &self.names {
            if left > 0 && left + taken(name) > width {
                (left, row) = (0, row + 1);
            }
            places.push((left, row));
            left += taken(name) + GAP;
        }
        places
    }

    pub(super) fn draw(&self, area: &Area) -> Drawn<()> {
        let middle = TITLE / 2 - 3;
        let style = text_style(TITLE_SIZE, INK, HPos::Left, VPos::Center);
        area.draw_text(&self.title, &style, (units(0), units(middle)))?;
        let style = text_style(NAME_SIZE, INK, HPos::Left, VPos::Center);
        let places = self.places(area.dim_in_pixel().0 / SCALE);
        for ((name, colour), (left, row)) in self.names.iter().zip(places) {
            let y = units(middle + ROW * row);
            let stroke = vec![(units(left), y), (units(left + STROKE), y)];
            area.draw(&PathElement::new(stroke, line(colour, 20)))?;
            area.draw_text(name, &style, (units(left + STROKE + SPACE), y))?;
        }
        Ok(())
    }
}

/// About how many pixels wide `text` is in letters of `size` pixels: rather too many than too few,
/// because the reader's font is not known.
pub(super) fn text_width(text: &str, size: f64) -> u32 {
    let em = |c: char| match c {
        'f' | 'i' | 'j' | 'l' | 'r' | 't' | 'I' | ' ' | '.' | ',' | ':' | '-' => 0.32,
        'm' | 'w' | 'M' | 'W' | '%' | '&' => 0.90,
        'A'..='Z' => 0.72,
        _ => 0.58,
    };
    (size * 1.05 * text.chars().map(em).sum::<f64>()).ceil() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plot::{AGENT, BENCHMARK};

    #[test]
    fn names_stand_beside_the_title_where_there_is_room_and_else_below() {
        let names = ["portfolio", "DQN", "benchmark"];
        let header = Header::with_names("Return", names.map(|name| (name, AGENT)));
        let wide = header.places(980);
        assert!(wide.iter().all(|&(_, row)| row == 0) && wide[0].0 > 40, "{wide:?}");
        assert_eq!(header.height(980), TITLE);
        let narrow = header.places(280);
        assert_eq!(narrow[0].0, 0);
        assert_eq!(narrow.iter().map(|&(_, row)| row).collect::<Vec<u32>>(), [1, 1, 1]);
        assert_eq!(header.height(280), TITLE + ROW);
        let places = header.places(100);
        assert_eq!(places, [(0, 1), (0, 2), (0, 3)]);
        assert_eq!(Header::new("alone").height(100), TITLE);
    }

    #[test]
    fn no_name_reaches_beyond_the_edge_or_into_the_next() {
        let names = ["Bollinger Bands", "Buy and Hold", "RSI", "others"];
        let both = [AGENT, BENCHMARK].into_iter().cycle();
        let header = Header::with_names("Weight of each expert", names.into_iter().zip(both));
        for width in [300, 362, 600, 980] {
            let places = header.places(width);
            let end = |i: usize| places[i].0 + STROKE + SPACE + text_width(names[i], NAME_SIZE);
            for i in 0..names.len() {
                assert!(end(i) <= width, "{} at {width}", names[i]);
                let next = places.get(i + 1).filter(|next| next.1 == places[i].1);
                assert!(next.is_none_or(|next| next.0 > end(i)), "{} at {width}", names[i]);
            }
        }
    }

    /// Widths of Arial, the widest letters of which are about as wide as those of other fonts.
    #[test]
    fn the_width_of_a_text_is_not_underestimated() {
        for (text, em) in [("Jan 2020", 4.11), ("28 Sep 2020", 5.67), ("benchmark", 4.89)] {
            let found = f64::from(text_width(text, 100.0));
            assert!(found >= 100.0 * em && found < 125.0 * em, "{text}: {found}");
        }
    }
}
