//! Synthetic markets: two stocks with GARCH volatility, Student-t shocks, overnight gaps and
//! U-shaped intraday volatility, a year before the judged one and that year.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::eval::metrics::DAYS_PER_YEAR;

pub(super) const STOCKS: usize = 2;
/// Days that are judged.
pub(super) const DAYS: usize = 252;
/// Days before them, for policies that look back.
pub(super) const HISTORY: usize = 252;
pub(super) const BARS: usize = 7;
pub(super) const DAILY_STD: f64 = 0.012;
/// Overnight share of a day's variance; the bars share the rest.
const NIGHT: f64 = 0.2;
const U_SHAPE: [f64; BARS] = [2.0, 1.0, 0.7, 0.6, 0.7, 1.0, 1.5];
/// Fraction of the shocks' variance that both stocks share.
const COMMON: f64 = 0.4;

/// `[time][stock]`; entry 0 is the bar before the first.
pub(super) struct Prices {
    pub(super) open: Vec<[f64; STOCKS]>,
    pub(super) close: Vec<[f64; STOCKS]>,
    /// -1 or 1, known at a bar's close: the sign of the edge in the next bar.
    pub(super) signal: Vec<[f64; STOCKS]>,
    /// Sum of the closes before.
    pub(super) sum: Vec<[f64; STOCKS]>,
    /// `[day]`: the highest close of a day among the last [`HISTORY`] days.
    pub(super) peak: Vec<[f64; STOCKS]>,
}

/// A market with a `drift` per year and a signal. A strategy that follows the signal with half of
/// its equity in each stock has a Sharpe ratio of `edge` before costs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Market {
    pub(super) drift: f64,
    pub(super) edge: f64,
    /// Sharpe ratio before costs of who is long in the first three bars of a day and short after.
    pub(super) clock: f64,
    /// Whether falls raise the variance more than rises do.
    pub(super) leverage: bool,
    /// How the signal goes.
    pub(super) course: Course,
}

/// The course of the signal.
#[derive(Clone, Copy, Debug)]
pub(super) enum Course {
    /// Turns with this probability per bar.
    Turns(f64),
    /// Up below the mean of this many closes, down above.
    Below(usize),
}

impl Market {
    pub(super) const NONE: Market =
        Market { drift: 0.0, edge: 0.0, clock: 0.0, leverage: false, course: Course::Turns(0.05) };

    pub(super) fn draw(self, rng: &mut ChaCha8Rng) -> Prices {
        let year = DAYS_PER_YEAR;
        let drift = self.drift / (year * BARS as f64);
        let per_bar = DAILY_STD / (2.0 * year).sqrt() / BARS as f64;
        let (edge, clock) = (self.edge * per_bar, self.clock * per_bar);
        let shape: f64 = U_SHAPE.iter().sum();
        let mut last = [100.0; STOCKS];
        let mut signal = [1.0, -1.0];
        let mut prices = Prices::start(last, signal);
        let mut variance = DAILY_STD * DAILY_STD;
        for _ in 0..HISTORY + DAYS {
            let mut day = 0.0;
            for bar in 0..BARS {
                let night = if bar == 0 { NIGHT } else { 0.0 };
                let gap = shocks(variance * night, rng);
                let within = shocks(variance * (1.0 - NIGHT) * U_SHAPE[bar] / shape, rng);
                let (mut open, mut close) = (last, last);
                for stock in 0..STOCKS {
                    open[stock] *= 1.0 + gap[stock];
                    let expected = drift + edge * signal[stock] + clock * side_by_clock(bar);
                    close[stock] = open[stock] * (1.0 + within[stock] + expected);
                    day += (gap[stock] + within[stock]) / STOCKS as f64;
                    if matches!(self.course, Course::Turns(turns) if rng.random::<f64>() < turns) {
                        signal[stock] = -signal[stock];
                    }
                }
                prices.push(open, close, signal);
                if let Course::Below(bars) = self.course {
                    let t = prices.close.len() - 1;
                    let bars = bars.min(t + 1);
                    signal = [0, 1].map(|stock| {
                        if close[stock] < prices.mean(t, bars, stock) { 1.0 } else { -1.0 }
                    });
                    prices.signal[t] = signal;
                }
                last = close;
            }
            variance = self.next_variance(variance, day);
        }
        prices
    }

    /// Of a day after one with this variance and mean shock of the stocks. The leverage effect is
    /// that of Glosten, Jagannathan and Runkle (1993), Journal of Finance 48(5), with coefficients
    /// as of share indices. Persistence and mean are the same with and without it.
    fn next_variance(self, variance: f64, day: f64) -> f64 {
        // Variance of the mean of two stocks relative to that of one.
        let square = day * day / (COMMON + (1.0 - COMMON) / STOCKS as f64);
        let (shock, memory) = match (self.leverage, day < 0.0) {
            (false, _) => (0.08, 0.9),
            (true, false) => (0.05, 0.88),
            (true, true) => (0.15, 0.88),
        };
        0.02 * DAILY_STD * DAILY_STD + shock * square + memory * variance
    }
}

impl Prices {
    fn start(close: [f64; STOCKS], signal: [f64; STOCKS]) -> Prices {
        Prices {
            open: vec![close],
            close: vec![close],
            signal: vec![signal],
            sum: vec![[0.0; STOCKS]],
            peak: vec![close],
        }
    }

    fn push(&mut self, open: [f64; STOCKS], close: [f64; STOCKS], signal: [f64; STOCKS]) {
        let t = self.close.len();
        let (last, sum) = (self.close[t - 1], self.sum[t - 1]);
        self.sum.push([0, 1].map(|stock| sum[stock] + last[stock]));
        self.open.push(open);
        self.close.push(close);
        self.signal.push(signal);
        if t.is_multiple_of(BARS) {
            let days = t / BARS;
            let recent = (days.saturating_sub(HISTORY - 1)..=days).map(|day| day * BARS);
            let peak = |stock| recent.clone().map(|t| self.close[t][stock]).fold(0.0, f64::max);
            self.peak.push([0, 1].map(peak));
        }
    }

    /// Mean of the last `bars` closes.
    pub(super) fn mean(&self, t: usize, bars: usize, stock: usize) -> f64 {
        let sum = self.sum[t][stock] + self.close[t][stock] - self.sum[t + 1 - bars][stock];
        sum / bars as f64
    }
}

pub(super) fn side_by_clock(bar: usize) -> f64 {
    if bar < 3 { 1.0 } else { -1.0 }
}

fn shocks(variance: f64, rng: &mut ChaCha8Rng) -> [f64; STOCKS] {
    let common = student(rng) * (COMMON * variance).sqrt();
    [(); STOCKS].map(|()| common + student(rng) * ((1.0 - COMMON) * variance).sqrt())
}

/// Student's t with 5 degrees of freedom, scaled to variance 1. Bailey (1994), "Polar generation of
/// random variates with the t-distribution", Mathematics of Computation 62, eq. 1.
fn student(rng: &mut ChaCha8Rng) -> f64 {
    let (radius, angle): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    let length = (5.0 * (radius.powf(-0.4) - 1.0)).sqrt();
    length * (2.0 * std::f64::consts::PI * angle).cos() * 0.6_f64.sqrt()
}
