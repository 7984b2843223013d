mod services;

use super::*;
use crate::market::parquet::decode_day;

/// 2025-05-12 09:30 and 09:35 in New York, in UTC seconds.
const LABELS: [Option<i64>; 2] = [Some(1_747_056_600), Some(1_747_056_900)];
const BARS: [[f64; 5]; 2] =
    [[210.5, 211.0, 210.0, 210.75, 1000.0], [210.75, 212.0, 210.5, 211.5, 2000.0]];

fn read_with(text: &str, options: &TableOptions) -> Table {
    decode_table(text.as_bytes(), "table", options).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn read(text: &str) -> Table {
    read_with(text, &TableOptions::default())
}

fn error(text: &str) -> String {
    decode_table(text.as_bytes(), "table", &TableOptions::default()).unwrap_err().to_string()
}

fn is_expected(table: &Table, text: &str) {
    let rows = &table.parts[0].rows;
    let mut found: Vec<_> = (0..rows.len()).map(|i| (rows.label_s[i], rows.values(i))).collect();
    found.sort_by_key(|(label_s, _)| *label_s);
    // A bar of the next day tells the day from the month.
    found.truncate(2);
    assert_eq!(found, [(LABELS[0], BARS[0]), (LABELS[1], BARS[1])], "{text}");
    assert_eq!((table.parts.len(), table.ragged_line), (1, None), "{text}");
}

/// Two bars as vendors and programs write them.
#[test]
fn layouts_of_many_vendors_are_one_table() {
    for text in [
        // Kibot, FirstRate.
        "05/12/2025,09:30,210.5,211,210,210.75,1000\n05/12/2025,09:35,210.75,212,210.5,211.5,2000\n05/13/2025,09:30,211,212,210,211,5",
        "2025-05-12 09:30:00,210.5,211,210,210.75,1000\n2025-05-12 09:35:00,210.75,212,210.5,211.5,2000\n",
        // Polygon's flat files, Databento, Alpaca.
        "ticker,volume,open,close,high,low,window_start,transactions\n\
         AAPL,1000,210.5,210.75,211,210,1747056600000000000,9\n\
         AAPL,2000,210.75,211.5,212,210.5,1747056900000000000,9\n",
        "ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume,symbol\n\
         2025-05-12T13:30:00.000000000Z,33,2,38,210.500000000,211.000000000,210.000000000,210.750000000,1000,AAPL\n\
         2025-05-12T13:35:00.000000000Z,33,2,38,210.750000000,212.000000000,210.500000000,211.500000000,2000,AAPL\n",
        // Interactive Brokers: old and new, and through ib_insync with an index.
        "date,open,high,low,close,volume,average,barCount\n\
         20250512  09:30:00,210.5,211,210,210.75,1000,1,7\n\
         20250512  09:35:00,210.75,212,210.5,211.5,2000,1,7\n",
        ",date,open,high,low,close,volume\n\
         0,2025-05-12 09:30:00-04:00,210.5,211,210,210.75,1000\n\
         1,2025-05-12 09:35:00-04:00,210.75,212,210.5,211.5,2000\n",
        "date,open,high,low,close,volume\n\
         20250512 09:30:00 US/Eastern,210.5,211,210,210.75,1000\n\
         20250512 09:35:00 US/Eastern,210.75,212,210.5,211.5,2000\n",
        // yfinance.
        "Price,Close,High,Low,Open,Volume\nTicker,AAPL,AAPL,AAPL,AAPL,AAPL\nDatetime,,,,,\n\
         2025-05-12 13:30:00+00:00,210.75,211,210,210.5,1000\n\
         2025-05-12 13:35:00+00:00,211.5,212,210.5,210.75,2000\n",
        // MetaTrader, Stooq, Dukascopy, TradingView.
        "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<SPREAD>\n\
         2025.05.12\t09:30:00\t210.5\t211\t210\t210.75\t1000\t1\n\
         2025.05.12\t09:35:00\t210.75\t212\t210.5\t211.5\t2000\t1\n",
        "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n\
         AAPL.US,5,20250512,093000,210.5,211,210,210.75,1000,0\n\
         AAPL.US,5,20250512,093500,210.75,212,210.5,211.5,2000,0\n",
        "Gmt time,Open,High,Low,Close,Volume\n\
         12.05.2025 13:30:00.000,210.5,211,210,210.75,1000\n\
         12.05.2025 13:35:00.000,210.75,212,210.5,211.5,2000\n",
        "time,open,high,low,close,Volume\n\
         1747056600,210.5,211,210,210.75,1000\n1747056900,210.75,212,210.5,211.5,2000\n",
        // Alpha Vantage, the newest first, and as JSON.
        "timestamp,open,high,low,close,volume\n\
         2025-05-12 09:35:00,210.7500,212.0000,210.5000,211.5000,2000\n\
         2025-05-12 09:30:00,210.5000,211.0000,210.0000,210.7500,1000\n",
        r#"{"Meta Data": {"2. Symbol": "AAPL", "6. Time Zone": "US/Eastern"}, "Time Series (5min)": {
            "2025-05-12 09:35:00": {"1. open": "210.7500", "2. high": "212.0", "3. low": "210.5",
                "4. close": "211.5", "5. volume": "2000"},
            "2025-05-12 09:30:00": {"1. open": "210.5", "2. high": "211.0", "3. low": "210",
                "4. close": "210.75", "5. volume": "1000"}}}"#,
        // Polygon's and Alpaca's answers, Finnhub's, Yahoo's, and pandas in three forms.
        r#"{"ticker": "AAPL", "status": "OK", "results": [
            {"v": 1000, "o": 210.5, "c": 210.75, "h": 211, "l": 210, "t": 1747056600000, "n": 3},
            {"v": 2000, "o": 210.75, "c": 211.5, "h": 212, "l": 210.5, "t": 1747056900000}]}"#,
        r#"{"bars": {"AAPL": [{"t": "2025-05-12T13:30:00Z", "o": 210.5, "h": 211, "l": 210, "c": 210.75, "v": 1000},
            {"t": "2025-05-12T13:35:00Z", "o": 210.75, "h": 212, "l": 210.5, "c": 211.5, "v": 2000}]}}"#,
        r#"{"c": [210.75, 211.5], "h": [211, 212], "l": [210, 210.5], "o": [210.5, 210.75],
            "s": "ok", "t": [1747056600, 1747056900], "v": [1000, 2000]}"#,
        r#"{"chart": {"result": [{"meta": {"symbol": "AAPL"}, "timestamp": [1747056600, 1747056900],
            "indicators": {"quote": [{"open": [210.5, 210.75], "high": [211, 212], "low": [210, 210.5],
            "close": [210.75, 211.5], "volume": [1000, 2000]}]}}]}}"#,
        r#"{"open": {"1747056600000": 210.5, "1747056900000": 210.75}, "high": {"1747056600000": 211,
            "1747056900000": 212}, "low": {"1747056600000": 210, "1747056900000": 210.5},
            "close": {"1747056600000": 210.75, "1747056900000": 211.5},
            "volume": {"1747056600000": 1000, "1747056900000": 2000}}"#,
        r#"{"columns": ["open", "high", "low", "close", "volume"], "index": [1747056600000, 1747056900000],
            "data": [[210.5, 211, 210, 210.75, 1000], [210.75, 212, 210.5, 211.5, 2000]]}"#,
        "{\"time\": \"2025-05-12T09:30:00\", \"open\": 210.5, \"high\": 211, \"low\": 210, \"close\": 210.75, \"volume\": 1000}\n\
         {\"time\": \"2025-05-12T09:35:00\", \"open\": 210.75, \"high\": 212, \"low\": 210.5, \"close\": 211.5, \"volume\": 2000}\n",
        // Spreadsheets.
        "Datum;datetime;open;high;low;close;volume\n\
         x;12.05.2025 09:30;210,5;211;210;210,75;1.000\nx;12.05.2025 09:35;210,75;212;210,5;211,5;2.000\n",
        "datetime,open,high,low,close,volume\n\
         5/12/2025 9:30 AM,210.50,211.00,210.00,210.75,\"1,000\"\n\
         5/12/2025 9:35 AM,210.75,212.00,210.50,211.50,2K\n\
         5/13/2025 9:35 AM,210.75,212.00,210.50,211.50,5\n",
        "datetime|open|high|low|close|volume\n\
         45789.3958333|210.5|211|210|210.75|1000\n45789.3993056|210.75|212|210.5|211.5|2000\n",
        // MetaTrader 5, where the volume is unknown.
        "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n\
         2025.05.12\t09:30:00\t210.5\t211\t210\t210.75\t1000\t0\t1\n\
         2025.05.12\t09:35:00\t210.75\t212\t210.5\t211.5\t2000\t0\t1\n",
        // Separated by blanks, as text and as pandas prints a table.
        "Date       Time   Open   High Low   Close  Volume\n\
         2025-05-12 09:30  210.5  211  210   210.75 1000\n\
         2025-05-12 09:35  210.75 212  210.5 211.5  2000\n",
        "                       open   high    low   close  volume\n\
         2025-05-12 09:30:00  210.50  211.0  210.0  210.75    1000\n\
         2025-05-12 09:35:00  210.75  212.0  210.5  211.50    2000\n",
        // A column of zones, of which each row has its own.
        "time,open,high,low,close,volume,Timezone\n\
         2025-05-12 09:30:00,210.5,211,210,210.75,1000,America/New_York\n\
         2025-05-12 15:35:00,210.75,212,210.5,211.5,2000,Europe/Berlin\n",
        // Databento's integers.
        "ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume,symbol\n\
         1747056600000000000,33,2,38,210500000000,211000000000,210000000000,210750000000,1000,AAPL\n\
         1747056900000000000,33,2,38,210750000000,212000000000,210500000000,211500000000,2000,AAPL\n",
        // A line about the source before the header.
        "https://www.example.com/data\nunix,date,symbol,open,high,low,close,Volume USD\n\
         1747056600,2025-05-12 13:30:00,BTC/USD,210.5,211,210,210.75,1000\n\
         1747056900,2025-05-12 13:35:00,BTC/USD,210.75,212,210.5,211.5,2000\n",
    ] {
        let table = read(text);
        is_expected(&table, text);
    }
}

