//! Aligned bars of several stocks in memory, for running strategies without a panel.

use super::bar::{Bar, BarSeries, Symbol, is_price};
use super::error::MarketError;
use super::panel::{Grid, NO_BAR, PanelBar, align};

/// Series aligned on the union of their bar times.
#[derive(Clone, Debug)]
pub struct MarketData {
    series: Vec<BarSeries>,
    stocks: Vec<Symbol>,
    end_s: Vec<i64>,
    /// `[stock][time]`: index of the stock's last bar up to that time; `NO_BAR` before its first.
    last: Vec<Vec<u32>>,
}

/// The market at one bar time. It gives no access to other rows.
#[derive(Clone, Copy, Debug)]
pub struct MarketRow<'a> {
    data: &'a MarketData,
    t: usize,
}

impl MarketData {
    /// # Errors
    /// If a stock occurs twice, bar times do not increase, a price is not from 1e-9 to 1e12,
    /// further columns are not those of the first stock, or there are fewer than two bar times.
    pub fn new(series: Vec<BarSeries>) -> Result<MarketData, MarketError> {
        let stocks: Vec<Symbol> = series.iter().map(|one| one.symbol.clone()).collect();
        for (i, one) in series.iter().enumerate() {
            let wrong = |what: &str, hint: &str| MarketError::NoData {
                symbol: one.symbol.to_string(),
                what: what.into(),
                hint: hint.into(),
            };
            if stocks[..i].contains(&one.symbol) {
                return Err(wrong("is given twice", "give each stock's bars once"));
            }
            if !one.end_s.is_sorted_by(|a, b| a < b) {
                return Err(wrong("its bar times do not increase", "sort its bars by time"));
            }
            if one.columns != series[0].columns {
                return Err(wrong("its further columns are others", "read all stocks alike"));
            }
            let columns = [&one.open, &one.high, &one.low, &one.close];
            if !columns.iter().all(|column| column.iter().all(|&price| is_price(price))) {
                return Err(wrong("a price is not a number from 1e-9 to 1e12", "omit the bar"));
            }
        }
        let Grid { end_s, bar_index: mut last } = align(&series);
        if end_s.len() < 2 {
            return Err(MarketError::Input {
                what: format!("{} bar times are too few to trade", end_s.len()),
                hint: "use a longer period".into(),
            });
        }
        for index in &mut last {
            let mut latest = NO_BAR;
            for bar in index {
                latest = if *bar == NO_BAR { latest } else { *bar };
                *bar = latest;
            }
        }
        Ok(MarketData { series, stocks, end_s, last })
    }

    /// In the order in which their series were given.
    pub fn stocks(&self) -> &[Symbol] {
        &self.stocks
    }

    /// Names of the series' further columns.
    pub fn columns(&self) -> &[String] {
        self.series.first().map_or(&[], |series| &series.columns)
    }

    /// Number of bar times.
    pub fn rows(&self) -> usize {
        self.end_s.len()
    }

    /// Bar ends, UTC seconds.
    pub fn end_s(&self) -> &[i64] {
        &self.end_s
    }

    /// The stock's own bars.
    pub fn series(&self, stock: usize) -> &BarSeries {
        &self.series[stock]
    }

    /// `[bar]`: row of each of the stock's bars.
    pub fn rows_of(&self, stock: usize) -> Vec<u32> {
        let last = &self.last[stock];
        let is_fresh = |t: &usize| last[*t] != NO_BAR && (*t == 0 || last[*t] != last[*t - 1]);
        (0..self.rows()).filter(is_fresh).map(|t| t as u32).collect()
    }

    /// # Panics
    /// If there is no such row.
    pub fn row(&self, t: usize) -> MarketRow<'_> {
        assert!(t < self.rows(), "row {t} of {}", self.rows());
        MarketRow { data: self, t }
    }
}

impl MarketRow<'_> {
    /// Bar end, UTC seconds.
    pub fn end_s(&self) -> i64 {
        self.data.end_s[self.t]
    }

    /// The stock's bar that ended at this time, if it has one.
    pub fn fresh(&self, stock: usize) -> Option<Bar> {
        let last = self.data.last[stock][self.t];
        if last == NO_BAR {
            return None;
        }
        let bar = self.data.series[stock].bar(last as usize);
        (bar.end_s == self.end_s()).then_some(bar)
    }

    /// Replaces `out` with the further columns' last known values, `[stock, column]`; NaN before
    /// the first.
    pub fn extras(&self, out: &mut Vec<f32>) {
        out.clear();
        for (series, last) in self.data.series.iter().zip(&self.data.last) {
            match last[self.t] {
                NO_BAR => out.extend(series.columns.iter().map(|_| f32::NAN)),
                last => out.extend_from_slice(series.extra(last as usize)),
            }
        }
    }

    /// Like a panel's bar: without a bar the last close is carried forward; NaN before the first
    /// bar.
    pub fn bar(&self, stock: usize) -> PanelBar {
        if let Some(Bar { open, high, low, close, volume, .. }) = self.fresh(stock) {
            return PanelBar { open, high, low, close, volume, tradable: true };
        }
        let last = self.data.last[stock][self.t];
        let close = match last {
            NO_BAR => f64::NAN,
            last => self.data.series[stock].close[last as usize],
        };
        let (open, high, low) = (close, close, close);
        PanelBar { open, high, low, close, volume: 0.0, tradable: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, bars: &[(i64, f64)]) -> BarSeries {
        let mut series = BarSeries::new(name.parse().unwrap());
        for &(end_s, price) in bars {
            let (open, high, low, close) = (price, price, price, price);
            series.push(Bar { end_s, open, high, low, close, volume: 1.0 });
        }
        series
    }

    #[test]
    fn rows_carry_the_last_close_on() {
        let two = vec![series("A", &[(10, 1.0), (30, 3.0)]), series("B", &[(20, 2.0)])];
        let data = MarketData::new(two).unwrap();
        assert_eq!(data.end_s(), [10, 20, 30]);
        let closes = |stock| (0..3).map(|t| data.row(t).bar(stock).close).collect::<Vec<f64>>();
        assert_eq!(closes(0), [1.0, 1.0, 3.0]);
        assert!(closes(1)[0].is_nan());
        assert_eq!(closes(1)[1..], [2.0, 2.0]);
        assert!(data.row(1).fresh(0).is_none() && !data.row(1).bar(0).tradable);
        assert_eq!(data.row(2).fresh(0).map(|bar| bar.close), Some(3.0));
        assert_eq!((data.rows_of(0), data.rows_of(1)), (vec![0, 2], vec![1]));
    }

    #[test]
    fn what_cannot_be_traded_is_said() {
        let error = |series| MarketData::new(series).unwrap_err().to_string();
        assert!(error(vec![series("A", &[(1, 1.0)])]).contains("1 bar times are too few"));
        let twice = vec![series("A", &[(1, 1.0), (2, 1.0)]), series("A", &[(1, 1.0)])];
        assert!(error(twice).contains("A: is given twice"));
        assert!(error(vec![series("A", &[(2, 1.0), (2, 1.0)])]).contains("do not increase"));
        assert!(error(vec![series("A", &[(1, 1.0), (2, f64::NAN)])]).contains("from 1e-9 to 1e12"));
    }
}
