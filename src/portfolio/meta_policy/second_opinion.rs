//! What the DQN wants, once another has been heard. Two that look at a market in different ways
//! are right at different times: where the DQN knows the state of a market by one sign of it, a
//! plain forecast from the latest bars may know it by another, and both together are better than
//! either (Bates and Granger 1969). Whether it is so here is judged bar by bar, by Bayes' rule over
//! how likely each made the return that came: the DQN alone, or the mean of both. That tells sooner
//! than profits would, in which a bar counts only where the two want different things.
//!
//! The DQN's values also hold what a position is worth later, so that it seems to expect more of
//! the next bar than it does. A mean with anything would then be better than it: so the DQN alone
//! stands there with half and with nothing of what it seems to expect, too.

use serde::{Deserialize, Serialize};

use crate::market::panel::{MarketView, Panel};
use crate::math::fixed_share::{Belief, FixedShare};
use crate::strategy::autoregression::{Echo, Forecast};

/// Chance that from one bar to the next it begins anew who is right.
const SHARE_RATE: f64 = 1e-5;
/// The other is followed while the mean is believed more than this. Followed by as much as it is
/// believed, it would trade in a random walk, where a few orders that lose are all there is.
const BELIEVED: f64 = 0.5;
/// Parts of what the DQN seems to expect by which it stands alone.
const ALONE: [f64; 3] = [1.0, 0.5, 0.0];

/// How the DQN values the positions that it may take, in standard deviations of a bar's return.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Values {
    /// More than no position is worth; None where shorts are not allowed.
    pub short: Option<f32>,
    pub long: f32,
    /// -1, 0 or 1: the position that the account has from which it sees them.
    pub held: i8,
    /// One standard deviation, as a return.
    pub unit: f64,
}

/// What is forecast of the stocks at every row of a panel.
pub struct SecondOpinion {
    belief: Belief,
    /// `[row, stock]`, each from the bars up to its row; None where there are too few.
    forecasts: Vec<Option<Forecast>>,
    stocks: usize,
}

/// Of one account and stock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hearing {
    /// Of the DQN alone, by each of [`ALONE`], and of the mean.
    share: FixedShare,
    foretold: Option<Foretold>,
}

/// Of the next bar.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Foretold {
    /// By the DQN alone, by each of [`ALONE`], and by the mean.
    means: [f64; ALONE.len() + 1],
    std: f64,
}

impl SecondOpinion {
    /// `prior`: the chance, before anything is seen, that it is better with the second opinion.
    pub fn of(panel: &Panel, stocks: usize, prior: f64) -> SecondOpinion {
        let belief = belief(prior);
        let mut echoes = vec![Echo::default(); stocks];
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
        SecondOpinion { belief, forecasts, stocks }
    }

    /// Before anything is seen.
    pub fn hearing(&self) -> Hearing {
        Hearing { share: FixedShare::new(&self.belief), foretold: None }
    }

    /// The direction in which an account that holds `held` is to hold the stock from the next open
    /// on, and by how much that is worth more than nothing, in the unit of `values`. `cost` is that
    /// of trading all of an account once.
    pub fn hear(
        &self,
        hearing: &mut Hearing,
        view: &MarketView<'_>,
        stock: usize,
        (values, held, cost): (&Values, i8, f64),
    ) -> (i8, f32) {
        let forecast = self.forecasts[view.t() * self.stocks + stock];
        let bar = view.bar(stock);
        let before = view.back(1).map(|view| view.bar(stock).close);
        let found = before.filter(|_| bar.tradable).map(|last| bar.close / last - 1.0);
        hearing.learn(found.filter(|found| found.is_finite()), &self.belief);
        let more = hearing.foretell(values.foretold(cost), forecast) / values.unit;
        values.choose(more, held, cost)
    }
}

fn belief(second: f64) -> Belief {
    let mut prior = vec![(1.0 - second) / ALONE.len() as f64; ALONE.len()];
    prior.push(second);
    Belief { prior, share_rates: vec![SHARE_RATE] }
}

impl Hearing {
    /// `found`: the return of the bar that closed.
    fn learn(&mut self, found: Option<f64>, belief: &Belief) {
        let (Some(Foretold { means, std }), Some(found)) = (self.foretold.take(), found) else {
            return;
        };
        let likely = means.map(|mean| Forecast { mean, std }.likelihood(found));
        self.share.update(&likely, belief);
    }

    /// Notes what is said of the next bar, and returns what is to be expected of it beside `own`,
    /// what the DQN expects. Both are added, not averaged: two that know a state by different signs
    /// add their log odds, and what the DQN's values say of later bars stays as it is.
    fn foretell(&mut self, own: f64, forecast: Option<Forecast>) -> f64 {
        let Some(Forecast { mean, std }) = forecast else { return 0.0 };
        let [whole, half, none] = ALONE.map(|part| part * own);
        self.foretold = Some(Foretold { means: [whole, half, none, (own + mean) / 2.0], std });
        if self.believed() > BELIEVED { mean } else { 0.0 }
    }

    /// How likely it is that the mean foretells better.
    fn believed(&self) -> f64 {
        self.share.weights()[ALONE.len()]
    }
}

impl Values {
    /// The return that the DQN expects of the next bar, about. What a position is worth later has a
    /// part in its values, which is small where it is turned often.
    fn foretold(&self, cost: f64) -> f64 {
        let long = f64::from(self.long) * self.unit;
        match self.short {
            Some(short) => (long - f64::from(short) * self.unit) / 2.0,
            // Coming to it costs, and so does leaving it.
            None => long + cost * f64::from(1 - 2 * self.held),
        }
    }

