use std::sync::Arc;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::config::{FeatureConfig, RunConfig};
use crate::features::fixtures::{Noise, panel_of, with_extras};
use crate::features::pipeline::{Scaler, raw_features};
use crate::features::relations::Relations;
use crate::market::panel::{NO_BAR, Panel, align};
use crate::market::{BarSeries, Period};
use crate::portfolio::mandate::Mandate;
use crate::rl::belief::Belief;
use crate::strategy::{GivenParameters, Registry};
use crate::synthetic::SyntheticMarket;
use crate::train::dataset::{Fit, PanelNote, PreparedData};
use crate::train::model::untrained_shape;

/// A model of three stocks in its folder, and an evaluation that begins with the first bar.
struct Fixture {
    folder: tempfile::TempDir,
    config: RunConfig,
    series: Vec<BarSeries>,
    model: Model,
    eval: PreparedData,
}

/// Weights are random, the last layers' larger than a run begins with, so that all actions occur.
/// `attention` and `long_only` are the switches that change a network's shape. With `rules` a
/// meta-policy lets rules trade, too.
fn world(attention: bool, long_only: bool, rules: bool) -> Fixture {
    let stocks: Vec<Symbol> = ["A", "B", "C"].map(|name| name.parse().unwrap()).into();
    let mut config = RunConfig { stocks, ..RunConfig::default() };
    config.data.bar_minutes = Some(30);
    config.network.attention = attention;
    config.env.long_only = long_only;
    config.portfolio.meta_policy.enabled = rules;
    config.features = FeatureConfig {
        return_bars: vec![1, 3],
        volatility_bars: vec![10, 30],
        relation_bars: 25,
        arbitrage_bars: 60,
        volume_bars: 20,
        volume_mean_bars: vec![1, 3],
        // Of the bars with and without columns besides.
        columns: if long_only { vec!["vix".into(), "mood".into()] } else { Vec::new() },
        ..FeatureConfig::default()
    };
    let market = SyntheticMarket::parse("regimes").unwrap();
    let (start, end) = ("2019-01-02".parse().unwrap(), "2019-03-29".parse().unwrap());
    let period = Period { start, end };
    let mut series: Vec<BarSeries> =
        config.stocks.iter().map(|s| market.bars(&config.stocks, s, &period, 30)).collect();
    // Every 41st bar of the second stock is missing.
    let (kept, symbol) = (series[1].bars().enumerate(), series[1].symbol.clone());
    let kept: Vec<Bar> = kept.filter(|(i, _)| i % 41 != 40).map(|(_, bar)| bar).collect();
    series[1] = BarSeries::new(symbol);
    kept.into_iter().for_each(|bar| series[1].push(bar));
    let mut noise = Noise::new(5);
    for series in &mut series {
        *series = with_extras(series, &config.features.columns, &mut noise);
    }

    let grid = align(&series);
    let relations = Relations::measure(&series, &grid, 0..grid.end_s.len());
    let peers = relations.nearest_peers(2);
    let (raw, _) = raw_features(&series, &grid, &peers, &config.features);
    let scaler = Scaler::fit(&raw, &series, &grid, 0..grid.end_s.len(), 1.0);
    let data = panel_of(&series, &grid, raw, &scaler, &config.features);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("panel.arrow");
    Panel::write(&path, &data).unwrap();
    let first = data.tradable.chunks(3).position(|row| row.contains(&true)).unwrap();
    let fit = Fit { scaler, relations, peers: peers.clone() };
    let note = PanelNote {
        reports: Vec::new(),
        bar_minutes: 30,
        rows: first..grid.end_s.len(),
        fit: fit.clone(),
        opportunities: Vec::new(),
        pair_tests: Default::default(),
    };
    let panel = Arc::new(Panel::open(&path).unwrap());
    let eval = PreparedData {
        panel,
        note,
        from_cache: false,
        digest: String::new(),
        origin: String::new(),
        fingerprints: Vec::new(),
    };
    let mut shape = untrained_shape(3, &config.features, &config.env, &config.network);
    shape.peers = if attention { peers } else { vec![Vec::new(); 3] };
    let mut weights = shape.initial_weights(&mut ChaCha8Rng::seed_from_u64(3));
    for parameter in shape
        .layout()
        .parameters()
        .iter()
        .filter(|p| p.name.starts_with("advantage") || p.name.starts_with("q."))
    {
        weights[parameter.offset..][..parameter.len].iter_mut().for_each(|w| *w *= 10.0);
    }
    let belief = Belief { share: 0.75, drift: vec![0.01, -0.02, 0.0] };
    let model = Model { shape, weights, belief, fit, expert_weights: None };
    model.write(&folder.path().join("trained_model.pth")).unwrap();
    let text = toml::to_string(&config).unwrap();
    std::fs::write(folder.path().join("config.toml"), text).unwrap();
    Fixture { folder, config, series, model, eval }
}

