//! Monthly returns as a heat map, and what the account did in each month, in the report.

use std::fmt::Write;

use super::contributions::money;
use super::format::{count, growth, minus, percent};
use super::page::{escape, table, wide};
use crate::env::costs::Costs;
use crate::eval::metrics::BacktestRecord;
use crate::eval::months::{Month, MonthActivity, monthly_activity, monthly_returns};
use crate::portfolio::allocation::Allocations;

const NAMES: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// Absolute returns, in tenths of a percent as they are shown, at which the shade deepens: the same in
/// every report.
const SHADES: [f64; 4] = [1.0, 10.0, 30.0, 100.0];
/// Months of a long period that are explained, the last ones.
const EXPLAINED_MONTHS: usize = 36;

/// The heat map: a row per year, a column per month, and the year's return.
pub(super) fn heat_map(record: &BacktestRecord) -> String {
    let returns = monthly_returns(record);
    if returns.is_empty() {
        return String::new();
    }
    let head: String = NAMES.iter().map(|name| format!("<th scope=\"col\">{name}</th>")).collect();
    let mut body = String::new();
    for year in returns.chunk_by(|a, b| a.0.0 == b.0.0) {
        let number = year[0].0.0;
        let mut cells = String::new();
        for (month, name) in (1..).zip(NAMES) {
            let found = year.iter().find(|(at, _)| *at == (number, month));
            cells += &found.map_or_else(|| "<td></td>".into(), |(_, value)| cell(name, *value));
        }
        let total = year.iter().map(|(_, value)| 1.0 + value).product::<f64>() - 1.0;
        cells += &cell("Year", total);
        // Writing to a String does not fail.
        let _ = writeln!(body, "<tr><th scope=\"row\">{number}</th>{cells}</tr>");
    }
    let content = format!(
        "<thead><tr><th scope=\"col\">Year</th>{head}<th scope=\"col\">Year</th></tr></thead>\n\
         <tbody>\n{body}</tbody>\n"
    );
    let shown = wide("Monthly returns", "heat", &content);
    format!(
        "<h2>Monthly returns</h2>\n{shown}<p class=\"explained\">After costs. Blue is a gain, ochre a \
         loss; shades deepen at 0.1%, 1%, 3% and 10%, in every report.</p>\n"
    )
}

/// A month's return; `name` stands beside it where columns have no room for headings.
fn cell(name: &str, value: f64) -> String {
    format!(
        "<td class=\"{}\" data-label=\"{name}\">{}</td>",
        shade(value),
        minus(&growth(value)).replace("%", "<i>%</i>")
    )
}

fn shade(value: f64) -> String {
    let tenths = (1_000.0 * value.abs()).round();
    let depth = SHADES.iter().filter(|level| tenths >= **level).count();
    match depth {
        0 => "even".into(),
        depth if value > 0.0 => format!("up{depth}"),
        depth => format!("down{depth}"),
    }
}

/// What the account did in each month, and the benchmark meanwhile.
pub(super) fn activity(
    record: &BacktestRecord,
    benchmark: &BacktestRecord,
    allocations: Option<&Allocations>,
    costs: &Costs,
) -> String {
    let months = monthly_activity(record, allocations, costs);
    if months.is_empty() {
        return String::new();
    }
    let months = &months[months.len().saturating_sub(EXPLAINED_MONTHS)..];
    let (ours, theirs) = (monthly_returns(record), monthly_returns(benchmark));
    let earned = |of: &[(Month, f64)], month: Month| {
        let found = of.iter().find(|(at, _)| *at == month);
        found.map_or("-".into(), |(_, value)| growth(*value))
    };
    let mut head = vec!["", "return", "benchmark", "exposure", "fills", "costs"];
    let is_known = months.iter().any(|month| month.decided.is_some());
    if is_known {
        head.extend(["proposed", "ordered", "most weight", "held back by"]);
    }
    let row = |one: &MonthActivity| {
        let (year, month) = one.month;
        let mut cells = vec![
            format!("{} {year}", NAMES[month as usize - 1]),
            earned(&ours, one.month),
            earned(&theirs, one.month),
            percent(one.exposure),
            count(one.fills),
            money(one.costs).replace('+', ""),
        ];
        if let Some((decided, known)) = one.decided.as_ref().zip(allocations) {
            let (expert, weight) = decided.leader;
            cells.extend([
                percent(decided.proposed),
                percent(decided.approved),
                format!("{} {}", known.experts[expert], percent(weight)),
                decided.reason.map_or("-".into(), |reason| reason.words().into()),
            ]);
        }
        cells
    };
    let rows: Vec<Vec<String>> = months.iter().map(row).collect();
    let head: Vec<String> = head.into_iter().map(String::from).collect();
    let decided = match is_known {
        true => {
            " Proposed and ordered: sums of positions without their signs, over equity, before and \
             after the limits. Where little is proposed, the experts with the weight want nothing \
             or cancel; most weight is the one that counts most, and held back by names the limit \
             that most often made less of what was proposed."
        }
        false => "",
    };
    let paid = total_costs(months);
    format!(
        "<h2>Month by month</h2>\n{}<p class=\"explained\">Exposure: mean gross position over \
         equity. Costs: fees and slippage of all fills, {paid} in these months.{decided}</p>\n",
        table("Month by month", &head, &rows)
    )
}

