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
    /// What each expert has contributed to the profit in this stock since the start, in currency.
    pub profits: Vec<f64>,
    /// Fraction of equity allocated to the stock.
    pub capital: f64,
    /// What was proposed, a signed fraction of equity.
    pub proposed: f64,
    /// What was ordered, a signed fraction of equity.
    pub approved: f64,
    /// What is not as it was in the stock's last row; empty in its first.
    pub changed: Vec<Change>,
    /// Why the two differ; None if they do not.
    pub reason: Option<Reason>,
}

/// What makes a decision differ from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Experts have earned or lost weight.
    Weights,
    /// The stock is allocated another part of the equity.
    Capital,
    /// An expert wants another position.
    Positions,
    /// A limit begins or ceases to bind, or binds otherwise.
    Limits,
}

impl Change {
    /// As in `allocations.csv`.
    pub fn word(self) -> &'static str {
        match self {
            Change::Weights => "weights",
            Change::Capital => "capital",
            Change::Positions => "positions",
            Change::Limits => "limits",
        }
    }
}

/// The decisions of one account, one per stock and bar; a decision equal to the stock's previous
/// one is left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Allocations {
    /// Names of who may trade: the rules and the DQN.
    pub experts: Vec<String>,
    /// In order of time, then of stocks.
    pub rows: Vec<Allocation>,
    /// `[stock, expert]`: what each expert has contributed to the profit, in currency: its weight
    /// times what its own account earned, after costs, with the stock's capital. 0 without a
    /// meta-policy.
    pub profits: Vec<f64>,
    /// `[stock, expert]`: sums of weights over the decisions.
    weight_sums: Vec<f64>,
    decisions: u64,
    /// `[stock]`: index of its last row, and what the experts wanted then.
    last: Vec<Option<(usize, Vec<f64>)>>,
    /// At the last decision.
    equity: f64,
}

impl Allocations {
    /// For an account of `desk` that trades this many stocks.
    pub(crate) fn new(desk: &Desk, stocks: usize) -> Allocations {
        let experts = match desk.allotted(0) {
            Some((meta, _)) => meta.names().to_vec(),
            None => vec![DQN.into()],
        };
        let nothing = vec![0.0; stocks * experts.len()];
        Allocations {
            experts,
            rows: Vec::new(),
            profits: nothing.clone(),
            weight_sums: nothing,
            decisions: 0,
            last: vec![None; stocks],
            equity: 0.0,
        }
    }

    /// Rows that were made elsewhere.
    #[cfg(test)]
    pub(crate) fn of_rows(experts: Vec<String>, rows: Vec<Allocation>) -> Allocations {
        let (profits, weight_sums, last) = (Vec::new(), Vec::new(), Vec::new());
        Allocations { experts, rows, profits, weight_sums, decisions: 0, last, equity: 0.0 }
    }

    /// `[stock, expert]`: mean weight of each expert over all decisions.
    pub(crate) fn mean_weights(&self) -> Vec<f64> {
        self.weight_sums.iter().map(|sum| sum / self.decisions.max(1) as f64).collect()
    }

    /// Adds what the experts earned over the bar that `desk` has seen last, with the weights and
    /// the capital of the decision before it.
    pub(crate) fn earn(&mut self, desk: &Desk) {
        let Some((_, book)) = desk.allotted(0) else { return };
        let profits = self.profits.chunks_exact_mut(self.experts.len());
        for (stock, (profits, last)) in profits.zip(&self.last).enumerate() {
            let Some((at, _)) = last else { continue };
            let Allocation { weights, capital, .. } = &self.rows[*at];
            for ((profit, weight), gain) in profits.iter_mut().zip(weights).zip(book.gains(stock)) {
                *profit += self.equity * capital * weight * gain;
            }
        }
    }

    /// Records the last decision of `desk` for its only account, which has this `equity`.
    pub(crate) fn note(&mut self, end_s: i64, desk: &Desk, equity: f64) {
        self.earn(desk);
        (self.equity, self.decisions) = (equity, self.decisions + 1);
        let experts = self.experts.len();
        for (stock, (request, order)) in desk.requests(0).iter().zip(desk.orders(0)).enumerate() {
            let (weights, wanted) = match desk.allotted(0) {
                Some((_, book)) => (book.weights(stock), book.wanted(stock).collect()),
                None => (&[1.0][..], vec![request.position]),
            };
            let sums = &mut self.weight_sums[stock * experts..][..experts];
            sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight);
            let now = Allocation {
                end_s,
                stock,
                weights: weights.to_vec(),
                profits: self.profits[stock * experts..][..experts].to_vec(),
                capital: request.capital,
                proposed: request.position * request.capital,
                approved: f64::from(order.direction) * order.weight,
                changed: Vec::new(),
                reason: order.reason,
            };
            let changed = match &self.last[stock] {
                Some((at, before)) => now.changes(&self.rows[*at], *before != wanted),
                None => Vec::new(),
            };
            let is_equal = self.last[stock].as_ref().is_some_and(|(at, _)| {
                let last = &self.rows[*at];
                (last.capital, last.proposed, last.approved, last.reason)
                    == (now.capital, now.proposed, now.approved, now.reason)
                    && last.weights == now.weights
            });
            if !is_equal {
                self.last[stock] = Some((self.rows.len(), wanted));
                self.rows.push(Allocation { changed, ..now });
            }
        }
    }
}

impl Allocation {
    /// What is not as in `last`, where the experts wanted other positions or not.
    fn changes(&self, last: &Allocation, others_wanted: bool) -> Vec<Change> {
        let cut = |of: &Allocation| (of.reason, of.reason.map(|_| of.approved));
        let found = [
            (self.weights != last.weights, Change::Weights),
            (self.capital != last.capital, Change::Capital),
            (others_wanted, Change::Positions),
            (cut(self) != cut(last), Change::Limits),
        ];
        found.into_iter().filter_map(|(is_so, change)| is_so.then_some(change)).collect()
    }
}
