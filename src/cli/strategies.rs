//! Flags of `dqn-trader strategies`.

use std::path::PathBuf;

use chrono::{Days, NaiveDate};
use clap::{Args, Subcommand, ValueEnum};

use super::numbers::{LARGEST_SEED, between};
use super::settings::{set, settings};
use super::{BarArgs, GlobalArgs, TradingArgs};
use crate::config::{ConfigError, RunConfig};
use crate::market::Symbol;
use crate::market::calendar::Calendar;
use crate::runner::optimize::Search;
use crate::strategy::ensemble::EnsembleMethod;

#[derive(Args, Debug)]
pub(crate) struct StrategiesArgs {
    #[command(subcommand)]
    pub(crate) command: StrategiesCommand,
}

#[derive(Subcommand, Debug)]
pub(crate) enum StrategiesCommand {
    /// List the strategies and their parameters
    List(ListArgs),
    /// Back-test strategies over the same bars, and combine them in an ensemble
    Run(RunArgs),
    /// Search a strategy's parameters, with walk-forward out-of-sample results
    Optimize(OptimizeArgs),
    /// Read bars from standard input as JSON lines, and write decisions as JSON lines
    Stream(StreamArgs),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For reading
    Table,
    /// For scripts
    Json,
}

#[derive(Args, Debug, Clone)]
pub(crate) struct ListArgs {
    /// TOML file with your own strategies
    #[arg(long, value_name = "FILE")]
    pub(crate) params: Option<PathBuf>,
    /// Results folder of a training run, for the strategy DQN
    #[arg(long, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

/// The bars and the costs.
#[derive(Args, Debug, Clone)]
pub(crate) struct MarketArgs {
    /// Stock symbols [default: AAPL MSFT GOOGL AMZN META]
    #[arg(long, num_args = 1.., value_delimiter = ',', value_name = "SYMBOL")]
    pub(crate) stocks: Vec<Symbol>,
    /// First day, YYYY-MM-DD [default: 2018-01-01]
    #[arg(long = "start_date", alias = "start-date", value_name = "DATE")]
    pub(crate) start_date: Option<NaiveDate>,
    /// Last day [default: 2019-12-31]
    #[arg(long = "end_date", alias = "end-date", value_name = "DATE")]
    pub(crate) end_date: Option<NaiveDate>,
    #[command(flatten)]
    pub(crate) trading: TradingArgs,
    #[command(flatten)]
    pub(crate) bars: BarArgs,
}

#[derive(Args, Debug, Clone)]
pub(crate) struct RunArgs {
    /// Strategies by name (see strategies list); case, spaces and hyphens do not matter [default:
    /// RSI MACD "Bollinger Bands" Momentum "Mean Reversion"]
    #[arg(long, num_args = 1.., value_name = "NAME")]
    pub(crate) strategies: Vec<String>,
    #[command(flatten)]
    pub(crate) market: MarketArgs,
    /// How the strategies are combined
    #[arg(long, value_enum, value_name = "METHOD", default_value = "weighted")]
    pub(crate) ensemble: EnsembleMethod,
    /// Do not combine them
    #[arg(long, alias = "no_ensemble", conflicts_with_all = ["ensemble", "weights"])]
    pub(crate) no_ensemble: bool,
    /// One weight per strategy, in the order of --strategies, for the weighted ensemble [default:
    /// equal]
    #[arg(long, num_args = 1.., value_name = "WEIGHT")]
    pub(crate) weights: Vec<f64>,
    /// Lookback of weights by variance or performance, bars
    #[arg(long, alias = "window_bars", value_name = "N", default_value_t = 1_000)]
    #[arg(value_parser = between::<usize>(1, 1_000_000))]
    pub(crate) window_bars: usize,
    /// TOML file with parameters by strategy, and your own strategies
    #[arg(long, value_name = "FILE")]
    pub(crate) params: Option<PathBuf>,
    /// Results folder of a training run, for the strategy DQN
    #[arg(long, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
    /// Strategies that run concurrently
    #[arg(long, alias = "max_concurrent_strategies", value_name = "N", default_value_t = 5)]
    #[arg(value_parser = between::<usize>(1, 1_024))]
    pub(crate) max_concurrent: usize,
    /// Time limit of each strategy, seconds
    #[arg(long, alias = "strategy_timeout", value_name = "S", default_value_t = 30.0)]
    pub(crate) strategy_timeout: f64,
    /// Folder for strategies.json and signals.csv; an earlier run in it moves to earlier/N
    /// [default: no files]
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// Seed of the bootstrap
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = between::<u64>(0, LARGEST_SEED))]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

