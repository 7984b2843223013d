//! How much returns vary within sessions, and whether they trend or revert.

use super::rolling::{Moments, Window};
use super::session_features::MIN_VOLATILITY;
use crate::config::FeatureConfig;

/// Streaming state of the volatilities and autocorrelations of one stock.
pub(super) struct SessionReturns {
    volatilities: Vec<Window<Moments>>,
    /// Index of the longest of them.
    longest: Option<usize>,
    autocorrelations: Vec<Autocorrelation>,
    /// Return of the last bar; 0 before the first.
    last: f64,
}

impl SessionReturns {
    pub(super) fn new(config: &FeatureConfig) -> SessionReturns {
        let lengths = &config.volatility_bars;
        let longest = lengths.iter().enumerate().max_by_key(|&(_, bars)| bars);
        SessionReturns {
            volatilities: lengths.iter().map(|&bars| Window::new(bars as usize)).collect(),
            longest: longest.map(|(place, _)| place),
            autocorrelations: config
                .autocorrelation_bars
                .iter()
                .map(Autocorrelation::new)
                .collect(),
            last: 0.0,
        }
    }

    /// Number of columns.
    pub(super) fn width(&self) -> usize {
        self.volatilities.len() + self.autocorrelations.len()
    }

    /// Takes in the next log returns, overnight gaps excluded, and writes the volatilities, then the
    /// autocorrelations; NaN until a window is full.
    pub(super) fn update(&mut self, returns: &[f64], out: &mut [&mut [f32]]) {
        let (volatilities, autocorrelations) = out.split_at_mut(self.volatilities.len());
        self.write_volatilities(returns, volatilities);
        let before = |&now: &f64| std::mem::replace(&mut self.last, now);
        let before: Vec<f64> = returns.iter().map(before).collect();
        for (out, state) in autocorrelations.iter_mut().zip(&mut self.autocorrelations) {
            state.update(returns, &before, out);
        }
    }

    fn write_volatilities(&mut self, returns: &[f64], out: &mut [&mut [f32]]) {
        let mut column = vec![0.0; returns.len()];
        for (out, window) in out.iter_mut().zip(&mut self.volatilities) {
            let level = |moments: Moments, _| [moments.root_mean_square().max(MIN_VOLATILITY)];
            window.run(returns, level, [&mut column]);
            for (slot, level) in out.iter_mut().zip(&column) {
                *slot = level.ln() as f32;
            }
        }
        let Some(longest) = self.longest else { return };
        let (before, rest) = out.split_at_mut(longest);
        let Some((longest, after)) = rest.split_first_mut() else { return };
        for out in before.iter_mut().chain(after) {
            for (slot, level) in out.iter_mut().zip(longest.iter()) {
                *slot -= level;
            }
        }
    }
}

struct Autocorrelation {
    /// Of a return with the one before.
    products: Window<Moments>,
    /// Means of the squares of both.
    squares: Window<Moments>,
}

impl Autocorrelation {
    fn new(&bars: &u32) -> Autocorrelation {
        let window = || Window::new(bars as usize);
        Autocorrelation { products: window(), squares: window() }
    }

    fn update(&mut self, returns: &[f64], before: &[f64], out: &mut [f32]) {
        let pairs = || returns.iter().zip(before);
        let products: Vec<f64> = pairs().map(|(now, before)| now * before).collect();
        let squares = pairs().map(|(now, before)| (now * now + before * before) / 2.0);
        let squares: Vec<f64> = squares.collect();
        let [mut product, mut square] = [(); 2].map(|()| vec![0.0; returns.len()]);
        self.products.run(&products, |moments, _| [moments.mean()], [&mut product]);
        self.squares.run(&squares, |moments, _| [moments.mean()], [&mut square]);
        for ((slot, product), square) in out.iter_mut().zip(product).zip(square) {
            // NaN stays NaN.
            *slot = (product / square.max(MIN_VOLATILITY * MIN_VOLATILITY)) as f32;
        }
    }
}
