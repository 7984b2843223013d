//! Which columns are open, high, low and close, by their numbers alone: no price of a bar is above
//! its high or below its low, and a bar opens near the close before it.
//!
//! Where chance could have made the difference, nothing is decided.

use crate::market::columns::BarColumns;
use crate::market::numbers::NumberStyle;
use crate::market::times::{self, TimeOptions};

/// Rows that may be wrong.
const SHARE_WRONG: f64 = 0.05;
/// A bar's high is at most so many times its low.
const WIDEST: f64 = 2.0;
/// Standard deviations by which the better of two readings must win, row by row, were both equally
/// good: chance alone does that once in a thousand times. Ten rows without exception do.
const SURE: f64 = 3.1;

/// The columns of rows that begin, after a time, with four or five prices; None if their order is
/// not certain.
pub(super) fn columns(
    rows: &[&Vec<String>],
    time: &[usize],
    symbol: Option<usize>,
) -> Option<BarColumns> {
    let width = rows.first()?.len();
    let start = time.last()? + 1;
    let texts = || rows.iter().flat_map(|row| row.iter().skip(start));
    let style = NumberStyle::of(texts().map(String::as_str), false);
    let value = |row: &Vec<String>, column: usize| {
        row.get(column).map_or(f64::NAN, |cell| style.parse(cell))
    };
    let places = start..start + 4;
    if places.end > width {
        return None;
    }
    let order = in_time(rows, time, symbol)?;
    let mut bars: Vec<Row> = Vec::with_capacity(rows.len());
    for (series, i) in order {
        let prices: Vec<f64> = places.clone().map(|column| value(rows[i], column)).collect();
        if prices.iter().all(|price| *price > 0.0) {
            let fifth = value(rows[i], places.end);
            bars.push(Row { series, prices, fifth });
        }
    }
    let of_one_size = |row: &&Row| row.high() <= WIDEST * row.low();
    if !is_rare(bars.len() - bars.iter().filter(of_one_size).count(), bars.len()) {
        return None;
    }
    // A mean price may follow, or a close that is adjusted.
    let outside = |row: &&Row| !(row.low()..=row.high()).contains(&row.fifth);
    let near = |row: &&Row| (0.1 * row.low()..=1.2 * row.high()).contains(&row.fifth);
    let is_within = is_rare(bars.iter().filter(outside).count(), bars.len());
    let is_near = bars.iter().filter(near).count() == bars.len();
    if is_within {
        bars.iter_mut().for_each(|row| row.prices.push(row.fifth));
    }
    let prices = order_of(&bars)?.map(|place| start + place);
    let adjusted_close =
        Some(places.end).filter(|_| is_near && !is_within && width > places.end + 1);
    let after = if is_within || adjusted_close.is_some() { places.end + 1 } else { places.end };
    let is_volume = |column: &usize| !rows.iter().any(|row| value(row, *column) < 0.0);
    let volume = Some(after).filter(|&column| column < width).filter(is_volume);
    let time = time.to_vec();
    let columns =
        BarColumns { time, prices, volume, adjusted_close, symbol, ..BarColumns::default() };
    Some(columns)
}

/// The numbers of a bar, in the order of the columns.
struct Row {
    /// Of which stock.
    series: usize,
    prices: Vec<f64>,
    /// The number after the first four.
    fifth: f64,
}

