//! Rules in two stages: a gauge that measures the bars, and a judge that chooses the target.
//! Parameter sets with the same gauge share the first stage: a parameter sweep computes it once for
//! all of them.

use super::{Cancel, Change, Decision, Parameters, Rule, StrategyError, Targets};
use crate::market::{Bar, MarketData};

/// Number of bars between two checks for cancellation.
const CHECK_EVERY: usize = 4_096;

/// The first stage: a measurement. Constant work per bar.
pub trait Measure: Send {
    /// What the gauge reads off a bar, such as an indicator's value.
    type Reading: Copy + Send + Sync + 'static;

    /// Processes the stock's next bar. None during the warm-up, and never after it.
    fn update(&mut self, bar: &Bar) -> Option<Self::Reading>;
}

/// The second stage: the decision. It sees readings only.
pub trait SignalRule<R>: Send {
    /// The position to hold after this reading, from -1 to 1.
    fn target(&mut self, reading: R) -> f64;

    /// The confidence in that position, from 0 to 1.
    fn confidence(&self, reading: R) -> f64;
}

/// A rule of both stages. Flat during the gauge's warm-up.
#[derive(Clone, Debug)]
pub(crate) struct Staged<G, J> {
    pub(crate) gauge: G,
    pub(crate) judge: J,
}

impl<G: Measure, J: SignalRule<G::Reading>> Rule for Staged<G, J> {
    fn update(&mut self, bar: &Bar) -> Decision {
        let Some(reading) = self.gauge.update(bar) else { return Decision::NONE };
        let target = self.judge.target(reading);
        Decision::new(target, self.judge.confidence(reading))
    }
}

/// A gauge's readings of a whole market.
pub trait Readings: Send + Sync {
    /// The targets of a rule with these parameters. Those that the readings depend on must be equal
    /// to the ones that the readings were made with.
    fn targets(&self, parameters: &Parameters) -> Targets;
}

/// The two stages of a kind.
pub(super) trait Stages: Send + Sync {
    /// Names of the parameters that the readings depend on.
    fn measured_by(&self) -> &'static [&'static str];

    fn read(
        &self,
        parameters: &Parameters,
        data: &MarketData,
        cancel: &Cancel,
    ) -> Result<Box<dyn Readings>, StrategyError>;
}

/// See [`super::StrategyKind::staged`].
pub(super) struct StagePair<G, J> {
    pub(crate) measured_by: &'static [&'static str],
    pub(crate) gauge: fn(&Parameters) -> G,
    pub(crate) judge: fn(&Parameters) -> J,
}

impl<G: Measure + 'static, J: SignalRule<G::Reading> + 'static> Stages for StagePair<G, J> {
    fn measured_by(&self) -> &'static [&'static str] {
        self.measured_by
    }

    fn read(
        &self,
        parameters: &Parameters,
        data: &MarketData,
        cancel: &Cancel,
    ) -> Result<Box<dyn Readings>, StrategyError> {
        let mut stocks = Vec::with_capacity(data.stocks().len());
        for stock in 0..data.stocks().len() {
            let mut gauge = (self.gauge)(parameters);
            let series = data.series(stock);
            let (mut first, mut readings) = (0, Vec::with_capacity(series.len()));
            for (i, bar) in series.bars().enumerate() {
                if i.is_multiple_of(CHECK_EVERY) {
                    cancel.check()?;
                }
                match gauge.update(&bar) {
                    Some(reading) => readings.push(reading),
                    None => {
                        assert!(readings.is_empty(), "a gauge that could tell always can");
                        first = i + 1;
                    }
                }
            }
            stocks.push(StockReadings { rows: data.rows_of(stock), first, readings });
        }
        Ok(Box::new(MarketReadings { judge: self.judge, stocks }))
    }
}

struct MarketReadings<R, J> {
    judge: fn(&Parameters) -> J,
    stocks: Vec<StockReadings<R>>,
}

struct StockReadings<R> {
    /// The row of each of the stock's bars.
    rows: Vec<u32>,
    /// Index of the first bar with a reading; all later bars have one.
    first: usize,
    readings: Vec<R>,
}

impl<R: Copy + Send + Sync, J: SignalRule<R>> Readings for MarketReadings<R, J> {
    fn targets(&self, parameters: &Parameters) -> Targets {
        let mut changes = Vec::new();
        for (stock, read) in self.stocks.iter().enumerate() {
            let mut judge = (self.judge)(parameters);
            let rows = &read.rows[read.first..];
            let mut last = Decision::NONE.target;
            for (&row, &reading) in rows.iter().zip(&read.readings) {
                let target = judge.target(reading);
                if target != last {
                    last = target;
                    let target = Decision::new(target, 0.0).target;
                    changes.push(Change { row, stock: stock as u32, target });
                }
            }
        }
        Targets::new(self.stocks.len(), changes)
    }
}
