//! Round trips of an evaluation: `trades.csv`, and the best and worst of them in the report.

use std::cmp::Ordering;
use std::fmt::Write;
use std::path::PathBuf;

use super::contributions::money;
use super::csv_text::csv_cell;
use super::folder::{ReportError, ResultsFolder};
use super::format::{count, percent};
use super::page::table;
use super::portfolio_csv::{push_number, time_and_date};
use super::trade_marks;
use crate::env::costs::Costs;
use crate::eval::metrics::BacktestRecord;
use crate::eval::trades::{RoundTrip, round_trips, win_rate};
use crate::market::calendar::market_date;
use crate::portfolio::allocation::Allocations;

pub(crate) const NAME: &str = "trades.csv";

/// Of either kind in the report.
const SHOWN: usize = 5;

const HEADER: &str = "stock,side,entered,entered_date,left,left_date,bars,shares,entry_price,\
                      exit_price,profit,expert\n";

/// Who decided what an account trades.
#[derive(Clone, Copy)]
pub(crate) enum DecidedBy<'a> {
    /// The experts of a desk.
    Experts(&'a Allocations),
    /// The strategy or agent of this name, to which the account belongs.
    Owner(&'a str),
}

impl<'a> DecidedBy<'a> {
    pub(super) fn allocations(self) -> Option<&'a Allocations> {
        match self {
            DecidedBy::Experts(allocations) => Some(allocations),
            DecidedBy::Owner(_) => None,
        }
    }
}

/// Every round trip of an account, with who decided it.
pub(crate) struct Trades<'a> {
    record: &'a BacktestRecord,
    decided_by: DecidedBy<'a>,
    /// In the order of their exits, those still open last.
    trips: Vec<RoundTrip>,
}

impl<'a> Trades<'a> {
    /// `costs` and `decided_by` are those of the record's evaluation.
    pub(crate) fn new(
        record: &'a BacktestRecord,
        decided_by: DecidedBy<'a>,
        costs: &Costs,
    ) -> Trades<'a> {
        Trades::of(record, decided_by, round_trips(record, costs))
    }

    /// With the round trips as they are known, in the order of their exits, those still open last.
    pub(super) fn of(
        record: &'a BacktestRecord,
        decided_by: DecidedBy<'a>,
        trips: Vec<RoundTrip>,
    ) -> Trades<'a> {
        Trades { record, decided_by, trips }
    }

    /// Writes those of all accounts, one after the other, into one file.
    pub(crate) fn write(
        all: &[Trades<'_>],
        folder: &ResultsFolder,
    ) -> Result<PathBuf, ReportError> {
        let rows: String = all.iter().map(Trades::rows).collect();
        folder.write_whole(NAME, (String::from(HEADER) + &rows).as_bytes())
    }

    /// One per round trip, in the order of exits; what concerns the exit is empty in those that are
    /// open at the end.
    fn rows(&self) -> String {
        let mut text = String::new();
        let record = self.record;
        for trip in &self.trips {
            let symbol = &record.stocks[trip.stock];
            let entered = time_and_date(record.end_s[trip.entered]);
            let left = trip.left.map_or(",".into(), |row| time_and_date(record.end_s[row]));
            // Writing to a String does not fail.
            let _ = write!(text, "{symbol},{},{entered},{left},{}", side(trip), self.bars(trip));
            push_number(&mut text, trip.shares);
            push_number(&mut text, trip.entry_price);
            push_number(&mut text, trip.exit_price.unwrap_or(f64::NAN));
            let _ = writeln!(text, ",{:.2},{}", trip.profit, csv_cell(self.expert(trip)));
        }
        text
    }

    /// The report's section; empty if nothing was traded.
    pub(crate) fn section(&self) -> String {
        if self.trips.is_empty() {
            return String::new();
        }
        let mut ranked: Vec<&RoundTrip> = self.trips.iter().collect();
        ranked.sort_by(|a, b| a.profit.partial_cmp(&b.profit).unwrap_or(Ordering::Equal));
        let lost = ranked.iter().filter(|trip| trip.profit < 0.0).take(SHOWN);
        let won = ranked.iter().rev().filter(|trip| trip.profit > 0.0).take(SHOWN);
        let names_experts = self.decided_by.allocations().is_some();
        let date = |row: usize| market_date(self.record.end_s[row]).to_string();
        let row = |trip: &&RoundTrip| {
            let mut cells = vec![
                self.record.stocks[trip.stock].to_string(),
                side(trip).into(),
                date(trip.entered),
                trip.left.map_or("open".into(), date),
                count(self.bars(trip) as u64),
                money(trip.profit),
            ];
            cells.extend(names_experts.then(|| self.expert(trip).to_string()));
            cells
        };
        let rows: Vec<Vec<String>> = lost.chain(won).map(row).collect();
        let mut head = vec!["", "side", "entered", "left", "bars", "profit"];
        head.extend(names_experts.then_some("expert"));
        let head: Vec<String> = head.into_iter().map(String::from).collect();
        let wins = win_rate(&self.trips).map_or(String::new(), |rate| {
            format!(" {} of those that are over had a profit.", percent(rate))
        });
        let all = count(self.trips.len() as u64);
        let who = match names_experts {
            true => " Expert: the one with the most weight when it was decided.",
            false => "",
        };
        format!(
            "<h2>Trades</h2>\n{}<p class=\"explained\">The round trips that lost and won most, of \
             {all}, after costs.{wins}{who} All are in {NAME}.</p>\n",
            table("Trades", &head, &rows)
        )
    }

    /// The prices of up to `most` stocks with these trips; empty if nothing was traded.
    pub(super) fn prices(&self, most: usize) -> String {
        trade_marks::section(self.record, &self.trips, most)
    }

    fn bars(&self, trip: &RoundTrip) -> usize {
        trip.left.unwrap_or(self.record.end_s.len() - 1) - trip.entered
    }

    /// Of several, the one with the most weight at the decision, which is a bar before the fill.
    fn expert(&self, trip: &RoundTrip) -> &'a str {
        let allocations = match self.decided_by {
            DecidedBy::Experts(allocations) => allocations,
            DecidedBy::Owner(name) => return name,
        };
        let decided_s = self.record.end_s[trip.entered.saturating_sub(1)];
        let rows = &allocations.rows;
        let known = rows.partition_point(|row| row.end_s <= decided_s);
        let last = rows[..known].iter().rfind(|row| row.stock == trip.stock);
        let most = last.and_then(|row| {
            let weights = row.weights.iter().enumerate();
            weights.max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0))).map(|(place, _)| place)
        });
        most.map_or("", |place| &allocations.experts[place])
    }
}

