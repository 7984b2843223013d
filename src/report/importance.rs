//! What decisions depend on: `importance.csv`, and the most important features in the report.

use std::fmt::Write;
use std::path::PathBuf;

use super::csv_text::{csv_number, csv_rows};
use super::folder::{ReportError, ResultsFolder};
use super::format::ratio;
use super::page::table;
use crate::market::Symbol;
use crate::train::importance::{BlockMean, FeatureImportance};

pub(crate) const NAME: &str = "importance.csv";

/// Stocks, and features of each, in the report.
const MAX_STOCKS: usize = 12;
const MAX_FEATURES: usize = 5;

pub(crate) fn write(
    folder: &ResultsFolder,
    stocks: &[Symbol],
    found: &[FeatureImportance],
) -> Result<PathBuf, ReportError> {
    folder.write_whole(NAME, csv(stocks, found).as_bytes())
}

const HEADER: &str = "stock,feature,of,moved_bps,moved_low_bps,moved_high_bps,earned_bps,\
                      earned_low_bps,earned_high_bps\n";

/// One row per stock, feature, and whose it is; by stock, then by falling movement.
fn csv(stocks: &[Symbol], found: &[FeatureImportance]) -> String {
    let mut text = String::from(HEADER);
    for one in ranked(found) {
        // Writing to a String does not fail.
        let _ = write!(text, "{},{},{}", stocks[one.stock], one.feature, whose(one));
        for BlockMean { value, interval } in [one.moved, one.earned] {
            let ends = interval.map_or([None; 2], |ends| ends.map(Some));
            for number in [Some(value), ends[0], ends[1]] {
                let shown = number.map_or(String::new(), |number| (1e4 * number).to_string());
                let _ = write!(text, ",{shown}");
            }
        }
        text.push('\n');
    }
    text
}

/// What [`write`] wrote; None if it is not that of these stocks.
pub(super) fn parse(text: &str, stocks: &[Symbol]) -> Option<Vec<FeatureImportance>> {
    let mean = |cells: &[&str]| {
        let [value, low, high] =
            [csv_number(cells[0])?, csv_number(cells[1])?, csv_number(cells[2])?]
                .map(|number| number.map(|number| 1e-4 * number));
        Some(BlockMean { value: value?, interval: low.zip(high).map(|(low, high)| [low, high]) })
    };
    let row = |cells: &Vec<&str>| {
        Some(FeatureImportance {
            stock: stocks.iter().position(|stock| stock.as_str() == cells[0])?,
            feature: cells[1].into(),
            of_peers: cells[2] == "peers",
            moved: mean(&cells[3..6])?,
            earned: mean(&cells[6..])?,
        })
    };
    csv_rows(text, HEADER)?.iter().map(row).collect()
}

/// The report's section; `share` is how far the network is believed. Empty if nothing was measured.
pub(super) fn section(
    stocks: &[Symbol],
    found: &[FeatureImportance],
    share: Option<f32>,
) -> String {
    let ranked = ranked(found);
    let head = ["", "of", "moves by", "interval", "earns", "interval"].map(String::from);
    let row = |one: &&FeatureImportance| {
        let mut row = vec![one.feature.clone(), whose(one).to_string()];
        for mean in [one.moved, one.earned] {
            row.push(ratio(1e4 * mean.value));
            let ends = mean.interval.map(|ends| ends.map(|end| ratio(1e4 * end)));
            row.push(ends.map_or("-".into(), |[low, high]| format!("{low} to {high}")));
        }
        row
    };
    let mut tables = String::new();
    for of_stock in ranked.chunk_by(|a, b| a.stock == b.stock).take(MAX_STOCKS) {
        let rows: Vec<Vec<String>> = of_stock.iter().take(MAX_FEATURES).map(row).collect();
        let name = &stocks[of_stock[0].stock];
        let label = format!("What moves the decisions for {name}");
        let shown = table(&label, &head, &rows);
        // Writing to a String does not fail.
        let _ = writeln!(tables, "<section>\n<h3>{name}</h3>\n{shown}</section>");
    }
    if tables.is_empty() {
        return String::new();
    }
    let belief = match share {
        Some(0.0) => {
            " Validation did not believe the network, so it decides nothing here, and no feature \
             earns anything: this is what its values listen to."
        }
        _ => "",
    };
    format!(
        "<h2>What moves each decision</h2>\n<div class=\"columns\">\n{tables}</div>\n<p class=\"explained\">Basis points per bar, with 95% \
         intervals by stretches of time. A feature is shuffled among bars of the evaluation. Moves \
         by: how far the value of being long over short changes then. Earns: how much less the \
         positions that the DQN wants return then, before costs. The {MAX_FEATURES} features of each \
         stock that move most, its own or those of all its peers; {NAME} has all.{belief}</p>\n"
    )
}

/// By stock, then by falling movement.
fn ranked(found: &[FeatureImportance]) -> Vec<&FeatureImportance> {
    let mut ranked: Vec<&FeatureImportance> = found.iter().collect();
    ranked.sort_by(|a, b| a.stock.cmp(&b.stock).then(b.moved.value.total_cmp(&a.moved.value)));
    ranked
}

fn whose(one: &FeatureImportance) -> &'static str {
    if one.of_peers { "peers" } else { "own" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn what_moves_most_comes_first() {
        let stocks = ["A", "B"].map(|name| name.parse().unwrap());
        let of = |stock, feature: &str, of_peers, moved, interval| FeatureImportance {
            stock,
            feature: feature.into(),
            of_peers,
            moved: BlockMean { value: moved, interval },
            earned: BlockMean { value: -0.000_05, interval: None },
        };
        let found = [
            of(0, "return_1", false, 0.000_1, None),
            of(0, "return_1", true, 0.000_2, Some([0.000_1, 0.000_3])),
            of(1, "rsi", false, 0.000_4, None),
        ];
        let expected = "\
stock,feature,of,moved_bps,moved_low_bps,moved_high_bps,earned_bps,earned_low_bps,earned_high_bps
A,return_1,peers,2,1,2.9999999999999996,-0.5,,
A,return_1,own,1,,,-0.5,,
B,rsi,own,4,,,-0.5,,
";
        assert_eq!(csv(&stocks, &found), expected);
        let page = section(&stocks, &found, Some(1.0));
        let rows = example::body_cells(&page);
        assert_eq!(rows[0], ["return_1", "peers", "2.00", "1.00 to 3.00", "−0.50", "–"]);
        assert_eq!((&*rows[1][1], &*rows[2][0], rows.len()), ("own", "rsi", 3));
        assert!(page.contains("<h3>A</h3>") && page.contains("<h3>B</h3>"), "{page}");
        assert!(!page.contains("did not believe"), "{page}");
        assert!(section(&stocks, &found, Some(0.0)).contains("did not believe"));
        assert_eq!(section(&stocks, &[], None), "");
    }
}
