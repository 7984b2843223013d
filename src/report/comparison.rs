//! All strategies on the bars of the evaluation, in the closing table and in the report.

use std::fmt::Write;

use crate::eval::comparison::{Contender, ContenderRole};
use crate::eval::inference::CONFIDENCE;

use super::format::{count, growth, minus, percent, ratio, wrapped};
use super::page::{cell, thead, wide};

const COLUMNS: [&str; 8] =
    ["", "return", "Sharpe", "interval", "max DD", "turnover", "costs", "trades"];
/// In the terminal, where 80 columns have no room for the last one.
const SHOWN: usize = COLUMNS.len() - 1;

/// What the columns mean, and who is treated differently.
const EXPLAINED: &str = "turnover: value traded per day over equity; costs: fees and slippage as \
                         fractions of equity, summed. All rows but the benchmark trade the \
                         capital that the desk allocates, within its limits; the benchmark buys \
                         equal parts of all stocks once and holds them.";

/// Aligned, at most 80 columns wide; an undefined value is `-`, one that failed says why.
pub(super) fn table(everyone: &[Contender]) -> String {
    let rows: Vec<[String; COLUMNS.len()]> =
        std::iter::once(COLUMNS.map(String::from)).chain(everyone.iter().map(cells)).collect();
    let width: [usize; SHOWN] =
        std::array::from_fn(|i| rows.iter().map(|row| row[i].len()).max().unwrap_or(0));
    let mut text = String::new();
    let mut before = None;
    for (i, row) in rows.iter().enumerate() {
        let contender = i.checked_sub(1).map(|i| &everyone[i]);
        let role = contender.map(|one| one.role);
        if role == Some(ContenderRole::Ensemble) && before != role {
            text += "ensembles of the first five\n";
        }
        before = role;
        // Writing to a String does not fail.
        let _ = write!(text, "{:<1$}", row[0], width[0]);
        match contender.and_then(|one| one.error.as_ref()) {
            Some(error) => text += &format!("  {error}"),
            None => {
                for (cell, width) in row.iter().zip(width).skip(1) {
                    let _ = write!(text, "  {cell:>width$}");
                }
            }
        }
        text.push('\n');
    }
    let explained = format!("interval: {}, of the Sharpe ratio; {EXPLAINED}", level());
    text += &format!("\n{}\n", wrapped(&explained, 80));
    match of_the_best(everyone) {
        Some(sentence) => text + &format!("\n{}\n", wrapped(&sentence, 80)),
        None => text,
    }
}

/// The report's section.
pub(super) fn section(everyone: &[Contender]) -> String {
    if everyone.is_empty() {
        return String::new();
    }
    let head = COLUMNS.map(|name| match name {
        "interval" => format!("{} interval", level()),
        "max DD" => "max drawdown".into(),
        name => name.to_string(),
    });
    let mut body = String::new();
    for one in everyone {
        let ensemble = if one.role == ContenderRole::Ensemble { "ensemble, " } else { "" };
        let [_, values @ ..] = cells(one);
        let shown = match &one.error {
            Some(error) => format!("<td class=\"explained\" colspan=\"7\">{error}</td>"),
            None => values.iter().zip(&head[1..]).map(|(value, name)| cell(name, value)).collect(),
        };
        let _ = writeln!(body, "<tr><th scope=\"row\">{ensemble}{}</th>{shown}</tr>", name(one));
    }
    let of_the_best = of_the_best(everyone).map(|sentence| minus(&format!("<p>{sentence}</p>\n")));
    let title = "All strategies on the same bars";
    let content = format!("{}<tbody>\n{body}</tbody>\n", thead(&head));
    format!(
        "<h2>{title}</h2>\n{}<p class=\"explained\">Ensembles: of the first five; {EXPLAINED}</p>\n{}",
        wide(title, "cards", &content),
        of_the_best.unwrap_or_default()
    )
}

/// How much of what could be earned in a made-up market was earned; None where nobody knows, or
/// where there was nothing to earn.
fn of_the_best(everyone: &[Contender]) -> Option<String> {
    let reward = |role: ContenderRole| {
        let found = everyone.iter().find(|one| one.role == role)?;
        Some(found.metrics.as_ref()?.total_reward)
    };
    let best = reward(ContenderRole::Oracle)?;
    let what =
        "Oracle: the best policy of this made-up market, which knows how its prices are made.";
    if best <= 0.0 {
        return Some(format!("{what} After costs there was nothing to earn for it."));
    }
    let part = |role| reward(role).map_or("-".into(), |reward| percent(reward / best));
    Some(format!(
        "{what} The DQN earned {} of its reward, the portfolio {}.",
        part(ContenderRole::Dqn),
        part(ContenderRole::Portfolio)
    ))
}