fn side(trip: &RoundTrip) -> &'static str {
    if trip.direction > 0 { "long" } else { "short" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::portfolio::allocation::Allocation;

    /// Two of A bought at 10, sold at 11; one sold short at 11 and still there at 12. Fees of 1 %:
    /// 0.20 + 0.22; 0.11.
    #[test]
    fn every_round_trip_has_a_row_with_its_profit() {
        let zeros = vec![0.0; 4];
        let start = chrono::DateTime::parse_from_rfc3339("2020-01-02T15:00:00-05:00").unwrap();
        let record = BacktestRecord {
            stocks: vec!["A".parse().unwrap()],
            end_s: (0..4).map(|i| start.timestamp() + 3_600 * i).collect(),
            equity: zeros.clone(),
            cash: zeros.clone(),
            reward: zeros.clone(),
            turnover: zeros.clone(),
            trades: vec![0, 1, 2, 0],
            drawdown: zeros,
            position: vec![0.0, 2.0, -1.0, -1.0],
            price: vec![10.0, 11.0, 11.0, 12.0],
            open: vec![10.0, 10.0, 11.0, 11.5],
        };
        let row = |end_s: i64, weights: [f64; 2]| Allocation {
            end_s,
            stock: 0,
            weights: weights.to_vec(),
            profits: vec![0.0; 2],
            capital: 1.0,
            proposed: 0.0,
            approved: 0.0,
            changed: Vec::new(),
            reason: None,
        };
        let rows = vec![row(record.end_s[0], [0.6, 0.4]), row(record.end_s[1], [0.3, 0.7])];
        let allocations = Allocations::of_rows(vec!["Momentum".into(), "DQN".into()], rows);
        let costs = Costs { fee_bps: 100.0, slippage_bps: 0.0 };
        let trades = Trades::new(&record, DecidedBy::Experts(&allocations), &costs);
        let folder = tempfile::tempdir().unwrap();
        let written = |all: &[Trades<'_>]| {
            let folder = ResultsFolder::open(folder.path()).unwrap();
            std::fs::read_to_string(Trades::write(all, &folder).unwrap()).unwrap()
        };
        let expected = "\
stock,side,entered,entered_date,left,left_date,bars,shares,entry_price,exit_price,profit,expert
A,long,2020-01-02T21:00:00Z,2020-01-02,2020-01-02T22:00:00Z,2020-01-02,1,2,10,11,1.58,Momentum
A,short,2020-01-02T22:00:00Z,2020-01-02,,,1,1,11,,-1.11,DQN
";
        assert_eq!(written(std::slice::from_ref(&trades)), expected);
        let own = ["A, B", "C"].map(DecidedBy::Owner);
        let of_two = own.map(|decided_by| Trades::new(&record, decided_by, &costs));
        let rows = written(&of_two).replace(HEADER, "");
        let experts: Vec<&str> =
            rows.lines().map(|row| row.splitn(12, ',').last().unwrap()).collect();
        assert_eq!(experts, ["\"A, B\"", "\"A, B\"", "C", "C"]);
        let section = trades.section();
        let places = ["−1", "+2", "100.0% of those that are over"].map(|text| section.find(text));
        assert!(places.iter().all(Option::is_some), "{section}");
        assert!(places[0] < places[1], "losses come first");
        let none = BacktestRecord { position: vec![0.0; 4], ..record.clone() };
        assert_eq!(Trades::new(&none, DecidedBy::Experts(&allocations), &costs).section(), "");
    }
}
