//! A run that was finished: resumed, it has nothing to do; with more episodes it goes on; and its
//! weights are where another run begins.

use crate::program::{Place, run, short, succeed};
use crate::resume::{assert_same_files, spawn, wait_for_checkpoint};

const LEARNING: [&str; 6] =
    ["--stocks", "AAPL", "MSFT", "--set", "learner.learning_starts=64", "--quiet"];

fn args<'a>(more: &[&'a str]) -> Vec<&'a str> {
    short(&[&LEARNING[..], &["--lanes", "6", "--batch-size", "64"], more].concat())
}

fn said(place: &Place, flags: &[&str]) -> (Option<i32>, String) {
    let output = run(&mut place.program(flags));
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

const FILES: [&str; 4] =
    ["trained_model.pth", "portfolio_ep2.csv", "portfolio_ep4.csv", "allocations.csv"];

#[test]
fn a_finished_run_is_finished_and_goes_on_with_more_episodes() {
    let place = Place::new();
    succeed(&mut place.program(&args(&["--episodes", "2", "--output", "a"])));
    let before = place.read("a/trained_model.pth");

    // With all of its flags, or with none: its settings are its own.
    let again = args(&["--episodes", "2", "--output", "a", "--resume"]);
    for flags in [&again[..], &["--output", "a", "--resume", "--quiet"]] {
        let (code, text) = said(&place, flags);
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains("this run is finished, after 2 episodes"), "{text}");
    }
    assert!(!place.path("a/earlier").exists());
    assert_eq!(place.read("a/trained_model.pth"), before);

    // The same run goes on in one process, over ranks, and killed on the way.
    for other in ["b", "c"] {
        let copied = run(std::process::Command::new("cp")
            .args(["-r", "a", other])
            .current_dir(place.path("")));
        assert!(copied.status.success());
    }
    let more = ["--episodes", "4", "--resume", "--quiet", "--output"];
    succeed(&mut place.program(&[&more[..], &["a"]].concat()));
    assert_ne!(place.read("a/trained_model.pth"), before);
    let ranks = [&more[..], &["b", "--mode", "parallel"]].concat();
    succeed(&mut place.mpirun(3, &ranks));
    let often = [&more[..], &["c", "--checkpoint-every", "0"]].concat();
    let mut child = spawn(place.program(&often));
    let finished_at = crate::resume::newest_checkpoint(&place, "c").unwrap();
    if wait_for_checkpoint(&place, "c", finished_at, &mut child).is_some() {
        child.kill().unwrap();
    }
    child.wait().unwrap();
    succeed(&mut place.program(&often));
    assert_same_files(&place, "a", "b", &FILES);
    assert_same_files(&place, "a", "c", &FILES);

    // Who saw the result of two episodes and went on has looked twice.
    let summary: serde_json::Value = serde_json::from_str(&place.text("a/summary.json")).unwrap();
    let own = summary["inference"]["trials"]["own"].as_array().unwrap();
    let episodes: Vec<_> = own.iter().map(|trial| trial["episode"].as_u64()).collect();
    assert_eq!(episodes, [Some(2), Some(4)]);

    let (code, text) = said(&place, &["--output", "a", "--resume", "--episodes", "3", "--quiet"]);
    assert_eq!(code, Some(2));
    assert!(text.contains("episodes: 4, now 3") && text.contains("--init-from"), "{text}");
}

#[test]
fn a_run_begins_with_the_weights_of_another() {
    let place = Place::new();
    succeed(&mut place.program(&args(&["--episodes", "1", "--output", "a"])));
    // Nothing is learned where learning starts after the last bar.
    let later = ["--start_date", "2018-02-01", "--end_date", "2018-05-15", "--eval_start"];
    let period = ["2018-05-16", "--eval_end", "2018-06-29"];
    let unlearned = ["--set", "learner.learning_starts=1000000", "--output", "b", "--quiet"];
    let begin = ["--config", "a", "--init-from", "a"];
    succeed(&mut place.program(&[&begin[..], &later, &period, &unlearned].concat()));
    // Episode 0 of the second is the end of the first: both answer the same to the same observation.
    assert_eq!(place.read("a/policy.pt"), place.read("b/policy.pt"));
    let other = [&begin[..], &["--stocks", "AAPL", "GOOGL", "--output", "c", "--quiet"]].concat();
    let (code, text) = said(&place, &other);
    assert_eq!(code, Some(2));
    assert!(text.contains("--init-from a") && text.contains("other stocks"), "{text}");
    let (code, text) = said(&place, &args(&["--init-from", "nowhere"]));
    assert_eq!(code, Some(2));
    assert!(text.contains("nowhere/config.toml"), "{text}");
}

#[test]
fn a_stopped_run_says_how_to_go_on() {
    let place = Place::new();
    let mut child = place
        .program(&args(&["--episodes", "100000", "--checkpoint-every", "0", "--output", "a"]))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_for_checkpoint(&place, "a", 0, &mut child).unwrap();
    run(std::process::Command::new("kill").args(["-INT", &child.id().to_string()]));
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert!(text.contains("dqn-trader --output a --resume"), "{text}");
}
