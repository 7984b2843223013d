//! Random markets with gaps, as folders of day files, and their other futures.

use std::path::Path;

use chrono::{Datelike, Days, NaiveDate, Weekday};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::config::{
    EnvConfig, FeatureConfig, LearnerConfig, MetaPolicyConfig, NetworkConfig, PortfolioConfig,
    RunConfig,
};
use crate::market::calendar::{extended_session, market_date, session, usual_session};
use crate::market::parquet::encode_day;
use crate::market::store::day_key;
use crate::market::{Bar, BarSeries, Symbol};

/// Length of a bar as stored and as used, minutes.
const LENGTHS: [(u32, Option<u32>); 8] = [
    (1, Some(5)),
    (1, Some(15)),
    (1, Some(30)),
    (5, Some(15)),
    (5, Some(30)),
    (10, None),
    (15, None),
    (30, None),
];
/// First days: before half days, holidays and both changes of the clocks.
const STARTS: [&str; 6] =
    ["2019-06-24", "2019-11-19", "2019-10-28", "2020-03-02", "2018-12-13", "2020-01-13"];
const TRAIN_BARS: u32 = 230;
const EVAL_BARS: u32 = 110;

/// A case: settings, and what its markets are like.
pub(crate) struct CausalityCase {
    pub(crate) seed: u64,
    pub(crate) config: RunConfig,
    pub(crate) native_minutes: u32,
    /// A bar is missing with this probability.
    gaps: f64,
    /// The stock's first day, counted from the start of the training period.
    begins: Vec<u64>,
}

impl CausalityCase {
    pub(crate) fn draw(seed: u64) -> CausalityCase {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let stocks = rng.random_range(1..=3);
        let (native_minutes, bar_minutes) = LENGTHS[rng.random_range(0..LENGTHS.len())];
        let start: NaiveDate = STARTS[rng.random_range(0..STARTS.len())].parse().unwrap();
        let per_day = 390 / bar_minutes.unwrap_or(native_minutes);
        let sessions = |bars: u32| (bars.div_ceil(per_day) as usize).max(4);
        let mut days = start.iter_days().filter(|&date| session(date).is_some());
        let mut day = |skip: usize| days.nth(skip).unwrap();
        let (start_date, end_date) = (day(0), day(sessions(TRAIN_BARS)));
        let (eval_start, eval_end) = (day(0), day(sessions(EVAL_BARS)));
        let mut config = settings(&mut rng);
        config.stocks = ["A", "B", "C"][..stocks].iter().map(|s| s.parse().unwrap()).collect();
        (config.start_date, config.end_date) = (start_date, end_date);
        (config.eval_start, config.eval_end) = (eval_start, eval_end);
        config.data.bar_minutes = bar_minutes;
        config.data.extended_hours = rng.random_bool(0.2);
        let columns = rng.random_range(0..3);
        config.features.columns = (0..columns).map(|i| format!("c{i}")).collect();
        let begins = |stock: usize| if stock > 0 && rng.random_bool(0.4) { 3 } else { 0 };
        let begins = (0..stocks).map(begins).collect();
        CausalityCase { seed, config, native_minutes, gaps: rng.random_range(0.0..0.15), begins }
    }

    /// A stream of random numbers of this case.
    pub(crate) fn rng(&self, stream: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(1 + stream);
        rng
    }

    /// Bars as stored, `[stock]`.
    pub(super) fn market(&self, rng: &mut ChaCha8Rng) -> Vec<BarSeries> {
        let nothing: Vec<BarSeries> =
            self.config.stocks.iter().map(|symbol| self.nothing(symbol)).collect();
        let always = vec![i64::MIN; nothing.len()];
        self.extend_market(nothing, &always, self.gaps, rng)
    }

    fn nothing(&self, symbol: &Symbol) -> BarSeries {
        BarSeries::new(symbol.clone()).with_columns(&self.config.features.columns)
    }

