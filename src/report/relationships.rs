//! `relationships.csv`: which stocks the network looks at, beside which move together.

use std::fmt::Write;
use std::path::PathBuf;

use crate::market::Symbol;

use super::folder::{ReportError, ResultsFolder};

/// The learned graph and the measured one.
#[derive(Clone, Debug, PartialEq)]
pub struct Relationships {
    pub stocks: Vec<Symbol>,
    /// `[stock][peer]`: attention weight averaged over time and heads; None where the stock does
    /// not see the peer.
    pub attention: Vec<Vec<Option<f64>>>,
    /// `[stock][peer]`: correlation of bar returns; None where too few common bars.
    pub correlation: Vec<Vec<Option<f64>>>,
}

impl Relationships {
    pub const NAME: &str = "relationships.csv";

    pub fn write(&self, folder: &ResultsFolder) -> Result<PathBuf, ReportError> {
        folder.write_whole(Relationships::NAME, self.csv().as_bytes())
    }

    /// One row per ordered pair of different stocks: in the order of the stocks, then by falling
    /// attention, then in the order of the peers. Undefined values are empty.
    pub fn csv(&self) -> String {
        let mut text = String::from("stock,peer,attention,correlation\n");
        for (i, stock) in self.stocks.iter().enumerate() {
            let weight = |j: usize| self.attention[i][j].unwrap_or(f64::NEG_INFINITY);
            let mut peers: Vec<usize> = (0..self.stocks.len()).filter(|&j| j != i).collect();
            peers.sort_by(|&a, &b| weight(b).total_cmp(&weight(a)));
            for j in peers {
                let cell = |value: Option<f64>| value.map_or(String::new(), |v| v.to_string());
                let attention = cell(self.attention[i][j]);
                let correlation = cell(self.correlation[i][j]);
                // Writing to a String does not fail.
                let _ = writeln!(text, "{stock},{},{attention},{correlation}", self.stocks[j]);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_fall_by_attention_and_undefined_is_empty_and_last() {
        let stocks = ["C", "A", "B"].map(|symbol| symbol.parse().unwrap()).to_vec();
        let relationships = Relationships {
            stocks,
            attention: vec![
                vec![Some(0.5), Some(0.1), Some(0.4)],
                vec![None, Some(0.75), Some(0.25)],
                vec![Some(0.25), Some(0.25), Some(0.5)],
            ],
            correlation: vec![
                vec![Some(1.0), Some(-0.2), None],
                vec![Some(-0.2), Some(1.0), Some(0.3)],
                vec![None, Some(0.3), Some(1.0)],
            ],
        };
        let expected = "stock,peer,attention,correlation\n\
            C,B,0.4,\nC,A,0.1,-0.2\n\
            A,B,0.25,0.3\nA,C,,-0.2\n\
            B,C,0.25,\nB,A,0.25,0.3\n";
        assert_eq!(relationships.csv(), expected);
    }
}
