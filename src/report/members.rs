//! Who earned an ensemble's profit: the weight of each member over time and its part of the profit.

use super::contributions::{COLUMNS, money, of_capital};
use super::format::percent;
use super::page::{figure, table};
use super::plot::{member_weights_svg, profits_svg};
use crate::eval::metrics::BacktestRecord;
use crate::strategy::ensemble::MemberWeights;

const EXPLAINED: &str = "A member's profit is its weight times what it would have earned alone, \
                         after costs, with the ensemble's equity. Other: costs saved where the \
                         members' orders cancel, costs of weights that change, and positions of \
                         another size.";

/// The members of an ensemble, on the bars of its account.
pub(crate) struct EnsembleMembers<'a> {
    /// `[member]`: its name, and its reward per bar alone, after costs.
    pub(crate) members: Vec<(String, &'a [f64])>,
    /// Of each bar, as its decision used them.
    pub(crate) weights: &'a MemberWeights,
}

impl EnsembleMembers<'_> {
    /// A table and pictures; that of the weights where they change. Empty without a day.
    pub(super) fn section(&self, record: &BacktestRecord) -> String {
        let closes = record.daily_rows();
        let end_s: Vec<i64> = closes.iter().map(|&t| record.end_s[t]).collect();
        if end_s.is_empty() || self.members.is_empty() {
            return String::new();
        }
        let profits = self.profits(&record.equity);
        let by_day = |of: &[f64]| closes.iter().map(|&t| of[t]).collect::<Vec<f64>>();
        let names = || self.members.iter().map(|(name, _)| name.as_str());
        let curves: Vec<(&str, Vec<f64>)> =
            names().zip(profits.iter().map(|of| by_day(of))).collect();
        let svg = |screen| profits_svg(&end_s, &curves, screen);
        let mut figures = figure("", "Profit of each member over time", "", svg);
        if let MemberWeights::ByRow(..) = self.weights {
            let weight =
                |member: usize| closes.iter().map(|&t| self.weights.at(t)[member]).collect();
            let curves: Vec<(&str, Vec<f64>)> = names().zip((0..).map(weight)).collect();
            let svg = |screen| member_weights_svg(&end_s, &curves, screen);
            let label = "Weight of each member over time";
            figures = figure("", label, "", svg) + &figures;
        }
        format!(
            "<h2>Who earned it</h2>\n<div class=\"pair\">\n{figures}</div>\n{}\
             <p class=\"explained\">{EXPLAINED}</p>\n",
            table("Who earned it", &COLUMNS.map(String::from), &self.rows(record, &profits)),
        )
    }

    /// `[member][bar]`: what each has contributed since the start, in currency.
    fn profits(&self, equity: &[f64]) -> Vec<Vec<f64>> {
        let of = |member: usize, rewards: &[f64]| -> Vec<f64> {
            let earned = |t: usize| self.weights.at(t - 1)[member] * rewards[t] * equity[t - 1];
            let mut sum = 0.0;
            let mut sums = vec![sum];
            sums.extend((1..equity.len()).map(|t| {
                sum += earned(t);
                sum
            }));
            sums
        };
        self.members.iter().enumerate().map(|(i, (_, rewards))| of(i, rewards)).collect()
    }

    /// A row for each member, for the rest, and for the account.
    fn rows(&self, record: &BacktestRecord, profits: &[Vec<f64>]) -> Vec<Vec<String>> {
        let capital = record.equity[0];
        let bars = record.equity.len();
        let last = |of: &[f64]| of.last().copied().unwrap_or(0.0);
        let row = |name: &str, weight: String, profit: f64| {
            vec![name.to_string(), weight, money(profit), of_capital(profit / capital)]
        };
        let weight = |member: usize| {
            let sum: f64 = (0..bars).map(|t| self.weights.at(t)[member]).sum();
            percent(sum / bars as f64)
        };
        let total = last(&record.equity) - capital;
        let explained: f64 = profits.iter().map(|of| last(of)).sum();
        let members = self.members.iter().zip(profits).enumerate();
        let mut rows: Vec<Vec<String>> =
            members.map(|(i, ((name, _), of))| row(name, weight(i), last(of))).collect();
        rows.push(row("other", String::new(), total - explained));
        rows.push(row("ensemble", String::new(), total));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    /// Two members with three quarters and a quarter of the equity, of which the first earns 10 %
    /// and then loses 5 %, the second the other way round.
    #[test]
    fn a_members_profit_is_its_weight_times_its_reward_and_the_equity_before() {
        let mut record = example::run(1, 3).record;
        record.equity = vec![1_000.0, 1_060.0, 1_030.0];
        let rewards = [[0.0, 0.10, -0.05], [0.0, -0.05, 0.10]];
        let weights = MemberWeights::ByRow(vec![0.75, 0.25, 0.75, 0.25, 1.0, 0.0], 2);
        let found = EnsembleMembers {
            members: vec![("A".into(), &rewards[0][..]), ("B".into(), &rewards[1][..])],
            weights: &weights,
        };
        let profits = found.profits(&record.equity);
        let expected = [[0.0, 75.0, 75.0 - 39.75], [0.0, -12.5, -12.5 + 26.5]];
        for (found, expected) in profits.iter().flatten().zip(expected.iter().flatten()) {
            assert!((found - expected).abs() < 1e-9, "{profits:?}");
        }
        let rows = found.rows(&record, &profits);
        assert_eq!(rows[0], ["A", "83.3%", "+35", "+3.5%"]);
        assert_eq!(rows[2..], [["other", "", "-19", "-1.9%"], ["ensemble", "", "+30", "+3.0%"]]);
        let text = found.section(&record);
        assert_eq!(text.matches("<svg ").count(), 4, "weights and profits, for two screens");
        let fixed = MemberWeights::Fixed(vec![0.5, 0.5]);
        let fixed = EnsembleMembers { weights: &fixed, ..found };
        assert_eq!(fixed.section(&record).matches("<svg ").count(), 2, "profits alone");
    }
}
