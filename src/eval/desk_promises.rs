//! What the desk promises of the account that it trades, on planted days: the better expert's
//! growth but for a part, and the bound on its regret.

use std::ops::Range;
use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::account::BacktestAccount;
use crate::config::{EnvConfig, PortfolioConfig};
use crate::market::panel::Panel;
use crate::market::panel::fixtures::panel_of_closes;
use crate::portfolio::mandate::Mandate;
use crate::portfolio::meta_policy::{CapitalPlan, MetaPolicy, Regret};

const DAYS_PER_YEAR: f64 = 252.0;
/// Two years of evidence, then one that is traded.
const EVIDENCE: usize = 504;
const TRADED: usize = 252;
/// Standard deviation of a day: 16 % a year.
const DAY_STD: f64 = 0.01;

/// Stocks with a bar a day that opens at the last close, with these returns after the first bar,
/// `[stock][day]`.
fn panel(folder: &std::path::Path, returns: &[Vec<f64>]) -> Panel {
    let start = chrono::DateTime::parse_from_rfc3339("2018-01-02T16:00:00-05:00").unwrap();
    let closes = |returns: &Vec<f64>| {
        let mut close = vec![100.0];
        returns.iter().for_each(|r| close.push(close[close.len() - 1] * (1.0 + r)));
        close
    };
    let closes: Vec<Vec<f64>> = returns.iter().map(closes).collect();
    let days = 0..closes[0].len() as i64;
    panel_of_closes(folder, days.map(|day| start.timestamp() + 86_400 * day).collect(), &closes)
}

/// Close to normal, of variance 1.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    (0..12).map(|_| rng.random::<f64>() - 0.5).sum()
}

/// Returns with this Sharpe ratio a year, one more than there are days.
fn returns(rng: &mut ChaCha8Rng, sharpe: f64, days: usize) -> Vec<f64> {
    (0..days).map(|_| DAY_STD * (normal(rng) + sharpe / DAYS_PER_YEAR.sqrt())).collect()
}

/// `[day]`: positions, long or short, that have this Sharpe ratio because they know the next return
/// more often than not: the mean of a normal value's size is 0.798 of its deviation.
fn positions(rng: &mut ChaCha8Rng, returns: &[f64], sharpe: f64) -> Vec<f64> {
    let known = 0.5 + sharpe / (2.0 * 0.798 * DAYS_PER_YEAR.sqrt());
    let position =
        |&next: &f64| if rng.random::<f64>() < known { next.signum() } else { -next.signum() };
    returns.iter().map(position).collect()
}

fn mandate(stocks: usize, rebalance_band: f64) -> Mandate {
    let stocks: Vec<_> = ["A", "B", "C"][..stocks].iter().map(|s| s.parse().unwrap()).collect();
    let env = EnvConfig { fee_bps: 0.5, slippage_bps: 0.5, rebalance_band, ..EnvConfig::default() };
    Mandate::new(&stocks, &env, &PortfolioConfig::default())
}

/// Trades `rows` with the rules and a DQN that wants `dqn(row, stock, weights)` and is believed; its
/// record is known from row `from` on. Returns the simple returns of the account, and its regret.
fn trade(
    mandate: &Mandate,
    panel: &Panel,
    from: usize,
    rows: Range<usize>,
    dqn: impl Fn(usize, usize, &[f64]) -> f64,
) -> (Vec<f64>, Option<Regret>) {
    let stocks = mandate.stocks.len();
    let meta = MetaPolicy::new(mandate, panel).unwrap().unwrap();
    let plan = CapitalPlan::new(panel, stocks, &mandate.portfolio);
    let before = meta.expert_weights(panel, 0, &[from], &plan).pop().unwrap();
    let record = |row, stock| dqn(row, stock, &[]);
    let known = meta.weights_after(&before, true, panel, from..rows.start, &plan, record);
    let limits = mandate.limits(&vec![vec![None; stocks]; stocks]);
    let account = BacktestAccount::new(mandate, panel, &rows, &limits);
    let mut account = account.with_meta_policy(Some(Arc::new(meta)), Some(&known));
    for row in rows.clone() {
        let wanted = |stock: usize| {
            let (_, book) = account.desk().allotted(0).unwrap();
            (dqn(row, stock, book.weights(stock)), 1.0)
        };
        let wanted: Vec<(f64, f32)> = (0..stocks).map(wanted).collect();
        account.order(&panel.view(row), wanted.into_iter());
        // What is ordered at the last bar is never filled.
        if row + 1 < rows.end {
            account.advance(&panel.view(row + 1));
        }
    }
    let regret = account.desk().regret(0);
    (account.into_record().reward, regret)
}

