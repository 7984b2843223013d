use super::*;
use crate::features::fixtures::{grid_of, random_market};
use crate::features::indicators::whole as indicators;
use crate::market::panel::NO_BAR;
use crate::market::{Bar, BarSeries};

/// The rows of several stocks' series.
pub(super) fn rows(series: &[BarSeries]) -> Vec<(i64, Vec<Option<Bar>>)> {
    let grid = grid_of(series);
    let bar = |(series, index): (&BarSeries, &Vec<u32>), t: usize| {
        (index[t] != NO_BAR).then(|| series.bar(index[t] as usize))
    };
    let row = |t| series.iter().zip(&grid.bar_index).map(|stock| bar(stock, t)).collect();
    grid.end_s.iter().enumerate().map(|(t, &end_s)| (end_s, row(t))).collect()
}

/// Decisions after every row, `[row][stock]`.
pub(super) fn decide(
    strategy: &mut dyn Strategy,
    rows: &[(i64, Vec<Option<Bar>>)],
) -> Vec<Vec<Decision>> {
    let stocks = rows.first().map_or(0, |(_, bars)| bars.len());
    let mut decisions = vec![Decision::NONE; stocks];
    let cancel = Cancel::new();
    let mut all = Vec::new();
    for (end_s, bars) in rows {
        strategy.decide(&BarsAt::new(*end_s, bars), &cancel, &mut decisions).unwrap();
        all.push(decisions.clone());
    }
    all
}

fn given(text: &str) -> GivenParameters {
    serde_json::from_str(text).unwrap()
}

/// Targets of one stock with these closes.
fn targets(name: &str, parameters: &str, closes: &[f64]) -> Vec<f64> {
    let registry = Registry::standard();
    let kind = registry.find(name).unwrap();
    let parameters = kind.resolve(&given(parameters)).unwrap();
    let mut strategy = kind.build(&parameters, 1).unwrap();
    let bar = |(i, &close): (usize, &f64)| {
        let end_s = i as i64;
        let bar = Bar { end_s, open: close, high: close, low: close, close, volume: 1.0 };
        (end_s, vec![Some(bar)])
    };
    let rows: Vec<_> = closes.iter().enumerate().map(bar).collect();
    decide(strategy.as_mut(), &rows).iter().map(|row| row[0].target).collect()
}

