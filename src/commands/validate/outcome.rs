//! What the trainings of one row say together. Pure.

use serde::Serialize;

use super::meta::ExpertRewards;
use super::rows::{PassCriterion, ValidationRow};
use super::trial::ValidationTrial;
use crate::eval::inference::Verdict;
use crate::math::normal::student_quantile;

/// A mean over seeds with its 95 % interval, which is None for a single seed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct SeedEstimate {
    pub(crate) mean: f64,
    pub(crate) interval: Option<[f64; 2]>,
}

impl SeedEstimate {
    /// By Student's t; None where a value is undefined.
    pub(crate) fn from_values(values: &[f64]) -> Option<SeedEstimate> {
        if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let interval = (values.len() > 1).then(|| {
            let half = t_quantile(values.len() - 1) * (squares / (n - 1.0) / n).sqrt();
            [mean - half, mean + half]
        });
        Some(SeedEstimate { mean, interval })
    }
}

/// The 97.5 % quantile of Student's t distribution with so many degrees of freedom; to 10 from the
/// table.
fn t_quantile(freedom: usize) -> f64 {
    const TABLE: [f64; 10] =
        [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
    const Z: f64 = 1.959_964;
    match TABLE.get(freedom - 1) {
        Some(&quantile) => quantile,
        None => student_quantile(Z, freedom as f64),
    }
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RowOutcome {
    pub(crate) row: &'static str,
    pub(crate) market: &'static str,
    pub(crate) stocks: usize,
    /// Besides the defaults.
    pub(crate) settings: Vec<String>,
    /// What had to hold, in words.
    pub(crate) bar: String,
    pub(crate) reached: bool,
    /// Means over seeds of what the trials' fields of the same names say.
    pub(crate) oracle_expected_bps: f64,
    pub(crate) oracle_bps: f64,
    pub(crate) trained_bps: f64,
    pub(crate) random_bps: f64,
    pub(crate) flat_bps: f64,
    pub(crate) buy_and_hold_bps: f64,
    /// The rule that is best in the mean.
    pub(crate) best_rule: String,
    pub(crate) best_rule_bps: f64,
    /// Of the oracle's reward on the same bars; None where the oracle earns nothing.
    pub(crate) fraction: Option<SeedEstimate>,
    /// The same of the DQN of 2015; None where it was not tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fraction_dqn_2015: Option<SeedEstimate>,
    pub(crate) trained_turnover: f64,
    pub(crate) random_turnover: f64,
    pub(crate) trials: Vec<ValidationTrial>,
}

impl RowOutcome {
    pub(crate) fn new(
        row: &ValidationRow,
        settings: Vec<String>,
        trials: Vec<ValidationTrial>,
    ) -> RowOutcome {
        let mean = |of: fn(&ValidationTrial) -> f64| {
            trials.iter().map(of).sum::<f64>() / trials.len().max(1) as f64
        };
        let (best_rule, best_rule_bps) = best_rule(&trials);
        let fractions: Vec<f64> = trials.iter().filter_map(ValidationTrial::fraction).collect();
        let fraction =
            SeedEstimate::from_values(&fractions).filter(|_| fractions.len() == trials.len());
        RowOutcome {
            row: row.name,
            market: row.market,
            stocks: row.stocks,
            settings,
            bar: row.bar.words(),
            reached: !trials.is_empty() && reached(row.bar, fraction, &trials),
            oracle_expected_bps: mean(|trial| trial.oracle_expected_bps),
            oracle_bps: mean(|trial| trial.oracle_bps),
            trained_bps: mean(|trial| trial.trained_bps),
            random_bps: mean(|trial| trial.random_bps),
            flat_bps: 0.0,
            buy_and_hold_bps: mean(|trial| trial.buy_and_hold_bps),
            best_rule,
            best_rule_bps,
            fraction,
            fraction_dqn_2015: None,
            trained_turnover: mean(|trial| trial.trained_turnover),
            random_turnover: mean(|trial| trial.random_turnover),
            trials,
        }
    }
}

/// The rule with the largest mean reward over the trials.
fn best_rule(trials: &[ValidationTrial]) -> (String, f64) {
    let Some(first) = trials.first() else { return ("none".into(), 0.0) };
    let mean = |rule: usize| {
        trials.iter().map(|trial| trial.rules[rule].1).sum::<f64>() / trials.len() as f64
    };
    let means = (0..first.rules.len()).map(|rule| (first.rules[rule].0.clone(), mean(rule)));
    means.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_else(|| ("none".into(), 0.0))
}

fn reached(bar: PassCriterion, fraction: Option<SeedEstimate>, trials: &[ValidationTrial]) -> bool {
    match bar {
        PassCriterion::Fraction(least) => fraction.is_some_and(|fraction| fraction.mean >= least),
        PassCriterion::Nothing => fraction.is_some_and(|SeedEstimate { mean, interval }| {
            mean.abs() <= PassCriterion::NOISE
                || interval.is_some_and(|[low, high]| low <= 0.0 && high >= 0.0)
        }),
        PassCriterion::Calm => {
            let total = |of: fn(&ValidationTrial) -> f64| trials.iter().map(of).sum::<f64>();
            let calm = total(|t| t.trained_turnover) < 0.1 * total(|t| t.random_turnover);
            calm && trials.iter().all(|trial| trial.verdict == Verdict::NoEvidence)
        }
        PassCriterion::EdgesFirst => trials.iter().all(|trial| trial.edges_before_last == Some(0)),
        PassCriterion::BestExpert(_)
        | PassCriterion::OfDqn(_)
        | PassCriterion::Growth(_)
        | PassCriterion::OnlyCosts => reached_together(bar, trials),
    }
}

/// The bars of the meta-policy, by means over the trials.
fn reached_together(bar: PassCriterion, trials: &[ValidationTrial]) -> bool {
    let experts: Vec<&ExpertRewards> = trials.iter().filter_map(|t| t.experts.as_ref()).collect();
    if experts.len() < trials.len() || experts.is_empty() {
        return false;
    }
    let count = trials.len() as f64;
    let trained = trials.iter().map(|trial| trial.trained_bps).sum::<f64>() / count;
    match bar {
        PassCriterion::BestExpert(least) => {
            let hindsight = experts.iter().map(|e| e.best_per_regime_bps).sum::<f64>() / count;
            trained >= least * ExpertRewards::best_mean(&experts, true)
                && trained >= PassCriterion::PER_REGIME * hindsight
        }
        PassCriterion::OfDqn(least) => {
            let dqn = experts.iter().filter_map(|e| e.alone.last()).map(|dqn| dqn.1).sum::<f64>();
            trained >= least * dqn / count
        }
        PassCriterion::Growth(least) => {
            let grown = experts.iter().map(|e| e.growth_bps).sum::<f64>() / count;
            grown >= least * ExpertRewards::best_growth(&experts)
        }
        _ => {
            let before: Vec<f64> = trials
                .iter()
                .zip(&experts)
                .map(|(trial, experts)| trial.trained_bps + experts.paid_bps)
                .collect();
            SeedEstimate::from_values(&before).is_some_and(|SeedEstimate { mean, interval }| {
                mean >= 0.0 || interval.is_some_and(|[_, high]| high >= 0.0)
            })
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::rows::ROWS;
    use super::*;

    pub(crate) fn trial(trained_bps: f64) -> ValidationTrial {
        ValidationTrial {
            seed: 1,
            oracle_expected_bps: 11.0,
            oracle_bps: 10.0,
            trained_bps,
            random_bps: -2.0,
            buy_and_hold_bps: 0.5,
            rules: vec![("RSI".into(), 1.0), ("Momentum".into(), trained_bps / 2.0)],
            oracle_turnover: 0.5,
            trained_turnover: 0.08,
            random_turnover: 0.9,
            verdict: Verdict::NoEvidence,
            edges_before_last: Some(0),
            experts: None,
            env_steps: 100,
            gradient_steps: 10,
            train_s: 1.0,
            all_s: 2.0,
        }
    }

    /// 0.8, 0.9 and 1.0: a mean of 0.9 with a standard error of 0.1 / sqrt(3).
    #[test]
    fn a_mean_has_students_interval() {
        let SeedEstimate { mean, interval } = SeedEstimate::from_values(&[0.8, 0.9, 1.0]).unwrap();
        assert!((mean - 0.9).abs() < 1e-12);
        let [low, high] = interval.unwrap();
        assert!(
            (high - mean - 4.303 * 0.057_735).abs() < 1e-4
                && (mean - low - (high - mean)).abs() < 1e-12
        );
        assert_eq!(
            SeedEstimate::from_values(&[0.5]).unwrap(),
            SeedEstimate { mean: 0.5, interval: None }
        );
        assert_eq!(SeedEstimate::from_values(&[0.5, f64::INFINITY]), None);
    }

    /// Quantiles of scipy.stats.t.ppf(0.975, df).
    #[test]
    fn quantiles_of_t() {
        for (freedom, expected) in [(1, 12.706), (4, 2.776), (11, 2.201), (30, 2.042), (200, 1.972)]
        {
            assert!((t_quantile(freedom) - expected).abs() < 2e-3, "{freedom}");
        }
    }

    #[test]
    fn each_bar_can_be_reached_and_missed() {
        let row = |name: &str| ROWS.iter().find(|row| row.name == name).unwrap();
        let of = |name: &str, trials: Vec<ValidationTrial>| {
            RowOutcome::new(row(name), Vec::new(), trials)
        };
        assert!(of("momentum", vec![trial(8.8), trial(9.4)]).reached);
        assert!(!of("momentum", vec![trial(8.8), trial(9.0)]).reached);
        assert!(of("lead_lag_no_attention", vec![trial(-0.1), trial(0.2)]).reached);
        assert!(!of("lead_lag_no_attention", vec![trial(1.0), trial(1.1)]).reached);
        assert!(!of("lead_lag_no_attention", vec![trial(-1.0), trial(-1.1)]).reached);
        assert!(of("random_walk", vec![trial(0.0)]).reached);
        assert!(
            !of("random_walk", vec![ValidationTrial { trained_turnover: 0.1, ..trial(0.0) }])
                .reached
        );
        assert!(
            !of("random_walk", vec![ValidationTrial { verdict: Verdict::Evidence, ..trial(0.0) }])
                .reached
        );
        assert!(of("relationships", vec![trial(9.0)]).reached);
        let late = ValidationTrial { edges_before_last: Some(1), ..trial(9.0) };
        assert!(!of("relationships", vec![trial(9.0), late]).reached);
        assert!(!of("momentum", Vec::new()).reached);
    }

    /// Momentum alone 2, the DQN alone 4, 4.5 with the regimes known.
    #[test]
    fn the_meta_policy_is_held_against_its_experts() {
        let of = |name: &str, trained_bps: f64, [rule, dqn, paid_bps]: [f64; 3]| {
            let alone = vec![("Momentum".into(), rule), ("DQN".into(), dqn)];
            let growth = [vec![rule, dqn], vec![trained_bps]].concat();
            let experts = ExpertRewards {
                alone,
                best_per_regime_bps: 4.5,
                paid_bps,
                growth_alone_bps: growth[..2].to_vec(),
                growth_bps: growth[2],
            };
            let trial = ValidationTrial { experts: Some(experts), ..trial(trained_bps) };
            let row = ROWS.iter().find(|row| row.name == name).unwrap();
            RowOutcome::new(row, Vec::new(), vec![trial]).reached
        };
        assert!(of("meta_regimes", 4.1, [2.0, 4.0, 0.5]));
        assert!(!of("meta_regimes", 4.0, [2.0, 3.9, 0.5]), "less than 0.9 of 4.5");
        assert!(of("meta_single_best", 4.1, [2.0, 4.2, 0.5]));
        assert!(!of("meta_single_best", 4.1, [2.0, 4.3, 0.5]), "less than 0.97 of the DQN");
        assert!(!of("meta_single_best", 4.1, [4.3, 2.0, 0.5]), "less than 0.97 of the rule");
        assert!(of("drift", 3.3, [4.0, 2.0, 0.1]) && !of("drift", 3.1, [4.0, 2.0, 0.1]));
        assert!(of("meta_random_walk", -0.3, [0.0, 0.0, 0.4]));
        assert!(!of("meta_random_walk", -0.5, [0.0, 0.0, 0.4]));
        assert!(of("meta_weak", 3.7, [2.0, 4.5, 0.5]) && !of("meta_weak", 3.5, [2.0, 4.5, 0.5]));
        let row = ROWS.iter().find(|row| row.name == "meta_regimes").unwrap();
        assert!(!RowOutcome::new(row, Vec::new(), vec![trial(9.0)]).reached);
    }

    #[test]
    fn the_best_rule_is_best_in_the_mean() {
        let outcome = RowOutcome::new(&ROWS[0], Vec::new(), vec![trial(1.0), trial(9.0)]);
        assert_eq!((outcome.best_rule.as_str(), outcome.best_rule_bps), ("Momentum", 2.5));
        let nothing = ValidationTrial { oracle_bps: 0.0, ..trial(0.0) };
        assert_eq!(RowOutcome::new(&ROWS[0], Vec::new(), vec![nothing]).fraction, None);
    }
}