fn total_costs(months: &[MonthActivity]) -> String {
    escape(&money(months.iter().map(|month| month.costs).sum()).replace('+', ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    /// An account of one stock with these equities at the closes of these days.
    fn account(days: &[(&str, f64)]) -> BacktestRecord {
        let end_s = |day: &str| {
            let close = format!("{day}T16:00:00-05:00");
            chrono::DateTime::parse_from_rfc3339(&close).unwrap().timestamp()
        };
        let zeros = vec![0.0; days.len()];
        BacktestRecord {
            stocks: vec!["A".parse().unwrap()],
            end_s: days.iter().map(|(day, _)| end_s(day)).collect(),
            equity: days.iter().map(|(_, equity)| *equity).collect(),
            cash: zeros.clone(),
            reward: zeros.clone(),
            turnover: zeros.clone(),
            trades: vec![0; days.len()],
            drawdown: zeros.clone(),
            position: zeros.clone(),
            price: zeros.clone(),
            open: zeros,
        }
    }

    /// 100 to 102 in November (2 %) and to 102 in December; to 91.8 in January (-10 %) and 100.98 in
    /// February (10 %): 2 % and -1 % in the years.
    #[test]
    fn months_and_years_by_hand() {
        let record = account(&[
            ("2019-11-04", 100.0),
            ("2019-11-29", 102.0),
            ("2019-12-31", 102.0),
            ("2020-01-31", 91.8),
            ("2020-02-28", 100.98),
        ]);
        let page = heat_map(&record);
        let cell = |shade: &str, month: &str, text: &str| {
            format!("<td class=\"{shade}\" data-label=\"{month}\">{text}<i>%</i></td>")
        };
        let rows = [
            format!(
                "2019</th>{}{}{}{}",
                "<td></td>".repeat(10),
                cell("up2", "Nov", "+2.0"),
                cell("even", "Dec", "0.0"),
                cell("up2", "Year", "+2.0")
            ),
            format!(
                "2020</th>{}{}{}{}",
                cell("down4", "Jan", "−10.0"),
                cell("up4", "Feb", "+10.0"),
                "<td></td>".repeat(10),
                cell("down2", "Year", "−1.0")
            ),
        ];
        for row in rows {
            assert!(page.contains(&row), "{row} in {page}");
        }
        assert_eq!(heat_map(&account(&[])), "");
    }

    #[test]
    fn shades_are_the_same_in_every_report() {
        let found = [0.0, 0.000_4, -0.000_6, 0.012, -0.05, 0.3].map(shade);
        assert_eq!(found, ["even", "even", "down1", "up2", "down3", "up4"]);
        let style = include_str!("report.css");
        for shade in (1..=4).flat_map(|depth| [format!("up{depth}"), format!("down{depth}")]) {
            assert!(style.contains(&format!(".{shade} ")), "{shade}");
            assert_eq!(
                style.matches(&format!("--{shade}: ")).count(),
                2,
                "{shade}: light and dark"
            );
        }
    }

    #[test]
    fn every_month_says_what_was_decided() {
        let example = example::run(2, 400);
        let costs = Costs::new(&example.config.env);
        let page = activity(&example.record, &example.held, Some(&example.allocations), &costs);
        assert!(page.contains("<th scope=\"row\">Jan 2020</th>"), "{page}");
        assert!(page.contains("<th scope=\"col\">held back by</th>"), "{page}");
        assert!(page.contains(">Buy and Hold 4"), "{page}");
        let known = activity(&example.record, &example.held, None, &costs);
        assert!(!known.contains("proposed") && known.contains("Jan 2020"), "{known}");
    }
}
