//! Conditions on the machine: another run in the same folder, a full disk, a machine of another
//! kind.

use std::path::Path;
use std::process::{Command, Output};

use crate::program::{Place, run, short, succeed};
use crate::resume::{args, assert_same, spawn, wait_for_checkpoint};

/// The error line of a run that must fail.
fn refused(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{stderr}");
    errors[0].to_string()
}

#[test]
fn a_folder_is_locked_by_a_run_until_it_ends() {
    let place = Place::new();
    let mut child = spawn(place.program(&args(&["--episodes", "100000"])));
    wait_for_checkpoint(&place, "results", 0, &mut child).unwrap();
    let (pid, more) = (format!("process {} on ", child.id()), args(&["--mode", "parallel"]));
    for mut second in [place.program(&args(&[])), place.mpirun(2, &more)] {
        let line = refused(&run(&mut second));
        for word in ["results: another run is writing there", &pid, ", since 2", "--output"] {
            assert!(line.contains(word), "{word:?} is missing in: {line}");
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(place.path("results/.lock").exists(), "the killed run left its file");
    let next = short(&["--stocks", "AAPL", "--episodes", "1", "--quiet"]);
    succeed(&mut place.program(&next));
    assert!(!place.path("results/.lock").exists());

    std::fs::create_dir_all(place.path("results/evaluation")).unwrap();
    let lock = std::fs::File::create(place.path("results/evaluation/.lock")).unwrap();
    lock.lock().unwrap();
    let evaluate = run(&mut place.program(&["evaluate", "--model", "results", "--quiet"]));
    assert!(refused(&evaluate).contains("evaluation: another run is writing there"));
}

/// The program with a limit on file sizes, which simulates a full disk.
pub(crate) fn limited(place: &Place, bytes: u64, args: &[&str]) -> Command {
    let program = place.program(args);
    let mut command = Command::new("bash");
    command.args(["-c", &format!("ulimit -c 0 -f {}; exec \"$0\" \"$@\"", bytes / 1_024)]);
    command.arg(program.get_program()).args(program.get_args());
    command.current_dir(place.path("")).stdin(std::process::Stdio::null());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().len()
}

/// A size between that of rank 0's part of a checkpoint, which is constant, and the final size of a
/// stock's part, which grows with its replay.
fn halfway(place: &Place, output: &str) -> u64 {
    let checkpoints = std::fs::read_dir(place.path(output).join("checkpoints")).unwrap();
    let folders = checkpoints.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let newest = folders.max().unwrap();
    let (root, stock) = (size(&newest.join("root")), size(&newest.join("stock-00000")));
    assert!(root + 20_000 < stock, "{root} and {stock} bytes");
    (root + stock) / 2
}

#[test]
fn a_full_disk_is_one_line_and_the_run_resumes_from_its_last_checkpoint() {
    let place = Place::new();
    // Long enough, and a network small enough, for the replay to outgrow the weights well before
    // the last checkpoint, which may be long before the end on a slow disk.
    // One attempt, or the next one would begin with an empty replay.
    let small = ["--set", "network.embedding=16", "--set", "network.trunk=16"];
    let small = [&small[..], &["--set", "learner.weight_decay=4"]].concat();
    let of = |more: &[&'static str]| args(&[&["--episodes", "36"], &small[..], more].concat());
    succeed(&mut place.program(&of(&["--output", "whole"])));
    let resume = of(&["--output", "full", "--resume"]);
    let rare = [&resume[..], &["--checkpoint-every", "inf"]].concat();

    // While a checkpoint is written.
    let limit = halfway(&place, "whole");
    let line = refused(&run(&mut limited(&place, limit, &resume)));
    for word in ["full/checkpoints/", "/stock-", "--resume"] {
        assert!(line.contains(word), "{word:?} is missing in: {line}");
    }
    let checkpoints = || std::fs::read_dir(place.path("full/checkpoints")).unwrap();
    let is_whole = |folder: std::fs::DirEntry| folder.path().join("manifest.json").exists();
    assert!(checkpoints().count() > 0 && checkpoints().all(|folder| is_whole(folder.unwrap())));

    // While a line is appended to a file that grows with the run.
    let lines = size(&place.path("full/metrics.jsonl"));
    let line = refused(&run(&mut limited(&place, lines.max(8_192), &rare)));
    assert!(line.contains("cannot append") && line.contains("--resume"), "{line}");

    succeed(&mut place.program(&resume));
    assert_same(&place, "whole", "full");

    // At the end of a run, whose model is larger than any file before it.
    let large = |output: &'static str| {
        let wide = ["--set", "network.trunk=2048"];
        args(
            &[&["--episodes", "6", "--checkpoint-every", "inf", "--output", output], &wide[..]]
                .concat(),
        )
    };
    succeed(&mut place.program(&large("large")));
    let model = size(&place.path("large/trained_model.pth"));
    for (limit, file) in [(model - 50_000, "trained_model.pth"), (model + 50_000, "policy.pt")] {
        let line = refused(&run(&mut limited(&place, limit, &large("again"))));
        assert!(line.contains(&format!("again/{file}: File too large")), "{line}");
        assert!(line.contains("--resume"), "{line}");
    }
}

#[test]
fn another_kind_of_machine_is_reported_and_accepted() {
    let place = Place::new();
    let flags = short(&["--stocks", "AAPL", "--episodes", "1", "--quiet"]);
    let told = |flags: &[&str]| {
        let output = run(&mut place.program(flags));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().filter(|line| line.contains("bit for bit")).map(String::from).collect()
    };
    let nothing: [String; 0] = [];
    let evaluate = ["evaluate", "--model", "results", "--quiet"];
    let again = [&flags[..], &["--config", "results/config.toml", "--output", "again"]].concat();
    let resumed = [&flags[..], &["--resume"]].concat();
    let stopping = [&flags[..], &["--checkpoint-every", "0"]].concat();
    let first: Vec<String> = told(&stopping);
    assert_eq!(first, nothing);
    for flags in [&evaluate[..], &again, &resumed] {
        let same: Vec<String> = told(flags);
        assert_eq!(same, nothing);
    }
    let text = place.text("results/config.toml");
    let facts: toml::Table = toml::from_str(&text).unwrap();
    let ours = facts["machine"]["instruction_set"].as_str().unwrap().to_string();
    assert_eq!(facts["machine"]["libtorch_version"].as_str().map(|v| v.contains('.')), Some(true));

    let other = text.replace(&format!("set = {ours:?}"), "set = \"AVX1024\"");
    assert_ne!(other, text);
    std::fs::write(place.path("results/config.toml"), other).unwrap();
    let difference = format!("(instruction_set: AVX1024, here {ours})");
    let goes_on = |episodes: &'static str| [&resumed[..], &["--episodes", episodes]].concat();
    // The last case twice: figures computed on another machine stay so.
    for (flags, run) in [
        (&again[..], "The run with these settings"),
        (&evaluate, "The run with these settings"),
        (&goes_on("2"), "The resumed run"),
        (&goes_on("3"), "The resumed run"),
    ] {
        let lines: Vec<String> = told(flags);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(run) && lines[0].contains(&difference), "{lines:?}");
    }
}
