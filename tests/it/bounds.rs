//! Every number has bounds, and a run at the bounds ends as any other: with one of the exit codes of
//! the help, never with a panic or for want of memory.

use std::process::Command;

use dqn_trader::config::{RunConfig, StudyConfig};
use toml::Value;

use crate::program::{Place, run, succeed};

/// The defaults, with everything set that is a number and may be left out.
fn every_setting() -> RunConfig {
    let mut config = RunConfig { study: Some(StudyConfig::default()), ..RunConfig::default() };
    config.data.bar_minutes = Some(5);
    config.features.return_sessions = Some(vec![1]);
    config.features.volatility_sessions = vec![1];
    config.features.autocorrelation_bars = vec![2];
    config.features.rsi_sessions = vec![2];
    config.asynchronous.max_staleness = Some(8);
    config.portfolio.name_limit = Some(1.0);
    config.portfolio.cluster_limit = Some(1.0);
    config.portfolio.meta_policy.period_bars = Some(13);
    config
}

#[derive(Clone, Debug)]
struct Setting {
    key: String,
    default: f64,
    is_whole: bool,
    is_list: bool,
}

impl Setting {
    fn assignment(&self, value: &str) -> String {
        let Setting { key, is_list, .. } = self;
        if *is_list { format!("{key}=[{value}]") } else { format!("{key}={value}") }
    }

    /// Whether the settings `config` can be used with this one changed.
    fn accepts(&self, config: &RunConfig, value: &str) -> bool {
        let changed = config.with_setting(&self.assignment(value));
        changed.is_ok_and(|changed| changed.validate().is_ok())
    }

    fn text(&self, value: f64) -> String {
        if self.is_whole { format!("{value:.0}") } else { format!("{value:e}") }
    }

    /// The accepted value that is the furthest from the default, to one part in a million, between it
    /// and `end`.
    fn furthest(&self, config: &RunConfig, end: f64) -> String {
        let (mut good, mut bad) = (self.default, end);
        if self.accepts(config, &self.text(bad)) {
            return self.text(bad);
        }
        for _ in 0..1_100 {
            let half = good + (bad - good) / 2.0;
            let middle = if self.is_whole { half.round() } else { half };
            if middle == good || middle == bad {
                break;
            }
            if self.accepts(config, &self.text(middle)) { good = middle } else { bad = middle }
        }
        self.text(good)
    }
}

fn collect(table: &toml::Table, path: &str, found: &mut Vec<Setting>) {
    for (name, value) in table {
        let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let (one, is_list) = match value {
            Value::Array(list) => (list.first().unwrap_or(value), true),
            one => (one, false),
        };
        let (default, is_whole) = match one {
            Value::Table(table) => {
                collect(table, &key, found);
                continue;
            }
            Value::Integer(number) => (*number as f64, true),
            Value::Float(number) => (*number, false),
            _ => continue,
        };
        found.push(Setting { key, default, is_whole, is_list });
    }
}

fn settings() -> Vec<Setting> {
    let (table, mut found) = (toml::Table::try_from(every_setting()).unwrap(), Vec::new());
    collect(&table, "", &mut found);
    assert!(found.len() > 60, "{found:?}");
    found
}

/// Each of these limits something, which inf switches off.
const MAY_BE_INFINITE: [&str; 12] = [
    "checkpoint.every_s",
    "env.rebalance_band",
    "features.clip_std",
    "learner.max_grad_norm",
    "portfolio.cluster_correlation",
    "portfolio.cluster_limit",
    "portfolio.drawdown_limit",
    "portfolio.gross_limit",
    "portfolio.identical_correlation",
    "portfolio.name_limit",
    "portfolio.net_limit",
    "portfolio.target_volatility",
];

