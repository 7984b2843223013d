//! Streaming scaled features: what [`super::pipeline`] computes for a whole series, row by row,
//! equal to the last bit. Work and memory per bar are constant.

use std::ops::Range;

use super::pipeline::{Scaler, StockFeatures, feature_names, optional, scale_features, signed};
use super::relations::opportunity::{PairMonitor, closest_pairs};
use crate::config::FeatureConfig;
use crate::market::Bar;
use crate::market::panel::PanelBar;

/// A watched pair, whose z-score is a feature.
struct WatchedPair {
    first: usize,
    second: usize,
    watch: PairMonitor,
    /// z-score of the spread of `first` over `second` at the last bar that both had.
    z_score: f32,
}

/// The current row of a panel.
pub(crate) struct FeatureStream {
    scaler: Scaler,
    clip_std: f32,
    /// Features that need not be defined.
    optional: Range<usize>,
    stocks: Vec<StockFeatures>,
    pairs: Vec<WatchedPair>,
    /// `[stock]`: index of its pair in `pairs`.
    pair_of: Vec<Option<usize>>,
    /// `[stock]`: last known log close; NaN before the first bar.
    log_close: Vec<f64>,
    bars: Vec<PanelBar>,
    /// `[stock, feature]`, scaled.
    features: Vec<f32>,
}

/// Panel entry of a stock before its first bar.
const NO_BAR_YET: PanelBar = PanelBar {
    open: f64::NAN,
    high: f64::NAN,
    low: f64::NAN,
    close: f64::NAN,
    volume: 0.0,
    tradable: false,
};

impl FeatureStream {
    /// `peers[i]` are the peers of stock i, nearest first.
    pub(crate) fn new(
        config: &FeatureConfig,
        scaler: Scaler,
        peers: &[Vec<usize>],
    ) -> FeatureStream {
        let width = feature_names(config).len();
        assert_eq!(scaler.mean.len(), peers.len() * width, "a scaler of these stocks");
        let pairs = if config.peers { closest_pairs(peers) } else { Vec::new() };
        let watched = |&(first, second): &(usize, usize)| {
            let watch = PairMonitor::from_config(config, pairs.len());
            WatchedPair { first, second, watch, z_score: 0.0 }
        };
        let pair_of = |(stock, peers): (usize, &Vec<usize>)| {
            let &peer = peers.first()?;
            pairs.iter().position(|&pair| pair == (stock.min(peer), stock.max(peer)))
        };
        let of = |(stock, peers): (usize, &Vec<usize>)| StockFeatures::new(stock, peers, config);
        FeatureStream {
            clip_std: config.clip_std,
            optional: optional(config),
            stocks: peers.iter().enumerate().map(of).collect(),
            pairs: pairs.iter().map(watched).collect(),
            pair_of: peers.iter().enumerate().map(pair_of).collect(),
            log_close: vec![f64::NAN; peers.len()],
            bars: vec![NO_BAR_YET; peers.len()],
            features: vec![0.0; peers.len() * width],
            scaler,
        }
    }

    /// Takes in the bars of one time, one entry per stock; None where a stock has no bar. `extras`
    /// `[stock, column]`: further columns of the bars; NaN where unknown.
    pub(crate) fn update(&mut self, bars: &[Option<Bar>], extras: &[f32]) {
        assert_eq!(bars.len(), self.stocks.len(), "one entry per stock");
        let width = extras.len() / bars.len();
        for (stock, bar) in bars.iter().enumerate() {
            if let Some(bar) = bar {
                self.log_close[stock] = bar.close.ln();
            }
        }
        for pair in &mut self.pairs {
            if bars[pair.first].is_some() && bars[pair.second].is_some() {
                let logs = (self.log_close[pair.first], self.log_close[pair.second]);
                pair.z_score = pair.watch.update(logs.0, logs.1).0 as f32;
            }
        }
        for (stock, bar) in bars.iter().enumerate() {
            if let Some(bar) = bar {
                let pair = self.pair_of[stock].map(|place| &self.pairs[place]);
                let pair_z = pair.map_or(0.0, |pair| signed(pair.z_score, pair.first == stock));
                let extras = &extras[stock * width..][..width];
                let log_close = |stock: usize| self.log_close[stock];
                self.stocks[stock].update_one(bar, extras, log_close, pair_z);
            }
            self.write(stock, bar.as_ref());
        }
    }

