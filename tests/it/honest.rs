//! No way to a verdict on days that were trained on.

use crate::program::{Place, run, short};

/// What a command prints when it succeeds.
fn said(place: &Place, flags: &[&str]) -> String {
    let output = run(&mut place.program(flags));
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{flags:?}: {text}");
    text
}

const IN_SAMPLE: &str = "in sample, no verdict";

/// The next return stands in `leaked`'s volume: whoever is judged on it has evidence.
const LEAKED: [&str; 8] =
    ["--data", "synthetic:leaked", "--stocks", "AAPL", "MSFT", "--bar-minutes", "30", "--quiet"];

#[test]
fn what_knows_the_days_gets_no_verdict() {
    let place = Place::new();
    let learns = ["--episodes", "2", "--set", "learner.learning_starts=64"];
    let trained = said(&place, &short(&[&on_leaked(&learns)[..]].concat()));
    assert!(!trained.contains(IN_SAMPLE), "{trained}");

    // The days of training, and days before them.
    let during = ["--eval_start", "2018-02-01", "--eval_end", "2018-04-30", "--allow-overlap"];
    let before = ["--eval_start", "2017-09-01", "--eval_end", "2017-12-29"];
    for period in [&during[..], &before] {
        let evaluate = ["evaluate", "--model", "results", "--quiet"];
        let text = said(&place, &[&evaluate[..], period].concat());
        assert!(text.contains(IN_SAMPLE) && text.contains("trained on"), "{period:?}: {text}");
        let summary: serde_json::Value =
            serde_json::from_str(&place.text("results/evaluation/summary.json")).unwrap();
        assert_eq!(summary["inference"]["verdict"], IN_SAMPLE);
        assert!(summary["inference"]["p_value"].is_null());

        let run = [&on_leaked(&learns)[..], period, &["--output", "again"]].concat();
        let text = said(&place, &short(&run));
        assert!(text.contains(IN_SAMPLE) && text.contains("trained on"), "{period:?}: {text}");
    }
    // On paper.
    let trade = ["trade", "--model", "results", "--once", "--start", "2018-02-01", "--until"];
    said(&place, &[&trade[..], &["2018-02-28", "--quiet"]].concat());
    let summary = place.text("results/trade/summary.json");
    assert!(summary.contains("trained on") && !summary.contains("verdict"), "{summary}");
    let page = place.text("results/trade/report.html");
    assert!(page.contains("trained on") && !page.contains("vidence of an edge"));
    // With the weights of a run that knows them.
    let earlier = ["--config", "results", "--init-from", "results", "--output", "third"];
    let days = ["--start_date", "2017-03-01", "--end_date", "2017-08-31", "--eval_start"];
    let traded = ["2017-09-01", "--eval_end", "2017-12-29", "--episodes", "1", "--quiet"];
    assert!(said(&place, &[&earlier[..], &days, &traded].concat()).contains(IN_SAMPLE));
    // A study all of whose folds begin with it.
    let study = ["study", "--config", "results", "--init-from", "results", "--output", "study"];
    let months = ["--train-months", "3", "--test-months", "2", "--seeds", "1", "--episodes", "1"];
    let days = ["--start_date", "2017-06-01", "--eval_end", "2017-12-29", "--quiet"];
    let text = said(&place, &[&study[..], &months, &days].concat());
    assert!(text.contains(IN_SAMPLE) && text.contains("trained on"), "{text}");
}

/// Commands that judge nothing, and one that is always about other days than it learned from.
const WITHOUT_VERDICTS: [&str; 7] =
    ["fetch", "import", "data", "synth", "validate", "completions", "man"];
/// Those that the tests here try on days of training.
const TRIED: [&str; 6] = ["evaluate", "compare", "agents", "study", "strategies", "trade"];

/// Whoever adds a command says here whether it judges, and tries it on days of training.
#[test]
fn every_command_is_tried_or_judges_nothing() {
    let help = said(&Place::new(), &["--help"]);
    let commands = help.split("Commands:").nth(1).unwrap().split("\n\n").next().unwrap();
    let mut names: Vec<&str> = commands
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .map(|line| line.split_whitespace().next().unwrap())
        .filter(|name| *name != "help")
        .collect();
    names.sort_unstable();
    let mut known = [&WITHOUT_VERDICTS[..], &TRIED].concat();
    known.sort_unstable();
    assert_eq!(names, known);
}

/// A model that knows the days, as an agent, and beside another run.
#[test]
fn agents_and_comparisons_call_nothing_evidence_on_days_of_training() {
    let place = Place::new();
    let learns = ["--episodes", "2", "--set", "learner.learning_starts=64"];
    said(&place, &short(&on_leaked(&learns)));
    let during = ["--eval_start", "2018-02-01", "--eval_end", "2018-04-30", "--allow-overlap"];
    for output in ["one", "two"] {
        let seed = if output == "one" { "1" } else { "2" };
        let more = [&learns[..], &during, &["--output", output, "--seed", seed]].concat();
        said(&place, &short(&on_leaked(&more)));
    }
    let text = said(&place, &["compare", "one", "two"]);
    assert!(text.contains(IN_SAMPLE) && !text.contains("evidence of an edge"), "{text}");
    let config = serde_json::json!({
        "date_range": { "init_date": "2018-02-01", "end_date": "2018-04-30" },
        "models": [{ "signature": "dqn", "kind": "dqn", "results": "results" }],
        "agent_config": { "initial_cash": 1_000_000.0 },
        "log_config": { "log_path": "agents" },
        "stocks": ["AAPL", "MSFT"],
        "data": "synthetic:leaked",
        "bar_minutes": 30,
        "lead_days": 60,
    });
    std::fs::write(place.path("agents.json"), config.to_string()).unwrap();
    let text = said(&place, &["agents", "--config", "agents.json"]);
    assert!(text.contains("dqn") && !text.contains("evidence"), "{text}");
}