    /// The best direction of an account that holds `held`, where a bar's return is expected to be
    /// `more` deviations than the DQN expects, and its worth.
    fn choose(&self, more: f64, held: i8, cost: f64) -> (i8, f32) {
        let cost = cost / self.unit;
        let moved = |direction: i8, from: i8| f64::from((direction - from).abs());
        let worth = |(direction, value): (i8, f32)| {
            let dearer = cost * (moved(direction, held) - moved(direction, self.held));
            f64::from(value) - dearer + f64::from(direction) * more
        };
        let none = (0, 0.0);
        let mut best = self.short.map_or(none, |short| (-1, short));
        for other in [none, (1, self.long)] {
            if worth(other) > worth(best) {
                best = other;
            }
        }
        (best.0, (worth(best) - worth(none)) as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: Values = Values { short: Some(-0.5), long: 0.3, held: 0, unit: 0.01 };

    fn hearing(prior: f64) -> (Hearing, Belief) {
        let belief = belief(prior);
        (Hearing { share: FixedShare::new(&belief), foretold: None }, belief)
    }

    /// The DQN expects 0.4 deviations of 1 %, the forecast is -2 % with a deviation of 2 %: the
    /// mean of both is -0.8 %. A return of -2.8 % is then 1 deviation off it, and 1.6, 1.5 and 1.4
    /// off all, half and nothing of the DQN's.
    #[test]
    fn who_is_right_is_learned_by_hand() {
        let (mut hearing, belief) = hearing(0.25);
        let own = VALUES.foretold(0.0);
        assert!((own - 0.004).abs() < 1e-9);
        let forecast = Some(Forecast { mean: -0.02, std: 0.02 });
        assert_eq!(hearing.foretell(own, forecast), 0.0, "believed by a quarter");
        hearing.learn(Some(-0.028), &belief);
        let likely = |off: f64| 0.25 / (1.0 + off * off / 3.0).powi(3);
        let bayes = likely(1.0) / (likely(1.0) + likely(1.6) + likely(1.5) + likely(1.4));
        let expected = (1.0 - SHARE_RATE) * bayes + SHARE_RATE * 0.25;
        let found = hearing.believed();
        assert!((found - expected).abs() < 1e-6, "{found}, not {expected}");
        // Nothing was foretold of the next.
        hearing.learn(Some(-0.028), &belief);
        assert_eq!(hearing.believed(), found);
        // A few such bars more, and it is followed.
        for _ in 0..4 {
            hearing.foretell(own, forecast);
            hearing.learn(Some(-0.028), &belief);
        }
        assert_eq!(hearing.foretell(own, forecast), -0.02);
    }

    /// A DQN that values a position for later bars seems to expect 0.4 deviations of each. Where
    /// nothing comes of it, half of that is nearer to the truth, but not because of the forecast.
    #[test]
    fn who_says_too_much_is_no_reason_to_hear_another() {
        let (mut hearing, belief) = hearing(0.25);
        for bar in 0..400 {
            let small = if bar % 2 == 0 { 0.001 } else { -0.001 };
            hearing.foretell(0.004, Some(Forecast { mean: small, std: 0.01 }));
            hearing.learn(Some([0.01, 0.008, -0.01, -0.008][bar % 4]), &belief);
        }
        assert!(hearing.share.weights()[0] < 0.01 && hearing.believed() < 0.01);
    }

    /// Without a forecast and from the same position the DQN has its way, to the last bit.
    #[test]
    fn nobody_else_changes_nothing() {
        let (mut hearing, _) = hearing(0.5);
        assert_eq!(hearing.foretell(0.01, None), 0.0);
        assert_eq!(VALUES.choose(0.0, 0, 1e-3), (1, 0.3));
        let down = Values { short: Some(0.2), long: 0.1, held: -1, ..VALUES };
        assert_eq!(down.choose(0.0, -1, 1e-3), (-1, 0.2));
        let out = Values { short: Some(-0.2), long: -0.1, ..VALUES };
        assert_eq!(out.choose(0.0, 0, 1e-3), (0, 0.0));
        let long_only = Values { short: None, long: -0.1, ..VALUES };
        assert_eq!(long_only.choose(0.0, 0, 1e-3), (0, 0.0));
    }

    /// Costs of 0.1 deviations. The DQN is long with its own account and stays so for 0.05 more
    /// than leaving; an account that is flat would have to pay for coming in.
    #[test]
    fn costs_are_those_of_the_account_that_pays() {
        let values = Values { short: Some(-0.4), long: 0.05, held: 1, unit: 0.01 };
        assert_eq!(values.choose(0.0, 1, 1e-3), (1, 0.05));
        assert_eq!(values.choose(0.0, 0, 1e-3).0, 0, "0.05 - 0.2");
        let (direction, worth) = values.choose(0.2, 0, 1e-3);
        assert!(direction == 1 && (worth - 0.05).abs() < 1e-6, "0.05 - 0.2 + 0.2, not {worth}");
        // Short is worth -0.4 + 0.3 there, and another 0.2 for the turn that is saved.
        assert_eq!(values.choose(-0.3, -1, 1e-3).0, -1);
    }

    /// In, it is worth 0.3 more than out; leaving would cost 0.1.
    #[test]
    fn what_is_expected_without_shorts() {
        let values = Values { short: None, held: 1, ..VALUES };
        assert!((values.foretold(1e-3) - (0.003 - 0.001)).abs() < 1e-9);
        let values = Values { held: 0, ..values };
        assert!((values.foretold(1e-3) - (0.003 + 0.001)).abs() < 1e-9);
    }
}
