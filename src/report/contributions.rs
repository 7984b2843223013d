//! What each expert contributed to the profit, and the regret of the weights, in the closing table
//! and in the report.

use std::fmt::Write;

use crate::eval::contributions::Contributions;
use crate::portfolio::meta_policy::Regret;

use super::format::{aligned, minus, percent, ratio, signed_percent, wrapped};

const COLUMNS: [&str; 4] = ["", "mean weight", "profit", "of capital"];
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
    let mut head: String = COLUMNS.iter().map(|name| format!("<th>{name}</th>")).collect();
    shown.iter().for_each(|stock| head += &format!("<th>{}</th>", stock.stock));
    let mut text =
        format!("<div class=\"wide\"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n");
    let experts = found.experts.len();
    for (row, [name, values @ ..]) in cells(found, capital).into_iter().enumerate() {
        let mut shown_values: String = values.iter().map(|value| cell(value)).collect();
        for stock in shown {
            let profit = match stock.by_expert.get(row) {
                Some(&profit) => profit,
                None if row == experts => stock.other,
                None => stock.profit,
            };
            shown_values += &cell(&money(profit));
        }
        let _ = writeln!(text, "<tr><th scope=\"row\">{name}</th>{shown_values}</tr>");
    }
    text += &format!("</tbody>\n</table></div>\n<p class=\"explained\">{EXPLAINED}");
    if let Some(regret) = &found.regret {
        text += &format!(" {}", sentence(regret));
    }
    text + "</p>\n"
}

/// A row for each expert, for the rest, and for the account.
fn cells(found: &Contributions, capital: f64) -> Vec<[String; COLUMNS.len()]> {
    let (total, other) = found.totals();
    let row = |name: &str, weight: String, profit: f64| {
        [name.into(), weight, money(profit), signed_percent(profit / capital)]
    };
    let of_experts =
        found.experts.iter().map(|one| row(&one.name, percent(one.mean_weight), one.profit));
    let rest = [row("other", String::new(), other), row("portfolio", String::new(), total)];
    of_experts.chain(rest).collect()
}

fn sentence(regret: &Regret) -> String {
    let Regret { best_expert, regret, bound, periods } = regret;
    let points = |fraction: f64| ratio(100.0 * fraction.abs());
    let side = if *regret >= 0.0 { "less" } else { "more" };
    format!(
        "Regret: over {periods} periods the portfolio earned {} points {side} than {best_expert}, in \
         hindsight the best expert. By the weights' bound it cannot be more than {} less.",
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

fn cell(value: &str) -> String {
    format!("<td>{}</td>", minus(value))
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
        assert!(page.contains("<td>−3,000</td><td>−0.3%</td><td>−1,000</td>"), "{page}");
    }
}
