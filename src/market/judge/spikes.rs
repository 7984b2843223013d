//! Bars whose prices are far from those before and after, and single trades that are.
//!
//! Within a session one bar begins where the one before it ended. So the ranges of two bars beside
//! each other nearly always touch, in a crash as well; a bar that lies apart from both its
//! neighbours is an error, or a rare event. Thresholds are multiples of the usual range, so that
//! wild weeks have wide ones, but not below a fixed fraction.

use super::scale::{Scale, distance, quantile};
use super::{BarFinding, FindingKind, price};
use crate::market::bar::BarSeries;

/// A spike is apart from its neighbours by this fraction of the price, and this many usual ranges.
const SPIKE: f64 = 0.03;
const SPIKE_RANGES: f64 = 2.0;
/// Overnight, by this fraction, and this many usual overnight moves.
const OVERNIGHT: f64 = 0.05;
const OVERNIGHT_GAPS: f64 = 4.0;
/// The first and the last bar have one neighbour only, and need more.
const EDGE_FACTOR: f64 = 3.0;
/// Bars of one session in a row that can be one spike.
const MAX_RUN: usize = 3;
/// Bars on either side whose median says where prices are.
const ASIDE: usize = 5;
/// A high or low that is further from its bar, and from the bars beside it, is a wick.
const WICK: f64 = 0.06;
const WICK_RANGES: f64 = 3.0;
/// More bars in a row, also over nights, are a spike if prices jump by this factor and back.
const JUMP: f64 = 1.4;
/// By how much jump and return may differ, as a fraction of the jump in logarithms.
const JUMP_TOLERANCE: f64 = 0.2;
/// Sessions after which prices have to be back.
const JUMP_SESSIONS: usize = 10;

/// Spikes and wicks, in any order.
pub(super) fn find<'a>(series: &'a BarSeries, scale: &mut Scale<'a>) -> Vec<BarFinding> {
    let mut search = Search { series, scale, live: (0..series.len()).collect(), found: Vec::new() };
    // What is found is taken out, so that the bars beside it have neighbours that can be trusted.
    while (1..=MAX_RUN).any(|length| search.take_runs(length)) {}
    search.edges();
    search.excursions();
    search.wicks();
    search.found
}

struct Search<'a, 'b> {
    series: &'a BarSeries,
    scale: &'b mut Scale<'a>,
    /// Bars that are not found to be errors.
    live: Vec<usize>,
    found: Vec<BarFinding>,
}

/// A run of live bars that lies apart from its neighbours.
struct Island {
    /// Its first in `live`.
    at: usize,
    /// Distance from the nearer median of the bars before and after, in logarithms.
    distance: f64,
}

impl Search<'_, '_> {
    /// Takes all runs of this length that are spikes. Returns whether there were any.
    fn take_runs(&mut self, length: usize) -> bool {
        let last = self.live.len().saturating_sub(length);
        let islands: Vec<Island> = (1..last).filter_map(|at| self.island(at, length)).collect();
        // Where islands are beside each other, the one further from the others goes first: a good
        // bar between two errors lies apart from both.
        let further = |a: &Island, b: Option<&Island>| {
            b.is_none_or(|b| a.at.abs_diff(b.at) > length || a.distance >= b.distance)
        };
        let mut taken: Vec<usize> = Vec::new();
        for (i, island) in islands.iter().enumerate() {
            let is_free = taken.last().is_none_or(|&before| island.at > before + length);
            let before = i.checked_sub(1).map(|i| &islands[i]);
            if is_free && further(island, before) && further(island, islands.get(i + 1)) {
                taken.push(island.at);
            }
        }
        for &at in taken.iter().rev() {
            let around = (self.live[at - 1], self.live[at + length]);
            let run: Vec<usize> = self.live.drain(at..at + length).collect();
            self.tell(&run, around);
        }
        !taken.is_empty()
    }

