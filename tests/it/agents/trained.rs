//! Trained runs as agents, alone and as members of ensembles.

use serde_json::{Value, json};

use super::{agents, configure, lines, position, said, strategy};
use crate::program::{Place, succeed};

/// A run of two stocks in `trained`, evaluated from 2018-05-01 to 2018-06-15.
fn trained() -> Place {
    let place = Place::new();
    let period = ["--start_date", "2018-01-02", "--end_date", "2018-04-30"];
    let eval = ["--eval_start", "2018-05-01", "--eval_end", "2018-06-15"];
    let market = ["--data", "synthetic:momentum", "--stocks", "AAA", "BBB", "--bar-minutes", "30"];
    let warmup = ["--set", "features.warmup_bars=300", "--episodes", "6", "--quiet"];
    // A DQN that trades, whether its days of training are enough to believe it or not.
    let believed = ["--set", "learner.validation_share=0"];
    let args = [&["--output", "trained"][..], &period, &eval, &market, &warmup, &believed].concat();
    succeed(&mut place.program(&args));
    place
}

/// Configures these agents over those days.
fn over(place: &Place, models: &Value, init: &str, end: &str, out: &str) {
    let more = json!({
        "date_range": { "init_date": init, "end_date": end },
        "agent_config": { "initial_cash": 1_000_000.0 },
        "log_config": { "log_path": out },
        "lead_days": 60,
    });
    configure(place, models.clone(), more);
}

/// Shares of AAA and BBB after each day's last trade.
fn held(place: &Place, out: &str, signature: &str) -> Vec<(String, [u64; 2])> {
    let mut days: Vec<(String, [u64; 2])> = Vec::new();
    for record in &lines(&position(place, out, signature))[1..] {
        let shares = ["AAA", "BBB"].map(|stock| record["positions"][stock].as_u64().unwrap());
        let day = record["date"].as_str().unwrap();
        days.retain(|(known, _)| known != day);
        days.push((day.into(), shares));
    }
    days
}

/// Cells of the last row of a CSV file whose first cell starts with `begins`, by column names.
fn cells<'a>(csv: &'a str, begins: &str, rest: &str, names: [&str; 2]) -> Option<[&'a str; 2]> {
    let head: Vec<&str> = csv.lines().next()?.split(',').collect();
    let is_it = |line: &&str| line.starts_with(begins) && line.contains(rest);
    let row: Vec<&str> = csv.lines().rfind(is_it)?.split(',').collect();
    Some(names.map(|name| row[head.iter().position(|known| *known == name).unwrap()]))
}

/// As an agent, a trained run holds what an evaluation of the same run over the same days holds, as
/// far as that is long. As a strategy, and as the only member of an ensemble that counts, it holds
/// the signals of `strategies run`.
#[test]
fn a_trained_run_is_an_agent_and_a_member_of_an_ensemble() {
    let place = trained();
    let member = json!({ "strategy": "DQN", "parameters": { "model": "trained" } });
    let models = json!([
        { "signature": "dqn", "kind": "dqn", "results": "trained" },
        { "signature": "single", "kind": "strategy", "strategy": "trained dqn",
          "parameters": { "model": "trained" } },
        { "signature": "both", "kind": "ensemble", "strategies": ["RSI", member],
          "weights": [0.0, 1.0] },
        strategy("rsi", "RSI"),
    ]);
    over(&place, &models, "2018-05-01", "2018-06-15", "out");
    let (table, _) = said(&mut agents(&place, &[]), 0);
    assert!(table.contains("dqn ") && !table.contains("trained on days"), "{table}");
    let csv = place.text("trained/portfolio_ep6.csv");
    let mut long = 0;
    for (day, ours) in held(&place, "out", "dqn") {
        let Some(row) = cells(&csv, &day, "", ["AAA_position", "BBB_position"]) else { continue };
        let evaluated = row.map(|cell| cell.parse::<f64>().unwrap() > 0.0);
        assert_eq!(ours.map(|shares| shares > 0), evaluated, "{day}");
        long += evaluated.iter().filter(|is_long| **is_long).count();
    }
    assert!(long > 10, "{long}");

    let run = ["run", "--strategies", "DQN", "--model", "trained", "--no-ensemble"];
    let bars = ["--data", "synthetic:momentum", "--stocks", "AAA", "BBB", "--bar-minutes", "30"];
    let days = ["--start_date", "2018-03-02", "--end_date", "2018-06-15", "--output", "signals"];
    crate::program::said(&place, &[&run[..], &bars, &days].concat());
    let csv = place.text("signals/signals.csv");
    let mut turns = 0;
    let mut last = [false; 2];
    for (day, ours) in held(&place, "out", "both") {
        // The last position of a day was decided at the close of the day's last bar but one.
        let wanted = ["AAA", "BBB"].map(|stock| {
            let row = cells(&csv, &format!("{day}T19:30:00"), &format!(",{stock},"), ["DQN"; 2]);
            row.unwrap()[0].parse::<f64>().unwrap() > 0.0
        });
        assert_eq!(ours.map(|shares| shares > 0), wanted, "{day}");
        turns += usize::from(wanted != last);
        last = wanted;
    }
    assert!(turns > 5, "{turns}");
    assert_eq!(position(&place, "out", "both"), position(&place, "out", "single"));
    assert_ne!(position(&place, "out", "both"), position(&place, "out", "rsi"));

    // The same with an interruption.
    over(&place, &models, "2018-05-01", "2018-06-15", "parts");
    said(agents(&place, &["--quiet"]).env("END_DATE", "2018-05-23"), 0);
    said(&mut agents(&place, &["--quiet"]), 0);
    for signature in ["dqn", "single", "both"] {
        assert_eq!(position(&place, "parts", signature), position(&place, "out", signature));
    }
    training_days_are_reported(&place, &models);
}

/// For every kind that uses the run, and again if no step is left.
fn training_days_are_reported(place: &Place, models: &Value) {
    over(place, models, "2018-04-26", "2018-04-30", "seen");
    for _ in 0..2 {
        let (table, _) = said(&mut agents(place, &["--quiet"]), 0);
        let told = "trained was trained on days of this period (2018-01-02 to 2018-04-30)";
        assert_eq!(table.matches(told).count(), 1, "{table}");
        for (signature, count) in [("dqn", 1), ("single", 1), ("both", 1), ("rsi", 0)] {
            let metrics = place.text(&format!("seen/{signature}/metrics.json"));
            assert_eq!(metrics.matches(told).count(), count, "{signature}: {metrics}");
        }
    }
}
