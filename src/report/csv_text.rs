//! Cells of CSV files.

use std::borrow::Cow;

/// A cell of a CSV file. A user-defined name may contain anything.
pub(crate) fn csv_cell(text: &str) -> Cow<'_, str> {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\"")).into()
    } else {
        text.into()
    }
}

/// The cells of a table without quotes below its header; None if the header is another one or a row
/// has more cells or fewer.
pub(super) fn csv_rows<'a>(text: &'a str, header: &str) -> Option<Vec<Vec<&'a str>>> {
    let body = text.strip_prefix(header)?;
    let width = header.split(',').count();
    let rows = body.lines().map(|line| line.split(',').collect::<Vec<&str>>());
    rows.map(|row| (row.len() == width).then_some(row)).collect()
}

/// A number, or None within where the cell is empty; None if it is neither.
pub(super) fn csv_number(cell: &str) -> Option<Option<f64>> {
    match cell {
        "" => Some(None),
        text => text.parse().ok().map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_needs_quotes_has_them() {
        let cells = ["RSI", "A, B", "say \"a\"", "two\nlines"].map(csv_cell);
        assert_eq!(cells, ["RSI", "\"A, B\"", "\"say \"\"a\"\"\"", "\"two\nlines\""]);
    }

    #[test]
    fn rows_are_those_of_their_header() {
        let header = "a,b\n";
        assert_eq!(csv_rows("a,b\n1,\n,x\n", header), Some(vec![vec!["1", ""], vec!["", "x"]]));
        assert_eq!(csv_rows("a,b\n", header), Some(Vec::new()));
        assert_eq!([csv_rows("a,c\n1,2\n", header), csv_rows("a,b\n1\n", header)], [None, None]);
        assert_eq!(["", "-1.5", "x"].map(csv_number), [Some(None), Some(Some(-1.5)), None]);
    }
}
