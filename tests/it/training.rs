//! One process equals many; a later evaluation of a model equals the one at the end of its
//! training.

use dqn_trader::strategy::Registry;

use crate::program::{Place, run, short, succeed, write_day_files};

const COMPARED: [&str; 7] = [
    "trained_model.pth",
    "policy.pt",
    "relationships.csv",
    "relationships_by_quarter.csv",
    "importance.csv",
    "policy_check.json",
    "allocations.csv",
];

/// The portfolio file of every evaluation.
fn portfolios(place: &Place, output: &str) -> Vec<String> {
    let entries = std::fs::read_dir(place.path(output)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("portfolio_ep")).collect();
    names.sort();
    names
}

/// Reward and loss of every interval, as text.
fn rewards_and_losses(place: &Place, output: &str) -> Vec<(String, String)> {
    let text = place.text(&format!("{output}/metrics.jsonl"));
    let lines = text.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        (line["reward"].to_string(), line["loss"].to_string())
    });
    lines.collect()
}

fn assert_same(place: &Place, one: &str, other: &str) {
    let evaluations = portfolios(place, one);
    assert!(!evaluations.is_empty() && evaluations == portfolios(place, other));
    for file in COMPARED.into_iter().chain(evaluations.iter().map(String::as_str)) {
        let same = place.read(&format!("{one}/{file}")) == place.read(&format!("{other}/{file}"));
        assert!(same, "{file} differs between {one} and {other}");
    }
    assert_eq!(rewards_and_losses(place, one), rewards_and_losses(place, other));
    let said = |output: &str, key: &str| {
        let text = place.text(&format!("{output}/summary.json"));
        serde_json::from_str::<serde_json::Value>(&text).unwrap()[key].clone()
    };
    assert!(said(one, "inference")["days"].as_u64().is_some_and(|days| days > 0));
    assert_eq!(said(one, "inference"), said(other, "inference"));
    // With five ensembles, the DQN, the portfolio and the benchmark.
    let rows = Registry::standard().kinds().len() + 8;
    assert_eq!(said(one, "everyone").as_array().map(Vec::len), Some(rows));
    assert_eq!(said(one, "everyone"), said(other, "everyone"));
    assert_eq!(said(one, "parts"), said(other, "parts"));
}

#[test]
fn any_number_of_threads_and_ranks_gives_the_same_bytes() {
    const STOCKS: [&str; 5] = ["AAPL", "MSFT", "GOOGL", "AMZN", "META"];
    for (stocks, ranks) in [(1, &[2][..]), (2, &[2, 3]), (5, &[2, 3, 6, 3])] {
        let place = Place::new();
        let mut args = short(&["--episodes", "2", "--eval-every", "1", "--quiet", "--lanes", "6"]);
        args.push("--stocks");
        args.extend(&STOCKS[..stocks]);
        args.extend(["--set", "learner.learning_starts=64", "--batch-size", "64"]);
        args.extend(["--set", "network.embedding=16", "--set", "network.trunk=32"]);
        // With these rules, ranks report the losses of their accounts.
        let careful = stocks == 2;
        if careful {
            args.extend(["--set", "portfolio.drawdown_limit=0.01"]);
            args.extend(["--set", "portfolio.cluster_correlation=0", "--set"]);
            args.push("portfolio.cluster_limit=0.5");
            args.extend(["--set", "portfolio.meta_policy.enabled=true"]);
            // So that rules trade from the start.
            args.extend(["--set", "portfolio.meta_policy.dqn_prior=0.05"]);
        }
        let single = |output: &str, threads: &str| {
            let mut args = args.clone();
            args.extend(["--mode", "single", "--threads", threads, "--output", output]);
            succeed(&mut place.program(&args));
        };
        single("one", "1");
        single("two", "2");
        single("again", "2");
        assert_same(&place, "one", "two");
        assert_same(&place, "one", "again");
        assert_eq!(portfolios(&place, "one"), ["portfolio_ep1.csv", "portfolio_ep2.csv"]);
        let learned = rewards_and_losses(&place, "one").iter().any(|(_, loss)| loss != "null");
        assert!(learned, "no gradient step was made, so equal weights say nothing");
        if careful {
            let summary = place.text("one/summary.json");
            let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
            for reason in ["drawdown_stop", "cluster_limit"] {
                let count = summary["run"]["orders_changed"][reason].as_u64();
                assert!(count.is_some_and(|count| count > 0), "{reason}: {summary}");
            }
            assert_weights_move(&place.text("one/allocations.csv"));
        }
        for (run, ranks) in (0..).zip(ranks) {
            let output = format!("ranks{ranks}-{run}");
            let mut args = args.clone();
            args.extend(["--mode", "parallel", "--output", &output]);
            succeed(&mut place.mpirun(*ranks, &args));
            assert_same(&place, "one", &output);
        }
    }
}

