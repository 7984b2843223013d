//! Signals that predict returns: observation, expected return and transition.

use super::clock::SessionClock;
use crate::market::panel::MarketView;
use crate::synthetic::return_process::{
    Ar1, HiddenSignal, LEAK, LEAK_SHARES, ReturnProcess, Trend,
};

/// The signal of a return process. A state is `[x, log odds]`; the second is 0 except for regimes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Signal {
    /// Nothing but this mean is predictable.
    Constant(f64),
    /// x: the stock's own last simple return.
    Own(Ar1),
    /// x: a simple return that is announced one bar ahead and of which the stock earns the fraction
    /// `gain`; it is white noise.
    Told { gain: f64, sigma: f64, by: LeadSource },
    /// x: log of the own price over the partner's.
    Spread { partner: usize, memory: f64, shock: f64 },
    /// x: the stock's own last simple return; the log odds are those of the first regime in the
    /// next bar.
    Regimes(Regimes),
    /// x: the exponential mean of the stock's own returns.
    Trend(Trend),
    /// x: the bar of the session that comes next.
    Clock(SessionClock),
    /// x: expectation of the hidden signal, given all volumes so far.
    Hidden(HiddenSignal),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum LeadSource {
    /// The last return of this stock.
    Leader(usize),
    /// The volume.
    Volume,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Regimes {
    pub(crate) components: [Ar1; 2],
    pub(crate) change: f64,
}

/// Grid points of the two components of a state.
pub(crate) type Axes = [Vec<f64>; 2];

/// Half-width of an axis in standard deviations of its component.
const REACH: f64 = 7.0;

impl Signal {
    pub(crate) fn from_process(law: ReturnProcess) -> Signal {
        match law {
            ReturnProcess::Noise { .. } | ReturnProcess::Garch { .. } => Signal::Constant(0.0),
            ReturnProcess::Trend(trend) => Signal::Trend(trend),
            ReturnProcess::Drift { drift, .. } => Signal::Constant(drift),
            ReturnProcess::Own(ar1) => Signal::Own(ar1),
            ReturnProcess::Follower { leader, gain, lead, .. } => {
                Signal::Told { gain, sigma: lead, by: LeadSource::Leader(leader) }
            }
            ReturnProcess::Leaked { sigma } => {
                Signal::Told { gain: 1.0, sigma, by: LeadSource::Volume }
            }
            // From either side the spread is the own price over the partner's.
            ReturnProcess::Spread { partner, memory, shock, .. } => {
                Signal::Spread { partner, memory, shock }
            }
            ReturnProcess::Regimes { components, change } => {
                Signal::Regimes(Regimes { components, change })
            }
            ReturnProcess::Clock { drift, bar_minutes, .. } => {
                Signal::Clock(SessionClock { drift, bar_minutes })
            }
            ReturnProcess::Persistent(hidden) => Signal::Hidden(hidden),
        }
    }

    /// After how many bars a signal that nothing disturbs repeats itself; 1 for all others.
    pub(super) fn period(&self) -> usize {
        match self {
            Signal::Clock(clock) => clock.bars(),
            _ => 1,
        }
    }

    /// Grid of states, `resolution` times as fine as the default.
    pub(crate) fn axes(&self, resolution: f64) -> Axes {
        let even = |reach: f64, points: f64| {
            let half = (points * resolution / 2.0).round();
            let steps = -(half as i64)..=half as i64;
            steps.map(|i| reach * i as f64 / half).collect::<Vec<f64>>()
        };
        let line = |deviation: f64| [even(REACH * deviation, 400.0), vec![0.0]];
        match self {
            Signal::Constant(_) => [vec![0.0], vec![0.0]],
            Signal::Own(ar1) => line(ar1.deviation()),
            // Steps of a bar are small beside the range: more points, lest interpolation spread them.
            Signal::Trend(Trend { memory, gain, sigma }) => {
                let kept = memory + gain;
                let deviation = sigma / (1.0 - kept * kept).sqrt();
                [even(5.0 * deviation, 1_200.0), vec![0.0]]
            }
            Signal::Told { sigma, .. } => line(*sigma),
            Signal::Spread { memory, shock, .. } => line(shock / (1.0 - memory * memory).sqrt()),
            Signal::Regimes(regimes) => {
                let deviation =
                    regimes.components.map(|e| e.deviation()).into_iter().fold(0.0, f64::max);
                // Denser around 0, where positions change: even spacing in the square root.
                let roots = even((REACH * deviation).sqrt(), 80.0);
                let returns = roots.into_iter().map(|root| root * root.abs()).collect();
                [returns, even(regimes.max_log_odds(), 24.0)]
            }
            Signal::Clock(clock) => [(0..clock.bars()).map(|bar| bar as f64).collect(), vec![0.0]],
            Signal::Hidden(hidden) => line(hidden.expectation().deviation),
        }
    }

    /// Expected simple return of the stock's next bar.
    pub(crate) fn mean(&self, [x, odds]: [f64; 2]) -> f64 {
        match self {
            Signal::Constant(mean) => *mean,
            Signal::Own(ar1) => ar1.phi * x,
            Signal::Trend(trend) => trend.gain * x,
            Signal::Told { gain, .. } => gain * x,
            Signal::Spread { memory, .. } => (-(1.0 - memory) * x / 2.0).exp_m1(),
            Signal::Regimes(regimes) => {
                let [first, second] = regimes.components;
                let p = probability(odds);
                (p * first.phi + (1.0 - p) * second.phi) * x
            }
            Signal::Clock(clock) => clock.mean(x as usize),
            Signal::Hidden(hidden) => hidden.drift * x,
        }
    }

    /// Calls `take(probability, state)` for each possible next state.
    pub(crate) fn next(&self, [x, odds]: [f64; 2], mut take: impl FnMut(f64, [f64; 2])) {
        match *self {
            Signal::Constant(_) => take(1.0, [0.0, 0.0]),
            Signal::Own(ar1) => {
                normals(FINE).for_each(|(w, shock)| take(w, [ar1.next(x, shock), 0.0]));
            }
            Signal::Trend(trend) => {
                let bar = Ar1 { phi: trend.gain, sigma: trend.sigma };
                let next = |shock| [trend.next(x, bar.next(x, shock)), 0.0];
                normals(COARSE).for_each(|(w, shock)| take(w, next(shock)));
            }
            Signal::Told { sigma, .. } => {
                let ar1 = Ar1 { phi: 0.0, sigma };
                normals(FINE).for_each(|(w, shock)| take(w, [ar1.next(0.0, shock), 0.0]));
            }
            Signal::Spread { memory, shock: deviation, .. } => {
                let next = |shock| [memory * x + deviation * shock, 0.0];
                normals(FINE).for_each(|(w, shock)| take(w, next(shock)));
            }
            Signal::Regimes(regimes) => {
                let p = probability(odds);
                for (ar1, chance) in regimes.components.into_iter().zip([p, 1.0 - p]) {
                    for (weight, shock) in normals(COARSE) {
                        let next = ar1.next(x, shock);
                        take(chance * weight, [next, regimes.filter(odds, x, next)]);
                    }
                }
            }
            Signal::Clock(clock) => take(1.0, [((x as usize + 1) % clock.bars()) as f64, 0.0]),
            Signal::Hidden(hidden) => {
                let deviation = hidden.expectation().step;
                let next = |shock| [hidden.memory * x + deviation * shock, 0.0];
                normals(FINE).for_each(|(w, shock)| take(w, next(shock)));
            }
        }
    }

    /// The first component of the state as a view's bar alone shows it; 0, which predicts nothing,
    /// if it is not known yet or shows only in many bars.
    pub(super) fn observe(&self, view: &MarketView<'_>, stock: usize) -> f64 {
        match *self {
            Signal::Constant(_) | Signal::Hidden(_) | Signal::Trend(_) => 0.0,
            Signal::Clock(clock) => clock.next_bar(view.end_s()) as f64,
            Signal::Own(_) | Signal::Regimes(_) => last_return(view, stock),
            Signal::Told { by: LeadSource::Leader(leader), .. } => last_return(view, leader),
            Signal::Told { by: LeadSource::Volume, sigma, .. } => {
                ((view.bar(stock).volume / LEAK_SHARES).ln() * sigma / LEAK).exp_m1()
            }
            Signal::Spread { partner, .. } => {
                (view.bar(stock).close / view.bar(partner).close).ln()
            }
        }
    }
}

impl Ar1 {
    /// The next simple return after `last`, with a shock in standard deviations.
    fn next(&self, last: f64, shock: f64) -> f64 {
        (1.0 + self.phi * last) * (self.sigma * shock - self.sigma * self.sigma / 2.0).exp() - 1.0
    }

    /// Stationary standard deviation of returns.
    fn deviation(&self) -> f64 {
        self.sigma / (1.0 - self.phi * self.phi).sqrt()
    }

    /// Log density of the return `new` after `last`, up to a constant.
    fn log_density(&self, last: f64, new: f64) -> f64 {
        let Ar1 { phi, sigma } = *self;
        let residual = new.ln_1p() - (phi * last).ln_1p() + sigma * sigma / 2.0;
        -sigma.ln() - residual * residual / (2.0 * sigma * sigma)
    }
}

impl Regimes {
    /// Log odds of the first regime for the bar after `new`, given those for the bar of `new`.
    /// Hamilton (1994), eqs. 22.4.5 and 22.4.6, for two states.
    pub(crate) fn filter(&self, odds: f64, last: f64, new: f64) -> f64 {
        let [first, second] = self.components;
        let posterior = odds + first.log_density(last, new) - second.log_density(last, new);
        let p = probability(posterior);
        let next = p * (1.0 - self.change) + (1.0 - p) * self.change;
        (next / (1.0 - next)).ln()
    }

    /// Log odds for the next bar if the current regime is certain.
    fn max_log_odds(&self) -> f64 {
        ((1.0 - self.change) / self.change).ln()
    }
}

/// Simple return from the previous close to the view's; 0 on the panel's first row.
pub(crate) fn last_return(view: &MarketView<'_>, stock: usize) -> f64 {
    view.back(1).map_or(0.0, |before| view.bar(stock).close / before.bar(stock).close - 1.0)
}

fn probability(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

/// Step between the points at which a standard normal is summed, from -6 to 6. The trapezoid rule
/// is exact for smooth functions at both steps. What remains comes from the kinks of the value
/// function where positions change, and is small where the next state depends on the present one.
const FINE: f64 = 0.05;
const COARSE: f64 = 0.4;

/// (weight, point) pairs; the weights add up to 1.
fn normals(step: f64) -> impl Iterator<Item = (f64, f64)> {
    let half = (6.0 / step).round() as i32;
    let density = move |i: i32| (-(f64::from(i) * step).powi(2) / 2.0).exp();
    let total: f64 = (-half..=half).map(density).sum();
    (-half..=half).map(move |i| (density(i) / total, f64::from(i) * step))
}
