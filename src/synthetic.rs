//! Synthetic markets with known properties: planted markets, whose optimal expected reward is known
//! (`eval::oracle`), and the default sample market.
//!
//! The sample market has one-minute bars, which are resampled like any other minutes. A planted
//! relation holds between one bar and the next and would be blurred by resampling, so planted
//! markets are generated at the requested bar length (30 minutes by default), with volatility
//! proportional to its square root.

mod planted;
mod process;
pub(crate) mod return_process;
mod sample;
mod stream;

use std::fmt;

use crate::market::bar::{BarSeries, Period, Symbol};
use crate::market::error::MarketError;

pub use return_process::{Ar1, HiddenSignal, ReturnProcess, Trend};

/// A synthetic market, named as in `--data synthetic:sample` or `synthetic:lead_lag-3:SEED`.
#[derive(Clone, Debug, PartialEq)]
pub struct SyntheticMarket {
    /// What is planted.
    pub kind: MarketKind,
    /// Every seed gives other bars of the same kind.
    pub seed: u64,
}

/// The planted relation; [`ReturnProcess`] defines its return process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarketKind {
    /// The default market: factor model, GARCH, U-shaped volatility, weak lead-lag and regimes.
    Sample,
    /// In each pair of stocks, the second follows the first one bar later.
    LeadLag(Couples),
    /// Returns are partly reversed one bar later.
    MeanReversion,
    /// Returns are partly repeated one bar later.
    Momentum,
    /// Momentum in calm and mean reversion in volatile regimes of a hidden Markov chain.
    Regimes,
    /// The stocks of each pair share a random walk, and their spread reverts to its mean.
    Pairs(Couples),
    /// No relation: GARCH volatility and an intraday U-shape.
    RandomWalk,
    /// A bar's volume reveals the next bar's return.
    Leaked,
    /// Prices drift up in the first half of a session and down in the second.
    Clock,
    /// A hidden, persistent signal drives returns and shows in volume.
    Persistent,
    /// Returns are repeated so weakly that it takes many bars to tell.
    Weak,
    /// What prices did over some sessions goes on in part over as many.
    Trend,
    /// Prices drift up, each stock at a rate of its own, and nothing else is to be known.
    Drift,
}

/// Number of planted pairs of neighbours, from the beginning of the list of stocks; None: all. The
/// remaining stocks are random walks.
pub(crate) type Couples = Option<usize>;

/// Seed of a market named without one.
const DEFAULT_SEED: u64 = 1;
/// Default bar length of a planted market, minutes.
const PLANTED_MINUTES: u32 = 30;

impl MarketKind {
    /// All kinds, with all pairs planted.
    pub const ALL: [MarketKind; 13] = [
        MarketKind::Sample,
        MarketKind::LeadLag(None),
        MarketKind::MeanReversion,
        MarketKind::Momentum,
        MarketKind::Regimes,
        MarketKind::Pairs(None),
        MarketKind::RandomWalk,
        MarketKind::Leaked,
        MarketKind::Clock,
        MarketKind::Persistent,
        MarketKind::Weak,
        MarketKind::Trend,
        MarketKind::Drift,
    ];

    /// The name without the number of pairs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            MarketKind::Sample => "sample",
            MarketKind::LeadLag(_) => "lead_lag",
            MarketKind::MeanReversion => "mean_reversion",
            MarketKind::Momentum => "momentum",
            MarketKind::Regimes => "regimes",
            MarketKind::Pairs(_) => "pairs",
            MarketKind::RandomWalk => "random_walk",
            MarketKind::Leaked => "leaked",
            MarketKind::Clock => "clock",
            MarketKind::Persistent => "persistent",
            MarketKind::Weak => "weak",
            MarketKind::Trend => "trend",
            MarketKind::Drift => "drift",
        }
    }

    /// Parses `momentum`, `lead_lag`, `lead_lag-3`.
    fn parse(text: &str) -> Option<MarketKind> {
        let (name, couples) = match text.split_once('-') {
            Some((name, couples)) => (name, Some(couples.parse().ok().filter(|&n| n > 0)?)),
            None => (text, None),
        };
        match (MarketKind::ALL.into_iter().find(|kind| kind.name() == name)?, couples) {
            (MarketKind::LeadLag(_), couples) => Some(MarketKind::LeadLag(couples)),
            (MarketKind::Pairs(_), couples) => Some(MarketKind::Pairs(couples)),
            (_, Some(_)) => None,
            (kind, None) => Some(kind),
        }
    }

    fn couples(self) -> Option<Couples> {
        match self {
            MarketKind::LeadLag(couples) | MarketKind::Pairs(couples) => Some(couples),
            _ => None,
        }
    }
}

