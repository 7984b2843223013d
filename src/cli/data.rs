//! Flags of `dqn-trader fetch`, `import` and `data`.

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::{Args, Subcommand, ValueEnum};

use super::{ContainerArg, Destination, Format, GlobalArgs};
use crate::market::Symbol;
use crate::ingest::alpha_vantage::ADDRESS;

/// Length of the bars that the service offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Interval {
    #[value(name = "1min")]
    One,
    #[value(name = "5min")]
    Five,
    #[value(name = "15min")]
    Fifteen,
    #[value(name = "30min")]
    Thirty,
    #[value(name = "60min")]
    Sixty,
}

impl Interval {
    pub fn minutes(self) -> u32 {
        match self {
            Interval::One => 1,
            Interval::Five => 5,
            Interval::Fifteen => 15,
            Interval::Thirty => 30,
            Interval::Sixty => 60,
        }
    }
}

/// The form in which the service is asked for series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Datatype {
    /// An answer that was cut short is always noticed
    Json,
    /// A quarter of the size
    Csv,
}

#[derive(Args, Debug, Clone)]
pub struct FetchArgs {
    /// Stock symbols [default: AAPL MSFT GOOGL AMZN META]
    #[arg(long, num_args = 1.., value_delimiter = ',', value_name = "SYMBOL")]
    pub stocks: Vec<Symbol>,
    /// First day, YYYY-MM-DD; whole months are fetched [default: 2018-01-01]
    #[arg(long = "start_date", alias = "start-date", value_name = "DATE")]
    pub start_date: Option<NaiveDate>,
    /// Last day [default: 2020-12-31]
    #[arg(long = "end_date", alias = "end-date", value_name = "DATE")]
    pub end_date: Option<NaiveDate>,
    /// Length of a bar
    #[arg(long, value_enum, default_value = "5min")]
    pub interval: Interval,
    /// 04:00 to 20:00 New York time instead of 09:30 to 16:00
    #[arg(long, alias = "extended_hours")]
    pub extended_hours: bool,
    /// Prices as traded; without it they are adjusted for splits and dividends
    #[arg(long)]
    pub raw: bool,
    /// Fetch all of a stock's months anew and replace its files, whatever they are
    #[arg(long)]
    pub rewrite: bool,
    #[command(flatten)]
    pub into: Destination,
    /// As many as your key allows
    #[arg(long, alias = "requests_per_minute", value_name = "N", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub requests_per_minute: u32,
    /// The form in which series come
    #[arg(long, value_enum, default_value = "json")]
    pub datatype: Datatype,
    /// Folder in which a range that is to replace another is put together [default:
    /// ~/.cache/dqn-trader]
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Say nothing but errors
    #[arg(long, short)]
    pub quiet: bool,
    /// Another address of the service, for tests
    #[arg(long, value_name = "URL", hide = true, default_value = ADDRESS)]
    pub service: String,
    /// Seconds that an answer may take
    #[arg(long, value_name = "S", hide = true, default_value_t = 60.0)]
    pub timeout_s: f64,
    /// Seconds after the first fault; they double with each further one
    #[arg(long, value_name = "S", hide = true, default_value_t = 1.0)]
    pub retry_pause_s: f64,
    /// Seconds to wait when a limit by the minute is reached
    #[arg(long, value_name = "S", hide = true, default_value_t = 61.0)]
    pub limit_pause_s: f64,
}

#[derive(Args, Debug, Clone)]
pub struct ImportArgs {
    /// CSV or Parquet files
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Whose bars they are [default: as a column says, else the file's name]
    #[arg(long, value_name = "SYMBOL")]
    pub symbol: Option<Symbol>,
    #[command(flatten)]
    pub into: Destination,
    /// Take a bad row for an error instead of leaving it out
    #[arg(long)]
    pub strict: bool,
    /// Say nothing but errors
    #[arg(long, short)]
    pub quiet: bool,
}

#[derive(Args, Debug)]
pub struct DataCommandArgs {
    #[command(subcommand)]
    pub command: DataCommand,
}

#[derive(Subcommand, Debug)]
pub enum DataCommand {
    /// Judge stored bars: gaps, bad bars, splits, labels, time zones; exit code 1 if something is
    /// wrong
    Check(CheckArgs),
    /// Send a folder's day files to an Azure container
    Upload(UploadArgs),
}

#[derive(Args, Debug, Clone)]
pub struct CheckArgs {
    /// Stock symbols [default: all that are stored]
    #[arg(long, num_args = 1.., value_delimiter = ',', value_name = "SYMBOL")]
    pub stocks: Vec<Symbol>,
    /// First day, YYYY-MM-DD [default: the first that is stored]
    #[arg(long = "start_date", alias = "start-date", value_name = "DATE")]
    pub start_date: Option<NaiveDate>,
    /// Last day [default: the last that is stored]
    #[arg(long = "end_date", alias = "end-date", value_name = "DATE")]
    pub end_date: Option<NaiveDate>,
    /// Folder with the day files, or azure [default: azure where a connection string is set]
    #[arg(long, value_name = "SOURCE")]
    pub data: Option<String>,
    #[command(flatten)]
    pub container: ContainerArg,
    /// Share of its bars that a day must have; fewer are wrong
    #[arg(long, alias = "min_coverage", value_name = "SHARE", default_value_t = 0.95)]
    pub min_coverage: f64,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Folder for fetched files [default: ~/.cache/dqn-trader]
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Say nothing but errors and what was found
    #[arg(long, short)]
    pub quiet: bool,
}

#[derive(Args, Debug, Clone)]
pub struct UploadArgs {
    /// The folder that holds stocks_intraday
    #[arg(value_name = "DIR")]
    pub from: PathBuf,
    /// Stock symbols [default: all that are there]
    #[arg(long, num_args = 1.., value_delimiter = ',', value_name = "SYMBOL")]
    pub stocks: Vec<Symbol>,
    #[command(flatten)]
    pub container: ContainerArg,
    /// Files that travel at a time
    #[arg(long, alias = "at_once", value_name = "N", default_value_t = 8)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=64))]
    pub at_once: u32,
    /// Replace blobs by files with fewer bars, too
    #[arg(long)]
    pub replace: bool,
    /// Say nothing but errors
    #[arg(long, short)]
    pub quiet: bool,
}

impl DataCommandArgs {
    pub fn global(&self) -> GlobalArgs {
        let (cache, quiet) = match &self.command {
            DataCommand::Check(args) => (args.cache.clone(), args.quiet),
            DataCommand::Upload(args) => (None, args.quiet),
        };
        GlobalArgs { cache, threads: None, quiet }
    }
}
