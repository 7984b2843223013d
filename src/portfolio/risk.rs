//! Order arbitration: proposals of the workers against the limits of the portfolio.

use serde::{Deserialize, Serialize};

use super::limits::Limits;

/// A worker's proposal for its stock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PositionRequest {
    /// From -1 to 1, as a fraction of `capital`.
    pub position: f64,
    /// Of two opposite positions in near-identical stocks, the one with more of it is held.
    pub conviction: f32,
    /// Fraction of equity that the meta-policy allocates to the stock; never negative.
    pub capital: f64,
}

/// The approved order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PositionOrder {
    /// -1, 0 or 1.
    pub direction: i8,
    /// Fraction of equity to hold in that direction.
    pub weight: f64,
    /// Why it differs from the proposal; None if it does not.
    pub reason: Option<Reason>,
}

/// Why an order was changed; the last rule if several changed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Another worker holds a near-identical stock in the opposite direction with more conviction.
    OppositeTwin,
    /// Limit on the position in one stock.
    NameLimit,
    /// Limit on the net position of a cluster of stocks that move together.
    ClusterLimit,
    /// Limit on the sum of absolute positions.
    GrossLimit,
    /// Limit on the absolute sum of signed positions.
    NetLimit,
    /// The account is halted after a drawdown.
    DrawdownStop,
}

impl Reason {
    /// For people.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Reason::OppositeTwin => "opposite twin",
            Reason::NameLimit => "limit of a stock",
            Reason::ClusterLimit => "limit of a cluster",
            Reason::GrossLimit => "gross limit",
            Reason::NetLimit => "net limit",
            Reason::DrawdownStop => "drawdown stop",
        }
    }
}

/// Turns proposals into orders, `[stock]`.
///
/// - Directions are only ever set to flat, and weights only ever reduced.
/// - Afterwards every limit holds, up to rounding of one part in 10^12. No rule undoes an earlier
///   one.
/// - Arbitrating the resulting orders again does not change them.
/// - The result does not depend on the order of the stocks: sums are exact ([`exact`]), and ties of
///   conviction go by symbol.
pub(crate) fn arbitrate(
    requests: &[PositionRequest],
    limits: &Limits,
    orders: &mut Vec<PositionOrder>,
) {
    assert_eq!(requests.len(), limits.stocks(), "a request for every stock");
    orders.clear();
    orders.extend(requests.iter().map(|&PositionRequest { position, capital, .. }| {
        PositionOrder {
            direction: i8::from(position > 0.0) - i8::from(position < 0.0),
            weight: position.abs() * capital,
            reason: None,
        }
    }));
    separate_twins(requests, limits, orders);
    for order in orders.iter_mut().filter(|order| order.weight > limits.name) {
        order.weight = limits.name;
        order.reason = Some(Reason::NameLimit);
    }
    if limits.cluster.is_finite() {
        for cluster in limits.clusters.iter().filter(|cluster| cluster.len() > 1) {
            limit_cluster(cluster, limits.cluster, orders);
        }
    }
    limit_gross(limits.gross, orders);
    limit_net(limits, orders);
}

/// Sets every order to flat.
pub(crate) fn stop(orders: &mut [PositionOrder]) {
    for order in orders.iter_mut().filter(|order| order.direction != 0) {
        *order = flat(Reason::DrawdownStop);
    }
}

fn flat(reason: Reason) -> PositionOrder {
    PositionOrder { direction: 0, weight: 0.0, reason: Some(reason) }
}

/// In order of conviction: a stock stays flat if a twin before it has the opposite direction.
fn separate_twins(requests: &[PositionRequest], limits: &Limits, orders: &mut [PositionOrder]) {
    if limits.twins.iter().all(|&(i, j)| orders[i].direction * orders[j].direction >= 0) {
        return;
    }
    let conviction = |stock: usize| {
        let conviction = requests[stock].conviction;
        if conviction.is_nan() { f32::NEG_INFINITY } else { conviction }
    };
    let mut queue: Vec<usize> = limits.twins.iter().flat_map(|&(i, j)| [i, j]).collect();
    queue.sort_by(|&i, &j| {
        let by_symbol = limits.rank[i].cmp(&limits.rank[j]);
        conviction(j).total_cmp(&conviction(i)).then(by_symbol)
    });
    queue.dedup();
    for (place, &stock) in queue.iter().enumerate() {
        let opposed = limits.twins.iter().any(|&(i, j)| {
            let other = if i == stock { j } else { i };
            (i == stock || j == stock)
                && orders[i].direction * orders[j].direction < 0
                && queue[..place].contains(&other)
        });
        if opposed {
            orders[stock] = flat(Reason::OppositeTwin);
        }
    }
}

