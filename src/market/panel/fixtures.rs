//! Panels for tests of other rooms.

use std::path::Path;

use super::{Panel, PanelData};

/// Stocks A, B, ... with these closes, `[stock][bar]`, each bar of which opens at the last close;
/// written to `folder`.
pub(crate) fn panel_of_closes(folder: &Path, end_s: Vec<i64>, closes: &[Vec<f64>]) -> Panel {
    let (rows, stocks) = (end_s.len(), closes.len());
    let table = |of: &dyn Fn(&[f64], usize) -> f64| -> Vec<f64> {
        (0..rows * stocks).map(|i| of(&closes[i % stocks], i / stocks)).collect()
    };
    let open = |closes: &[f64], row: usize| closes[row.saturating_sub(1)];
    let name = |stock: usize| char::from(b'A' + stock as u8).to_string();
    let data = PanelData {
        stocks: (0..stocks).map(|stock| name(stock).parse().unwrap()).collect(),
        feature_names: vec!["nothing".into()],
        end_s,
        open: table(&open),
        high: table(&|closes, row| open(closes, row).max(closes[row])),
        low: table(&|closes, row| open(closes, row).min(closes[row])),
        close: table(&|closes, row| closes[row]),
        volume: vec![1.0; rows * stocks],
        tradable: vec![true; rows * stocks],
        features: vec![0.0; rows * stocks],
        note: String::new(),
    };
    let path = folder.join("panel.arrow");
    Panel::write(&path, &data).unwrap();
    Panel::open(&path).unwrap()
}