impl fmt::Display for MarketKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.couples() {
            Some(Some(couples)) => write!(f, "{}-{couples}", self.name()),
            _ => f.write_str(self.name()),
        }
    }
}

/// `momentum:7`.
impl fmt::Display for SyntheticMarket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.seed)
    }
}

impl SyntheticMarket {
    /// Names of all synthetic markets.
    pub fn names() -> [&'static str; MarketKind::ALL.len()] {
        MarketKind::ALL.map(MarketKind::name)
    }

    /// Parses `sample`, `sample:7`, `lead_lag-3:7`.
    pub fn parse(text: &str) -> Result<SyntheticMarket, MarketError> {
        let (name, seed) = match text.split_once(':') {
            Some((name, seed)) => (name, Some(seed)),
            None => (text, None),
        };
        let kind = MarketKind::parse(name).ok_or_else(|| MarketError::Input {
            what: format!("there is no synthetic market {name:?}"),
            hint: format!(
                "use one of: {}; lead_lag-3 or pairs-3 plants the edge in three pairs only",
                Self::names().join(", ")
            ),
        })?;
        let seed = seed.map_or(Ok(DEFAULT_SEED), str::parse).map_err(|_| MarketError::Input {
            what: format!("{text:?} does not end with a seed"),
            hint: format!("use a whole number from 0 to {}, as in {name}:7", u64::MAX),
        })?;
        Ok(SyntheticMarket { kind, seed })
    }

    /// Errors if the market needs more stocks than these.
    pub(crate) fn check(&self, stocks: usize) -> Result<(), MarketError> {
        let needed = self.kind.couples().map_or(1, |couples| 2 * couples.unwrap_or(1));
        if stocks >= needed {
            return Ok(());
        }
        Err(MarketError::Input {
            what: format!("the market {} needs {needed} stocks, but {stocks} are given", self.kind),
            hint: "give more with --stocks".into(),
        })
    }

    /// Bar length in minutes that [`SyntheticMarket::bars`] generates if `wanted` is requested.
    pub fn native_minutes(&self, wanted: Option<u32>) -> u32 {
        match self.kind {
            MarketKind::Sample => 1,
            _ => wanted.unwrap_or(PLANTED_MINUTES),
        }
    }

    /// Bars (regular hours) of `symbol`, one of `market`, over the period, `native_minutes` long
    /// (see [`SyntheticMarket::native_minutes`]). If a session is not a multiple of that, its last
    /// bar is shorter. Each stock can be generated alone, and a day's bars do not depend on the
    /// period. Planted markets begin in 1990.
    ///
    /// # Panics
    /// If `symbol` is not in `market`, or the sample market is asked for bars other than one
    /// minute.
    pub fn bars(
        &self,
        market: &[Symbol],
        symbol: &Symbol,
        period: &Period,
        native_minutes: u32,
    ) -> BarSeries {
        if self.kind != MarketKind::Sample {
            return planted::bars(self, market, symbol, period, native_minutes);
        }
        assert_eq!(native_minutes, 1, "the sample market has bars of one minute");
        sample::bars(self.seed, market, symbol, period)
    }

