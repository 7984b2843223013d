//! Policies as users run them. [`NULL`] have no skill in a market without an edge.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::super::fixture::FixtureAccount;
use super::market::{BARS, DAILY_STD, HISTORY, Prices, STOCKS, side_by_clock};
use crate::eval::metrics::BacktestRecord;

pub(super) const NULL: [Policy; 25] = [
    Policy::Random(1.0),
    Policy::Random(20.0),
    Policy::Random(200.0),
    Policy::Long,
    Policy::Average(20),
    Policy::Average(-20),
    Policy::Average(-200),
    Policy::LongAverage(50),
    Policy::LongAverage(700),
    Policy::LongAverage(-350),
    Policy::LongAverage(-700),
    Policy::Restless,
    Policy::Martingale,
    Policy::Pyramid,
    Policy::Mornings,
    Policy::Nights,
    Policy::Depth,
    Policy::DepthSoFar,
    Policy::Calm,
    Policy::Storm,
    Policy::AfterFalls(3),
    Policy::Channel,
    Policy::StopLoss,
    Policy::AgainstRallies,
    Policy::Oversold,
];

#[derive(Clone, Copy, Debug)]
pub(super) enum Policy {
    /// Short, flat or long at random, redrawn after this many bars on average.
    Random(f64),
    Long,
    /// Long above the mean of this many closes, short below; the reverse if negative.
    Average(i64),
    /// Like `Average`, with flat in place of short.
    LongAverage(i64),
    /// A random side each day, but only after a day of large moves.
    Restless,
    /// Doubles its stake, up to all of it, after a day that lost 2 %; reduces it after one that
    /// gained as much.
    Martingale,
    /// Doubles its stake after a day that gained 2 %; reduces it after one that lost as much.
    Pyramid,
    /// Long in the first three bars of a day, short after.
    Mornings,
    /// Long over night and in a day's first bar.
    Nights,
    /// Long in proportion to the depth below the highest daily close of a year, all in at 10 %.
    Depth,
    /// The same below the highest close since trading began.
    DepthSoFar,
    /// Long in inverse proportion to the volatility of 20 days, all in at half of the usual one.
    Calm,
    /// Long in proportion to that volatility, all in at twice the usual one.
    Storm,
    /// Long for a day after this many days of falls.
    AfterFalls(usize),
    /// Long from a close above all daily ones of 20 days until one below all of 10.
    Channel,
    /// Long; out for 20 days after a loss of 5 %.
    StopLoss,
    /// Short while the price is 5 % above that of 20 days ago.
    AgainstRallies,
    /// Long from a relative strength index of 14 days below 30 until it is above 50.
    Oversold,
    Signal,
}

/// What a policy holds of a stock.
#[derive(Clone, Copy, Default)]
struct Holding {
    /// -1 to 1.
    side: f64,
    /// When the side last changed, and the close then; 0 before.
    since: usize,
    price: f64,
    /// The highest close since trading began.
    peak: f64,
}

impl Policy {
    /// Trades the judged year, whose bars end at `ends`.
    pub(super) fn trade(
        self,
        prices: &Prices,
        ends: &[i64],
        cost_bps: f64,
        rng: &mut ChaCha8Rng,
    ) -> BacktestRecord {
        let start = HISTORY * BARS;
        let mut account = FixtureAccount::open(ends[0], &prices.close[start]);
        let (mut held, mut shares) = ([Holding::default(); STOCKS], [0.0; STOCKS]);
        for (t, &end_s) in (start..).zip(&ends[1..]) {
            for stock in 0..STOCKS {
                let price = prices.close[t][stock];
                held[stock].peak = held[stock].peak.max(price);
                let side = self.side(prices, t, stock, held[stock], rng);
                if side != held[stock].side {
                    held[stock] = Holding { side, since: t, price, ..held[stock] };
                    shares[stock] = side / STOCKS as f64 * account.equity() / price;
                }
            }
            let bar = [&prices.open[t + 1][..], &prices.close[t + 1]];
            account.bar(end_s, bar, &shares, [cost_bps, 0.0]);
        }
        account.record()
    }