#[test]
fn what_was_understood_is_one_line() {
    let table = read("05/13/2025,09:30,210.5,211,210,210.75,1000\n");
    assert_eq!(
        table.understood,
        "CSV, no header; times from column 1 and column 2 (month/day/year, without a zone); \
         prices from column 3, column 4, column 5, column 6; volume from column 7"
    );
    let table = read("Date;Open;High;Low;Close\n13.05.2025;1,5;2;1;1,75\n");
    assert_eq!(
        table.understood,
        "CSV with semicolons; dates from Date (day/month/year); prices from Open, High, Low, Close; \
         no volume, read as 0"
    );
    assert!(table.parts[0].dates);
    assert_eq!(table.parts[0].rows.values(0), [1.5, 2.0, 1.0, 1.75, 0.0]);
}

#[test]
fn several_stocks_side_by_side_or_one_below_the_other() {
    let wide = read(
        "Price,Close,Close,High,High,Low,Low,Open,Open,Volume,Volume\n\
         Ticker,AAPL,MSFT,AAPL,MSFT,AAPL,MSFT,AAPL,MSFT,AAPL,MSFT\nDate,,,,,,,,,,\n\
         2025-05-12,10,20,11,21,9,19,10,20,100,200\n2025-05-13,10.5,20.5,11,21,9,19,10,20,100,\n",
    );
    let names: Vec<_> = wide.parts.iter().map(|part| part.symbol.as_deref()).collect();
    assert_eq!(names, [Some("AAPL"), Some("MSFT")]);
    assert_eq!(wide.parts[1].rows.values(1), [20.0, 21.0, 19.0, 20.5, 0.0]);
    let long = read(
        "date,tic,open,high,low,close,volume,day\n2025-05-12,A,1,2,0.5,1,5,0\n\
                     2025-05-12,B,2,3,1,2,5,0\n",
    );
    assert_eq!(long.parts[0].symbols, Some(vec![Some("A".into()), Some("B".into())]));
}

