//! Workers that do not wait for each other.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{Place, run, succeed};
use crate::resume::{newest_checkpoint, signal_rank, spawn, wait_for_checkpoint};

/// A market on which little training already earns much.
fn args<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["--data", "synthetic:momentum", "--bar-minutes", "30", "--quiet"];
    args.extend(["--start_date", "2012-01-03", "--end_date", "2015-12-31"]);
    args.extend(["--eval_start", "2016-01-04", "--eval_end", "2016-12-30"]);
    args.extend(["--set", "learner.learning_starts=64", "--sync", "async"]);
    args.extend(["--stocks", "A", "B", "C"]);
    args.extend(more);
    args
}

fn json(place: &Place, name: &str) -> Value {
    serde_json::from_str(&place.text(name)).unwrap()
}

/// The training lines of the log, each with statistics of its gradients.
fn intervals(place: &Place, output: &str) -> Vec<Value> {
    let text = place.text(&format!("{output}/metrics.jsonl"));
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["event"].is_null()).collect()
}

fn sum(lines: &[Value], field: &str) -> f64 {
    lines.iter().map(|line| line[field].as_f64().unwrap()).sum()
}

/// Mean log growth per bar of the DQN in the evaluation, basis points.
fn growth_bps(place: &Place, output: &str) -> f64 {
    let eval = &json(place, &format!("{output}/summary.json"))["eval"];
    1e4 * (1.0 + eval["portfolio_return"].as_f64().unwrap()).ln() / (252.0 * 13.0)
}

/// With threads and with ranks; the oracle earns about 21 bps per bar.
#[test]
fn it_learns_and_counts_its_steps() {
    let place = Place::new();
    let episodes = ["--episodes", "6", "--eval-every", "3", "--output"];
    succeed(&mut place.program(&args(&[&episodes[..], &["threads"]].concat())));
    let parallel = ["ranks", "--mode", "parallel", "--compression", "bf16"];
    succeed(&mut place.mpirun(4, &args(&[&episodes[..], &parallel].concat())));
    let mut bytes = Vec::new();
    for output in ["threads", "ranks"] {
        let bps = growth_bps(&place, output);
        assert!(bps > 10.0, "{output}: {bps}");
        let lines = intervals(&place, output);
        let run = &json(&place, &format!("{output}/summary.json"))["run"];
        let all = run["env_steps"].as_u64().unwrap();
        let by_stock = run["env_steps_by_stock"].as_object().unwrap();
        assert_eq!(by_stock.len(), 3);
        assert_eq!(by_stock.values().map(|steps| steps.as_u64().unwrap()).sum::<u64>(), all);
        assert_eq!(lines.last().unwrap()["env_steps"].as_u64(), Some(all));
        let steps = run["gradient_steps"].as_f64().unwrap();
        // One sampled bar per new one, once each of 64 lanes has 16 bars and one more.
        let expected = (all as f64 - 3.0 * 17.0 * 64.0) / 128.0;
        assert!((steps / expected - 1.0).abs() < 0.03, "{steps}, not {expected}");
        assert!(sum(&lines, "staleness") > 0.0, "{output}");
        // On a busy machine a worker may fall behind for a while.
        let rejected = sum(&lines, "rejected");
        assert!(rejected < 0.1 * steps, "{output}: {rejected} of {steps}");
        assert!(place.path(&format!("{output}/portfolio_ep3.csv")).exists());
        bytes.push(lines.last().unwrap()["push_bytes"].as_f64().unwrap());
    }
    assert_eq!(bytes[0], 2.0 * bytes[1], "two bytes a number instead of four");
}

/// B's bars take four times as long; no worker waits for it.
#[test]
fn nobody_waits_for_the_slowest() {
    let place = Place::new();
    let flags = ["--episodes", "3", "--mode", "parallel"];
    let mut command = place.mpirun(4, &args(&flags));
    succeed(command.env("DQN_TRADER_SLOW_STOCK", "B:4"));
    let run = &json(&place, "results/summary.json")["run"];
    let steps = |stock: &str| run["env_steps_by_stock"][stock].as_f64().unwrap();
    for stock in ["A", "C"] {
        assert!(steps(stock) > 1.5 * steps("B"), "{}", run["env_steps_by_stock"]);
    }
}

/// With a low limit on staleness some gradients are recomputed, and all are counted.
#[test]
fn stale_gradients_are_rejected_and_counted() {
    let place = Place::new();
    let flags = ["--episodes", "1", "--mode", "parallel", "--max-staleness", "0"];
    succeed(&mut place.mpirun(4, &args(&[&flags[..], &["--compression", "top-k"]].concat())));
    let lines = intervals(&place, "results");
    assert!(sum(&lines, "rejected") > 0.0);
    // 8 bytes for every hundredth element, instead of 4 for each.
    let whole = 4.0 * 5e4;
    assert!(sum(&lines, "push_bytes") / (lines.len() as f64) < 0.03 * whole);
}