/// The weights in a row sum to 1, and differ between start and end.
fn assert_weights_move(allocations: &str) {
    let mut lines = allocations.lines();
    let head: Vec<&str> = lines.next().unwrap().split(',').collect();
    let is_weight = |at: usize| head[at].ends_with("_weight");
    let weights = |line: &str| -> Vec<f64> {
        let cells = line.split(',').enumerate().filter(|(at, _)| is_weight(*at));
        cells.map(|(_, cell)| cell.parse().unwrap()).collect()
    };
    let rows: Vec<Vec<f64>> = lines.map(weights).collect();
    assert_eq!(rows[0].len(), 9, "eight rules and the DQN: {head:?}");
    for row in &rows {
        assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{row:?}");
    }
    assert_ne!(rows.first(), rows.last());
}

/// Each pair of ranks simulates a node, so the panel is sent over MPI to the second and third.
#[test]
fn ranks_on_other_machines_get_the_panel_over_mpi() {
    let place = Place::new();
    let mut args = short(&["--episodes", "2", "--quiet", "--stocks", "A", "B", "C", "D"]);
    args.extend(["--mode", "parallel", "--output"]);
    let (mut near, mut far) = (args.clone(), args);
    near.push("near");
    far.push("far");
    succeed(&mut place.mpirun(5, &near));
    succeed(place.mpirun(5, &far).env("DQN_TRADER_RANKS_PER_NODE", "2"));
    assert_same(&place, "near", "far");
    for node in ["node-1", "node-2"] {
        let copies = std::fs::read_dir(place.path(&format!("cache/dqn-trader/panels/{node}")));
        assert_eq!(copies.unwrap().count(), 2, "training and evaluation panel on {node}");
    }
}

/// Gradients are summed over the ranks of five nodes, or over the threads of a few.
#[test]
fn many_ranks_on_many_machines_give_the_bytes_of_one_process() {
    let stocks: Vec<String> = (0..13).map(|i| format!("S{i:02}")).collect();
    let place = Place::new();
    let mut args = short(&["--episodes", "1", "--quiet", "--batch-size", "16", "--stocks"]);
    args.extend(stocks.iter().map(String::as_str));
    args.extend(["--set", "learner.learning_starts=64", "--set", "network.embedding=16"]);
    args.extend(["--set", "network.trunk=16", "--lanes", "2", "--output"]);
    let with = |output: &'static str, more: &[&'static str]| [&args[..], &[output], more].concat();
    succeed(&mut place.program(&with("one", &["--mode", "single"])));
    let learned = rewards_and_losses(&place, "one").iter().any(|(_, loss)| loss != "null");
    assert!(learned, "no gradient step was made, so equal weights say nothing");

    let many = with("many", &["--mode", "parallel"]);
    succeed(place.mpirun(14, &many).env("DQN_TRADER_RANKS_PER_NODE", "3"));
    assert_same(&place, "one", "many");
    let few = with("few", &["--mode", "parallel", "--threads", "2"]);
    succeed(&mut place.mpirun(3, &few));
    assert_same(&place, "one", "few");
}

