//! `portfolio_ep{episode}.csv`: an evaluation bar by bar.

use std::fmt::Write;
use std::ops::Range;
use std::path::PathBuf;

use chrono::NaiveDate;

use crate::eval::metrics::BacktestRecord;
use crate::market::calendar::{iso_utc, market_date};

use super::folder::{ReportError, ResultsFolder};

/// Bars that are made into text at once.
const PART_BARS: usize = 1_024;

/// Of the file of the evaluation after `episode`.
pub(crate) fn name(episode: u32) -> String {
    format!("portfolio_ep{episode}.csv")
}

/// Writes an account bar by bar, beside the equity of the benchmark over the same bars.
pub(crate) fn write(
    folder: &ResultsFolder,
    name: &str,
    record: &BacktestRecord,
    benchmark_equity: &[f64],
) -> Result<PathBuf, ReportError> {
    folder.write_parts(name, parts(record, benchmark_equity))
}

/// One row per bar. Numbers stand in the shortest form that reads back as the same f64, so that
/// cash + sum of position x price = equity holds in the file as well as in memory.
pub(crate) fn csv(record: &BacktestRecord, benchmark_equity: &[f64]) -> String {
    parts(record, benchmark_equity).collect()
}

/// The parts of [`csv`].
fn parts(record: &BacktestRecord, benchmark_equity: &[f64]) -> impl Iterator<Item = String> {
    let mut head =
        String::from("timestamp,date,equity,cash,reward,turnover,drawdown,benchmark_equity");
    for symbol in &record.stocks {
        // Writing to a String does not fail.
        let _ = write!(head, ",{symbol}_position,{symbol}_price");
    }
    head.push('\n');
    let bars = record.end_s.len();
    let parts = (0..bars)
        .step_by(PART_BARS)
        .map(move |first| of_bars(record, benchmark_equity, first..bars.min(first + PART_BARS)));
    std::iter::once(head).chain(parts)
}

/// The rows of [`csv`] from bar `first` on.
pub(crate) fn rows(record: &BacktestRecord, benchmark_equity: &[f64], first: usize) -> String {
    of_bars(record, benchmark_equity, first..record.end_s.len())
}

fn of_bars(record: &BacktestRecord, benchmark_equity: &[f64], bars: Range<usize>) -> String {
    let (all, stocks) = (record.end_s.len(), record.stocks.len());
    assert_eq!(benchmark_equity.len(), all, "the benchmark covers the same bars");
    assert_eq!(record.position.len(), all * stocks, "positions are [time, stock]");
    assert_eq!(record.price.len(), all * stocks, "prices are [time, stock]");

    let mut text = String::with_capacity(bars.len() * (150 + 40 * stocks));
    for t in bars {
        text.push_str(&time_and_date(record.end_s[t]));
        push_number(&mut text, record.equity[t]);
        push_number(&mut text, record.cash[t]);
        push_number(&mut text, record.reward[t]);
        push_number(&mut text, record.turnover[t]);
        push_number(&mut text, record.drawdown[t]);
        push_number(&mut text, benchmark_equity[t]);
        for cell in t * stocks..(t + 1) * stocks {
            push_number(&mut text, record.position[cell]);
            push_number(&mut text, record.price[cell]);
        }
        text.push('\n');
    }
    text
}

/// The cells of a bar's end: its time in UTC and the market's date.
pub(super) fn time_and_date(end_s: i64) -> String {
    format!("{},{}", iso_utc(end_s), market_date(end_s))
}

/// One bar of a written portfolio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct EquityRow {
    /// The market's date of the bar's end.
    pub(crate) date: NaiveDate,
    /// The account's.
    pub(crate) equity: f64,
    /// That of buy-and-hold.
    pub(crate) benchmark: f64,
}

/// Reads what [`csv`] wrote, now or before it wrote dates; None if it is something else, or empty.
pub(crate) fn equities(text: &str) -> Option<Vec<EquityRow>> {
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next()?.split(',').collect();
    let place = |name: &str| head.iter().position(|column| *column == name);
    // Times without a date beside them are the market's.
    let at = place("date").or_else(|| place("timestamp"))?;
    let (equity, benchmark) = (place("equity")?, place("benchmark_equity")?);
    let row = |line: &str| -> Option<EquityRow> {
        let cells: Vec<&str> = line.split(',').collect();
        let number = |at: usize| cells.get(at)?.parse().ok();
        let date = cells.get(at)?.get(..10)?.parse().ok()?;
        Some(EquityRow { date, equity: number(equity)?, benchmark: number(benchmark)? })
    };
    let rows: Option<Vec<EquityRow>> = lines.map(row).collect();
    rows.filter(|rows| !rows.is_empty())
}

/// A comma and the number; nothing after the comma where it is not finite, as before a stock's
/// first bar.
pub(super) fn push_number(text: &mut String, value: f64) {
    text.push(',');
    if value.is_finite() {
        // Adding zero turns -0 into 0. Writing to a String does not fail.
        let _ = write!(text, "{}", value + 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn header_and_rows_are_as_promised() {
        let record = BacktestRecord {
            stocks: vec!["BRK.B".parse().unwrap(), "AAPL".parse().unwrap()],
            end_s: vec![1_577_975_460, 1_593_610_200],
            equity: vec![1000.0, 1010.5],
            cash: vec![1000.0, 810.4],
            reward: vec![0.0, 0.0105],
            turnover: vec![0.0, 0.2],
            trades: vec![0, 1],
            drawdown: vec![0.0, -0.0],
            position: vec![0.0, 0.0, 2.0, 0.0],
            price: vec![f64::NAN, 5.0, 100.05, 5.25],
            open: vec![f64::NAN, 5.0, 100.0, 5.2],
        };
        let expected = "\
timestamp,date,equity,cash,reward,turnover,drawdown,benchmark_equity,\
BRK.B_position,BRK.B_price,AAPL_position,AAPL_price
2020-01-02T14:31:00Z,2020-01-02,1000,1000,0,0,0,1000,0,,0,5
2020-07-01T13:30:00Z,2020-07-01,1010.5,810.4,0.0105,0.2,0,999.5,2,100.05,0,5.25
";
        assert_eq!(csv(&record, &[1000.0, 999.5]), expected);
    }

    #[test]
    fn the_file_adds_up_and_reads_back_exactly() {
        let example = example::run(3, 500);
        let place = tempfile::tempdir().unwrap();
        let folder = ResultsFolder::create(place.path()).unwrap();
        let path = write(&folder, &name(7), &example.record, &example.benchmark_equity).unwrap();
        assert_eq!(path, place.path().join("portfolio_ep7.csv"));
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().count(), 501);
        for (t, row) in text.lines().skip(1).enumerate() {
            let cells: Vec<f64> =
                row.split(',').skip(2).map(|cell| cell.parse().unwrap()).collect();
            let held: f64 = cells[6..].chunks(2).map(|pair| pair[0] * pair[1]).sum();
            assert_eq!(cells[0], example.record.equity[t]);
            assert_eq!(cells[5], example.benchmark_equity[t]);
            assert!((cells[1] + held - cells[0]).abs() < 0.005, "row {t}");
        }
    }
}
