//! The deepest drawdowns as a table, in the report.

use super::format::{count, percent};
use super::page::table;
use crate::eval::drawdowns::{Drawdown, deepest_drawdowns};
use crate::eval::metrics::BacktestRecord;

const SHOWN: usize = 5;

/// Empty without a drawdown.
pub(super) fn section(record: &BacktestRecord) -> String {
    let found = deepest_drawdowns(record, SHOWN);
    if found.is_empty() {
        return String::new();
    }
    let row = |one: &Drawdown| {
        vec![
            one.from.to_string(),
            one.trough.to_string(),
            one.recovered.map_or("not yet".into(), |day| day.to_string()),
            percent(one.depth),
            count(one.days.unsigned_abs()),
        ]
    };
    let rows: Vec<Vec<String>> = found.iter().map(row).collect();
    let head = ["from", "trough", "recovered", "depth", "days"].map(String::from);
    format!(
        "<h2>Worst drawdowns</h2>\n{}<p class=\"explained\">The deepest falls below an earlier peak, \
         at daily closes. Days of the calendar, from the peak to the recovery or to the last \
         day.</p>\n",
        table("Worst drawdowns", &head, &rows)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn the_five_deepest_are_shown_with_what_is_not_over() {
        let mut many = example::run(2, 700).record;
        // Seven bars a day; every other day closes below the day before.
        for (t, equity) in many.equity.iter_mut().enumerate() {
            let day = t / 7;
            *equity = if day % 2 == 0 { 100.0 + day as f64 } else { 90.0 };
        }
        let page = section(&many);
        assert_eq!(page.matches("<th scope=\"row\">").count(), SHOWN, "{page}");
        let mut falling = example::run(1, 30).record;
        let bars = falling.equity.len();
        falling.equity = (0..bars).map(|t| 100.0 - t as f64).collect();
        // Seven bars a day from 2 January on; the last of 30 is on the 8th.
        let page = section(&falling);
        assert!(page.contains("<th scope=\"row\">2020-01-02</th>"), "{page}");
        assert!(
            page.contains(
                ">not yet</td><td data-label=\"depth\">−29.0%</td><td data-label=\"days\">6</td>"
            ),
            "{page}"
        );
        falling.equity.fill(100.0);
        assert_eq!(section(&falling), "");
    }
}