    /// The run of live bars from `at` on, if it lies apart from the bars before and after.
    fn island(&mut self, at: usize, length: usize) -> Option<Island> {
        // Nearly every bar reaches the open and close of the one before, and is told by that.
        let BarSeries { open, high, low, close, .. } = self.series;
        let (present, past) = (self.live[at], self.live[at - 1]);
        let (bottom, top) = (open[past].min(close[past]), open[past].max(close[past]));
        if low[present] <= top * (1.0 + SPIKE) && bottom <= high[present] * (1.0 + SPIKE) {
            return None;
        }
        let run = &self.live[at..at + length];
        let (first, last) = (run[0], run[length - 1]);
        let low = run.iter().map(|&bar| self.series.low[bar]).fold(f64::INFINITY, f64::min);
        let high = run.iter().map(|&bar| self.series.high[bar]).fold(0.0, f64::max);
        let (before, after) = (self.live[at - 1], self.live[at + length]);
        let apart = |bar: usize| self.apart(low, high, bar);
        let (left, right) = (apart(before)?, apart(after)?);
        if (left > 0.0) != (right > 0.0) || (length > 1 && !self.share_session(first, last)) {
            return None;
        }
        let is_far =
            left.abs() > self.needed(before, first) && right.abs() > self.needed(last, after);
        let middle = self.series.close[first];
        let near = |bars: &[usize]| {
            let mut closes: Vec<f64> = bars.iter().map(|&bar| self.series.close[bar]).collect();
            (middle / quantile(&mut closes, 0.5)).ln().abs()
        };
        let end = at + length;
        let distance = near(&self.live[at.saturating_sub(ASIDE)..at])
            .min(near(&self.live[end..(end + ASIDE).min(self.live.len())]));
        (is_far && distance > SPIKE).then_some(Island { at, distance })
    }

    /// How far a range of prices is above this bar's (or below, negative), as a fraction of the
    /// price; None if less than [`SPIKE`].
    fn apart(&self, low: f64, high: f64, bar: usize) -> Option<f64> {
        let (bottom, top) = self.trusted_range(bar);
        if low > top * (1.0 + SPIKE) {
            Some(low / top - 1.0)
        } else if bottom > high * (1.0 + SPIKE) {
            Some(1.0 - bottom / high)
        } else {
            None
        }
    }

    /// Low and high of a bar; the lower and higher of open and close instead of a wick.
    fn trusted_range(&self, bar: usize) -> (f64, f64) {
        let BarSeries { open, high, low, close, .. } = self.series;
        let (bottom, top) = (open[bar].min(close[bar]), open[bar].max(close[bar]));
        let low = if low[bar] * (1.0 + WICK) < bottom { bottom } else { low[bar] };
        let high = if high[bar] > top * (1.0 + WICK) { top } else { high[bar] };
        (low, high)
    }

    fn share_session(&self, a: usize, b: usize) -> bool {
        self.scale.session(a) == self.scale.session(b)
    }

    /// How far apart two bars, one after the other, have to be.
    fn needed(&mut self, before: usize, after: usize) -> f64 {
        let within = SPIKE.max(SPIKE_RANGES * self.scale.range(after));
        if self.share_session(before, after) {
            return within;
        }
        within.max(OVERNIGHT).max(OVERNIGHT_GAPS * self.scale.gap(after))
    }

    fn tell(&mut self, run: &[usize], (before, after): (usize, usize)) {
        let close = &self.series.close;
        let around = [close[before], close[after]].map(price);
        let what = match *run {
            [bar] => format!("close {} between {} and {}", price(close[bar]), around[0], around[1]),
            _ => format!(
                "{} bars, first close {}, between {} and {}",
                run.len(),
                price(close[run[0]]),
                around[0],
                around[1]
            ),
        };
        let span = (run[0], run[run.len() - 1]);
        self.found.push(BarFinding::of_bars(FindingKind::Spike, self.series, span, &what));
    }

    /// The first and the last bar, far from their only neighbour.
    fn edges(&mut self) {
        for is_last in [false, true] {
            let live = &self.live;
            let [first, .., last] = live[..] else { return };
            let (bar, beside) = match is_last {
                true => (last, live[live.len() - 2]),
                false => (first, live[1]),
            };
            let (low, high) = self.trusted_range(bar);
            let Some(apart) = self.apart(low, high, beside) else { continue };
            if apart.abs() < EDGE_FACTOR * self.needed(bar.min(beside), bar.max(beside)) {
                continue;
            }
            let close = &self.series.close;
            let which = if is_last { "before" } else { "after" };
            let what = format!(
                "close {}, {} in the bar {which}; no other confirms it",
                price(close[bar]),
                price(close[beside])
            );
            self.found.push(BarFinding::of_bars(
                FindingKind::Spike,
                self.series,
                (bar, bar),
                &what,
            ));
            let at = if is_last { self.live.len() - 1 } else { 0 };
            self.live.remove(at);
        }
    }

