use super::*;
use crate::market::bar::Bar;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn series(symbol: &str, times: &[i64]) -> BarSeries {
    let mut series = BarSeries::new(symbol.parse().unwrap());
    for &end_s in times {
        series.push(Bar { end_s, open: 1.0, high: 1.0, low: 1.0, close: 1.0, volume: 1.0 });
    }
    series
}

pub(super) fn random_panel(rows: usize, stocks: usize, features: usize) -> PanelData {
    let mut rng = ChaCha8Rng::seed_from_u64(rows as u64);
    let mut price = |_| rng.random_range(1.0..500.0);
    let cells = rows * stocks;
    let mut data = PanelData {
        stocks: (0..stocks).map(|i| format!("S{i}").parse().unwrap()).collect(),
        feature_names: (0..features).map(|i| format!("feature {i}")).collect(),
        end_s: (0..rows as i64).map(|i| 1_600_000_000 + 60 * i).collect(),
        open: (0..cells).map(&mut price).collect(),
        high: (0..cells).map(&mut price).collect(),
        low: (0..cells).map(&mut price).collect(),
        close: (0..cells).map(&mut price).collect(),
        volume: (0..cells).map(&mut price).collect(),
        tradable: vec![],
        features: vec![],
        note: "{\"said\": \"ümlaut, \\\"quotes\\\"\"}".into(),
    };
    data.tradable = (0..cells).map(|_| rng.random_bool(0.9)).collect();
    data.features = (0..cells * features).map(|_| rng.random_range(-5.0..5.0)).collect();
    data
}

fn written(data: &PanelData) -> (tempfile::TempDir, Panel) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("panel.arrow");
    Panel::write(&path, data).unwrap();
    let panel = Panel::open(&path).unwrap();
    (folder, panel)
}

fn assert_holds(panel: &Panel, data: &PanelData) {
    let (stocks, count) = (data.stocks.len(), data.feature_names.len());
    assert_eq!(panel.rows(), data.end_s.len());
    assert_eq!(panel.stocks(), data.stocks);
    assert_eq!(panel.feature_names(), data.feature_names);
    assert_eq!(panel.note(), data.note);
    for t in 0..panel.rows() {
        let view = panel.view(t);
        assert_eq!(view.end_s(), data.end_s[t]);
        assert_eq!(view.all_features(), &data.features[t * stocks * count..][..stocks * count]);
        for stock in 0..stocks {
            let i = t * stocks + stock;
            let bar = view.bar(stock);
            let found = [bar.open, bar.high, bar.low, bar.close, bar.volume];
            let held = [data.open[i], data.high[i], data.low[i], data.close[i], data.volume[i]];
            assert_eq!(found.map(f64::to_bits), held.map(f64::to_bits));
            assert_eq!(bar.tradable, data.tradable[i]);
            assert_eq!(view.features(stock), &data.features[i * count..][..count]);
        }
    }
}

#[test]
fn the_grid_is_the_union_of_the_bar_times() {
    let grid = align(&[series("A", &[10, 20, 40]), series("B", &[]), series("C", &[5, 20, 30])]);
    assert_eq!(grid.end_s, [5, 10, 20, 30, 40]);
    assert_eq!(grid.bar_index[0], [NO_BAR, 0, 1, NO_BAR, 2]);
    assert_eq!(grid.bar_index[1], [NO_BAR; 5]);
    assert_eq!(grid.bar_index[2], [0, NO_BAR, 1, 2, NO_BAR]);
    assert_eq!(align(&[]), Grid { end_s: vec![], bar_index: vec![] });
}

#[test]
#[should_panic(expected = "bar times must increase")]
fn a_series_out_of_order_is_no_grid() {
    align(&[series("A", &[10, 10])]);
}

#[test]
fn a_panel_comes_back_bit_for_bit() {
    // 20,000 rows of these widths take several record batches, the last one short.
    for (rows, stocks, features) in [(0, 1, 1), (1, 1, 1), (20_000, 5, 32), (300, 17, 3)] {
        let mut data = random_panel(rows, stocks, features);
        if let Some(first) = data.open.first_mut() {
            *first = f64::NAN;
        }
        let (_folder, panel) = written(&data);
        assert_holds(&panel, &data);
    }
}

#[test]
fn a_view_reaches_no_row_after_its_own() {
    let mut data = random_panel(50, 3, 4);
    for t in 0..50 {
        for stock in 0..3 {
            data.close[t * 3 + stock] = t as f64;
            data.features[(t * 3 + stock) * 4..][..4].fill(t as f32);
        }
    }
    let (_folder, panel) = written(&data);
    for t in 0..50 {
        let view = panel.view(t);
        for bars in 0..60 {
            let Some(earlier) = view.back(bars) else {
                assert!(bars > t);
                continue;
            };
            assert_eq!(earlier.t(), t - bars);
            assert!(earlier.end_s() <= view.end_s());
            assert!((0..3).all(|stock| earlier.bar(stock).close <= t as f64));
            assert_eq!(earlier.all_features().len(), 3 * 4);
            assert!(earlier.all_features().iter().all(|&x| x <= t as f32));
        }
        assert!(view.back(usize::MAX).is_none());
    }
}

#[test]
#[should_panic(expected = "stock 3 of 3")]
fn a_stock_out_of_range_is_not_the_next_row() {
    let (_folder, panel) = written(&random_panel(50, 3, 4));
    panel.view(4).bar(3);
}

#[test]
fn gathering_equals_reading_one_by_one() {
    let (_folder, panel) = written(&random_panel(9_000, 5, 32));
    let rows = [8_999, 0, 17, 17, 4_096];
    let mut gathered = vec![1.0; 3];
    for stocks in [&[0, 1, 2, 3, 4][..], &[3], &[4, 0, 2], &[0, 1]] {
        panel.gather_features(&rows, stocks, &mut gathered);
        let mut expected = Vec::new();
        for &row in &rows {
            for &stock in stocks {
                expected.extend_from_slice(panel.view(row as usize).features(stock));
            }
        }
        assert_eq!(gathered, expected);
    }
}

#[test]
fn a_panel_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Panel>();
    shared::<MarketView<'_>>();
}
