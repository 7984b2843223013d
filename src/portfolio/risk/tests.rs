use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::config::PortfolioConfig;
use crate::market::Symbol;

fn request(direction: i8, conviction: f32, capital: f64) -> PositionRequest {
    PositionRequest { position: direction.into(), conviction, capital }
}

/// This many stocks, each a cluster of its own.
fn limits(stocks: usize) -> Limits {
    Limits {
        gross: 1.0,
        net: 1.0,
        name: 0.5,
        cluster: f64::INFINITY,
        twins: vec![],
        clusters: (0..stocks).map(|stock| vec![stock]).collect(),
        rank: (0..stocks).collect(),
    }
}

fn decide(requests: &[PositionRequest], limits: &Limits) -> Vec<PositionOrder> {
    let mut orders = Vec::new();
    arbitrate(requests, limits, &mut orders);
    orders
}

fn assert_weights(orders: &[PositionOrder], expected: &[f64]) {
    assert_eq!(orders.len(), expected.len());
    for (order, expected) in orders.iter().zip(expected) {
        assert!((order.weight - expected).abs() < 1e-12, "{orders:?} is not {expected:?}");
    }
}

#[test]
fn requests_within_the_limits_pass_unchanged() {
    let orders =
        decide(&[request(1, 0.1, 0.4), request(-1, 0.2, 0.3), request(0, 0.0, 0.3)], &limits(3));
    let plain: Vec<_> = orders.iter().map(|o| (o.direction, o.weight, o.reason)).collect();
    assert_eq!(plain, [(1, 0.4, None), (-1, 0.3, None), (0, 0.0, None)]);
}

#[test]
fn of_two_opposite_twins_the_less_convinced_gives_way() {
    let limits = Limits { twins: vec![(0, 2)], ..limits(3) };
    let orders =
        decide(&[request(1, 0.1, 0.2), request(1, 0.0, 0.2), request(-1, 0.3, 0.2)], &limits);
    assert_eq!(orders[0].direction, 0);
    assert_eq!(orders[0].reason, Some(Reason::OppositeTwin));
    assert_eq!((orders[1].direction, orders[2].direction), (1, -1));
    let same_side =
        decide(&[request(1, 0.1, 0.2), request(0, 0.0, 0.2), request(1, 0.3, 0.2)], &limits);
    assert!(same_side.iter().all(|order| order.reason.is_none()));
}

/// With equal convictions the symbol that sorts first stays; a stock that was set to flat does not
/// block another.
#[test]
fn ties_go_by_symbol_and_who_gave_way_does_not_count() {
    let pair = Limits { twins: vec![(0, 1)], rank: vec![1, 0], ..limits(2) };
    let orders = decide(&[request(1, 0.2, 0.2), request(-1, 0.2, 0.2)], &pair);
    assert_eq!((orders[0].direction, orders[1].direction), (0, -1));
    let chain = Limits { twins: vec![(0, 1), (1, 2)], ..limits(3) };
    let orders =
        decide(&[request(1, 0.3, 0.2), request(-1, 0.2, 0.2), request(1, 0.1, 0.2)], &chain);
    assert_eq!([0, 1, 2].map(|stock| orders[stock].direction), [1, 0, 1]);
}

/// The sum of ten tenths exceeds one by rounding.
#[test]
fn shares_that_make_a_whole_are_within_a_limit_of_one() {
    let shares = [request(1, 0.1, 0.1 + f64::EPSILON / 8.0); 10];
    assert!(shares.iter().map(|request| exact(request.capital)).sum::<i128>() > exact(1.0));
    assert!(decide(&shares, &limits(10)).iter().all(|order| order.reason.is_none()));
    let more = [request(1, 0.1, 0.1 + 1e-11); 10];
    assert!(decide(&more, &limits(10)).iter().all(|o| o.reason == Some(Reason::GrossLimit)));
}

