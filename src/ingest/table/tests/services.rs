//! Answers and files of data services whose values have no names, or count parts of a unit.

use super::*;

/// Forty minutes from the first bar on: each opens where the one before closed.
fn bars() -> Vec<(i64, [f64; 5])> {
    let close = |i: u32| (2_000.0 * (100.0 + (f64::from(i) * 1.1).sin())).round() / 2_000.0;
    let bar = |i: u32| {
        let (open, close) = (close(i), close(i + 1));
        let (high, low) = (open.max(close) + 0.5, open.min(close) - 0.5);
        (1_747_056_600 + 60 * i64::from(i), [open, high, low, close, 1_000.0 + f64::from(i)])
    };
    (0..40).map(bar).collect()
}

/// The bars as JSON rows, the newest first.
fn json(row: impl Fn(i64, [f64; 5]) -> String) -> String {
    let rows: Vec<String> = bars().into_iter().rev().map(|(s, bar)| row(s, bar)).collect();
    format!("[{}]", rows.join(","))
}

fn is_bars(text: &str, options: &TableOptions) -> Table {
    let table = read_with(text, options);
    let rows = &table.parts[0].rows;
    let mut found: Vec<_> = (0..rows.len()).map(|i| (rows.label_s[i], rows.values(i))).collect();
    found.sort_by_key(|(label_s, _)| *label_s);
    let expected: Vec<_> = bars().into_iter().map(|(s, bar)| (Some(s), bar)).collect();
    assert_eq!(found, expected, "{text}");
    table
}

#[test]
fn rows_without_names_are_read_where_their_order_is_certain() {
    let coinbase = json(|s, [o, h, l, c, v]| format!("[{s},{l},{h},{o},{c},{v}]"));
    let bitfinex = json(|s, [o, h, l, c, v]| format!("[{s}000,{o},{c},{h},{l},{v}]"));
    let pandas = json(|s, [o, h, l, c, v]| format!("[{s}000,{o},{h},{l},{c},{v}]"));
    let yahoo = json(|s, [o, h, l, c, v]| format!("[{s}000,{c},{h},{l},{o},{v}]"));
    for (text, prices) in [
        (coinbase, "column 4, column 3, column 2, column 5"),
        (bitfinex, "column 2, column 4, column 5, column 3"),
        (pandas, "column 2, column 3, column 4, column 5"),
        (yahoo, "column 5, column 3, column 4, column 2"),
    ] {
        let said = is_bars(&text, &TableOptions::default()).understood;
        let expected = format!("; prices from {prices}; volume from column 6");
        assert!(said.starts_with("JSON of rows without names; times from column 1"), "{said}");
        assert!(said.ends_with(&expected), "{said}");
    }
}

#[test]
fn services_are_recognised() {
    let binance = json(|s, [o, h, l, c, v]| {
        let end = s * 1_000 + 59_999;
        format!("[{s}000,\"{o}\",\"{h}\",\"{l}\",\"{c}\",\"{v}\",{end},\"1\",9,\"1\",\"1\",\"0\"]")
    });
    let kraken = json(|s, [o, h, l, c, v]| {
        format!("[{s},\"{o}\",\"{h}\",\"{l}\",\"{c}\",\"{}\",\"{v}\",7]", (h + l) / 2.0)
    });
    let kraken =
        format!("{{\"error\":[],\"result\":{{\"XXBTZUSD\":{kraken},\"last\":1747058940}}}}");
    // The last bar is not over.
    let okx = json(|s, [o, h, l, c, v]| {
        format!("[\"{s}000\",\"{o}\",\"{h}\",\"{l}\",\"{c}\",\"{v}\",\"1\",\"1\",\"1\"]")
    });
    let open = "[[\"1747059000000\",\"1\",\"1\",\"1\",\"1\",\"1\",\"1\",\"1\",\"0\"],";
    let okx = format!("{{\"code\":\"0\",\"msg\":\"\",\"data\":{open}{}}}", &okx[1..]);
    for (text, service, symbol, end) in [
        (&binance, "Binance", None, "volume from column 6"),
        (&kraken, "Kraken", Some("XXBTZUSD"), "volume from column 7"),
        (&okx, "OKX", None, "volume from column 6; left out: 1 of bars that were not over"),
    ] {
        let table = is_bars(text, &TableOptions::default());
        assert_eq!(table.parts[0].symbol.as_deref(), symbol);
        assert!(table.understood.contains(&format!("without names ({service})")));
        assert!(table.understood.ends_with(end), "{}", table.understood);
    }
    // A few bars of a service that is recognised are certain, too.
    let one =
        "[[1747056600000,\"1\",\"1\",\"1\",\"1\",\"5\",1747056659999,\"1\",1,\"1\",\"1\",\"0\"]]";
    assert_eq!(read(one).parts[0].rows.values(0), [1.0, 1.0, 1.0, 1.0, 5.0]);
}

