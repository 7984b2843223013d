//! Flags and subcommands, and how they become a [`RunConfig`].

mod agents;
mod data;
mod strategies;
mod validate;

use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use clap::{Args, Parser, Subcommand};

use crate::config::{BarLabel, Compression, ConfigError, Mode, RunConfig, SyncMode};
use crate::market::Symbol;

pub use agents::*;
pub use data::*;
pub use strategies::*;
pub use validate::*;

/// Names the Azure container where neither a flag nor a settings file does.
pub const CONTAINER: &str = "AZURE_STORAGE_CONTAINER";

/// Train trading agents by distributed deep Q-learning on intraday bars: one worker per stock,
/// shared weights, cross-stock attention, in one process or over MPI ranks with the same result.
#[derive(Parser, Debug)]
#[command(
    name = "dqn-trader",
    version,
    args_conflicts_with_subcommands = true,
    args_override_self = true,
    allow_negative_numbers = true,
    after_help = "EXAMPLES\n  \
        dqn-trader --mode single                                    the built-in sample market, on this machine\n  \
        dqn-trader --mode single --data bars/ --stocks AAPL SPY     day files below bars/stocks_intraday/\n  \
        ./run_with_env.sh mpirun -n 6 dqn-trader --mode parallel --data azure\n  \
        dqn-trader evaluate --model results --eval_start 2020-07-01\n  \
        dqn-trader synth momentum:7 --data made-up/ --stocks AAA BBB\n  \
        dqn-trader strategies run --data bars/ --stocks AAPL SPY    plain strategies, without training\n  \
        dqn-trader agents --config configs/default_config.json      agents side by side, a process each\n  \
        dqn-trader validate --quick                                 what it learns where the best is known\n  \
        dqn-trader fetch --stocks AAPL SPY --data bars/             bars from Alpha Vantage, then: data check --data bars/\n\n\
        FILES\n  \
        .cloudkeys/api_keys.env   AZURE_STORAGE_CONNECTION_STRING=..., ALPHAVANTAGE_API_KEY=..., read at the start where it exists\n\n\
        Exit code 0: done; 1: validate missed a bar, an agent failed, or data check found something wrong; \
        2: something in the flags, the data or the surroundings has to be mended; \
        3: a rank died or hung; 130: stopped by Ctrl-C."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub train: TrainArgs,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Let a trained model trade a period, greedily and without learning
    Evaluate(EvaluateArgs),
    /// Write the bars of a made-up market as day files
    Synth(SynthArgs),
    /// Train on every planted market and compare with the best possible reward
    Validate(ValidateArgs),
    /// Plain trading strategies, without training
    Strategies(StrategiesArgs),
    /// Agents of a JSON configuration side by side: trained runs, strategies, language models
    Agents(AgentsArgs),
    /// Download intraday bars from Alpha Vantage into day files
    Fetch(FetchArgs),
    /// Turn CSV or Parquet tables into day files
    Import(ImportArgs),
    /// Check stored bars, or send them to Azure
    Data(DataCommandArgs),
}

/// What says nothing about the result: where the cache is, how much is said.
#[derive(Args, Debug, Clone)]
pub struct Surroundings {
    /// Folder for fetched files and feature panels [default: ~/.cache/dqn-trader]
    #[arg(long, value_name = "DIR", help_heading = "Surroundings")]
    pub cache: Option<PathBuf>,
    /// Threads of a single-mode run [default: one per core]
    #[arg(long, value_name = "N", help_heading = "Surroundings")]
    pub threads: Option<usize>,
    /// Say nothing but errors and the closing table
    #[arg(long, short, help_heading = "Surroundings")]
    pub quiet: bool,
}

#[derive(Args, Debug, Clone)]
pub struct TrainArgs {
    /// Training mode: one process, or MPI ranks (started by mpirun, or by the program itself)
    /// [default: single]
    #[arg(long, value_enum)]
    pub mode: Option<Mode>,
    /// Stock symbols to train on [default: AAPL MSFT GOOGL AMZN META]
    #[arg(long, num_args = 1.., value_delimiter = ',', value_name = "SYMBOL")]
    pub stocks: Vec<Symbol>,
    /// First day of training, YYYY-MM-DD [default: 2018-01-01]
    #[arg(long = "start_date", alias = "start-date", value_name = "DATE")]
    pub start_date: Option<NaiveDate>,
    /// Last day of training [default: 2019-12-31]
    #[arg(long = "end_date", alias = "end-date", value_name = "DATE")]
    pub end_date: Option<NaiveDate>,
    /// First day of evaluation [default: 2020-01-01]
    #[arg(long = "eval_start", alias = "eval-start", value_name = "DATE")]
    pub eval_start: Option<NaiveDate>,
    /// Last day of evaluation [default: 2020-12-31]
    #[arg(long = "eval_end", alias = "eval-end", value_name = "DATE")]
    pub eval_end: Option<NaiveDate>,
    /// Passes over the training period [default: 100]
    #[arg(long, value_name = "N")]
    pub episodes: Option<u32>,
    /// Folder for the results; an earlier run in it is moved to earlier/N, not lost [default:
    /// results]
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Seed of every random stream [default: 1]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Settings file, such as an earlier run's config.toml; flags override it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Any setting of config.toml, such as learner.gamma=0.95; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Where the networks run: cpu or cuda:N [default: cpu]
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    #[command(flatten)]
    pub data: DataArgs,

