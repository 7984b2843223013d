//! Combines the DQN's forecast with a second one. Different forecasts are right at different times:
//! the DQN may recognise the state of a market by one signal and a plain forecast from the latest
//! bars by another, and the combination may be better than either (Bates and Granger 1969). Whether
//! it is in this stock is learned bar by bar with Bayes' rule, from the likelihood of the realised
//! return under the DQN alone and under the mean of both. That is faster than comparing profits,
//! where a bar only counts if the two want different positions.
//!
//! The DQN's values include what a position is worth later, so it seems to expect more of the next
//! bar than it does. Averaging with any other forecast would then look like an improvement, so the
//! candidates also include the DQN alone with half of its apparent forecast and with none.

use serde::{Deserialize, Serialize};

use crate::market::panel::{MarketView, Panel};
use crate::math::fixed_share::{FixedShare, FixedSharePrior};
use crate::strategy::autoregression::{Forecast, SwitchingAr1};

/// Fixed-share rate: probability per bar that the best candidate is redrawn from the prior.
const SHARE_RATE: f64 = 1e-5;
/// The second forecast is used while the weight of the combination is above this. Using it in
/// proportion to its weight would trade in a random walk, where the few orders are all losses.
const MIN_MEAN_WEIGHT: f64 = 0.5;
/// Fractions of the DQN's apparent forecast that are candidates on their own.
const OWN_FRACTIONS: [f64; 3] = [1.0, 0.5, 0.0];

/// The DQN's values of the possible positions, in standard deviations of a bar's return.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ActionValues {
    /// Value of short minus that of flat; None if shorts are not allowed.
    pub(crate) short: Option<f32>,
    pub(crate) long: f32,
    /// -1, 0 or 1: the current position that the values assume.
    pub(crate) held: i8,
    /// One standard deviation, as a simple return.
    pub(crate) unit: f64,
}

/// Forecasts of the stocks at every row of a panel.
pub(crate) struct ForecastCombiner {
    belief: FixedSharePrior,
    /// `[row, stock]`, each from the bars up to its row; None if there are too few.
    forecasts: Vec<Option<Forecast>>,
    stocks: usize,
}

/// State for one account and stock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CombinationState {
    /// Weights of the DQN's fractions in [`OWN_FRACTIONS`] and of the combination.
    share: FixedShare,
    predicted: Option<ForecastPair>,
}

/// Forecasts for the next bar.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct ForecastPair {
    /// Mean under each fraction in [`OWN_FRACTIONS`] and under the combination.
    means: [f64; OWN_FRACTIONS.len() + 1],
    std: f64,
}

impl ForecastCombiner {
    /// `prior`: prior probability that the combination is better.
    pub(crate) fn new(panel: &Panel, stocks: usize, prior: f64) -> ForecastCombiner {
        let belief = belief(prior);
        let mut echoes = vec![SwitchingAr1::default(); stocks];
        let mut latest = vec![None; stocks];
        let mut forecasts = Vec::with_capacity(panel.rows() * stocks);
        for row in 0..panel.rows() {
            let view = panel.view(row);
            for (stock, (echo, latest)) in echoes.iter_mut().zip(&mut latest).enumerate() {
                let bar = view.bar(stock);
                if bar.tradable {
                    *latest = echo.update(bar.close);
                }
            }
            forecasts.extend_from_slice(&latest);
        }
        ForecastCombiner { belief, forecasts, stocks }
    }

    /// State before the first bar.
    pub(crate) fn new_state(&self) -> CombinationState {
        CombinationState { share: FixedShare::new(&self.belief), predicted: None }
    }

    /// Direction in which to hold the stock from the next open on, and its value minus that of flat
    /// in the unit of `values`. The last argument holds the DQN's values, the current position of
    /// the account and the cost of trading all of an account once.
    pub(crate) fn combine(
        &self,
        state: &mut CombinationState,
        view: &MarketView<'_>,
        stock: usize,
        (values, held, cost): (&ActionValues, i8, f64),
    ) -> (i8, f32) {
        let forecast = self.forecasts[view.t() * self.stocks + stock];
        let bar = view.bar(stock);
        let before = view.back(1).map(|view| view.bar(stock).close);
        let found = before.filter(|_| bar.tradable).map(|last| bar.close / last - 1.0);
        state.learn(found.filter(|found| found.is_finite()), &self.belief);
        let more = state.predict(values.expected_return(cost), forecast) / values.unit;
        values.choose(more, held, cost)
    }
}

