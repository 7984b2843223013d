//! Portfolio limits.

use super::cluster::clusters;
use crate::config::PortfolioConfig;
use crate::market::Symbol;

/// Limits in fractions of equity; infinite if switched off.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Limits {
    pub(crate) gross: f64,
    pub(crate) net: f64,
    pub(crate) name: f64,
    /// Limit on the absolute net position of a cluster of two or more stocks.
    pub(crate) cluster: f64,
    /// Near-identical stocks that are not a configured pair, each pair once.
    pub(crate) twins: Vec<(usize, usize)>,
    /// Stocks that move together. Every stock is in one cluster, most of them alone.
    pub(crate) clusters: Vec<Vec<usize>>,
    /// `[stock]`: rank of its symbol in alphabetical order.
    pub(crate) rank: Vec<usize>,
}

impl Limits {
    /// `correlation[i][j]` is that of the training period.
    pub(crate) fn new(
        config: &PortfolioConfig,
        stocks: &[Symbol],
        correlation: &[Vec<Option<f64>>],
    ) -> Limits {
        let count = stocks.len();
        assert_eq!(count, correlation.len(), "correlations of every stock");
        let above = |i: usize, j: usize, least: f64| correlation[i][j].is_some_and(|c| c > least);
        let named = |i: usize, j: usize| {
            let is = |pair: &[Symbol; 2], i: usize, j: usize| {
                pair[0] == stocks[i] && pair[1] == stocks[j]
            };
            config.pairs.iter().any(|pair| is(pair, i, j) || is(pair, j, i))
        };
        let couples = || (0..count).flat_map(|i| (i + 1..count).map(move |j| (i, j)));
        let twins = couples()
            .filter(|&(i, j)| above(i, j, config.identical_correlation) && !named(i, j))
            .collect();
        let related = couples().filter(|&(i, j)| above(i, j, config.cluster_correlation));
        let mut by_symbol: Vec<usize> = (0..count).collect();
        by_symbol.sort_by_key(|&stock| &stocks[stock]);
        let mut rank = vec![0; count];
        for (place, &stock) in by_symbol.iter().enumerate() {
            rank[stock] = place;
        }
        let name = match config.name_limit {
            Some(limit) if limit.is_infinite() => f64::INFINITY,
            _ => config.name_limit_for(count),
        };
        Limits {
            gross: config.gross_limit,
            net: config.net_limit,
            name,
            cluster: config.cluster_limit.unwrap_or(name),
            twins,
            clusters: clusters(count, related),
            rank,
        }
    }

    pub(crate) fn stocks(&self) -> usize {
        self.rank.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols(names: &[&str]) -> Vec<Symbol> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn twins_clusters_and_ranks_follow_from_correlations_and_symbols() {
        let stocks = symbols(&["C", "A", "D", "B"]);
        let none = None;
        let correlation = vec![
            vec![Some(1.0), Some(0.99), Some(0.2), none],
            vec![Some(0.99), Some(1.0), Some(0.93), none],
            vec![Some(0.2), Some(0.93), Some(1.0), none],
            vec![none; 4],
        ];
        let mut config = PortfolioConfig::default();
        let limits = Limits::new(&config, &stocks, &correlation);
        assert_eq!(limits.twins, [(0, 1)]);
        // C and D are connected only through A.
        assert_eq!(limits.clusters, [vec![0, 1, 2], vec![3]]);
        assert_eq!(limits.rank, [2, 0, 3, 1]);
        assert_eq!((limits.name, limits.cluster), (0.5, 0.5));
        config.pairs = vec![["A".parse().unwrap(), "C".parse().unwrap()]];
        config.name_limit = Some(f64::INFINITY);
        let limits = Limits::new(&config, &stocks, &correlation);
        assert!(limits.twins.is_empty());
        assert_eq!((limits.name, limits.cluster), (f64::INFINITY, f64::INFINITY));
        config.cluster_limit = Some(0.3);
        assert_eq!(Limits::new(&config, &stocks, &correlation).cluster, 0.3);
    }
}
