//! User errors: one line that says what is wrong, where, and what to do; exit code 2; nothing is
//! written.

use std::process::Command;

use crate::program::{Place, run, short, write_day_files};

/// Runs and returns the error line, which must contain all of `words`.
pub(crate) fn refused(command: &mut Command, words: &[&str]) -> String {
    let output = run(command);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{command:?}: {stderr}");
    let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{command:?} must say one line: {stderr}");
    assert!(!stderr.contains("panicked") && !stderr.contains("stack backtrace"), "{stderr}");
    for word in words {
        assert!(errors[0].contains(word), "{word:?} is missing in: {}", errors[0]);
    }
    errors[0].to_string()
}

#[test]
fn wrong_flags_and_settings_name_themselves() {
    let place = Place::new();
    for (args, words) in [
        (&["--bogus"][..], &["--bogus", "--help"][..]),
        (&["--stocks", "A/B"], &["--stocks", "A/B"]),
        (&["--stocks", "AAPL", "aapl"], &["--stocks", "AAPL", "twice"]),
        (&["--start_date", "2019-02-30"], &["--start_date", "2019-02-30"]),
        (&["--end_date", "2017-01-01"], &["--end_date", "2017-01-01"]),
        (&["--eval_start", "2019-06-01"], &["overlaps", "--allow-overlap"]),
        (&["--episodes", "0"], &["--episodes", "from 1 to 10000000"]),
        (&["--device", "tpu"], &["--device", "cpu", "cuda:N"]),
        (&["--device", "cuda:7"], &["cuda:7", "--device cpu"]),
        (&["--fee-bps", "-1"], &["fee"]),
        (&["--set", "learner.gamma=2"], &["learner.gamma"]),
        (&["--set", "learner.gama=0.9"], &["gama"]),
        (&["--set", "network.heads=7"], &["network.heads", "network.embedding"]),
        (&["--start_date=-262143-01-01"], &["--start_date", "1900"]),
        (&["--replay-ratio", "1000000"], &["--replay-ratio", "1e6"]),
        (&["--learning-rate", "inf"], &["--learning-rate"]),
        (&["--set", "learner.replay_capacity=5000000000"], &["replay_capacity", "2^26"]),
        (&["--set", "learner.adam_beta1=1.5"], &["learner.adam_beta1"]),
        (&["--set", "learner.adam_epsilon=-1"], &["learner.adam_epsilon"]),
        (&["--set", "learner.epsilon_alpha=-1"], &["learner.epsilon_alpha"]),
        (&["--set", "features.bollinger_width=nan"], &["features.bollinger_width"]),
        (&["--set", "network.trunk=1000000000"], &["network.trunk", "8192"]),
        (&["--set", "env.initial_cash=1e308"], &["env.initial_cash"]),
        (&["--set", "portfolio.identical_correlation=nan"], &["identical_correlation"]),
        (&["--set", "portfolio.cluster_limit=0"], &["cluster_limit", "inf"]),
        (&["--set", "portfolio.drawdown_limit=-0.1"], &["drawdown_limit", "inf"]),
        (&["--set", "portfolio.pairs=[[\"AAPL\", \"IBM\"]]"], &["portfolio.pairs", "IBM"]),
        (&["--set", "portfolio.pairs=[[\"AAPL\", \"aapl\"]]"], &["portfolio.pairs", "itself"]),
        (&["--set", "portfolio.target_volatility=0"], &["target_volatility", "inf"]),
        (&["--set", "portfolio.meta_policy.unbelieved_dqn_prior=1"], &["unbelieved", "below 1"]),
        (&["--set", "features.arbitrage_bars=10"], &["features.arbitrage_bars", "30"]),
        (&["--set", "features.autocorrelation_bars=[1]"], &["autocorrelation_bars", "from 2"]),
        (&["--set", "features.rsi_sessions=[1]"], &["features.rsi_sessions", "from 2 to 500"]),
        (&["--set", "features.return_sessions=[0]"], &["features.return_sessions", "from 1"]),
        (&["--set", "features.columns=[\"Close\"]"], &["features.columns", "Close", "bars"]),
        (&["--set", "features.columns=[\"vix\", \"VIX\"]"], &["features.columns", "twice"]),
        (&["--set", "features.columns=[\"vix\"]"], &["features.columns", "vix", "--data"]),
        (&["--set", "ranks.timeout_s=0.5"], &["ranks.timeout_s", "from 1 to 1e9"]),
        (&["--config", "nowhere.toml"], &["nowhere.toml"]),
        (&["--data", "synthetic:moon"], &["moon", "sample"]),
        (&["--data", "nowhere"], &["nowhere"]),
        (&["--data", "azure"], &["AZURE_STORAGE_CONNECTION_STRING", "cloudkeys"]),
        (&["evaluate", "--model", "nowhere"], &["nowhere", "config.toml"]),
    ] {
        refused(&mut place.program(args), words);
    }
    assert!(!place.path("results").join("config.toml").exists());
}