fn terminate(child: &Child) {
    run(Command::new("kill").args(["-TERM", &child.id().to_string()]));
}

/// Waits until `is_there` while the run is in progress.
fn wait_until(child: &mut Child, is_there: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_there() {
        assert!(child.try_wait().unwrap().is_none(), "the run ended too early");
        assert!(started.elapsed() < Duration::from_secs(60), "nothing came in a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The training lines up to a checkpoint, as written. They contain speeds, so no two runs write the
/// same.
fn lines_until(place: &Place, env_steps: u64) -> Vec<String> {
    let is_kept = |line: &&str| {
        // A killed run may leave an incomplete line.
        let line = serde_json::from_str::<Value>(line).unwrap_or_default();
        line["env_steps"].as_u64().is_some_and(|steps| steps <= env_steps)
    };
    place.text("results/metrics.jsonl").lines().filter(is_kept).map(String::from).collect()
}

/// Bars of all stocks in an episode of these tests; ten intervals.
const EPISODE: u64 = 38_000;

/// Stopped by the user with threads, killed with ranks, and resumed with another number of ranks.
#[test]
fn finished_work_is_not_lost() {
    let place = Place::new();
    let flags = args(&["--episodes", "4", "--checkpoint-every", "0", "--resume"]);
    let mut child = spawn(place.program(&flags));
    wait_for_checkpoint(&place, "results", EPISODE / 4, &mut child).unwrap();
    terminate(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let stopped = newest_checkpoint(&place, "results").unwrap();
    let before_stop = lines_until(&place, stopped);
    assert!(before_stop.len() >= 2, "{before_stop:?}");

    let parallel = [&flags[..], &["--mode", "parallel"]].concat();
    let mut child = spawn(place.mpirun(3, &parallel));
    wait_for_checkpoint(&place, "results", stopped + EPISODE / 4, &mut child).unwrap();
    signal_rank("KILL", child.id(), 2);
    child.wait().unwrap();
    let killed = newest_checkpoint(&place, "results").unwrap();
    let before_kill = lines_until(&place, killed);
    assert!(before_kill.len() > before_stop.len(), "{before_kill:?}");
    assert!(before_kill.starts_with(&before_stop), "the run began anew");

    succeed(&mut place.mpirun(4, &parallel));
    assert_eq!(lines_until(&place, killed), before_kill, "the run began anew");
    let lines = intervals(&place, "results");
    let steps: Vec<u64> = lines.iter().map(|line| line["env_steps"].as_u64().unwrap()).collect();
    assert!(steps.is_sorted_by(|a, b| a < b), "{steps:?}");
    let run_steps = json(&place, "results/summary.json")["run"]["env_steps"].as_u64();
    assert_eq!(run_steps, steps.last().copied());

    let other = run(&mut place.program(&[&flags[..], &["--sync", "lockstep"]].concat()));
    let stderr = String::from_utf8(other.stderr).unwrap();
    assert_eq!(other.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("sync: \"async\", now \"lockstep\""), "{stderr}");
}

/// Stopped during a long evaluation, then killed: the checkpoint is already valid, and a resumed
/// run repeats the evaluation.
#[test]
fn a_checkpoint_does_not_wait_for_an_evaluation() {
    let place = Place::new();
    let mut flags = args(&["--episodes", "3", "--eval-every", "1", "--resume"]);
    flags.extend(["--checkpoint-every", "inf", "--set", "eval_end=2039-12-31"]);
    let mut child = spawn(place.program(&flags));
    let lines = || std::fs::read_to_string(place.path("results/metrics.jsonl")).unwrap_or_default();
    wait_until(&mut child, || lines().lines().count() >= 10);
    terminate(&child);
    let at = wait_for_checkpoint(&place, "results", 0, &mut child);
    let evaluation = place.path("results/portfolio_ep1.csv");
    assert!(!evaluation.exists(), "the evaluation was waited for");
    child.kill().unwrap();
    child.wait().unwrap();

    succeed(&mut place.program(&flags));
    assert!(evaluation.exists());
    let steps = |line: &Value| line["env_steps"].as_u64();
    let steps: Vec<_> = intervals(&place, "results").iter().map(steps).collect();
    assert!(at.is_some() && steps.is_sorted_by(|a, b| a < b), "{at:?} {steps:?}");
}

#[test]
fn a_stopped_run_keeps_what_it_evaluated() {
    let place = Place::new();
    let mut child = spawn(place.program(&args(&["--episodes", "100000", "--eval-every", "3"])));
    wait_until(&mut child, || place.path("results/portfolio_ep3.csv").exists());
    terminate(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let summary = json(&place, "results/summary.json");
    assert!(summary["eval"]["portfolio_return"].is_f64(), "{}", summary["eval"]);
}