/// Reduces the larger side of a cluster.
fn limit_cluster(cluster: &[usize], limit: f64, orders: &mut [PositionOrder]) {
    let held = GroupExposure::from_orders(cluster, orders);
    let net = held.net();
    if !exceeds(net.abs(), limit) {
        return;
    }
    let side = net.signum() as i8;
    let fraction = ratio(net.abs() - exact(limit), held.on(side));
    cut(
        orders,
        fraction,
        Reason::ClusterLimit,
        |stock, order| f64::from(order.direction == side && cluster.contains(&stock)),
        |orders| GroupExposure::from_orders(cluster, orders).net().abs() <= exact(limit),
    );
}

/// Reduces all orders in proportion.
fn limit_gross(limit: f64, orders: &mut [PositionOrder]) {
    let gross =
        |orders: &[PositionOrder]| orders.iter().map(|order| exact(order.weight)).sum::<i128>();
    let held = gross(orders);
    if exceeds(held, limit) {
        let fraction = ratio(held - exact(limit), held);
        cut(orders, fraction, Reason::GrossLimit, |_, _| 1.0, |now| gross(now) <= exact(limit));
    }
}

/// Clusters that are net on the larger side are reduced in proportion to their net positions, and
/// by no more than that, so that no cluster changes sides.
fn limit_net(limits: &Limits, orders: &mut [PositionOrder]) {
    let net = |orders: &[PositionOrder]| orders.iter().map(signed).sum::<i128>();
    let held = net(orders);
    if !exceeds(held.abs(), limits.net) {
        return;
    }
    let side = held.signum() as i8;
    let mut parts = vec![0.0; orders.len()];
    let mut heavy = 0;
    for cluster in &limits.clusters {
        let sides = GroupExposure::from_orders(cluster, orders);
        let excess = sides.net() * i128::from(side);
        if excess > 0 {
            heavy += excess;
            let part = ratio(excess, sides.on(side));
            cluster.iter().for_each(|&stock| parts[stock] = part);
        }
    }
    cut(
        orders,
        ratio(held.abs() - exact(limits.net), heavy),
        Reason::NetLimit,
        |stock, order| if order.direction == side { parts[stock] } else { 0.0 },
        |orders| net(orders).abs() <= exact(limits.net),
    );
}

/// Reduces every weight by `part(stock, order) * fraction`, then in tiny further steps until the
/// limit holds to the last bit.
fn cut(
    orders: &mut [PositionOrder],
    mut fraction: f64,
    reason: Reason,
    part: impl Fn(usize, &PositionOrder) -> f64,
    holds: impl Fn(&[PositionOrder]) -> bool,
) {
    let before: Vec<f64> = orders.iter().map(|order| order.weight).collect();
    let mut step = f64::EPSILON;
    loop {
        for ((stock, order), &before) in orders.iter_mut().enumerate().zip(&before) {
            let part = part(stock, order);
            if part > 0.0 && before > 0.0 {
                order.weight = before * (1.0 - part * fraction).max(0.0);
                order.reason = Some(reason);
            }
        }
        if holds(orders) {
            return;
        }
        // A limit below the rounding of the weights: going flat satisfies every limit.
        if step > 1.0 {
            orders.iter_mut().filter(|order| order.direction != 0).for_each(|o| *o = flat(reason));
            return;
        }
        fraction += step;
        step *= 2.0;
    }
}

/// Long and short positions of a group of stocks.
#[derive(Default)]
struct GroupExposure {
    long: i128,
    short: i128,
}

impl GroupExposure {
    fn from_orders(stocks: &[usize], orders: &[PositionOrder]) -> GroupExposure {
        let mut sides = GroupExposure::default();
        for order in stocks.iter().map(|&stock| &orders[stock]) {
            match order.direction {
                1 => sides.long += exact(order.weight),
                -1 => sides.short += exact(order.weight),
                _ => {}
            }
        }
        sides
    }

    fn net(&self) -> i128 {
        self.long - self.short
    }

    fn on(&self, side: i8) -> i128 {
        if side > 0 { self.long } else { self.short }
    }
}

fn signed(order: &PositionOrder) -> i128 {
    i128::from(order.direction) * exact(order.weight)
}

/// Shares that were allocated to add up to a limit may exceed it by rounding, which is no reason to
/// change orders. Orders that are reduced are reduced to the limit itself.
const ROUNDING: f64 = 1e-12;

fn exceeds(held: i128, limit: f64) -> bool {
    held > exact(limit * (1.0 + ROUNDING))
}

/// A weight in units of 2^-80, in which sums are exact and therefore independent of order. Weights
/// below 2^-27 lose digits, always the same ones. An infinite weight is larger than any sum.
pub(super) fn exact(weight: f64) -> i128 {
    if weight.is_infinite() { i128::MAX } else { (weight * 2_f64.powi(80)) as i128 }
}

fn ratio(part: i128, whole: i128) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests;
