//! What each expert contributed to the profit, and the regret of the weights, in the closing table
//! and in the report.

use crate::eval::contributions::Contributions;
use crate::portfolio::meta_policy::Regret;

use super::format::{aligned, counted, multiple, percent, ratio, signed_percent, wrapped};
use super::page::table as table_of;

pub(super) const COLUMNS: [&str; 4] = ["", "mean weight", "profit", "of capital"];
/// More stocks than this have no column of their own in the report.
const MAX_STOCKS: usize = 12;

/// What the rows are.
const EXPLAINED: &str = "An expert's profit is its weight times what it would have earned alone, \
                         after costs, with the same capital. Other: costs saved where experts' \
                         orders cancel, small changes left alone, limits and stops.";

/// Aligned, at most 80 columns wide. `capital` is that of the start.
pub(super) fn table(found: &Contributions, capital: f64) -> String {
    let rows: Vec<[String; COLUMNS.len()]> =
        std::iter::once(COLUMNS.map(String::from)).chain(cells(found, capital)).collect();
    let mut text = aligned(&rows) + &format!("\n{}\n", wrapped(EXPLAINED, 80));
    if let Some(regret) = &found.regret {
        text += &format!("\n{}\n", wrapped(&sentence(regret), 80));
    }
    text
}

/// The report's section below the picture of the weights. `capital` is that of the start.
pub(super) fn section(found: &Contributions, capital: f64) -> String {
    let shown = if found.stocks.len() <= MAX_STOCKS { &found.stocks[..] } else { &[] };
    let mut head: Vec<String> = COLUMNS.map(String::from).into();
    head.extend(shown.iter().map(|stock| stock.stock.to_string()));
    let mut rows = Vec::new();
    let experts = found.experts.len();
    for (row, cells) in cells(found, capital).into_iter().enumerate() {
        let mut cells = Vec::from(cells);
        for stock in shown {
            let profit = match stock.by_expert.get(row) {
                Some(&profit) => profit,
                None if row == experts => stock.other,
                None => stock.profit,
            };
            cells.push(money(profit));
        }
        rows.push(cells);
    }
    let mut text = table_of("Profit by expert and stock", &head, &rows);
    text += &format!("<p class=\"explained\">{EXPLAINED}");
    if let Some(regret) = &found.regret {
        text += &format!(" {}", sentence(regret));
    }
    text + "</p>\n"
}

/// A row for each expert, for the rest, and for the account.
fn cells(found: &Contributions, capital: f64) -> Vec<[String; COLUMNS.len()]> {
    let (total, other) = found.totals();
    let row = |name: &str, weight: String, profit: f64| {
        [name.into(), weight, money(profit), of_capital(profit / capital)]
    };
    let of_experts =
        found.experts.iter().map(|one| row(&one.name, percent(one.mean_weight), one.profit));
    let rest = [row("other", String::new(), other), row("portfolio", String::new(), total)];
    of_experts.chain(rest).collect()
}

/// A profit as a fraction of the capital; a multiple of it where it is tenfold or more.
pub(super) fn of_capital(fraction: f64) -> String {
    if fraction.abs() < 10.0 { signed_percent(fraction) } else { multiple(fraction) }
}

fn sentence(regret: &Regret) -> String {
    let Regret { best_expert, regret, bound, periods } = regret;
    let points = |fraction: f64| ratio(100.0 * fraction.abs());
    let side = if *regret >= 0.0 { "less" } else { "more" };
    format!(
        "Regret: over {} the portfolio earned {} points {side} than {best_expert}, in \
         hindsight the best expert. By the weights' bound it cannot be more than {} less.",
        counted(*periods as usize, "period"),
        points(*regret),
        points(*bound),
    )
}

/// Whole units of the currency, with a sign.
pub(super) fn money(value: f64) -> String {
    let whole = value.abs().round() as u64;
    let sign = if whole == 0 {
        ""
    } else if value < 0.0 {
        "-"
    } else {
        "+"
    };
    format!("{sign}{}", super::format::count(whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn the_rows_add_up_within_the_width_of_a_terminal() {
        let found = example::run(2, 400).contributions;
        let text = table(&found, 1_000_000.0);
        let lines: Vec<&str> = text.lines().collect();
        #[rustfmt::skip]
        let expected = [
            "              mean weight   profit  of capital",
            "RSI                 10.0%   -3,000       -0.3%",
            "Buy and Hold        50.0%  +80,000       +8.0%",
            "DQN                 40.0%        0        0.0%",
            "other                       +1,000       +0.1%",
            "portfolio                  +78,000       +7.8%",
        ];
        assert_eq!(lines[..6], expected);
        let said = text.replace('\n', " ");
        assert!(said.contains("earned 3.10 points less than Buy and Hold"), "{text}");
        assert!(lines.iter().all(|line| line.len() <= 80), "{text}");
        let page = section(&found, 1_000_000.0);
        assert_eq!(page.matches("<th scope=\"row\">").count(), 5);
        assert!(page.contains(">−3,000</td><td data-label=\"of capital\">−0.3%</td>"), "{page}");
    }
}
