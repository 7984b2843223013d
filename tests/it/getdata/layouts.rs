//! Import of layouts that have no names for their columns, or no prices in whole units: answers of
//! data services, archives of QuantConnect Lean, workbooks of Excel.

use std::fmt::Write;
use std::io::Write as _;

use super::service::{Bar, bars};
use super::{day_files, refused};
use crate::program::{Place, succeed};
use dqn_trader::market::calendar::iso_market_time;

/// Prices with four decimals, which all layouts can hold.
fn january() -> Vec<Bar> {
    let rounded = |(label_s, bar): Bar| (label_s, bar.map(|x| (x * 10_000.0).round() / 10_000.0));
    bars("AAA", "2020-01", 30).into_iter().map(rounded).collect()
}

fn import(place: &Place, args: &[&str]) -> std::process::Command {
    place.program(&[&["import"], args].concat())
}

fn zipped(files: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in files {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A workbook of one sheet, with times as Excel's dates.
fn workbook(all: &[Bar]) -> Vec<u8> {
    let mut rows = "<row>".to_string();
    for name in ["Time", "Open", "High", "Low", "Close", "Volume"] {
        write!(rows, "<c t=\"inlineStr\"><is><t>{name}</t></is></c>").unwrap();
    }
    rows += "</row>";
    for (label_s, [o, h, l, c, v]) in all {
        // Days since 1899-12-30, on the clock of New York in winter.
        let days = (label_s - 5 * 3_600) as f64 / 86_400.0 + 25_569.0;
        write!(rows, "<row><c s=\"1\"><v>{days}</v></c>").unwrap();
        [o, h, l, c, v].iter().for_each(|x| write!(rows, "<c><v>{x}</v></c>").unwrap());
        rows += "</row>";
    }
    let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    let kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let sheet = format!("<worksheet xmlns=\"{main}\"><sheetData>{rows}</sheetData></worksheet>");
    let book = format!(
        "<workbook xmlns=\"{main}\" xmlns:r=\"{kind}\"><sheets><sheet name=\"Prices\" \
         sheetId=\"1\" r:id=\"a\"/></sheets></workbook>"
    );
    let relation = |kind_of: &str, target: &str| {
        format!(
            "<Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\">\
             <Relationship Id=\"a\" Type=\"{kind}/{kind_of}\" Target=\"{target}\"/></Relationships>"
        )
    };
    let styles = format!(
        "<styleSheet xmlns=\"{main}\"><cellXfs><xf numFmtId=\"0\"/><xf numFmtId=\"22\"/></cellXfs>\
         </styleSheet>"
    );
    zipped(&[
        ("xl/workbook.xml", &book),
        ("_rels/.rels", &relation("officeDocument", "xl/workbook.xml")),
        ("xl/_rels/workbook.xml.rels", &relation("worksheet", "worksheets/s.xml")),
        ("xl/worksheets/s.xml", &sheet),
        ("xl/styles.xml", &styles),
    ])
}

/// The same bars in each layout become the same day files, and a line says how they were read.
#[test]
fn layouts_without_names_or_units_give_the_same_day_files() {
    let place = Place::new();
    let all = january();
    let text = |header: &str, end: &str, row: &dyn Fn(&Bar) -> String| {
        let rows: Vec<String> = all.iter().map(row).collect();
        format!("{header}{}{end}", rows.join(if header.starts_with('t') { "\n" } else { "," }))
    };
    let plain = text("timestamp,open,high,low,close,volume\n", "\n", &|(s, [o, h, l, c, v])| {
        format!("{s},{o},{h},{l},{c},{v}")
    });
    std::fs::write(place.path("AAA.csv"), plain).unwrap();
    succeed(&mut import(&place, &["AAA.csv", "--data", "plain", "--quiet"]));
    let expected = day_files(&place.path("plain"));
    assert_eq!(expected.len(), 21);

    let binance = text("[", "]", &|(s, [o, h, l, c, v])| {
        let (start, end) = (s * 1_000, s * 1_000 + 1_799_999);
        format!("[{start},\"{o}\",\"{h}\",\"{l}\",\"{c}\",\"{v}\",{end},\"0\",1,\"0\",\"0\",\"0\"]")
    });
    let kraken = text("{\"error\":[],\"result\":{\"AAA\":[", "],\"last\":1}}", &|(s, bar)| {
        let [o, h, l, c, v] = bar;
        format!("[{s},\"{o}\",\"{h}\",\"{l}\",\"{c}\",\"{c}\",\"{v}\",1]")
    });
    let zones = text("time,tz,open,high,low,close,volume\n", "\n", &|(s, [o, h, l, c, v])| {
        // Every other row on the clock of Tokyo.
        let (zone, ahead) = if s % 3_600 == 0 { ("Asia/Tokyo", 14) } else { ("EST", 0) };
        let local = iso_market_time(s + 3_600 * ahead);
        format!("{},{zone},{o},{h},{l},{c},{v}", &local[..19])
    });
    let databento = text(
        "ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume\n",
        "\n",
        &|(s, bar)| {
            let [o, h, l, c] = [0, 1, 2, 3].map(|i| (bar[i] * 1e9).round() as i64);
            format!("{s}000000000,33,2,38,{o},{h},{l},{c},{}", bar[4])
        },
    );
    for (name, content, said) in [
        ("binance.json", binance.as_bytes(), "JSON of rows without names (Binance)"),
        ("kraken.json", kraken.as_bytes(), "JSON of rows without names (Kraken)"),
        ("zones.csv", zones.as_bytes(), "zones from tz"),
        ("databento.csv", databento.as_bytes(), "prices in billionths, as Databento's are"),
        ("book.xlsx", &workbook(&all), "Excel, sheet Prices; times from Time"),
    ] {
        std::fs::write(place.path(name), content).unwrap();
        let args = [name, "--symbol", "AAA", "--data", name.split('.').next().unwrap()];
        let output = succeed(&mut import(&place, &args));
        assert!(output.contains(said), "{name}: {output}");
        assert!(day_files(&place.path(args[4])) == expected, "{name}: {output}");
    }
}

/// QuantConnect Lean: an archive a day, in the folder of the stock.
#[test]
fn archives_of_lean_are_read() {
    let place = Place::new();
    let all = january();
    let day: Vec<&Bar> =
        all.iter().filter(|(s, _)| iso_market_time(*s).starts_with("2020-01-02")).collect();
    let (mut plain, mut lean) =
        ("timestamp,open,high,low,close,volume\n".to_string(), String::new());
    for (s, bar) in &day {
        let whole = [0, 1, 2, 3].map(|i| (bar[i] * 10_000.0).round());
        let [o, h, l, c] = whole.map(|price| price / 10_000.0);
        writeln!(plain, "{s},{o},{h},{l},{c},{}", bar[4]).unwrap();
        // 2020-01-02 00:00 in New York.
        let ms = (s - 1_577_941_200) * 1_000;
        let [o, h, l, c] = whole;
        writeln!(lean, "{ms},{o},{h},{l},{c},{}", bar[4].round()).unwrap();
    }
    std::fs::write(place.path("AAA.csv"), plain).unwrap();
    succeed(&mut import(&place, &["AAA.csv", "--data", "plain", "--quiet"]));
    std::fs::create_dir_all(place.path("minute/aaa")).unwrap();
    let name = "minute/aaa/20200102_trade.zip";
    std::fs::write(place.path(name), zipped(&[("20200102_aaa_minute_trade.csv", &lean)])).unwrap();
    let said = succeed(&mut import(&place, &[name, "--data", "lean"]));
    assert!(said.contains("prices in ten-thousandths, as QuantConnect Lean's are"), "{said}");
    assert!(said.contains("13 bars of 30 min of AAA, 1 day file written"), "{said}");
    assert!(day_files(&place.path("lean")) == day_files(&place.path("plain")));
    // Without its name, nothing tells the day.
    std::fs::write(place.path("AAA.csv"), &lean).unwrap();
    refused(&mut import(&place, &["AAA.csv", "--data", "other"]), &["AAA.csv", "column 1"]);
}

#[test]
fn what_is_ambiguous_is_refused() {
    let place = Place::new();
    let header = "date,open,high,low,close,volume\n";
    let weekly = ["2020-01-03", "2020-01-10", "2020-01-17", "2020-01-24", "2020-01-31"];
    let weekly: String = weekly.map(|date| format!("{date},1,2,0.5,1.5,9\n")).concat();
    let mixed = "2020-01-02,1,2,0.5,1.5,9\n2020-01-02 09:30,1,2,0.5,1.5,9\n\
                 2020-01-02 09:35,1,2,0.5,1.5,9\n";
    let large = "2020-01-02,2960000,3006000,2954000,3003500,9\n";
    for (text, words) in [
        (format!("{header}{weekly}"), &["AAA has weekly bars (5 bars", "daily bars alone"][..]),
        (format!("{header}{mixed}"), &["at midnight, 1 of whole days (first 2020-01-02T00:00"]),
        (format!("{header}{large}"), &["whole numbers above 1,000,000", "--price-scale"]),
        ("[[1577975400,1,2,0.5,1.5,9],[1577975700,1,2,0.5,1.5,9]]".into(), &["--columns"]),
        (
            "time,tz,open,high,low,close\n2020-01-02 09:30,Mars,1,1,1,1\n".into(),
            &["\"Mars\" is not"],
        ),
    ] {
        std::fs::write(place.path("AAA.csv"), &text).unwrap();
        let error = refused(&mut import(&place, &["AAA.csv", "--data", "data"]), words);
        assert!(error.len() <= 300, "{error}");
        assert!(!place.path("data").exists(), "{text}");
    }
    std::fs::write(place.path("AAA.csv"), format!("{header}{large}")).unwrap();
    let scaled = ["AAA.csv", "--data", "data", "--price-scale", "10000"];
    let said = succeed(&mut import(&place, &scaled));
    assert!(said.contains("prices divided by 10000"), "{said}");
    for scale in ["0", "-1", "1.5", "2000000000000"] {
        let scale = format!("--price-scale={scale}");
        refused(&mut import(&place, &["AAA.csv", &scale]), &["--price-scale"]);
    }
}