/// Log growth a year, in percent: means over draws of the desk, of holding and of the DQN.
fn growth(hold: f64, dqn: f64) -> [f64; 3] {
    const DRAWS: usize = 150;
    let mandate = mandate(1, 0.05);
    let mut sums = [0.0; 3];
    for draw in 0..DRAWS {
        let mut rng = ChaCha8Rng::seed_from_u64(draw as u64);
        let returns = returns(&mut rng, hold, EVIDENCE + TRADED);
        let wanted = positions(&mut rng, &returns, dqn);
        let folder = tempfile::tempdir().unwrap();
        let panel = panel(folder.path(), std::slice::from_ref(&returns));
        // The rules need some days before anything is known of anyone.
        let rows = EVIDENCE..panel.rows();
        let wanted_at = |row: usize, _: usize, _: &[f64]| wanted[row.min(wanted.len() - 1)];
        let (desk, _) = trade(&mandate, &panel, 40, rows, wanted_at);
        let traded = EVIDENCE..EVIDENCE + TRADED;
        let grown = |of: &mut dyn Iterator<Item = f64>| of.map(|r| 100.0 * r.ln_1p()).sum::<f64>();
        sums[0] += grown(&mut desk.into_iter());
        sums[1] += grown(&mut returns[traded.clone()].iter().copied());
        sums[2] += grown(&mut traded.map(|day| wanted[day] * returns[day]));
    }
    sums.map(|sum| sum / DRAWS as f64)
}

/// Four points a year are what a hold of Sharpe ratio 1 may lose to a DQN of -3 beside it.
#[test]
fn a_bad_dqn_costs_little() {
    let [desk, hold, dqn] = growth(1.0, -3.0);
    println!("desk {desk:.1}, hold {hold:.1}, DQN {dqn:.1} % a year");
    assert!(dqn < -40.0 && desk > hold - 4.0, "{desk} beside {hold} and {dqn}");
}

#[test]
fn the_better_of_two_experts_is_followed() {
    for (hold, dqn, least) in [(1.0, 2.0, 0.8), (0.0, 1.5, 0.7), (1.0, 0.0, 0.6)] {
        let [desk, held, learned] = growth(hold, dqn);
        println!("desk {desk:.1}, hold {held:.1}, DQN {learned:.1} % a year");
        let best = held.max(learned);
        assert!(desk >= least * best, "{desk} of {best}: hold {hold}, DQN {dqn}");
    }
}

/// Random days, days of sudden turns, and an adversary that sees the weights, in one stock and in
/// three, of which the last has no partner; the DQN is right, wrong, or the opposite of whoever has
/// the weight. What the account lost to its best expert is never more than the bound says, costs
/// included.
#[test]
fn the_account_keeps_the_bound() {
    let mut closest = f64::INFINITY;
    for case in 0..80_u64 {
        let stocks = if case % 2 == 0 { 1 } else { 3 };
        let mandate = mandate(stocks, 0.0);
        let mut rng = ChaCha8Rng::seed_from_u64(case);
        let (drift, turn) = (rng.random_range(-4.0..4.0), rng.random_range(5..120));
        let mut returns: Vec<Vec<f64>> =
            (0..stocks).map(|_| returns(&mut rng, drift, 600)).collect();
        if case % 3 == 1 {
            for (day, r) in returns.iter_mut().flat_map(|of| of.iter_mut().enumerate()) {
                *r = r.abs() * if day / turn % 2 == 0 { 1.0 } else { -1.0 };
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let panel = panel(folder.path(), &returns);
        let skill = [-12.0, 0.0, 12.0][rng.random_range(0..3)];
        let wanted: Vec<Vec<f64>> =
            returns.iter().map(|of| positions(&mut rng, of, skill)).collect();
        let dqn = |row: usize, stock: usize, weights: &[f64]| {
            let next = returns[stock].get(row).copied().unwrap_or(0.0);
            match weights.last() {
                // It loses while it has weight, and earns while it has none.
                Some(&weight) if case % 3 == 2 => {
                    next.signum() * if weight > 0.3 { -1.0 } else { 1.0 }
                }
                _ => wanted[stock][row.min(wanted[stock].len() - 1)],
            }
        };
        let (_, regret) = trade(&mandate, &panel, 60, 100..panel.rows(), dqn);
        let Regret { regret, bound, periods, .. } = regret.unwrap();
        assert!(periods > 400 && bound > 0.0);
        assert!(regret <= bound, "case {case}: {regret} above {bound}");
        closest = closest.min((bound - regret) / bound);
    }
    // A loose bound would hold for weights that learn nothing, too.
    assert!(closest < 0.9, "{closest}");
}
