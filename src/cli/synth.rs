//! Flags of `dqn-trader synth`.

use chrono::NaiveDate;
use clap::Args;

use super::Destination;
use super::numbers::between;
use crate::market::Symbol;

#[derive(Args, Debug, Clone)]
pub(crate) struct SynthArgs {
    /// sample, lead_lag, mean_reversion, momentum, regimes, pairs, random_walk, leaked, clock,
    /// persistent, weak, trend or drift, with a seed as in momentum:7 [default seed: 1]; lead_lag-3
    /// and pairs-3 plant the edge in the first three pairs of stocks only
    #[arg(value_name = "MARKET")]
    pub(crate) market: String,
    #[command(flatten)]
    pub(crate) into: Destination,
    /// Stock symbols; their order decides which stock leads which [default: AAPL MSFT GOOGL AMZN
    /// META]
    #[arg(long, num_args = 1.., value_delimiter = ',', value_name = "SYMBOL")]
    pub(crate) stocks: Vec<Symbol>,
    /// First day, YYYY-MM-DD [default: 2018-01-01]
    #[arg(long = "start_date", alias = "start-date", value_name = "DATE")]
    pub(crate) start_date: Option<NaiveDate>,
    /// Last day [default: 2020-12-31]
    #[arg(long = "end_date", alias = "end-date", value_name = "DATE")]
    pub(crate) end_date: Option<NaiveDate>,
    /// Length of a bar, minutes [default: 1 for sample, else 30]
    #[arg(long, alias = "bar_minutes", value_name = "N", value_parser = between::<u32>(1, 195))]
    pub(crate) bar_minutes: Option<u32>,
    /// Print errors only
    #[arg(long, short)]
    pub(crate) quiet: bool,
}