#[test]
fn outside_mpirun_parallel_mode_starts_its_own_ranks() {
    let place = Place::new();
    let mut args = short(&["--episodes", "2", "--quiet", "--stocks", "AAPL", "MSFT", "--output"]);
    args.push("launched");
    let mut parallel = args.clone();
    parallel.extend(["--mode", "parallel"]);
    succeed(&mut place.program(&parallel));
    *args.last_mut().unwrap() = "single";
    succeed(&mut place.program(&args));
    assert_same(&place, "launched", "single");
}

#[test]
fn a_later_evaluation_reproduces_the_runs_own() {
    let place = Place::new();
    let data = place.path("data");
    write_day_files(&data, &["AAPL", "MSFT"], "2018-01-02", "2018-06-29");
    let data = data.to_str().unwrap();
    let mut flags = short(&["--data", data, "--stocks", "AAPL", "MSFT", "--episodes", "2"]);
    // Enough gradient steps for a policy that trades.
    flags.extend(["--set", "learner.learning_starts=64", "--batch-size", "32", "--quiet"]);
    flags.extend(["--fee-bps", "0", "--slippage-bps", "0"]);
    // The rules start with weights that at this time only the model's file contains.
    flags.extend(["--set", "portfolio.meta_policy.enabled=true"]);
    flags.extend(["--set", "portfolio.meta_policy.dqn_prior=0.2"]);
    succeed(&mut place.program(&flags));
    let trained = place.text("results/portfolio_ep2.csv");

    succeed(&mut place.program(&["evaluate", "--model", "results", "--quiet"]));
    assert_eq!(place.text("results/evaluation/portfolio.csv"), trained);
    let allocations = place.text("results/allocations.csv");
    assert_eq!(place.text("results/evaluation/allocations.csv"), allocations);
    assert_weights_move(&allocations);
    // The page, too, says the same of the account, and nothing of training.
    let pages = ["results/report.html", "results/evaluation/report.html"].map(|p| place.text(p));
    for title in ["Equity and drawdown", "Monthly returns", "Month by month", "Trades"] {
        let of = |page: &str| {
            let found = page.split("<h2>").find(|part| part.starts_with(title));
            found.unwrap_or_else(|| panic!("{title} is missing")).to_string()
        };
        assert_eq!(of(&pages[0]), of(&pages[1]));
    }
    let learned = pages.map(|page| page.contains("<h2>Learning</h2>"));
    assert_eq!(learned, [true, false]);
    let summaries = ["results/summary.json", "results/evaluation/summary.json"]
        .map(|name| serde_json::from_str::<serde_json::Value>(&place.text(name)).unwrap());
    assert_eq!(summaries[0]["eval"], summaries[1]["eval"]);
    assert_eq!(summaries[0]["benchmark"], summaries[1]["benchmark"]);
    let everyone = summaries[0]["everyone"].as_array().unwrap();
    assert_eq!(everyone, summaries[1]["everyone"].as_array().unwrap());
    let of = |role: &str| everyone.iter().find(|one| one["role"] == role).unwrap();
    // Rules traded, too.
    assert_ne!(of("dqn")["metrics"], summaries[0]["eval"]);
    assert_eq!(of("portfolio")["metrics"], summaries[0]["eval"]);
    assert_eq!(of("portfolio")["sharpe"], summaries[0]["inference"]["sharpe"]);
    assert_eq!(of("buy_and_hold")["metrics"], summaries[0]["benchmark"]);
    assert!(summaries[0]["eval"]["trades"].as_u64() > Some(0), "{}", summaries[0]);
    let [run, later] = summaries.map(|summary| summary["inference"].clone());
    for key in ["verdict", "p_value", "sharpe", "excess_sharpe", "deflated_sharpe", "timing"] {
        assert_eq!(run[key], later[key], "{key}");
    }
    assert_eq!(run["trials"]["count"], later["trials"]["count"], "it repeats a trial of the run");

    // Another desk on the same network: the DQN begins with nearly all of the weight; other experts
    // know nothing but their priors.
    let with = |set: &[&str]| {
        let set: Vec<&str> = set.iter().flat_map(|one| ["--set", *one]).collect();
        let flags = ["evaluate", "--model", "results", "--output", "desk", "--quiet"];
        let output = crate::program::run(&mut place.program(&[&flags[..], &set].concat()));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}");
        let allocations = place.text("desk/allocations.csv");
        let first: Vec<String> =
            allocations.lines().nth(1).unwrap().split(',').map(String::from).collect();
        let head = allocations.lines().next().unwrap();
        let place_of = head.split(',').position(|name| name == "dqn_weight").unwrap();
        (first[place_of].parse::<f64>().unwrap(), said)
    };
    let prior = "portfolio.meta_policy.unbelieved_dqn_prior=0.9";
    let (weight, said) = with(&[prior]);
    assert!(weight > 0.6 && !said.contains("begin at their priors"), "{weight} {said}");
    let alone = "portfolio.meta_policy.strategies=[\"flat\"]";
    let (weight, said) = with(&[prior, alone]);
    assert!(
        (weight - 0.9).abs() < 1e-9 && said.contains("begin at their priors"),
        "{weight} {said}"
    );

    // As on another machine: an empty cache, and only the bars of the evaluation and the weeks
    // before it.
    std::fs::remove_dir_all(place.path("cache")).unwrap();
    for symbol in ["AAPL", "MSFT"] {
        for month in ["01", "02"] {
            let folder = format!("data/stocks_intraday/{symbol}/2018/{month}");
            std::fs::remove_dir_all(place.path(&folder)).unwrap();
        }
    }
    succeed(&mut place.program(&["evaluate", "--model", "results", "--quiet"]));
    assert_eq!(place.text("results/evaluation/portfolio.csv"), trained);

    let later = ["evaluate", "--model", "results", "--eval_start", "2018-06-18"];
    let period = ["--eval_end", "2018-06-29", "--output", "june", "--quiet"];
    succeed(&mut place.program(&[&later[..], &period].concat()));
    let rows = place.text("june/portfolio.csv");
    assert!(rows.lines().nth(1).unwrap().starts_with("2018-06-18T14:00:00Z,2018-06-18,"));
    assert!(rows.lines().last().unwrap().starts_with("2018-06-29T20:00:00Z,2018-06-29,"));
}

