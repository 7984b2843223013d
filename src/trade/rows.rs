//! Bars of several stocks to rows of one time, and what becomes of bars that come too late.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crate::market::{Bar, BarSeries, Symbol};

/// A stock without a bar for so long is not waited for, seconds.
const GONE_S: i64 = 7 * 24 * 3600;
/// Decided rows that are kept to compare later bars with, seconds.
const REMEMBERED_S: i64 = 40 * 24 * 3600;

/// The bars of all stocks that end at one time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// UTC seconds.
    pub(crate) end_s: i64,
    /// `[stock]`; None where there is no bar.
    pub(crate) bars: Vec<Option<Bar>>,
    /// `[stock, column]`; NaN where unknown.
    pub(crate) extras: Vec<f32>,
}

/// A bar of one stock as it comes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NewBar {
    /// Index of the stock.
    pub(crate) stock: usize,
    pub(crate) bar: Bar,
    /// `[column]`; NaN where unknown.
    pub(crate) extras: Vec<f32>,
}

/// A bar of a time that was decided without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Belated {
    /// UTC seconds.
    pub(crate) end_s: i64,
    pub(crate) stock: usize,
    /// It was there with other numbers; else it was not there at all.
    pub(crate) is_corrected: bool,
}

/// When a row is whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// How long stocks that lack a bar are waited for once the first bar of a time is there.
    pub(crate) wait: Duration,
    /// Bars come in the order of time over all stocks, so that a later one ends a row.
    pub(crate) in_order: bool,
}

/// Bars that are not decided yet.
pub(crate) struct Rows {
    stocks: usize,
    columns: usize,
    patience: Patience,
    waiting: BTreeMap<i64, (Row, Instant)>,
    /// `[stock]`: end of the last bar that came; `i64::MIN` before the first.
    latest: Vec<i64>,
    /// Rows that were decided lately.
    decided: VecDeque<Row>,
    /// End of the last one, also where it is forgotten.
    last_s: i64,
    belated: BTreeSet<Belated>,
}

impl Rows {
    pub(crate) fn new(stocks: usize, columns: usize, patience: Patience) -> Rows {
        Rows {
            stocks,
            columns,
            patience,
            waiting: BTreeMap::new(),
            latest: vec![i64::MIN; stocks],
            decided: VecDeque::new(),
            last_s: i64::MIN,
            belated: BTreeSet::new(),
        }
    }

    /// Takes in a bar. Returns what is to be said of one that comes too late, once.
    pub(crate) fn add(&mut self, new: NewBar, now: Instant) -> Option<Belated> {
        let NewBar { stock, bar, extras } = new;
        if bar.end_s <= self.last_s {
            return self.compare(stock, &bar);
        }
        self.latest[stock] = self.latest[stock].max(bar.end_s);
        let (stocks, columns) = (self.stocks, self.columns);
        let empty = || Row {
            end_s: bar.end_s,
            bars: vec![None; stocks],
            extras: vec![f32::NAN; stocks * columns],
        };
        let (row, _) = self.waiting.entry(bar.end_s).or_insert_with(|| (empty(), now));
        row.bars[stock] = Some(bar);
        row.extras[stock * columns..][..columns].copy_from_slice(&extras);
        None
    }

    fn compare(&mut self, stock: usize, bar: &Bar) -> Option<Belated> {
        let place = self.decided.binary_search_by_key(&bar.end_s, |row| row.end_s);
        let found = match place {
            Ok(place) => self.decided[place].bars[stock],
            // Within what is remembered there was no row of this time.
            Err(place) if place > 0 => None,
            Err(_) => return None,
        };
        if found.as_ref() == Some(bar) {
            return None;
        }
        let belated = Belated { end_s: bar.end_s, stock, is_corrected: found.is_some() };
        self.belated.insert(belated).then_some(belated)
    }

    /// What was said before and is not to be said again.
    pub(crate) fn know(&mut self, belated: Belated) {
        self.belated.insert(belated);
    }

    /// The next row, if it is whole or, at the end, if there is one. It counts as decided.
    pub(crate) fn next(&mut self, now: Instant, is_over: bool) -> Option<Row> {
        let (&end_s, (row, since)) = self.waiting.first_key_value()?;
        let is_awaited = |latest: i64| latest < end_s && end_s.saturating_sub(latest) < GONE_S;
        let lacks = row
            .bars
            .iter()
            .zip(&self.latest)
            .any(|(bar, &latest)| bar.is_none() && (latest == i64::MIN || is_awaited(latest)));
        let is_due = now.saturating_duration_since(*since) >= self.patience.wait;
        if lacks && !is_due && !is_over {
            return None;
        }
        let (row, _) = self.waiting.remove(&end_s)?;
        self.decide(row.clone());
        Some(row)
    }

    /// The next row, if bars come in the order of time and there is a later one. It counts as decided.
    pub(crate) fn ended(&mut self) -> Option<Row> {
        let (&first_s, _) = self.waiting.first_key_value()?;
        if !self.patience.in_order || self.waiting.len() < 2 {
            return None;
        }
        let (row, _) = self.waiting.remove(&first_s)?;
        self.decide(row.clone());
        Some(row)
    }