#[test]
fn every_setting_is_bounded_both_ways() {
    let config = every_setting();
    assert_eq!(config.validate(), Ok(()));
    for setting in settings() {
        let refused = |values: &[&str]| {
            for value in values {
                assert!(!setting.accepts(&config, value), "{}", setting.assignment(value));
            }
        };
        refused(&["nan", "-inf", "-1e300", "-9223372036854775808", "9223372036854775807"]);
        refused(&["18446744073709551615", "1e400", "\"many\"", "true", "{}", "[[]]"]);
        if !MAY_BE_INFINITE.contains(&setting.key.as_str()) {
            refused(&["inf"]);
        }
        // In single precision, this is inf.
        if setting.key != "features.clip_std" {
            refused(&["1e308"]);
        }
        // Either way, but no panic.
        for value in ["0", "-1", "-0.0", "5e-324", "1", "4294967295", "4294967296", "1e9"] {
            setting.accepts(&config, value);
        }
    }
}

/// A shell that limits memory, and stops what takes too long.
fn limited(program: &Command, seconds: u32) -> Command {
    let mut command = Command::new("bash");
    let limit = "ulimit -c 0 -v 10000000; exec timeout --signal=INT --kill-after=20";
    command.args(["-c", &format!("{limit} {seconds} \"$0\" \"$@\"")]);
    command.arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(folder) = program.get_current_dir() {
        command.current_dir(folder);
    }
    command.stdin(std::process::Stdio::null());
    command
}

#[test]
fn a_run_at_the_bounds_ends_as_any_other() {
    let place = Place::new();
    let days = ["--start_date", "2020-01-02", "--end_date", "2020-02-28"];
    let market = ["synth", "random_walk", "--data", "bars", "--stocks", "AAA", "BBB"];
    let more = ["--bar-minutes", "15", "--quiet"];
    succeed(&mut place.program(&[&market[..], &days, &more].concat()));
    let mut base = RunConfig {
        stocks: ["AAA", "BBB"].map(|name| name.parse().unwrap()).into(),
        start_date: "2020-01-02".parse().unwrap(),
        end_date: "2020-02-14".parse().unwrap(),
        eval_start: "2020-02-17".parse().unwrap(),
        eval_end: "2020-02-28".parse().unwrap(),
        episodes: 2,
        ..every_setting()
    };
    base.study = None;
    base.data.source = Some("bars".into());
    base.data.bar_minutes = Some(15);
    base.features.warmup_bars = 20;
    base.features.volume_bars = 40;
    base.features.relation_bars = 40;
    base.features.volatility_bars = vec![15];
    base.features.return_bars = vec![1, 5];
    base.learner.learning_starts = 64;
    base.network.embedding = 16;
    // These decide what is run, or for how long, or make a run that only takes long.
    let fixed = ["data.bar_minutes", "episodes", "learner.replay_ratio", "network.embedding"];
    let free = |setting: &Setting| !fixed.contains(&setting.key.as_str());
    let own = |setting: &Setting| setting.key.split('.').next().unwrap().to_string();
    let settings: Vec<Setting> = settings()
        .into_iter()
        .filter(|setting| free(setting) && !setting.key.starts_with("study."))
        .collect();
    let mut sections: Vec<String> = settings.iter().map(own).collect();
    sections.sort();
    sections.dedup();
    for section in &sections {
        for end in [-1e300, 1e300] {
            let mut config = base.clone();
            for setting in settings.iter().filter(|setting| own(setting) == *section) {
                let value = setting.furthest(&config, end);
                if setting.accepts(&config, &value) {
                    config = config.with_setting(&setting.assignment(&value)).unwrap();
                }
            }
            config.validate().unwrap();
            std::fs::write(place.path("run.toml"), toml::to_string(&config).unwrap()).unwrap();
            let args = ["--config", "run.toml", "--quiet", "--output", "out"];
            let output = run(&mut limited(&place.program(&args), 20));
            let stderr = String::from_utf8_lossy(&output.stderr);
            let code = output.status.code();
            // 124: stopped for the time, and ended when it was asked to.
            let is_right = matches!(code, Some(0 | 1 | 2 | 3 | 124 | 130));
            assert!(is_right, "{section} towards {end}: {code:?}: {stderr}");
            let errors = stderr.lines().filter(|line| line.starts_with("error: ")).count();
            assert_eq!(errors, usize::from(code == Some(2)), "{section} towards {end}: {stderr}");
        }
    }
}
