//! Made-up markets with known properties, and the sample market that the program falls back to.

use super::bar::{BarSeries, Period, Symbol};
use super::error::MarketError;

/// A synthetic market, named as in `--data synthetic:sample` or `synthetic:sample:SEED`.
#[derive(Clone, Debug, PartialEq)]
pub struct SyntheticMarket {
    pub name: String,
    pub seed: u64,
}

impl SyntheticMarket {
    /// `sample`, `sample:7`.
    pub fn parse(text: &str) -> Result<SyntheticMarket, MarketError> {
        let _ = text;
        todo!()
    }

    /// One-minute bars (regular hours) of `symbol`, one of `market`, over the period. Each stock can be made alone, and what it gets
    /// does not depend on the period's bounds: a day's bars are the same whichever period they are asked for in.
    pub fn bars(&self, market: &[Symbol], symbol: &Symbol, period: &Period) -> BarSeries {
        let _ = (market, symbol, period);
        todo!()
    }
}
