//! Numbers as text: decimal point or comma, separators of thousands, `1.2M`.

/// How the numbers of a table are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum NumberStyle {
    /// `1,234.5`
    #[default]
    Point,
    /// `1.234,5`
    Comma,
}

impl NumberStyle {
    /// The style of a column's or a table's texts. `comma_if_open`: what a single comma before three
    /// digits means where no other number tells.
    pub(crate) fn of<'a>(texts: impl Iterator<Item = &'a str>, comma_if_open: bool) -> NumberStyle {
        let (mut points, mut commas, mut open) = (0_usize, 0_usize, 0_usize);
        for text in texts {
            match decimal_mark(text) {
                Some(Mark::Point) => points += 1,
                Some(Mark::Comma) => commas += 1,
                Some(Mark::CommaOrThousands) => open += 1,
                None => {}
            }
        }
        let is_comma = commas > points || (points == 0 && open > 0 && comma_if_open);
        if is_comma { NumberStyle::Comma } else { NumberStyle::Point }
    }

    /// The number that a text says; NaN for any other text, also for an empty one.
    pub(crate) fn parse(self, text: &str) -> f64 {
        let text = text.trim();
        if self == NumberStyle::Point
            && let Ok(number) = text.parse()
        {
            return number;
        }
        let (text, factor) = match text.as_bytes().last() {
            Some(b'K' | b'k') => (&text[..text.len() - 1], 1e3),
            Some(b'M' | b'm') => (&text[..text.len() - 1], 1e6),
            Some(b'B' | b'b') => (&text[..text.len() - 1], 1e9),
            _ => (text, 1.0),
        };
        let (decimal, thousands) = match self {
            NumberStyle::Point => ('.', ','),
            NumberStyle::Comma => (',', '.'),
        };
        let is_sign = |c: char| matches!(c, '$' | '€' | '£' | ' ' | '\u{a0}' | '\u{202f}' | '\'');
        let kept = text.chars().filter(|&c| c != thousands && !is_sign(c));
        let plain: String = kept.map(|c| if c == decimal { '.' } else { c }).collect();
        plain.parse().map_or(f64::NAN, |number: f64| number * factor)
    }
}

enum Mark {
    Point,
    Comma,
    /// `1,234`
    CommaOrThousands,
}

/// What a text tells about the decimal mark.
fn decimal_mark(text: &str) -> Option<Mark> {
    let (comma, point) = (text.rfind(','), text.rfind('.'));
    match (comma, point) {
        (None, None) => None,
        (Some(comma), Some(point)) if comma > point => Some(Mark::Comma),
        (Some(_), Some(_)) => Some(Mark::Point),
        (None, Some(point)) if text[..point].contains('.') => Some(Mark::Comma),
        (None, Some(_)) => Some(Mark::Point),
        (Some(comma), None) if text[..comma].contains(',') => Some(Mark::Point),
        (Some(comma), None) => {
            let digits = |part: &str| part.bytes().filter(u8::is_ascii_digit).count();
            let (before, after) = (&text[..comma], &text[comma + 1..]);
            let is_group = digits(after) == 3 && (1..=3).contains(&digits(before));
            let is_group = is_group && !before.trim_start().starts_with('0');
            Some(if is_group { Mark::CommaOrThousands } else { Mark::Comma })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str], comma_if_open: bool) -> Vec<f64> {
        let style = NumberStyle::of(texts.iter().copied(), comma_if_open);
        texts.iter().map(|text| style.parse(text)).collect()
    }

    #[test]
    fn numbers_are_read_as_they_are_written() {
        assert_eq!(read(&["1234.5", "1e3", " 7 "], false), [1234.5, 1000.0, 7.0]);
        assert_eq!(read(&["1,234.50", "$1,000,000"], false), [1234.5, 1e6]);
        assert_eq!(read(&["1.234,50", "1.000.000", "7,25"], false), [1234.5, 1e6, 7.25]);
        assert_eq!(read(&["1 234,50", "1\u{a0}000 €", "1'000"], false), [1234.5, 1000.0, 1000.0]);
        assert_eq!(read(&["1.25M", "3.5K", "2B"], false), [1.25e6, 3500.0, 2e9]);
        assert_eq!(read(&["1,25M"], false), [1.25e6]);
        assert_eq!(read(&["0,123"], false), [0.123]);
    }

    /// Digits in groups of three leave it open.
    #[test]
    fn one_comma_is_told_by_the_others() {
        assert_eq!(read(&["1,234", "2.5"], true), [1234.0, 2.5]);
        assert_eq!(read(&["1,234", "2,5"], false), [1.234, 2.5]);
        assert_eq!(read(&["1,234"], false), [1234.0]);
        assert_eq!(read(&["1,234"], true), [1.234]);
    }

    #[test]
    fn what_is_no_number_is_nan() {
        for text in ["", "-", "N/A", "null", "abc", "1.2.3", "K", "--1", "1,2,3.4.5"] {
            assert!(NumberStyle::Point.parse(text).is_nan(), "{text}");
            assert!(!NumberStyle::Comma.parse(text).is_finite() || text.contains('.'), "{text}");
        }
    }
}
