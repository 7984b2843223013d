//! Relations between stocks over time, in the report.

use std::collections::BTreeMap;

use crate::features::relations::QuarterRelation;

use super::format::ratio;
use super::page::table;
use super::relationships::Relationships;

/// Quarters and pairs in the table.
const MAX_QUARTERS: usize = 10;
const MAX_PAIRS: usize = 8;

/// The pairs whose relation is strongest, quarter by quarter.
pub(super) fn section(relationships: &Relationships) -> String {
    let Relationships { stocks, quarters, .. } = relationships;
    let mut names: Vec<&str> = quarters.iter().map(|of| &*of.quarter).collect();
    names.dedup();
    let names = &names[names.len().saturating_sub(MAX_QUARTERS)..];
    let is_learned = quarters.iter().any(|of| of.influence.is_some());
    let strength = |of: &QuarterRelation| match is_learned {
        true => of.influence.map(|influence| 1e4 * influence),
        false => of.correlation,
    };
    let mut sums: BTreeMap<(usize, usize), f64> = BTreeMap::new();
    for of in quarters {
        *sums.entry((of.stock, of.peer)).or_default() += strength(of).unwrap_or(0.0).abs();
    }
    let mut pairs: Vec<((usize, usize), f64)> = sums.into_iter().collect();
    pairs.sort_by(|a, b| b.1.total_cmp(&a.1));
    if names.is_empty() {
        return String::new();
    }
    let head: Vec<String> =
        std::iter::once("").chain(names.iter().copied()).map(String::from).collect();
    let row = |((stock, peer), _): ((usize, usize), f64)| {
        let of_quarter = |name: &&str| {
            let found = quarters
                .iter()
                .find(|of| of.quarter == **name && (of.stock, of.peer) == (stock, peer));
            found.and_then(strength).map_or("-".into(), ratio)
        };
        let pair = format!("{} ← {}", stocks[stock], stocks[peer]);
        std::iter::once(pair).chain(names.iter().map(of_quarter)).collect()
    };
    let rows: Vec<Vec<String>> = pairs.into_iter().take(MAX_PAIRS).map(row).collect();
    let what = match is_learned {
        true => {
            "By how much the peer (right) moves what is decided for the stock (left), basis points"
        }
        false => "Correlation of bar returns",
    };
    format!(
        "<h3>Over time</h3>\n{}<p class=\"explained\">{what}, by quarter; the strongest pairs. \
         relationships_by_quarter.csv has all, with attention, correlation and lead-lag.</p>\n",
        table("Relations over time", &head, &rows)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn the_strongest_pairs_have_a_row_and_every_quarter_a_column() {
        let example = example::run(3, 400);
        let page = section(&example.relationships);
        assert_eq!(page.matches("<th scope=\"row\">").count(), 6, "3 stocks with 2 peers each");
        for quarter in ["2019Q3", "2019Q4", "2020Q1"] {
            assert!(page.contains(&format!("<th scope=\"col\">{quarter}</th>")), "{page}");
        }
        assert!(page.contains("AAPL ← MSFT"), "{page}");
        assert_eq!(section(&example::run(1, 30).relationships), "");
    }
}
