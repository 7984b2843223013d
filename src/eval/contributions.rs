//! What each expert of the meta-policy contributed to the profit of an evaluation, by stock.

use serde::{Deserialize, Serialize};

use super::attribution::rewards_by_bar;
use super::metrics::BacktestRecord;
use crate::env::costs::Costs;
use crate::market::Symbol;
use crate::portfolio::allocation::Allocations;
use crate::portfolio::meta_policy::Regret;

/// What one expert contributed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExpertContribution {
    /// As in `allocations.csv`.
    pub name: String,
    /// Mean over decisions and stocks.
    pub mean_weight: f64,
    /// In all stocks, in currency.
    pub profit: f64,
}

/// The profit in one stock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StockContribution {
    /// The stock.
    pub stock: Symbol,
    /// What the account earned in it, after costs, in currency.
    pub profit: f64,
    /// What each expert contributed, in their order; an expert pays its costs as if it traded alone.
    pub by_expert: Vec<f64>,
    /// The rest: costs saved where experts' orders cancel, positions left alone within the
    /// rebalancing band, limits, and stops.
    pub other: f64,
}

/// Profit by expert and stock, and the regret of the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contributions {
    /// In the order of their weights.
    pub experts: Vec<ExpertContribution>,
    /// In the order of the run.
    pub stocks: Vec<StockContribution>,
    /// None without a meta-policy, or for less than a whole period.
    pub regret: Option<Regret>,
}

impl Contributions {
    /// `record` is of the account whose decisions are `allocations`.
    pub(crate) fn new(
        record: &BacktestRecord,
        allocations: &Allocations,
        costs: &Costs,
        regret: Option<Regret>,
    ) -> Contributions {
        let (stocks, count) = (record.stocks.len(), allocations.experts.len());
        let mut earned = vec![0.0; stocks];
        let rewards = rewards_by_bar(record, costs);
        for (t, rewards) in rewards.chunks_exact(stocks.max(1)).enumerate().skip(1) {
            for (sum, reward) in earned.iter_mut().zip(rewards) {
                *sum += reward * record.equity[t - 1];
            }
        }
        // The DQN alone is all that there is.
        let by_expert = if count == 1 { earned.clone() } else { allocations.profits.clone() };
        let weights = allocations.mean_weights();
        let of_expert = |(expert, name): (usize, &String)| {
            let sum = |of: &[f64]| of.iter().skip(expert).step_by(count).sum::<f64>();
            ExpertContribution {
                name: name.clone(),
                mean_weight: sum(&weights) / stocks as f64,
                profit: sum(&by_expert),
            }
        };
        let of_stock = |(stock, &profit): (usize, &f64)| {
            let by_expert = by_expert[stock * count..][..count].to_vec();
            let other = profit - by_expert.iter().sum::<f64>();
            StockContribution { stock: record.stocks[stock].clone(), profit, by_expert, other }
        };
        Contributions {
            experts: allocations.experts.iter().enumerate().map(of_expert).collect(),
            stocks: earned.iter().enumerate().map(of_stock).collect(),
            regret,
        }
    }

    /// What the account earned in all stocks, and the part of it that no expert contributed.
    pub(crate) fn totals(&self) -> (f64, f64) {
        let sum = |of: fn(&StockContribution) -> f64| self.stocks.iter().map(of).sum();
        (sum(|stock| stock.profit), sum(|stock| stock.other))
    }
}
