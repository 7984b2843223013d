//! What foretells returns: how it is observed, what it foretells, and how it goes on.

use crate::market::panel::MarketView;
use crate::synthetic::law::{Echo, LEAK, LEAK_SHARES, Law};

/// The signal of a law. A state is `[x, log odds]`; the second is 0 but for regimes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Signal {
    /// Nothing can be known.
    None,
    /// x: the stock's own last simple return.
    Own(Echo),
    /// x: a simple return that is told a bar ahead and of which the stock takes the part `gain`; it
    /// is noise.
    Told { gain: f64, sigma: f64, by: Teller },
    /// x: the log price over the partner's.
    Spread { partner: usize, memory: f64, shock: f64 },
    /// x: the stock's own last simple return; the log odds that the next bar is of the first
    /// regime.
    Regimes(Regimes),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Teller {
    /// The last return of this stock.
    Leader(usize),
    /// The volume.
    Volume,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Regimes {
    pub echoes: [Echo; 2],
    pub change: f64,
}

/// Values of the two parts of a state.
pub type Axes = [Vec<f64>; 2];

/// How far an axis reaches, in the standard deviations of what it carries.
const REACH: f64 = 7.0;

impl Signal {
    pub fn of(law: Law) -> Signal {
        match law {
            Law::Noise { .. } | Law::Garch { .. } => Signal::None,
            Law::Own(echo) => Signal::Own(echo),
            Law::Follower { leader, gain, lead, .. } => {
                Signal::Told { gain, sigma: lead, by: Teller::Leader(leader) }
            }
            Law::Leaked { sigma } => Signal::Told { gain: 1.0, sigma, by: Teller::Volume },
            // Seen from either side, the spread is the own price over the partner's.
            Law::Spread { partner, memory, shock, .. } => Signal::Spread { partner, memory, shock },
            Law::Regimes { echoes, change } => Signal::Regimes(Regimes { echoes, change }),
        }
    }

    /// A grid of states, `resolution` times as fine as usual.
    pub fn axes(&self, resolution: f64) -> Axes {
        let even = |reach: f64, points: f64| {
            let half = (points * resolution / 2.0).round();
            let steps = -(half as i64)..=half as i64;
            steps.map(|i| reach * i as f64 / half).collect::<Vec<f64>>()
        };
        let line = |deviation: f64| [even(REACH * deviation, 400.0), vec![0.0]];
        match self {
            Signal::None => [vec![0.0], vec![0.0]],
            Signal::Own(echo) => line(echo.deviation()),
            Signal::Told { sigma, .. } => line(*sigma),
            Signal::Spread { memory, shock, .. } => line(shock / (1.0 - memory * memory).sqrt()),
            Signal::Regimes(regimes) => {
                let deviation =
                    regimes.echoes.map(|e| e.deviation()).into_iter().fold(0.0, f64::max);
                // Closer together where positions change: the square root of the way is even.
                let roots = even((REACH * deviation).sqrt(), 80.0);
                let returns = roots.into_iter().map(|root| root * root.abs()).collect();
                [returns, even(regimes.most_odds(), 24.0)]
            }
        }
    }

    /// Expected simple return of the stock's next bar.
    pub fn mean(&self, [x, odds]: [f64; 2]) -> f64 {
        match self {
            Signal::None => 0.0,
            Signal::Own(echo) => echo.phi * x,
            Signal::Told { gain, .. } => gain * x,
            Signal::Spread { memory, .. } => (-(1.0 - memory) * x / 2.0).exp_m1(),
            Signal::Regimes(regimes) => {
                let [first, second] = regimes.echoes;
                let p = probability(odds);
                (p * first.phi + (1.0 - p) * second.phi) * x
            }
        }
    }

    /// Hands `take` the states that may follow and their probabilities.
    pub fn next(&self, [x, odds]: [f64; 2], mut take: impl FnMut(f64, [f64; 2])) {
        match *self {
            Signal::None => take(1.0, [0.0, 0.0]),
            Signal::Own(echo) => {
                normals(FINE).for_each(|(w, shock)| take(w, [echo.next(x, shock), 0.0]));
            }
            Signal::Told { sigma, .. } => {
                let echo = Echo { phi: 0.0, sigma };
                normals(FINE).for_each(|(w, shock)| take(w, [echo.next(0.0, shock), 0.0]));
            }
            Signal::Spread { memory, shock: deviation, .. } => {
                let next = |shock| [memory * x + deviation * shock, 0.0];
                normals(FINE).for_each(|(w, shock)| take(w, next(shock)));
            }
            Signal::Regimes(regimes) => {
                let p = probability(odds);
                for (echo, chance) in regimes.echoes.into_iter().zip([p, 1.0 - p]) {
                    for (weight, shock) in normals(COARSE) {
                        let next = echo.next(x, shock);
                        take(chance * weight, [next, regimes.filter(odds, x, next)]);
                    }
                }
            }
        }
    }

    /// The first part of the state at a view's bar; 0, which foretells nothing, where it cannot be
    /// known yet.
    pub fn observe(&self, view: &MarketView<'_>, stock: usize) -> f64 {
        match *self {
            Signal::None => 0.0,
            Signal::Own(_) | Signal::Regimes(_) => last_return(view, stock),
            Signal::Told { by: Teller::Leader(leader), .. } => last_return(view, leader),
            Signal::Told { by: Teller::Volume, sigma, .. } => {
                ((view.bar(stock).volume / LEAK_SHARES).ln() * sigma / LEAK).exp_m1()
            }
            Signal::Spread { partner, .. } => {
                (view.bar(stock).close / view.bar(partner).close).ln()
            }
        }
    }
}

impl Echo {
    /// The simple return after `last`, with a shock in standard deviations.
    fn next(&self, last: f64, shock: f64) -> f64 {
        (1.0 + self.phi * last) * (self.sigma * shock - self.sigma * self.sigma / 2.0).exp() - 1.0
    }

    /// Standard deviation of returns in the long run.
    fn deviation(&self) -> f64 {
        self.sigma / (1.0 - self.phi * self.phi).sqrt()
    }

    /// Log density of the return `new` after `last`, up to a constant.
    fn log_density(&self, last: f64, new: f64) -> f64 {
        let Echo { phi, sigma } = *self;
        let off = new.ln_1p() - (phi * last).ln_1p() + sigma * sigma / 2.0;
        -sigma.ln() - off * off / (2.0 * sigma * sigma)
    }
}

impl Regimes {
    /// The log odds of the first regime for the bar after `new`, from those for the bar of `new`
    /// itself: Hamilton (1994), eqs. 22.4.5 and 22.4.6, for a chain of two states.
    pub fn filter(&self, odds: f64, last: f64, new: f64) -> f64 {
        let [first, second] = self.echoes;
        let posterior = odds + first.log_density(last, new) - second.log_density(last, new);
        let p = probability(posterior);
        let next = p * (1.0 - self.change) + (1.0 - p) * self.change;
        (next / (1.0 - next)).ln()
    }

    /// Where a regime is certain, the next bar's still is not.
    fn most_odds(&self) -> f64 {
        ((1.0 - self.change) / self.change).ln()
    }
}

/// Simple return from the close before to the view's; 0 on the panel's first row.
pub fn last_return(view: &MarketView<'_>, stock: usize) -> f64 {
    view.back(1).map_or(0.0, |before| view.bar(stock).close / before.bar(stock).close - 1.0)
}

fn probability(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

/// Steps between the points at which a standard normal is summed up, from -6 to 6. The trapezoid
/// rule is exact for smooth functions at both; what is left comes from the bends of the values
/// where positions change, and is small where the state before has its part in the one after.
const FINE: f64 = 0.05;
const COARSE: f64 = 0.4;

/// Weights, which add up to 1, and points.
fn normals(step: f64) -> impl Iterator<Item = (f64, f64)> {
    let half = (6.0 / step).round() as i32;
    let density = move |i: i32| (-(f64::from(i) * step).powi(2) / 2.0).exp();
    let total: f64 = (-half..=half).map(density).sum();
    (-half..=half).map(move |i| (density(i) / total, f64::from(i) * step))
}
