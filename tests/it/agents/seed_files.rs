//! Configurations and position files as HKUDS/AI-Trader and editors write them.

use serde_json::{Value, json};

use super::language_models::trader;
use super::server::Server;
use super::{agents, configure, lines, position, said, strategy};
use crate::program::Place;

/// The dates of the records of agent `one`.
fn dates(place: &Place) -> Vec<String> {
    let records = lines(&position(place, "out", "one"));
    let mut dates: Vec<String> =
        records.iter().map(|record| record["date"].as_str().unwrap().to_string()).collect();
    dates.dedup();
    dates
}

fn one(place: &Place, more: Value) {
    let mut all = json!({ "data": "synthetic:momentum", "agent_type": "BaseAgent" });
    for (key, value) in more.as_object().unwrap() {
        all[key] = value.clone();
    }
    configure(place, json!([strategy("one", "RSI")]), all);
}

/// Six and a half hours: a half one from 9:30, then six.
#[test]
fn hourly_agents_have_a_session_an_hour() {
    let range = json!({ "init_date": "2019-01-2 9:30:00", "end_date": "2019-01-3 15:00:00" });
    let hours = ["10:00", "11:00", "12:00", "13:00", "14:00", "15:00"];
    for minutes in [1, 30] {
        let place = Place::new();
        let more = json!({
            "agent_type": "BaseAgent_Hour", "date_range": range, "bar_minutes": minutes,
        });
        one(&place, more);
        said(&mut agents(&place, &["--quiet"]), 0);
        let first = ["2019-01-02 09:30:00".to_string()];
        let of = |day: &str| hours.map(|hour| format!("{day} {hour}:00"));
        let second = ["2019-01-03 09:30:00".to_string()];
        let all = [&first[..], &of("2019-01-02"), &second, &of("2019-01-03")].concat();
        assert_eq!(dates(&place), all, "{minutes}");
    }
    // Bars of an hour, which here begin at the half, have a session each, also the half one before
    // the close.
    let halves = |day: &str, hours: std::ops::RangeInclusive<u32>| -> Vec<String> {
        hours.map(|hour| format!("{day} {hour:02}:30:00")).collect()
    };
    let place = Place::new();
    let more = json!({ "agent_type": "BaseAgent_Hour", "date_range": range, "bar_minutes": 60 });
    one(&place, more);
    let first = halves("2019-01-02", 9..=15);
    said(agents(&place, &["--quiet"]).env("END_DATE", "2019-01-02 16:00:00"), 0);
    assert_eq!(dates(&place), first);
    // Earlier versions dated that one an hour before its end: it is not traded again.
    let path = place.path("out/one/position/position.jsonl");
    let text = position(&place, "out", "one");
    std::fs::write(&path, text.replace("2019-01-02 15:30:00", "2019-01-02 15:00:00")).unwrap();
    said(&mut agents(&place, &["--quiet"]), 0);
    let earlier = ["2019-01-02 15:00:00".to_string()];
    assert_eq!(dates(&place), [&first[..6], &earlier, &halves("2019-01-03", 9..=14)].concat());
    let place = Place::new();
    let more = json!({ "agent_type": "BaseAgent_Hour", "date_range": range, "sessions": "bar" });
    one(&place, more);
    said(&mut agents(&place, &["--quiet"]), 0);
    assert_eq!(dates(&place).len(), 1 + 12 + 12);
    // Whole days, although the dates have times.
    let place = Place::new();
    let range = json!({ "init_date": "2019-01-02 00:00:00", "end_date": "2019-01-04 23:59:59" });
    one(&place, json!({ "date_range": range }));
    said(&mut agents(&place, &["--quiet"]), 0);
    assert_eq!(dates(&place), ["2019-01-02", "2019-01-03", "2019-01-04"]);
}

/// A model is asked once an hour, whatever the bars.
#[test]
fn a_model_is_asked_by_the_hour() {
    let (place, server) = (Place::new(), Server::start(trader));
    let model = json!({ "signature": "one", "basemodel": "m", "openai_base_url": server.url() });
    let range = json!({ "init_date": "2019-01-02 15:00:00", "end_date": "2019-01-03 11:00:00" });
    let more = json!({ "agent_type": "BaseAgent_Hour", "date_range": range, "bar_minutes": 1 });
    configure(&place, json!([model]), more);
    let (_, stderr) = said(&mut agents(&place, &[]), 0);
    let told = "one: 3 sessions, one per hour, of up to 10 answers: at most 30 requests";
    assert!(stderr.contains(told), "{stderr}");
    assert_eq!(server.count(), 9);
}

