//! Tables whose columns are separated by blanks.

use std::borrow::Cow;

use super::layout;
use crate::market::columns::BarColumns;

/// Lines that the columns are told from.
const FIRST_LINES: usize = 60;
/// A date and four prices.
const MIN_COLUMNS: usize = 5;

/// The same table with tabs in place of blanks; None if blanks do not cut all its first lines into
/// equally many columns. Two blanks or more are tried first, if no number has one in it, and then any
/// number of them, which separate a date from its time of day, too. The header may lack the names of
/// these, as pandas prints an index.
pub(super) fn with_tabs(text: &str) -> Option<String> {
    let is_whole = |cell: &&str| !cell.contains(' ');
    let is_apart = text.lines().skip(1).all(|line| split_by_two(line).iter().skip(1).all(is_whole));
    let by_two = if is_apart { cut(text, &split_by_two) } else { None };
    by_two.or_else(|| cut(text, &|line| line.split_whitespace().collect()))
}

fn split_by_two(line: &str) -> Vec<&str> {
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

fn cut<'a>(text: &'a str, split: &dyn Fn(&'a str) -> Vec<&'a str>) -> Option<String> {
    let filled = || text.lines().filter(|line| !line.trim().is_empty());
    let mut first = filled().take(FIRST_LINES).map(split);
    let header = first.next()?;
    let width = match first.next() {
        Some(row) => row.len(),
        None => header.len(),
    };
    if width < MIN_COLUMNS || first.any(|row| row.len() != width) {
        return None;
    }
    let row: Vec<String> = filled().nth(1).map(split)?.into_iter().map(String::from).collect();
    let is_named = header.first().is_some_and(|name| BarColumns::is_time(name));
    let has_clock = layout::is_clock_after_date(&row, 0);
    // Names before those of the header, of which the first may be passed over.
    let (before, passed): (&[&str], usize) = match width.checked_sub(header.len())? {
        0 => (&[], 0),
        // The one name is that of date and time of day.
        1 if is_named && has_clock => (&["date", "time"], 1),
        // pandas has an index without a name.
        1 if !is_named && layout::is_data(&row) => (&["timestamp"], 0),
        2 if !is_named && has_clock => (&["date", "time"], 0),
        _ => return None,
    };
    let mut whole = String::with_capacity(text.len());
    let mut is_header = true;
    for line in text.lines() {
        let (names, passed) = if is_header { (before, passed) } else { (&[][..], 0) };
        let cells = split(line).into_iter().skip(passed).map(quoted);
        if !line.trim().is_empty() {
            let names = names.iter().map(|name| Cow::Borrowed(*name));
            whole += &names.chain(cells).collect::<Vec<_>>().join("\t");
            is_header = false;
        }
        whole.push('\n');
    }
    Some(whole)
}

/// A cell that a CSV reader takes as it stands.
fn quoted(cell: &str) -> Cow<'_, str> {
    match cell.contains('"') {
        true => Cow::Owned(cell.replace('"', "")),
        false => Cow::Borrowed(cell),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_become_tabs_where_they_separate_columns() {
        let found =
            with_tabs("Date   Open  High  Low  Close\n\n2025-05-12 09:30   1 2  3  4   5\n");
        assert_eq!(found, None, "rows are of other widths");
        let found = with_tabs("Date  Open High  Low  Close\n2025-05-12  1  2   0.5  1.5\n");
        assert_eq!(found.unwrap(), "Date\tOpen\tHigh\tLow\tClose\n2025-05-12\t1\t2\t0.5\t1.5\n");
        // A time with one blank stays whole where columns have two between them.
        let found = with_tabs("time  open  high  low  close\n2025-05-12 09:30  1  2  0.5  1.5\n");
        assert!(found.unwrap().ends_with("\n2025-05-12 09:30\t1\t2\t0.5\t1.5\n"));
        let found = with_tabs("date time open high low close\n20250512 0930 1 2 .5 1\n");
        assert!(found.unwrap().ends_with("20250512\t0930\t1\t2\t.5\t1\n"));
    }

    #[test]
    fn an_index_has_no_name() {
        let text = "              open  high   low  close\n2025-05-12  1.0   2.0   0.5   1.5\n";
        assert!(with_tabs(text).unwrap().starts_with("timestamp\topen\thigh\tlow\tclose\n2025"));
        let text = "              open high low close\n2025-05-12 09:30:00 1 2 0.5 1.5\n";
        assert!(with_tabs(text).unwrap().starts_with("date\ttime\topen"));
        let text = "Date open high low close\n2025-05-12 09:30:00 1 2 0.5 1.5\n";
        assert!(with_tabs(text).unwrap().starts_with("date\ttime\topen"));
        assert_eq!(with_tabs("a b c d\nx 1 2 3 4\n"), None);
    }
}
