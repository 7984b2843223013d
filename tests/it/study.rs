//! Studies: the same for any number of threads and ranks and after kills, and what they add up to.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::program::{Place, run, succeed, write_day_files};
use crate::resume::{assert_same_files, spawn};

const SMALL: [&str; 24] = [
    "study",
    "--data",
    "synthetic:momentum:7",
    "--stocks",
    "AAPL",
    "MSFT",
    "--bar-minutes",
    "60",
    "--start_date",
    "2018-01-01",
    "--eval_end",
    "2018-12-31",
    "--train-months",
    "6",
    "--test-months",
    "2",
    "--seeds",
    "2",
    "--episodes",
    "6",
    "--set",
    "learner.learning_starts=64",
    "--quiet",
    "--seed=3",
];
const FILES: [&str; 3] = ["study.json", "runs.csv", "portfolio.csv"];

fn small<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&SMALL[..], more].concat()
}

fn json(place: &Place, name: &str) -> serde_json::Value {
    serde_json::from_str(&place.text(name)).unwrap()
}

/// Rows of a CSV by the names of its columns.
fn rows(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut lines = text.lines().map(|line| line.split(',').map(String::from));
    let head: Vec<String> = lines.next().unwrap().collect();
    lines.map(|line| head.iter().cloned().zip(line).collect()).collect()
}

fn kept(place: &Place, output: &str) -> usize {
    let found = std::fs::read_dir(place.path(output).join("runs"));
    found.map_or(0, |found| found.flatten().filter(|one| !is_temporary(one)).count())
}

fn is_temporary(entry: &std::fs::DirEntry) -> bool {
    entry.file_name().to_string_lossy().contains("writing")
}