fn belief(second: f64) -> FixedSharePrior {
    let mut prior = vec![(1.0 - second) / OWN_FRACTIONS.len() as f64; OWN_FRACTIONS.len()];
    prior.push(second);
    FixedSharePrior { prior, share_rates: vec![SHARE_RATE] }
}

impl CombinationState {
    /// `found`: the return of the bar that has just closed.
    fn learn(&mut self, found: Option<f64>, belief: &FixedSharePrior) {
        let (Some(ForecastPair { means, std }), Some(found)) = (self.predicted.take(), found)
        else {
            return;
        };
        let likely = means.map(|mean| Forecast { mean, std }.likelihood(found));
        self.share.update(&likely, belief);
    }

    /// Stores the forecasts for the next bar and returns what to add to `own`, the DQN's expected
    /// return. The forecasts are added, not averaged: forecasts of a state from different signals
    /// add their log odds, and the DQN's values of later bars stay unchanged.
    fn predict(&mut self, own: f64, forecast: Option<Forecast>) -> f64 {
        let Some(Forecast { mean, std }) = forecast else { return 0.0 };
        let [whole, half, none] = OWN_FRACTIONS.map(|part| part * own);
        self.predicted = Some(ForecastPair { means: [whole, half, none, (own + mean) / 2.0], std });
        if self.mean_weight() > MIN_MEAN_WEIGHT { mean } else { 0.0 }
    }

    /// Probability that the combination forecasts better.
    fn mean_weight(&self) -> f64 {
        self.share.weights()[OWN_FRACTIONS.len()]
    }
}

impl ActionValues {
    /// Approximate return that the DQN expects of the next bar. Its values include what a position
    /// is worth later; that part is small if the position changes often.
    fn expected_return(&self, cost: f64) -> f64 {
        let long = f64::from(self.long) * self.unit;
        match self.short {
            Some(short) => (long - f64::from(short) * self.unit) / 2.0,
            // Entering costs, and so does leaving.
            None => long + cost * f64::from(1 - 2 * self.held),
        }
    }