#[test]
fn name_gross_and_net_limits_hold_and_say_so() {
    let orders = decide(&[request(1, 0.1, 0.9), request(-1, 0.2, 0.9)], &limits(2));
    assert!(orders.iter().all(|o| o.weight == 0.5 && o.reason == Some(Reason::NameLimit)));
    let gross = Limits { gross: 0.5, ..limits(2) };
    let orders = decide(&[request(1, 0.1, 0.5), request(-1, 0.2, 0.5)], &gross);
    assert!(orders.iter().all(|o| o.weight == 0.25 && o.reason == Some(Reason::GrossLimit)));
    // Long 0.8, short 0.1: net 0.7 is 0.4 too much, which halves the long side.
    let net = Limits { net: 0.3, ..limits(3) };
    let orders = decide(&[request(1, 0.1, 0.4), request(1, 0.1, 0.4), request(-1, 0.2, 0.1)], &net);
    assert_weights(&orders, &[0.2, 0.2, 0.1]);
    assert_eq!(orders[2].reason, None);
    assert_eq!(orders[0].reason, Some(Reason::NetLimit));
}

/// Long 0.5 and short 0.1 in one cluster: 0.1 too much, a fifth of the long side.
#[test]
fn a_cluster_is_limited_on_its_heavy_side() {
    let clusters = vec![vec![0, 2], vec![1]];
    let limits = Limits { cluster: 0.3, clusters, ..limits(3) };
    let orders =
        decide(&[request(1, 0.1, 0.5), request(1, 0.1, 0.4), request(-1, 0.2, 0.1)], &limits);
    assert_weights(&orders, &[0.4, 0.4, 0.1]);
    assert_eq!(orders[0].reason, Some(Reason::ClusterLimit));
    assert_eq!((orders[1].reason, orders[2].reason), (None, None));
}

/// The first cluster is 0.2 net long (0.5 and 0.3 short), the second stock 0.4 long alone. Of the
/// sum of 0.6, 0.2 has to go: a third of either's net. The cluster does not end up net short.
#[test]
fn a_hedged_cluster_gives_up_its_own_net_only() {
    let clusters = vec![vec![0, 2], vec![1]];
    let limits = Limits { net: 0.4, cluster: 0.2, gross: 2.0, clusters, ..limits(3) };
    let orders =
        decide(&[request(1, 0.1, 0.5), request(1, 0.1, 0.4), request(-1, 0.2, 0.3)], &limits);
    assert_weights(&orders, &[0.5 - 0.2 / 3.0, 0.4 * 2.0 / 3.0, 0.3]);
    assert_eq!(orders[0].reason, Some(Reason::NetLimit));
}

#[test]
fn a_stop_leaves_nothing_and_the_reasons_of_what_was_flat() {
    let twins = Limits { twins: vec![(0, 1)], ..limits(3) };
    let mut orders =
        decide(&[request(1, 0.1, 0.2), request(-1, 0.2, 0.2), request(0, 0.0, 0.2)], &twins);
    stop(&mut orders);
    assert!(orders.iter().all(|order| order.direction == 0 && order.weight == 0.0));
    let reasons: Vec<_> = orders.iter().map(|order| order.reason).collect();
    assert_eq!(reasons, [Some(Reason::OppositeTwin), Some(Reason::DrawdownStop), None]);
}

/// Random settings, correlations and proposals.
struct Case {
    config: PortfolioConfig,
    stocks: Vec<Symbol>,
    correlation: Vec<Vec<Option<f64>>>,
    requests: Vec<PositionRequest>,
}

