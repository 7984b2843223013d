//! Fixed-share weights over experts. Pure functions.
//!
//! Each expert has a growth factor that becomes known after each round. The weights are a portfolio
//! over the experts, whose growth is their weighted mean. The loss is minus the log growth, for
//! which the theoretical learning rate is 1 and the update is Bayes' rule (Vovk 1999; Cesa-Bianchi
//! and Lugosi 2006, chapter 9). After each round a share of every weight is redistributed, so that
//! an expert that did badly for long can recover within a few rounds (Herbster and Warmuth 1998; as
//! a portfolio Singer 1997).
//!
//! The right share depends on how often the best expert changes, which is unknown. So several rates
//! run in parallel, and their weights follow Bayes' rule as well.

use serde::{Deserialize, Serialize};

/// Prior over experts and switching rates.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FixedSharePrior {
    /// Prior weight of each expert, all positive, sum 1. Shares are redistributed in proportion to
    /// it.
    pub(crate) prior: Vec<f64>,
    /// Probabilities per round that the best expert changes, each between 0 and 1, with equal prior
    /// weights.
    pub(crate) share_rates: Vec<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FixedShare {
    /// Joint weights, `[rate, expert]`; sum 1.
    joint: Vec<f64>,
    /// Marginal weights, `[expert]`; sum 1.
    weights: Vec<f64>,
}

impl FixedShare {
    pub(crate) fn new(belief: &FixedSharePrior) -> FixedShare {
        let rates = belief.share_rates.len();
        let joint = belief.prior.iter().map(|weight| weight / rates as f64);
        let joint: Vec<f64> = joint.collect();
        FixedShare { joint: joint.repeat(rates), weights: belief.prior.clone() }
    }

    /// With these joint weights, `[rate, expert]`, scaled so that they add up to 1.
    pub(crate) fn from_joint(joint: Vec<f64>, experts: usize) -> FixedShare {
        let sum: f64 = joint.iter().sum();
        let joint: Vec<f64> = joint.iter().map(|weight| weight / sum).collect();
        let of = |expert: usize| joint.iter().skip(expert).step_by(experts).sum();
        FixedShare { weights: (0..experts).map(of).collect(), joint }
    }

    /// Joint weights of share rate and expert, `[rate, expert]`; sum 1.
    pub(crate) fn joint(&self) -> &[f64] {
        &self.joint
    }

    /// Starts with the `joint` weights `[rate, expert]` of known experts, and appends one expert
    /// with its prior weight.
    pub(crate) fn joined_by_one(joint: &[f64], belief: &FixedSharePrior) -> FixedShare {
        let experts = belief.prior.len();
        let newcomer = belief.prior[experts - 1];
        assert_eq!(joint.len(), belief.share_rates.len() * (experts - 1), "one more than before");
        let sum: f64 = joint.iter().sum();
        let mut joined = Vec::with_capacity(belief.share_rates.len() * experts);
        for row in joint.chunks_exact(experts - 1) {
            joined.extend(row.iter().map(|weight| (1.0 - newcomer) * weight / sum));
            joined.push(newcomer * row.iter().sum::<f64>() / sum);
        }
        FixedShare::from_joint(joined, experts)
    }

    /// `[expert]`: weights for the coming round.
    pub(crate) fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Ends a round. `growth` `[expert]`: growth factor of each expert, above 0. Returns the growth
    /// factor of the weighted portfolio.
    pub(crate) fn update(&mut self, growth: &[f64], belief: &FixedSharePrior) -> f64 {
        let experts = self.weights.len();
        assert_eq!(growth.len(), experts, "a growth for every expert");
        let mut total = 0.0;
        for row in self.joint.chunks_exact_mut(experts) {
            for (weight, growth) in row.iter_mut().zip(growth) {
                *weight *= growth;
                total += *weight;
            }
        }
        self.weights.fill(0.0);
        for (row, rate) in self.joint.chunks_exact_mut(experts).zip(&belief.share_rates) {
            let of_rate = row.iter().sum::<f64>() / total;
            for ((joint, prior), weight) in row.iter_mut().zip(&belief.prior).zip(&mut self.weights)
            {
                *joint = (1.0 - rate) * *joint / total + rate * of_rate * prior;
                *weight += *joint;
            }
        }
        total
    }
}