fn cells(one: &Contender) -> [String; COLUMNS.len()] {
    let mut cells = std::array::from_fn(|_| String::new());
    cells[0] = match one.role {
        ContenderRole::Ensemble => format!("  {}", name(one)),
        _ => name(one).into(),
    };
    let (Some(metrics), Some(sharpe), Some(costs)) = (&one.metrics, &one.sharpe, one.costs) else {
        return cells;
    };
    let ends = sharpe.low.zip(sharpe.high);
    let interval = ends.map(|(low, high)| format!("{} to {}", ratio(low), ratio(high)));
    cells[1] = growth(metrics.portfolio_return);
    cells[2] = sharpe.value.map_or("-".into(), ratio);
    cells[3] = interval.unwrap_or_else(|| "-".into());
    cells[4] = percent(metrics.max_drawdown);
    cells[5] = ratio(metrics.turnover);
    cells[6] = percent(costs);
    cells[7] = count(metrics.trades);
    cells
}

/// The benchmark is called so, lest it be taken for the strategy Buy and Hold.
fn name(one: &Contender) -> &str {
    if one.role == ContenderRole::BuyAndHold { "benchmark" } else { &one.name }
}

fn level() -> String {
    format!("{:.0}%", 100.0 * CONFIDENCE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::metrics::Metrics;
    use crate::report::example;

    #[test]
    fn columns_align_within_the_width_of_a_terminal() {
        let everyone = example::run(2, 400).everyone;
        let text = table(&everyone);
        #[rustfmt::skip]
        let expected = [
            "                    return  Sharpe       interval  max DD  turnover  costs",
            "RSI                 +12.3%    1.26  -0.70 to 3.10  -12.3%     21.50  12.3%",
            "Pairs               a pair needs two stocks",
        ];
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..3], expected);
        assert_eq!(lines[3], "ensembles of the first five");
        assert!(lines[4].starts_with("  inverse variance"), "{text}");
        assert_eq!(lines[5].split_whitespace().collect::<Vec<_>>()[1..4], ["0.0%", "-", "-"]);
        assert_eq!(lines[6].split_whitespace().next(), Some("benchmark"));
        assert!(text.contains("\ninterval: 95%, of the Sharpe ratio; turnover: "), "{text}");
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    }

    #[test]
    fn the_section_has_a_row_for_each() {
        let everyone = example::run(2, 400).everyone;
        let text = section(&everyone);
        assert_eq!(text.matches("<th scope=\"row\">").count(), everyone.len());
        assert!(
            text.contains(">ensemble, inverse variance</th><td data-label=\"return\">+12.3%</td>"),
            "{text}"
        );
        assert!(text.contains(">−0.70 to 3.10</td>") && text.contains("a pair needs two stocks"));
        assert_eq!(section(&[]), "");
    }

    /// The DQN earned 0.1 where 0.4 could be earned, the portfolio nothing.
    #[test]
    fn what_could_be_earned_is_said_where_it_is_known() {
        let others = example::run(2, 400).everyone;
        assert_eq!(of_the_best(&others), None);
        let metrics = others.iter().find_map(|one| one.metrics.clone()).unwrap();
        let earned = |role, total_reward| Contender {
            name: format!("{role:?}"),
            role,
            metrics: Some(Metrics { total_reward, ..metrics.clone() }),
            error: None,
            ..others[0].clone()
        };
        let [dqn, portfolio] = [(ContenderRole::Dqn, 0.1), (ContenderRole::Portfolio, 0.0)]
            .map(|(role, reward)| earned(role, reward));
        let best = |reward| earned(ContenderRole::Oracle, reward);
        let everyone = vec![dqn.clone(), portfolio.clone(), best(0.4)];
        let said = table(&everyone).replace('\n', " ");
        assert!(said.contains("The DQN earned 25.0% of its reward, the portfolio 0.0%."), "{said}");
        assert!(section(&everyone).contains("The DQN earned 25.0% of its reward"));
        let nothing = table(&[dqn, portfolio, best(0.0)]);
        assert!(nothing.contains("nothing to earn"), "{nothing}");
    }
}