impl Case {
    fn draw(rng: &mut ChaCha8Rng) -> Case {
        let count = rng.random_range(1..=9);
        let mut letters: Vec<char> = ('A'..='Z').collect();
        let stocks: Vec<Symbol> = (0..count)
            .map(|_| letters.swap_remove(rng.random_range(0..letters.len())))
            .map(|letter| letter.to_string().parse().unwrap())
            .collect();
        let mut correlation = vec![vec![Some(1.0); count]; count];
        for i in 0..count {
            for j in 0..i {
                let value = rng.random_bool(0.9).then(|| rng.random_range(-1.0..1.0));
                (correlation[i][j], correlation[j][i]) = (value, value);
            }
        }
        let limit = |rng: &mut ChaCha8Rng| match rng.random_range(0..10) {
            0..3 => f64::INFINITY,
            3 => 1e-6,
            _ => rng.random_range(0.01..1.5),
        };
        let maybe = |rng: &mut ChaCha8Rng| rng.random_bool(0.7).then(|| limit(rng));
        let pairs = match count {
            1 => vec![],
            _ => vec![[stocks[0].clone(), stocks[1].clone()]],
        };
        let config = PortfolioConfig {
            gross_limit: limit(rng),
            net_limit: limit(rng),
            name_limit: maybe(rng),
            cluster_limit: maybe(rng),
            cluster_correlation: rng.random_range(0.2..1.1),
            identical_correlation: rng.random_range(0.2..1.1),
            pairs,
            ..PortfolioConfig::default()
        };
        let requests = (0..count).map(|_| random_request(rng)).collect();
        Case { config, stocks, correlation, requests }
    }

    fn limits(&self) -> Limits {
        Limits::new(&self.config, &self.stocks, &self.correlation)
    }

    /// The same stocks in another order.
    fn shuffled(&self, order: &[usize]) -> Case {
        let row = |&i: &usize| order.iter().map(|&j| self.correlation[i][j]).collect();
        Case {
            config: self.config.clone(),
            stocks: order.iter().map(|&i| self.stocks[i].clone()).collect(),
            correlation: order.iter().map(row).collect(),
            requests: order.iter().map(|&i| self.requests[i]).collect(),
        }
    }
}

/// Often one of a few convictions, so that there are ties; weights of any size.
fn random_request(rng: &mut ChaCha8Rng) -> PositionRequest {
    let conviction = match rng.random_range(0..4) {
        0 => f32::NAN,
        1 => rng.random_range(-1.0..1.0),
        n => n as f32,
    };
    let capital = match rng.random_range(0..6) {
        0 => 0.0,
        1 => 1e-9 * rng.random::<f64>(),
        2 => rng.random_range(0.0..20.0),
        _ => rng.random_range(0.0..0.5),
    };
    request(rng.random_range(-1..=1), conviction, capital)
}

/// Checks in plain floating point, with pairs and clusters derived again from the correlations.
fn assert_within_limits(case: &Case, orders: &[PositionOrder]) {
    let limits = case.limits();
    let position = |i: usize| f64::from(orders[i].direction) * orders[i].weight;
    let count = orders.len();
    let within = |value: f64, limit: f64| value <= limit * (1.0 + 2.0 * ROUNDING) + 1e-15;
    let sum = |of: &dyn Fn(usize) -> f64| (0..count).map(of).sum::<f64>();
    assert!(within(sum(&|i| position(i).abs()), case.config.gross_limit), "gross: {orders:?}");
    assert!(within(sum(&position).abs(), case.config.net_limit), "net: {orders:?}");
    for i in 0..count {
        assert!(position(i).abs() <= limits.name, "name: {orders:?}");
        // Everything connected by a chain of correlations.
        let mut reached = vec![i];
        let mut next = 0;
        while next < reached.len() {
            let related = |&j: &usize| {
                let correlation = case.correlation[reached[next]][j];
                correlation.is_some_and(|c| c > case.config.cluster_correlation)
            };
            let new: Vec<usize> = (0..count).filter(related).collect();
            let new: Vec<usize> = new.into_iter().filter(|j| !reached.contains(j)).collect();
            reached.extend(new);
            next += 1;
        }
        let net: f64 = reached.iter().map(|&j| position(j)).sum();
        assert!(reached.len() == 1 || within(net.abs(), limits.cluster), "cluster: {orders:?}");
        for j in 0..i {
            let named = case
                .config
                .pairs
                .iter()
                .any(|pair| pair.contains(&case.stocks[i]) && pair.contains(&case.stocks[j]));
            let twins =
                case.correlation[i][j].is_some_and(|c| c > case.config.identical_correlation);
            let opposite = orders[i].direction * orders[j].direction < 0;
            assert!(!opposite || !twins || named, "{i} and {j} are opposite: {orders:?}");
        }
    }
}