    /// Best direction of an account that holds `held`, and its value minus that of flat, if the
    /// expected return is `more` standard deviations above the DQN's.
    fn choose(&self, more: f64, held: i8, cost: f64) -> (i8, f32) {
        let cost = cost / self.unit;
        let moved = |direction: i8, from: i8| f64::from((direction - from).abs());
        let value_of = |(direction, value): (i8, f32)| {
            let dearer = cost * (moved(direction, held) - moved(direction, self.held));
            f64::from(value) - dearer + f64::from(direction) * more
        };
        let none = (0, 0.0);
        let mut best = self.short.map_or(none, |short| (-1, short));
        for other in [none, (1, self.long)] {
            if value_of(other) > value_of(best) {
                best = other;
            }
        }
        (best.0, (value_of(best) - value_of(none)) as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: ActionValues = ActionValues { short: Some(-0.5), long: 0.3, held: 0, unit: 0.01 };

    fn state(prior: f64) -> (CombinationState, FixedSharePrior) {
        let belief = belief(prior);
        (CombinationState { share: FixedShare::new(&belief), predicted: None }, belief)
    }

    /// The DQN expects 0.4 standard deviations of 1 %; the forecast is -2 % with a standard
    /// deviation of 2 %: their mean is -0.8 %. A return of -2.8 % is then 1 standard deviation off
    /// the mean, and 1.6, 1.5 and 1.4 off all, half and none of the DQN's forecast.
    #[test]
    fn who_is_right_is_learned_by_hand() {
        let (mut state, belief) = state(0.25);
        let own = VALUES.expected_return(0.0);
        assert!((own - 0.004).abs() < 1e-9);
        let forecast = Some(Forecast { mean: -0.02, std: 0.02 });
        assert_eq!(state.predict(own, forecast), 0.0, "believed by a quarter");
        state.learn(Some(-0.028), &belief);
        let likely = |off: f64| 0.25 / (1.0 + off * off / 3.0).powi(3);
        let bayes = likely(1.0) / (likely(1.0) + likely(1.6) + likely(1.5) + likely(1.4));
        let expected = (1.0 - SHARE_RATE) * bayes + SHARE_RATE * 0.25;
        let found = state.mean_weight();
        assert!((found - expected).abs() < 1e-6, "{found}, not {expected}");
        // There was no forecast for the next bar.
        state.learn(Some(-0.028), &belief);
        assert_eq!(state.mean_weight(), found);
        // After a few more such bars the second forecast is used.
        for _ in 0..4 {
            state.predict(own, forecast);
            state.learn(Some(-0.028), &belief);
        }
        assert_eq!(state.predict(own, forecast), -0.02);
    }

    /// A DQN that values a position for later bars seems to expect 0.4 standard deviations of each
    /// bar. If that does not come true, half of it is closer, but not because of the second
    /// forecast.
    #[test]
    fn who_says_too_much_is_no_reason_to_hear_another() {
        let (mut state, belief) = state(0.25);
        for bar in 0..400 {
            let small = if bar % 2 == 0 { 0.001 } else { -0.001 };
            state.predict(0.004, Some(Forecast { mean: small, std: 0.01 }));
            state.learn(Some([0.01, 0.008, -0.01, -0.008][bar % 4]), &belief);
        }
        assert!(state.share.weights()[0] < 0.01 && state.mean_weight() < 0.01);
    }

    /// Without a forecast and from the same position, the DQN's choice stands, to the last bit.
    #[test]
    fn nobody_else_changes_nothing() {
        let (mut state, _) = state(0.5);
        assert_eq!(state.predict(0.01, None), 0.0);
        assert_eq!(VALUES.choose(0.0, 0, 1e-3), (1, 0.3));
        let down = ActionValues { short: Some(0.2), long: 0.1, held: -1, ..VALUES };
        assert_eq!(down.choose(0.0, -1, 1e-3), (-1, 0.2));
        let out = ActionValues { short: Some(-0.2), long: -0.1, ..VALUES };
        assert_eq!(out.choose(0.0, 0, 1e-3), (0, 0.0));
        let long_only = ActionValues { short: None, long: -0.1, ..VALUES };
        assert_eq!(long_only.choose(0.0, 0, 1e-3), (0, 0.0));
    }

    /// Costs of 0.1 standard deviations. The DQN's account is long and stays so for 0.05 more than
    /// leaving; a flat account would have to pay for entering.
    #[test]
    fn costs_are_those_of_the_account_that_pays() {
        let values = ActionValues { short: Some(-0.4), long: 0.05, held: 1, unit: 0.01 };
        assert_eq!(values.choose(0.0, 1, 1e-3), (1, 0.05));
        assert_eq!(values.choose(0.0, 0, 1e-3).0, 0, "0.05 - 0.2");
        let (direction, worth) = values.choose(0.2, 0, 1e-3);
        assert!(direction == 1 && (worth - 0.05).abs() < 1e-6, "0.05 - 0.2 + 0.2, not {worth}");
        // Short is worth -0.4 + 0.3 there, and another 0.2 for the reversal that is saved.
        assert_eq!(values.choose(-0.3, -1, 1e-3).0, -1);
    }

    /// Being long is worth 0.3 more than flat; leaving would cost 0.1.
    #[test]
    fn what_is_expected_without_shorts() {
        let values = ActionValues { short: None, held: 1, ..VALUES };
        assert!((values.expected_return(1e-3) - (0.003 - 0.001)).abs() < 1e-9);
        let values = ActionValues { held: 0, ..values };
        assert!((values.expected_return(1e-3) - (0.003 + 0.001)).abs() < 1e-9);
    }
}