impl FixedSharePrior {
    /// Regret bound: how much the log growth over `rounds` rounds can fall short of that of any
    /// sequence of experts with this many switches, for arbitrary growth factors. With G rates,
    /// smallest prior weight p, and the best of the rates a:
    ///
    /// ```text
    /// ln G + ln 1/p + switches ln 1/(a p) + (rounds - 1 - switches) ln 1/(1 - a)
    /// ```
    ///
    /// (Herbster and Warmuth 1998 for a loss with learning rate 1; Cesa-Bianchi and Lugosi 2006,
    /// theorem 5.2; ln G is the price of not knowing a.) The weights are those of a mixture over
    /// all sequences of experts, in which this sequence has at least the weight whose logarithm is
    /// above, and a sum of positive terms is at least as large as each.
    #[cfg(test)]
    pub(crate) fn regret_bound(&self, rounds: usize, switches: usize) -> f64 {
        assert!(switches < rounds.max(1), "{switches} switches in {rounds} rounds");
        let least = self.prior.iter().copied().fold(f64::INFINITY, f64::min);
        let stays = (rounds.max(1) - 1 - switches) as f64;
        let of_rate =
            |rate: &f64| -(switches as f64) * (rate * least).ln() - stays * (1.0 - rate).ln();
        let best = self.share_rates.iter().map(of_rate).fold(f64::INFINITY, f64::min);
        (self.share_rates.len() as f64).ln() - least.ln() + best
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn belief(experts: usize, share_rates: &[f64]) -> FixedSharePrior {
        let prior = vec![1.0 / experts as f64; experts];
        FixedSharePrior { prior, share_rates: share_rates.to_vec() }
    }

    fn near(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 1e-12, "{found:?}, not {expected:?}");
        }
    }

    /// One rate of 1/5 and priors 1/2, 1/4, 1/4. Growth 2, 1, 1: the portfolio grows by 3/2; Bayes'
    /// rule gives 2/3, 1/6, 1/6; four fifths of that and a fifth of the prior is 19/30, 11/60,
    /// 11/60. Then 1, 2, 1/2: 19/30 + 22/60 + 5.5/60 = 65.5/60, so 38, 22, 5.5 over 65.5.
    #[test]
    fn weights_by_hand() {
        let belief = FixedSharePrior { prior: vec![0.5, 0.25, 0.25], share_rates: vec![0.2] };
        let mut share = FixedShare::new(&belief);
        near(share.weights(), &[0.5, 0.25, 0.25]);
        near(&[share.update(&[2.0, 1.0, 1.0], &belief)], &[1.5]);
        near(share.weights(), &[19.0 / 30.0, 11.0 / 60.0, 11.0 / 60.0]);
        near(&[share.update(&[1.0, 2.0, 0.5], &belief)], &[65.5 / 60.0]);
        let shared = |of: f64, prior: f64| 0.8 * of / 65.5 + 0.2 * prior;
        near(share.weights(), &[shared(38.0, 0.5), shared(22.0, 0.25), shared(5.5, 0.25)]);
    }

    /// Two rates, 0 and 1/2, and two experts; first one doubles, then the other. After the first
    /// round: 2/3 and 1/3 without sharing, 7/12 and 5/12 with; the rates keep their weights. After
    /// the second round the portfolios have grown by 4/3 and by 17/12, which is 16 to 17.
    #[test]
    fn rates_by_hand() {
        let belief = belief(2, &[0.0, 0.5]);
        let mut share = FixedShare::new(&belief);
        share.update(&[2.0, 1.0], &belief);
        near(share.weights(), &[(2.0 / 3.0 + 7.0 / 12.0) / 2.0, (1.0 / 3.0 + 5.0 / 12.0) / 2.0]);
        let grew = share.update(&[1.0, 2.0], &belief);
        near(&[grew], &[(4.0 / 3.0 + 17.0 / 12.0) / 2.0]);
        let of_rate: Vec<f64> = share.joint.chunks_exact(2).map(|row| row.iter().sum()).collect();
        near(&of_rate, &[16.0 / 33.0, 17.0 / 33.0]);
        near(&[share.weights().iter().sum()], &[1.0]);
    }

    /// Rates of 1/4 and 3/4 with expert weights of 3 to 1 and 1 to 1; a new expert with prior 1/2.
    #[test]
    fn a_newcomer_takes_its_part_of_every_rate() {
        let belief = FixedSharePrior { prior: vec![0.25, 0.25, 0.5], share_rates: vec![0.1, 0.2] };
        let joined = FixedShare::joined_by_one(&[6.0, 2.0, 12.0, 12.0], &belief);
        let eighths = [1.5, 0.5, 2.0, 3.0, 3.0, 6.0].map(|part| part / 16.0);
        near(&joined.joint, &eighths);
        near(&joined.weights, &[4.5 / 16.0, 3.5 / 16.0, 0.5]);
    }

    /// Largest log growth of any sequence of experts with at most this many switches, `[switches]`.
    fn best_in_hindsight(growths: &[Vec<f64>], most: usize) -> Vec<f64> {
        let experts = growths[0].len();
        // `[switches][expert]`: the best sequence that ends with the expert.
        let mut best = vec![vec![f64::NEG_INFINITY; experts]; most + 1];
        best[0] = growths[0].iter().map(|growth| growth.ln()).collect();
        for growth in &growths[1..] {
            for switches in (0..=most).rev() {
                let before = switches.checked_sub(1).map(|fewer| best[fewer].clone());
                for expert in 0..experts {
                    let others = before.iter().flatten().enumerate();
                    let switched = others.filter(|(other, _)| *other != expert);
                    let switched = switched.map(|(_, sum)| *sum).fold(f64::NEG_INFINITY, f64::max);
                    best[switches][expert] =
                        best[switches][expert].max(switched) + growth[expert].ln();
                }
            }
        }
        let mut so_far = f64::NEG_INFINITY;
        let most = best.iter().map(|row| row.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        most.map(|sum| {
            so_far = so_far.max(sum);
            so_far
        })
        .collect()
    }

    /// Runs rounds that `draw` makes from the current weights. Returns for each number of switches
    /// the regret to the best sequence in hindsight, and its bound.
    fn regrets(
        belief: &FixedSharePrior,
        rounds: usize,
        most: usize,
        mut draw: impl FnMut(usize, &[f64]) -> Vec<f64>,
    ) -> Vec<(f64, f64)> {
        let mut share = FixedShare::new(belief);
        let (mut growths, mut log_growth) = (Vec::new(), 0.0);
        for round in 0..rounds {
            let growth = draw(round, share.weights());
            log_growth += share.update(&growth, belief).ln();
            growths.push(growth);
        }
        let best = best_in_hindsight(&growths, most);
        let of = |(switches, best): (usize, &f64)| {
            (best - log_growth, belief.regret_bound(rounds, switches))
        };
        best.iter().enumerate().map(of).collect()
    }

    /// Growth factors from 1/4 to 7/4, as in the meta-policy: random, with experts that take turns,
    /// and chosen by an adversary that punishes the expert with the most weight and rewards the one
    /// with the least.
    #[test]
    fn no_sequence_in_hindsight_is_better_by_more_than_the_bound() {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let mut closest = f64::INFINITY;
        for case in 0..60 {
            let experts = rng.random_range(2..=8);
            let mut prior: Vec<f64> = (0..experts).map(|_| rng.random_range(0.1..1.0)).collect();
            let sum: f64 = prior.iter().sum();
            prior.iter_mut().for_each(|weight| *weight /= sum);
            let rates = [0.3, 0.1, 0.03, 0.01, 0.003];
            let belief =
                FixedSharePrior { prior, share_rates: rates[..rng.random_range(1..=5)].to_vec() };
            let stretch = rng.random_range(1..60);
            let adversary = |weights: &[f64]| {
                let by = |a: &(usize, &f64), b: &(usize, &f64)| a.1.total_cmp(b.1);
                let most = weights.iter().enumerate().max_by(by).unwrap().0;
                let least = weights.iter().enumerate().min_by(by).unwrap().0;
                let growth = |i| {
                    if i == most {
                        0.25
                    } else if i == least {
                        1.75
                    } else {
                        1.0
                    }
                };
                (0..weights.len()).map(growth).collect()
            };
            let found = regrets(&belief, 400, 60, |round, weights| match case % 3 {
                0 => (0..experts).map(|_| rng.random_range(0.25..1.75)).collect(),
                1 => {
                    let good = round / stretch % experts;
                    let growth = |i| if i == good { 1.75 } else { 0.25 };
                    (0..experts).map(growth).collect()
                }
                _ => adversary(weights),
            });
            for (switches, (regret, bound)) in found.into_iter().enumerate() {
                assert!(regret <= bound, "case {case}, {switches}: {regret} above {bound}");
                closest = closest.min(bound - regret);
            }
        }
        // A loose bound would also hold for weights that learn nothing.
        assert!(closest < 5.0, "{closest}");
    }

    /// The bound is violated by weights that never learn, and by weights that never forget.
    #[test]
    fn the_bound_says_something() {
        let experts_in_turn = |round: usize| match round / 100 % 2 {
            0 => vec![1.5, 0.5],
            _ => vec![0.5, 1.5],
        };
        let bound = belief(2, &[0.1, 0.01]).regret_bound(400, 3);
        let best = 400.0 * 1.5_f64.ln();
        let never_learning = 0.0;
        let forever = regrets(&belief(2, &[1e-300]), 400, 3, |round, _| experts_in_turn(round));
        assert!(best - never_learning > bound, "{bound}");
        assert!(forever[3].0 > bound, "{} and {bound}", forever[3].0);
        let sharing = regrets(&belief(2, &[0.1, 0.01]), 400, 3, |round, _| experts_in_turn(round));
        assert!((sharing[3].1 - bound).abs() < 1e-12 && sharing[3].0 < bound);
    }
}
