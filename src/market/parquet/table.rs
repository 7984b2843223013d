//! Tables of many days and possibly many stocks: Parquet or CSV.

use std::borrow::Cow;

use polars::prelude::*;

use super::{
    ColumnPlan, RawRows, WRITE_ANEW, Wanted, cause, file_error, read_frame, rows_of, without_panic,
};
use crate::market::error::MarketError;

/// Possible separators of a CSV; the most frequent one in the header is taken.
const SEPARATORS: [char; 4] = [',', ';', '\t', '|'];
/// The first bytes of every Parquet file.
const PARQUET: &[u8] = b"PAR1";

/// The rows of a file in file order, unchecked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Table {
    pub(crate) rows: RawRows,
    /// `[row]`: symbols, if the file has such a column; None for an empty value.
    pub(crate) symbols: Option<Vec<Option<String>>>,
    /// The first line, counted from 1, with a different number of values than the header. Short
    /// lines are filled up, and surplus values ignored.
    pub(crate) ragged_line: Option<usize>,
}

/// Rows of a Parquet or CSV file, distinguished by the first bytes. Returns rows or a
/// [`MarketError::File`] for any bytes; never panics.
pub(crate) fn decode_table(bytes: &[u8], file: &str) -> Result<Table, MarketError> {
    if !bytes.starts_with(PARQUET) {
        return decode_csv(bytes, file);
    }
    let decode = || {
        let (frame, plan) = read_frame(bytes, file, Wanted::Symbols)?;
        table(&frame, &plan, None, file)
    };
    without_panic(decode).unwrap_or_else(|| {
        Err(file_error(file, "is damaged: its pages cannot be decoded".into(), WRITE_ANEW))
    })
}

/// Rows of a CSV with a header; quotes as in RFC 4180; separated by commas, semicolons, tabs or
/// bars.
pub(crate) fn decode_csv(bytes: &[u8], file: &str) -> Result<Table, MarketError> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        let hint = "name Parquet files, or CSV files in UTF-8";
        return Err(file_error(file, "is neither Parquet nor text".into(), hint));
    };
    let text = text.trim_start_matches('\u{feff}');
    let header = text.lines().next().unwrap_or_default();
    let often = |&c: &char| header.matches(c).count();
    let separator = SEPARATORS.into_iter().rev().max_by_key(often).unwrap_or(',');
    let mut lines = Lines { rest: text, separator, line: 0 };
    let names = lines.next().map(|(_, names)| names).unwrap_or_default();
    let plain: Vec<&str> = names.iter().map(|name| name.trim()).collect();
    let plan = ColumnPlan::new(&plain, file)?;
    let wanted: Vec<usize> = (0..plain.len())
        .filter(|&i| {
            plan.columns().iter().any(|name| name == plain[i]) && !plain[..i].contains(&plain[i])
        })
        .collect();
    let mut values: Vec<Vec<Cow<'_, str>>> = vec![Vec::new(); wanted.len()];
    let mut ragged_line = None;
    for (line, mut cells) in lines {
        if cells.len() != plain.len() {
            ragged_line = ragged_line.or(Some(line));
        }
        for (&column, values) in wanted.iter().zip(&mut values) {
            let cell = cells.get_mut(column).map(std::mem::take);
            values.push(cell.unwrap_or_default());
        }
    }
    let rows = values.first().map_or(0, Vec::len);
    if rows == 0 {
        return Err(file_error(file, "has no rows".into(), WRITE_ANEW));
    }
    let columns = wanted.iter().zip(&values).map(|(&i, values)| column(plain[i], values, &plan));
    let frame = DataFrame::new(rows, columns.collect())
        .map_err(|e| file_error(file, cause(&e), WRITE_ANEW).caused_by(e))?;
    table(&frame, &plan, ragged_line, file)
}

fn table(
    frame: &DataFrame,
    plan: &ColumnPlan,
    ragged_line: Option<usize>,
    file: &str,
) -> Result<Table, MarketError> {
    let rows = rows_of(frame, plan, file)?;
    let wrong = |e: PolarsError| file_error(file, cause(&e), WRITE_ANEW).caused_by(e);
    let symbols = match &plan.symbol {
        None => None,
        Some(name) => {
            let column = frame.column(name).map_err(wrong)?.as_materialized_series();
            let texts = column.str().map_err(wrong)?;
            let known = |text: Option<&str>| {
                text.map(str::trim).filter(|text| !text.is_empty()).map(String::from)
            };
            Some(texts.iter().map(known).collect())
        }
    };
    Ok(Table { rows, symbols, ragged_line })
}

/// A text column, or an integer column for times if all are integers: seconds, milli-, micro- or
/// nanoseconds since 1970.
fn column(name: &str, values: &[Cow<'_, str>], plan: &ColumnPlan) -> Column {
    let integers = || values.iter().map(|value| value.trim().parse::<i64>()).collect();
    if plan.time.len() == 1
        && plan.time[0] == name
        && let Ok::<Vec<i64>, _>(integers) = integers()
    {
        return Column::new(name.into(), integers);
    }
    let texts: Vec<&str> = values.iter().map(|value| &**value).collect();
    Column::new(name.into(), texts)
}

/// Non-empty lines of a CSV as values, with the line number counted from 1.
struct Lines<'a> {
    rest: &'a str,
    separator: char,
    line: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = (usize, Vec<Cow<'a, str>>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let first = self.line + 1;
            let mut cells = Vec::new();
            loop {
                let (cell, is_last) = self.cell();
                cells.push(cell);
                if is_last {
                    break;
                }
            }
            self.line += 1;
            if cells.len() > 1 || cells.first().is_some_and(|cell| !cell.trim().is_empty()) {
                return Some((first, cells));
            }
        }
    }
}