#[test]
fn what_the_user_says_goes_before_what_is_found() {
    let names = "date,-,close,open,low,high".split(',').map(String::from).collect();
    let options = TableOptions { columns: Some(names), ..TableOptions::default() };
    let table = read_with("2025-05-12,x,4,3,1,5\n2025-05-13,x,4,3,1,5\n", &options);
    assert_eq!(table.parts[0].rows.values(1), [3.0, 5.0, 1.0, 4.0, 0.0]);
    // Day and month as told, and a zone.
    let times = TimeOptions { zone: chrono_tz::UTC, format: Some("%d/%m/%Y %H:%M".into()) };
    let options = TableOptions { times, ..TableOptions::default() };
    let table = read_with("time,open,high,low,close\n05/12/2025 14:30,1,2,1,2\n", &options);
    assert_eq!(table.parts[0].rows.label_s, [Some(1_764_945_000)]);
}

/// As pandas writes columns by stock and price, in Parquet, either level first.
#[test]
fn names_of_two_levels_in_either_order() {
    for names in [
        ["('A', 'Open')", "('B', 'Open')"],
        ["('Open', 'A')", "('Open', 'B')"],
        ["A.Open", "B.Open"],
        ["A_Open", "B_Open"],
        ["Open_A", "Open_B"],
    ] {
        let all: Vec<Vec<String>> = std::iter::once("Date".to_string())
            .chain(
                ["Open", "High", "Low", "Close"]
                    .iter()
                    .flat_map(|price| names.map(|name| name.replace("Open", price))),
            )
            .map(|name| layout::levels_of(&name))
            .collect();
        let found = layout::stocks(&all, "f").unwrap();
        let symbols: Vec<_> = found.iter().map(|stock| stock.symbol.as_deref()).collect();
        assert_eq!(symbols, [Some("A"), Some("B")]);
        assert_eq!((found[1].columns.prices, &found[1].columns.time[..]), ([2, 4, 6, 8], &[0][..]));
    }
}

