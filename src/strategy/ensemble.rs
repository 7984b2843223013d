//! Ensembles of strategies. Pure functions: a row's decision depends on what the members decided
//! and earned up to that row.

use serde::{Deserialize, Serialize};

use super::{Decision, Signals};
use crate::features::rolling::{Accumulator, Moments, Window};

/// Weights by variance or performance are estimated from at least this many bars; before, they are
/// equal.
const LEAST_BARS: usize = 20;

/// How the targets of several strategies become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum EnsembleMethod {
    /// The weighted mean of the members' targets; equal weights by default
    Weighted,
    /// The direction of the majority of the members; flat on a tie
    Voting,
    /// The unweighted mean of the members' targets
    Average,
    /// Weights proportional to 1 / variance of each member's past returns
    InverseVariance,
    /// Weights proportional to the Sharpe ratio of each member's past returns; 0 for a negative
    /// ratio, and flat if all are negative
    Performance,
}

/// A member of an ensemble.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member<'a> {
    pub(crate) signals: &'a Signals,
    /// As configured; only the ratio to the other weights matters.
    pub(crate) weight: f64,
    /// The member's reward in each row by itself, after costs; that of row t is known at the end of
    /// row t.
    pub(crate) rewards: &'a [f64],
}

/// The weights of the members, from what is known at the end of each row.
pub(crate) fn weights(
    method: EnsembleMethod,
    members: &[Member<'_>],
    window_bars: usize,
) -> MemberWeights {
    let given = members.iter().map(|member| member.weight).collect();
    let mut weigher = Weigher::new(method, given, window_bars);
    if !method.follows_rewards() {
        return MemberWeights::Fixed(weigher.weights);
    }
    let rows = members.iter().map(|member| member.rewards.len()).min().unwrap_or(0);
    let mut all = Vec::with_capacity(rows * members.len());
    for t in 0..rows {
        all.extend_from_slice(weigher.observe(members.iter().map(|member| member.rewards[t])));
    }
    MemberWeights::ByRow(all, members.len())
}

impl EnsembleMethod {
    fn follows_rewards(self) -> bool {
        matches!(self, EnsembleMethod::InverseVariance | EnsembleMethod::Performance)
    }
}

/// The weights of an ensemble's members, row by row.
#[derive(Clone, Debug)]
pub(crate) struct Weigher {
    method: EnsembleMethod,
    past: Vec<RewardWindow>,
    rows: usize,
    /// At the last row.
    weights: Vec<f64>,
}

impl Weigher {
    /// For members with the weights `given`, of which only the ratios matter.
    pub(crate) fn new(method: EnsembleMethod, given: Vec<f64>, window_bars: usize) -> Weigher {
        let count = given.len();
        let past = vec![RewardWindow::new(window_bars.max(LEAST_BARS)); count];
        let equal = vec![1.0 / count as f64; count];
        let weights = match method {
            EnsembleMethod::Weighted => normalised(given).unwrap_or(equal),
            _ => equal,
        };
        Weigher { method, past, rows: 0, weights }
    }

    /// The weights at the end of the next row, of which these are the members' rewards.
    pub(crate) fn observe(&mut self, rewards: impl Iterator<Item = f64>) -> &[f64] {
        if !self.method.follows_rewards() {
            return &self.weights;
        }
        self.past.iter_mut().zip(rewards).for_each(|(past, reward)| past.push(reward));
        self.rows += 1;
        if self.rows < LEAST_BARS {
            return &self.weights;
        }
        let count = self.past.len();
        self.weights = match self.method {
            EnsembleMethod::InverseVariance => {
                let scores = self.past.iter().map(RewardWindow::inverse_variance).collect();
                normalised(scores).unwrap_or_else(|| vec![1.0 / count as f64; count])
            }
            _ => {
                let scores = self.past.iter().map(|past| past.sharpe().max(0.0)).collect();
                normalised(scores).unwrap_or_else(|| vec![0.0; count])
            }
        };
        &self.weights
    }
}

/// Weights of the members of an ensemble.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum MemberWeights {
    Fixed(Vec<f64>),
    /// `[row, member]`, and the number of members.
    ByRow(Vec<f64>, usize),
}