    /// `[bar]`: the regime, 0 or 1, of each bar of [`SyntheticMarket::bars`]; None for markets
    /// without regimes.
    pub(crate) fn regimes(
        &self,
        market: &[Symbol],
        symbol: &Symbol,
        period: &Period,
        native_minutes: u32,
    ) -> Option<Vec<usize>> {
        let has = self.kind == MarketKind::Regimes;
        has.then(|| planted::regimes(self, market, symbol, period, native_minutes))
    }

    /// Everything the bars of `market` depend on except dates and length: name, seed, the
    /// generator's version and parameters (as a digest), and the stocks in order. Equal text means
    /// equal bars.
    pub(crate) fn fingerprint(&self, market: &[Symbol]) -> String {
        let stocks: Vec<&str> = market.iter().map(Symbol::as_str).collect();
        let digest = match self.kind {
            MarketKind::Sample => sample::parameter_digest(),
            _ => planted::parameter_digest(),
        };
        format!("synthetic:{self} {digest} {}", stocks.join(","))
    }

    /// Return process of one of `stocks` stocks in bars of `bar_minutes`; None for the sample
    /// market, which no single process describes.
    pub fn law(&self, stocks: usize, stock: usize, bar_minutes: u32) -> Option<ReturnProcess> {
        ReturnProcess::for_stock(self.kind, stocks, stock, bar_minutes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_market_is_named_with_or_without_a_seed() {
        let named = |kind, seed| SyntheticMarket { kind, seed };
        assert_eq!(SyntheticMarket::parse("sample").unwrap(), named(MarketKind::Sample, 1));
        assert_eq!(SyntheticMarket::parse("sample:7").unwrap(), named(MarketKind::Sample, 7));
        let three = SyntheticMarket::parse("lead_lag-3:7").unwrap();
        assert_eq!(three, named(MarketKind::LeadLag(Some(3)), 7));
        assert_eq!(three.to_string(), "lead_lag-3:7");
        for bad in ["sample:", "sample:-1", "sample:x", "sample:1:2"] {
            let message = SyntheticMarket::parse(bad).unwrap_err().to_string();
            assert!(message.contains("sample:7"), "{bad}: {message}");
        }
        for bad in ["", "Sample", "moon:3", "pairs-0", "pairs-", "pairs-x", "momentum-2"] {
            let message = SyntheticMarket::parse(bad).unwrap_err().to_string();
            assert!(message.contains("use one of: sample, lead_lag, "), "{bad}: {message}");
        }
        for kind in MarketKind::ALL {
            let market = SyntheticMarket::parse(&format!("{}:2", kind.name())).unwrap();
            assert_eq!(market, named(kind, 2));
        }
    }

    #[test]
    fn couples_need_stocks() {
        let fits = |text: &str, stocks| SyntheticMarket::parse(text).unwrap().check(stocks);
        assert!(fits("lead_lag-3", 6).is_ok() && fits("pairs", 2).is_ok());
        assert!(fits("momentum", 1).is_ok());
        for (text, stocks) in [("lead_lag-3", 5), ("pairs", 1), ("lead_lag", 1)] {
            let message = fits(text, stocks).unwrap_err().to_string();
            assert!(message.contains("--stocks"), "{message}");
        }
    }

    #[test]
    fn a_fingerprint_tells_markets_seeds_and_stocks_apart() {
        let stocks = |names: &[&str]| names.iter().map(|s| s.parse().unwrap()).collect::<Vec<_>>();
        let print = |text: &str, names: &[&str]| {
            SyntheticMarket::parse(text).unwrap().fingerprint(&stocks(names))
        };
        let first = print("sample:1", &["A", "B"]);
        assert_eq!(first, print("sample", &["A", "B"]));
        for other in [
            print("sample:2", &["A", "B"]),
            print("sample:1", &["B", "A"]),
            print("pairs:1", &["A", "B"]),
        ] {
            assert_ne!(first, other);
        }
        assert_ne!(print("pairs", &["A", "B"]), print("pairs-1", &["A", "B"]));
        assert!(first.starts_with("synthetic:sample:1 v1-"), "{first}");
    }
}