/// No position grows or reverses, and no net position (of the portfolio or a cluster) exceeds the
/// proposed one unless it is within its limit, since a hedge may have been removed.
fn assert_no_more_risk(case: &Case, orders: &[PositionOrder]) {
    let limits = case.limits();
    let position = |i: usize| f64::from(orders[i].direction) * orders[i].weight;
    let requested = |i: usize| case.requests[i].position * case.requests[i].capital;
    for (i, order) in orders.iter().enumerate() {
        let request = &case.requests[i];
        assert!(order.weight >= 0.0 && position(i).abs() <= requested(i).abs());
        let side = i8::from(request.position > 0.0) - i8::from(request.position < 0.0);
        assert!(order.direction == 0 || order.direction == side);
        let unchanged = order.direction == side && position(i) == requested(i);
        assert_eq!(order.reason.is_none(), unchanged, "{order:?} of {request:?}");
    }
    let everything: Vec<usize> = (0..orders.len()).collect();
    let groups = limits.clusters.iter().map(|cluster| (cluster, limits.cluster));
    for (group, limit) in groups.chain([(&everything, limits.net)]) {
        let net = |of: &dyn Fn(usize) -> f64| group.iter().map(|&i| of(i)).sum::<f64>().abs();
        let (before, after) = (net(&requested), net(&position));
        assert!(
            after <= before.max(limit) * (1.0 + 2.0 * ROUNDING) + 1e-15,
            "{before} became {after}"
        );
    }
}

#[test]
fn whatever_is_proposed_the_limits_hold_and_risk_does_not_grow() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let mut seen = std::collections::BTreeMap::<_, u32>::new();
    for _ in 0..20_000 {
        let case = Case::draw(&mut rng);
        let orders = decide(&case.requests, &case.limits());
        assert_within_limits(&case, &orders);
        assert_no_more_risk(&case, &orders);
        // Arbitrated orders are not changed again.
        let again: Vec<PositionRequest> = case
            .requests
            .iter()
            .zip(&orders)
            .map(|(request, order)| PositionRequest {
                position: order.direction.into(),
                capital: order.weight,
                ..*request
            })
            .collect();
        for (again, order) in decide(&again, &case.limits()).iter().zip(&orders) {
            assert_eq!(*again, PositionOrder { reason: None, ..*order }, "not idempotent");
        }
        let mut places: Vec<usize> = (0..orders.len()).collect();
        for i in (1..places.len()).rev() {
            places.swap(i, rng.random_range(0..=i));
        }
        let shuffled = case.shuffled(&places);
        let elsewhere = decide(&shuffled.requests, &shuffled.limits());
        for (&i, order) in places.iter().zip(&elsewhere) {
            assert_eq!(*order, orders[i], "depends on the order of the stocks");
        }
        for order in &orders {
            *seen.entry(order.reason).or_default() += 1;
        }
    }
    // Every rule applied, and often.
    let reasons = [
        None,
        Some(Reason::OppositeTwin),
        Some(Reason::NameLimit),
        Some(Reason::ClusterLimit),
        Some(Reason::GrossLimit),
        Some(Reason::NetLimit),
    ];
    assert!(reasons.iter().all(|reason| seen.get(reason).is_some_and(|&n| n > 2_000)), "{seen:?}");
}
