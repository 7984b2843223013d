//! Flags of `dqn-trader strategies`.

use std::path::PathBuf;

use chrono::{Days, NaiveDate};
use clap::{Args, Subcommand, ValueEnum};

use super::settings::{set, settings};
use super::{BarArgs, GlobalArgs, TradingArgs};
use crate::config::{ConfigError, RunConfig};
use crate::market::Symbol;
use crate::runner::optimize::Search;
use crate::strategy::ensemble::EnsembleMethod;

#[derive(Args, Debug)]
pub struct StrategiesArgs {
    #[command(subcommand)]
    pub command: StrategiesCommand,
}

#[derive(Subcommand, Debug)]
pub enum StrategiesCommand {
    /// Name the strategies there are, and what can be set
    List(ListArgs),
    /// Run strategies side by side over the same bars, and combine them
    Run(RunArgs),
    /// Decide on bars as they come: JSON lines on standard input, decisions as JSON lines out
    Stream(StreamArgs),
    /// Search a strategy's parameters, judged on bars that the search did not see
    Optimize(OptimizeArgs),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// For programs
    Json,
}

#[derive(Args, Debug, Clone)]
pub struct ListArgs {
    /// TOML file with strategies of your own
    #[arg(long, value_name = "FILE")]
    pub params: Option<PathBuf>,
    /// Results folder of a finished run, for the strategy DQN
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// Which bars, at which costs.
#[derive(Args, Debug, Clone)]
pub struct MarketArgs {
    /// Stock symbols [default: AAPL MSFT GOOGL AMZN META]
    #[arg(long, num_args = 1.., value_delimiter = ',', value_name = "SYMBOL")]
    pub stocks: Vec<Symbol>,
    /// First day, YYYY-MM-DD [default: 2018-01-01]
    #[arg(long = "start_date", alias = "start-date", value_name = "DATE")]
    pub start_date: Option<NaiveDate>,
    /// Last day [default: 2019-12-31]
    #[arg(long = "end_date", alias = "end-date", value_name = "DATE")]
    pub end_date: Option<NaiveDate>,
    #[command(flatten)]
    pub trading: TradingArgs,
    #[command(flatten)]
    pub bars: BarArgs,
}

#[derive(Args, Debug, Clone)]
pub struct RunArgs {
    /// Strategies by name, as strategies list has them; spelling is forgiven [default: RSI MACD
    /// "Bollinger Bands" Momentum "Mean Reversion"]
    #[arg(long, num_args = 1.., value_name = "NAME")]
    pub strategies: Vec<String>,
    #[command(flatten)]
    pub market: MarketArgs,
    /// How those that succeeded are combined
    #[arg(long, value_enum, value_name = "METHOD", default_value = "weighted")]
    pub ensemble: EnsembleMethod,
    /// Combine nothing
    #[arg(long, alias = "no_ensemble", conflicts_with_all = ["ensemble", "weights"])]
    pub no_ensemble: bool,
    /// One per strategy in the order given, for the weighted ensemble [default: equal]
    #[arg(long, num_args = 1.., value_name = "WEIGHT")]
    pub weights: Vec<f64>,
    /// Bars over which weights by variance or performance look back
    #[arg(long, alias = "window_bars", value_name = "N", default_value_t = 1_000)]
    pub window_bars: usize,
    /// TOML file with parameters by strategy, and strategies of your own
    #[arg(long, value_name = "FILE")]
    pub params: Option<PathBuf>,
    /// Results folder of a finished run, for the strategy DQN
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Strategies that work at the same time
    #[arg(long, alias = "max_concurrent_strategies", value_name = "N", default_value_t = 5)]
    pub max_concurrent: usize,
    /// Seconds that each strategy may take
    #[arg(long, alias = "strategy_timeout", value_name = "S", default_value_t = 30.0)]
    pub strategy_timeout: f64,
    /// Folder for strategies.json and signals.csv; an earlier run in it is moved to earlier/N
    /// [default: nothing is written]
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// How results are printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Seed of the intervals' resampling
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    #[command(flatten)]
    pub global: GlobalArgs,
}

#[derive(Args, Debug, Clone)]
pub struct StreamArgs {
    /// Strategies by name, as strategies list has them
    #[arg(long, num_args = 1.., required = true, value_name = "NAME")]
    pub strategies: Vec<String>,
    /// Stocks of which bars will come; their order is that of a pair
    #[arg(long, num_args = 1.., required = true, value_delimiter = ',', value_name = "SYMBOL")]
    pub stocks: Vec<Symbol>,
    /// Also say what they decide together: weighted, voting or average
    #[arg(long, value_enum, value_name = "METHOD")]
    pub ensemble: Option<EnsembleMethod>,
    /// One per strategy in the order given, for the weighted ensemble [default: equal]
    #[arg(long, num_args = 1.., value_name = "WEIGHT", requires = "ensemble")]
    pub weights: Vec<f64>,
    /// TOML file with parameters by strategy, and strategies of your own
    #[arg(long, value_name = "FILE")]
    pub params: Option<PathBuf>,
    /// Results folder of a finished run, for the strategy DQN
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
}

#[derive(Args, Debug, Clone)]
pub struct OptimizeArgs {
    /// A strategy, as strategies list has it
    #[arg(long, value_name = "NAME")]
    pub strategy: String,
    /// Values of a parameter: NAME=LOW:HIGH, NAME=LOW:HIGH:STEP or NAME=A,B,C; may be repeated
    #[arg(long, required = true, num_args = 1.., value_name = "RANGE")]
    pub range: Vec<String>,
    /// How combinations are found
    #[arg(long, value_enum, default_value = "grid")]
    pub search: Search,
    /// Combinations of a random search
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub trials: usize,
    /// Stretches of the period, each traded by the set that was best before it
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub folds: usize,
    #[command(flatten)]
    pub market: MarketArgs,
    /// TOML file with strategies of your own
    #[arg(long, value_name = "FILE")]
    pub params: Option<PathBuf>,
    /// Results folder of a finished run, for the strategy DQN
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Folder for optimization.json; an earlier one in it is moved to earlier/N [default: nothing
    /// is written]
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// How results are printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Seed of a random search, and of the intervals' resampling
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    #[command(flatten)]
    pub global: GlobalArgs,
}

impl StrategiesArgs {
    /// Whether the work is one that several ranks can share.
    pub fn over_ranks(&self) -> bool {
        matches!(self.command, StrategiesCommand::Run(_) | StrategiesCommand::Optimize(_))
    }

    pub fn global(&self) -> GlobalArgs {
        match &self.command {
            StrategiesCommand::List(_) | StrategiesCommand::Stream(_) => {
                GlobalArgs { cache: None, threads: None, quiet: true }
            }
            StrategiesCommand::Optimize(args) => args.global.clone(),
            StrategiesCommand::Run(args) => args.global.clone(),
        }
    }
}

impl MarketArgs {
    /// As settings of a run whose training period is the one that is asked for; validated.
    pub fn resolve(&self) -> Result<RunConfig, ConfigError> {
        let mut config = settings("").unwrap_or_default();
        if !self.stocks.is_empty() {
            config.stocks.clone_from(&self.stocks);
        }
        set(&mut config.start_date, &self.start_date);
        set(&mut config.end_date, &self.end_date);
        // Nothing is evaluated later; the day after satisfies the rule that periods are apart.
        let after = config.end_date.checked_add_days(Days::new(1)).unwrap_or(config.end_date);
        (config.eval_start, config.eval_end) = (after, after);
        self.trading.apply(&mut config);
        self.bars.apply(&mut config);
        config.validate()?;
        Ok(config)
    }
}
