//! `relationships.csv`: which stocks move the decisions for which, beside which move together; and
//! `relationships_by_quarter.csv`, the same over time.

use std::fmt::Write;
use std::path::PathBuf;

use crate::features::relations::QuarterRelation;
use crate::market::Symbol;

use super::csv_text::{csv_number, csv_rows};
use super::folder::{ReportError, ResultsFolder};

/// The learned graph and the measured one, all `[stock][peer]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Relationships {
    pub(crate) stocks: Vec<Symbol>,
    /// By how much the peer moves what is decided for the stock: a return per bar; None where the
    /// stock does not see the peer.
    pub(crate) influence: Vec<Vec<Option<f64>>>,
    /// Attention weight averaged over time and heads; None where the stock does not see the peer.
    pub(crate) attention: Vec<Vec<Option<f64>>>,
    /// Correlation of bar returns; None where too few common bars.
    pub(crate) correlation: Vec<Vec<Option<f64>>>,
    /// Correlation of the stock's return with the peer's of the bar before; None likewise.
    pub(crate) lead_lag: Vec<Vec<Option<f64>>>,
    /// Of the pairs that the features or the network see, in the order of time.
    pub(crate) quarters: Vec<QuarterRelation>,
}

const HEADER: &str = "stock,peer,influence_bps,attention,correlation,lead_lag\n";
const QUARTERS_HEADER: &str = "quarter,stock,peer,influence_bps,attention,correlation,lead_lag\n";

impl Relationships {
    pub(crate) const NAME: &str = "relationships.csv";
    pub(crate) const BY_QUARTER: &str = "relationships_by_quarter.csv";

    /// Returns the paths of both files.
    pub(crate) fn write(&self, folder: &ResultsFolder) -> Result<[PathBuf; 2], ReportError> {
        Ok([
            folder.write_whole(Relationships::NAME, self.csv().as_bytes())?,
            folder.write_whole(Relationships::BY_QUARTER, self.by_quarter().as_bytes())?,
        ])
    }

    /// What [`Relationships::write`] wrote: both files. None if the first is not that of these stocks;
    /// without quarters if the second is not. Nothing is known of a stock beside itself.
    pub(super) fn parse(stocks: &[Symbol], graph: &str, quarters: &str) -> Option<Relationships> {
        let place = |name: &str| stocks.iter().position(|stock| stock.as_str() == name);
        let four = |cells: &[&str]| {
            Some([
                csv_number(cells[0])?,
                csv_number(cells[1])?,
                csv_number(cells[2])?,
                csv_number(cells[3])?,
            ])
        };
        let in_return = |bps: Option<f64>| bps.map(|bps| 1e-4 * bps);
        let unknown = vec![vec![None; stocks.len()]; stocks.len()];
        let mut matrices = [(); 4].map(|()| unknown.clone());
        let rows = csv_rows(graph, HEADER)?;
        if rows.len() != stocks.len() * stocks.len().saturating_sub(1) {
            return None;
        }
        for row in rows {
            let (stock, peer) = (place(row[0])?, place(row[1])?);
            for (matrix, value) in matrices.iter_mut().zip(four(&row[2..])?) {
                matrix[stock][peer] = value;
            }
        }
        let quarter = |row: &Vec<&str>| {
            let [influence, attention, correlation, lead_lag] = four(&row[3..])?;
            Some(QuarterRelation {
                quarter: row[0].into(),
                stock: place(row[1])?,
                peer: place(row[2])?,
                influence: in_return(influence),
                attention,
                correlation,
                lead_lag,
            })
        };
        let over_time = csv_rows(quarters, QUARTERS_HEADER);
        let over_time = over_time.and_then(|rows| rows.iter().map(quarter).collect());
        let [influence, attention, correlation, lead_lag] = matrices;
        let by_row = |row: Vec<Option<f64>>| row.into_iter().map(in_return).collect();
        Some(Relationships {
            stocks: stocks.to_vec(),
            influence: influence.into_iter().map(by_row).collect(),
            attention,
            correlation,
            lead_lag,
            quarters: over_time.unwrap_or_default(),
        })
    }

