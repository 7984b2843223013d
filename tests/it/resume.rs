//! Nothing is lost: a run that was killed and resumed ends with the same bytes as an uninterrupted
//! one.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::program::{Place, run, short, succeed};

const STOCKS: [&str; 3] = ["AAPL", "MSFT", "GOOGL"];

pub(crate) fn args<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let mut args = short(&["--episodes", "24", "--eval-every", "12", "--quiet", "--lanes", "6"]);
    args.extend(["--set", "learner.learning_starts=64", "--batch-size", "64"]);
    // Suspended accounts are part of a checkpoint.
    args.extend(["--set", "portfolio.drawdown_limit=0.01"]);
    args.extend(["--set", "portfolio.meta_policy.enabled=true"]);
    // So that rules trade from the start.
    args.extend(["--set", "portfolio.meta_policy.dqn_prior=0.05"]);
    args.extend(["--checkpoint-every", "0", "--stocks"]);
    args.extend(STOCKS);
    args.extend(more);
    args
}

/// Two results folders hold the same bytes under these names.
pub(crate) fn assert_same_files(place: &Place, one: &str, other: &str, files: &[&str]) {
    for file in files {
        let same = place.read(&format!("{one}/{file}")) == place.read(&format!("{other}/{file}"));
        assert!(same, "{file} differs between {one} and {other}");
    }
}

pub(crate) fn assert_same(place: &Place, whole: &str, resumed: &str) {
    let files = [
        "trained_model.pth",
        "policy.pt",
        "portfolio_ep12.csv",
        "portfolio_ep24.csv",
        "relationships.csv",
        "importance.csv",
        "allocations.csv",
    ];
    assert_same_files(place, whole, resumed, &files);
    let learned = |output: &str| -> Vec<(String, String)> {
        let text = place.text(&format!("{output}/metrics.jsonl"));
        let lines = text.lines().map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            (line["reward"].to_string(), line["loss"].to_string())
        });
        lines.collect()
    };
    assert_eq!(learned(whole), learned(resumed));
}

/// Environment steps at the newest complete checkpoint.
pub(crate) fn newest_checkpoint(place: &Place, output: &str) -> Option<u64> {
    let folder = place.path(output).join("checkpoints");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let whole = entries.filter(|entry| entry.path().join("manifest.json").exists());
    whole.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).max()
}

/// Waits for a complete checkpoint beyond `env_steps`; returns its steps. None if the run has ended
/// before.
pub(crate) fn wait_for_checkpoint(
    place: &Place,
    output: &str,
    env_steps: u64,
    child: &mut Child,
) -> Option<u64> {
    let started = Instant::now();
    loop {
        let newest = newest_checkpoint(place, output);
        if newest.is_some_and(|newest| newest > env_steps) {
            return newest;
        }
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "no checkpoint after a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn spawn(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_killed_run_resumes_to_the_same_bytes_with_any_number_of_ranks() {
    let place = Place::new();
    succeed(&mut place.program(&args(&["--output", "whole"])));
    let resumed = ["--output", "resumed", "--resume"];
    let parallel = ["--output", "resumed", "--resume", "--mode", "parallel"];
    let summary: serde_json::Value =
        serde_json::from_str(&place.text("whole/summary.json")).unwrap();
    // 24 passes are two attempts, each with a weight decay of its own.
    let second_attempt = summary["run"]["env_steps"].as_u64().unwrap() / 2;
    let (mut env_steps, mut kills) = (0, 0);
    for round in 0..4 {
        if round == 3 {
            env_steps = env_steps.max(second_attempt);
        }
        let command = match round {
            0 | 3 => place.program(&args(&resumed)),
            1 => place.mpirun(2, &args(&parallel)),
            _ => place.mpirun(4, &args(&parallel)),
        };
        let mut child = spawn(command);
        if wait_for_checkpoint(&place, "resumed", env_steps, &mut child).is_none() {
            break;
        }
        kills += 1;
        if round == 1 || round == 2 {
            // A rank, not the launcher: mpirun ends the others.
            signal_rank("KILL", child.id(), round);
        } else {
            child.kill().unwrap();
        }
        child.wait().unwrap();
        // There may have been another checkpoint since the last check.
        env_steps = newest_checkpoint(&place, "resumed").unwrap();
    }
    assert!(kills >= 2, "the run ended before it could be killed twice");
    succeed(&mut place.program(&args(&resumed)));
    assert_same(&place, "whole", "resumed");
}

/// Child processes of `parent`: the ranks in order, if it is `mpirun`.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let output = run(Command::new("pgrep").args(["-P", &parent.to_string()]));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut children: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).collect();
    // Process ids wrap around, so they do not give the order.
    children.sort_by_key(|&child| rank_of(child));
    children
}

/// The rank in the process's environment; None if it is no rank, or not yet.
fn rank_of(process: u32) -> Option<usize> {
    let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
    let environment = String::from_utf8_lossy(&environment);
    let mut ranks =
        environment.split('\0').filter_map(|at| at.strip_prefix("OMPI_COMM_WORLD_RANK="));
    ranks.next()?.parse().ok()
}