#[test]
fn a_second_run_reads_no_bars() {
    let place = Place::new();
    let data = place.path("data");
    write_day_files(&data, &["AAPL"], "2018-01-02", "2018-06-29");
    let flags = ["--data", "data", "--stocks", "AAPL", "--episodes", "1"];
    let first = succeed(&mut place.program(&short(&flags)));
    let second = succeed(&mut place.program(&short(&flags)));
    let from_cache = |text: &str| text.matches("nothing was read").count();
    assert_eq!((from_cache(&first), from_cache(&second)), (0, 2), "{second}");
    assert!(second.contains("earlier"), "the first run's results are moved, and that is said");
    assert!(place.path("results/earlier/1/trained_model.pth").exists());

    // A changed training day leads to another panel, and to another scaling in the evaluation.
    let day = "data/stocks_intraday/AAPL/2018/03/AAPL_2018-03-01.parquet";
    std::fs::remove_file(place.path(day)).unwrap();
    let third = succeed(&mut place.program(&short(&flags)));
    assert_eq!(from_cache(&third), 0, "{third}");
}

/// One flipped bit in a cached price was a result of its own once.
#[test]
fn damaged_panels_are_made_again_and_give_the_same_results() {
    let place = Place::new();
    let flags = ["--stocks", "AAPL", "MSFT", "--episodes", "1", "--threads", "1"];
    let run_into = |output: &str, ranks: usize| {
        let mut args = short(&flags);
        args.extend(["--output", output]);
        if ranks == 1 {
            return succeed(&mut place.program(&args));
        }
        args.extend(["--mode", "parallel"]);
        succeed(&mut place.mpirun(ranks, &args))
    };
    let is_told = |text: &str| text.matches("its checksum is not that of its content").count();
    let damage = |share: usize| {
        let files = std::fs::read_dir(place.path("cache/dqn-trader/panels")).unwrap();
        let mut damaged = 0;
        // A link is another name of a panel.
        let files = files.map(|entry| entry.unwrap());
        let files = files.filter(|entry| entry.file_type().unwrap().is_file());
        for path in files.map(|entry| entry.path()) {
            let mut bytes = std::fs::read(&path).unwrap();
            let middle = bytes.len() * share / 100;
            bytes[middle] ^= 0x10;
            std::fs::write(&path, bytes).unwrap();
            damaged += 1;
        }
        damaged
    };
    let first = run_into("first", 1);
    assert_eq!(is_told(&first), 0, "{first}");
    assert_eq!(damage(50), 2, "a panel to train on, and one to evaluate on");
    let second = run_into("second", 1);
    assert_eq!(is_told(&second), 2, "{second}");
    assert_same(&place, "first", "second");
    // Rank 0 verifies for all, and says so once.
    damage(75);
    let third = run_into("third", 3);
    assert_eq!(is_told(&third), 2, "{third}");
    assert_same(&place, "first", "third");
    let fourth = run_into("fourth", 3);
    assert_eq!((is_told(&fourth), fourth.matches("nothing was read").count()), (0, 2), "{fourth}");
}