    /// One row per quarter, stock and peer, in the order of [`Relationships::quarters`].
    fn by_quarter(&self) -> String {
        let mut text = String::from(QUARTERS_HEADER);
        for of in &self.quarters {
            let cell = |value: Option<f64>| value.map_or(String::new(), |v| v.to_string());
            // Writing to a String does not fail.
            let _ = writeln!(
                text,
                "{},{},{},{},{},{},{}",
                of.quarter,
                self.stocks[of.stock],
                self.stocks[of.peer],
                cell(of.influence.map(|influence| 1e4 * influence)),
                cell(of.attention),
                cell(of.correlation),
                cell(of.lead_lag),
            );
        }
        text
    }

    /// One row per ordered pair of different stocks, by falling influence, then in the order of the
    /// stocks and of the peers. Undefined values are empty, and last.
    pub(crate) fn csv(&self) -> String {
        let mut text = String::from(HEADER);
        for (i, j) in self.ranked() {
            let cell = |value: Option<f64>| value.map_or(String::new(), |v| v.to_string());
            // Writing to a String does not fail.
            let _ = writeln!(
                text,
                "{},{},{},{},{},{}",
                self.stocks[i],
                self.stocks[j],
                cell(self.influence[i][j].map(|influence| 1e4 * influence)),
                cell(self.attention[i][j]),
                cell(self.correlation[i][j]),
                cell(self.lead_lag[i][j]),
            );
        }
        text
    }

    /// All pairs (stock, peer) in the order of the file.
    pub(crate) fn ranked(&self) -> Vec<(usize, usize)> {
        let stocks = self.stocks.len();
        let mut pairs: Vec<(usize, usize)> = (0..stocks)
            .flat_map(|i| (0..stocks).map(move |j| (i, j)))
            .filter(|(i, j)| i != j)
            .collect();
        let influence =
            |&(i, j): &(usize, usize)| self.influence[i][j].unwrap_or(f64::NEG_INFINITY);
        pairs.sort_by(|a, b| influence(b).total_cmp(&influence(a)));
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_fall_by_influence_and_undefined_is_empty_and_last() {
        let stocks = ["C", "A", "B"].map(|symbol| symbol.parse().unwrap()).to_vec();
        let relationships = Relationships {
            stocks,
            influence: vec![
                vec![None, Some(0.000_1), Some(0.000_2)],
                vec![None, None, Some(0.000_4)],
                vec![Some(0.000_2), Some(0.0), None],
            ],
            attention: vec![
                vec![None, Some(0.25), Some(0.75)],
                vec![None, None, Some(1.0)],
                vec![Some(0.5), Some(0.5), None],
            ],
            correlation: vec![
                vec![Some(1.0), Some(-0.5), Some(0.125)],
                vec![Some(-0.5), Some(1.0), None],
                vec![Some(0.125), None, Some(1.0)],
            ],
            lead_lag: vec![vec![Some(0.25); 3], vec![None; 3], vec![Some(-0.25); 3]],
            quarters: vec![QuarterRelation {
                quarter: "2019Q4".into(),
                stock: 1,
                peer: 2,
                influence: Some(0.000_4),
                attention: None,
                correlation: Some(0.5),
                lead_lag: Some(-0.25),
            }],
        };
        let expected = "quarter,stock,peer,influence_bps,attention,correlation,lead_lag\n\
                        2019Q4,A,B,4,,0.5,-0.25\n";
        assert_eq!(relationships.by_quarter(), expected);
        let expected = "stock,peer,influence_bps,attention,correlation,lead_lag\n\
                        A,B,4,1,,\n\
                        C,B,2,0.75,0.125,0.25\n\
                        B,C,2,0.5,0.125,-0.25\n\
                        C,A,1,0.25,-0.5,0.25\n\
                        B,A,0,0.5,,-0.25\n\
                        A,C,,,-0.5,\n";
        assert_eq!(relationships.csv(), expected);
    }
}