#[test]
fn an_unreadable_key_file_is_named_and_not_shown() {
    let place = Place::new();
    std::fs::create_dir(place.path(".cloudkeys")).unwrap();
    let keys = "AZURE_STORAGE_CONNECTION_STRING=\"AccountKey=TopSecret==\nnot a line\n";
    std::fs::write(place.path(".cloudkeys/api_keys.env"), keys).unwrap();
    let line = refused(&mut place.program(&["--data", "azure"]), &[".cloudkeys/api_keys.env"]);
    assert!(!line.contains("TopSecret"), "{line}");
    let connection = "DefaultEndpointsProtocol=https;AccountName=someone;AccountKey=!Top!Secret!";
    let mut command = place.program(&["--data", "azure"]);
    std::fs::remove_file(place.path(".cloudkeys/api_keys.env")).unwrap();
    let line = refused(command.env("AZURE_STORAGE_CONNECTION_STRING", connection), &["AccountKey"]);
    assert!(!line.contains("Top!Secret"), "{line}");
}

#[test]
fn keys_are_kept_from_other_users_and_from_the_network() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let file = place.path(".cloudkeys/api_keys.env");
    std::fs::create_dir(place.path(".cloudkeys")).unwrap();
    let connection = "AccountName=someone;AccountKey=bm90IGEga2V5;BlobEndpoint=http://10.0.0.1/";
    std::fs::write(&file, format!("AZURE_STORAGE_CONNECTION_STRING='{connection}'\n")).unwrap();
    for (mode, lines) in [(0o644, 1), (0o600, 0)] {
        std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        let mut command = place.program(&["--data", "azure"]);
        let stderr = String::from_utf8(run(&mut command).stderr).unwrap();
        let warnings = stderr.lines().filter(|line| line.contains("other users can read"));
        assert_eq!(warnings.count(), lines, "{stderr}");
        refused(&mut command, &["Azure connection string", "https"]);
    }
}

#[test]
fn data_that_cannot_be_used_are_named_before_anything_is_written() {
    let place = Place::new();
    write_day_files(&place.path("data"), &["AAPL", "MSFT"], "2018-01-02", "2018-06-29");
    let with = |more: &[&'static str]| {
        let mut args = short(&["--data", "data", "--quiet"]);
        args.extend(more);
        args
    };
    refused(&mut place.program(&with(&["--stocks", "AAPL", "MSTF"])), &["MSTF", "MSFT"]);
    let past = ["--stocks", "AAPL", "--start_date", "1999-01-04", "--end_date", "1999-06-30"];
    refused(&mut place.program(&with(&past)), &["AAPL", "1999-01-04", "2018-01-02"]);
    let few = ["--stocks", "AAPL", "--start_date", "2018-01-02", "--end_date", "2018-01-05"];
    refused(&mut place.program(&with(&few)), &["2018-01-02", "--bar-minutes"]);
    let none = ["--stocks", "AAPL", "--bar-minutes", "0"];
    refused(&mut place.program(&with(&none)), &["--bar-minutes"]);

    let vix = ["--stocks", "AAPL", "--set", "features.columns=[\"vix\"]"];
    let words = ["AAPL_2018-01-02.parquet: has no column vix", "write it into every day file"];
    refused(&mut place.program(&with(&vix)), &words);

    let day = "data/stocks_intraday/AAPL/2018/03/AAPL_2018-03-01.parquet";
    let whole = place.read(day);
    for (content, what) in [
        (&whole[..whole.len() / 2], "truncated"),
        (&b"timestamp,open,high,low,close,volume\n"[..], "a CSV file"),
        (&[][..], "empty"),
    ] {
        std::fs::write(place.path(day), content).unwrap();
        let line = refused(
            &mut place.program(&with(&["--stocks", "AAPL", "MSFT"])),
            &["AAPL_2018-03-01.parquet"],
        );
        assert!(!line.is_empty(), "{what}");
    }
    let no_close = format!("{}/tests/fixtures/bad_no_close.parquet", env!("CARGO_MANIFEST_DIR"));
    std::fs::copy(no_close, place.path(day)).unwrap();
    let words = ["AAPL_2018-03-01.parquet", "close"];
    refused(&mut place.program(&with(&["--stocks", "AAPL"])), &words);
    assert!(!place.path("results").join("config.toml").exists());
}

#[test]
fn an_unwritable_results_folder_is_reported_before_the_work() {
    let place = Place::new();
    std::fs::write(place.path("taken"), "a file").unwrap();
    let args = short(&["--stocks", "AAPL", "--output", "taken", "--quiet"]);
    refused(&mut place.program(&args), &["taken", "--output"]);
    assert_eq!(place.text("taken"), "a file");
}

