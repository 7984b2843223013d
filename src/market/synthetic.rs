//! Made-up markets with known properties, and the sample market that the program falls back to.

mod process;
mod sample;
mod stream;

use super::bar::{BarSeries, Period, Symbol};
use super::error::MarketError;

/// A synthetic market, named as in `--data synthetic:sample` or `synthetic:sample:SEED`.
#[derive(Clone, Debug, PartialEq)]
pub struct SyntheticMarket {
    pub name: String,
    pub seed: u64,
}

/// The seed of a market that is named without one.
const DEFAULT_SEED: u64 = 1;

impl SyntheticMarket {
    /// The markets there are.
    pub fn names() -> &'static [&'static str] {
        &["sample"]
    }

    /// `sample`, `sample:7`.
    pub fn parse(text: &str) -> Result<SyntheticMarket, MarketError> {
        let (name, seed) = match text.split_once(':') {
            Some((name, seed)) => (name, Some(seed)),
            None => (text, None),
        };
        if !Self::names().contains(&name) {
            return Err(MarketError::Input {
                what: format!("there is no synthetic market {name:?}"),
                todo: format!("use one of: {}", Self::names().join(", ")),
            });
        }
        let seed = seed.map_or(Ok(DEFAULT_SEED), str::parse).map_err(|_| MarketError::Input {
            what: format!("{text:?} does not end in a seed"),
            todo: format!("use a whole number from 0 to {}, as in {name}:7", u64::MAX),
        })?;
        Ok(SyntheticMarket { name: name.into(), seed })
    }

    /// One-minute bars (regular hours) of `symbol`, one of `market`, over the period. Each stock
    /// can be made alone, and what it gets does not depend on the period's bounds: a day's bars are
    /// the same whichever period they are asked for in.
    ///
    /// # Panics
    /// Where `symbol` is not in `market`, or the market's name is none of
    /// [`SyntheticMarket::names`].
    pub fn bars(&self, market: &[Symbol], symbol: &Symbol, period: &Period) -> BarSeries {
        self.assert_known();
        sample::bars(self.seed, market, symbol, period)
    }

    /// Everything that the bars of `market` depend on, the dates aside: name, seed, stocks in their
    /// order, and the generator's version and parameters (as a digest). Equal text means equal
    /// bars.
    pub fn fingerprint(&self, market: &[Symbol]) -> String {
        self.assert_known();
        let stocks: Vec<&str> = market.iter().map(Symbol::as_str).collect();
        let digest = sample::parameter_digest();
        format!("synthetic:{}:{} {digest} {}", self.name, self.seed, stocks.join(","))
    }

    fn assert_known(&self) {
        assert!(Self::names().contains(&self.name.as_str()), "no market {:?}", self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_market_is_named_with_or_without_a_seed() {
        let named = |name: &str, seed| SyntheticMarket { name: name.into(), seed };
        assert_eq!(SyntheticMarket::parse("sample").unwrap(), named("sample", 1));
        assert_eq!(SyntheticMarket::parse("sample:7").unwrap(), named("sample", 7));
        for bad in ["sample:", "sample:-1", "sample:x", "sample:1:2"] {
            let message = SyntheticMarket::parse(bad).unwrap_err().to_string();
            assert!(message.contains("sample:7"), "{bad}: {message}");
        }
        for bad in ["", "Sample", "lead_lag", "lead_lag:3"] {
            let message = SyntheticMarket::parse(bad).unwrap_err().to_string();
            assert!(message.ends_with("use one of: sample"), "{bad}: {message}");
        }
    }

    #[test]
    fn a_fingerprint_tells_seeds_and_stocks_apart() {
        let stocks = |names: &[&str]| names.iter().map(|s| s.parse().unwrap()).collect::<Vec<_>>();
        let market = |seed| SyntheticMarket { name: "sample".into(), seed };
        let first = market(1).fingerprint(&stocks(&["A", "B"]));
        assert_eq!(first, market(1).fingerprint(&stocks(&["A", "B"])));
        assert_ne!(first, market(2).fingerprint(&stocks(&["A", "B"])));
        assert_ne!(first, market(1).fingerprint(&stocks(&["B", "A"])));
        assert!(first.starts_with("synthetic:sample:1 v1-"), "{first}");
    }
}
