//! Flags of `dqn-trader fetch`, `import` and `data`.

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::{Args, Subcommand, ValueEnum};

use super::numbers::between;
use super::{ContainerArg, Destination, Format, GlobalArgs};
use crate::ingest::alpha_vantage::ADDRESS;
use crate::market::Symbol;
use crate::market::calendar::Calendar;

/// Bar lengths that Alpha Vantage offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BarInterval {
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

impl BarInterval {
    pub(crate) fn minutes(self) -> u32 {
        match self {
            BarInterval::One => 1,
            BarInterval::Five => 5,
            BarInterval::Fifteen => 15,
            BarInterval::Thirty => 30,
            BarInterval::Sixty => 60,
        }
    }
}

/// The format in which series are requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Datatype {
    /// A truncated response is always detected
    Json,
    /// A quarter of the size
    Csv,
}

#[derive(Args, Debug, Clone)]
pub(crate) struct FetchArgs {
    /// Stock symbols [default: AAPL MSFT GOOGL AMZN META]
    #[arg(long, num_args = 1.., value_delimiter = ',', value_name = "SYMBOL")]
    pub(crate) stocks: Vec<Symbol>,
    /// First day, YYYY-MM-DD; whole months are fetched [default: 2018-01-01]
    #[arg(long = "start_date", alias = "start-date", value_name = "DATE")]
    pub(crate) start_date: Option<NaiveDate>,
    /// Last day [default: 2020-12-31]
    #[arg(long = "end_date", alias = "end-date", value_name = "DATE")]
    pub(crate) end_date: Option<NaiveDate>,
    /// Length of a bar
    #[arg(long, value_enum, default_value = "5min")]
    pub(crate) interval: BarInterval,
    /// Fetch 04:00 to 20:00 New York time instead of 09:30 to 16:00
    #[arg(long, alias = "extended_hours")]
    pub(crate) extended_hours: bool,
    /// Fetch prices as traded, not adjusted for splits and dividends
    #[arg(long)]
    pub(crate) raw: bool,
    /// Fetch every month again and replace the existing files
    #[arg(long)]
    pub(crate) rewrite: bool,
    #[command(flatten)]
    pub(crate) into: Destination,
    /// Requests per minute; as many as your key allows
    #[arg(long, alias = "requests_per_minute", value_name = "N", default_value_t = 5)]
    #[arg(value_parser = between::<u32>(1, 60_000))]
    pub(crate) requests_per_minute: u32,
    /// Format of the responses
    #[arg(long, value_enum, default_value = "json")]
    pub(crate) datatype: Datatype,
    /// Folder for partial downloads [default: ~/.cache/dqn-trader]
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
    /// Print errors only
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// Base URL of the service, for tests
    #[arg(long, value_name = "URL", hide = true, default_value = ADDRESS)]
    pub(crate) service: String,
    /// Timeout of a request, seconds
    #[arg(long, value_name = "S", hide = true, default_value_t = 60.0)]
    pub(crate) timeout_s: f64,
    /// Pause before the first retry, seconds; doubles with each further one
    #[arg(long, value_name = "S", hide = true, default_value_t = 1.0)]
    pub(crate) retry_pause_s: f64,
    /// Pause when the limit per minute is reached, seconds
    #[arg(long, value_name = "S", hide = true, default_value_t = 61.0)]
    pub(crate) limit_pause_s: f64,
}