impl Fixture {
    fn strategy(&self, stocks: &[Symbol]) -> Result<DqnStrategy, StrategyError> {
        DqnStrategy::new(&kind(Some(self.folder.path())).resolve(&GivenParameters::new())?, stocks)
    }

    /// A stock's further columns at a time; unknown where it has no bar.
    fn extras(&self, order: &[usize], end_s: i64) -> Vec<f32> {
        let of = |&stock: &usize| {
            let series = &self.series[stock];
            let unknown = vec![f32::NAN; series.columns.len()];
            series.end_s.binary_search(&end_s).map_or(unknown, |bar| series.extra(bar).to_vec())
        };
        order.iter().flat_map(of).collect()
    }

    /// The bars of every time, in the order of `stocks`.
    fn times(&self, order: &[usize]) -> Vec<(i64, Vec<Option<Bar>>)> {
        let grid = align(&self.series);
        let bar = |stock: usize, t: usize| match grid.bar_index[stock][t] {
            NO_BAR => None,
            bar => Some(self.series[stock].bar(bar as usize)),
        };
        let at = |(t, &end_s): (usize, &i64)| {
            (end_s, order.iter().map(|&stock| bar(stock, t)).collect())
        };
        grid.end_s.iter().enumerate().map(at).collect()
    }
}

/// Values and decisions at every bar, with gaps, stocks in another order than the run's, and
/// accounts that hold positions, are to the last bit those of an evaluation; also of one in which
/// rules trade beside the DQN, which then has accounts of its own there, too.
#[test]
fn it_decides_as_the_evaluation_does() {
    let cases = [
        (true, false, false),
        (false, false, false),
        (true, true, false),
        (true, false, true),
        (false, true, true),
    ];
    for (attention, long_only, rules) in cases {
        let world = world(attention, long_only, rules);
        let Fixture { config, model, eval, .. } = &world;
        let mut expected: Vec<(i64, Vec<f32>)> = Vec::new();
        let watch = &mut |decided: &crate::train::evaluation::BarDecision<'_>| {
            expected.push((decided.end_s, decided.q.to_vec()));
        };
        let mandate = Mandate::new(&config.stocks, &config.env, &config.portfolio);
        model.evaluate(&config.learner, Device::Cpu, &mandate, eval, watch).unwrap();

        let order = [2, 0, 1];
        let asked = order.map(|stock| config.stocks[stock].clone());
        let mut strategy = world.strategy(&asked).unwrap();
        let mut decisions = vec![Decision::NONE; 3];
        let actions = config.env.action_set();
        let (mut expected, mut turns) = (expected.into_iter(), 0);
        for (end_s, bars) in world.times(&order) {
            let before = decisions.clone();
            let extras = world.extras(&order, end_s);
            let now = BarsAt::new(end_s, &bars).with_extras(&config.features.columns, &extras);
            strategy.decide(&now, &Cancel::new(), &mut decisions).unwrap();
            if strategy.wanted.is_none() {
                assert_eq!(decisions, [Decision::NONE; 3]);
                continue;
            }
            // The last bar is not one to decide at in an evaluation.
            let Some((then_s, q)) = expected.next() else { break };
            assert_eq!(then_s, end_s);
            assert_eq!(strategy.q, q);
            for (decision, &stock) in decisions.iter().zip(&order) {
                let q = &q[stock * actions.len()..][..actions.len()];
                let wanted = f64::from(actions.positions()[argmax(q)]);
                assert_eq!(decision.target, wanted, "{end_s} {stock}");
            }
            turns += decisions.iter().zip(&before).filter(|(a, b)| a.target != b.target).count();
        }
        assert_eq!(expected.next(), None);
        assert!(turns > 60, "{turns} turns");
    }
}

#[test]
fn a_threshold_leaves_out_what_is_hardly_worth_it() {
    let actions = RunConfig::default().env.action_set();
    let decide = |q: [f32; 3], threshold| decision(&actions, &q, threshold);
    assert_eq!(decide([0.0, 0.5, 2.5], 0.0), Decision::new(1.0, 2.0 / 3.0));
    assert_eq!(decide([0.0, 0.5, 2.5], 1.9).target, 1.0);
    assert_eq!(decide([0.0, 0.5, 2.5], 2.1).target, 0.0);
    assert_eq!(decide([3.0, 0.0, 2.0], 0.0), Decision::new(-1.0, 0.5));
    // The first of equals, as in an evaluation; nothing is known then.
    assert_eq!(decide([1.0, 1.0, 1.0], 0.0), Decision::new(-1.0, 0.0));
    assert_eq!(decide([0.0, 1.0, 0.0], 0.0), Decision::new(0.0, 0.5));
}

