//! Arbitration: what the workers want, against the limits of the portfolio.

use serde::{Deserialize, Serialize};

use crate::config::PortfolioConfig;

/// What a worker wants for its stock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wish {
    /// -1, 0 or 1.
    pub direction: i8,
    /// How much better than holding nothing the worker thinks it is.
    pub conviction: f32,
    /// Fraction of equity that the meta-policy allots to the stock; never negative.
    pub capital: f64,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Order {
    pub direction: i8,
    /// Fraction of equity to hold in that direction.
    pub weight: f64,
    /// Why it differs from the wish; None where it does not.
    pub reason: Option<Reason>,
}

/// Why an order was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Another worker holds a near-identical stock in the opposite direction with more conviction.
    OppositeTwin,
    NameLimit,
    GrossLimit,
    NetLimit,
}

/// The limits of a portfolio.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    pub gross: f64,
    pub net: f64,
    pub name: f64,
    /// Near-identical stocks, each pair once.
    pub twins: Vec<(usize, usize)>,
}

impl Limits {
    /// `correlation[i][j]` as measured over the training period.
    pub fn new(config: &PortfolioConfig, correlation: &[Vec<Option<f64>>]) -> Limits {
        let stocks = correlation.len();
        let mut twins = Vec::new();
        for (i, row) in correlation.iter().enumerate() {
            for (j, value) in row.iter().enumerate().skip(i + 1) {
                if value.is_some_and(|c| c > config.identical_correlation) {
                    twins.push((i, j));
                }
            }
        }
        Limits {
            gross: config.gross_limit,
            net: config.net_limit,
            name: config.name_limit_of(stocks),
            twins,
        }
    }
}

/// Turns wishes into orders, `[stock]`. Directions are only ever set to flat, weights only ever
/// reduced. The outcome does not depend on the order in which the limits' pairs are listed: of two
/// opposite twins the one with less conviction gives way, the later stock on a tie.
pub fn arbitrate(wishes: &[Wish], limits: &Limits, orders: &mut Vec<Order>) {
    orders.clear();
    orders.extend(wishes.iter().map(|wish| Order {
        direction: wish.direction,
        weight: if wish.direction == 0 { 0.0 } else { wish.capital },
        reason: None,
    }));
    for &(i, j) in &limits.twins {
        if wishes[i].direction * wishes[j].direction < 0 {
            let loser = if wishes[j].conviction > wishes[i].conviction { i } else { j };
            orders[loser] = Order { direction: 0, weight: 0.0, reason: Some(Reason::OppositeTwin) };
        }
    }
    for order in orders.iter_mut().filter(|order| order.weight > limits.name) {
        order.weight = limits.name;
        order.reason = Some(Reason::NameLimit);
    }
    let gross: f64 = orders.iter().map(|order| order.weight).sum();
    if gross > limits.gross {
        scale(orders, limits.gross / gross, Reason::GrossLimit, |_| true);
    }
    let net: f64 = orders.iter().map(|order| f64::from(order.direction) * order.weight).sum();
    if net.abs() > limits.net {
        // Only the side that is too heavy shrinks, so that the correction never adds risk.
        let side = net.signum() as i8;
        let heavy: f64 =
            orders.iter().filter(|o| o.direction == side).map(|order| order.weight).sum();
        let factor = (heavy - (net.abs() - limits.net)) / heavy;
        scale(orders, factor, Reason::NetLimit, |order| order.direction == side);
    }
}

fn scale(orders: &mut [Order], factor: f64, reason: Reason, of: impl Fn(&Order) -> bool) {
    for order in orders.iter_mut().filter(|order| of(order) && order.weight > 0.0) {
        order.weight *= factor;
        order.reason = Some(reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(direction: i8, conviction: f32, capital: f64) -> Wish {
        Wish { direction, conviction, capital }
    }

    fn limits() -> Limits {
        Limits { gross: 1.0, net: 1.0, name: 0.5, twins: vec![] }
    }

    fn decide(wishes: &[Wish], limits: &Limits) -> Vec<Order> {
        let mut orders = Vec::new();
        arbitrate(wishes, limits, &mut orders);
        orders
    }

    #[test]
    fn wishes_within_the_limits_pass_unchanged() {
        let orders = decide(&[wish(1, 0.1, 0.4), wish(-1, 0.2, 0.3), wish(0, 0.0, 0.3)], &limits());
        let plain: Vec<_> = orders.iter().map(|o| (o.direction, o.weight, o.reason)).collect();
        assert_eq!(plain, [(1, 0.4, None), (-1, 0.3, None), (0, 0.0, None)]);
    }

    #[test]
    fn of_two_opposite_twins_the_less_convinced_gives_way() {
        let limits = Limits { twins: vec![(0, 2)], ..limits() };
        let orders = decide(&[wish(1, 0.1, 0.2), wish(1, 0.0, 0.2), wish(-1, 0.3, 0.2)], &limits);
        assert_eq!(orders[0].direction, 0);
        assert_eq!(orders[0].reason, Some(Reason::OppositeTwin));
        assert_eq!((orders[1].direction, orders[2].direction), (1, -1));
        let same_side = decide(&[wish(1, 0.1, 0.2), wish(0, 0.0, 0.2), wish(1, 0.3, 0.2)], &limits);
        assert!(same_side.iter().all(|order| order.reason.is_none()));
    }

    #[test]
    fn name_gross_and_net_limits_hold_and_say_so() {
        let orders = decide(&[wish(1, 0.1, 0.9), wish(-1, 0.2, 0.9)], &limits());
        assert!(orders.iter().all(|o| o.weight == 0.5 && o.reason == Some(Reason::NameLimit)));
        let gross = Limits { gross: 0.5, ..limits() };
        let orders = decide(&[wish(1, 0.1, 0.5), wish(-1, 0.2, 0.5)], &gross);
        assert!(orders.iter().all(|o| o.weight == 0.25 && o.reason == Some(Reason::GrossLimit)));
        // Long 0.8, short 0.1: net 0.7 is 0.4 too much, which the long side gives up by half.
        let net = Limits { net: 0.3, ..limits() };
        let orders = decide(&[wish(1, 0.1, 0.4), wish(1, 0.1, 0.4), wish(-1, 0.2, 0.1)], &net);
        let weights: Vec<f64> = orders.iter().map(|o| o.weight).collect();
        for (weight, expected) in weights.iter().zip([0.2, 0.2, 0.1]) {
            assert!((weight - expected).abs() < 1e-12, "{weights:?}");
        }
        assert_eq!(orders[2].reason, None);
        assert_eq!(orders[0].reason, Some(Reason::NetLimit));
    }
}