    /// Fee per trade, basis points of its value [default: 1]
    #[arg(long, visible_alias = "fee_bps", value_name = "BPS", help_heading = "Trading")]
    pub fee_bps: Option<f64>,
    /// Distance of a fill from the open, against the trader, basis points [default: 1]
    #[arg(long, visible_alias = "slippage_bps", value_name = "BPS", help_heading = "Trading")]
    pub slippage_bps: Option<f64>,
    /// No short positions
    #[arg(long, alias = "long_only", help_heading = "Trading")]
    pub long_only: bool,

    /// Segments of the training period that step side by side [default: 64]
    #[arg(long, value_name = "N", help_heading = "Learning")]
    pub lanes: Option<usize>,
    /// Sampled transitions per gradient step and stock [default: 64]
    #[arg(long, alias = "batch_size", value_name = "N", help_heading = "Learning")]
    pub batch_size: Option<usize>,
    /// Sampled transitions per new one [default: 1]
    #[arg(long, alias = "replay_ratio", value_name = "RATIO", help_heading = "Learning")]
    pub replay_ratio: Option<f64>,
    /// Step size of Adam at the start; it falls to 0 [default: 0.002]
    #[arg(long, alias = "learning_rate", value_name = "RATE", help_heading = "Learning")]
    pub learning_rate: Option<f64>,
    /// Let a stock see nothing of the others: no attention, no features of its peers
    #[arg(long, alias = "no_attention", help_heading = "Learning")]
    pub no_attention: bool,
    /// How workers keep step: bar by bar together, with the same result however many processes, or
    /// each at its own pace [default: lockstep]
    #[arg(long, value_enum, help_heading = "Learning")]
    pub sync: Option<SyncMode>,
    /// Without lockstep: drop a gradient when more than so many others were used since its weights
    /// were fetched [default: 8 per stock]
    #[arg(long, alias = "max_staleness", value_name = "N", help_heading = "Learning")]
    pub max_staleness: Option<u64>,
    /// Without lockstep: how gradients are packed for slow networks [default: none]
    #[arg(long, value_enum, help_heading = "Learning")]
    pub compression: Option<Compression>,
    /// Evaluate after every so many episodes; after the last one always [default: 10]
    #[arg(long, alias = "eval_every", value_name = "N", help_heading = "Learning")]
    pub eval_every: Option<u32>,

    /// Go on from the newest checkpoint in the results folder, or begin where there is none
    #[arg(long, help_heading = "Surroundings")]
    pub resume: bool,
    /// Seconds between checkpoints; inf: only when told to stop [default: 300]
    #[arg(long, alias = "checkpoint_every", value_name = "S", help_heading = "Surroundings")]
    pub checkpoint_every: Option<f64>,
    /// How often a parallel run that started its own ranks may start them again after a rank died
    #[arg(long, alias = "max_restarts", value_name = "N", default_value_t = 3)]
    #[arg(help_heading = "Surroundings")]
    pub max_restarts: u32,
    #[command(flatten)]
    pub surroundings: Surroundings,
}

#[derive(Args, Debug, Clone)]
pub struct DataArgs {
    #[command(flatten)]
    pub bars: BarArgs,
    /// Evaluate on days that were trained on
    #[arg(long, alias = "allow_overlap", help_heading = "Data")]
    pub allow_overlap: bool,
}

#[derive(Args, Debug, Clone)]
pub struct BarArgs {
    /// Where bars come from: azure, a folder, or synthetic:MARKET[:SEED], with a market that synth
    /// --help lists [default: azure where a connection string is set, else synthetic:sample]
    #[arg(long, value_name = "SOURCE", help_heading = "Data")]
    pub data: Option<String>,
    /// Azure Blob container [env: AZURE_STORAGE_CONTAINER] [default: stock-data]
    #[arg(long, value_name = "NAME", help_heading = "Data")]
    pub container: Option<String>,
    /// Length of a bar, minutes [default: as the data has it]
    #[arg(long, alias = "bar_minutes", value_name = "N", help_heading = "Data")]
    pub bar_minutes: Option<u32>,
    /// Whether timestamps name a bar's start or end [default: auto]
    #[arg(long, alias = "bar_label", value_enum, help_heading = "Data")]
    pub bar_label: Option<BarLabel>,
    /// Keep bars outside 09:30 to 16:00 New York time
    #[arg(long, alias = "extended_hours", help_heading = "Data")]
    pub extended_hours: bool,
    /// Take a bad row for an error instead of leaving it out
    #[arg(long, help_heading = "Data")]
    pub strict: bool,
}

