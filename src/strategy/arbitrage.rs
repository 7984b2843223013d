//! Statistical arbitrage: trades pairs that a test finds to be cointegrated.

use super::mean_reversion::EntryExitRule;
use super::{BarsAt, Cancel, Decision, Parameter, Strategy, StrategyError, StrategyKind};
use crate::features::relations::cointegration::{Cointegration, MIN_BARS};
use crate::features::relations::opportunity::judge;

/// Bars are grouped in blocks of `period`. After each block, all pairs are tested over it for
/// cointegration, at `level` over the number of pairs (Bonferroni): among random walks, at most
/// that share of the blocks leads to a trade. Pairs that pass are traded over the next block, the
/// most significant first and each stock in one pair only. They are traded against the residual of
/// the block's regression, with its hedge ratio, as in Mean Reversion. Vidyamurthy (2004), "Pairs
/// trading", chapters 5 to 7.
struct Arbitrage {
    period: usize,
    level: f64,
    gate: EntryExitRule,
    /// `[stock]`: the last log close, NaN before the first.
    last: Vec<f64>,
    /// `[stock][bar]` of the current block.
    block: Vec<Vec<f64>>,
    trades: Vec<Trade>,
}

struct Trade {
    pair: [usize; 2],
    relation: Cointegration,
    gate: EntryExitRule,
}

pub(crate) fn kind() -> StrategyKind {
    let unit = "probability";
    let mut parameters = vec![
        Parameter::whole(
            "period",
            480,
            MIN_BARS as u64..=100_000,
            "bars",
            "length of a tested block",
        ),
        Parameter::real("level", 0.01, 1e-6..=1.0, unit, "false positives per block"),
    ];
    parameters.extend(EntryExitRule::parameters());
    let description = "cointegrated pairs: against the z-score of their residual";
    StrategyKind::new("Arbitrage", description, parameters, |parameters, stocks| {
        if stocks < 2 {
            return Err(StrategyError::Failed {
                strategy: "Arbitrage".into(),
                what: "a pair needs two stocks".into(),
                hint: "give at least two stocks".into(),
            });
        }
        Ok(Box::new(Arbitrage {
            period: parameters.whole("period"),
            level: parameters.real("level"),
            gate: EntryExitRule::new(parameters),
            last: vec![f64::NAN; stocks],
            block: vec![Vec::new(); stocks],
            trades: Vec::new(),
        }))
    })
    .with_aliases(&["cointegration", "statistical arbitrage", "stat arb"])
    .check(EntryExitRule::check)
}

impl Strategy for Arbitrage {
    fn decide(
        &mut self,
        now: &BarsAt<'_>,
        cancel: &Cancel,
        decisions: &mut [Decision],
    ) -> Result<(), StrategyError> {
        let bars = now.bars();
        for (last, bar) in self.last.iter_mut().zip(bars) {
            if let Some(bar) = bar {
                *last = bar.close.ln();
            }
        }
        let traded = |stock: usize| self.trades.iter().any(|trade| trade.pair.contains(&stock));
        for (stock, decision) in decisions.iter_mut().enumerate() {
            if bars[stock].is_some() && !traded(stock) {
                *decision = Decision::NONE;
            }
        }
        for trade in &mut self.trades {
            let [first, second] = trade.pair;
            if bars[first].is_none() || bars[second].is_none() {
                continue;
            }
            let z = trade.relation.z_score(self.last[first], self.last[second]);
            let Decision { target, confidence } = trade.gate.against(z);
            // The larger of the two positions is a full one.
            let hedge = trade.relation.hedge_ratio;
            decisions[first] = Decision::new(target / hedge.max(1.0), confidence);
            decisions[second] = Decision::new(-target * hedge.min(1.0), confidence);
        }
        for (block, last) in self.block.iter_mut().zip(&self.last) {
            block.push(*last);
        }
        if self.block[0].len() == self.period {
            self.test(cancel)?;
            self.block.iter_mut().for_each(Vec::clear);
        }
        Ok(())
    }
}

