//! Numbers and text for reading.

use std::fmt::Write;
use std::time::Duration;

pub(crate) use crate::wording::{count, counted};

/// `0.1234` as `12.3%`.
pub(crate) fn percent(fraction: f64) -> String {
    format!("{:.1}%", without_negative_zero(100.0 * fraction, 1))
}

/// `0.1234` as `+12.3%`.
pub(crate) fn signed_percent(fraction: f64) -> String {
    let percent = without_negative_zero(100.0 * fraction, 1);
    if percent == 0.0 { "0.0%".into() } else { format!("{percent:+.1}%") }
}

/// A return: `0.1234` as `+12.3%`, and from tenfold on as the multiple of what was there at the
/// start, `11.0` as `12.0x`.
pub(crate) fn growth(fraction: f64) -> String {
    if fraction < 9.0 { signed_percent(fraction) } else { multiple(1.0 + fraction) }
}

/// `12.34` as `12.3x`, `12345.6` as `12,346x`.
pub(crate) fn multiple(value: f64) -> String {
    match value.abs() {
        ..100.0 => format!("{value:.1}x"),
        ..1e7 => {
            format!("{}{}x", if value < 0.0 { "-" } else { "" }, count(value.abs().round() as u64))
        }
        _ => format!("{value:.2e}x"),
    }
}

/// Two decimals.
pub(crate) fn ratio(value: f64) -> String {
    format!("{:.2}", without_negative_zero(value, 2))
}

/// A return of `0.0001234` as `+1.23 bps`.
pub(crate) fn basis_points(fraction: f64) -> String {
    format!("{:+.2} bps", without_negative_zero(1e4 * fraction, 2))
}

/// Money or shares: `-1234.5` as `-1,234.50`.
pub(crate) fn amount(value: f64) -> String {
    let text = format!("{:.2}", without_negative_zero(value, 2));
    let digits = text.trim_start_matches('-');
    let whole =
        digits.split_once('.').and_then(|(whole, cents)| Some((whole.parse().ok()?, cents)));
    // Beyond what can be counted, as it stands.
    let Some((whole, cents)) = whole else { return text };
    format!("{}{}.{cents}", if text.starts_with('-') { "-" } else { "" }, count(whole))
}

/// Three significant digits, with an exponent outside 0.0001 to 100,000.
pub(crate) fn significant(value: f64) -> String {
    let exponent = if value == 0.0 { 0.0 } else { value.abs().log10().floor() };
    if !value.is_finite() || !(-4.0..5.0).contains(&exponent) {
        return format!("{value:.2e}");
    }
    format!("{value:.*}", (2.0 - exponent).max(0.0) as usize)
}

/// The two largest units: `2 h 05 min`, `3 min 20 s`, `12 s`.
pub(crate) fn duration(span: Duration) -> String {
    let seconds = span.as_secs_f64().round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {:02} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// Up to two units without spaces, for a line that is short of room: `2h05m`, `3m20s`, `12s`.
pub(crate) fn short_duration(span: Duration) -> String {
    duration(span).replace(" min", "m").replace(' ', "")
}

/// `text` in lines of at most `width` characters, where no word is longer.
pub(crate) fn wrapped(text: &str, width: usize) -> String {
    let (mut lines, mut length) = (String::new(), 0);
    for word in text.split_whitespace() {
        let needed = word.chars().count();
        if length > 0 && length + 1 + needed > width {
            lines.push('\n');
            length = 0;
        } else if length > 0 {
            lines.push(' ');
            length += 1;
        }
        lines += word;
        length += needed;
    }
    lines
}

/// [`wrapped`] for a column that begins at `indent`, up to `width` characters from the line's start:
/// all lines but the first are indented.
pub(crate) fn wrapped_at(indent: usize, text: &str, width: usize) -> String {
    wrapped(text, width.saturating_sub(indent)).replace('\n', &format!("\n{:indent$}", ""))
}

/// Zero where `value` would be shown as -0 with so many decimals.
fn without_negative_zero(value: f64, decimals: i32) -> f64 {
    if (value * 10_f64.powi(decimals)).abs() < 0.5 { 0.0 } else { value }
}

/// For a page: minus signs before digits, but not in a date, and a dash for what is undefined.
pub(super) fn minus(text: &str) -> String {
    if text == "-" {
        return "–".into();
    }
    let mut shown = String::with_capacity(text.len());
    let mut before = ' ';
    for (i, c) in text.char_indices() {
        let next_is_digit = text[i + c.len_utf8()..].starts_with(|n: char| n.is_ascii_digit());
        let is_sign = c == '-' && next_is_digit && !before.is_alphanumeric();
        shown.push(if is_sign { '−' } else { c });
        before = c;
    }
    shown
}

/// A line per row: the first column flush left, the others flush right, two spaces apart.
pub(super) fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let width: [usize; N] =
        std::array::from_fn(|i| rows.iter().map(|row| row[i].len()).max().unwrap_or(0));
    let mut text = String::new();
    for row in rows {
        // Writing to a String does not fail.
        let _ = write!(text, "{:<1$}", row[0], width[0]);
        for (cell, width) in row.iter().zip(width).skip(1) {
            let _ = write!(text, "  {cell:>width$}");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_well() {
        assert_eq!([percent(0.1234), percent(-0.00001)], ["12.3%", "0.0%"]);
        let signed = [signed_percent(0.5), signed_percent(-0.0126), signed_percent(-0.0001)];
        assert_eq!(signed, ["+50.0%", "-1.3%", "0.0%"]);
        let grown = [growth(0.1234), growth(8.99), growth(11.0), growth(12_344.6), growth(1e9)];
        assert_eq!(grown, ["+12.3%", "+899.0%", "12.0x", "12,346x", "1.00e9x"]);
        assert_eq!([ratio(-1.236), ratio(-0.001)], ["-1.24", "0.00"]);
        let bps = [basis_points(1.77e-5), basis_points(-0.01), basis_points(-1e-9)];
        assert_eq!(bps, ["+0.18 bps", "-100.00 bps", "+0.00 bps"]);
        assert_eq!([count(0), count(999), count(1_234_567)], ["0", "999", "1,234,567"]);
        let amounts = [967_839.004, -1_234.5, -0.001, 1e30, 12.0].map(amount);
        assert_eq!(amounts[..3], ["967,839.00", "-1,234.50", "0.00"]);
        assert_eq!(amounts[3..], ["1000000000000000019884624838656.00", "12.00"]);
        let numbers = [12_345.6, -0.001234, 1.5e-6, 2.0e7, 0.0].map(significant);
        assert_eq!(numbers, ["12346", "-0.00123", "1.50e-6", "2.00e7", "0.00"]);
        let spans = [0.4, 59.4, 200.0, 7_530.0, 180_000.0];
        let said = spans.map(|s| duration(Duration::from_secs_f64(s)));
        assert_eq!(said, ["0 s", "59 s", "3 min 20 s", "2 h 05 min", "2 d 02 h"]);
        let short = spans.map(|s| short_duration(Duration::from_secs_f64(s)));
        assert_eq!(short, ["0s", "59s", "3m20s", "2h05m", "2d02h"]);
        assert_eq!(wrapped("one two three  four", 9), "one two\nthree\nfour");
    }
}
