use super::super::tests::{decide, rows};
use super::*;
use crate::features::fixtures::random_market;

fn registry(text: &str) -> Result<Registry, StrategyError> {
    let file: StrategyFile = toml::from_str(text).unwrap();
    let mut registry = Registry::standard();
    file.register(&mut registry)?;
    Ok(registry)
}

/// Targets of every row and stock of a random market.
fn targets(registry: &Registry, name: &str, given: &str) -> Vec<f64> {
    let kind = registry.find(name).unwrap();
    let parameters = kind.resolve(&serde_json::from_str(given).unwrap()).unwrap();
    let rows = rows(&random_market(5, 2, 400, 13, 0.1));
    let decisions = decide(kind.build(&parameters, 2).unwrap().as_mut(), &rows);
    decisions.iter().flatten().map(|decision| decision.target).collect()
}

#[test]
fn a_rule_from_a_file_equals_the_built_in_one() {
    let registry = registry(
        r#"
        [strategies."My RSI"]
        long = "index < oversold"
        short = "index > overbought"
        exit = "0 > 1"
        parameters = { oversold = 30.0, overbought = 70.0, bars = 14 }
        indicators.index = { kind = "rsi", period = "bars" }

        [strategies."My MACD"]
        target = "(m - m_signal) / abs(m_histogram)"
        indicators.m = { kind = "macd" }

        [strategies."My Bands"]
        long = "close < b_lower"
        short = "close > b_upper"
        exit = "(close - b) * position >= 0"
        indicators.b = { kind = "bollinger" }
        "#,
    )
    .unwrap();
    let quick = r#"{"period": 4}"#;
    assert_eq!(targets(&registry, "my-rsi", r#"{"bars": 4}"#), targets(&registry, "RSI", quick));
    assert_eq!(targets(&registry, "My MACD", "{}"), targets(&registry, "MACD", "{}"));
    let bands = targets(&registry, "Bollinger Bands", "{}");
    assert_eq!(targets(&registry, "mybands", "{}"), bands);
    assert!(bands.contains(&1.0) && bands.contains(&-1.0));
}

#[test]
fn a_kind_with_other_defaults_is_a_strategy() {
    let registry = registry(
        r#"
        [strategies.Slower]
        kind = "Quick RSI"
        parameters = { overbought = 80 }

        [strategies."Quick RSI"]
        kind = "rsi"
        parameters = { period = 4 }

        [parameters.RSI]
        period = 9
        "#,
    )
    .unwrap();
    let expected = targets(&registry, "RSI", r#"{"period": 4, "overbought": 80}"#);
    assert_eq!(targets(&registry, "slower", "{}"), expected);
    let error = registry.find("Slower").unwrap();
    let error = error.resolve(&serde_json::from_str(r#"{"period": 0}"#).unwrap()).unwrap_err();
    assert!(
        error.to_string().starts_with("Slower: parameter period: 0 is out of range"),
        "{error}"
    );
}

/// `ago` and `of` take effect, and there is no position during the warm-up.
#[test]
fn a_breakout_uses_previous_bars() {
    let registry = registry(
        r#"
        [strategies.Breakout]
        long = "close > top"
        exit = "close < bottom"
        indicators.top = { kind = "highest", period = 3, of = "high", ago = 1 }
        indicators.bottom = { kind = "lowest", period = 2, of = "low", ago = 1 }
        "#,
    )
    .unwrap();
    let mut breakout = registry.find("breakout").unwrap().build_default(1).unwrap();
    let bar = |(i, &close): (usize, &f64)| {
        let end_s = i as i64;
        let (open, high, low) = (close, close + 0.5, close - 0.5);
        (end_s, vec![Some(Bar { end_s, open, high, low, close, volume: 1.0 })])
    };
    // From the fourth bar on, the previous tops are 3.5, 4.5, 4.5, 4.5, 3.5; the previous bottoms
    // 1.5, 2.5, 2.5, 2.1, 1.9.
    let closes = [1.0, 2.0, 3.0, 4.0, 3.0, 2.6, 2.4, 5.0];
    let rows: Vec<_> = closes.iter().enumerate().map(bar).collect();
    let found: Vec<f64> =
        decide(breakout.as_mut(), &rows).iter().map(|row| row[0].target).collect();
    assert_eq!(found, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
    let falling = [4.0, 4.0, 4.0, 5.0, 4.4, 3.0, 3.0];
    let rows: Vec<_> = falling.iter().enumerate().map(bar).collect();
    let mut breakout = registry.find("breakout").unwrap().build_default(1).unwrap();
    let found: Vec<f64> =
        decide(breakout.as_mut(), &rows).iter().map(|row| row[0].target).collect();
    assert_eq!(found, [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
}

#[test]
fn nan_is_no_opinion() {
    let registry =
        registry("[strategies.Odd]\ntarget = \"(close - close) / (open - open)\"").unwrap();
    assert!(targets(&registry, "odd", "{}").iter().all(|&target| target == 0.0));
}

#[test]
fn errors_in_a_file_are_found_when_it_is_read() {
    for (text, parts) in [
        (
            "long = \"indx < 3\"\nindicators.index = { kind = \"rsi\" }",
            &["X: long: ", "did you mean index?"][..],
        ),
        ("long = \"close\"", &["X: long: ", "write a condition"]),
        ("indicators.i = { kind = \"rsi\" }", &["none of long, short and target"]),
        ("target = \"1\"\nlong = \"close > 1\"", &["target cannot be combined"]),
        (
            "long = \"i > 1\"\nindicators.i = { kind = \"rsj\" }",
            &["indicators.i.kind", "did you mean rsi?"],
        ),
        (
            "long = \"i > 1\"\nindicators.i = { kind = \"rsi\", perod = 3 }",
            &["perod", "did you mean period?"],
        ),
        ("long = \"i > 1\"\nindicators.i = { kind = \"rsi\", period = 0 }", &["from 2 to 100000"]),
        (
            "long = \"i > 1\"\nindicators.i = { kind = \"rsi\", period = \"n\" }",
            &["no parameter \"n\""],
        ),
        ("long = \"close > 1\"\nindicators.abs = { kind = \"rsi\" }", &["abs is taken"]),
        ("kind = \"rsi\"\nlong = \"close > 1\"", &["both a kind and a rule"]),
        ("kind = \"rsy\"", &["did you mean RSI?"]),
        ("kind = \"rsi\"\nparameters = { period = 1 }", &["from 2 to 100000"]),
        (
            "long = \"close > n\"\nparameters.n = { default = 3, low = 5 }",
            &["between low and high"],
        ),
        ("long = \"close > n\"\nparameters.n = \"three\"", &["not a number"]),
    ] {
        let error = registry(&format!("[strategies.X]\n{text}")).err().unwrap().to_string();
        for part in parts {
            assert!(error.contains(part), "{text}: {error}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    std::fs::write(&path, "[strategies.X]\nlnog = \"1\"").unwrap();
    let error = StrategyFile::read(&path).unwrap_err().to_string();
    assert!(error.contains("mine.toml") && error.contains("lnog"), "{error}");
    assert!(!error.contains('\n'));
}
