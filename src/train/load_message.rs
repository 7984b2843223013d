//! What a worker rank sends to rank 0 while it reads its stocks.

use serde::{Deserialize, Serialize};

use crate::market::options::LoadReport;
use crate::market::{BarSeries, Symbol};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum LoadMessage {
    Progress { stock: usize, days_done: usize, days_total: usize },
    Bars { stock: usize, report: Box<LoadReport>, series: BarSeries },
    Failure { stock: usize, message: String },
}

/// The part that travels as JSON, on the first line; bars follow as little-endian columns.
#[derive(Serialize, Deserialize)]
enum LoadHeader {
    Progress { stock: usize, days_done: usize, days_total: usize },
    Bars { stock: usize, report: LoadReport, symbol: Symbol, columns: Vec<String>, rows: usize },
    Failure { stock: usize, message: String },
}

impl LoadMessage {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let head = match self {
            LoadMessage::Progress { stock, days_done, days_total } => LoadHeader::Progress {
                stock: *stock,
                days_done: *days_done,
                days_total: *days_total,
            },
            LoadMessage::Bars { stock, report, series } => LoadHeader::Bars {
                stock: *stock,
                report: (**report).clone(),
                symbol: series.symbol.clone(),
                columns: series.columns.clone(),
                rows: series.len(),
            },
            LoadMessage::Failure { stock, message } => {
                LoadHeader::Failure { stock: *stock, message: message.clone() }
            }
        };
        let mut bytes = serde_json::to_vec(&head).expect("plain data");
        bytes.push(b'\n');
        if let LoadMessage::Bars { series, .. } = self {
            bytes.reserve(series.len() * 6 * 8 + series.extras.len() * 4);
            extend(&mut bytes, &series.end_s, |x| x.to_le_bytes());
            for column in [&series.open, &series.high, &series.low, &series.close, &series.volume] {
                extend(&mut bytes, column, |x| x.to_le_bytes());
            }
            extend(&mut bytes, &series.extras, |x| x.to_le_bytes());
        }
        bytes
    }

    /// None for bytes that [`LoadMessage::to_bytes`] did not make.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<LoadMessage> {
        let end = bytes.iter().position(|&byte| byte == b'\n')?;
        let head = serde_json::from_slice(&bytes[..end]).ok()?;
        Some(match head {
            LoadHeader::Progress { stock, days_done, days_total } => {
                LoadMessage::Progress { stock, days_done, days_total }
            }
            LoadHeader::Failure { stock, message } => LoadMessage::Failure { stock, message },
            LoadHeader::Bars { stock, report, symbol, columns, rows } => {
                let (body, extras) = bytes[end + 1..].split_at_checked(rows * 6 * 8)?;
                if extras.len() != rows * columns.len() * 4 {
                    return None;
                }
                let (words, _) = body.as_chunks::<8>();
                let (extras, _) = extras.as_chunks::<4>();
                let column = |column: usize| words[column * rows..(column + 1) * rows].iter();
                let floats =
                    |i| -> Vec<f64> { column(i).map(|x| f64::from_le_bytes(*x)).collect() };
                let series = BarSeries {
                    symbol,
                    end_s: column(0).map(|x| i64::from_le_bytes(*x)).collect(),
                    open: floats(1),
                    high: floats(2),
                    low: floats(3),
                    close: floats(4),
                    volume: floats(5),
                    columns,
                    extras: extras.iter().map(|x| f32::from_le_bytes(*x)).collect(),
                };
                LoadMessage::Bars { stock, report: Box::new(report), series }
            }
        })
    }
}

fn extend<T: Copy, const N: usize>(bytes: &mut Vec<u8>, values: &[T], word: impl Fn(T) -> [u8; N]) {
    let start = bytes.len();
    bytes.resize(start + values.len() * N, 0);
    let (words, _) = bytes[start..].as_chunks_mut::<N>();
    for (slot, &value) in words.iter_mut().zip(values) {
        *slot = word(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::Bar;
    use crate::market::options::BarLabel;

    #[test]
    fn a_parcel_comes_out_as_it_went_in_and_a_torn_one_not_at_all() {
        let symbol: Symbol = "AAPL".parse().unwrap();
        let mut series =
            BarSeries::new(symbol.clone()).with_columns(&["vix".into(), "mood".into()]);
        for i in 0..3 {
            let price = 100.0 + i as f64 / 3.0;
            let (open, high, low, close) = (price, price + 1.0, price - 1.0, price);
            let bar = Bar { end_s: 60 * i, open, high, low, close, volume: 7.0 };
            series.push_with(bar, &[17.0 + i as f32, -0.5]);
        }
        let report = LoadReport {
            symbol,
            day_files: 1,
            bars: 3,
            bad_rows: 0,
            extended_rows: 0,
            native_minutes: 1,
            bar_minutes: 1,
            bar_label: BarLabel::Start,
            bar_label_reason: "told".into(),
            notes: vec!["a line\nbreak".into()],
            doubts: vec!["a spike".into()],
        };
        let load_message = LoadMessage::Bars { stock: 2, report: Box::new(report), series };
        let bytes = load_message.to_bytes();
        assert_eq!(LoadMessage::from_bytes(&bytes), Some(load_message));
        assert_eq!(LoadMessage::from_bytes(&bytes[..bytes.len() - 1]), None);
        assert_eq!(LoadMessage::from_bytes(b""), None);
    }
}
