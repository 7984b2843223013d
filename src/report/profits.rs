//! Profit by expert and by stock over time, in the report.

use super::page::figure;
use super::plot::profits_svg;
use crate::env::costs::Costs;
use crate::eval::attribution::rewards_by_bar;
use crate::eval::metrics::BacktestRecord;
use crate::portfolio::allocation::Allocations;

/// Two pictures; that of the experts where there are several. Empty without a day.
pub(super) fn section(record: &BacktestRecord, allocations: &Allocations, costs: &Costs) -> String {
    let ends = record.daily_rows();
    if ends.is_empty() {
        return String::new();
    }
    let end_s: Vec<i64> = ends.iter().map(|&t| record.end_s[t]).collect();
    let mut figures = Vec::new();
    if allocations.experts.len() > 1 {
        let by_expert = by_expert(allocations, &end_s, record.stocks.len());
        let named: Vec<(&str, Vec<f64>)> =
            allocations.experts.iter().map(String::as_str).zip(by_expert).collect();
        let label = "Profit of each expert over time";
        let svg = |screen| profits_svg(&end_s, &named, screen);
        figures.push(figure("By expert", label, "", svg));
    }
    let by_stock = by_stock(record, &ends, costs);
    let named: Vec<(&str, Vec<f64>)> =
        record.stocks.iter().map(|stock| stock.as_str()).zip(by_stock).collect();
    let label = "Profit in each stock over time";
    let svg = |screen| profits_svg(&end_s, &named, screen);
    figures.push(figure("By stock", label, "", svg));
    format!("<h3>Who earned it, over time</h3>\n<div class=\"pair\">\n{}</div>\n", figures.concat())
}

/// `[expert][day]`, over all stocks; the last day as the evaluation left it.
fn by_expert(allocations: &Allocations, end_s: &[i64], stocks: usize) -> Vec<Vec<f64>> {
    let experts = allocations.experts.len();
    let mut latest = vec![0.0; stocks * experts];
    let mut rows = allocations.rows.iter().peekable();
    let mut found = vec![Vec::with_capacity(end_s.len()); experts];
    for (day, &until_s) in end_s.iter().enumerate() {
        while let Some(row) = rows.next_if(|row| row.end_s <= until_s) {
            latest[row.stock * experts..][..experts].copy_from_slice(&row.profits);
        }
        if day + 1 == end_s.len() && allocations.profits.len() == latest.len() {
            latest.clone_from(&allocations.profits);
        }
        for (expert, profits) in found.iter_mut().enumerate() {
            profits.push(latest.iter().skip(expert).step_by(experts).sum());
        }
    }
    found
}

/// `[stock][day]`.
fn by_stock(record: &BacktestRecord, ends: &[usize], costs: &Costs) -> Vec<Vec<f64>> {
    let stocks = record.stocks.len();
    let rewards = rewards_by_bar(record, costs);
    let mut sums = vec![0.0; stocks];
    let mut found = vec![Vec::with_capacity(ends.len()); stocks];
    let mut from = 1;
    for &end in ends {
        for t in from..=end {
            for (sum, reward) in sums.iter_mut().zip(&rewards[t * stocks..]) {
                *sum += reward * record.equity[t - 1];
            }
        }
        from = from.max(end + 1);
        found.iter_mut().zip(&sums).for_each(|(days, sum)| days.push(*sum));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::portfolio::allocation::Allocation;
    use crate::report::example;

    /// What the stocks earned up to the last day is what the account gained.
    #[test]
    fn the_stocks_profits_add_up_to_the_accounts() {
        let example = example::run(3, 400);
        let mut record = example.record;
        // The example pays a basis point of each fill, as fees.
        let costs = Costs { fee_bps: 1.0, slippage_bps: 0.0 };
        record.open.clone_from(&record.price);
        let ends = record.daily_rows();
        assert_eq!((ends.len(), ends[0], *ends.last().unwrap()), (400usize.div_ceil(7), 6, 399));
        let found = by_stock(&record, &ends, &costs);
        for (day, &end) in ends.iter().enumerate() {
            let sum: f64 = found.iter().map(|days| days[day]).sum();
            let gained = record.equity[end] - record.equity[0];
            assert!((sum - gained).abs() < 1e-3, "day {day}: {sum} of {gained}");
        }
    }

    /// Two stocks, two experts: profits stand until the stock's next row.
    #[test]
    fn an_experts_profit_is_over_all_stocks_and_stands_until_it_changes() {
        let row = |end_s, stock, profits: [f64; 2]| Allocation {
            end_s,
            stock,
            weights: vec![0.5; 2],
            profits: profits.to_vec(),
            capital: 0.5,
            proposed: 0.0,
            approved: 0.0,
            changed: Vec::new(),
            reason: None,
        };
        let rows = vec![
            row(10, 0, [0.0, 0.0]),
            row(10, 1, [1.0, -2.0]),
            row(20, 0, [5.0, 3.0]),
            row(30, 1, [2.0, -4.0]),
        ];
        let mut allocations = Allocations::of_rows(vec!["A".into(), "B".into()], rows);
        let found = by_expert(&allocations, &[15, 25, 40], 2);
        assert_eq!(found, [vec![1.0, 6.0, 7.0], vec![-2.0, 1.0, -1.0]]);
        allocations.profits = vec![6.0, 3.0, 2.0, -5.0];
        let found = by_expert(&allocations, &[15, 25, 40], 2);
        assert_eq!(found, [vec![1.0, 6.0, 8.0], vec![-2.0, 1.0, -2.0]]);
    }
}
