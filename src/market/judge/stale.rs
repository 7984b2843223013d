//! Stretches in which the price does not change, or nothing is traded, for much longer than is
//! usual for the stock.

use std::ops::Range;

use super::scale::quantile;
use super::{BarFinding, FindingKind, price};
use crate::market::bar::BarSeries;

/// A stretch must be as unlikely as one in e to the power of this, if bars were independent.
const MIN_SURPRISE: f64 = 20.0;
/// Share of still bars that every stock is granted.
const MIN_SHARE: f64 = 0.05;
/// A stretch of as many whole sessions is told whatever is usual.
const MAX_SESSIONS: usize = 5;

/// Frozen stretches, and those without volume that are not frozen.
pub(super) fn find(series: &BarSeries, sessions: &[Range<usize>]) -> Vec<BarFinding> {
    let BarSeries { open, high, low, close, volume, .. } = series;
    let is_flat = |bar: usize| high[bar] == low[bar];
    // The price stays: from a bar to the next, and within both.
    let stays = |bar: usize| bar > 0 && is_flat(bar) && open[bar] == close[bar - 1];
    let frozen = stretches(series.len(), sessions, &stays);
    let is_idle = |bar: usize| volume[bar] == 0.0;
    let is_never_traded = !series.is_empty() && (0..series.len()).all(is_idle);
    let idle = match is_never_traded {
        true => std::iter::once(0..series.len()).collect(),
        false => stretches(series.len(), sessions, &is_idle),
    };
    let mut found = Vec::new();
    for stretch in &frozen {
        let (price, bars) = (price(close[stretch.start]), stretch.len());
        let traded = if stretch.clone().all(is_idle) { ", volume 0" } else { "" };
        let span = (stretch.start, stretch.end - 1);
        let what = format!("{bars} bars at {price}{traded}");
        found.push(BarFinding::of_bars(FindingKind::Frozen, series, span, &what));
    }
    let is_told = |idle: &Range<usize>| {
        frozen.iter().any(|frozen| frozen.start <= idle.start + 1 && idle.end <= frozen.end + 1)
    };
    for stretch in idle.iter().filter(|idle| !is_told(idle)) {
        let all = if is_never_traded { "all " } else { "" };
        let what = format!("{all}{} bars have volume 0", stretch.len());
        let span = (stretch.start, stretch.end - 1);
        found.push(BarFinding::of_bars(FindingKind::NoVolume, series, span, &what));
    }
    found
}

/// Runs of still bars that are long for the stock, and as long as half a session.
fn stretches(
    bars: usize,
    sessions: &[Range<usize>],
    is_still: &dyn Fn(usize) -> bool,
) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for bar in (0..bars).filter(|&bar| is_still(bar)) {
        match runs.last_mut() {
            Some(run) if run.end == bar => run.end = bar + 1,
            _ => runs.push(bar..bar + 1),
        }
    }
    let mut lengths: Vec<f64> = sessions.iter().map(|session| session.len() as f64).collect();
    let session = quantile(&mut lengths, 0.5) as usize;
    runs.retain(|run| 2 * run.len() >= session);
    if runs.is_empty() {
        return runs;
    }
    // The lower quartile: should half of the data be frozen, the other half says what is usual.
    let share = |session: &Range<usize>| {
        session.clone().filter(|&bar| is_still(bar)).count() as f64 / session.len() as f64
    };
    let mut shares: Vec<f64> = sessions.iter().map(share).collect();
    let usual = quantile(&mut shares, 0.25).max(MIN_SHARE);
    let surprise = |run: &Range<usize>| -(run.len() as f64) * usual.ln();
    runs.retain(|run| surprise(run) >= MIN_SURPRISE || run.len() >= MAX_SESSIONS * session.max(2));
    runs
}
