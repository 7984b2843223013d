//! Two accounts over the same days: which did better, and could that be luck?

use chrono::NaiveDate;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::inference::{MIN_DAYS, SharpeEstimate, probability_above_zero};
use super::metrics::days_per_year;

/// Simple returns by New York date, in order of time.
pub type DailyReturns = Vec<(NaiveDate, f64)>;

/// What the daily returns of one account have over those of another on the days that both have.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PairedDifference {
    /// Days that both have.
    pub days: usize,
    /// Mean difference of daily returns, times the trading days of a year; None without a common
    /// day.
    pub per_year: Option<f64>,
    /// Sharpe ratio of the differences, with its interval.
    pub sharpe: SharpeEstimate,
    /// Two-sided: how often a difference as large, either way, is luck. By the probabilistic Sharpe
    /// ratio; None for fewer than 20 days, or where the accounts are equal.
    pub p_value: Option<f64>,
}

impl PairedDifference {
    /// Of `one` over `other`.
    pub fn new(
        one: &[(NaiveDate, f64)],
        other: &[(NaiveDate, f64)],
        rng: &mut ChaCha8Rng,
    ) -> PairedDifference {
        let differences: Vec<f64> = one
            .iter()
            .filter_map(|(date, ours)| {
                let at = other.binary_search_by_key(date, |&(date, _)| date).ok()?;
                Some(ours - other[at].1)
            })
            .collect();
        let days = differences.len();
        let year = days_per_year(one.iter().map(|&(date, _)| date));
        let mean = differences.iter().sum::<f64>() / days.max(1) as f64;
        let probability = probability_above_zero(&differences).filter(|_| days >= MIN_DAYS);
        PairedDifference {
            days,
            per_year: (days > 0).then_some(mean * year),
            sharpe: SharpeEstimate::from_returns(&differences, year, rng),
            p_value: probability.map(|above| (2.0 * above.min(1.0 - above)).min(1.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};

    use super::*;

    fn days(returns: impl Iterator<Item = f64>) -> DailyReturns {
        let first = NaiveDate::from_ymd_opt(2020, 1, 1).unwrap();
        returns.enumerate().map(|(day, one)| (first + chrono::Days::new(day as u64), one)).collect()
    }

    #[test]
    fn only_common_days_count() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let one = days([0.01, 0.02, 0.03].into_iter());
        let other = days([0.0, 0.01, 0.05, 0.5].into_iter())[1..].to_vec();
        let found = PairedDifference::new(&one, &other, &mut rng);
        assert_eq!((found.days, found.p_value), (2, None));
        assert!((found.per_year.unwrap() + 0.005 * 252.0).abs() < 1e-12, "{found:?}");
        let nothing = PairedDifference::new(&one, &[], &mut rng);
        assert_eq!((nothing.days, nothing.per_year), (0, None));
    }

    /// Two accounts of the same market differ by noise alone: at 5 % about one pair in twenty is
    /// told apart. With a Sharpe ratio of 6 between them nearly all are.
    #[test]
    fn luck_is_told_from_a_difference() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut share = |edge: f64| {
            let told = (0..400).filter(|_| {
                let mut normal = || (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
                let market: Vec<f64> = (0..120).map(|_| 0.02 * normal()).collect();
                let one: Vec<f64> =
                    market.iter().map(|shared| shared + 0.005 * (normal() + edge)).collect();
                let (one, other) = (days(one.into_iter()), days(market.into_iter()));
                let mut own = ChaCha8Rng::seed_from_u64(9);
                PairedDifference::new(&one, &other, &mut own).p_value.unwrap() <= 0.05
            });
            told.count() as f64 / 400.0
        };
        let by_luck = share(0.0);
        assert!((0.02..0.09).contains(&by_luck), "{by_luck}");
        assert!(share(6.0 / 252f64.sqrt()) > 0.95);
    }
}