#[derive(Args, Debug, Clone)]
pub(crate) struct ImportArgs {
    /// CSV, JSON, Excel (.xlsx), Parquet or Feather files, also in .gz or .zip
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Symbol of the bars [default: that in the file, else in the file's name]
    #[arg(long, value_name = "SYMBOL")]
    pub(crate) symbol: Option<Symbol>,
    /// Names of the columns in their order, as in date,time,open,high,low,close,volume; - for one
    /// to pass over [default: the header's, or found out]
    #[arg(long, value_delimiter = ',', value_name = "NAMES", allow_hyphen_values = true)]
    pub(crate) columns: Option<Vec<String>>,
    /// How times are written, as in %d/%m/%Y %H:%M [default: found out]
    #[arg(long = "time-format", alias = "time_format", value_name = "FORMAT")]
    pub(crate) time_format: Option<String>,
    /// Zone of times that are written without one [default: that of --calendar]
    #[arg(long = "time-zone", alias = "time_zone", value_name = "ZONE")]
    pub(crate) time_zone: Option<chrono_tz::Tz>,
    /// The market whose days the bars are split into: nyse, always, or the code of an exchange (MIC)
    #[arg(long, value_name = "CALENDAR", default_value = "nyse")]
    pub(crate) calendar: Calendar,
    /// Scale all prices to the column of the adjusted close
    #[arg(long)]
    pub(crate) adjusted: bool,
    /// What prices are to be divided by, as in 10000 where they count ten-thousandths; 1 takes them
    /// as they stand [default: found out]
    #[arg(long = "price-scale", alias = "price_scale", value_name = "NUMBER")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1_000_000_000_000))]
    pub(crate) price_scale: Option<u64>,
    #[command(flatten)]
    pub(crate) into: Destination,
    /// Treat a bad row as an error instead of skipping it
    #[arg(long)]
    pub(crate) strict: bool,
    /// Print errors only
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Args, Debug)]
pub(crate) struct DataCommandArgs {
    #[command(subcommand)]
    pub(crate) command: DataCommand,
}

#[derive(Subcommand, Debug)]
pub(crate) enum DataCommand {
    /// Check stored bars for gaps, bad bars, spikes, splits, labels and time zones; exit code 1 if
    /// there is a problem
    Check(CheckArgs),
    /// Upload a folder's day files to an Azure container
    Upload(UploadArgs),
}

#[derive(Args, Debug, Clone)]
pub(crate) struct CheckArgs {
    /// Stock symbols [default: all stored ones]
    #[arg(long, num_args = 1.., value_delimiter = ',', value_name = "SYMBOL")]
    pub(crate) stocks: Vec<Symbol>,
    /// First day, YYYY-MM-DD [default: the first stored day]
    #[arg(long = "start_date", alias = "start-date", value_name = "DATE")]
    pub(crate) start_date: Option<NaiveDate>,
    /// Last day [default: the last stored day]
    #[arg(long = "end_date", alias = "end-date", value_name = "DATE")]
    pub(crate) end_date: Option<NaiveDate>,
    /// Folder with the day files, or azure [default: azure if a connection string is set]
    #[arg(long, value_name = "SOURCE")]
    pub(crate) data: Option<String>,
    #[command(flatten)]
    pub(crate) container: ContainerArg,
    /// When the market is open: nyse, always (coins), or the code of an exchange (MIC), as XETR
    #[arg(long, value_name = "CALENDAR", default_value = "nyse")]
    pub(crate) calendar: Calendar,
    /// Fraction of its bars that a day must have; less is a problem
    #[arg(long, alias = "min_coverage", value_name = "SHARE", default_value_t = 0.95)]
    pub(crate) min_coverage: f64,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// Folder for downloaded files [default: ~/.cache/dqn-trader]
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
    /// Print only errors and the findings
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Args, Debug, Clone)]
pub(crate) struct UploadArgs {
    /// Folder that contains stocks_intraday
    #[arg(value_name = "DIR")]
    pub(crate) from: PathBuf,
    /// Stock symbols [default: all in the folder]
    #[arg(long, num_args = 1.., value_delimiter = ',', value_name = "SYMBOL")]
    pub(crate) stocks: Vec<Symbol>,
    #[command(flatten)]
    pub(crate) container: ContainerArg,
    /// Concurrent uploads
    #[arg(long, alias = "at_once", value_name = "N", default_value_t = 8)]
    #[arg(value_parser = between::<u32>(1, 64))]
    pub(crate) at_once: u32,
    /// Replace a blob even if the file has fewer bars
    #[arg(long)]
    pub(crate) replace: bool,
    /// Print errors only
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

impl DataCommandArgs {
    pub(crate) fn global(&self) -> GlobalArgs {
        let (cache, quiet) = match &self.command {
            DataCommand::Check(args) => (args.cache.clone(), args.quiet),
            DataCommand::Upload(args) => (None, args.quiet),
        };
        GlobalArgs { cache, quiet, ..GlobalArgs::default() }
    }
}
