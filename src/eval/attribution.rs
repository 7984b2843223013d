//! Attribution of a portfolio's reward to its stocks. Pure functions.

use super::metrics::BacktestRecord;
use crate::env::costs::Costs;

/// `[stock]`: mean over bars of each stock's profit after costs, as a fraction of the portfolio's
/// equity one bar earlier. They add up to the mean of [`BacktestRecord::reward`] unless the account
/// was liquidated.
pub(crate) fn rewards_by_stock(record: &BacktestRecord, costs: &Costs) -> Vec<f64> {
    let mut sums = vec![0.0; record.stocks.len()];
    let bars = record.equity.len().saturating_sub(1);
    for rewards in rewards_by_bar(record, costs).chunks_exact(sums.len().max(1)) {
        sums.iter_mut().zip(rewards).for_each(|(sum, reward)| *sum += reward);
    }
    sums.iter().map(|sum| sum / bars.max(1) as f64).collect()
}

/// The same per bar, `[bar, stock]`; 0 in the first bar.
pub(crate) fn rewards_by_bar(record: &BacktestRecord, costs: &Costs) -> Vec<f64> {
    let stocks = record.stocks.len();
    let mut rewards = vec![0.0; record.equity.len() * stocks];
    for (t, rewards) in rewards.chunks_exact_mut(stocks.max(1)).enumerate().skip(1) {
        for (stock, reward) in rewards.iter_mut().enumerate() {
            let (before, at) = ((t - 1) * stocks + stock, t * stocks + stock);
            let (held, holds) = (record.position[before], record.position[at]);
            let shares = holds - held;
            let fill = costs.fill_price(record.open[at], shares);
            let over_night = held * (record.open[at] - record.price[before]);
            let over_the_bar = holds * (record.price[at] - record.open[at]);
            let paid = shares * (fill - record.open[at]) + costs.fee((shares * fill).abs());
            *reward = (over_night + over_the_bar - paid) / record.equity[t - 1];
        }
    }
    rewards
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two stocks, 1,000 in cash, fee 10 bps, slippage 5 bps. Buy 2 of A at an open of 100: 100.05
    /// each, fee 0.2001; it closes at 110: 19.6999. Sell 4 of B at an open of 50: 49.975 each, fee
    /// 0.1999; it closes at 49: 3.7001. Then A opens at 90 and is held to 95: -30 on 1,023.4.
    #[test]
    fn the_stocks_rewards_make_the_portfolios() {
        let costs = Costs { fee_bps: 10.0, slippage_bps: 5.0 };
        let symbols = ["A", "B"].map(|symbol| symbol.parse().unwrap()).to_vec();
        let equity = vec![1_000.0, 1_023.4, 993.4];
        let record = BacktestRecord {
            stocks: symbols,
            end_s: vec![0, 60, 120],
            cash: vec![1_000.0, 999.4, 999.4],
            reward: vec![0.0, 0.023_4, -30.0 / 1_023.4],
            turnover: vec![0.0; 3],
            trades: vec![0, 2, 0],
            drawdown: vec![0.0; 3],
            position: vec![0.0, 0.0, 2.0, -4.0, 2.0, -4.0],
            price: vec![99.0, 51.0, 110.0, 49.0, 95.0, 49.0],
            open: vec![99.0, 51.0, 100.0, 50.0, 90.0, 48.0],
            equity,
        };
        let found = rewards_by_stock(&record, &costs);
        let a = (0.019_699_9 - 30.0 / 1_023.4) / 2.0;
        let b = 0.003_700_1 / 2.0;
        assert!((found[0] - a).abs() < 1e-12 && (found[1] - b).abs() < 1e-12, "{found:?}");
        let mean = record.reward[1..].iter().sum::<f64>() / 2.0;
        assert!((found.iter().sum::<f64>() - mean).abs() < 1e-12);
    }
}
