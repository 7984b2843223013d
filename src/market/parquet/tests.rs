use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::*;

/// Content of a file according to `make_fixtures.py`.
#[derive(Deserialize)]
struct Expected {
    label_s: Vec<Option<i64>>,
    naive: bool,
    open: Vec<Option<f64>>,
    high: Vec<Option<f64>>,
    low: Vec<Option<f64>>,
    close: Vec<Option<f64>>,
    volume: Vec<Option<f64>>,
    /// Further columns.
    #[serde(default)]
    extras: BTreeMap<String, Vec<Option<f64>>>,
}

impl Expected {
    fn columns(&self) -> Vec<String> {
        self.extras.keys().cloned().collect()
    }
}

fn all_expected() -> BTreeMap<String, Expected> {
    let text = std::fs::read_to_string(fixtures().join("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(fixtures().join(name)).unwrap()
}

fn known(values: &[f64]) -> Vec<Option<f64>> {
    values.iter().map(|v| (!v.is_nan()).then_some(*v)).collect()
}

#[test]
fn files_of_other_programs_are_read_as_they_write_them() {
    let all = all_expected();
    assert!(all.len() >= 45, "{}", all.len());
    assert_eq!(all.values().filter(|expected| !expected.extras.is_empty()).count(), 3);
    for (name, expected) in all {
        let decoded = decode_day_with(&fixture(&name), &name, &expected.columns());
        let rows = decoded.unwrap_or_else(|e| panic!("{e}"));
        let extras: Vec<_> = rows.extras.iter().map(|column| known(column)).collect();
        assert_eq!(extras, expected.extras.into_values().collect::<Vec<_>>(), "{name}");
        assert_eq!(rows.label_s, expected.label_s, "{name}");
        assert_eq!(rows.naive, expected.naive, "{name}");
        assert_eq!(known(&rows.open), expected.open, "{name}");
        assert_eq!(known(&rows.high), expected.high, "{name}");
        assert_eq!(known(&rows.low), expected.low, "{name}");
        assert_eq!(known(&rows.close), expected.close, "{name}");
        assert_eq!(known(&rows.volume), expected.volume, "{name}");
    }
}

/// polars is the reference for the fast path.
#[test]
fn plain_files_are_read_as_polars_reads_them() {
    let bits = |rows: &RawRows| {
        let columns = [&rows.open, &rows.high, &rows.low, &rows.close, &rows.volume];
        let columns = columns.into_iter().chain(&rows.extras);
        columns.map(|column| column.iter().map(|x| x.to_bits()).collect::<Vec<_>>()).collect()
    };
    let (mut plain, all) = (Vec::new(), all_expected());
    for entry in std::fs::read_dir(fixtures()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let columns = all.get(&name).map_or(Vec::new(), Expected::columns);
        let rows = plain::rows(&fixture(&name), &columns);
        let Some(rows) = rows.filter(|_| name.ends_with(".parquet")) else { continue };
        let expected = decode_any(&fixture(&name), &name, &columns);
        let expected = expected.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((&rows.label_s, rows.naive), (&expected.label_s, expected.naive), "{name}");
        let (found, expected): (Vec<_>, Vec<_>) = (bits(&rows), bits(&expected));
        assert_eq!(found, expected, "{name}");
        plain.push(name);
    }
    // Time zones, units, indices and every compression; files of DuckDB and text columns take the
    // polars path.
    for (program, least) in [("pandas", 12), ("polars", 3)] {
        let count = plain.iter().filter(|name| name.starts_with(program)).count();
        assert!(count >= least, "{program}: {plain:?}");
    }
    // Missing values and booleans do, too.
    assert!(plain.iter().any(|name| name == "pandas_columns_whole.parquet"));
}

#[test]
fn a_further_column_that_is_not_there_or_no_number_is_named() {
    let error = |file: &str, column: &str| {
        let error = decode_day_with(&fixture(file), file, &[column.into()]).unwrap_err();
        assert!(matches!(&error, MarketError::File { file: named, .. } if named == file));
        error.to_string()
    };
    let text = error("pandas_columns_whole.parquet", "vix");
    let has = "(it has: timestamp, open, high, low, close, volume, spread, mood)";
    let hint = "write it into every day file, or leave it out of features.columns";
    assert_eq!(text, format!("pandas_columns_whole.parquet: has no column vix {has}; {hint}"));
    let text = error("pandas_columns.parquet", "news");
    assert!(text.contains("column \"news\" is stored as") && text.contains("a number"), "{text}");
    assert_eq!(text.lines().count(), 1);
}

#[test]
fn unusable_files_are_refused_in_words() {
    let cases = [
        ("bad_no_close.parquet", "has no column close"),
        ("bad_no_time.parquet", "has no time column"),
        ("bad_no_rows.parquet", "has no rows"),
        ("bad_dates_only.parquet", "holds dates without a time of day"),
        ("bad_counter.parquet", "5 is not a time since 1970 nor a date"),
        ("bad_boolean.parquet", "column \"open\" is stored as bool"),
    ];
    for (name, says) in cases {
        let error = decode_day(&fixture(name), name).unwrap_err();
        assert!(matches!(&error, MarketError::File { file, .. } if file == name), "{error}");
        assert!(error.to_string().contains(says), "{error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

/// Whether decoding returns rows or a File error.
fn survives(bytes: &[u8]) -> bool {
    match decode_day(bytes, "file") {
        Ok(rows) => [&rows.open, &rows.high, &rows.low, &rows.close, &rows.volume]
            .iter()
            .all(|column| column.len() == rows.len()),
        Err(MarketError::File { .. }) => true,
        Err(_) => false,
    }
}

#[test]
fn garbage_is_an_error_and_never_a_panic() {
    for bytes in
        [&b""[..], b"PAR1", b"PAR1PAR1", b"timestamp,open\n1,2\n", &[0; 4096], &[0xff; 4096]]
    {
        assert!(decode_day(bytes, "file").is_err());
    }
    for name in
        ["pandas_zstd.parquet", "polars_utc_ns.parquet", "duckdb_naive.parquet", "text_all.parquet"]
    {
        let whole = fixture(name);
        for length in (0..whole.len()).step_by(97) {
            assert!(decode_day(&whole[..length], name).is_err(), "{name} cut at {length}");
        }
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            assert!(survives(&flipped), "{name} flipped at {at}");
            flipped[at] = !whole[at];
            assert!(survives(&flipped), "{name} inverted at {at}");
        }
    }
}

#[test]
fn what_the_program_writes_it_reads() {
    let columns = ["vix".to_string(), "mood".to_string()];
    let mut series = BarSeries::new("AAPL".parse().unwrap()).with_columns(&columns);
    // 2020-03-06 (EST) 09:35 and 09:40; 2020-03-09 (EDT) 09:35.
    for (i, end_s) in [1_583_505_300, 1_583_505_600, 1_583_760_900].into_iter().enumerate() {
        let open = 100.0 + i as f64;
        let (high, low, close) = (open + 1.0, open - 1.0, open + 0.1);
        let bar = crate::market::Bar { end_s, open, high, low, close, volume: 7.0 };
        series.push_with(bar, &[17.5 + i as f32, if i == 1 { f32::NAN } else { -0.25 }]);
    }
    let bytes = encode_day(&series, 5).unwrap();
    assert!(decode_day(&bytes, "AAPL").unwrap().extras.is_empty());
    // In any order and case.
    let rows = decode_day_with(&bytes, "AAPL", &["Mood".into(), "vix".into()]).unwrap();
    assert_eq!(rows.extras[1], [17.5, 18.5, 19.5]);
    assert_eq!(known(&rows.extras[0]), [Some(-0.25), None, Some(-0.25)]);
    assert!(rows.naive);
    let starts: Vec<_> = series.end_s.iter().map(|s| Some(s - 300)).collect();
    assert_eq!(rows.label_s, starts);
    assert_eq!((rows.open, rows.high), (series.open, series.high));
    assert_eq!((rows.low, rows.close, rows.volume), (series.low, series.close, series.volume));
}

/// On 2020-11-01 the hour from 01:00 occurs twice in New York.
#[test]
fn instants_survive_the_hour_that_occurs_twice() {
    let mut rows = RawRows::default();
    // 00:30 EDT to 02:30 EST, every half hour.
    for i in 0..7 {
        rows.push(Some(1_604_205_000 + 1_800 * i), [1.0 + i as f64, 9.0, 0.5, 2.0, 3.0]);
    }
    let bytes = encode_rows(&rows, "X").unwrap();
    assert_eq!(decode_day(&bytes, "X").unwrap(), rows);
}

/// Two bars from 2020-01-02 09:30 in New York, with further columns.
fn day_file(time: Column, prices: [Column; 4], volume: Column, others: Vec<Column>) -> Vec<u8> {
    let columns = [vec![time], prices.into(), vec![volume], others].concat();
    let mut frame = DataFrame::new(2, columns).unwrap();
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).finish(&mut frame).unwrap();
    bytes
}

const OPEN_S: [Option<i64>; 2] = [Some(1_577_975_400), Some(1_577_975_700)];

#[test]
fn zones_billionths_and_numbers_of_quotes_are_known_in_day_files() {
    let names = ["open", "high", "low", "close"];
    let floats = || names.map(|name| Column::new(name.into(), [10.5, 10.75]));
    let volume = |name: &str, values: [i64; 2]| Column::new(name.into(), values);

    // A wall clock in microseconds, whose rows name their zones.
    let local = [1_577_957_400_000_000_i64, 1_577_979_300_000_000];
    let time = Int64Chunked::from_slice("time".into(), &local);
    let time = time.into_datetime(TimeUnit::Microseconds, None).into_column();
    let zones = Column::new("tz".into(), ["America/New_York", "Europe/Berlin"]);
    let bytes = day_file(time, floats(), volume("volume", [5, 6]), vec![zones]);
    let rows = decode_day(&bytes, "f").unwrap();
    assert_eq!((rows.label_s, rows.naive), (OPEN_S.to_vec(), false));
    assert_eq!(rows.volume, [5.0, 6.0]);

    let stamps = || Column::new("ts_event".into(), OPEN_S.map(|s| s.unwrap() * 1_000_000_000));
    let whole = names.map(|name| Column::new(name.into(), [10_500_000_000_i64, i64::MAX]));
    let ids = ["rtype", "publisher_id", "instrument_id"];
    let ids = || ids.iter().map(|name| Column::new((*name).into(), [33_i64, 33])).collect();
    let rows =
        decode_day(&day_file(stamps(), whole, volume("volume", [5, 6]), ids()), "f").unwrap();
    assert_eq!((rows.open[0], rows.close[0], rows.volume[1]), (10.5, 10.5, 6.0));
    assert!(rows.low[1].is_nan());
    // Prices with a fraction are prices.
    let rows = decode_day(&day_file(stamps(), floats(), volume("volume", [5, 6]), ids()), "f");
    assert_eq!(rows.unwrap().open, [10.5, 10.75]);

    let ticks = || vec![Column::new("tickvol".into(), [7_i64, 8])];
    let file = |vol: [i64; 2]| day_file(stamps(), floats(), volume("vol", vol), ticks());
    assert_eq!(decode_day(&file([0, 0]), "f").unwrap().volume, [7.0, 8.0]);
    assert_eq!(decode_day(&file([0, 1]), "f").unwrap().volume, [0.0, 1.0]);
}