    /// Counts a row as decided.
    pub(crate) fn decide(&mut self, row: Row) {
        self.last_s = row.end_s;
        for (latest, bar) in self.latest.iter_mut().zip(&row.bars) {
            *latest = bar.map_or(*latest, |bar| bar.end_s.max(*latest));
        }
        self.decided.push_back(row);
        while self.decided.front().is_some_and(|row| self.last_s - row.end_s > REMEMBERED_S) {
            self.decided.pop_front();
        }
    }

    /// A stock's bars of the last `days` times 24 hours before the last row, without further columns.
    pub(crate) fn lately(&self, stock: usize, symbol: &Symbol, days: i64) -> BarSeries {
        let from_s = self.last_s.saturating_sub(days * 24 * 3600);
        let mut series = BarSeries::new(symbol.clone());
        let rows = self.decided.iter().filter(|row| row.end_s > from_s);
        rows.filter_map(|row| row.bars[stock]).for_each(|bar| series.push(bar));
        series
    }

    /// End of the last row that was decided, UTC seconds; None before the first.
    pub(crate) fn last_s(&self) -> Option<i64> {
        (self.last_s != i64::MIN).then_some(self.last_s)
    }

    /// When the next row is due although stocks lack a bar; None if none waits.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.waiting.values().next().map(|(_, since)| *since + self.patience.wait)
    }
}

impl Belated {
    /// What is said of it; `time` is the market's.
    pub(crate) fn line(&self, stocks: &[Symbol], time: &str) -> String {
        let stock = &stocks[self.stock];
        match self.is_corrected {
            true => format!(
                "{stock}: the bar of {time} was corrected after it was decided; the account goes on with what it was"
            ),
            false => format!(
                "{stock}: the bar of {time} came after that time was decided; the account goes on without it"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(10);

    fn bar(stock: usize, end_s: i64, close: f64) -> NewBar {
        let (open, high, low) = (close, close, close);
        NewBar { stock, bar: Bar { end_s, open, high, low, close, volume: 1.0 }, extras: vec![] }
    }

    fn rows(in_order: bool) -> Rows {
        Rows::new(2, 0, Patience { wait: WAIT, in_order })
    }

    #[test]
    fn a_row_is_whole_with_all_stocks_or_after_the_wait() {
        let (mut rows, now) = (rows(false), Instant::now());
        rows.add(bar(0, 60, 1.0), now);
        assert_eq!(rows.next(now, false), None);
        rows.add(bar(1, 60, 2.0), now);
        assert_eq!(rows.next(now, false).unwrap().bars.iter().flatten().count(), 2);
        // The other stock is not there yet, though the first one has a later bar.
        rows.add(bar(0, 120, 1.0), now);
        rows.add(bar(0, 180, 1.0), now);
        assert_eq!(rows.next(now, false), None);
        assert_eq!(rows.due(), Some(now + WAIT));
        assert_eq!(rows.next(now + WAIT, false).map(|row| row.end_s), Some(120));
        // It skipped a bar: what comes later shows that.
        rows.add(bar(1, 240, 1.0), now);
        assert_eq!(rows.next(now, false).map(|row| row.end_s), Some(180));
        assert_eq!(rows.next(now, false), None);
        assert_eq!(rows.next(now, true).map(|row| row.end_s), Some(240));
        assert_eq!(rows.last_s(), Some(240));
    }

    #[test]
    fn in_order_a_later_bar_ends_a_row_and_a_stock_that_is_gone_is_not_waited_for() {
        let (mut ordered, now) = (rows(true), Instant::now());
        ordered.add(bar(0, 60, 1.0), now);
        ordered.add(bar(0, 120, 1.0), now);
        assert_eq!(ordered.next(now, false), None);
        assert_eq!(ordered.ended().map(|row| row.end_s), Some(60));
        assert_eq!(ordered.ended(), None);
        let mut gone = rows(false);
        for new in [bar(0, 60, 1.0), bar(1, 60, 1.0), bar(0, 60 + GONE_S, 1.0)] {
            gone.add(new, now);
        }
        assert!(gone.next(now, false).is_some() && gone.next(now, false).is_some());
    }

    #[test]
    fn late_and_corrected_bars_are_told_once() {
        let (mut rows, now) = (rows(true), Instant::now());
        for new in [bar(0, 60, 1.0), bar(0, 120, 1.0), bar(1, 120, 2.0)] {
            rows.add(new, now);
        }
        while rows.next(now, true).is_some() {}
        assert_eq!(rows.add(bar(1, 120, 2.0), now), None, "the same again");
        let corrected = rows.add(bar(1, 120, 2.5), now).unwrap();
        assert_eq!((corrected.stock, corrected.is_corrected), (1, true));
        let late = rows.add(bar(1, 60, 2.0), now).unwrap();
        assert_eq!((late.end_s, late.is_corrected), (60, false));
        let late_time = rows.add(bar(0, 90, 1.0), now).unwrap();
        assert_eq!((late_time.end_s, late_time.is_corrected), (90, false));
        assert_eq!(rows.add(bar(1, 60, 2.0), now), None, "it was said");
        assert_eq!(rows.add(bar(1, 30, 2.0), now), None, "from before the first row");
    }
}