#[test]
fn what_does_not_fit_is_one_clear_line() {
    let world = world(false, false, false);
    let stocks = &world.config.stocks;
    let said = |error: StrategyError| {
        let text = error.to_string();
        assert_eq!(text.lines().count(), 1, "{text}");
        text
    };
    let other = ["A", "B", "X"].map(|name| name.parse().unwrap());
    for asked in [&other[..], &stocks[..2]] {
        let text = said(world.strategy(asked).err().unwrap());
        let expected = "was trained on A B C, not on A B";
        assert!(text.contains(expected) && text.contains("use --stocks A B C"), "{text}");
    }
    let mut strategy = world.strategy(stocks).unwrap();
    let (mut decisions, mut failed) = (vec![Decision::NONE; 3], None);
    for (i, (end_s, bars)) in world.times(&[0, 1, 2]).into_iter().enumerate() {
        // Every other bar: as of 60 minutes.
        if i % 2 == 0 && failed.is_none() {
            let now = BarsAt::new(end_s, &bars);
            failed = strategy.decide(&now, &Cancel::new(), &mut decisions).err();
        }
    }
    let text = said(failed.unwrap());
    assert!(text.contains("bars come every 60 min") && text.contains("30 min"), "{text}");
    assert_eq!(decisions, [Decision::NONE; 3]);

    let with_columns = self::world(false, true, false);
    let mut strategy = with_columns.strategy(&with_columns.config.stocks).unwrap();
    let (end_s, bars) = with_columns.times(&[0, 1, 2]).swap_remove(0);
    let names = ["mood".into()];
    let now = BarsAt::new(end_s, &bars).with_extras(&names, &[0.0; 3]);
    let text = said(strategy.decide(&now, &Cancel::new(), &mut decisions).unwrap_err());
    assert!(text.contains("the column vix, which these bars lack"), "{text}");

    let kind = kind(None);
    let given = |text: &str| serde_json::from_str::<GivenParameters>(text).unwrap();
    let text = said(kind.resolve(&GivenParameters::new()).unwrap_err());
    assert_eq!(text, "DQN: parameter model: is missing; give the results folder of a training run");
    let text = said(kind.resolve(&given(r#"{"model": "nowhere"}"#)).unwrap_err());
    assert!(text.contains("nowhere/config.toml: No such file") && text.contains("training run"));
    let text = said(kind.resolve(&given(r#"{"model": 3}"#)).unwrap_err());
    assert!(text.contains("3 is not text"), "{text}");
    let folder = world.folder.path().to_str().unwrap();
    let elsewhere = serde_json::json!({ "model": folder, "file": "other.pth" });
    let parameters = kind.resolve(&serde_json::from_value(elsewhere).unwrap()).unwrap();
    let text = said(kind.build_for(&parameters, stocks).err().unwrap());
    assert!(text.contains("other.pth"), "{text}");
    let text = said(kind.build(&parameters, 3).err().unwrap());
    assert!(text.contains("has to know which stocks"), "{text}");
}

#[test]
fn its_names_are_forgiving_and_a_file_can_give_it_another() {
    let world = world(false, false, false);
    let mut registry = Registry::standard();
    registry.register(kind(None)).unwrap();
    for name in ["dqn", "DQN strategy", "trained-dqn"] {
        assert_eq!(registry.find(name).unwrap().name, NAME);
    }
    let path = world.folder.path().join("mine.toml");
    let folder = world.folder.path().display();
    let text = format!(
        "[strategies.Careful]\nkind = \"dqn\"\n\
         parameters = {{ model = \"{folder}\", threshold = 0.5 }}\n"
    );
    std::fs::write(&path, text).unwrap();
    crate::strategy::StrategyFile::read(&path).unwrap().register(&mut registry).unwrap();
    let careful = registry.find("careful").unwrap();
    let parameters = careful.resolve(&GivenParameters::new()).unwrap();
    assert_eq!(parameters.real("threshold"), 0.5);
    assert_eq!(parameters.text("model"), folder.to_string());
    assert_eq!(parameters.text("file"), "trained_model.pth");
    assert!(careful.build_for(&parameters, &world.config.stocks).is_ok());
}
