use super::*;
use crate::features::fixtures::{Noise, grid_of, panel_of, random_market, table_of, with_extras};
use crate::features::relations::Relations;
use crate::market::Bar;

fn small() -> FeatureConfig {
    FeatureConfig {
        return_bars: vec![1, 2, 5],
        volatility_bars: vec![3, 12],
        autocorrelation_bars: vec![30],
        macd_fast_bars: 3,
        macd_slow_bars: 6,
        macd_signal_bars: 3,
        bollinger_bars: 5,
        rsi_bars: 4,
        volume_bars: 6,
        volume_mean_bars: vec![1, 3],
        return_sessions: Some(vec![1, 3]),
        volatility_sessions: vec![2, 4],
        rsi_sessions: vec![3],
        relation_bars: 10,
        arbitrage_bars: 30,
        arbitrage_level: 0.5,
        ..FeatureConfig::default()
    }
}

fn ring_of_peers(stocks: usize, count: usize) -> Vec<Vec<usize>> {
    (0..stocks).map(|i| (1..=count).map(|k| (i + k) % stocks).collect()).collect()
}

/// The same market up to `until_s`, then with other prices, and bars removed and added.
fn other_future(series: &[BarSeries], until_s: i64, noise: &mut Noise) -> Vec<BarSeries> {
    let mut other = Vec::new();
    for series in series {
        let mut changed = BarSeries::new(series.symbol.clone());
        for mut bar in series.bars() {
            if bar.end_s > until_s {
                if noise.uniform() < 0.3 {
                    continue;
                }
                let factor = (0.3 * noise.normal()).exp();
                (bar.open, bar.close) = (bar.open * factor, bar.close / factor);
                (bar.high, bar.low) = (bar.open.max(bar.close), bar.open.min(bar.close));
                bar.volume *= factor;
                if noise.uniform() < 0.3 {
                    changed.push(Bar { end_s: bar.end_s - 7, ..bar });
                }
            }
            changed.push(bar);
        }
        other.push(changed);
    }
    other
}

#[test]
fn nothing_after_a_row_changes_it() {
    let mut noise = Noise::new(11);
    for seed in 0..20 {
        let (stocks, bars) = (4, 300);
        let per_day = if seed % 2 == 0 { 6 } else { 39 };
        let series = random_market(seed, stocks, bars, per_day, 0.15);
        let grid = grid_of(&series);
        let peers = ring_of_peers(stocks, seed as usize % 4);
        let raw = table_of(&raw_features(&series, &grid, &peers, &small()).0, &grid);
        let t = (noise.uniform() * grid.end_s.len() as f64) as usize;
        let other = other_future(&series, grid.end_s[t], &mut noise);
        let other_grid = grid_of(&other);
        let other_raw = raw_features(&other, &other_grid, &peers, &small()).0;
        let other_raw = table_of(&other_raw, &other_grid);
        let known = (t + 1) * stocks * feature_names(&small()).len();
        let bits = |raw: &[f32]| raw[..known].iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&raw), bits(&other_raw), "seed {seed}, row {t}");
        assert!(t + 1 == grid.end_s.len() || raw.len() != other_raw.len() || raw != other_raw);
    }
}

/// Hourly bars, seven a day, default windows: all features are defined once the longest window is
/// full.
#[test]
fn hourly_bars_are_defined_and_finite_after_the_longest_window() {
    let config = FeatureConfig::default();
    let series = random_market(2, 3, 700, 7, 0.0);
    let grid = grid_of(&series);
    let peers = Relations::measure(&series, &grid, 0..700).nearest_peers(2);
    let raw = table_of(&raw_features(&series, &grid, &peers, &config).0, &grid);
    let names = feature_names(&config);
    let row = |t: usize| &raw[t * 3 * names.len()..(t + 1) * 3 * names.len()];
    for (i, value) in row(238).iter().enumerate() {
        let name = &names[i % names.len()];
        let is_longest = name.starts_with("volatility_") || name.starts_with("volume_");
        assert_eq!(value.is_nan(), is_longest, "{name}");
    }
    assert!((239..700).all(|t| row(t).iter().all(|value| value.is_finite())));
    // These random walks are not cointegrated.
    let moving = names.iter().enumerate().filter(|(_, name)| *name != "arbitrage");
    for (i, name) in moving {
        let distinct = (239..699).filter(|&t| row(t)[i] != row(t + 1)[i]).count();
        assert!(distinct > 50, "{name} hardly changes");
    }
}