#[test]
fn a_foreign_market_has_no_made_up_prices() {
    let place = Place::new();
    for (more, market) in [
        (json!({ "market": "cn", "stocks": ["600519.SH"] }), "cn"),
        (json!({ "market": "crypto", "stocks": ["BTC-USDT"] }), "crypto"),
        (json!({ "agent_type": "BaseAgentAStock_Hour" }), "cn"),
        (json!({ "agent_type": "BaseAgentCrypto", "market": null }), "crypto"),
    ] {
        one(&place, more);
        let text = place.text("agents.json").replace(r#""data":"synthetic:momentum","#, "");
        std::fs::write(place.path("agents.json"), text).unwrap();
        let (stdout, stderr) = said(&mut agents(&place, &["--quiet"]), 2);
        let part =
            format!("market: is {market}, for which the program has no prices of its own; name");
        assert!(stderr.contains(&part), "{stderr}");
        assert_eq!((stderr.lines().count(), stdout.as_str()), (1, ""));
        assert!(!place.path("out").exists());
    }
    for market in ["cn", "crypto"] {
        one(&place, json!({ "market": market }));
        let (_, stderr) = said(&mut agents(&place, &["--quiet"]), 2);
        let part = format!("market: is {market}, but the made-up prices of `data` are those of");
        assert!(stderr.contains(&part) && !stderr.contains("--"), "{stderr}");
        assert!(!place.path("out").exists());
    }
}

#[test]
fn stocks_may_be_in_a_file() {
    let place = Place::new();
    std::fs::write(place.path("stocks.csv"), "symbol,name\nAAA,\"One\"\n# none\n\"BBB\",Two\n")
        .unwrap();
    std::fs::write(place.path("stocks.json"), "[\"AAA\", \"BBB\"]").unwrap();
    for more in [
        json!({ "stocks": "stocks.csv" }),
        json!({ "stocks": null, "stocks_file": "stocks.json" }),
        json!({ "stocks": null, "stock_symbols": ["AAA", "BBB"] }),
        json!({ "stocks": "AAA, BBB" }),
    ] {
        let _ = std::fs::remove_dir_all(place.path("out"));
        one(&place, more.clone());
        let (_, stderr) = said(&mut agents(&place, &[]), 0);
        assert!(!stderr.contains("no effect"), "{stderr}");
        let first = lines(&position(&place, "out", "one"))[0]["positions"].clone();
        assert_eq!(first, json!({ "AAA": 0, "BBB": 0, "CASH": 10000.0 }), "{more}");
    }
    for (more, part) in [
        (json!({ "stocks_file": "stocks.csv" }), "stocks_file names the stocks, too"),
        (json!({ "stocks": "none.txt" }), "stocks: none.txt: "),
        (json!({ "stocks": 3 }), "stocks: is no list of symbols; give a list"),
    ] {
        one(&place, more);
        let (_, stderr) = said(&mut agents(&place, &["--quiet"]), 2);
        assert!(stderr.contains(part) && stderr.lines().count() == 1, "{stderr}");
    }
}

/// An account that cannot go on is refused before anything is written or read.
#[test]
fn a_position_file_is_checked_before_the_bars_are_read() {
    let start =
        r#"{"date": "2019-01-2", "id": 0, "positions": {"AAA": 0, "BBB": 0, "CASH": 10000.0}}"#;
    let bought = |action: &str, shares: &str| {
        format!(
            "{start}\n{{\"date\": \"2019-01-3\", \"id\": 1, \"this_action\": {{\"action\": \"buy\", \
             \"symbol\": \"AAA\", \"amount\": {action}}}, \"positions\": {{{shares}, \"CASH\": 9000.0}}}}\n"
        )
    };
    for (text, part) in [
        (bought("2.5", "\"AAA\": 2.5"), "an amount of 2.5: agents hold whole shares only"),
        (bought("2", "\"AAA\": 2.5"), "2.5 shares of AAA: agents hold whole shares only"),
        (bought("2", "\"CCC\": 2"), "holds CCC, which is not among the stocks"),
    ] {
        let place = Place::new();
        one(&place, json!({}));
        let folder = place.path("out/one/position");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("position.jsonl"), &text).unwrap();
        let (_, stderr) = said(&mut agents(&place, &["--quiet"]), 2);
        assert!(stderr.contains(part) && stderr.lines().count() == 1, "{stderr}");
        assert_eq!(position(&place, "out", "one"), text);
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1);
    }
    // Whole shares written as 2.0, dates without zeros: it goes on.
    let place = Place::new();
    one(&place, json!({}));
    let folder = place.path("out/one/position");
    std::fs::create_dir_all(&folder).unwrap();
    let text = bought("2.0", "\"AAA\": 2.0");
    std::fs::write(folder.join("position.jsonl"), &text).unwrap();
    said(&mut agents(&place, &["--quiet"]), 0);
    let now = position(&place, "out", "one");
    assert!(now.starts_with(&text) && now.contains("2019-01-31"), "{now}");
}

#[test]
fn files_of_windows_editors_open() {
    let place = Place::new();
    one(&place, json!({}));
    let text = place.text("agents.json").replace(',', ",\r\n");
    std::fs::write(place.path("agents.json"), format!("\u{feff}{text}\r\n")).unwrap();
    said(&mut agents(&place, &["--quiet"]), 0);
}

/// No share is below 10, so nothing can be bought with 5, and that is no decision.
#[test]
fn what_could_not_be_afforded_is_said() {
    let place = Place::new();
    one(&place, json!({ "agent_config": { "initial_cash": 5.0 } }));
    let (table, _) = said(&mut agents(&place, &[]), 0);
    assert!(table.contains("not ranked: no share of any stock could be afforded"), "{table}");
    let line = table.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(line.contains("one: no share could be bought of AAA (from "), "{table}");
    assert!(
        line.contains("never more than 2.50 for a stock; raise agent_config.initial_cash"),
        "{table}"
    );
}
