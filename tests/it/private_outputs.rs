//! Machines that share no disk: every rank has a results folder of its own, and checkpoints are rank
//! 0's all the same.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::program::{Place, run, succeed};
use crate::resume::{
    args, assert_same, newest_checkpoint, signal_rank, spawn, wait_for_checkpoint,
};

/// What `mpirun` starts: the program in its arguments, with a results folder of its rank's own.
const OWN_FOLDER: &str = "#!/bin/sh\n\
    [ \"$OMPI_COMM_WORLD_RANK\" = 0 ] || folder=.$OMPI_COMM_WORLD_RANK\n\
    exec \"$@\" --output \"results$folder\"\n";

/// The program on so many ranks, each with its own folder: rank 0 with `results`, rank n with
/// `results.n`.
fn on_machines(place: &Place, ranks: usize, flags: &[&str]) -> Command {
    let script = place.path("rank.sh");
    std::fs::write(&script, OWN_FOLDER).unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let program = place.mpirun(ranks, flags);
    let mut command = Command::new("mpirun");
    // --quiet, -n and the number; then what is started.
    for (at, word) in program.get_args().enumerate() {
        if at == 3 {
            command.arg(&script);
        }
        command.arg(word);
    }
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.current_dir(place.path("")).stdin(Stdio::null());
    command
}

fn said(command: &mut Command) -> (Option<i32>, String) {
    let output = run(command);
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn a_killed_run_resumes_from_checkpoints_that_only_rank_0_can_see() {
    let place = Place::new();
    succeed(&mut place.program(&args(&["--output", "whole"])));
    let parallel = args(&["--mode", "parallel"]);
    // As a user would who knows that the settings are the run's own.
    let resume = ["--resume", "--quiet"];
    let (mut env_steps, mut kills) = (0, 0);
    for (ranks, victim) in [(4, 2), (2, 1), (3, 0)] {
        let flags = if kills == 0 { &parallel[..] } else { &resume[..] };
        let mut child = spawn(on_machines(&place, ranks, flags));
        if wait_for_checkpoint(&place, "results", env_steps, &mut child).is_none() {
            break;
        }
        kills += 1;
        signal_rank("KILL", child.id(), victim);
        child.wait().unwrap();
        env_steps = newest_checkpoint(&place, "results").unwrap();
    }
    assert!(kills >= 2, "the run ended before it could be killed twice");
    for rank in 1..4 {
        let folder = format!("results.{rank}");
        assert!(!place.path(&folder).join("checkpoints").exists(), "{folder}");
    }
    let (code, said) = said(&mut on_machines(&place, 4, &["--resume"]));
    assert_eq!(code, Some(0), "{said}");
    for told in ["3 of 4 ranks do not see", "resuming from the checkpoint at"] {
        assert!(said.contains(told), "{told:?} is missing in: {said}");
    }
    assert_same(&place, "whole", "results");
}

#[test]
fn a_newer_checkpoint_on_another_machine_is_not_passed_over() {
    let place = Place::new();
    let mut child = spawn(on_machines(&place, 3, &args(&["--mode", "parallel"])));
    let first = wait_for_checkpoint(&place, "results", 0, &mut child).unwrap();
    wait_for_checkpoint(&place, "results", first, &mut child).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let resume = args(&["--mode", "parallel", "--resume"]);
    // Ranks end a moment after their launcher.
    std::thread::sleep(Duration::from_millis(500));
    // Rank 0 ran on what is now the machine of rank 2.
    std::fs::rename(place.path("results"), place.path("results.2")).unwrap();
    let (code, said) = said(&mut on_machines(&place, 3, &resume));
    assert_eq!(code, Some(2), "{said}");
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{said}");
    for part in ["results.2 has a checkpoint at", "rank 0 has none of it", "run rank 0 on"] {
        assert!(errors[0].contains(part), "{part:?} is missing in: {}", errors[0]);
    }
}

#[test]
fn without_lockstep_parts_travel_as_well() {
    let place = Place::new();
    let flags = args(&["--mode", "parallel", "--sync", "async", "--episodes", "60"]);
    let mut child = spawn(on_machines(&place, 4, &flags));
    wait_for_checkpoint(&place, "results", 0, &mut child).expect("it is killed before its end");
    signal_rank("KILL", child.id(), 1);
    child.wait().unwrap();
    let (code, said) = said(&mut on_machines(&place, 3, &["--resume"]));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("resuming from the checkpoint at"), "{said}");
    assert!(place.path("results/trained_model.pth").exists());
}