impl MemberWeights {
    pub(crate) fn at(&self, t: usize) -> &[f64] {
        match self {
            MemberWeights::Fixed(weights) => weights,
            MemberWeights::ByRow(weights, count) => &weights[t * count..][..*count],
        }
    }
}

/// The combined signals.
///
/// # Panics
/// If there is no member, or the members are of different markets.
pub(crate) fn combine(
    method: EnsembleMethod,
    members: &[Member<'_>],
    weights: &MemberWeights,
) -> Signals {
    let first = members.first().expect("an ensemble has a member").signals;
    let (rows, stocks) = (first.rows(), first.stocks());
    for member in members {
        let same = member.signals.rows() == rows && member.signals.stocks() == stocks;
        assert!(same, "members are of one market");
    }
    let mut decisions = Vec::with_capacity(rows * stocks);
    for t in 0..rows {
        let weights = weights.at(t);
        decisions.extend((0..stocks).map(|stock| {
            combined(method, members.iter().map(|member| member.signals.at(t)[stock]), weights)
        }));
    }
    Signals::new(stocks, decisions)
}

/// What the members' decisions on one stock come to.
pub(crate) fn combined(
    method: EnsembleMethod,
    decisions: impl Iterator<Item = Decision>,
    weights: &[f64],
) -> Decision {
    match method {
        EnsembleMethod::Voting => vote(decisions),
        _ => mean(decisions.zip(weights)),
    }
}

/// A full position in the direction of the majority; confidence is the margin over the number of
/// votes.
fn vote(decisions: impl Iterator<Item = Decision>) -> Decision {
    let (mut balance, mut votes) = (0, 0);
    for decision in decisions {
        balance += i32::from(decision.direction());
        votes += 1;
    }
    Decision::new(f64::from(balance.signum()), f64::from(balance.abs()) / f64::from(votes))
}

fn mean<'a>(decisions: impl Iterator<Item = (Decision, &'a f64)>) -> Decision {
    let (mut target, mut confidence) = (0.0, 0.0);
    for (decision, weight) in decisions {
        target += weight * decision.target;
        confidence += weight * decision.confidence;
    }
    Decision::new(target, confidence)
}

/// The scores over their sum; None if the sum is not positive or not finite.
fn normalised(mut scores: Vec<f64>) -> Option<Vec<f64>> {
    let total: f64 = scores.iter().sum();
    scores.iter_mut().for_each(|score| *score /= total);
    (total > 0.0 && total.is_finite()).then_some(scores)
}

/// Moments of the last `window` rewards; of all rewards while there are fewer.
#[derive(Clone, Debug)]
struct RewardWindow {
    window: Window<Moments>,
    so_far: Moments,
    now: Moments,
}

impl RewardWindow {
    fn new(window_bars: usize) -> RewardWindow {
        let (so_far, now) = (Moments::default(), Moments::default());
        RewardWindow { window: Window::new(window_bars), so_far, now }
    }

    fn push(&mut self, reward: f64) {
        let full = self.window.update(reward);
        self.now = full.unwrap_or_else(|| {
            self.so_far.push(reward);
            self.so_far
        });
    }

    /// 0 for a member that has earned and lost nothing.
    fn inverse_variance(&self) -> f64 {
        let variance = self.now.variance();
        if variance > LEAST_VARIANCE { 1.0 / variance } else { 0.0 }
    }

    fn sharpe(&self) -> f64 {
        let variance = self.now.variance();
        if variance > LEAST_VARIANCE { self.now.mean() / variance.sqrt() } else { 0.0 }
    }
}