    /// Stretches between two jumps that cancel.
    fn excursions(&mut self) {
        let jump = |&at: &usize| {
            let (before, bar) = (self.live[at - 1], self.live[at]);
            let (low, high) = self.trusted_range(bar);
            self.apart(low, high, before).is_some_and(|apart| apart.abs() > JUMP - 1.0)
        };
        let jumps: Vec<usize> = (1..self.live.len()).filter(jump).collect();
        let size = |at: usize| {
            (self.series.open[self.live[at]] / self.series.close[self.live[at - 1]]).ln()
        };
        let mut stretches = Vec::new();
        let mut i = 0;
        while let [from, until] = jumps[i..(i + 2).min(jumps.len())] {
            let (there, back) = (size(from), size(until));
            let sessions =
                self.scale.session(self.live[until]) - self.scale.session(self.live[from]);
            let is_back = (there + back).abs() < JUMP_TOLERANCE * there.abs();
            if is_back && sessions <= JUMP_SESSIONS {
                stretches.push((from, until));
                i += 1;
            }
            i += 1;
        }
        for &(from, until) in stretches.iter().rev() {
            let around = (self.live[from - 1], self.live[until]);
            let run: Vec<usize> = self.live.drain(from..until).collect();
            self.tell(&run, around);
        }
    }

    /// Single trades that are far from their own bar and from the bars beside it.
    fn wicks(&mut self) {
        for at in 0..self.live.len() {
            for is_high in [true, false] {
                let wick = self.wick(at, is_high);
                self.found.extend(wick);
            }
        }
    }

    /// A bad trade is the high or the low of its bar; the open, too, if it was the first trade of the
    /// bar, and the close if it was the last.
    fn wick(&mut self, at: usize, is_high: bool) -> Option<BarFinding> {
        let BarSeries { open, high, low, close, .. } = self.series;
        let bar = self.live[at];
        let (extreme, other) = match is_high {
            true => (high[bar], low[bar]),
            false => (low[bar], high[bar]),
        };
        let nearer = |a: f64, b: f64| if is_high { a.max(b) } else { a.min(b) };
        let is_it = |price: f64| distance(price, extreme) <= SPIKE;
        let (opens, closes) = (is_it(open[bar]), is_it(close[bar]));
        let mut near = [(opens, open[bar]), (closes, close[bar])]
            .into_iter()
            .filter(|(is_it, _)| !is_it)
            .fold(other, |near, (_, price)| nearer(near, price));
        if distance(extreme, near) <= WICK {
            return None;
        }
        let mut needed = WICK.max(WICK_RANGES * self.scale.range(bar));
        let beside = |at: Option<usize>| at.and_then(|at| self.live.get(at)).copied();
        for (beside, shares_trade) in
            [(beside(at.checked_sub(1)), opens), (beside(Some(at + 1)), closes)]
        {
            match beside {
                // The price may have gone there, and stayed.
                None if shares_trade => return None,
                None => {}
                Some(beside) if shares_trade || self.share_session(beside, bar) => {
                    let (low, high) = self.trusted_range(beside);
                    near = nearer(near, if is_high { high } else { low });
                    if !self.share_session(beside, bar) {
                        // It may be where prices were, or are, overnight.
                        needed = needed.max(JUMP - 1.0);
                    }
                }
                Some(_) => {}
            }
        }
        let is_beyond = if is_high { extreme > near } else { extreme < near };
        if !is_beyond || distance(extreme, near) <= needed {
            return None;
        }
        let mut name = String::from(if is_high { "high" } else { "low" });
        if opens {
            name = format!("open and {name}");
        }
        if closes {
            name += " and close";
        }
        let what = format!("{name} {}, beside prices of {}", price(extreme), price(near));
        Some(BarFinding::of_bars(FindingKind::Wick, self.series, (bar, bar), &what))
    }
}
