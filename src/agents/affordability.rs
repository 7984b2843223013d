//! Stocks of which an account could never buy a share: without a word, its result would look like a
//! decision.

use super::bars::{AgentBars, TradingStep};
use super::config::{AgentKind, AgentSpec, AgentsConfig};
use super::metrics::costs;
use crate::market::Symbol;

/// Number of stocks that are told by name.
const MOST_NAMES: usize = 5;

/// A stock whose share was always dearer than what the account had for it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DearStock {
    symbol: Symbol,
    /// The lowest price of a share, with costs.
    least: f64,
    /// The most that the account had for the stock.
    most: f64,
}

/// The stocks in one line; None if there are none.
pub(crate) fn told(dear: &[DearStock]) -> Option<String> {
    let most = dear.first()?.most;
    let one = |dear: &DearStock| format!("{} (from {:.2})", dear.symbol, dear.least);
    let mut names: Vec<String> = dear.iter().take(MOST_NAMES).map(one).collect();
    if dear.len() > MOST_NAMES {
        names.push(format!("{} more", dear.len() - MOST_NAMES));
    }
    Some(format!(
        "no share could be bought of {}: there was never more than {most:.2} for a stock; raise \
         agent_config.initial_cash",
        names.join(", ")
    ))
}

/// The largest part of its equity that an agent puts into one stock.
pub(crate) fn largest_part(config: &AgentsConfig, model: &AgentSpec) -> f64 {
    match model.kind {
        AgentKind::Strategy(_) | AgentKind::Ensemble(_) => 1.0 / config.stocks.len() as f64,
        AgentKind::Dqn { .. } | AgentKind::Llm(_) => 1.0,
    }
}

/// The stocks with bars in `steps` whose share always cost more than `most`.
pub(crate) fn too_dear(
    config: &AgentsConfig,
    bars: &AgentBars,
    steps: &[TradingStep],
    most: f64,
) -> Vec<DearStock> {
    let costs = costs(config);
    let mut least = vec![f64::INFINITY; config.stocks.len()];
    for t in steps.iter().flat_map(|step| step.rows.clone()) {
        let view = bars.view(t);
        for (stock, least) in least.iter_mut().enumerate() {
            let bar = view.bar(stock);
            if bar.tradable {
                let price = costs.fill_price(bar.open, 1.0);
                *least = least.min(price + costs.fee(price));
            }
        }
    }
    let dear = |(symbol, least): (&Symbol, f64)| {
        (least.is_finite() && least > most).then(|| DearStock {
            symbol: symbol.clone(),
            least,
            most,
        })
    };
    bars.stocks().iter().zip(least).filter_map(dear).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::bars::tests::bars;
    use crate::agents::config::SessionLength;
    use crate::agents::tests::config;

    /// Opens of 100, 100, 90, 120, and half of that: with two times a basis point of costs the
    /// cheapest share is 90 * 1.0001 * 1.0001 = 90.018.
    #[test]
    fn a_share_is_too_dear_if_it_always_was() {
        let bars = bars(&[[100.0, 50.0], [90.0, 45.0], [120.0, 60.0], [120.0, 60.0]]);
        let whole = |text: &str| text.parse().unwrap();
        let steps = bars.steps(SessionLength::Day, &whole("2020-01-01"), &whole("2020-01-03"));
        let names = |most: f64| -> Vec<String> {
            let found = too_dear(&config(), &bars, &steps, most);
            found.iter().map(|dear| dear.symbol.to_string()).collect()
        };
        assert_eq!(names(90.02), [""; 0]);
        assert_eq!(names(90.01), ["AAA"]);
        assert_eq!(names(45.0), ["AAA", "BBB"]);
        let found = too_dear(&config(), &bars, &steps, 45.0);
        let expected = "no share could be bought of AAA (from 90.02), BBB (from 45.01): there was \
                        never more than 45.00 for a stock; raise agent_config.initial_cash";
        assert_eq!((told(&found).as_deref(), told(&[])), (Some(expected), None));
        assert_eq!(largest_part(&config(), &config().models[0]), 0.5);
    }
}