/// Two stocks that share a random walk, and an independent one.
#[test]
fn a_cointegrated_pair_is_dear_and_cheap_in_opposite_features() {
    let mut noise = Noise::new(5);
    let symbol = |i: usize| format!("S{i}").parse().unwrap();
    let mut series: Vec<BarSeries> = (0..3).map(|i| BarSeries::new(symbol(i))).collect();
    let (mut common, mut alone) = (4.0, 4.0);
    for t in 0..600 {
        common += 1e-3 * noise.normal();
        alone += 1e-3 * noise.normal();
        let logs = [common + 5e-4 * noise.normal(), common + 5e-4 * noise.normal(), alone];
        for (series, log) in series.iter_mut().zip(logs) {
            let price = f64::exp(log);
            let (open, high, low, close) = (price, price, price, price);
            let end_s = 60 * t;
            series.push(Bar { end_s, open, high, low, close, volume: 1.0 });
        }
    }
    let grid = grid_of(&series);
    let config = FeatureConfig { arbitrage_bars: 200, arbitrage_level: 0.02, ..small() };
    let peers = [vec![1, 2], vec![0, 2], vec![0, 1]];
    let (raw, watch) = raw_features(&series, &grid, &peers, &config);
    let found = watch.opportunities;
    let raw = table_of(&raw, &grid);
    let names = feature_names(&config);
    let arbitrage = |t: usize, stock: usize| raw[(t * 3 + stock) * names.len() + names.len() - 1];
    assert_eq!(names.last().unwrap(), "arbitrage");
    for t in 0..600 {
        assert_eq!(arbitrage(t, 0) != 0.0, t >= 200, "row {t}");
        assert_eq!(arbitrage(t, 0), -arbitrage(t, 1), "row {t}");
        assert_eq!(arbitrage(t, 2), 0.0, "row {t}");
    }
    assert!(!found.is_empty() && found.is_sorted_by_key(|found| found.end_s));
    for found in &found {
        assert_eq!((found.stock, found.peer), (0, 1));
        let row = (found.end_s / 60) as usize;
        assert_eq!(arbitrage(row, 0), found.z_score as f32);
    }
    let without = FeatureConfig { peers: false, ..config };
    assert!(raw_features(&series, &grid, &peers, &without).1.opportunities.is_empty());
}

#[test]
fn rows_without_a_bar_repeat_the_last() {
    let series = random_market(4, 2, 200, 39, 0.3);
    let grid = grid_of(&series);
    let raw = table_of(&raw_features(&series, &grid, &ring_of_peers(2, 1), &small()).0, &grid);
    let width = feature_names(&small()).len();
    let slot = |t: usize, stock: usize| -> Vec<u32> {
        raw[(t * 2 + stock) * width..][..width].iter().map(|x| x.to_bits()).collect()
    };
    let mut repeated = 0;
    for t in 1..grid.end_s.len() {
        for stock in 0..2 {
            let same = slot(t, stock) == slot(t - 1, stock);
            assert_eq!(same, grid.bar_index[stock][t] == NO_BAR, "row {t}, stock {stock}");
            repeated += usize::from(same);
        }
    }
    assert!(repeated > 50);
}

#[test]
fn a_panel_is_scaled_clipped_and_carried_forward() {
    let columns = vec!["vix".to_string()];
    let config = FeatureConfig { clip_std: 2.0, columns: columns.clone(), ..small() };
    let mut series = random_market(7, 2, 400, 39, 0.2);
    // The second stock has a later first bar.
    series[1].drop_first(60);
    let first = series[1].bar(0);
    // Half of its values are unknown, and the first 50 of the first stock.
    let mut noise = Noise::new(8);
    series.iter_mut().for_each(|one| *one = with_extras(one, &columns, &mut noise));
    series[0].extras[..50].fill(f32::NAN);
    let grid = grid_of(&series);
    let times = grid.end_s.len();
    let (raw, _) = raw_features(&series, &grid, &ring_of_peers(2, 1), &config);
    let scaler = Scaler::fit(&raw, &series, &grid, 0..200, 1.0);
    let data = panel_of(&series, &grid, raw.clone(), &scaler, &config);
    assert_eq!((data.end_s.len(), data.note.as_str()), (times, "note"));

    let width = data.feature_names.len();
    let raw = table_of(&raw, &grid);
    let mut clipped = 0;
    for (i, (&scaled, &raw)) in data.features.iter().zip(&raw).enumerate() {
        let column = i % (2 * width);
        let expected = (raw - scaler.mean[column]) / scaler.std[column];
        clipped += usize::from(expected.abs() > 2.0);
        assert_eq!(scaled, if raw.is_nan() { 0.0 } else { expected.clamp(-2.0, 2.0) });
    }
    assert!(clipped > 100);
    let mut close = [f64::NAN; 2];
    for (t, stock) in (0..times).flat_map(|t| [(t, 0), (t, 1)]) {
        let i = t * 2 + stock;
        // A stock is traded in its first session, without a session before it.
        let needed = |(i, x): (usize, &f32)| x.is_finite() || optional(&config).contains(&i);
        let defined = raw[i * width..(i + 1) * width].iter().enumerate().all(needed);
        let bar = grid.bar_index[stock][t];
        assert_eq!(data.tradable[i], bar != NO_BAR && defined);
        let found = [data.open[i], data.high[i], data.low[i], data.close[i], data.volume[i]];
        if bar == NO_BAR {
            let carried = [close[stock]; 4];
            assert_eq!(
                found[..4].iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
                carried.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
            );
            assert_eq!(found[4], 0.0);
        } else {
            let bar = series[stock].bar(bar as usize);
            assert_eq!(found, [bar.open, bar.high, bar.low, bar.close, bar.volume]);
            close[stock] = bar.close;
        }
    }
    let start = grid.end_s.iter().position(|&end_s| end_s == first.end_s).unwrap();
    assert!(start > 0 && data.close[(start - 1) * 2 + 1].is_nan());
    // Of a further column: 0 before the first value, then the last known one.
    let vix = data.feature_names.iter().position(|name| name == "column_vix").unwrap();
    let of_first = |t: usize| data.features[t * 2 * width + vix];
    let mut known = f32::NAN;
    let (mut before, mut carried) = (0, 0);
    for t in 0..times {
        let bar = grid.bar_index[0][t];
        let value = series[0].extras.get(bar as usize).copied().unwrap_or(f32::NAN);
        carried += usize::from(value.is_nan() && !known.is_nan());
        known = if value.is_nan() { known } else { value };
        let scaled = ((known - scaler.mean[vix]) / scaler.std[vix]).clamp(-2.0, 2.0);
        assert_eq!(of_first(t), if known.is_nan() { 0.0 } else { scaled }, "row {t}");
        before += usize::from(known.is_nan() && data.tradable[t * 2]);
    }
    assert!(before > 10 && carried > 100, "{before} {carried}");
    assert_eq!(scaler.columns, columns);
    assert!(data.tradable.iter().filter(|&&tradable| tradable).count() > times);
}