#[derive(Args, Debug, Clone)]
pub struct EvaluateArgs {
    /// Results folder of a finished run
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// First day [default: as in the run]
    #[arg(long = "eval_start", alias = "eval-start", value_name = "DATE")]
    pub eval_start: Option<NaiveDate>,
    /// Last day [default: as in the run]
    #[arg(long = "eval_end", alias = "eval-end", value_name = "DATE")]
    pub eval_end: Option<NaiveDate>,
    /// Folder for portfolio.csv and summary.json [default: evaluation, in the run's folder]
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Where the network runs: cpu or cuda:N [default: as in the run]
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    #[command(flatten)]
    pub data: DataArgs,
    #[command(flatten)]
    pub surroundings: Surroundings,
}

#[derive(Args, Debug, Clone)]
pub struct SynthArgs {
    /// sample, lead_lag, mean_reversion, momentum, regimes, pairs, random_walk or leaked, with a
    /// seed as in momentum:7 [default seed: 1]; lead_lag-3 and pairs-3 plant in the first three
    /// couples of stocks only
    #[arg(value_name = "MARKET")]
    pub market: String,
    /// Folder, or azure, to which the day files are written; it is made where there is none
    #[arg(long, value_name = "DIR")]
    pub data: String,
    /// Azure Blob container [env: AZURE_STORAGE_CONTAINER] [default: stock-data]
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
    /// Symbols, which decide who follows whom by their order [default: AAPL MSFT GOOGL AMZN META]
    #[arg(long, num_args = 1.., value_delimiter = ',', value_name = "SYMBOL")]
    pub stocks: Vec<Symbol>,
    /// First day, YYYY-MM-DD [default: 2018-01-01]
    #[arg(long = "start_date", alias = "start-date", value_name = "DATE")]
    pub start_date: Option<NaiveDate>,
    /// Last day [default: 2020-12-31]
    #[arg(long = "end_date", alias = "end-date", value_name = "DATE")]
    pub end_date: Option<NaiveDate>,
    /// Length of a bar, minutes [default: 1 for sample, else 30]
    #[arg(long, alias = "bar_minutes", value_name = "N")]
    pub bar_minutes: Option<u32>,
    /// Say nothing but errors
    #[arg(long, short)]
    pub quiet: bool,
}

impl TrainArgs {
    /// Defaults, then the settings file, then `--set`, then the other flags; validated.
    pub fn resolve(&self) -> Result<RunConfig, ConfigError> {
        let mut config = match &self.config {
            Some(path) => read_config(path)?,
            None => settings("").unwrap_or_default(),
        };
        for assignment in &self.set {
            config = config.with(assignment)?;
        }
        if !self.stocks.is_empty() {
            config.stocks.clone_from(&self.stocks);
        }
        set(&mut config.mode, &self.mode);
        set(&mut config.start_date, &self.start_date);
        set(&mut config.end_date, &self.end_date);
        set(&mut config.eval_start, &self.eval_start);
        set(&mut config.eval_end, &self.eval_end);
        set(&mut config.episodes, &self.episodes);
        set(&mut config.output, &self.output);
        set(&mut config.seed, &self.seed);
        set(&mut config.device, &self.device);
        set(&mut config.env.fee_bps, &self.fee_bps);
        set(&mut config.env.slippage_bps, &self.slippage_bps);
        config.env.long_only |= self.long_only;
        set(&mut config.learner.lanes, &self.lanes);
        set(&mut config.learner.batch_size, &self.batch_size);
        set(&mut config.learner.replay_ratio, &self.replay_ratio);
        set(&mut config.learner.learning_rate, &self.learning_rate);
        config.network.attention &= !self.no_attention;
        config.features.peers &= !self.no_attention;
        set(&mut config.sync, &self.sync);
        set(&mut config.asynchronous.compression, &self.compression);
        if self.max_staleness.is_some() {
            config.asynchronous.max_staleness = self.max_staleness;
        }
        set(&mut config.evaluation.every_episodes, &self.eval_every);
        set(&mut config.checkpoint.every_s, &self.checkpoint_every);
        self.data.apply(&mut config);
        config.validate()?;
        Ok(config)
    }
}

