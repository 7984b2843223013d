use std::cell::RefCell;

use super::*;

fn stocks() -> Vec<Symbol> {
    ["AAPL", "SPY"].map(|name| name.parse().unwrap()).to_vec()
}

fn positions(shares: [u64; 2], cash: f64) -> Positions {
    Positions::new(&stocks(), |stock| shares[stock], cash)
}

fn action(action: TradeActionKind, symbol: &str, amount: u64) -> Option<TradeAction> {
    Some(TradeAction { action, symbol: symbol.into(), amount })
}

/// Three steps: the start, a day with two trades, a day without trades.
fn filled(folder: &Path) -> Journal {
    let mut journal = quiet(folder);
    journal.append("2020-01-02", vec![(None, positions([0, 0], 10_000.0))]).unwrap();
    let bought = (action(TradeActionKind::Buy, "AAPL", 10), positions([10, 0], 9_249.25));
    let more = (action(TradeActionKind::Buy, "SPY", 2), positions([10, 2], 8_600.0));
    journal.append("2020-01-03", vec![bought, more]).unwrap();
    let none = (Some(TradeAction::no_trade()), positions([10, 2], 8_600.0));
    journal.append("2020-01-06", vec![none]).unwrap();
    journal
}

fn quiet(folder: &Path) -> Journal {
    Journal::open(folder, &|line| panic!("{line}")).unwrap()
}

/// Opens again; returns the reported lines.
fn opened(folder: &Path) -> (Journal, Vec<String>) {
    let reported = RefCell::new(Vec::new());
    let journal =
        Journal::open(folder, &|line| reported.borrow_mut().push(line.to_string())).unwrap();
    (journal, reported.into_inner())
}

fn text(folder: &Path) -> String {
    fs::read_to_string(folder.join("position/position.jsonl")).unwrap()
}

#[test]
fn lines_are_as_the_seed_system_writes_them() {
    let place = tempfile::tempdir().unwrap();
    let records = filled(place.path()).records().to_vec();
    let lines: Vec<serde_json::Value> =
        text(place.path()).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let first = serde_json::json!({
        "date": "2020-01-02", "id": 0, "positions": { "AAPL": 0, "SPY": 0, "CASH": 10000.0 }
    });
    let third = serde_json::json!({
        "date": "2020-01-03", "id": 2,
        "this_action": { "action": "buy", "symbol": "SPY", "amount": 2 },
        "positions": { "AAPL": 10, "SPY": 2, "CASH": 8600.0 }
    });
    assert_eq!((&lines[0], &lines[2]), (&first, &third));
    assert_eq!(lines[3]["this_action"]["action"], "no_trade");
    assert!(
        text(place.path()).starts_with("{\"date\":\"2020-01-02\",\"id\":0,\"positions\":{\"AAPL")
    );
    assert_eq!(quiet(place.path()).records(), records);
}

/// As written by Python's json: spaces, whole numbers as floats, other symbols.
#[test]
fn a_file_of_the_seed_system_is_continued() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("position")).unwrap();
    let lines = "{\"date\": \"2020-01-02\", \"id\": 0, \"positions\": {\"NVDA\": 0, \"AAPL\": 0, \
                 \"CASH\": 10000.0}}\n\
                 {\"date\": \"2020-01-03\", \"id\": 1, \"this_action\": {\"action\": \"buy\", \
                 \"symbol\": \"AAPL\", \"amount\": 3}, \"positions\": {\"NVDA\": 0, \"AAPL\": 3.0, \
                 \"CASH\": 9000}}\n";
    fs::write(place.path().join("position/position.jsonl"), lines).unwrap();
    let mut journal = quiet(place.path());
    let last = &journal.records()[1].positions;
    assert_eq!((last.by_stock(&stocks()).unwrap(), last.cash), (vec![3, 0], 9_000.0));
    let spy_only: Vec<Symbol> = vec!["SPY".parse().unwrap()];
    assert_eq!(last.by_stock(&spy_only), Err("AAPL".into()));
    journal.append("2020-01-06", vec![(Some(TradeAction::no_trade()), last.clone())]).unwrap();
    assert!(text(place.path()).starts_with(lines));
    assert_eq!(quiet(place.path()).records()[2].id, 2);
}

/// Another program continued the file without updating the mark.
#[test]
fn lines_of_another_program_are_kept() {
    let place = tempfile::tempdir().unwrap();
    filled(place.path());
    let line = |date: &str, id: u64| {
        let positions = serde_json::json!({ "AAPL": 10, "SPY": 2, "CASH": 8600.0 });
        serde_json::json!({ "date": date, "id": id, "positions": positions }).to_string() + "\n"
    };
    let whole = text(place.path()) + &line("2020-01-07", 4) + &line("2020-01-08", 5);
    let path = place.path().join("position/position.jsonl");
    fs::write(&path, &whole).unwrap();
    assert_eq!(quiet(place.path()).last_date().unwrap().unwrap().to_string(), "2020-01-08");
    assert_eq!(text(place.path()), whole);
}