/// A day without prices, first of all.
#[test]
fn a_row_without_values_is_no_header() {
    for text in [
        "date,open,high,low,close,volume\n2025-05-09,,,,,\n2025-05-12,1,2,1,2,5\n",
        "date,open,high,low,close,volume\n2025-05-09,NaN,NaN,NaN,NaN,0\n2025-05-12,1,2,1,2,5\n",
        "2025-05-08,,,,,\n2025-05-09,,,,,\n2025-05-12,1,2,1,2,5\n",
    ] {
        let rows = &read(text).parts[0].rows;
        let last = rows.len() - 1;
        assert!(rows.open[0].is_nan() && last > 0, "{text}");
        assert_eq!(rows.values(last), [1.0, 2.0, 1.0, 2.0, 5.0], "{text}");
    }
}

#[test]
fn it_is_said_which_volume_and_which_zone() {
    let bars = "2025-05-12 09:30,1,2,1,2";
    let said = |header: &str, row: &str| read(&format!("{header}\n{bars},{row}\n")).understood;
    let header = "date,open,high,low,close";
    let volumes = said(&format!("{header},Volume USD,Volume BTC"), "9,3");
    assert!(volumes.ends_with("; volume from Volume BTC"), "{volumes}");
    let ticks = said(&format!("{header},tickvol,vol"), "9,0");
    assert!(ticks.ends_with("volume from tickvol, as the other is 0 throughout"), "{ticks}");
    let zones = said(&format!("{header},volume,tz"), "9,UTC");
    assert!(
        zones.ends_with(
            "(year first); prices from open, high, low, close; volume from volume; zones from tz"
        ),
        "{zones}"
    );
    let error = error(&format!("{header},tz\n{bars},Wall Street\n"));
    assert!(error.contains("\"Wall Street\" is not a time zone") && error.len() <= 300, "{error}");
}