impl Row {
    fn high(&self) -> f64 {
        self.prices.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    fn low(&self) -> f64 {
        self.prices.iter().copied().fold(f64::INFINITY, f64::min)
    }
}

/// Whether so few of all are an exception.
fn is_rare(few: usize, all: usize) -> bool {
    all > 0 && few as f64 <= SHARE_WRONG * all as f64
}

/// Numbers of stock and row, in order of time within each stock.
fn in_time(
    rows: &[&Vec<String>],
    time: &[usize],
    symbol: Option<usize>,
) -> Option<Vec<(usize, usize)>> {
    let column = |column: usize| rows.iter().map(move |row| row.get(column).map(String::as_str));
    let options = TimeOptions::default();
    let read = match time {
        [date, clock] => {
            let joined = times::joined(column(*date), column(*clock));
            times::from_texts(joined.iter().map(|text| text.as_deref()), &options)
        }
        _ => times::from_texts(column(*time.first()?), &options),
    };
    let label_s = read.ok()?.label_s;
    let mut stocks: Vec<&str> = Vec::new();
    let mut order = Vec::with_capacity(rows.len());
    for (i, row) in rows.iter().enumerate() {
        let name = symbol.and_then(|column| row.get(column)).map_or("", String::as_str);
        let known = stocks.iter().position(|stock| *stock == name);
        let stock = known.unwrap_or_else(|| {
            stocks.push(name);
            stocks.len() - 1
        });
        order.push((stock, i));
    }
    order.retain(|&(_, i)| label_s[i].is_some());
    order.sort_by_key(|&(stock, i)| (stock, label_s[i]));
    Some(order)
}

/// Places of open, high, low and close among the prices of rows in order of time.
fn order_of(rows: &[Row]) -> Option<[usize; 4]> {
    let high = extreme(rows, |price, other| other > price)?;
    let low = extreme(rows, |price, other| other < price)?;
    let count = rows.first()?.prices.len();
    let others: Vec<usize> = (0..count).filter(|place| ![high, low].contains(place)).collect();
    let mut readings: Vec<[usize; 2]> = Vec::new();
    for &open in &others {
        readings.extend(others.iter().filter(|close| **close != open).map(|&close| [open, close]));
    }
    let pairs = || rows.windows(2).filter(|pair| pair[0].series == pair[1].series);
    let gap = |pair: &[Row], [open, close]: [usize; 2]| {
        (pair[1].prices[open] - pair[0].prices[close]).abs()
    };
    let is_better = |one: [usize; 2], other: [usize; 2]| {
        let (mut won, mut lost) = (0.0_f64, 0.0_f64);
        for pair in pairs() {
            let difference = gap(pair, other) - gap(pair, one);
            won += f64::from(u8::from(difference > 0.0));
            lost += f64::from(u8::from(difference < 0.0));
        }
        won - lost >= SURE * (won + lost).sqrt() && won > 0.0
    };
    let best = readings.iter().find(|&&one| {
        readings.iter().filter(|&&other| other != one).all(|&other| is_better(one, other))
    });
    best.map(|&[open, close]| [open, high, low, close])
}

/// The one column of which no price is beyond it in nearly all rows, where in each other column more
/// than a few are.
fn extreme(rows: &[Row], is_beyond: impl Fn(f64, f64) -> bool) -> Option<usize> {
    let count = rows.first()?.prices.len();
    let exceptions = |place: &usize| {
        let beyond = |row: &&Row| row.prices.iter().any(|&x| is_beyond(row.prices[*place], x));
        rows.iter().filter(beyond).count()
    };
    let mut found = (0..count).filter(|place| is_rare(exceptions(place), rows.len()));
    let one = found.next()?;
    found.next().is_none().then_some(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bars that open where the one before closed, columns in the given order of open, high, low,
    /// close, mean, volume; the newest first.
    fn rows(order: &[usize], count: u32) -> Vec<Vec<String>> {
        let close = |i: u32| 100.0 + (f64::from(i) * 1.1).sin();
        let mut rows: Vec<Vec<String>> = (1..=count)
            .map(|i| {
                let (open, close) = (close(i - 1), close(i));
                let (high, low) = (open.max(close) + 0.1, open.min(close) - 0.1);
                let all = [open, high, low, close, (high + low) / 2.0, 1_000.0 + f64::from(i)];
                let time = (1_577_975_400 + 60 * i).to_string();
                let values = order.iter().map(|&place| format!("{:.4}", all[place]));
                std::iter::once(time).chain(values).collect()
            })
            .collect();
        rows.reverse();
        rows
    }

    fn found(rows: &[Vec<String>]) -> Option<([usize; 4], Option<usize>)> {
        let rows: Vec<&Vec<String>> = rows.iter().collect();
        columns(&rows, &[0], None).map(|columns| (columns.prices, columns.volume))
    }

    #[test]
    fn the_numbers_tell_the_order() {
        for (order, prices) in [
            ([0, 1, 2, 3, 5], [1, 2, 3, 4]),
            // Coinbase, Bitfinex, yfinance without its header.
            ([2, 1, 0, 3, 5], [3, 2, 1, 4]),
            ([0, 3, 1, 2, 5], [1, 3, 4, 2]),
            ([3, 1, 2, 0, 5], [4, 2, 3, 1]),
        ] {
            assert_eq!(found(&rows(&order, 40)), Some((prices, Some(5))), "{order:?}");
        }
        // A mean price among them, before or behind.
        assert_eq!(found(&rows(&[0, 1, 2, 3, 4, 5], 60)), Some(([1, 2, 3, 4], Some(6))));
        assert_eq!(found(&rows(&[4, 0, 1, 2, 3, 5], 60)), Some(([2, 3, 4, 5], Some(6))));
        assert_eq!(found(&rows(&[0, 1, 2, 3], 40)), Some(([1, 2, 3, 4], None)));
    }

    #[test]
    fn what_the_numbers_do_not_tell_is_not_guessed() {
        // Too few rows; the volume first; all prices equal.
        assert_eq!(found(&rows(&[0, 1, 2, 3, 5], 5)), None);
        assert_eq!(found(&rows(&[5, 0, 3, 1, 2], 40)), None);
        let flat: Vec<Vec<String>> = (0..40)
            .map(|i| format!("{},5,5,5,5,1", 1_577_975_400 + 60 * i))
            .map(|row| row.split(',').map(String::from).collect())
            .collect();
        assert_eq!(found(&flat), None);
        // Opens that have nothing to do with the close before.
        let apart: Vec<Vec<String>> = rows(&[0, 1, 2, 3, 5], 40).into_iter().step_by(7).collect();
        assert_eq!(found(&apart), None);
    }
}
