//! The figures of the portfolio beside those of the benchmark, in the report.

use std::fmt::Write;

use super::format::{count, growth, minus, percent, ratio};
use super::page::wide;
use crate::eval::metrics::Metrics;

/// The report's section; `costs` are those of the portfolio and of the benchmark, parts of equity.
pub(super) fn section(eval: &Metrics, benchmark: &Metrics, costs: [f64; 2]) -> String {
    type Row = (&'static str, fn(&Metrics) -> Option<String>, &'static str);
    let rows: [Row; 10] = [
        (
            "Return",
            |m| Some(growth(m.portfolio_return)),
            "final over initial equity, less 1, after costs; from tenfold on the multiple",
        ),
        (
            "Sharpe ratio",
            |m| m.sharpe.map(ratio),
            "of daily returns, annualised by the trading days of a year",
        ),
        ("Sortino ratio", |m| m.sortino.map(ratio), "the same over downside deviation"),
        ("Calmar ratio", |m| m.calmar.map(ratio), "annual return over maximum drawdown"),
        (
            "Maximum drawdown",
            |m| Some(percent(m.max_drawdown)),
            "largest fall below a previous peak, at the ends of days",
        ),
        ("Volatility", |m| m.volatility.map(percent), "of daily returns, annualised"),
        ("Exposure", |m| Some(percent(m.exposure)), "mean gross exposure over equity"),
        ("Turnover per day", |m| Some(ratio(m.turnover)), "value traded over equity"),
        ("Trades", |m| Some(count(m.trades)), "fills"),
        (
            "Sum of rewards",
            |m| Some(format!("{:.4}", m.total_reward)),
            "sum of the simple returns per bar",
        ),
    ];
    let mut body = String::new();
    let mut push = |name: &str, [ours, theirs]: [Option<String>; 2], meaning: &str| {
        let [ours, theirs] = [ours, theirs].map(|shown| shown.map_or("–".into(), |s| minus(&s)));
        // Writing to a String does not fail.
        let _ = writeln!(
            body,
            "<tr><th scope=\"row\">{name}</th><td>{ours}</td><td>{theirs}</td>\
             <td class=\"explained\">{meaning}</td></tr>",
        );
    };
    for (name, value, meaning) in rows {
        push(name, [value(eval), value(benchmark)], meaning);
    }
    let paid = costs.map(|paid| Some(percent(paid)));
    push("Costs", paid, "fees and slippage of each bar over the equity before, summed");
    let head = "<thead><tr><td></td><th scope=\"col\">Portfolio</th><th scope=\"col\">Benchmark</th>\
                <th scope=\"col\" class=\"explained\">Meaning</th></tr></thead>\n";
    let content = format!("{head}<tbody>\n{body}</tbody>\n");
    format!("<h2>Results</h2>\n{}", wide("Results", "", &content))
}