#[test]
fn an_order_that_is_not_certain_is_asked_for() {
    let few = "[[1747056600,210,211,210.5,210.75,1000],[1747056660,210.5,212,210.75,211.5,2000]]";
    let text = error(few);
    assert!(text.contains("do not tell open, high, low and close") && text.contains("--columns"));
    assert!(text.len() <= 300);
    let names = "time,low,high,open,close,volume".split(',').map(String::from).collect();
    let options = TableOptions { columns: Some(names), ..TableOptions::default() };
    let table = read_with(few, &options);
    assert_eq!(table.parts[0].rows.values(1), [210.75, 212.0, 210.5, 211.5, 2000.0]);
    let named = decode_table(b"[{\"t\":1,\"o\":1,\"h\":1,\"l\":1,\"c\":1}]", "table", &options);
    assert!(named.unwrap_err().to_string().contains("whose values have names"));
}

#[test]
fn services_that_name_their_values() {
    // Oanda, Coinbase's newer answer, Twelve Data, Yahoo, Tradier, Tiingo, Databento.
    for (text, symbol) in [
        (
            r#"{"instrument":"EUR_USD","granularity":"M5","candles":[
            {"complete":true,"volume":1000,"time":"2025-05-12T13:30:00.000000000Z","mid":{"o":"210.5","h":"211","l":"210","c":"210.75"}},
            {"complete":true,"volume":2000,"time":"2025-05-12T13:35:00.000000000Z","mid":{"o":"210.75","h":"212","l":"210.5","c":"211.5"}},
            {"complete":false,"volume":2,"time":"2025-05-12T13:40:00.000000000Z","mid":{"o":"1","h":"1","l":"1","c":"1"}}]}"#,
            Some("EUR_USD"),
        ),
        (
            r#"{"candles":[{"start":"1747056900","low":"210.5","high":"212","open":"210.75","close":"211.5","volume":"2000"},
            {"start":"1747056600","low":"210","high":"211","open":"210.5","close":"210.75","volume":"1000"}]}"#,
            None,
        ),
        (
            r#"{"meta":{"symbol":"SAP","interval":"5min","exchange_timezone":"Europe/Berlin"},"values":[
            {"datetime":"2025-05-12 15:35:00","open":"210.75","high":"212","low":"210.5","close":"211.5","volume":"2000"},
            {"datetime":"2025-05-12 15:30:00","open":"210.5","high":"211","low":"210","close":"210.75","volume":"1000"}],"status":"ok"}"#,
            Some("SAP"),
        ),
        (
            r#"{"chart":{"result":[{"meta":{"symbol":"IBM","dataGranularity":"5m","exchangeTimezoneName":"America/New_York"},
            "timestamp":[1747056600,1747056900],"indicators":{"quote":[{"open":[210.5,210.75],"high":[211,212],"low":[210,210.5],
            "close":[210.75,211.5],"volume":[1000,2000]}],"adjclose":[{"adjclose":[105,105.5]}]}}],"error":null}}"#,
            Some("IBM"),
        ),
        (
            r#"{"series":{"data":[{"time":"2025-05-12T09:30:00","timestamp":1747056600,"price":210.6,"open":210.5,"high":211,"low":210,"close":210.75,"volume":1000,"vwap":210.5},
            {"time":"2025-05-12T09:35:00","timestamp":1747056900,"price":211,"open":210.75,"high":212,"low":210.5,"close":211.5,"volume":2000,"vwap":211}]}}"#,
            None,
        ),
        (
            r#"[{"date":"2025-05-12T13:30:00.000Z","close":210.75,"high":211,"low":210,"open":210.5,"volume":1000},
            {"date":"2025-05-12T13:35:00.000Z","close":211.5,"high":212,"low":210.5,"open":210.75,"volume":2000}]"#,
            None,
        ),
        (
            r#"{"hd":{"ts_event":"1747056600000000000","rtype":33,"publisher_id":2,"instrument_id":38},"open":"210500000000","high":"211000000000","low":"210000000000","close":"210750000000","volume":"1000"}
            {"hd":{"ts_event":"1747056900000000000","rtype":33,"publisher_id":2,"instrument_id":38},"open":"210750000000","high":"212000000000","low":"210500000000","close":"211500000000","volume":"2000"}"#,
            None,
        ),
    ] {
        // Databento's are one document per line.
        let text = text.replace("\n            \"timestamp\"", "\"timestamp\"");
        let table = read(&text);
        is_expected(&table, &text);
        assert_eq!(table.parts[0].symbol.as_deref(), symbol, "{text}");
    }
    let asks =
        r#"{"candles":[{"time":"2025-05-12T13:30:00Z","ask":{"o":"1","h":"1","l":"1","c":"1"}}]}"#;
    assert!(error(asks).contains("price=M"));
    let beside = "{\"t\":[1747056600],\"o\":[1],\"h\":[1],\"l\":[1],\"c\":[1],\"levels\":{\"x\":[[9,8,7,6,5]]}}";
    assert_eq!(read(beside).parts[0].rows.close, [1.0]);
    let beside = "[{\"levels\":[[9,8,7,6,5]]},{\"bars\":[{\"t\":1747056600,\"o\":1,\"h\":1,\"l\":1,\"c\":1}]}]";
    assert_eq!(read(beside).parts.len(), 1);
    let kraken = "{\"error\":[\"EQuery:Unknown asset pair\"]}";
    assert!(error(kraken).contains("an answer without bars: \"EQuery:Unknown asset pair\""));
    // Yahoo's daily bars, of which the last has the time of the request.
    let daily = r#"{"chart":{"result":[{"meta":{"symbol":"IBM","dataGranularity":"1d","exchangeTimezoneName":"America/New_York"},
        "timestamp":[1747056600,1747168201],"indicators":{"quote":[{"open":[1,2],"high":[1,2],"low":[1,2],"close":[1,2],"volume":[5,6]}]}}]}}"#;
    let table = read(daily);
    assert!(table.parts[0].dates);
    // The midnights of 2025-05-12 and -13 in New York.
    assert_eq!(table.parts[0].rows.label_s, [Some(1_747_022_400), Some(1_747_108_800)]);
}

