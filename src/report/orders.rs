//! `orders.csv`: what an evaluation would trade at the open after its last bar.

use std::fmt::Write;
use std::path::PathBuf;

use super::folder::{ReportError, ResultsFolder};
use super::format::amount;
use super::page::table;
use super::portfolio_csv::{push_number, time_and_date};
use crate::eval::metrics::BacktestRecord;
use crate::market::Symbol;
use crate::market::calendar::market_date;
use crate::train::evaluation::NextOrder;

pub(crate) const NAME: &str = "orders.csv";

pub(crate) fn write(
    folder: &ResultsFolder,
    stocks: &[Symbol],
    orders: &[NextOrder],
) -> Result<PathBuf, ReportError> {
    folder.write_whole(NAME, csv(stocks, orders).as_bytes())
}

/// First line of the file, and of a log of orders.
pub(crate) const HEADER: &str =
    "timestamp,date,stock,side,shares,reference_price,position_after,reason\n";

fn csv(stocks: &[Symbol], orders: &[NextOrder]) -> String {
    String::from(HEADER) + &rows(stocks, orders)
}

/// A line per order, in the columns of [`HEADER`].
pub(crate) fn rows(stocks: &[Symbol], orders: &[NextOrder]) -> String {
    let mut text = String::new();
    for order in orders {
        let (time, symbol) = (time_and_date(order.end_s), &stocks[order.stock]);
        // Writing to a String does not fail.
        let _ = write!(text, "{time},{symbol},{}", side(order));
        push_number(&mut text, order.shares.abs());
        push_number(&mut text, order.reference_price);
        push_number(&mut text, order.position_after);
        let reason = order.reason.and_then(|reason| serde_json::to_value(reason).ok());
        let reason = reason.as_ref().and_then(|reason| reason.as_str()).unwrap_or_default();
        let _ = writeln!(text, ",{reason}");
    }
    text
}

/// A line per order, for the terminal. No order is sent anywhere.
pub(crate) fn lines(stocks: &[Symbol], orders: &[NextOrder]) -> String {
    if orders.is_empty() {
        return "next open: nothing to trade\n".into();
    }
    let line = |order: &NextOrder| {
        format!(
            "next open: {} {} {} at about {:.4}, then {} held\n",
            side(order),
            amount(order.shares.abs()),
            stocks[order.stock],
            order.reference_price,
            amount(order.position_after),
        )
    };
    orders.iter().map(line).chain(["These orders are sent nowhere.\n".into()]).collect()
}

/// The report's section: what is held of every stock at the end of `record`, and what would be traded
/// next; stocks with neither are left out.
pub(super) fn section(record: &BacktestRecord, orders: &[NextOrder]) -> String {
    let (stocks, Some(&last_s)) = (record.stocks.len(), record.end_s.last()) else {
        return String::new();
    };
    let held = &record.position[record.position.len() - stocks..];
    let prices = &record.price[record.price.len() - stocks..];
    let row = |stock: usize| {
        let order = orders.iter().find(|order| order.stock == stock);
        if held[stock] == 0.0 && order.is_none() {
            return None;
        }
        let shares = order.map_or("nothing".into(), |order| {
            format!("{} {}", side(order), amount(order.shares.abs()))
        });
        let after = order.map_or(held[stock], |order| order.position_after);
        let reason = order.and_then(|order| order.reason).map_or("-", |reason| reason.words());
        Some(vec![
            record.stocks[stock].to_string(),
            amount(held[stock]),
            format!("{:.4}", prices[stock]),
            shares,
            amount(after),
            reason.into(),
        ])
    };
    let rows: Vec<Vec<String>> = (0..stocks).filter_map(row).collect();
    let day = market_date(last_s);
    if rows.is_empty() {
        return format!(
            "<h2>At the next open</h2>\n<p>After the last bar, of {day}, the account holds nothing \
             and would trade nothing.</p>\n"
        );
    }
    let head = ["", "held", "last close", "order", "then held", "held back by"].map(String::from);
    format!(
        "<h2>At the next open</h2>\n{}<p class=\"explained\">Shares, after the last bar, of {day}. \
         These orders are sent nowhere.</p>\n",
        table("At the next open", &head, &rows)
    )
}

pub(super) fn side(order: &NextOrder) -> &'static str {
    if order.shares > 0.0 { "buy" } else { "sell" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::portfolio::risk::Reason;
    use crate::report::example;

    #[test]
    fn every_order_has_a_row_and_a_line() {
        let stocks: Vec<Symbol> = ["A", "B"].map(|name| name.parse().unwrap()).to_vec();
        // 2020-01-02 16:00 in New York.
        let order = |stock, shares, position_after, reason| NextOrder {
            end_s: 1_577_998_800,
            stock,
            shares,
            reference_price: 12.5,
            position_after,
            reason,
        };
        let orders = [order(0, 10.0, 10.0, None), order(1, -4.5, -2.0, Some(Reason::GrossLimit))];
        let expected = "\
timestamp,date,stock,side,shares,reference_price,position_after,reason
2020-01-02T21:00:00Z,2020-01-02,A,buy,10,12.5,10,
2020-01-02T21:00:00Z,2020-01-02,B,sell,4.5,12.5,-2,gross_limit
";
        assert_eq!(csv(&stocks, &orders), expected);
        let said = lines(&stocks, &orders);
        assert!(said.contains("sell 4.50 B at about 12.5000, then -2.00 held"), "{said}");
        assert!(said.ends_with("sent nowhere.\n"), "{said}");
        assert_eq!(lines(&stocks, &[]), "next open: nothing to trade\n");
    }

    #[test]
    fn the_page_has_what_is_held_and_what_becomes_of_it() {
        let mut record = example::run(3, 10).record;
        let last = record.position.len() - 3;
        record.position[last..].copy_from_slice(&[10.0, 0.0, -3.0]);
        record.price[last..].copy_from_slice(&[12.5, 20.0, 30.0]);
        let order = NextOrder {
            end_s: 0,
            stock: 0,
            shares: -4.0,
            reference_price: 12.5,
            position_after: 6.0,
            reason: Some(Reason::GrossLimit),
        };
        let page = section(&record, &[order]);
        let rows = [
            ["AAPL", "10.00", "12.5000", "sell 4.00", "6.00", "gross limit"],
            ["GOOGL", "−3.00", "30.0000", "nothing", "−3.00", "–"],
        ];
        assert_eq!(example::body_cells(&page), rows);
        assert!(!page.contains("MSFT"), "{page}");
        record.position[last..].fill(0.0);
        assert!(section(&record, &[]).contains("would trade nothing"));
    }
}