#[test]
fn threads_ranks_and_kills_change_nothing() {
    let place = Place::new();
    let grid = ["--grid", "learner.gamma=0.9,0.99"];
    let of = |output: &'static str, more: &[&'static str]| {
        small(&[&grid[..], &["--output", output], more].concat())
    };
    succeed(&mut place.program(&of("whole", &["--jobs", "1"])));
    succeed(&mut place.mpirun(3, &of("ranks", &[])));
    assert_same_files(&place, "whole", "ranks", &FILES);

    for (kill, ranks) in [(0, 1), (1, 2)] {
        let flags = of("killed", &["--resume", "--jobs", "1"]);
        let command = match ranks {
            1 => place.program(&flags),
            _ => place.mpirun(ranks, &flags),
        };
        let (mut child, started) = (spawn(command), Instant::now());
        while kept(&place, "killed") < 3 * (kill + 1) && child.try_wait().unwrap().is_none() {
            assert!(started.elapsed() < Duration::from_secs(60), "no run is made");
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let before = kept(&place, "killed");
    assert!(before >= 3, "{before}");
    // Its settings are its own, and what is made is not made again.
    let oldest = place.path("killed/runs/fold0-seed0-setting0");
    let modified = std::fs::metadata(&oldest).unwrap().modified().unwrap();
    succeed(&mut place.program(&["study", "--output", "killed", "--resume", "--quiet"]));
    assert_same_files(&place, "whole", "killed", &FILES);
    assert_eq!(std::fs::metadata(&oldest).unwrap().modified().unwrap(), modified);
    assert_eq!(kept(&place, "whole"), 12);
}

/// What was made of other bars is not put together with what is made of these.
#[test]
fn bars_that_change_are_noticed() {
    let place = Place::new();
    write_day_files(&place.path("data"), &["AAPL", "MSFT"], "2018-01-02", "2018-12-31");
    let of = |output: &'static str| {
        let data = ["--data", "data", "--seeds", "1", "--episodes", "1", "--output", output];
        let mut flags = small(&data);
        // Those of `small` come first, and a flag is given once.
        for once in ["--data", "--seeds", "--episodes"] {
            let at = flags.iter().position(|flag| *flag == once).unwrap();
            flags.drain(at..at + 2);
        }
        flags.retain(|flag| *flag != "--quiet");
        flags
    };
    let made_again = "of other settings or bars: made again";
    let said = |flags: &[&str]| {
        let output = run(&mut place.program(flags));
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    said(&of("study"));
    let resume = ["study", "--output", "study", "--resume"];
    assert!(!said(&resume).contains(made_again));
    let before = place.text("study/study.json");
    // A correction of a day that is learned from.
    let day = "data/stocks_intraday/AAPL/2018/03";
    let other = "data/stocks_intraday/AAPL/2018/04";
    let bytes = place.read(&format!("{other}/AAPL_2018-04-12.parquet"));
    std::fs::remove_file(place.path(&format!("{day}/AAPL_2018-03-07.parquet"))).unwrap();
    std::fs::write(place.path(&format!("{other}/AAPL_2018-04-11.parquet")), bytes).unwrap();
    let runs = kept(&place, "study");
    assert!(said(&resume).contains(&format!("{runs} runs there {made_again}")));
    assert_ne!(place.text("study/study.json"), before);
    said(&of("anew"));
    assert_same_files(&place, "study", "anew", &FILES);
}

fn number(row: &BTreeMap<String, String>, name: &str) -> f64 {
    row[name].parse().unwrap_or(0.0)
}

/// Sharpe ratios of the first two settings on the validation days of a fold, summed over seeds.
fn validation(runs: &[BTreeMap<String, String>], fold: usize) -> [f64; 2] {
    let of_fold = |row: &&BTreeMap<String, String>| row["fold"] == (fold + 1).to_string();
    ["1", "2"].map(|setting| {
        let its = runs.iter().filter(of_fold).filter(|row| row["setting"] == setting);
        its.map(|row| number(row, "validation_sharpe")).sum()
    })
}

/// The DQN alone is the same with both, the portfolio is not.
#[test]
fn settings_of_the_portfolio_are_chosen_by_the_portfolio() {
    let place = Place::new();
    let experts = ["--grid", "portfolio.meta_policy.enabled=true,false", "--seeds", "1"];
    let mut flags = small(&experts);
    let twice = flags.iter().position(|flag| *flag == "--seeds").unwrap();
    flags.drain(twice..twice + 2);
    succeed(&mut place.program(&flags));
    let study = json(&place, "results/study.json");
    let runs = rows(&place.text("results/runs.csv"));
    for (i, fold) in study["folds"].as_array().unwrap().iter().enumerate() {
        let [first, second] = validation(&runs, i);
        assert_ne!(first, second, "fold {i}");
        assert_eq!(fold["chosen"], usize::from(second > first), "fold {i}");
    }
}

/// The account of the study is made up of its runs: each seed's is the product of the folds' returns
/// with the setting that was best on validation, and the whole is the mean of the seeds.
#[test]
fn the_account_is_made_up_of_the_runs() {
    let place = Place::new();
    succeed(&mut place.program(&small(&["--grid", "learner.gamma=0.5,0.99"])));
    let study = json(&place, "results/study.json");
    let runs = rows(&place.text("results/runs.csv"));
    assert_eq!(runs.len(), 3 * 2 * 2);
    for (i, fold) in study["folds"].as_array().unwrap().iter().enumerate() {
        let [first, second] = validation(&runs, i);
        assert_eq!(fold["chosen"], usize::from(second > first), "fold {i}");
        // What is learned from ends before what is traded.
        let day = |period: &str, end: &str| fold[period][end].as_str().unwrap().to_string();
        assert!(day("train", "end") < day("test", "start"), "{fold}");
    }
    let mut accounts = Vec::new();
    for seed in ["3", "4"] {
        let its = runs.iter().filter(|row| row["seed"] == seed && row["is_chosen"] == "true");
        accounts.push(its.map(|row| 1.0 + number(row, "portfolio_return")).product::<f64>());
    }
    let near = |found: &serde_json::Value, expected: f64| {
        assert!((found.as_f64().unwrap() - expected).abs() < 1e-9, "{found}, {expected}");
    };
    near(&study["seed_returns"][0], accounts[0] - 1.0);
    near(&study["seed_returns"][1], accounts[1] - 1.0);
    near(&study["eval"]["portfolio_return"], (accounts[0] + accounts[1]) / 2.0 - 1.0);
    let equity = rows(&place.text("results/portfolio.csv"));
    let (first, last) = (number(&equity[0], "equity"), number(&equity[equity.len() - 1], "equity"));
    near(&study["eval"]["portfolio_return"], last / first - 1.0);
    let bought = study["folds"].as_array().unwrap().iter();
    let held: f64 = bought.map(|fold| 1.0 + fold["benchmark_return"].as_f64().unwrap()).product();
    near(&study["benchmark"]["portfolio_return"], held - 1.0);
    assert_eq!(study["inference"]["trials"]["count"], 1, "nobody chose among the runs");
    let page = place.text("results/report.html");
    assert!(page.contains("All seeds") && page.contains("learner.gamma=0.5"), "the page has both");
}

#[test]
fn folds_begin_with_the_weights_before_and_a_half_is_left_out() {
    let place = Place::new();
    succeed(&mut place.program(&small(&["--output", "anew"])));
    succeed(&mut place.program(&small(&["--output", "warm", "--warm-start"])));
    let models = |output: &str| rows(&place.text(&format!("{output}/runs.csv")));
    let (anew, warm) = (models("anew"), models("warm"));
    assert_eq!(anew[..2], warm[..2], "the first fold has none before it");
    assert_ne!(anew[2..], warm[2..]);
    // Without the last fold of each chain it is made again from the weights that were kept.
    for seed in [0, 1] {
        let path = place.path(&format!("warm/runs/fold2-seed{seed}-setting0"));
        std::fs::remove_file(path).unwrap();
    }
    let before = place.text("warm/study.json");
    succeed(&mut place.program(&["study", "--output", "warm", "--resume", "--quiet"]));
    assert_eq!(place.text("warm/study.json"), before);

    // Four settings with one seed, two of them with the second.
    let grid = ["--grid", "learner.gamma=0.8,0.9", "learner.lambda=0.5,0.8", "--prune"];
    succeed(&mut place.program(&small(&[&grid[..], &["--output", "pruned"]].concat())));
    assert_eq!(rows(&place.text("pruned/runs.csv")).len(), 3 * (4 + 2));
}

#[test]
fn what_a_study_cannot_do_is_one_line() {
    let place = Place::new();
    for (flags, words) in [
        (&["--train-months", "24"][..], &["--train-months", "no room"][..]),
        (&["--grid", "learner.gama=0.9,0.99"], &["learner.gamma"]),
        (&["--grid", "learner.gamma=0.9,1.5"], &["learner.gamma", "below 1"]),
        (&["--search", "random"], &["--search", "--grid"]),
        (&["--prune", "--warm-start"], &["--prune", "--warm-start"]),
        (&["--eval_start", "2018-06-01"], &["--eval_start", "--eval_end"]),
        (&["--seeds", "0"], &["from 1 to 1000"]),
        (&["--data", "nowhere"], &["nowhere"]),
    ] {
        let output = run(&mut place.program(&small(flags)));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {text}");
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(lines.len(), 1, "{text}");
        assert!(words.iter().all(|word| lines[0].contains(word)), "{words:?}: {text}");
        assert!(!place.path("results/study.json").exists());
    }
}

#[test]
fn runs_stand_side_by_side() {
    let place = Place::new();
    succeed(&mut place.program(&small(&["--output", "a"])));
    succeed(&mut place.program(&small(&["--output", "b", "--set", "learner.gamma=0.5"])));
    let short = ["--bar-minutes", "60", "--stocks", "AAPL", "MSFT", "--episodes", "1", "--quiet"];
    let days = ["--start_date", "2018-01-01", "--end_date", "2018-06-29", "--eval_start"];
    let traded = ["2018-07-02", "--eval_end", "2018-08-31", "--data", "synthetic:momentum:7"];
    let run_of_it = [&short[..], &days, &traded, &["--output", "c"]].concat();
    succeed(&mut place.program(&run_of_it));
    let output = run(&mut place.program(&["compare", "a", "b", "c", "--output", "d"]));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("learner.gamma: 0.99 | 0.5 | 0.99"), "{text}");
    let found = json(&place, "d/comparison.json");
    for (i, name) in ["a", "b"].iter().enumerate() {
        let study = json(&place, &format!("{name}/study.json"));
        assert_eq!(found["runs"][i]["eval"], study["eval"]);
        assert_eq!(found["runs"][i]["verdict"], study["inference"]["verdict"]);
    }
    // The mean difference per year, from the two files.
    let closes = |name: &str| -> BTreeMap<String, f64> {
        let all = rows(&place.text(&format!("{name}/portfolio.csv")));
        let of = |row: &BTreeMap<String, String>| {
            (row["timestamp"][..10].to_string(), row["equity"].parse().unwrap())
        };
        all.iter().skip(1).map(of).collect()
    };
    let (a, b) = (closes("a"), closes("b"));
    let returns = |closes: &BTreeMap<String, f64>| -> Vec<f64> {
        let mut before = 1e6;
        let day = |&close: &f64| {
            let found = close / before - 1.0;
            before = close;
            found
        };
        closes.values().map(day).collect()
    };
    let (a, b) = (returns(&a), returns(&b));
    let mean = b.iter().zip(&a).map(|(b, a)| b - a).sum::<f64>() / a.len() as f64;
    let over = &found["over_the_first"];
    assert_eq!(over[0]["days"], a.len());
    assert!((over[0]["per_year"].as_f64().unwrap() - 252.0 * mean).abs() < 1e-9, "{over}");
    assert_eq!(over[1]["days"], 44, "July and August");
    let page = place.text("d/report.html");
    assert!(page.contains("3 runs side by side") && page.contains("<svg"));
    for wrong in [&["compare", "a"][..], &["compare", "a", "nowhere"]] {
        let output = run(&mut place.program(wrong));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
    }
}
