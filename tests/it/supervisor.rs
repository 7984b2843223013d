//! A parallel run that starts its own ranks on several machines: what is left out, and what hangs.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::bad_input::refused;
use crate::program::{Place, run, succeed};
use crate::resume::{args, assert_same};

/// A program of this name that comes before the real one.
fn pretend(place: &Place, name: &str, script: &str) {
    std::fs::create_dir_all(place.path("bin")).unwrap();
    let path = place.path(&format!("bin/{name}"));
    std::fs::write(&path, format!("#!/bin/bash\n{script}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn supervised(place: &Place, output: &str) -> Command {
    let flags = ["--mode", "parallel", "--hostfile", "hosts", "--output", output];
    let mut command = place.program(&args(&flags));
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{path}", place.path("bin").display()));
    command
}

/// The other machine is off. What this one makes of the run is what one process makes of it.
#[test]
fn a_machine_that_does_not_answer_is_left_out() {
    let place = Place::new();
    std::fs::write(place.path("hosts"), "localhost slots=3\nnode2 slots=2 # off\n").unwrap();
    pretend(&place, "ssh", "exit 255");
    let said = succeed(&mut supervised(&place, "left"));
    assert_eq!(
        said.matches("node2 does not answer: the run goes on without it").count(),
        1,
        "{said}"
    );
    let single = ["--mode", "single", "--output", "single"];
    succeed(&mut place.program(&args(&single)));
    assert_same(&place, "single", "left");

    std::fs::write(place.path("hosts"), "localhost slots=1\nnode2 slots=9\n").unwrap();
    refused(&mut supervised(&place, "none"), &["room for one rank", "slots"]);
    std::fs::write(place.path("hosts"), "node2 slots=9\nlocalhost\n").unwrap();
    refused(&mut supervised(&place, "none"), &["hosts: its first machine is node2", "first"]);
    let alone = ["--mode", "single", "--hostfile", "hosts"];
    refused(&mut place.program(&args(&alone)), &["--hostfile", "--mode parallel"]);
}

/// Its ranks here have ended, but `mpirun` waits for another machine for ever.
#[test]
fn an_mpirun_that_hangs_is_ended_and_the_run_goes_on() {
    let place = Place::new();
    std::fs::write(place.path("hosts"), "localhost slots=3\n").unwrap();
    let real = run(Command::new("bash").args(["-c", "command -v mpirun"])).stdout;
    let real = String::from_utf8(real).unwrap();
    let hangs = format!(
        "if [ -e started ]; then exec {} \"$@\"; fi\n\
         touch started\n\
         while [ \"$1\" = --quiet ] || [ \"$1\" = -n ] || [ \"$1\" = --hostfile ]; do\n\
           [ \"$1\" = --quiet ] || shift\n  shift\n\
         done\n\
         sleep 2 | \"$1\" strategies stream --strategies RSI --stocks AAPL &\n\
         wait\n\
         sleep 12345",
        real.trim()
    );
    pretend(&place, "mpirun", &hangs);
    let since = Instant::now();
    let said = succeed(&mut supervised(&place, "hung"));
    assert!(said.contains("a rank died (exit code 3); restarting from the last"), "{said}");
    assert!(since.elapsed() > Duration::from_secs(6), "it had time to end by itself");
    let left = run(Command::new("pgrep").args(["-f", "^sleep 12345$"]));
    assert!(left.stdout.is_empty(), "what hung is gone");
    let single = ["--mode", "single", "--output", "single"];
    succeed(&mut place.program(&args(&single)));
    assert_same(&place, "single", "hung");
}