/// Parameters with short windows, so that a short series has many decisions.
const QUICK: [(&str, &str); 10] = [
    ("RSI", r#"{"period": 3, "overbought": 60, "oversold": 40}"#),
    ("MACD", r#"{"fast_period": 3, "slow_period": 7, "signal_period": 4}"#),
    ("Bollinger Bands", r#"{"period": 8, "std_dev": 1.2}"#),
    ("Momentum", r#"{"period": 5, "threshold": 0.05}"#),
    ("Mean Reversion", r#"{"period": 9, "threshold": 1.1}"#),
    ("Pairs", r#"{"period": 15, "threshold": 1.3, "hedge_ratio": 0.8}"#),
    ("Arbitrage", r#"{"period": 30, "level": 1, "threshold": 0.8}"#),
    ("Autoregression", r#"{"half_life": 5, "threshold": 0.02}"#),
    ("Buy and Hold", "{}"),
    ("Flat", "{}"),
];

#[test]
fn bar_by_bar_equals_the_whole_series_bit_for_bit() {
    let registry = Registry::standard();
    assert_eq!(registry.kinds().len(), QUICK.len(), "every kind is tested here");
    let mut sides = std::collections::BTreeSet::new();
    for seed in 0..8 {
        let rows = rows(&random_market(seed, 5, 250, 13, 0.15));
        let (mut other, cut) = (rows.clone(), 60 + 20 * seed as usize);
        for (_, bars) in &mut other[cut..] {
            for bar in bars.iter_mut().flatten() {
                bar.close *= 1.5;
            }
        }
        for (name, parameters) in QUICK {
            let kind = registry.find(name).unwrap();
            let parameters = kind.resolve(&given(parameters)).unwrap();
            let fresh = || kind.build(&parameters, 5).unwrap();
            let whole = decide(fresh().as_mut(), &rows);
            let changed = decide(fresh().as_mut(), &other);
            assert_eq!(whole[..cut], changed[..cut], "{name} knows nothing of later bars");
            // Bar by bar, interleaved with another instance on another series.
            let (mut one, mut beside) = (fresh(), fresh());
            let mut interleaved = vec![Decision::NONE; 5];
            let mut elsewhere = interleaved.clone();
            for (t, row) in rows.iter().enumerate() {
                let now = BarsAt::new(row.0, &row.1);
                one.decide(&now, &Cancel::new(), &mut interleaved).unwrap();
                assert_eq!(interleaved, whole[t], "{name} at {t}");
                let now = BarsAt::new(other[t].0, &other[t].1);
                beside.decide(&now, &Cancel::new(), &mut elsewhere).unwrap();
            }
            let all: Vec<&Decision> = whole.iter().flatten().collect();
            assert!(
                all.iter().all(|d| d.target.abs() <= 1.0 && (0.0..=1.0).contains(&d.confidence))
            );
            sides.extend(all.iter().map(|d| (name, seed, d.direction())));
        }
    }
    for (name, _) in QUICK {
        let seeds = |side: i8| (0..8).filter(|&seed| sides.contains(&(name, seed, side))).count();
        let least = match name {
            "Buy and Hold" | "Flat" => continue,
            // Two random walks seldom pass the test.
            "Arbitrage" => 4,
            _ => 8,
        };
        assert!(seeds(1) >= least, "{name} is hardly ever long");
        assert!(seeds(-1) >= least, "{name} is hardly ever short");
    }
}

/// Compared with the indicators over the whole series, which have their own tests against TA-Lib.
#[test]
fn decisions_follow_from_the_indicators() {
    let series = &random_market(3, 1, 400, 13, 0.0)[0];
    let close = &series.close;
    let mut held = 0.0;
    let rsi = targets("rsi", r#"{"period": 4}"#, close);
    for (t, index) in indicators::rsi(close, 4).iter().enumerate() {
        held = match index {
            Some(index) if *index < 30.0 => 1.0,
            Some(index) if *index > 70.0 => -1.0,
            _ => held,
        };
        assert_eq!(rsi[t], held, "RSI at {t}");
    }
    let macd = targets("MACD", "{}", close);
    for (t, value) in indicators::macd(close, 12, 26, 9).iter().enumerate() {
        let expected = value.map_or(0.0, |value| value.histogram.signum());
        assert_eq!(macd[t], expected, "MACD at {t}");
    }
    let bollinger = targets("bollinger", r#"{"period": 10, "std_dev": 1.5}"#, close);
    held = 0.0;
    for (t, bands) in indicators::bollinger(close, 10, 1.5).iter().enumerate() {
        if let Some(bands) = bands {
            held = match close[t] {
                price if price < bands.lower => 1.0,
                price if price > bands.upper => -1.0,
                price if held > 0.0 && price >= bands.middle => 0.0,
                price if held < 0.0 && price <= bands.middle => 0.0,
                _ => held,
            };
        }
        assert_eq!(bollinger[t], held, "Bollinger Bands at {t}");
    }
    let momentum = targets("momentum", r#"{"period": 6, "threshold": 0.1}"#, close);
    for t in 6..close.len() {
        let change = close[t] / close[t - 6] - 1.0;
        let expected = if change.abs() > 0.001 { change.signum() } else { 0.0 };
        assert_eq!(momentum[t], expected, "Momentum at {t}");
    }
    assert!(momentum[..6].iter().all(|&target| target == 0.0));
}

/// Z-scores of the last three log closes by hand, with the population deviation: 0 0 3 has 1.41, 0
/// 3 3 has 0.71, 3 3 0 has -1.41, 3 0 1 has -0.27.
#[test]
fn mean_reversion_enters_far_out_and_leaves_near_the_mean() {
    let closes = [0.0, 0.0, 3.0, 3.0, 0.0, 1.0].map(f64::exp);
    let parameters = r#"{"period": 3, "threshold": 1.2, "exit_threshold": 0.5}"#;
    assert_eq!(targets("mean-reversion", parameters, &closes), [0.0, 0.0, -1.0, -1.0, 1.0, 0.0]);
    let early = r#"{"period": 3, "threshold": 1.2, "exit_threshold": 0.8}"#;
    assert_eq!(targets("mean-reversion", early, &closes)[3], 0.0);
}

#[test]
fn pairs_hold_the_second_stock_against_the_first() {
    let registry = Registry::standard();
    let kind = registry.find("pairs trading").unwrap();
    let small =
        kind.resolve(&given(r#"{"period": 3, "threshold": 1.2, "hedge_ratio": 2}"#)).unwrap();
    let mut pairs = kind.build(&small, 3).unwrap();
    // The spread ln a - 2 ln b is 0, 0, 3 and then undefined; the third stock has no partner.
    let bar = |end_s, log: f64| {
        let close = log.exp();
        Some(Bar { end_s, open: close, high: close, low: close, close, volume: 1.0 })
    };
    let row = |end_s, a, b| (end_s, vec![bar(end_s, a), bar(end_s, b), bar(end_s, a)]);
    let mut rows = vec![row(0, 2.0, 1.0), row(1, 4.0, 2.0), row(2, 3.0, 0.0), row(3, 3.0, 0.0)];
    rows[3].1[1] = None;
    let found = decide(pairs.as_mut(), &rows);
    let targets = |t: usize| found[t].iter().map(|d| d.target).collect::<Vec<_>>();
    assert_eq!(targets(1), [0.0, 0.0, 0.0]);
    assert_eq!(targets(2), [-0.5, 1.0, 0.0]);
    assert_eq!(targets(3), targets(2));
    let error = kind.build_default(1).err().unwrap().to_string();
    assert!(error.contains("two stocks"), "{error}");
}

#[test]
fn names_ignore_spelling_and_errors_suggest_one() {
    let registry = Registry::standard();
    for (asked, name) in [
        ("Bollinger Bands", "Bollinger Bands"),
        ("bollinger", "Bollinger Bands"),
        ("bollinger-bands", "Bollinger Bands"),
        ("BOLLINGER_BANDS", "Bollinger Bands"),
        ("RSIStrategy", "RSI"),
        ("rsi", "RSI"),
        ("mean_reversion", "Mean Reversion"),
        ("buy-and-hold", "Buy and Hold"),
    ] {
        assert_eq!(registry.find(asked).unwrap().name, name);
    }
    let error = registry.find("Bolinger Bnds").err().unwrap().to_string();
    assert!(error.contains("did you mean Bollinger Bands?"), "{error}");
    let error = registry.find("zzz").err().unwrap().to_string();
    assert!(error.contains("there are RSI, MACD") && !error.contains("mean"), "{error}");
    let mut registry = registry.clone();
    let again = StrategyKind::new("bol-linger", "", vec![], |_, _| unreachable!());
    assert!(registry.register(again).unwrap_err().to_string().contains("Bollinger Bands"));
}

#[test]
fn parameters_are_checked_before_anything_runs() {
    let registry = Registry::standard();
    let error = |name: &str, parameters: &str| {
        registry.find(name).unwrap().resolve(&given(parameters)).unwrap_err().to_string()
    };
    let unknown = error("rsi", r#"{"perod": 14}"#);
    assert!(unknown.contains("perod") && unknown.contains("did you mean period?"), "{unknown}");
    for value in ["0", "1", "-3", "2.5", "\"14\"", "true", "null", "1e300"] {
        let text = error("rsi", &format!(r#"{{"period": {value}}}"#));
        assert!(text.contains("period") && text.contains("from 2 to 100000 (bars)"), "{text}");
    }
    assert!(error("rsi", r#"{"oversold": 80}"#).contains("must be below overbought"));
    assert!(error("macd", r#"{"fast_period": 30}"#).contains("must be below slow_period"));
    assert!(error("rsi", r#"{"over-sold": 1, "oversold": 2}"#).contains("is given twice"));
    assert!(error("flat", r#"{"period": 1}"#).contains("it has none"));
    let rsi = registry.find("rsi").unwrap();
    let kept = rsi.resolve(&given(r#"{"Period": 7.0, "oversold": 20}"#)).unwrap();
    let written = serde_json::to_string(&kept).unwrap();
    assert_eq!(written, r#"{"overbought":70.0,"oversold":20.0,"period":7}"#);
}

#[test]
fn a_decision_is_cut_to_its_range() {
    assert_eq!(Decision::new(-3.0, 2.0), Decision { target: -1.0, confidence: 1.0 });
    assert_eq!(Decision::new(-0.2, 0.1).direction(), -1);
    assert_eq!(Decision::NONE.direction(), 0);
}