impl Arbitrage {
    /// Chooses the pairs of the next block. A pair that is already traded keeps its position.
    fn test(&mut self, cancel: &Cancel) -> Result<(), StrategyError> {
        let stocks = self.block.len();
        let level = self.level / (stocks * (stocks - 1) / 2) as f64;
        let mut found = Vec::new();
        for second in 1..stocks {
            cancel.check()?;
            for first in 0..second {
                let relation = judge(&self.block[first], &self.block[second], level);
                found.extend(relation.map(|relation| ([first, second], relation)));
            }
        }
        // The sort is stable, so ties stay in the order of the stocks.
        found.sort_by(|one, other| one.1.statistic.total_cmp(&other.1.statistic));
        let previous = std::mem::take(&mut self.trades);
        for (pair, relation) in found {
            if self.trades.iter().any(|trade| trade.pair.iter().any(|stock| pair.contains(stock))) {
                continue;
            }
            let same = previous.iter().find(|trade| trade.pair == pair);
            let gate = same.map_or(&self.gate, |trade| &trade.gate).clone();
            self.trades.push(Trade { pair, relation, gate });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::{Bar, BarSeries, Period, Symbol};
    use crate::strategy::tests::{decide, rows};
    use crate::synthetic::SyntheticMarket;

    fn arbitrage(stocks: usize) -> Box<dyn Strategy> {
        kind().build_default(stocks).unwrap()
    }

    fn targets(market: &str, stocks: usize) -> Vec<Vec<f64>> {
        let stocks: Vec<Symbol> = (0..stocks).map(|i| format!("S{i}").parse().unwrap()).collect();
        let market = SyntheticMarket::parse(market).unwrap();
        let (start, end) = ("2018-01-02".parse().unwrap(), "2018-12-31".parse().unwrap());
        let period = Period { start, end };
        let bars = |symbol| market.bars(&stocks, symbol, &period, 30);
        let series: Vec<BarSeries> = stocks.iter().map(bars).collect();
        let decided = decide(arbitrage(stocks.len()).as_mut(), &rows(&series));
        decided.iter().map(|row| row.iter().map(|decision| decision.target).collect()).collect()
    }

    /// The last two of six stocks are random walks.
    #[test]
    fn planted_pairs_are_traded_and_random_walks_are_not() {
        let targets = targets("pairs-2", 6);
        assert!(targets[..480].iter().flatten().all(|target| *target == 0.0));
        let traded_rows = &targets[480..];
        for planted_pair in [[0, 1], [2, 3]] {
            let held = traded_rows.iter().filter(|row| row[planted_pair[0]] != 0.0).count();
            assert!(held * 20 > traded_rows.len(), "{planted_pair:?} is traded in {held} bars");
            for row in traded_rows {
                let [one, other] = planted_pair.map(|stock| row[stock]);
                assert!(one * other < 0.0 || one == 0.0 && other == 0.0, "{one} and {other}");
                assert!(one == 0.0 || one.abs().max(other.abs()) == 1.0);
            }
        }
        assert!(traded_rows.iter().all(|row| row[4] == 0.0 && row[5] == 0.0));
    }

    /// A pair whose spread diverges is dropped after the block in which it does not revert.
    #[test]
    fn a_pair_that_diverges_is_dropped() {
        let symbols: Vec<Symbol> = ["A", "B"].map(|name| name.parse().unwrap()).into();
        let mut series: Vec<BarSeries> = symbols.into_iter().map(BarSeries::new).collect();
        let market = SyntheticMarket::parse("pairs").unwrap();
        let stocks: Vec<Symbol> = series.iter().map(|series| series.symbol.clone()).collect();
        let (start, end) = ("2018-01-02".parse().unwrap(), "2018-12-31".parse().unwrap());
        for series in &mut series {
            let bars = market.bars(&stocks, &series.symbol, &Period { start, end }, 30);
            for (i, bar) in bars.bars().enumerate() {
                let diverged_bars =
                    if series.symbol == stocks[0] { i.saturating_sub(960) } else { 0 };
                let close = bar.close * (0.01 * diverged_bars as f64).exp();
                series.push(Bar { open: close, high: close, low: close, close, ..bar });
            }
        }
        let decided = decide(arbitrage(2).as_mut(), &rows(&series));
        let is_held = |rows: std::ops::Range<usize>| {
            decided[rows].iter().any(|row| row.iter().any(|decision| decision.target != 0.0))
        };
        assert!(is_held(480..960) && is_held(970..1_440));
        assert!(!is_held(1_441..decided.len()));
    }

    #[test]
    fn one_stock_is_no_pair() {
        assert!(kind().build_default(1).is_err());
    }
}