/// A variance of a bar's reward up to this is rounding error.
const LEAST_VARIANCE: f64 = 1e-18;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::fixtures::Noise;

    fn signals(targets: &[f64]) -> Signals {
        Signals::new(1, targets.iter().map(|&target| Decision::new(target, 0.5)).collect())
    }

    fn targets(method: EnsembleMethod, members: &[Member<'_>], window: usize) -> Vec<f64> {
        let signals = combine(method, members, &weights(method, members, window));
        (0..signals.rows()).map(|t| signals.at(t)[0].target).collect()
    }

    #[test]
    fn weights_are_normalised_votes_tie_and_averages_are_plain() {
        let all =
            [signals(&[1.0, -1.0, 1.0]), signals(&[1.0, 1.0, 0.0]), signals(&[-1.0, 0.0, 0.0])];
        let member = |(signals, weight)| Member { signals, weight, rewards: &[] };
        let members: Vec<Member> = all.iter().zip([2.0, 1.0, 1.0]).map(member).collect();
        assert_eq!(targets(EnsembleMethod::Weighted, &members, 0), [0.5, -0.25, 0.5]);
        assert_eq!(targets(EnsembleMethod::Voting, &members, 0), [1.0, 0.0, 1.0]);
        let thirds = targets(EnsembleMethod::Average, &members, 0);
        for (found, expected) in thirds.iter().zip([1.0 / 3.0, 0.0, 1.0 / 3.0]) {
            assert!((found - expected).abs() < 1e-15, "{thirds:?}");
        }
        // One of the three members failed.
        assert_eq!(targets(EnsembleMethod::Weighted, &members[1..], 0), [0.0, 0.5, 0.0]);
        let none: Vec<Member> = all.iter().zip([0.0; 3]).map(member).collect();
        assert_eq!(weights(EnsembleMethod::Weighted, &none, 0).at(0), [1.0 / 3.0; 3]);
        let votes = combine(EnsembleMethod::Voting, &members, &MemberWeights::Fixed(vec![]));
        assert_eq!(votes.at(0)[0].confidence, 1.0 / 3.0);
    }

    /// Rewards of 1 and -1 have variance 1; 2 and -2 have variance 4; 3 and -1 have mean 1 and
    /// variance 4.
    #[test]
    fn weights_follow_past_rewards() {
        let rows = 40;
        let all = [signals(&vec![1.0; rows]), signals(&vec![-1.0; rows])];
        let swing = |up: f64, down: f64| -> Vec<f64> {
            (0..rows).map(|t| if t % 2 == 0 { up } else { down }).collect()
        };
        let (calm, wild, good, bad) =
            (swing(1.0, -1.0), swing(2.0, -2.0), swing(3.0, -1.0), swing(1.0, -2.0));
        let of = |one: &[f64], other: &[f64], method| {
            let members = [
                Member { signals: &all[0], weight: 1.0, rewards: one },
                Member { signals: &all[1], weight: 1.0, rewards: other },
            ];
            weights(method, &members, 20).at(rows - 1).to_vec()
        };
        let near = |found: Vec<f64>, expected: [f64; 2]| {
            assert!((found[0] - expected[0]).abs() < 1e-12, "{found:?}");
            assert!((found[1] - expected[1]).abs() < 1e-12, "{found:?}");
        };
        near(of(&calm, &wild, EnsembleMethod::InverseVariance), [0.8, 0.2]);
        near(of(&good, &bad, EnsembleMethod::Performance), [1.0, 0.0]);
        near(of(&bad, &bad, EnsembleMethod::Performance), [0.0, 0.0]);
        near(of(&vec![0.0; rows], &wild, EnsembleMethod::InverseVariance), [0.0, 1.0]);
    }

    #[test]
    fn weights_depend_on_the_past_only() {
        let mut noise = Noise::new(11);
        let rows = 300;
        let rewards: Vec<Vec<f64>> =
            (0..3).map(|_| (0..rows).map(|_| 1e-3 * noise.normal()).collect()).collect();
        let mut other = rewards.clone();
        other.iter_mut().for_each(|one| one[150..].iter_mut().for_each(|r| *r = 5.0 - *r));
        let flat = signals(&vec![0.5; rows]);
        for method in [EnsembleMethod::InverseVariance, EnsembleMethod::Performance] {
            let of = |rewards: &[Vec<f64>]| {
                let member = |rewards| Member { signals: &flat, weight: 1.0, rewards };
                let members: Vec<Member> = rewards.iter().map(|one| member(&one[..])).collect();
                weights(method, &members, 50)
            };
            let (one, two) = (of(&rewards), of(&other));
            for t in 0..150 {
                assert_eq!(one.at(t), two.at(t), "{method:?} at {t}");
                let total: f64 = one.at(t).iter().sum();
                assert!((total - 1.0).abs() < 1e-12 || total == 0.0);
            }
            assert!(one.at(150) != two.at(150));
            assert_eq!(one.at(5), [1.0 / 3.0; 3]);
        }
    }
}