#[derive(Args, Debug, Clone)]
pub(crate) struct StreamArgs {
    /// Strategies by name (see strategies list)
    #[arg(long, num_args = 1.., required = true, value_name = "NAME")]
    pub(crate) strategies: Vec<String>,
    /// Stocks of the bars to come; their order decides which is first in a pair
    #[arg(long, num_args = 1.., required = true, value_delimiter = ',', value_name = "SYMBOL")]
    pub(crate) stocks: Vec<Symbol>,
    /// Also write their combined decision: weighted, voting or average
    #[arg(long, value_enum, value_name = "METHOD")]
    pub(crate) ensemble: Option<EnsembleMethod>,
    /// One weight per strategy, in the order of --strategies, for the weighted ensemble [default:
    /// equal]
    #[arg(long, num_args = 1.., value_name = "WEIGHT", requires = "ensemble")]
    pub(crate) weights: Vec<f64>,
    /// TOML file with parameters by strategy, and your own strategies
    #[arg(long, value_name = "FILE")]
    pub(crate) params: Option<PathBuf>,
    /// Results folder of a training run, for the strategy DQN
    #[arg(long, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
    /// The market's calendar: nyse, always, or the code of an exchange (MIC) [default: the model's,
    /// else nyse]
    #[arg(long, value_name = "CALENDAR")]
    pub(crate) calendar: Option<Calendar>,
}

#[derive(Args, Debug, Clone)]
pub(crate) struct OptimizeArgs {
    /// Strategy by name (see strategies list)
    #[arg(long, value_name = "NAME")]
    pub(crate) strategy: String,
    /// Values to try for a parameter: NAME=LOW:HIGH, NAME=LOW:HIGH:STEP or NAME=A,B,C; repeatable
    #[arg(long, required = true, num_args = 1.., value_name = "RANGE")]
    pub(crate) range: Vec<String>,
    /// How parameter sets are chosen
    #[arg(long, value_enum, default_value = "grid")]
    pub(crate) search: Search,
    /// Parameter sets of a random search
    #[arg(long, value_name = "N", default_value_t = 200)]
    #[arg(value_parser = between::<usize>(1, 100_000))]
    pub(crate) trials: usize,
    /// Walk-forward folds: each trades the parameters that were best before it
    #[arg(long, value_name = "N", default_value_t = 5)]
    #[arg(value_parser = between::<usize>(1, 10_000))]
    pub(crate) folds: usize,
    #[command(flatten)]
    pub(crate) market: MarketArgs,
    /// TOML file with your own strategies
    #[arg(long, value_name = "FILE")]
    pub(crate) params: Option<PathBuf>,
    /// Results folder of a training run, for the strategy DQN
    #[arg(long, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
    /// Folder for optimization.json; an earlier one in it moves to earlier/N [default: no file]
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// Seed of a random search and of the bootstrap
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = between::<u64>(0, LARGEST_SEED))]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

impl StrategiesArgs {
    /// Whether several ranks can share the work.
    pub(crate) fn over_ranks(&self) -> bool {
        matches!(self.command, StrategiesCommand::Run(_) | StrategiesCommand::Optimize(_))
    }

    pub(crate) fn global(&self) -> GlobalArgs {
        match &self.command {
            StrategiesCommand::List(_) | StrategiesCommand::Stream(_) => {
                GlobalArgs { quiet: true, ..GlobalArgs::default() }
            }
            StrategiesCommand::Optimize(args) => args.global.clone(),
            StrategiesCommand::Run(args) => args.global.clone(),
        }
    }
}

impl MarketArgs {
    /// As the settings of a run with this training period; validated.
    pub(crate) fn resolve(&self) -> Result<RunConfig, ConfigError> {
        let mut config = settings("", "defaults").unwrap_or_default();
        if !self.stocks.is_empty() {
            config.stocks.clone_from(&self.stocks);
        }
        set(&mut config.start_date, &self.start_date);
        set(&mut config.end_date, &self.end_date);
        // Nothing is evaluated; the day after satisfies the rule that the periods do not overlap.
        let after = config.end_date.checked_add_days(Days::new(1)).unwrap_or(config.end_date);
        (config.eval_start, config.eval_end) = (after, after);
        self.trading.apply(&mut config);
        self.bars.apply(&mut config);
        config.validate()?;
        Ok(config)
    }
}
