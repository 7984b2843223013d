//! `orders.csv`: what an evaluation would trade at the open after its last bar.

use std::fmt::Write;
use std::path::PathBuf;

use super::folder::{ReportError, ResultsFolder};
use super::portfolio_csv::{push_number, time_and_date};
use crate::market::Symbol;
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
            "next open: {} {:.2} {} at about {:.4}, then {:.2} held\n",
            side(order),
            order.shares.abs(),
            stocks[order.stock],
            order.reference_price,
            order.position_after,
        )
    };
    orders.iter().map(line).chain(["These orders are sent nowhere.\n".into()]).collect()
}

pub(super) fn side(order: &NextOrder) -> &'static str {
    if order.shares > 0.0 { "buy" } else { "sell" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::portfolio::risk::Reason;

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
}
