//! A rank that dies or hangs ends the job soon, with a line that names it, and no process remains.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::program::{Place, run, short};
use crate::resume::{args, children, newest_checkpoint, signal_rank, spawn, wait_for_checkpoint};

const TIMEOUT_S: u64 = 4;
/// Margin for the launcher on a busy machine.
const MARGIN: Duration = Duration::from_secs(6);

/// Waits for the end of the job, which must come in time. Returns exit code and standard error.
fn ends_in_time(child: Child) -> (Option<i32>, String) {
    let since = Instant::now();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let limit = Duration::from_secs(TIMEOUT_S) + MARGIN;
    assert!(since.elapsed() < limit, "{:?}: {stderr}", since.elapsed());
    (output.status.code(), stderr)
}

/// Whether a process has ended; zombies count as ended.
fn is_over(process: u32) -> bool {
    let about = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    about.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('Z'))
}

#[test]
fn a_lost_rank_ends_the_job_with_its_name_and_the_checkpoint_is_good() {
    let place = Place::new();
    let timeout = format!("ranks.timeout_s={TIMEOUT_S}");
    let mut flags = args(&["--episodes", "100000", "--eval-every", "100000", "--resume"]);
    flags.extend(["--mode", "parallel", "--output", "lost", "--set", &timeout]);
    let mut env_steps = 0;
    for (signal, rank, line) in [
        ("STOP", 2, "rank 2 (MSFT) sent no heartbeat"),
        ("STOP", 0, "rank 0 (the parameter server) sent no heartbeat"),
        ("KILL", 1, "rank 1 (AAPL) died"),
        ("KILL", 0, "rank 0 (the parameter server) died"),
    ] {
        let mut command = place.mpirun(4, &flags);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A newer checkpoint shows that the run resumed from the last one.
        let newest = wait_for_checkpoint(&place, "lost", env_steps, &mut child);
        newest.expect("a run this long does not end by itself");
        let ranks = children(child.id());
        signal_rank(signal, child.id(), rank);
        let (code, stderr) = ends_in_time(child);
        assert!(code.is_some_and(|code| code != 0), "{code:?}: {stderr}");
        let errors: Vec<&str> = stderr.lines().filter(|at| at.starts_with("error: ")).collect();
        // On a busy machine two ranks may report it, but there is no other error.
        let is_right = |error: &&str| error.contains(line) && error.contains("--resume");
        let all = !errors.is_empty() && errors.iter().all(is_right);
        assert!(all, "{signal} to rank {rank}: {stderr}");
        let since = Instant::now();
        while !ranks.iter().all(|&process| is_over(process)) {
            assert!(since.elapsed() < MARGIN, "a rank outlives its job");
            std::thread::sleep(Duration::from_millis(20));
        }
        // The killed job may have written another checkpoint since the last check.
        env_steps = newest_checkpoint(&place, "lost").unwrap();
    }
    let mut child = spawn(place.mpirun(2, &flags));
    assert!(wait_for_checkpoint(&place, "lost", env_steps, &mut child).is_some());
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Work outside the training loop is watched, too: one rank prepares bars for seconds, with a limit
/// of a tenth of that.
#[test]
fn a_rank_that_is_stuck_is_named() {
    let place = Place::new();
    let mut flags = short(&["--mode", "parallel", "--quiet", "--stocks", "AAPL", "MSFT"]);
    flags.extend(["--bar-minutes", "1", "--start_date", "2000-01-03"]);
    let output = run(&mut place.mpirun(2, &[&flags[..], &["--set", "ranks.stuck_s=0.2"]].concat()));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("error: rank ") && stderr.contains("ranks.stuck_s"), "{stderr}");
    assert!(!place.path("results/config.toml").exists());
}
