//! Launcher, `mpirun` and ranks end together, whichever of them is told to end or killed.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::program::{Place, run, short};
use crate::resume::{children, wait_for_checkpoint};

/// Everything has ended after this time.
const LIMIT: Duration = Duration::from_secs(10);

/// Processes whose command line names `place`. One that has ended has none.
fn left(place: &Place) -> Vec<u32> {
    let name = place.path("").to_string_lossy().into_owned();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let about = |process: &u32| {
        let line = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&name)
    };
    numbers.filter(about).collect()
}

fn start(place: &Place) -> Child {
    let output = place.path("out");
    let flags = [
        "--mode",
        "parallel",
        "--stocks",
        "AAPL",
        "MSFT",
        "--episodes",
        "100000",
        "--eval-every",
        "100000",
        "--checkpoint-every",
        "0",
        "--max-restarts",
        "0",
        "--output",
        output.to_str().unwrap(),
    ];
    let mut command = place.program(&short(&flags));
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    // As the leader of a group, like a job of a shell.
    command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Who is told to end: the launcher, the `mpirun` that it started, or a rank of that.
fn pick(launcher: u32, who: usize) -> u32 {
    let mpirun = children(launcher)[0];
    let ranks = children(mpirun);
    [launcher, mpirun, ranks[0], ranks[ranks.len() - 1]][who]
}

/// `KILLS` is the number of kills, one for each signal and process by turns.
#[test]
fn nothing_is_left_of_a_job_that_was_killed() {
    let kills = std::env::var("KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    let turns = [
        ("KILL", 0),
        ("HUP", 0),
        ("KILL", 1),
        ("QUIT", 1),
        ("HUP", 3),
        ("TERM", 0),
        ("QUIT", 0),
        ("HUP", 1),
        ("TERM", 1),
        ("KILL", 2),
        ("QUIT", 2),
        ("TERM", 3),
        ("HUP", 2),
        ("KILL", 3),
        ("TERM", 2),
        ("QUIT", 3),
    ];
    let mut slowest = Duration::ZERO;
    for (signal, who) in turns.into_iter().cycle().take(kills) {
        let place = Place::new();
        let mut launcher = start(&place);
        wait_for_checkpoint(&place, "out", 0, &mut launcher).expect("a run this long goes on");
        let target = pick(launcher.id(), who).to_string();
        run(Command::new("kill").args([&format!("-{signal}"), &target]));
        let since = Instant::now();
        loop {
            let _ = launcher.try_wait();
            let left = left(&place);
            if left.is_empty() {
                break;
            }
            if since.elapsed() > LIMIT {
                for process in &left {
                    run(Command::new("kill").args(["-KILL", &process.to_string()]));
                }
                panic!("SIG{signal} to process {who}: {} are left after {LIMIT:?}", left.len());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        slowest = slowest.max(since.elapsed());
    }
    println!("{kills} kills, nothing left after at most {slowest:?}");
}

/// `nohup` starts a program with SIGHUP ignored, and that is respected.
#[test]
fn a_run_under_nohup_survives_its_terminal() {
    let place = Place::new();
    let program = place.program(&short(&["--stocks", "AAPL", "--episodes", "100000", "--quiet"]));
    let mut command = Command::new("nohup");
    command.arg(program.get_program()).args(program.get_args()).args(["--checkpoint-every", "0"]);
    command.current_dir(place.path("")).env("XDG_CACHE_HOME", place.path("cache"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let first = wait_for_checkpoint(&place, "results", 0, &mut child).expect("it goes on");
    run(Command::new("kill").args(["-HUP", &child.id().to_string()]));
    let next = wait_for_checkpoint(&place, "results", first + 1, &mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(next.is_some());
}
