//! The price of each stock with the round trips of an account, in the report.

use std::cmp::Reverse;

use super::contributions::money;
use super::format::{counted, minus};
use super::page::figure;
use super::plot::{TradeMark, price_svg};
use crate::eval::metrics::BacktestRecord;
use crate::eval::trades::RoundTrip;

/// Round trips that are marked in one picture.
const MAX_TRIPS: usize = 100;

/// Up to `most` stocks, those in which most was earned or lost, in the order of the record; empty
/// if nothing was traded.
pub(super) fn section(record: &BacktestRecord, trips: &[RoundTrip], most: usize) -> String {
    let mut traded: Vec<usize> = (0..record.stocks.len()).collect();
    let of = |stock: usize| trips.iter().filter(move |trip| trip.stock == stock);
    let profit = |stock: usize| of(stock).map(|trip| trip.profit).sum::<f64>();
    traded.retain(|&stock| of(stock).next().is_some());
    let all = traded.len();
    traded.sort_by(|&a, &b| profit(b).abs().total_cmp(&profit(a).abs()));
    traded.truncate(most);
    traded.sort_unstable();
    if traded.is_empty() {
        return String::new();
    }
    let picture = |stock: usize| {
        let shown = most_decisive(record, of(stock).copied().collect());
        let column = record.price.iter().skip(stock).step_by(record.stocks.len());
        let prices: Vec<f64> = column.copied().collect();
        let marks = marks(&shown);
        let trips = of(stock).count();
        let name = &record.stocks[stock];
        let heading = format!(
            "{name}: {}, profit {}",
            counted(trips, "round trip"),
            minus(&money(profit(stock)))
        );
        let part = match shown.len() < trips {
            true => format!(
                "The {MAX_TRIPS} that earned or lost the largest part of the equity are marked."
            ),
            false => String::new(),
        };
        let label = format!("Price of {name} with entries and exits");
        let svg = |screen| price_svg(&record.end_s, &prices, &marks, screen);
        figure(&heading, &label, &part, svg)
    };
    let pictures: String = traded.iter().map(|&stock| picture(stock)).collect();
    let which = match traded.len() < all {
        true => format!(" The {} of {all} stocks in which most was earned or lost.", traded.len()),
        false => String::new(),
    };
    format!(
        "<h2>Prices and trades</h2>\n<p class=\"explained\">Triangles: a position was entered, long \
         (pointing up, blue) or short (pointing down, ochre). Circles: it was left.{which}</p>\n\
         <div class=\"pair\">\n{pictures}</div>\n"
    )
}

/// Those with the largest profits and losses, as parts of the equity when they were entered, in the
/// order of their entries.
fn most_decisive(record: &BacktestRecord, trips: Vec<RoundTrip>) -> Vec<RoundTrip> {
    let mut ranked: Vec<usize> = (0..trips.len()).collect();
    ranked.sort_by(|&a, &b| {
        let equity = |i: usize| record.equity[trips[i].entered];
        let size = |i: usize| (trips[i].profit / equity(i)).abs();
        size(b).total_cmp(&size(a)).then(a.cmp(&b))
    });
    ranked.truncate(MAX_TRIPS);
    ranked.sort_unstable_by_key(|&i| (trips[i].entered, Reverse(i)));
    ranked.into_iter().map(|i| trips[i]).collect()
}

fn marks(trips: &[RoundTrip]) -> Vec<TradeMark> {
    let mark = |trip: &RoundTrip, bar: usize, price: f64, is_entry: bool| TradeMark {
        bar,
        price,
        is_long: trip.direction > 0,
        is_entry,
    };
    let of = |trip: &RoundTrip| {
        let left = trip.left.zip(trip.exit_price);
        let left = left.map(|(bar, price)| mark(trip, bar, price, false));
        let entered = mark(trip, trip.entered, trip.entry_price, true);
        std::iter::once(entered).chain(left).collect::<Vec<_>>()
    };
    trips.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    fn trip(stock: usize, entered: usize, left: Option<usize>, profit: f64) -> RoundTrip {
        let direction = if profit > 0.0 { 1 } else { -1 };
        let (shares, entry_price, exit_price) = (1.0, 100.0, left.map(|_| 101.0));
        RoundTrip { stock, entered, left, direction, shares, entry_price, exit_price, profit }
    }

    #[test]
    fn fills_are_marked_at_their_prices() {
        let found = marks(&[trip(1, 5, Some(9), 10.0)]);
        let mark = |bar, price, is_entry| TradeMark { bar, price, is_long: true, is_entry };
        assert_eq!(found, [mark(5, 100.0, true), mark(9, 101.0, false)]);
        assert_eq!(marks(&[trip(1, 5, None, 10.0)]), [mark(5, 100.0, true)]);
    }

    #[test]
    fn few_stocks_and_few_trips_are_drawn_of_many() {
        let record = example::run(3, 400).record;
        let trips: Vec<RoundTrip> =
            (0..300).map(|i| trip(i % 2, 1 + i, Some(2 + i), i as f64 - 100.0)).collect();
        let page = section(&record, &trips, 5);
        assert_eq!(page.matches("class=\"on-wide\"").count(), 2, "the third was not traded");
        assert!(page.contains("AAPL: 150 round trips, profit +7,350"), "{}", &page[..600]);
        assert_eq!(page.matches("The 100 that earned or lost the largest part").count(), 2);
        assert_eq!(page.matches("<polygon").count(), 2 * 2 * MAX_TRIPS, "for two screens");
        let one = section(&record, &trips, 1);
        assert!(one.contains("MSFT: 150 round trips") && !one.contains("AAPL: "));
        assert!(one.contains("The 1 of 2 stocks"));
        assert_eq!(section(&record, &[], 5), "");
        let kept = most_decisive(&record, trips);
        assert_eq!(kept.len(), MAX_TRIPS);
        assert!(kept.windows(2).all(|pair| pair[0].entered <= pair[1].entered));
        // Equal profits count more of less equity.
        let mut grown = record;
        (1..=150).for_each(|t| grown.equity[t] *= 100.0);
        let same: Vec<RoundTrip> = (0..300).map(|i| trip(0, 1 + i, None, 5.0)).collect();
        assert!(most_decisive(&grown, same).iter().all(|trip| trip.entered > 150));
    }
}
