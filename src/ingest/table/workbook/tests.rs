use std::io::Write;

use super::*;
use crate::ingest::table::{Table, decode_table};

/// A workbook as Excel stores it: sheets of cells in XML. Style 1 is a date, style 2 a time of day.
fn book(sheets: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let mut put = |name: &str, text: &str| {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    };
    let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    let kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let package = "http://schemas.openxmlformats.org/package/2006/relationships";
    let (mut listed, mut related) = (String::new(), String::new());
    for (i, (name, cells)) in sheets.iter().enumerate() {
        listed += &format!("<sheet name=\"{name}\" sheetId=\"{0}\" r:id=\"r{0}\"/>", i + 1);
        related += &format!(
            "<Relationship Id=\"r{0}\" Type=\"{kind}/worksheet\" Target=\"worksheets/sheet{0}.xml\"/>",
            i + 1
        );
        let sheet =
            format!("<worksheet xmlns=\"{main}\"><sheetData>{cells}</sheetData></worksheet>");
        put(&format!("xl/worksheets/sheet{}.xml", i + 1), &sheet);
    }
    put(
        "xl/workbook.xml",
        &format!(
            "<workbook xmlns=\"{main}\" xmlns:r=\"{kind}\"><sheets>{listed}</sheets></workbook>"
        ),
    );
    put(
        "_rels/.rels",
        &format!(
            "<Relationships xmlns=\"{package}\"><Relationship Id=\"b\" \
             Type=\"{kind}/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>"
        ),
    );
    put(
        "xl/_rels/workbook.xml.rels",
        &format!("<Relationships xmlns=\"{package}\">{related}</Relationships>"),
    );
    put(
        "xl/styles.xml",
        &format!(
            "<styleSheet xmlns=\"{main}\"><cellXfs><xf numFmtId=\"0\"/><xf numFmtId=\"22\"/>\
             <xf numFmtId=\"21\"/></cellXfs></styleSheet>"
        ),
    );
    zip.finish().unwrap().into_inner()
}

/// `n`, `d` and `t` before a cell: a number, a date, a time of day; others are texts.
fn rows(rows: &[&[&str]]) -> String {
    let cell = |text: &&str| match text.split_at(1) {
        ("n", value) => format!("<c><v>{value}</v></c>"),
        ("d", value) => format!("<c s=\"1\"><v>{value}</v></c>"),
        ("t", value) => format!("<c s=\"2\"><v>{value}</v></c>"),
        _ => format!("<c t=\"inlineStr\"><is><t>{text}</t></is></c>"),
    };
    let row =
        |cells: &&[&str]| format!("<row>{}</row>", cells.iter().map(cell).collect::<String>());
    rows.iter().map(row).collect()
}

const HEADER: &[&str] = &["Date", "Open", "High", "Low", "Close", "Volume, traded"];

fn read(bytes: &[u8]) -> Result<Table, MarketError> {
    decode_table(bytes, "book.xlsx", &TableOptions::default())
}

/// 45789.395833... is 2025-05-12 09:30.
#[test]
fn the_first_sheet_with_bars_is_read() {
    let bars = rows(&[
        &["Prices of IBM"],
        HEADER,
        &["d45789.395833333336", "n210.5", "n211", "n210", "n210.75", "n1000"],
        &["d45789.399305555555", "n210.75", "n212", "n210.5", "n211.5", "n2000"],
    ]);
    let remarks = rows(&[&["Source", "the exchange"], &["read", "me"]]);
    let bytes = book(&[("Remarks", &remarks), ("Prices", &bars), ("Copy", &bars)]);
    let table = read(&bytes).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(
        table.understood,
        "Excel, sheet Prices; times from Date (year first, without a zone); prices from Open, High, \
         Low, Close; no volume, read as 0; not read: sheet Copy, with bars, too"
    );
    let found = &table.parts[0].rows;
    assert_eq!(found.label_s, [Some(1_747_056_600), Some(1_747_056_900)]);
    assert_eq!(found.values(1), [210.75, 212.0, 210.5, 211.5, 0.0]);
    assert_eq!((table.parts.len(), table.ragged_line), (1, None));
}

#[test]
fn dates_and_times_of_day_may_stand_in_two_columns() {
    let text = rows(&[
        &["Date", "Time", "Open", "High", "Low", "Close"],
        &["d45789", "t0.395833333333", "n1", "n2", "n0.5", "n1.5"],
    ]);
    let table = read(&book(&[("S", &text)])).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(table.parts[0].rows.label_s, [Some(1_747_056_600)]);
    let daily = rows(&[&HEADER[..5], &["d45789", "n1", "n2", "n0.5", "n1.5"]]);
    let table = read(&book(&[("S", &daily)])).unwrap_or_else(|e| panic!("{e}"));
    assert!(table.parts[0].dates);
}

#[test]
fn sheets_named_by_stocks_are_all_read() {
    let text = rows(&[&HEADER[..5], &["d45789.4", "n1", "n2", "n0.5", "n1.5"]]);
    let table = read(&book(&[("AAPL", &text), ("BRK.B", &text)])).unwrap();
    let symbols: Vec<_> = table.parts.iter().map(|part| part.symbol.as_deref()).collect();
    assert_eq!(symbols, [Some("AAPL"), Some("BRK.B")]);
    assert!(table.understood.starts_with("Excel, stocks from the sheets AAPL, BRK.B; times"));
}

#[test]
fn what_is_no_workbook_of_bars_is_refused() {
    let error = |bytes: &[u8]| {
        let error = read(bytes).unwrap_err().to_string();
        assert!(error.starts_with("book.xlsx: ") && error.len() <= 300, "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        error
    };
    let remarks = rows(&[&["Source", "the exchange"], &["read", "me"]]);
    let text = error(&book(&[("Remarks", &remarks)]));
    assert!(text.contains("sheet \"Remarks\" has no column"), "{text}");
    let whole = book(&[("S", &remarks)]);
    assert!(error(&whole[..whole.len() / 2]).contains("neither an Excel workbook"));
    assert!(error(&book(&[])).contains("no sheet with rows"));
    let mut broken = "<row><c><v>1</v>".to_string();
    broken += &"x".repeat(100);
    error(&book(&[("S", &broken)]));
    let large = format!("<row><c><v>{}</v></c></row>", " ".repeat(1 << 20).repeat(513));
    assert!(error(&book(&[("S", &large)])).contains("unpacks to more than 512 MiB"));
    let text = read(&[0xd0, 0xcf, 0x11, 0xe0, 0xa1]).unwrap_err().to_string();
    assert!(text.contains("old Excel workbook"), "{text}");
}