/// Rows of numbers whose time cannot be read come to light as bad rows.
#[test]
fn bad_rows_below_the_header_are_no_header() {
    let table = read("date,open,high,low,close\n2025-02-30,1,2,1,2\n2025-05-12,1,2,1,2\n");
    assert_eq!(table.parts[0].rows.label_s.len(), 2);
    assert_eq!(table.parts[0].rows.label_s[0], None);
}

#[test]
fn what_is_no_table_is_refused_in_words() {
    for (text, says) in [
        ("", "is empty"),
        ("timestamp,open,high,low,close,volume\n", "has no rows"),
        ("date,open,high,low\n2025-05-12,1,2,1\n", "has no column close"),
        ("open,high,low,close,volume\n1,2,1,2,5\n", "has no time column"),
        ("2025-05-12,1,1.5,2,1,9\n", "--columns"),
        ("<html><body>Bad Gateway</body></html>", "has no column"),
        ("date,open,high,low,close,date,open,high,low,close\n", "2 columns named open"),
        (
            "date,open,high,low,close\n2025-05-12,1,2,1,\"2\n1\n1\n1\n1\n1\n1\n1\n",
            "a quote is not closed",
        ),
        (
            "date,open,high,low,close\n2025-05-12,1,2,1,2\ndate,close,high,low,open\n",
            "line 3 begins a table with other columns",
        ),
        ("{\"Note\": \"call frequency\"}", "an answer without bars: \"call frequency\""),
        ("{\"open\": [", "is not JSON"),
        ("[]", "is JSON without bars"),
        ("time,open,high,low,close\n03/04/2025,1,2,1,2\n", "--time-format"),
        ("time,open,high,low,close\nsoon,1,2,1,2\n", "\"soon\" cannot be read as a time"),
    ] {
        let text = error(text);
        assert!(text.starts_with("table: ") && text.contains(says), "{says}: {text}");
        assert!(text.len() <= 300 && text.lines().count() == 1, "{text}");
    }
    for bytes in
        [&b"\xff\xfe\x00"[..], b"\x89PNG\r\n\x1a\n\0\0\0", b"PAR1 and no more", b"ARROW1\0\0 no"]
    {
        let error = decode_table(bytes, "table", &TableOptions::default()).unwrap_err().to_string();
        assert!(error.starts_with("table: ") && error.len() <= 300, "{error}");
    }
}

#[test]
fn texts_in_other_encodings_are_read() {
    let text = "Zeit;datetime;open;high;low;close;volume\n\
                ä;12.05.2025 09:30;210,5;211;210;210,75;1000\nä;12.05.2025 09:35;210,75;212;210,5;211,5;2000\n";
    let utf16: Vec<u8> =
        [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let latin: Vec<u8> = text.chars().map(|c| c as u32 as u8).collect();
    let with_mark = [&[0xef, 0xbb, 0xbf], text.as_bytes()].concat();
    for bytes in [utf16, latin, with_mark] {
        is_expected(&decode_table(&bytes, "table", &TableOptions::default()).unwrap(), text);
    }
}

/// polars panics where a day is beyond what it can write as text; found by the fuzzer.
#[test]
fn a_day_beyond_the_calendar_is_an_error() {
    use polars::prelude::*;

    let days = Int32Chunked::from_vec("date".into(), vec![i32::MAX, 18_263]).into_date();
    let mut columns =
        vec![days.into_column(), Column::new("time".into(), ["09:30:00", "09:31:00"])];
    for name in ["open", "high", "low", "close", "volume"] {
        columns.push(Column::new(name.into(), [5.0, 5.0]));
    }
    let mut bytes = Vec::new();
    let mut frame = DataFrame::new(2, columns).unwrap();
    ParquetWriter::new(&mut bytes).finish(&mut frame).unwrap();
    let error = decode_table(&bytes, "days.parquet", &TableOptions::default()).unwrap_err();
    assert!(error.to_string().starts_with("days.parquet: "), "{error}");
    assert!(decode_day(&bytes, "days.parquet").is_err());
}