#[test]
fn whole_numbers_that_count_parts_of_a_unit() {
    let divided = |scale: f64| TableOptions { price_scale: Some(scale), ..TableOptions::default() };
    let databento = "ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume\n\
         1747056600000000000,33,2,38,210500000000,211000000000,210000000000,210750000000,1000\n\
         1747056660000000000,33,2,38,9223372036854775807,1,1,1,0\n";
    let table = read(databento);
    assert!(table.understood.ends_with("; prices in billionths, as Databento's are"));
    assert_eq!(table.parts[0].rows.values(0), BARS[0]);
    assert!(table.parts[0].rows.open[1].is_nan());
    // Lean's minutes, which its name and its folder tell.
    let lean = "34200000,2105000,2110000,2100000,2107500,1000\n34500000,2107500,2120000,2105000,2115000,2000\n";
    let file = "minute/aapl/20250512_trade.zip/20250512_aapl_minute_trade.csv";
    let table = decode_table(lean.as_bytes(), file, &TableOptions::default()).unwrap();
    is_expected(&table, lean);
    assert_eq!(table.parts[0].symbol.as_deref(), Some("aapl"));
    assert_eq!(
        table.understood,
        "QuantConnect Lean; times from the file's name and column 1 (year first, without a zone); \
         prices from open, high, low, close; volume from volume; prices in ten-thousandths, as \
         QuantConnect Lean's are"
    );
    let coins = "48600000,210.5,211,210,210.75,1000\n48900000,210.75,212,210.5,211.5,2000\n";
    let file = "crypto/gdax/minute/btcusd/20250512_trade.csv";
    let table = decode_table(coins.as_bytes(), file, &TableOptions::default()).unwrap();
    is_expected(&table, coins);
    assert!(
        table.understood.ends_with("; zones from zone; times are UTC's"),
        "{}",
        table.understood
    );
    // Others are refused unless it is said what they count.
    let large = "date,open,high,low,close\n2025-05-12,2105000,2110000,2100000,2107500\n";
    assert!(error(large).contains("all prices are whole numbers above 1,000,000"));
    let text = error("20250512 00:00,205000,206000,204000,205500,9\n");
    assert!(text.contains("QuantConnect Lean") && text.contains("--price-scale"), "{text}");
    let table = read_with(large, &divided(10_000.0));
    assert_eq!(table.parts[0].rows.close, [210.75]);
    assert!(table.understood.ends_with("; prices divided by 10000"));
    let table = read_with(large, &divided(1.0));
    assert_eq!(table.parts[0].rows.close, [2_107_500.0]);
    assert!(table.understood.ends_with("; prices as they stand"));
    assert!(error("34200000,2105000,2110000,2100000,2107500,1000\n").len() <= 300);
}