/// Sends a signal to rank `rank` of `mpirun`, or to its last one.
pub(crate) fn signal_rank(signal: &str, mpirun: u32, rank: usize) {
    let ranks = children(mpirun);
    let process = ranks[rank.min(ranks.len() - 1)].to_string();
    run(Command::new("kill").args([&format!("-{signal}"), &process]));
}

#[test]
fn a_damaged_checkpoint_is_skipped_and_other_settings_are_rejected() {
    let place = Place::new();
    succeed(&mut place.program(&args(&["--output", "whole"])));
    let mut child = spawn(place.program(&args(&["--output", "resumed"])));
    let first = wait_for_checkpoint(&place, "resumed", 0, &mut child).unwrap();
    let newest = wait_for_checkpoint(&place, "resumed", first, &mut child).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();

    let resume = args(&["--output", "resumed", "--resume"]);
    let other = run(&mut place.program(&[&resume[..], &["--seed", "2"]].concat()));
    let stderr = String::from_utf8(other.stderr).unwrap();
    assert_eq!(other.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("seed: 1, now 2") && stderr.lines().count() == 1, "{stderr}");

    let part = place.path(&format!("resumed/checkpoints/{newest:016}/stock-00001"));
    std::fs::write(part, "not a state").unwrap();
    let loud: Vec<&str> = resume.iter().copied().filter(|arg| *arg != "--quiet").collect();
    let said = succeed(&mut place.program(&loud));
    assert!(said.contains("stock-00001 is damaged; skipped"), "{said}");
    assert!(said.contains("resuming from the checkpoint at"), "{said}");
    assert_same(&place, "whole", "resumed");
}

#[test]
fn a_stopped_run_can_be_resumed() {
    let place = Place::new();
    succeed(&mut place.program(&args(&["--output", "whole"])));
    let rare = ["--checkpoint-every", "inf", "--output", "resumed"];
    let mut child = spawn(place.program(&args(&rare)));
    let lines = || std::fs::read_to_string(place.path("resumed/metrics.jsonl")).unwrap_or_default();
    while lines().lines().count() < 15 {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before it was stopped");
        std::thread::sleep(Duration::from_millis(2));
    }
    run(Command::new("kill").args(["-TERM", &child.id().to_string()]));
    assert_eq!(child.wait().unwrap().code(), Some(130));
    succeed(&mut place.program(&args(&[&rare[..], &["--resume"]].concat())));
    assert_same(&place, "whole", "resumed");
}

/// As where a batch system signals every process of a job, and its launcher does as well.
#[test]
fn ranks_that_are_told_twice_to_stop_write_the_model() {
    let place = Place::new();
    let flags = ["--episodes", "100000", "--eval-every", "100000", "--checkpoint-every", "inf"];
    let flags = args(&[&flags[..], &["--mode", "parallel", "--output", "stopped"]].concat());
    let mut child = spawn(place.mpirun(3, &flags));
    let metrics = place.path("stopped/metrics.jsonl");
    while std::fs::read_to_string(&metrics).unwrap_or_default().lines().count() < 3 {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before it was stopped");
        std::thread::sleep(Duration::from_millis(5));
    }
    for _ in 0..2 {
        let mut kill = Command::new("kill");
        kill.arg("-TERM").args(children(child.id()).iter().map(u32::to_string));
        run(&mut kill);
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(newest_checkpoint(&place, "stopped").is_some());
    assert!(place.path("stopped/trained_model.pth").exists());
}

#[test]
fn a_run_that_started_its_own_ranks_restarts_them_when_one_dies_or_hangs() {
    let place = Place::new();
    succeed(&mut place.program(&args(&["--output", "whole"])));
    let timeout = ["--set", "ranks.timeout_s=4", "--output", "resumed", "--mode", "parallel"];
    let mut command = place.program(&args(&timeout));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_checkpoint(&place, "resumed", 0, &mut child).unwrap();
    let mpirun = |child: &Child| children(child.id())[0];
    let killed = mpirun(&child);
    signal_rank("KILL", killed, 2);
    while children(child.id()).first().is_none_or(|&launcher| launcher == killed) {
        std::thread::sleep(Duration::from_millis(20));
    }
    // A checkpoint newer than the previous ranks' last one shows that the new ranks are running.
    let newest = newest_checkpoint(&place, "resumed").unwrap();
    wait_for_checkpoint(&place, "resumed", newest, &mut child).unwrap();
    signal_rank("STOP", mpirun(&child), 3);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    // With two cores, the last rank has two stocks.
    for told in ["rank 2 (MSFT", "died", "1 of 3", "GOOGL) sent no heartbeat", "2 of 3"] {
        assert!(stderr.contains(told), "{told:?} is missing in: {stderr}");
    }
    assert_same(&place, "whole", "resumed");
}
