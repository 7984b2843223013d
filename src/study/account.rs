//! The accounts of folds as one account, and of seeds as their mean.

use crate::eval::metrics::BacktestRecord;

/// One account through all folds, in order of time: each fold begins with what the one before left,
/// in cash; what was held at a fold's last close is sold there at no cost.
///
/// # Panics
/// Without a fold, or if their stocks differ.
pub fn stitched(folds: &[&BacktestRecord]) -> BacktestRecord {
    let (&first, later) = folds.split_first().expect("a study has a fold");
    let mut whole = first.clone();
    for fold in later {
        assert_eq!(whole.stocks, fold.stocks, "folds trade the same stocks");
        let stocks = whole.stocks.len();
        let scale = whole.equity.last().expect("not empty") / fold.equity[0];
        let scaled = |values: &[f64]| values.iter().map(|value| value * scale).collect::<Vec<_>>();
        let sold_at = whole.price[whole.price.len() - stocks..].to_vec();
        whole.end_s.extend(&fold.end_s);
        whole.equity.extend(scaled(&fold.equity));
        whole.cash.extend(scaled(&fold.cash));
        whole.position.extend(scaled(&fold.position));
        whole.reward.extend(&fold.reward);
        whole.turnover.extend(&fold.turnover);
        whole.trades.extend(&fold.trades);
        whole.price.extend(&fold.price);
        let opens = whole.open.len();
        whole.open.extend(&fold.open);
        // The open of a fold's first entry is where the fold before sold.
        for (open, sold_at) in whole.open[opens..].iter_mut().zip(sold_at) {
            if sold_at > 0.0 {
                *open = sold_at;
            }
        }
    }
    whole.drawdown = drawdown(&whole.equity);
    whole
}

/// An account that is divided equally among those of the seeds, over the same bars.
///
/// # Panics
/// Without an account, or if their bars differ.
pub fn mean_account(seeds: &[BacktestRecord]) -> BacktestRecord {
    let first = seeds.first().expect("a study has a seed");
    assert!(seeds.iter().all(|one| one.end_s == first.end_s), "all seeds trade the same bars");
    let count = seeds.len() as f64;
    let mean = |of: fn(&BacktestRecord) -> &Vec<f64>| -> Vec<f64> {
        (0..of(first).len())
            .map(|at| seeds.iter().map(|one| of(one)[at]).sum::<f64>() / count)
            .collect()
    };
    let equity = mean(|one| &one.equity);
    let before = |t: usize| if t == 0 { 0 } else { t - 1 };
    let traded = |t: usize| {
        let value: f64 = seeds.iter().map(|one| one.turnover[t] * one.equity[before(t)]).sum();
        value / count / equity[before(t)]
    };
    // Of the seed that trades most at a bar.
    let fills = |t: usize| seeds.iter().map(|one| one.trades[t]).max().unwrap_or(0);
    let rewards = equity.windows(2).map(|pair| pair[1] / pair[0] - 1.0);
    BacktestRecord {
        stocks: first.stocks.clone(),
        end_s: first.end_s.clone(),
        cash: mean(|one| &one.cash),
        reward: std::iter::once(0.0).chain(rewards).collect(),
        turnover: (0..equity.len()).map(traded).collect(),
        trades: (0..equity.len()).map(fills).collect(),
        drawdown: drawdown(&equity),
        position: mean(|one| &one.position),
        price: first.price.clone(),
        open: first.open.clone(),
        equity,
    }
}

fn drawdown(equity: &[f64]) -> Vec<f64> {
    let mut peak = f64::NEG_INFINITY;
    let below = |&value: &f64| {
        peak = peak.max(value);
        value / peak - 1.0
    };
    equity.iter().map(below).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::metrics::Metrics;

    /// One stock that is bought with all of 100 at the second entry and rises by a tenth.
    fn fold(start_s: i64, price: f64, rises: f64) -> BacktestRecord {
        let shares = 100.0 / price;
        let end = 100.0 * (1.0 + rises);
        BacktestRecord {
            stocks: vec!["A".parse().unwrap()],
            end_s: vec![start_s, start_s + 1_800, start_s + 3_600],
            equity: vec![100.0, 100.0, end],
            cash: vec![100.0, 0.0, 0.0],
            reward: vec![0.0, 0.0, rises],
            turnover: vec![0.0, 1.0, 0.0],
            trades: vec![0, 1, 0],
            drawdown: vec![0.0; 3],
            position: vec![0.0, shares, shares],
            price: vec![price, price, price * (1.0 + rises)],
            open: vec![price; 3],
        }
    }

    const MONDAY: i64 = 1_583_764_200;
    const DAY_S: i64 = 86_400;

    #[test]
    fn a_fold_begins_with_what_the_one_before_left() {
        let (first, second) = (fold(MONDAY, 10.0, 0.1), fold(MONDAY + DAY_S, 20.0, -0.05));
        let whole = stitched(&[&first, &second]);
        assert_eq!(whole.equity.len(), 6);
        let expected = [100.0, 100.0, 110.0, 110.0, 110.0, 104.5];
        for (found, expected) in whole.equity.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-9, "{:?}", whole.equity);
        }
        // 5.5 shares of 20; the ten of the first fold were sold at 11.
        assert!((whole.position[4] - 5.5).abs() < 1e-12 && whole.open[3] == 11.0);
        assert!((whole.drawdown[5] + 0.05).abs() < 1e-12);
        let metrics = Metrics::from_record(&whole);
        assert!((metrics.portfolio_return - 0.045).abs() < 1e-12);
        for t in 0..6 {
            let marked = whole.cash[t] + whole.position[t] * whole.price[t];
            assert!((marked - whole.equity[t]).abs() < 1e-9, "{t}");
        }
    }

    /// Of 100 and 100, one gains 10 and one loses 10: half the shares of both.
    #[test]
    fn the_mean_account_holds_a_part_of_each() {
        let (up, mut flat) = (fold(MONDAY, 10.0, 0.1), fold(MONDAY, 10.0, 0.1));
        flat.equity = vec![100.0; 3];
        flat.cash = vec![100.0; 3];
        flat.position = vec![0.0; 3];
        flat.turnover = vec![0.0; 3];
        flat.trades = vec![0; 3];
        let mean = mean_account(&[up, flat]);
        assert_eq!(mean.equity, [100.0, 100.0, 105.0]);
        assert_eq!((mean.position[1], mean.cash[1], mean.turnover[1]), (5.0, 50.0, 0.5));
        assert!((mean.reward[2] - 0.05).abs() < 1e-12);
        assert_eq!(mean.trades, [0, 1, 0]);
    }
}