#[test]
fn an_empty_market_has_no_features() {
    let grid = grid_of(&[]);
    let (columns, watch) = raw_features(&[], &grid, &[], &small());
    let opportunities = watch.opportunities;
    assert!(columns.stocks.is_empty() && opportunities.is_empty());
    let scaler = Scaler::fit(&columns, &[], &grid, 0..0, 1.0);
    assert!(panel_of(&[], &grid, columns, &scaler, &small()).end_s.is_empty());
}

/// What the formulas make of one market: per feature, the mean over its rows of value times a
/// weight that differs from row to row.
const KNOWN: [(&str, f64); 25] = [
    ("return_1", -0.034099966),
    ("return_2", -0.028604975),
    ("return_5", -0.046824868),
    ("rsi", -0.058281571),
    ("macd", -0.016160868),
    ("bollinger", -0.038922616),
    ("volatility_3", 0.004204088),
    ("volatility_12", -0.009758083),
    ("autocorrelation_30", -0.000034402),
    ("volume_1", -0.010648433),
    ("volume_3", -0.004601893),
    ("gap", -0.002124021),
    ("time_sin", 0.026860156),
    ("time_cos", 0.017920236),
    ("session_return_1", -0.058039256),
    ("session_return_3", -0.022362814),
    ("session_volatility_2", 0.016735902),
    ("session_volatility_4", -0.045655748),
    ("session_rsi_3", -0.087592748),
    ("peers_return_1", -0.013374513),
    ("peers_return_5", -0.040910228),
    ("residual_return", -0.027965035),
    ("peers_correlation", 0.038505161),
    ("spread", -0.011971408),
    ("arbitrage", -0.022374411),
];

/// Panels in the cache are named by the features' names and [`FORMULAS`]: a formula that changes
/// without either would find its old columns there.
#[test]
fn a_formula_that_changes_has_to_raise_its_version() {
    let series = random_market(23, 3, 1_200, 39, 0.1);
    let grid = grid_of(&series);
    let peers = ring_of_peers(3, 2);
    let config = small();
    let (mut columns, _) = raw_features(&series, &grid, &peers, &config);
    let scaler = Scaler::fit(&columns, &series, &grid, 100..grid.end_s.len(), 1.0);
    columns.scale(&scaler.mean, &scaler.std, config.clip_std);
    let rows = panel_rows(&series, &grid, &columns, 0..grid.end_s.len());
    let names = feature_names(&config);
    let weight = |cell: usize| 1.0 + (cell % 97) as f64 / 97.0;
    let mean = |feature: usize| {
        let values = rows.features.iter().skip(feature).step_by(names.len());
        let weighted = values.enumerate().map(|(cell, &x)| weight(cell) * f64::from(x));
        weighted.sum::<f64>() * names.len() as f64 / rows.features.len() as f64
    };
    let found: Vec<(String, f64)> =
        names.iter().enumerate().map(|(i, name)| (name.clone(), mean(i))).collect();
    let is_known = |((name, found), (known_name, known)): (&(String, f64), &(&str, f64))| {
        name == known_name && (found - known).abs() < 1e-5
    };
    assert!(
        found.len() == KNOWN.len() && found.iter().zip(&KNOWN).all(is_known),
        "a feature is new, or a formula changed; for the latter raise FORMULAS. KNOWN is now: \
         {found:#?}"
    );
}