/// Killed at any byte of a write, with or without the mark: only whole steps remain.
#[test]
fn an_incomplete_step_is_removed() {
    let place = tempfile::tempdir().unwrap();
    let all = filled(place.path()).records().to_vec();
    let whole = text(place.path()).into_bytes();
    let ends: Vec<usize> = (0..whole.len()).filter(|&i| whole[i] == b'\n').map(|i| i + 1).collect();
    let steps = [0, ends[0], ends[2], ends[3]];
    let path = place.path().join("position/position.jsonl");
    let mark = place.path().join("position/.whole");
    for len in 0..whole.len() {
        let before = *steps.iter().filter(|&&end| end <= len).max().unwrap();
        fs::write(&path, &whole[..len]).unwrap();
        fs::write(&mark, format!("{before:020}\n")).unwrap();
        let (journal, reported) = opened(place.path());
        assert_eq!(text(place.path()).len(), before, "cut at {len}");
        assert_eq!(reported.len(), usize::from(before != len), "cut at {len}: {reported:?}");
        assert_eq!(journal.records(), &all[..journal.records().len()]);
        // A mark of a longer file is ignored; whole lines of a step count as the step.
        fs::write(&path, &whole[..len]).unwrap();
        fs::write(&mark, format!("{:020}\n", whole.len())).unwrap();
        let (journal, reported) = opened(place.path());
        let kept = text(place.path()).len();
        assert!(steps.contains(&kept) || ends.contains(&len), "cut at {len}: {kept}");
        assert_eq!(reported.len(), usize::from(kept != len), "{reported:?}");
        let parsed: Vec<JournalRecord> =
            text(place.path()).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(journal.records(), parsed);
    }
}

#[test]
fn a_repair_is_reported_and_the_file_continued() {
    let place = tempfile::tempdir().unwrap();
    filled(place.path());
    let whole = text(place.path());
    let path = place.path().join("position/position.jsonl");
    fs::write(&path, &whole[..whole.len() - 9]).unwrap();
    let (mut journal, reported) = opened(place.path());
    assert!(reported[0].contains("position.jsonl: an incomplete last record of "), "{reported:?}");
    assert!(reported[0].ends_with("resumes after 2020-01-03"), "{reported:?}");
    let last = (Some(TradeAction::no_trade()), positions([10, 2], 8_600.0));
    journal.append("2020-01-06", vec![last]).unwrap();
    assert_eq!(text(place.path()), whole);
}

#[test]
fn an_invalid_file_is_not_changed() {
    for (line, part) in [
        ("{\"date\": \"2020-01-02\", \"id\": 0}", "line 1"),
        ("{\"date\": \"x\", \"id\": 0, \"positions\": {\"AAPL\": 0}}", "no CASH"),
        (
            "{\"date\": \"x\", \"id\": 0, \"positions\": {\"AAPL\": 0.5, \"CASH\": 1}}",
            "0.5 shares of AAPL: agents hold whole shares only",
        ),
        ("{\"date\": \"x\", \"id\": 0, \"positions\": {\"CASH\": -1}}", "CASH is -1"),
        (
            "{\"date\": \"x\", \"id\": 0, \"positions\": {\"CASH\": 1}}",
            "line 1: \"x\" is not a date",
        ),
        (
            "{\"date\": \"2020-01-03\", \"id\": 0, \"positions\": {\"CASH\": 1}}\n\
             {\"date\": \"2020-01-02\", \"id\": 1, \"positions\": {\"CASH\": 1}}",
            "line 2: 2020-01-02 is before",
        ),
    ] {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("position")).unwrap();
        let path = place.path().join("position/position.jsonl");
        fs::write(&path, format!("{line}\n")).unwrap();
        let error = Journal::open(place.path(), &|_| {}).err().unwrap();
        let error = crate::errors::message(&error);
        assert!(error.contains(part) && error.contains("position.jsonl"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{line}\n"));
    }
}

#[test]
fn logs_grow_after_an_incomplete_line_is_removed() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("log/2020-01-02/log.jsonl");
    append_lines(&path, b"{\"a\":1}\n").unwrap();
    fs::write(&path, "{\"a\":1}\n{\"b").unwrap();
    append_lines(&path, b"{\"c\":3}\n").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"a\":1}\n{\"c\":3}\n");
}

#[test]
fn fuzz() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let path = folder.path().join("position").join(FILE);
    let ours = fs::read(path).unwrap();
    let spaced = br#"{"date": "2025-01-02 10:00:00", "id": 0, "positions": {"AAPL": 3, "CASH": 1.5}}
{"date": "2025-01-02 11:00:00", "id": 1, "this_action": {"action": "sell", "symbol": "AAPL", "amount": 3}, "positions": {"AAPL": 0, "CASH": 400.25}}
"#;
    crate::fuzz::fuzz("position files", &[ours, spaced.to_vec()], |bytes| {
        let mark = bytes.first().map(|&byte| usize::from(byte));
        drop((whole_part(bytes, None), whole_part(bytes, mark)));
    });
}