    fn write(&mut self, stock: usize, bar: Option<&Bar>) {
        let raw = self.stocks[stock].latest();
        let slots = stock * raw.len()..(stock + 1) * raw.len();
        let features = &mut self.features[slots.clone()];
        features.copy_from_slice(raw);
        let (mean, std) = (&self.scaler.mean[slots.clone()], &self.scaler.std[slots]);
        let settled = scale_features(features, mean, std, self.clip_std, &self.optional);
        self.bars[stock] = match bar {
            Some(&Bar { open, high, low, close, volume, .. }) => {
                PanelBar { open, high, low, close, volume, tradable: settled }
            }
            None => {
                let close = self.bars[stock].close;
                let (open, high, low) = (close, close, close);
                PanelBar { open, high, low, close, volume: 0.0, tradable: false }
            }
        };
    }

    /// `[stock, feature]`, scaled.
    pub(crate) fn features(&self) -> &[f32] {
        &self.features
    }

    /// `[stock]`.
    pub(crate) fn bars(&self) -> &[PanelBar] {
        &self.bars
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::fixtures::{Noise, grid_of, panel_of, random_market, with_extras};
    use crate::features::pipeline::raw_features;
    use crate::market::panel::NO_BAR;

    /// Compares every row, for markets with gaps and a stock that starts late, with and without
    /// peers.
    #[test]
    fn one_bar_at_a_time_is_the_whole_panel_bit_for_bit() {
        let small = FeatureConfig {
            return_bars: vec![1, 7, 3],
            volatility_bars: vec![12, 5],
            autocorrelation_bars: vec![6],
            return_sessions: Some(vec![3, 1]),
            volatility_sessions: vec![2, 4],
            rsi_sessions: vec![3, 5],
            relation_bars: 10,
            volume_bars: 8,
            volume_mean_bars: vec![1, 3],
            arbitrage_bars: 30,
            // Every pair with a positive hedge ratio passes.
            arbitrage_level: 10.0,
            ..FeatureConfig::default()
        };
        let mut diverged = 0;
        for (seed, peers) in (0..).zip([0, 1, 3, 2]) {
            let columns = (0..seed % 3).map(|i| format!("c{i}")).collect();
            let config = FeatureConfig { peers: seed != 3, columns, ..small.clone() };
            let mut series = random_market(seed, 4, 400, 13, 0.1);
            series[2].drop_first(90);
            for series in &mut series {
                *series = with_extras(series, &config.columns, &mut Noise::new(seed));
            }
            let grid = grid_of(&series);
            let ring = |i: usize| (1..=peers).map(|k| (i + k) % 4).collect();
            let peers: Vec<Vec<usize>> = (0..4).map(ring).collect();
            let (raw, _) = raw_features(&series, &grid, &peers, &config);
            let scaler = Scaler::fit(&raw, &series, &grid, 100..300, 1.0);
            let whole = panel_of(&series, &grid, raw, &scaler, &config);
            let mut stream = FeatureStream::new(&config, scaler, &peers);
            let width = whole.features.len() / grid.end_s.len();
            for row in 0..grid.end_s.len() {
                let bar = |stock: usize| match grid.bar_index[stock][row] {
                    NO_BAR => None,
                    bar => Some(series[stock].bar(bar as usize)),
                };
                let extra = |stock: usize| match grid.bar_index[stock][row] {
                    NO_BAR => vec![f32::NAN; config.columns.len()],
                    bar => series[stock].extra(bar as usize).to_vec(),
                };
                let extras: Vec<f32> = (0..4).flat_map(extra).collect();
                stream.update(&(0..4).map(bar).collect::<Vec<_>>(), &extras);
                let expected = &whole.features[row * width..(row + 1) * width];
                let bits = |row: &[f32]| row.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(stream.features()), bits(expected), "seed {seed}, row {row}");
                for (stock, found) in stream.bars().iter().enumerate() {
                    let i = row * 4 + stock;
                    let numbers = |bar: [f64; 5]| bar.map(f64::to_bits);
                    let PanelBar { open, high, low, close, volume, tradable } = *found;
                    let w = &whole;
                    let expected = [w.open[i], w.high[i], w.low[i], w.close[i], w.volume[i]];
                    assert_eq!(numbers([open, high, low, close, volume]), numbers(expected));
                    assert_eq!(tradable, w.tradable[i], "seed {seed}, row {row}, stock {stock}");
                }
                diverged += stream.pairs.iter().filter(|pair| pair.z_score != 0.0).count();
            }
        }
        assert!(diverged > 100, "pairs were out of line at {diverged} times");
    }
}