impl<'a> Lines<'a> {
    /// The next value, and whether it is the last of its line.
    fn cell(&mut self) -> (Cow<'a, str>, bool) {
        let separator = self.separator;
        let Some(quoted) = self.rest.strip_prefix('"') else {
            let end = self.rest.find([separator, '\n']).unwrap_or(self.rest.len());
            let cell = &self.rest[..end];
            return (Cow::Borrowed(cell.trim_end_matches('\r')), self.step(end));
        };
        let mut cell = String::new();
        let mut from = quoted;
        loop {
            // An unclosed quote ends with the file.
            let end = from.find('"').unwrap_or(from.len());
            cell += &from[..end];
            from = from.get(end + 1..).unwrap_or_default();
            match from.strip_prefix('"') {
                Some(rest) => {
                    cell.push('"');
                    from = rest;
                }
                None => break,
            }
        }
        self.line += cell.matches('\n').count();
        let after = from.find([separator, '\n']).unwrap_or(from.len());
        self.rest = from;
        (Cow::Owned(cell), self.step(after))
    }

    /// Moves past the separator or line end at `end`; returns whether it was a line end.
    fn step(&mut self, end: usize) -> bool {
        let is_last = !self.rest[end..].starts_with(self.separator);
        self.rest = self.rest.get(end + 1..).unwrap_or_default();
        is_last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv(text: &str) -> Table {
        decode_csv(text.as_bytes(), "table.csv").unwrap_or_else(|e| panic!("{e}"))
    }

    /// 2020-07-01 09:30 and 09:35 in New York, in UTC seconds.
    const LABELS: [Option<i64>; 2] = [Some(1_593_610_200), Some(1_593_610_500)];

    #[test]
    fn every_spelling_gives_the_same_rows() {
        let plain = csv("timestamp,open,high,low,close,volume\n\
                         2020-07-01 09:30:00,1,2,0.5,1.5,100\n\
                         2020-07-01 09:35:00,1.5,2,1,1.25,200\n");
        assert_eq!(plain.rows.label_s, LABELS);
        assert_eq!(plain.rows.values(1), [1.5, 2.0, 1.0, 1.25, 200.0]);
        assert!(plain.rows.naive && plain.symbols.is_none() && plain.ragged_line.is_none());
        for text in [
            "\u{feff}Timestamp;Open;High;Low;Close;Volume\r\n\
             2020-07-01 09:30;1;2;0.5;1.5;100\r\n\r\n2020-07-01 09:35;1.5;2;1;1.25;200",
            "\"timestamp\",\"1. open\",\"2. high\",\"3. low\",\"4. close\",\"5. volume\",note\n\
             \"2020-07-01 09:30:00\",1,2,0.5,1.5,100,\"a, b\nand \"\"c\"\"\"\n\
             2020-07-01 09:35:00,1.5,2,1,1.25,200,\n",
            "volume\tclose\tlow\thigh\topen\tdate\ttime\n\
             100\t1.5\t0.5\t2\t1\t2020-07-01\t09:30\n200\t1.25\t1\t2\t1.5\t2020-07-01\t09:35\n",
        ] {
            assert_eq!(csv(text).rows, plain.rows, "{text}");
        }
        let zoned = csv("ts,open,high,low,close,volume\n\
                         1593610200,1,2,0.5,1.5,100\n1593610500,1.5,2,1,1.25,200\n");
        assert_eq!(zoned.rows, RawRows { naive: false, ..plain.rows });
    }

    #[test]
    fn symbols_and_ragged_lines_are_found() {
        let table = csv("Ticker,timestamp,open,high,low,close,volume\n\
                         AAPL,2020-07-01 09:30:00,1,2,0.5,1.5,100\n\
                         ,2020-07-01 09:35:00,1.5,2,1\n");
        assert_eq!(table.symbols, Some(vec![Some("AAPL".into()), None]));
        assert_eq!(table.ragged_line, Some(3));
        assert!(table.rows.close[1].is_nan() && table.rows.low[1] == 1.0);
    }

    #[test]
    fn what_is_no_table_is_refused_in_words() {
        for (bytes, says) in [
            (&b"timestamp,open,high,low,close\n1,2,3,4,5\n"[..], "has no column volume"),
            (b"timestamp,open,high,low,close,volume\n", "has no rows"),
            (b"", "has no column open"),
            (b"\xff\xfe\x00", "neither Parquet nor text"),
            (b"PAR1 and no more", "is not a whole Parquet file"),
            (b"<html><body>Bad Gateway</body></html>", "has no column"),
        ] {
            let error = decode_table(bytes, "table").unwrap_err().to_string();
            assert!(error.starts_with("table: ") && error.contains(says), "{error}");
        }
    }
}
