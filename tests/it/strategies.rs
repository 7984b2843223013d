//! `dqn-trader strategies`.

use serde_json::Value;

use crate::program::{Place, run};

/// What the program says on standard output, where it must succeed.
fn said(place: &Place, args: &[&str]) -> String {
    let output = run(&mut place.program(&[&["strategies"], args].concat()));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {}\n{stderr}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_list_names_every_strategy_with_its_parameters() {
    let place = Place::new();
    let table = said(&place, &["list"]);
    for part in ["RSI: long once", "overbought      70", "2 to 100000", "\nBuy and Hold: "] {
        assert!(table.contains(part), "{part} is missing in\n{table}");
    }
    let wide = table.lines().find(|line| line.chars().count() > 100);
    assert_eq!(wide, None);
    let json: Vec<Value> =
        serde_json::from_str(&said(&place, &["list", "--format", "json"])).unwrap();
    let names: Vec<&str> = json.iter().map(|kind| kind["name"].as_str().unwrap()).collect();
    let first = ["RSI", "MACD", "Bollinger Bands", "Momentum", "Mean Reversion", "Pairs"];
    assert_eq!(names[..6], first);
    let period = &json[0]["parameters"][0];
    assert_eq!((&period["name"], &period["default"]), (&"period".into(), &14.into()));
    assert_eq!(period["unit"], "bars");
}
