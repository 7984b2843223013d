//! Which stocks move the decisions for which, in the report.

use super::page::small_figure;
use super::plot::heat_map_svg;
use super::quarters;
use super::relationships::Relationships;

/// The relationships of more stocks than this would be too fine to see and too many to load.
const MAX_MAPPED: usize = 60;
/// Influence from which on a cell has the deepest shade, in every report.
const FULL_INFLUENCE_BPS: f64 = 5.0;

/// Maps and a table over time; empty for one stock. `tests`: a sentence on the tests of pairs, or
/// nothing.
pub(super) fn section(relationships: &Relationships, tests: &str) -> String {
    let Relationships { stocks, influence, correlation, .. } = relationships;
    if stocks.len() < 2 {
        return String::new();
    }
    let shown = stocks.len().min(MAX_MAPPED);
    let map = |matrix: &[Vec<Option<f64>>], full: f64| {
        let rows: Vec<_> = matrix[..shown].iter().map(|row| row[..shown].to_vec()).collect();
        heat_map_svg(&stocks[..shown], &rows, full)
    };
    let rest = if shown < stocks.len() {
        format!("<p>The first {shown} stocks; relationships.csv has all.</p>\n")
    } else {
        String::new()
    };
    let maps = [
        small_figure(
            "Influence",
            "Influence of each peer on the decisions for each stock",
            "By how much the column's stock moves what is decided for the row's: mean change of \
             the value of being long over short without it, basis points per bar. Deepest from 5 \
             on.",
            &map(&in_basis_points(influence), FULL_INFLUENCE_BPS),
        ),
        small_figure(
            "Correlation",
            "Correlation of the returns of each pair of stocks",
            "Of bar returns over the training period; negative values have the other hue. Deepest \
             at 1 and -1.",
            &map(&without_diagonal(correlation), 1.0),
        ),
    ];
    let maps = maps.concat();
    format!(
        "<h2>Relationships</h2>\n{rest}<div class=\"pair\">\n{maps}</div>\n{}\
         <p class=\"explained\">{tests}</p>\n",
        quarters::section(relationships)
    )
}

fn in_basis_points(matrix: &[Vec<Option<f64>>]) -> Vec<Vec<Option<f64>>> {
    let of_row = |row: &Vec<Option<f64>>| row.iter().map(|v| v.map(|v| 1e4 * v)).collect();
    matrix.iter().map(of_row).collect()
}

/// A stock's correlation with itself says nothing and would outshine the others.
fn without_diagonal(matrix: &[Vec<Option<f64>>]) -> Vec<Vec<Option<f64>>> {
    let mut matrix = matrix.to_vec();
    for (i, row) in matrix.iter_mut().enumerate() {
        row[i] = None;
    }
    matrix
}