impl EvaluateArgs {
    /// The run's own settings with what the flags change.
    pub fn resolve(&self) -> Result<RunConfig, ConfigError> {
        let mut config = read_config(&self.model.join("config.toml"))?;
        config.mode = Mode::Single;
        set(&mut config.eval_start, &self.eval_start);
        set(&mut config.eval_end, &self.eval_end);
        config.output = self.output.clone().unwrap_or_else(|| self.model.join("evaluation"));
        set(&mut config.device, &self.device);
        if is_same_folder(&config.output, &self.model) {
            let what = format!("{} is the folder of the run itself", self.model.display());
            return Err(ConfigError::new("--output", what, "name another, or leave it out"));
        }
        self.data.apply(&mut config);
        config.validate()?;
        Ok(config)
    }
}

impl DataArgs {
    fn apply(&self, config: &mut RunConfig) {
        self.bars.apply(config);
        config.data.allow_overlap |= self.allow_overlap;
    }
}

impl BarArgs {
    fn apply(&self, config: &mut RunConfig) {
        let data = &mut config.data;
        if self.data.is_some() {
            data.source.clone_from(&self.data);
        }
        set(&mut data.container, &self.container);
        if self.bar_minutes.is_some() {
            data.bar_minutes = self.bar_minutes;
        }
        set(&mut data.bar_label, &self.bar_label);
        data.extended_hours |= self.extended_hours;
        data.strict |= self.strict;
    }
}

fn set<T: Clone>(field: &mut T, flag: &Option<T>) {
    if let Some(value) = flag {
        field.clone_from(value);
    }
}

fn is_same_folder(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

fn read_config(path: &Path) -> Result<RunConfig, ConfigError> {
    let field = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|e| {
        ConfigError::new(
            &field,
            e.to_string(),
            "name a config.toml or the folder of a finished run",
        )
    })?;
    settings(&text).map_err(|e| {
        ConfigError::new(&field, one_line(&e.to_string()), "correct it, or start from a run's file")
    })
}

/// The settings that `text` names, over the environment's, over the defaults.
fn settings(text: &str) -> Result<RunConfig, toml::de::Error> {
    let mut config: RunConfig = toml::from_str(text)?;
    let named: toml::Table = toml::from_str(text)?;
    if named.get("data").is_none_or(|data| data.get("container").is_none()) {
        set(&mut config.data.container, &std::env::var(CONTAINER).ok());
    }
    Ok(config)
}

/// A message of several lines as one.
pub fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Standard folder for what can be made again.
pub fn cache_folder(surroundings: &Surroundings) -> PathBuf {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let standard = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    surroundings
        .cache
        .clone()
        .unwrap_or_else(|| standard.unwrap_or_else(std::env::temp_dir).join("dqn-trader"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(flags: &[&str]) -> Result<RunConfig, ConfigError> {
        let mut words = vec!["dqn-trader"];
        words.extend(flags);
        Cli::try_parse_from(words).unwrap().train.resolve()
    }

    #[test]
    fn no_flags_give_the_documented_defaults() {
        assert_eq!(parse(&[]).unwrap(), RunConfig::default());
    }

    #[test]
    fn dates_are_spelled_with_underscores_or_hyphens() {
        let underscores =
            parse(&["--start_date", "2019-01-01", "--eval_start=2020-02-01"]).unwrap();
        let hyphens = parse(&["--start-date", "2019-01-01", "--eval-start=2020-02-01"]).unwrap();
        assert_eq!(underscores, hyphens);
        assert_eq!(underscores.start_date.to_string(), "2019-01-01");
    }

    #[test]
    fn stocks_are_a_list_and_any_setting_can_be_set() {
        let flags = ["--stocks", "aapl", "SPY", "--set", "learner.gamma=0.9", "--long-only"];
        let config = parse(&flags).unwrap();
        let symbols: Vec<&str> = config.stocks.iter().map(Symbol::as_str).collect();
        assert_eq!(symbols, ["AAPL", "SPY"]);
        assert_eq!(config.learner.gamma, 0.9);
        assert!(config.env.long_only);
    }

    #[test]
    fn a_setting_that_is_not_one_names_itself() {
        let error = parse(&["--set", "learner.gama=0.9"]).unwrap_err().to_string();
        assert!(error.contains("gama"), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }

    #[test]
    fn a_saved_configuration_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let config = parse(&["--seed", "7", "--fee-bps", "0.5", "--stocks", "IBM"]).unwrap();
        std::fs::write(&path, toml::to_string(&config).unwrap()).unwrap();
        let again = parse(&["--config", path.to_str().unwrap()]).unwrap();
        assert_eq!(again, config);
    }

    #[test]
    fn evaluation_may_not_overlap_training_unless_told_so() {
        let overlapping = ["--eval_start", "2019-06-01"];
        let error = parse(&overlapping).unwrap_err().to_string();
        assert!(error.contains("2019-06-01") && error.contains("--allow-overlap"), "{error}");
        assert!(parse(&[&overlapping[..], &["--allow-overlap"]].concat()).is_ok());
    }
}
