//! `dqn-trader validate` on a small row: tests the comparison, not the quality of the learner. That
//! is tested by `validate --quick`, which scripts/test.sh runs.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::program::{Place, run};

/// A year of training and half a year of trading, with a small network.
const SMALL: [&str; 12] = [
    "validate",
    "--rows",
    "leaked",
    "--set",
    "start_date=2004-01-01",
    "--set",
    "eval_end=2005-06-30",
    "--set",
    "features.warmup_bars=300",
    "--set",
    "learner.lanes=8",
    "--quiet",
];

fn validation(place: &Place) -> Value {
    serde_json::from_str(&place.text("results/validation.json")).unwrap()
}

#[test]
fn a_row_is_trained_and_held_against_the_oracle() {
    let place = Place::new();
    let args = [&SMALL[..], &["--seeds", "2", "--set", "learner.replay_ratio=8"]].concat();
    let done = run(&mut place.program(&args));
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let validation = validation(&place);
    let row = &validation["rows"][0];
    let trials = row["trials"].as_array().unwrap();
    assert_eq!(trials.len(), 2);
    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{value}"));
    let fractions: Vec<f64> = trials
        .iter()
        .map(|trial| number(&trial["trained_bps"]) / number(&trial["oracle_bps"]))
        .collect();
    let mean = (fractions[0] + fractions[1]) / 2.0;
    assert!((number(&row["fraction"]["mean"]) - mean).abs() < 1e-9);
    let half = 12.706 * (fractions[0] - fractions[1]).abs() / 2.0;
    assert!((number(&row["fraction"]["interval"][1]) - mean - half).abs() < 1e-9);
    // The planted edge is easy to find; how much of it is learned in a year is not tested.
    assert!(mean > 0.5, "{said}");
    assert!(number(&row["random_bps"]) < 0.0, "at random only costs are earned");
    // Half a year's mean of 45.9, with a standard error of about 1.2.
    assert!((number(&row["oracle_bps"]) - number(&row["oracle_expected_bps"])).abs() < 5.0);
    let reached = mean >= 0.95;
    assert_eq!(done.status.code(), Some(if reached { 0 } else { 1 }), "{said}");
    assert_eq!(validation["reached"], reached);
    assert!(
        said.contains(if reached { "every threshold was met" } else { "MISSED: leaked" }),
        "{said}"
    );
}

/// Even on one core each of the four stocks has its own thread, so that none waits for another.
#[test]
fn without_lockstep_a_row_is_trained_in_threads() {
    let place = Place::new();
    let set = ["--set", "learner.replay_ratio=8", "--set", "sync=async"];
    let mut command = place.program(&[&SMALL[..], &set, &["--seeds", "1"]].concat());
    command.args(["--threads", "1"]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let threads = format!("/proc/{}/task", child.id());
    let mut most = 0;
    let status = loop {
        most = std::fs::read_dir(&threads).map_or(0, Iterator::count).max(most);
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    assert!(status.code().is_some_and(|code| code < 2), "{status}");
    // Four that wait and four that work, in addition to those in lockstep.
    assert!(most >= 12, "{most} threads");
    let mean = validation(&place)["rows"][0]["fraction"]["mean"].as_f64().unwrap_or(0.0);
    // One seed has a mean but no interval.
    assert!(mean > 0.5, "{mean}");
}

#[test]
fn a_learner_that_learns_nothing_fails() {
    let place = Place::new();
    let args = [&SMALL[..], &["--seeds", "1", "--set", "learner.replay_ratio=0"]].concat();
    let done = run(&mut place.program(&args));
    assert_eq!(done.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&done.stdout).contains("MISSED: leaked"));
    assert_eq!(validation(&place)["reached"], false);
}

#[test]
fn without_a_part_the_rows_are_trained_again() {
    let place = Place::new();
    let mut args = SMALL.to_vec();
    args[2] = "momentum";
    args.extend(["--seeds", "1", "--ablate"]);
    let done = run(&mut place.program(&args));
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let validation = validation(&place);
    let parts = validation["ablation"].as_array().unwrap();
    assert!(parts.len() >= 7);
    for part in parts {
        assert!(part["rows"][0]["fraction"]["mean"].is_number(), "{part}");
        assert!(said.contains(part["without"].as_str().unwrap()), "{said}");
    }
    let of = |name: &str| {
        let part = parts.iter().find(|part| part["without"] == name).unwrap();
        part["rows"][0]["fraction"]["mean"].as_f64().unwrap()
    };
    assert_ne!(of("double"), of("windows"), "each is switched off by itself");
}

#[test]
fn a_stopped_validation_leaves_nothing_behind() {
    let place = Place::new();
    std::fs::create_dir(place.path("tmp")).unwrap();
    let mut command = place.program(&["validate", "--rows", "momentum"]);
    command.env("TMPDIR", place.path("tmp")).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let pid = child.id().to_string();
    // In the middle of its work: the folder for its panels exists.
    while std::fs::read_dir(place.path("tmp")).unwrap().next().is_none() {
        assert!(child.try_wait().unwrap().is_none(), "it works for longer than that");
        std::thread::sleep(Duration::from_millis(20));
    }
    let sent = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!place.path("results/validation.json").exists());
    assert!(std::fs::read_dir(place.path("tmp")).unwrap().next().is_none(), "no panels are left");
}

#[test]
fn an_unknown_row_is_one_line() {
    let place = Place::new();
    let done = run(&mut place.program(&["validate", "--rows", "moon"]));
    assert_eq!(done.status.code(), Some(2));
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("--rows") && said.contains("momentum"), "{said}");
}

#[test]
fn what_a_row_decides_cannot_be_set_and_no_seed_is_no_validation() {
    let place = Place::new();
    for (args, named) in [
        (["--set", "stocks=[\"A\"]"], "stocks"),
        (["--set", "data.source=synthetic:sample"], "data.source"),
        (["--seeds", "0"], "--seeds"),
    ] {
        let done =
            run(&mut place.program(&[&["validate", "--rows", "leaked"], &args[..]].concat()));
        assert_eq!(done.status.code(), Some(2));
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(said.lines().count() == 1 && said.contains(named), "{said}");
    }
    assert!(!place.path("results").exists(), "nothing is written");
}