    /// The same bars up to `t_s` and all others drawn anew: other prices and volumes, other bars
    /// and days missing.
    pub(crate) fn other_future(
        &self,
        market: &[BarSeries],
        t_s: i64,
        rng: &mut ChaCha8Rng,
    ) -> Vec<BarSeries> {
        let past = |series: &BarSeries| {
            let mut past = self.nothing(&series.symbol);
            let until = series.end_s.partition_point(|&end_s| end_s <= t_s);
            (0..until).for_each(|i| past.push_with(series.bar(i), series.extra(i)));
            past
        };
        let past: Vec<BarSeries> = market.iter().map(past).collect();
        let gaps = rng.random_range(0.0..0.4);
        let bar_s = 60 * i64::from(self.config.data.bar_minutes.unwrap_or(self.native_minutes));
        // Some stocks lack their next few bars.
        let from_s: Vec<i64> = (0..past.len())
            .map(|_| t_s + if rng.random_bool(0.4) { bar_s * rng.random_range(1..4) } else { 0 })
            .collect();
        self.extend_market(past, &from_s, gaps, rng)
    }

    /// Adds bars that end after `from_s`, `[stock]`.
    fn extend_market(
        &self,
        mut market: Vec<BarSeries>,
        from_s: &[i64],
        gaps: f64,
        rng: &mut ChaCha8Rng,
    ) -> Vec<BarSeries> {
        let config = &self.config;
        let native_s = 60 * i64::from(self.native_minutes);
        let common = rng.random_range(0.0..1.0);
        let std = 10_f64.powf(rng.random_range(-4.0..-2.3)) * f64::from(self.native_minutes).sqrt();
        let mut prices: Vec<f64> = market
            .iter()
            .map(|series| series.close.last().unwrap_or(&100.0) * (0.05 * normal(rng)).exp())
            .collect();
        let days = config.start_date.iter_days().take_while(|&date| date <= config.eval_end);
        for date in days {
            // Other venues trade on some Saturdays.
            let saturday = date.weekday() == Weekday::Sat && rng.random_bool(0.1);
            if session(date).is_none() && !saturday {
                continue;
            }
            let hours = match config.data.extended_hours {
                true => extended_session(date),
                false => usual_session(date),
            };
            // A period's ends exist, so that every future has some.
            let ends = [config.start_date, config.end_date, config.eval_end].contains(&date);
            let trades: Vec<bool> = (0..market.len())
                .map(|stock| {
                    let missing = rng.random_bool(0.07) && !ends;
                    date >= config.start_date + Days::new(self.begins[stock]) && !missing
                })
                .collect();
            let first_end_s = hours.open_s + native_s;
            let ends_s = (first_end_s..=hours.close_s).step_by(native_s as usize);
            for end_s in ends_s.filter(|&end_s| from_s.iter().any(|&from_s| end_s > from_s)) {
                let factor = normal(rng);
                for (stock, series) in market.iter_mut().enumerate() {
                    let own = common * factor + (1.0 - common) * normal(rng);
                    let bar = bar(end_s, &mut prices[stock], std, own, rng);
                    let extras = extras(series.columns.len(), rng);
                    // Before 09:30 and after 16:00 there is little trade.
                    let regular = usual_session(date);
                    let quiet = end_s <= regular.open_s || end_s > regular.close_s;
                    let gap = if quiet { 0.9 } else { gaps };
                    let missing = rng.random_bool(gap) || !trades[stock];
                    if end_s > from_s[stock] && !missing {
                        series.push_with(bar, &extras);
                    }
                }
            }
        }
        market
    }

    /// Writes the day files of a market as the program itself writes them.
    pub(crate) fn store(&self, market: &[BarSeries], folder: &Path) {
        for series in market {
            let mut day = self.nothing(&series.symbol);
            for (i, bar) in series.bars().enumerate() {
                day.push_with(bar, series.extra(i));
                let date = market_date(bar.end_s);
                if series.end_s.get(i + 1).is_none_or(|&next| market_date(next) != date) {
                    let bytes = encode_day(&day, self.native_minutes).unwrap();
                    // Not through the store, which waits for the disk at every file.
                    let path = folder.join(day_key(&series.symbol, date));
                    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                    std::fs::write(path, bytes).unwrap();
                    day = self.nothing(&series.symbol);
                }
            }
        }
    }
}

