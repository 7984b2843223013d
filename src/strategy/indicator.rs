//! Indicators by name, for rules that are defined in a file.

use std::collections::VecDeque;

use super::{Number, Parameter, Parameters};
use crate::features::indicators::{
    Atr, Bollinger, Ema, Macd, Roc, RollingRange, RollingStd, Rsi, Sma,
};
use crate::features::rolling::{Moments, Window};
use crate::market::Bar;

/// A standard deviation up to this is rounding error.
const LEAST_STD: f64 = 1e-9;

/// A kind of indicator.
pub(crate) struct IndicatorKind {
    pub(crate) name: &'static str,
    pub(crate) parameters: Vec<Parameter>,
    /// Suffix of each output's name; the first output has no suffix.
    pub(crate) outputs: &'static [&'static str],
    state: fn(&Parameters) -> State,
}

/// The column of a bar that is the indicator's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PriceSource {
    Open,
    High,
    Low,
    Close,
    Volume,
}

/// The state of an indicator on one stock.
#[derive(Clone, Debug)]
pub(crate) struct Indicator {
    state: State,
    source: PriceSource,
    /// Values of the last `ago` bars.
    past: VecDeque<[f64; 3]>,
    ago: usize,
}

#[derive(Clone, Debug)]
enum State {
    Sma(Sma),
    Ema(Ema),
    Std(RollingStd),
    Rsi(Rsi),
    Macd(Macd),
    Bollinger(Bollinger),
    Roc(Roc),
    ZScore(Window<Moments>),
    Highest(RollingRange),
    Lowest(RollingRange),
    Atr(Atr),
    /// The input itself.
    Value,
}

/// All kinds of indicators; each has the parameter `ago` in addition to its own.
pub(crate) fn kinds() -> Vec<IndicatorKind> {
    let bars = |name, default, description| {
        Parameter::whole(name, default, 1..=100_000, "bars", description)
    };
    let two = |default| Parameter::whole("period", default, 2..=100_000, "bars", "window");
    let width = Parameter::real("std_dev", 2.0, 0.1..=10.0, "standard deviations", "width");
    let fast = bars("fast_period", 12, "span of the fast average");
    let slow = bars("slow_period", 26, "span of the slow average");
    let signal = bars("signal_period", 9, "span of the signal line");
    let one = |name, parameters, outputs, state| IndicatorKind { name, parameters, outputs, state };
    let plain: &'static [&'static str] = &[""];
    let mut kinds = vec![
        one("sma", vec![bars("period", 20, "window")], plain, |p| {
            State::Sma(Sma::new(p.whole("period")))
        }),
        one("ema", vec![bars("period", 20, "span")], plain, |p| {
            State::Ema(Ema::new(p.whole("period")))
        }),
        one("std", vec![two(20)], plain, |p| State::Std(RollingStd::new(p.whole("period")))),
        one("rsi", vec![two(14)], plain, |p| State::Rsi(Rsi::new(p.whole("period")))),
        one("macd", vec![fast, slow, signal], &["", "_signal", "_histogram"], |p| {
            let spans = ["fast_period", "slow_period", "signal_period"].map(|name| p.whole(name));
            State::Macd(Macd::new(spans[0], spans[1], spans[2]))
        }),
        one("bollinger", vec![two(20), width], &["", "_upper", "_lower"], |p| {
            State::Bollinger(Bollinger::new(p.whole("period"), p.real("std_dev")))
        }),
        one("roc", vec![bars("period", 10, "time")], plain, |p| {
            State::Roc(Roc::new(p.whole("period")))
        }),
        one("z_score", vec![two(20)], plain, |p| State::ZScore(Window::new(p.whole("period")))),
        one("highest", vec![bars("period", 20, "window")], plain, |p| {
            State::Highest(RollingRange::new(p.whole("period")))
        }),
        one("lowest", vec![bars("period", 20, "window")], plain, |p| {
            State::Lowest(RollingRange::new(p.whole("period")))
        }),
        one("atr", vec![bars("period", 14, "window")], plain, |p| {
            State::Atr(Atr::new(p.whole("period")))
        }),
        one("value", vec![], plain, |_| State::Value),
    ];
    for kind in &mut kinds {
        let ago = Parameter::whole("ago", 0, 0..=100_000, "bars", "take the value of so long ago");
        kind.parameters.push(ago);
    }
    kinds
}

impl IndicatorKind {
    pub(crate) fn build(&self, parameters: &Parameters, source: PriceSource) -> Indicator {
        let state = (self.state)(parameters);
        let ago = parameters.whole("ago");
        Indicator { state, source, past: VecDeque::with_capacity(ago + 1), ago }
    }
}

impl Indicator {
    /// Processes the next bar and writes the value of `ago` bars before to `out`, one number per
    /// output of its kind. False while it is not defined.
    pub(crate) fn update(&mut self, bar: &Bar, out: &mut [f64]) -> bool {
        let value = match self.source {
            PriceSource::Open => bar.open,
            PriceSource::High => bar.high,
            PriceSource::Low => bar.low,
            PriceSource::Close => bar.close,
            PriceSource::Volume => bar.volume,
        };
        let Some(now) = self.state.update(value, bar) else { return false };
        self.past.push_back(now);
        if self.past.len() <= self.ago {
            return false;
        }
        let then = self.past.pop_front().unwrap_or(now);
        out.copy_from_slice(&then[..out.len()]);
        true
    }
}

impl State {
    fn update(&mut self, value: f64, bar: &Bar) -> Option<[f64; 3]> {
        let single = |value: Option<f64>| value.map(|value| [value, 0.0, 0.0]);
        match self {
            State::Sma(state) => single(state.update(value)),
            State::Ema(state) => single(state.update(value)),
            State::Std(state) => single(state.update(value)),
            State::Rsi(state) => single(state.update(value)),
            State::Macd(state) => state.update(value).map(|v| [v.macd, v.signal, v.histogram]),
            State::Bollinger(state) => state.update(value).map(|v| [v.middle, v.upper, v.lower]),
            State::Roc(state) => single(state.update(value)),
            State::ZScore(state) => {
                single(state.update(value).map(|moments| moments.z_score(value, LEAST_STD)))
            }
            State::Highest(state) => single(state.update(value).map(|range| range.highest())),
            State::Lowest(state) => single(state.update(value).map(|range| range.lowest())),
            State::Atr(state) => single(state.update(bar.high, bar.low, bar.close)),
            State::Value => single(Some(value)),
        }
    }
}

/// The number as JSON, with its type kept.
pub(crate) fn as_json(number: Number) -> serde_json::Value {
    match number {
        Number::Whole(value) => value.into(),
        Number::Real(value) => value.into(),
    }
}