    /// Weight of a stock at the close of bar t, times the number of stocks.
    fn side(
        self,
        prices: &Prices,
        t: usize,
        stock: usize,
        held: Holding,
        rng: &mut ChaCha8Rng,
    ) -> f64 {
        let close = |t: usize| prices.close[t][stock];
        let day_end = t.is_multiple_of(BARS);
        // Gain since this many days ago, and of one day that ended this many days ago.
        let gain = |days: usize| close(t) / close(t - days * BARS) - 1.0;
        let of_day = |ago: usize| close(t - ago * BARS) / close(t - (ago + 1) * BARS) - 1.0;
        let above_mean = |bars: i64| {
            let above = close(t) - prices.mean(t, bars.unsigned_abs() as usize, stock);
            let sign = above.partial_cmp(&0.0).map_or(0.0, |order| f64::from(order as i8));
            sign * bars.signum() as f64
        };
        let below = |peak: f64| ((1.0 - close(t) / peak) / 0.1).clamp(0.0, 1.0);
        let staked = |raises: bool, reduces: bool| match (raises, reduces) {
            _ if !day_end => held.side,
            _ if reduces || held.side == 0.0 => 0.25,
            (true, _) => (2.0 * held.side).min(1.0),
            _ => held.side,
        };
        match self {
            Policy::Random(bars) if rng.random::<f64>() * bars < 1.0 => {
                f64::from(rng.random_range(-1..=1))
            }
            Policy::Random(_) => held.side,
            Policy::Long => 1.0,
            Policy::Average(bars) => above_mean(bars),
            Policy::LongAverage(bars) => above_mean(bars).max(0.0),
            Policy::Restless if !day_end => held.side,
            Policy::Restless => {
                let side = f64::from(2 * rng.random_range(0..=1) - 1);
                if gain(1).abs() > DAILY_STD { side } else { 0.0 }
            }
            Policy::Martingale => staked(gain(1) < -0.02, gain(1) > 0.02),
            Policy::Pyramid => staked(gain(1) > 0.02, gain(1) < -0.02),
            Policy::Mornings => side_by_clock(t % BARS),
            Policy::Nights => f64::from(u8::from(day_end)),
            Policy::Depth => below(prices.peak[t / BARS][stock]),
            Policy::DepthSoFar => below(held.peak),
            Policy::Calm
            | Policy::Storm
            | Policy::AfterFalls(_)
            | Policy::Channel
            | Policy::Oversold
                if !day_end =>
            {
                held.side
            }
            Policy::Calm | Policy::Storm => {
                let squares: f64 = (0..20).map(|ago| of_day(ago).powi(2)).sum();
                let times_usual = (squares / 20.0).sqrt() / DAILY_STD;
                let calm = matches!(self, Policy::Calm);
                (0.5 * if calm { 1.0 / times_usual } else { times_usual }).min(1.0)
            }
            Policy::AfterFalls(days) => f64::from(u8::from((0..days).all(|ago| of_day(ago) < 0.0))),
            Policy::Channel => {
                let before = |days| (1..=days).map(|ago: usize| close(t - ago * BARS));
                if before(20).all(|earlier| close(t) > earlier) {
                    1.0
                } else if before(10).all(|earlier| close(t) < earlier) {
                    0.0
                } else {
                    held.side
                }
            }
            Policy::StopLoss => {
                let waits = held.price > 0.0 && t < held.since + 20 * BARS;
                let out = if held.side > 0.0 { close(t) < 0.95 * held.price } else { waits };
                f64::from(u8::from(!out))
            }
            Policy::AgainstRallies => -f64::from(u8::from(gain(20) > 0.05)),
            Policy::Oversold => {
                let moves = (0..14).map(of_day);
                let rises: f64 = moves.clone().map(|change| change.max(0.0)).sum();
                let all: f64 = moves.map(f64::abs).sum();
                match 100.0 * rises / all {
                    strength if strength < 30.0 => 1.0,
                    strength if strength > 50.0 => 0.0,
                    _ => held.side,
                }
            }
            Policy::Signal => prices.signal[t][stock],
        }
    }
}