/// Small windows and networks, and every switch either way.
fn settings(rng: &mut ChaCha8Rng) -> RunConfig {
    let mut either = || rng.random_bool(0.5);
    let features = FeatureConfig {
        return_bars: vec![1, 2, 5],
        volatility_bars: vec![3, 8],
        autocorrelation_bars: vec![5],
        rsi_bars: 4,
        macd_fast_bars: 3,
        macd_slow_bars: 6,
        macd_signal_bars: 3,
        bollinger_bars: 5,
        volume_bars: 6,
        volume_mean_bars: vec![1, 3],
        return_sessions: Some(vec![1, 2]),
        volatility_sessions: vec![1, 2],
        rsi_sessions: vec![2],
        relation_bars: 10,
        arbitrage_bars: 30,
        arbitrage_level: 0.5,
        warmup_bars: 20,
        ..FeatureConfig::default()
    };
    let network = NetworkConfig {
        embedding: 8,
        heads: 2,
        symbol_embedding: 2,
        trunk: 16,
        attention: either() || either(),
        dueling: either(),
        layer_norm: either(),
        max_peers: if either() { 1 } else { 2 },
        ..NetworkConfig::default()
    };
    let learner = LearnerConfig {
        lanes: if either() { 1 } else { 2 },
        window_bars: if either() { 1 } else { 5 },
        double: either(),
        prioritized: either(),
        batch_size: 8,
        replay_ratio: 4.0,
        replay_capacity: if either() { 24 } else { 4_096 },
        learning_starts: 24,
        target_every: if either() { 0 } else { 3 },
        target_tau: 0.1,
        epsilon: if either() { 0.9 } else { 0.3 },
        epsilon_alpha: 1.0,
        ..LearnerConfig::default()
    };
    let env = EnvConfig {
        long_only: either() && either(),
        rebalance_band: if either() { 0.02 } else { 0.25 },
        ..EnvConfig::default()
    };
    let portfolio = PortfolioConfig {
        net_limit: if either() { 0.5 } else { 1.0 },
        risk_sessions: 2,
        identical_correlation: if either() { 0.3 } else { 0.98 },
        cluster_correlation: if either() { 0.2 } else { 0.9 },
        drawdown_limit: if either() { 0.003 } else { f64::INFINITY },
        drawdown_pause_sessions: if either() { 0 } else { 1 },
        ..PortfolioConfig::default()
    };
    let seed = rng.random_range(0..1 << 32);
    let meta_policy = MetaPolicyConfig {
        enabled: seed % 4 != 0,
        period_bars: (seed % 3 != 0).then_some(5),
        // So that rules, too, are followed.
        dqn_prior: if seed % 2 == 0 { 0.5 } else { 0.05 },
        ..MetaPolicyConfig::default()
    };
    let portfolio = PortfolioConfig { meta_policy, ..portfolio };
    RunConfig {
        seed,
        episodes: 2,
        features,
        network,
        learner,
        env,
        portfolio,
        ..RunConfig::default()
    }
}

/// From one price to the next; `own` is the move in standard deviations.
fn bar(end_s: i64, price: &mut f64, std: f64, own: f64, rng: &mut ChaCha8Rng) -> Bar {
    let open = *price * (0.3 * std * normal(rng)).exp();
    let close = open * (std * own).exp();
    *price = close;
    let beyond = |rng: &mut ChaCha8Rng| (std * rng.random::<f64>()).exp();
    let (high, low) = (open.max(close) * beyond(rng), open.min(close) / beyond(rng));
    let volume = if rng.random_bool(0.02) { 0.0 } else { (1e3 * normal(rng).exp()).round() };
    Bar { end_s, open, high, low, close, volume }
}

/// Values of further columns, many of them unknown.
fn extras(columns: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let value = |rng: &mut ChaCha8Rng| {
        if rng.random_bool(0.6) { f32::NAN } else { 20.0 + normal(rng) as f32 }
    };
    (0..columns).map(|_| value(rng)).collect()
}

/// Standard normal, by Box and Muller.
pub(crate) fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}