#[test]
fn a_trained_strategy_gets_no_p_value_on_its_own_days() {
    let place = Place::new();
    let learns = ["--episodes", "2", "--set", "learner.learning_starts=64"];
    said(&place, &short(&on_leaked(&learns)));
    let strategies = |verb: &'static str, more: &[&str], start: &str, end: &str| {
        let period = ["--model", "results", "--start_date", start, "--end_date", end];
        let flags = ["strategies", verb, "--format", "json"];
        let text = said(&place, &[&flags[..], &LEAKED, &period, more].concat());
        let json = &text[text.find('{').unwrap()..];
        serde_json::from_str::<serde_json::Value>(json).unwrap()
    };
    let chosen = ["--strategies", "DQN", "MACD"];
    let known = strategies("run", &chosen, "2018-02-01", "2018-05-31");
    let verdict = |json: &serde_json::Value| json["inference"]["verdict"].clone();
    assert_eq!(verdict(&known["individual_results"]["DQN"]), IN_SAMPLE);
    assert_eq!(verdict(&known["ensemble_result"]), IN_SAMPLE);
    assert_ne!(verdict(&known["individual_results"]["MACD"]), IN_SAMPLE);
    assert!(known["notices"].to_string().contains("DQN was fitted on days up to 2018-04-30"));
    let later = strategies("run", &chosen, "2018-05-01", "2018-06-29");
    assert_ne!(verdict(&later["individual_results"]["DQN"]), IN_SAMPLE);

    let search = ["--strategy", "DQN", "--range", "threshold=0,0.1", "--folds", "2"];
    let found = strategies("optimize", &search, "2018-02-01", "2018-05-31");
    for part in ["walk_forward", "best_in_hindsight"] {
        assert_eq!(verdict(&found[part]), IN_SAMPLE, "{part}");
    }
}

fn on_leaked<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&LEAKED[..], more].concat()
}

/// Each by itself, or all at once: whoever tries three strategies has tried three. Another folder or
/// command makes no difference, other bars do.
#[test]
fn trials_are_counted_over_commands_and_folders() {
    let place = Place::new();
    let strategies = |names: &[&str], more: &[&str]| {
        let period = ["--start_date", "2018-02-01", "--end_date", "2018-06-29"];
        let flags = ["strategies", "run", "--no-ensemble", "--format", "json", "--strategies"];
        let text = said(&place, &[&flags[..], names, &on_leaked(&period), more].concat());
        serde_json::from_str::<serde_json::Value>(&text[text.find('{').unwrap()..]).unwrap()
    };
    let trials = |json: &serde_json::Value, name: &str| {
        json["individual_results"][name]["inference"]["trials"].clone()
    };
    let names = ["RSI", "MACD", "Momentum"];
    let mut alone = Vec::new();
    for (i, name) in names.iter().enumerate() {
        let found = strategies(&[name], &["--output", name]);
        assert_eq!(trials(&found, name)["count"], i + 1, "{name}");
        assert_eq!(trials(&found, name)["earlier"], i);
        alone.push(found);
    }
    // The last of them knows all three, as it does beside them.
    let together = strategies(&names, &["--ledger", "none"]);
    let p_value = |json: &serde_json::Value| {
        json["individual_results"]["Momentum"]["inference"]["p_value"].as_f64().unwrap()
    };
    assert!((p_value(&alone[2]) - p_value(&together)).abs() < 0.02, "{alone:?}");
    for key in ["count", "sharpe_hurdle", "timing_hurdle"] {
        let [one, other] = [&alone[2], &together].map(|json| trials(json, "Momentum")[key].clone());
        let (one, other) = (one.as_f64().unwrap(), other.as_f64().unwrap());
        assert!((one - other).abs() < 1e-9, "{key}: {one}, {other}");
    }
    // Again is no new trial; without the ledger there is one.
    assert_eq!(trials(&strategies(&["RSI"], &[]), "RSI")["count"], 3);
    assert_eq!(trials(&strategies(&["RSI"], &["--ledger", "none"]), "RSI")["count"], 1);

    // Runs with other seeds into other folders are trials of one another.
    let learns = ["--episodes", "1", "--set", "learner.learning_starts=64", "--output"];
    let count = |seed: &str| {
        said(&place, &short(&on_leaked(&[&learns[..], &[seed, "--seed", seed]].concat())));
        let text = place.text(&format!("{seed}/summary.json"));
        let summary: serde_json::Value = serde_json::from_str(&text).unwrap();
        summary["inference"]["trials"]["count"].as_u64().unwrap()
    };
    assert_eq!([count("1"), count("2"), count("3")], [1, 2, 3]);
    let evaluate = ["evaluate", "--model", "1", "--output", "again", "--quiet"];
    said(&place, &evaluate);
    let text = place.text("again/summary.json");
    let again: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(again["inference"]["trials"]["count"], 3, "it repeats the first");
}