#[test]
fn ctrl_c_stops_cleanly_and_leaves_readable_results() {
    stop_and_check("single");
}

/// The program that started the ranks stays until they have ended.
#[test]
fn ctrl_c_reaches_the_ranks_that_the_program_started() {
    stop_and_check("parallel");
}

fn stop_and_check(mode: &str) {
    let place = Place::new();
    let mut args = short(&["--episodes", "100000", "--stocks", "AAPL", "MSFT"]);
    args.extend(["--eval-every", "100000", "--mode", mode]);
    let mut command = place.program(&args);
    let child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    let lines = || std::fs::read_to_string(place.path("results/metrics.jsonl")).unwrap_or_default();
    let started = std::time::Instant::now();
    while lines().lines().count() < 5 {
        assert!(started.elapsed().as_secs() < 60, "no metrics after a minute");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let pid = child.id().to_string();
    run(std::process::Command::new("kill").args(["-INT", &pid]));
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    for line in lines().lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    let summary: serde_json::Value =
        serde_json::from_str(&place.text("results/summary.json")).unwrap();
    assert!(summary["eval"].is_null() && summary["run"]["env_steps"].as_u64().unwrap() > 0);
    assert!(place.path("results/trained_model.pth").exists());
    succeed(&mut place.program(&["evaluate", "--model", "results", "--quiet"]));
}

/// Settings in a file take precedence over the environment.
#[test]
fn a_settings_file_goes_before_the_environment() {
    let place = Place::new();
    let container =
        |text: String| text.lines().find(|line| line.starts_with("container")).unwrap().to_string();
    std::fs::write(place.path("mine.toml"), "[data]\ncontainer = \"mine\"\n").unwrap();
    std::fs::write(place.path("other.toml"), "seed = 3\n").unwrap();
    for (file, expected) in [("mine.toml", "mine"), ("other.toml", "theirs")] {
        let args = short(&["--stocks", "AAPL", "--episodes", "1", "--quiet", "--config", file]);
        succeed(place.program(&args).env("AZURE_STORAGE_CONTAINER", "theirs"));
        let found = container(place.text("results/config.toml"));
        assert_eq!(found, format!("container = \"{expected}\""));
    }
}
