use super::*;
use crate::comm::local::LocalComm;
use crate::market::calendar::Calendar;
use crate::market::options::{BarLabel, LabelOrigin, OutlierRule};
use crate::synthetic::SyntheticMarket;

#[test]
fn rows_begin_where_the_first_stock_is_settled() {
    assert_eq!(settled_rows(|row| row >= 1, 0..4), Some(1..4));
    assert_eq!(settled_rows(|row| row >= 1, 2..4), None);
    assert_eq!(settled_rows(|_| false, 0..4), None);
}

fn two_months() -> Period {
    Period { start: "2019-01-02".parse().unwrap(), end: "2019-02-28".parse().unwrap() }
}

/// A plan over two stocks of a planted market, in bars of 30 minutes.
fn with_plan(cache: &Path, test: impl FnOnce(&DataPlan<'_>)) {
    let stocks = ["A", "B"].map(|name| name.parse().unwrap());
    let features = FeatureConfig {
        return_bars: vec![1, 3],
        volatility_bars: vec![10],
        relation_bars: 25,
        arbitrage_bars: 60,
        volume_bars: 20,
        volume_mean_bars: vec![1, 3],
        warmup_bars: 60,
        ..FeatureConfig::default()
    };
    test(&DataPlan {
        comm: &LocalComm,
        stocks: &stocks,
        features: &features,
        risk_sessions: 20,
        max_peers: 8,
        source: &DataSource::Synthetic(SyntheticMarket::parse("momentum").unwrap()),
        options: LoadOptions {
            bar_minutes: Some(30),
            bar_label: BarLabel::Auto,
            label_origin: LabelOrigin::default(),
            calendar: Calendar::Nyse,
            extended_hours: false,
            strict: false,
            clean: OutlierRule::Off,
            columns: Vec::new(),
            cache_dir: None,
        },
        cache,
    });
}

fn trained(plan: &DataPlan<'_>) -> PreparedData {
    plan.train(two_months(), &mut |_, _, _| {}).unwrap()
}

#[test]
fn another_list_of_features_is_another_panel() {
    let cache = tempfile::tempdir().unwrap();
    with_plan(cache.path(), |plan| {
        let period = two_months();
        let now = plan.digested(&period, &period, None, &[]);
        assert_eq!(now.feature_names, feature_names(plan.features));
        let mut before = now.clone();
        before.feature_names.pop();
        let mut in_another_order = now.clone();
        in_another_order.feature_names.swap(0, 1);
        let other_formulas = Digested { formulas: FORMULAS + 1, ..now.clone() };
        for other in [&before, &in_another_order, &other_formulas] {
            assert_ne!(file_name(other).unwrap(), file_name(&now).unwrap());
        }

        // The panel of the program before it had its newest feature is not looked at.
        let first = trained(plan);
        assert!(!first.from_cache && trained(plan).from_cache);
        let gathered = plan.fingerprints(&period).unwrap();
        let path = plan.path(&period, &period, None, &gathered).unwrap();
        let mut before = plan.digested(&period, &period, None, &gathered);
        assert_eq!(path.file_name().unwrap().to_str(), Some(&*file_name(&before).unwrap()));
        before.feature_names.pop();
        let old = path.with_file_name(file_name(&before).unwrap());
        std::fs::rename(&path, &old).unwrap();
        assert!(!trained(plan).from_cache);
    });
}

#[test]
fn a_damaged_panel_is_made_again() {
    let cache = tempfile::tempdir().unwrap();
    with_plan(cache.path(), |plan| {
        let first = trained(plan);
        let path = cache.path().join(format!("panels/{}.arrow", first.digest));
        let whole = std::fs::read(&path).unwrap();
        let note = whole.windows(11).position(|bytes| bytes == b"bar_minutes").unwrap();
        for place in [whole.len() / 2, note + 14, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[place] ^= 4;
            std::fs::write(&path, &damaged).unwrap();
            let again = trained(plan);
            assert!(!again.from_cache, "byte {place}");
            assert_eq!((&again.note, &again.digest), (&first.note, &first.digest));
            assert!(std::fs::read(&path).unwrap() == whole, "byte {place}");
        }
        assert!(trained(plan).from_cache);
    });
}
