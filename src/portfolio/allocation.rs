//! Record of trading decisions: the rows of `allocations.csv`.

use super::desk::Desk;
use super::meta_policy::DQN;
use super::risk::Reason;

/// The decision for one stock at the close of one bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Allocation {
    /// Bar end, UTC seconds.
    pub end_s: i64,
    /// Index of the stock.
    pub stock: usize,
    /// Weight of each expert, in the order of [`Allocations::experts`]; they add up to 1.
    pub weights: Vec<f64>,
    /// Fraction of equity allocated to the stock.
    pub capital: f64,
    /// What was proposed, a signed fraction of equity.
    pub proposed: f64,
    /// What was ordered, a signed fraction of equity.
    pub approved: f64,
    /// Why the two differ; None if they do not.
    pub reason: Option<Reason>,
}

/// The decisions of one account, one per stock and bar; a decision equal to the stock's previous
/// one is left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Allocations {
    /// Names of who may trade: the rules and the DQN.
    pub experts: Vec<String>,
    /// In order of time, then of stocks.
    pub rows: Vec<Allocation>,
    /// `[stock]`: index of its last row.
    last: Vec<Option<usize>>,
}

impl Allocations {
    /// For an account of `desk` that trades this many stocks.
    pub(crate) fn new(desk: &Desk, stocks: usize) -> Allocations {
        let experts = match desk.allotted(0) {
            Some((meta, _)) => meta.names().to_vec(),
            None => vec![DQN.into()],
        };
        Allocations { experts, rows: Vec::new(), last: vec![None; stocks] }
    }

    /// Records the last decision of `desk` for its only account.
    pub(crate) fn note(&mut self, end_s: i64, desk: &Desk) {
        for (stock, (request, order)) in desk.requests(0).iter().zip(desk.orders(0)).enumerate() {
            let weights = match desk.allotted(0) {
                Some((_, book)) => book.weights(stock),
                None => &[1.0],
            };
            let proposed = request.position * request.capital;
            let approved = f64::from(order.direction) * order.weight;
            let same = self.last[stock].is_some_and(|at| {
                let last = &self.rows[at];
                (last.capital, last.proposed, last.approved, last.reason)
                    == (request.capital, proposed, approved, order.reason)
                    && last.weights == weights
            });
            if !same {
                self.last[stock] = Some(self.rows.len());
                self.rows.push(Allocation {
                    end_s,
                    stock,
                    weights: weights.to_vec(),
                    capital: request.capital,
                    proposed,
                    approved,
                    reason: order.reason,
                });
            }
        }
    }
}