#[test]
fn a_model_of_another_run_is_refused() {
    let place = Place::new();
    let mut args = short(&["--stocks", "AAPL", "--episodes", "1", "--quiet"]);
    crate::program::succeed(&mut place.program(&args));
    args.extend(["--set", "network.trunk=32", "--output", "other"]);
    crate::program::succeed(&mut place.program(&args));
    std::fs::copy(place.path("other/trained_model.pth"), place.path("results/trained_model.pth"))
        .unwrap();
    let evaluate = ["evaluate", "--model", "results", "--quiet"];
    refused(&mut place.program(&evaluate), &["trained_model.pth", "trunk.0.weight"]);
    std::fs::write(place.path("results/trained_model.pth"), b"PK\x03\x04 and no more").unwrap();
    refused(&mut place.program(&evaluate), &["trained_model.pth"]);
}

#[test]
fn an_invalid_number_of_ranks_is_rejected_by_rank_0_alone() {
    let place = Place::new();
    let parallel = |more: &[&'static str]| {
        let mut args = short(&["--mode", "parallel", "--quiet"]);
        args.extend(more);
        args
    };
    let two = ["--stocks", "AAPL", "MSFT"];
    refused(&mut place.mpirun(4, &parallel(&two)), &["4 ranks", "2 stocks", "mpirun -n 3"]);
    refused(&mut place.mpirun(1, &parallel(&two)), &["one rank", "mpirun -n 3", "--mode single"]);
    refused(&mut place.mpirun(3, &short(&["--mode", "single"])), &["--mode single", "3"]);
    refused(&mut place.mpirun(3, &parallel(&["--bogus"])), &["--bogus"]);
    refused(&mut place.mpirun(3, &parallel(&["--data", "nowhere"])), &["nowhere"]);
    refused(&mut place.program(&parallel(&["--data", "nowhere"])), &["nowhere"]);
    write_day_files(&place.path("data"), &["AAPL"], "2018-01-02", "2018-01-31");
    let unknown = parallel(&["--data", "data", "--stocks", "AAPL", "NOPE"]);
    refused(&mut place.mpirun(3, &unknown), &["NOPE", "AAPL"]);
    refused(&mut place.mpirun(3, &parallel(&["--device", "cuda:3"])), &["cuda:3"]);
    assert!(!place.path("results").join("config.toml").exists());
}

/// Only rank 0 has this error, while the others wait for its weights.
#[test]
fn an_error_of_one_rank_ends_all() {
    let place = Place::new();
    let mut args = short(&["--mode", "parallel", "--quiet", "--stocks", "AAPL", "MSFT"]);
    args.extend(["--set", "learner.learning_starts=64", "--batch-size", "64"]);
    args.extend(["--episodes", "2", "--learning-rate", "1e10"]);
    args.extend(["--set", "learner.weight_decay=0"]);
    refused(&mut place.mpirun(3, &args), &["diverged", "learning rate"]);
}

#[test]
fn an_evaluation_does_not_move_the_model_that_it_evaluates() {
    let place = Place::new();
    let args = short(&["--stocks", "AAPL", "--episodes", "1", "--quiet"]);
    crate::program::succeed(&mut place.program(&args));
    let into = ["evaluate", "--model", "results", "--output", "./results/", "--quiet"];
    refused(&mut place.program(&into), &["--output", "results"]);
    let device = ["evaluate", "--model", "results", "--device", "cuda:7"];
    refused(&mut place.program(&device), &["cuda:7", "--device cpu"]);
    let gamma = ["evaluate", "--model", "results", "--set", "learner.gamma=0.9", "--quiet"];
    refused(&mut place.program(&gamma), &["learner.gamma", "portfolio.*"]);
    let long_only = ["evaluate", "--model", "results", "--set", "env.long_only=true", "--quiet"];
    refused(&mut place.program(&long_only), &["env.long_only", "train anew"]);
    assert!(place.path("results/trained_model.pth").exists());
}

#[test]
fn without_mpirun_parallel_mode_says_what_is_missing() {
    let place = Place::new();
    let args = short(&["--mode", "parallel", "--stocks", "AAPL"]);
    let mut command = place.program(&args);
    refused(command.env("PATH", place.path("empty")), &["mpirun", "--mode single"]);
}

/// `srun` without `--mpi`: every process would do the whole work.
#[test]
fn processes_of_one_slurm_step_that_do_not_know_each_other_are_refused() {
    let place = Place::new();
    let start = |number: &str, args: &[&str]| {
        let mut command = place.program(args);
        command.env("SLURM_PROCID", number).env("SLURM_STEP_NUM_TASKS", "3");
        command
    };
    let train = short(&["--stocks", "AAPL", "--mode", "parallel"]);
    let expected = ["srun started 3 processes", "srun --mpi=pmix"];
    refused(&mut start("0", &train), &expected);
    refused(&mut start("0", &short(&["--stocks", "AAPL"])), &expected);
    let other = run(&mut start("2", &train));
    assert_eq!(other.status.code(), Some(2));
    assert!(other.stderr.is_empty(), "one line is enough: {other:?}");
    assert!(!place.path("results").exists());
}
