//! What a configuration must hold to be usable.

use chrono::Datelike;

use super::{ConfigError, EngineKind, RunConfig};
use crate::interface::ActionSet;
use crate::market::columns::is_bar_column;

/// Longest window in bars: more than a year of bars of a minute.
const LONGEST_BARS: u32 = 100_000;
/// Most lengths in a list of them.
const MOST_LENGTHS: usize = 64;
/// Most stocks of a run; relations are measured for every pair of them.
const MOST_STOCKS: usize = 10_000;
/// Largest seed: a double holds it exactly, as readers of `summary.json` take it.
const LARGEST_SEED: u64 = 1 << 53;
/// Longest time in seconds, 31 years.
const LONGEST_S: f64 = 1e9;

impl RunConfig {
    /// Everything that can be known to be wrong before any data is read.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.validate_run()?;
        self.validate_market()?;
        self.validate_learning()
    }

    fn validate_run(&self) -> Result<(), ConfigError> {
        if self.stocks.is_empty() {
            return Err(ConfigError::new("--stocks", "no symbol is given", "give at least one"));
        }
        check("--stocks", self.stocks.len() <= MOST_STOCKS, "must be at most 10000 symbols")?;
        let mut sorted = self.stocks.clone();
        sorted.sort();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            let what = format!("{} is given twice", pair[0]);
            return Err(ConfigError::new("--stocks", what, "give each symbol once"));
        }
        for (period, flags) in
            [(self.train_period(), "--end_date"), (self.eval_period(), "--eval_end")]
        {
            if period.end < period.start {
                let what = format!("{} is before {}", period.end, period.start);
                let hint = "the last day must not be before the first";
                return Err(ConfigError::new(flags, what, hint));
            }
        }
        // Stock markets are younger, and the calendar's rules are those of today.
        let years = [self.start_date, self.end_date, self.eval_start, self.eval_end]
            .map(|date| (1_900..=2_199).contains(&date.year()));
        check("--start_date to --eval_end", years == [true; 4], "must be from 1900 to 2199")?;
        let overlap = self.eval_start <= self.end_date && self.start_date <= self.eval_end;
        if overlap && !self.data.allow_overlap {
            return Err(ConfigError::new(
                "--eval_start",
                format!(
                    "evaluation ({}) overlaps training ({})",
                    self.eval_period(),
                    self.train_period()
                ),
                "move one of the periods, or add --allow-overlap: the results then are in-sample",
            ));
        }
        check("--seed", self.seed <= LARGEST_SEED, "must be from 0 to 9007199254740992 (2^53)")?;
        self.validate_operation()?;
        let device = self.device == "cpu"
            || self.device.strip_prefix("cuda:").is_some_and(|n| n.parse::<u32>().is_ok());
        check("--device", device, "must be cpu or cuda:N")?;
        self.validate_engine()
    }

    fn validate_operation(&self) -> Result<(), ConfigError> {
        let part = self.asynchronous.top_k;
        check("asynchronous.top_k", (1e-6..=1.0).contains(&part), "must be from 0.000001 to 1")?;
        let staleness = self.asynchronous.max_staleness.unwrap_or(0);
        check("--max-staleness", staleness <= 1_000_000_000, "must be from 0 to 1e9")?;
        let passes = |count: u32| (1..=10_000_000).contains(&count);
        check("--episodes", passes(self.episodes), "must be from 1 to 10000000")?;
        let between = self.evaluation.every_episodes;
        check("--eval-every", passes(between), "must be from 1 to 10000000")?;
        let every = self.checkpoint.every_s;
        let usable = (0.0..=LONGEST_S).contains(&every) || every == f64::INFINITY;
        check("--checkpoint-every", usable, "must be from 0 to 1e9, or inf")?;
        let kept = (1..=1_000_000).contains(&self.checkpoint.keep);
        check("checkpoint.keep", kept, "must be from 1 to 1000000")?;
        let timeout = self.ranks.timeout_s;
        let usable = timeout == 0.0 || (1.0..=LONGEST_S).contains(&timeout);
        check("ranks.timeout_s", usable, "must be 0, or from 1 to 1e9")?;
        let stuck = (0.0..=LONGEST_S).contains(&self.ranks.stuck_s);
        check("ranks.stuck_s", stuck, "must be from 0 to 1e9; 0 is never")
    }

    /// What a build without libtorch cannot do.
    fn validate_engine(&self) -> Result<(), ConfigError> {
        let native = self.network.engine == EngineKind::Native;
        let asked = [("--device", self.device == "cpu"), ("network.engine", native)];
        for (field, here) in asked {
            if !here && !cfg!(feature = "torch") {
                let what = "this program was built without libtorch";
                let hint = "leave it out, or build with the feature \"torch\"";
                return Err(ConfigError::new(field, what, hint));
            }
        }
        Ok(())
    }

    fn validate_market(&self) -> Result<(), ConfigError> {
        let minutes = self.data.bar_minutes.unwrap_or(1);
        let session = self.data.calendar.session_minutes();
        let rule = format!("must be from 1 to {session}, a session");
        check("--bar-minutes", (1..=session).contains(&minutes), &rule)?;
        let costs = |bps: f64| (0.0..1_000.0).contains(&bps);
        check("--fee-bps", costs(self.env.fee_bps), "must be from 0 to below 1000")?;
        check("--slippage-bps", costs(self.env.slippage_bps), "must be from 0 to below 1000")?;
        let positions = &self.env.positions;
        let usable = positions.array_windows().all(|[lower, higher]| lower < higher)
            && positions.iter().all(|position| (-1.0..=1.0).contains(position))
            && positions.contains(&0.0)
            && positions.last().is_some_and(|&most| most > 0.0)
            && positions.len() <= ActionSet::MOST;
        let ascending = "must be at most 15 ascending numbers from -1 to 1, with 0 and one above";
        check("env.positions", usable, ascending)?;
        let cash = self.env.initial_cash;
        check("env.initial_cash", (0.01..=1e15).contains(&cash), "must be from 0.01 to 1e15")?;
        let band = self.env.rebalance_band;
        check("env.rebalance_band", or_off(band, 1e-9), "must be from 1e-9 to 1e9, or inf")?;
        let margin = self.env.maintenance_margin;
        check("env.maintenance_margin", (0.0..1.0).contains(&margin), "must be from 0 to below 1")?;
        let portfolio = &self.portfolio;
        self.validate_limits()?;
        let target = portfolio.target_volatility;
        let key = "portfolio.target_volatility";
        check(key, or_off(target, 1e-6), "must be from 0.000001 to 1e9; inf is off")?;
        let sessions = (1..=10_000).contains(&portfolio.risk_sessions);
        check("portfolio.risk_sessions", sessions, "must be from 1 to 10000")?;
        let pause = portfolio.drawdown_pause_sessions <= 100_000;
        check("portfolio.drawdown_pause_sessions", pause, "must be from 0 to 100000")?;
        self.validate_meta_policy()?;
        self.validate_features()
    }

    fn validate_limits(&self) -> Result<(), ConfigError> {
        let portfolio = &self.portfolio;
        // Infinity switches a limit off.
        let limit = |field: &str, value: f64| {
            check(field, or_off(value, 1e-6), "must be from 0.000001 to 1e9; inf is no limit")
        };
        limit("portfolio.gross_limit", portfolio.gross_limit)?;
        limit("portfolio.net_limit", portfolio.net_limit)?;
        limit("portfolio.name_limit", portfolio.name_limit.unwrap_or(1.0))?;
        limit("portfolio.cluster_limit", portfolio.cluster_limit.unwrap_or(1.0))?;
        limit("portfolio.drawdown_limit", portfolio.drawdown_limit)?;
        let aversion = (0.0..=1_000.0).contains(&portfolio.risk_aversion);
        check("portfolio.risk_aversion", aversion, "must be from 0 to 1000")?;
        let correlations = [
            ("portfolio.cluster_correlation", portfolio.cluster_correlation),
            ("portfolio.identical_correlation", portfolio.identical_correlation),
        ];
        for (field, value) in correlations {
            check(field, or_off(value, -1.0), "must be from -1 to 1e9; 1 and above is off")?;
        }
        for pair in &portfolio.pairs {
            let stranger = pair.iter().find(|symbol| !self.stocks.contains(symbol));
            let what = match stranger {
                Some(symbol) => format!("{symbol} is not among the stocks"),
                None if pair[0] == pair[1] => format!("{} is paired with itself", pair[0]),
                None => continue,
            };
            let hint = "name two of --stocks per pair, as in [[\"AAPL\", \"MSFT\"]]";
            return Err(ConfigError::new("portfolio.pairs", what, hint));
        }
        Ok(())
    }

    fn validate_meta_policy(&self) -> Result<(), ConfigError> {
        let meta = &self.portfolio.meta_policy;
        let inside = |value: f64| value > 0.0 && value < 1.0;
        check(
            "portfolio.meta_policy.strategies",
            !meta.strategies.is_empty(),
            "must name at least one; portfolio.meta_policy.enabled=false leaves the DQN alone",
        )?;
        let period = (1..=1_000_000).contains(&meta.period_bars.unwrap_or(1));
        check("portfolio.meta_policy.period_bars", period, "must be from 1 to 1000000")?;
        let prior = inside(meta.dqn_prior);
        check("portfolio.meta_policy.dqn_prior", prior, "must be above 0 and below 1")?;
        let prior = inside(meta.unbelieved_dqn_prior);
        let key = "portfolio.meta_policy.unbelieved_dqn_prior";
        check(key, prior, "must be above 0 and below 1")?;
        let priors = meta.priors.values().all(|&part| inside(part));
        let priors = priors && meta.priors.values().sum::<f64>() < 1.0;
        let parts = "must be parts above 0 that add up to less than 1";
        check("portfolio.meta_policy.priors", priors, parts)?;
        // Three deviations against an expert must not take its whole bet.
        let rate = meta.learning_rate > 0.0 && meta.learning_rate <= 0.3;
        check("portfolio.meta_policy.learning_rate", rate, "must be above 0, at most 0.3")?;
        let rates = &meta.share_rates;
        let usable = (1..=64).contains(&rates.len()) && rates.iter().all(|&rate| inside(rate));
        let rule = "must be 1 to 64 numbers above 0 and below 1";
        check("portfolio.meta_policy.share_rates", usable, rule)
    }

    fn validate_features(&self) -> Result<(), ConfigError> {
        let features = &self.features;
        let width = features.bollinger_width;
        let usable = (0.001..=1_000.0).contains(&width);
        check("features.bollinger_width", usable, "must be from 0.001 to 1000")?;
        let mut windows = vec![
            ("features.bollinger_bars", features.bollinger_bars),
            ("features.volume_bars", features.volume_bars),
            ("features.relation_bars", features.relation_bars),
            ("features.rsi_bars", features.rsi_bars),
            ("features.macd_fast_bars", features.macd_fast_bars),
            ("features.macd_slow_bars", features.macd_slow_bars),
        ];
        windows.extend(features.volatility_bars.iter().map(|&n| ("features.volatility_bars", n)));
        let autocorrelations = features.autocorrelation_bars.iter();
        windows.extend(autocorrelations.map(|&n| ("features.autocorrelation_bars", n)));
        for (name, bars) in windows {
            check(name, (2..=LONGEST_BARS).contains(&bars), "must be from 2 to 100000")?;
        }
        let length = |bars: &u32| (1..=LONGEST_BARS).contains(bars);
        let signal = length(&features.macd_signal_bars);
        check("features.macd_signal_bars", signal, "must be from 1 to 100000")?;
        let macd = features.macd_fast_bars < features.macd_slow_bars;
        check("features.macd_fast_bars", macd, "must be below features.macd_slow_bars")?;
        let returns = &features.return_bars;
        let usable = (1..=MOST_LENGTHS).contains(&returns.len()) && returns.iter().all(length);
        check("features.return_bars", usable, "must be 1 to 64 lengths from 1 to 100000")?;
        let lists = [
            ("features.volatility_bars", &features.volatility_bars),
            ("features.autocorrelation_bars", &features.autocorrelation_bars),
            ("features.volume_mean_bars", &features.volume_mean_bars),
            ("features.volatility_sessions", &features.volatility_sessions),
            ("features.rsi_sessions", &features.rsi_sessions),
        ];
        for (name, list) in lists {
            check(name, list.len() <= MOST_LENGTHS, "must be at most 64 lengths")?;
        }
        let volumes = &features.volume_mean_bars;
        let usable = volumes.iter().all(|bars| (1..features.volume_bars).contains(bars));
        let below = "must be lengths of at least 1 and below features.volume_bars, or []";
        check("features.volume_mean_bars", usable, below)?;
        self.validate_session_features()?;
        self.validate_columns()?;
        let warmup = features.warmup_bars <= LONGEST_BARS;
        check("features.warmup_bars", warmup, "must be from 0 to 100000")?;
        let blocks = (30..=LONGEST_BARS).contains(&features.arbitrage_bars);
        check("features.arbitrage_bars", blocks, "must be from 30 to 100000")?;
        let level = features.arbitrage_level;
        check(
            "features.arbitrage_level",
            (1e-6..=0.5).contains(&level),
            "must be 0.000001 to 0.5",
        )?;
        let clip = or_off(f64::from(features.clip_std), 1e-3);
        check("features.clip_std", clip, "must be from 0.001 to 1e9; inf cuts nothing off")
    }

    fn validate_session_features(&self) -> Result<(), ConfigError> {
        let features = &self.features;
        let listed = [
            ("features.return_sessions", features.return_sessions(), 1),
            ("features.volatility_sessions", &features.volatility_sessions[..], 1),
            ("features.rsi_sessions", &features.rsi_sessions[..], 2),
        ];
        for (name, sessions, least) in listed {
            // More would be read ahead of every evaluation.
            let usable = sessions.iter().all(|n| (least..=500).contains(n));
            check(name, usable, &format!("must be lengths from {least} to 500, or []"))?;
        }
        Ok(())
    }

    fn validate_columns(&self) -> Result<(), ConfigError> {
        let columns = &self.features.columns;
        for (i, name) in columns.iter().enumerate() {
            let same = |other: &String| other.eq_ignore_ascii_case(name);
            let what = match name.trim() {
                "" => "a column has no name".to_string(),
                name if is_bar_column(name) => format!("{name} is read as a part of the bars"),
                name if columns[..i].iter().any(same) => format!("{name} is given twice"),
                _ => continue,
            };
            let hint = "name further columns of the day files, as in [\"vix\"]";
            return Err(ConfigError::new("features.columns", what, hint));
        }
        Ok(())
    }

    fn validate_learning(&self) -> Result<(), ConfigError> {
        let learner = &self.learner;
        check("--lanes", (1..=65_536).contains(&learner.lanes), "must be from 1 to 65536")?;
        check("learner.gamma", (0.0..1.0).contains(&learner.gamma), "must be from 0 to below 1")?;
        let bars = learner.window_bars;
        check("learner.window_bars", (1..=4_096).contains(&bars), "must be from 1 to 4096")?;
        let weight = learner.lambda;
        check("learner.lambda", (0.0..=1.0).contains(&weight), "must be from 0 to 1")?;
        let batch = (1..=65_536).contains(&learner.batch_size);
        check("--batch-size", batch, "must be from 1 to 65536")?;
        let ratio = learner.replay_ratio;
        check("--replay-ratio", (0.0..1e6).contains(&ratio), "must be from 0 to below 1e6")?;
        let capacity = learner.replay_capacity >= learner.batch_size;
        check("learner.replay_capacity", capacity, "must be at least the batch size")?;
        // 16 bytes a window.
        let memory = learner.replay_capacity <= 1 << 26;
        check("learner.replay_capacity", memory, "must be at most 67108864 (2^26)")?;
        let counts = [
            ("learner.learning_starts", learner.learning_starts as u64),
            ("learner.target_every", learner.target_every),
        ];
        for (field, count) in counts {
            check(field, count <= 1_000_000_000, "must be from 0 to 1e9")?;
        }
        let rate = (1e-12..=1e12).contains(&learner.learning_rate);
        check("--learning-rate", rate, "must be from 1e-12 to 1e12")?;
        let end = learner.learning_rate_end;
        check("learner.learning_rate_end", (0.0..=1.0).contains(&end), "must be from 0 to 1")?;
        let shrinks = &learner.weight_decay.0;
        let usable = |shrink: &f64| (0.0..1.0 / learner.learning_rate).contains(shrink);
        let usable = (1..=16).contains(&shrinks.len()) && shrinks.iter().all(usable);
        let rule = "must be 1 to 16 numbers from 0 to below 1 over the learning rate";
        check("learner.weight_decay", usable, rule)?;
        let decay = |value: f64| (0.0..1.0).contains(&value);
        check("learner.adam_beta1", decay(learner.adam_beta1), "must be from 0 to below 1")?;
        check("learner.adam_beta2", decay(learner.adam_beta2), "must be from 0 to below 1")?;
        let added = (1e-30..=1e6).contains(&learner.adam_epsilon);
        check("learner.adam_epsilon", added, "must be from 1e-30 to 1e6")?;
        let fraction = |value: f64| (0.0..=1.0).contains(&value);
        check("learner.priority_alpha", fraction(learner.priority_alpha), "must be from 0 to 1")?;
        check("learner.priority_beta", fraction(learner.priority_beta), "must be from 0 to 1")?;
        let aversion = (0.0..=1_000.0).contains(&learner.risk_aversion);
        check("learner.risk_aversion", aversion, "must be from 0 to 1000")?;
        let held = learner.validation_share;
        check("learner.validation_share", (0.0..=0.9).contains(&held), "must be from 0 to 0.9")?;
        let level = learner.selection_level;
        let usable = (1e-6..=0.5).contains(&level);
        check("learner.selection_level", usable, "must be from 0.000001 to 0.5")?;
        check("learner.target_tau", fraction(learner.target_tau), "must be from 0 to 1")?;
        check("learner.epsilon", fraction(learner.epsilon), "must be from 0 to 1")?;
        let ladder = learner.epsilon_alpha;
        check("learner.epsilon_alpha", (0.0..=1e3).contains(&ladder), "must be from 0 to 1000")?;
        let norm = or_off(learner.max_grad_norm, 1e-9);
        check("learner.max_grad_norm", norm, "must be from 1e-9 to 1e9; inf is off")?;
        self.validate_network()
    }

    fn validate_network(&self) -> Result<(), ConfigError> {
        let network = &self.network;
        // Wider layers than this would take the memory of the machine, and libtorch's own message.
        let widths = [
            ("network.embedding", network.embedding, 2_048),
            ("network.trunk", network.trunk, 8_192),
            ("network.symbol_embedding", network.symbol_embedding, 2_048),
        ];
        for (name, width, most) in widths {
            check(name, (1..=most).contains(&width), &format!("must be from 1 to {most}"))?;
        }
        let peers = network.max_peers <= MOST_STOCKS;
        check("network.max_peers", peers, "must be from 0 to 10000")?;
        let divides = network.heads >= 1 && network.embedding.is_multiple_of(network.heads);
        check("network.heads", divides, "must divide network.embedding")
    }
}

/// From `least` to 1e9, or inf, which switches off what the setting limits.
fn or_off(value: f64, least: f64) -> bool {
    (least..=1e9).contains(&value) || value == f64::INFINITY
}

fn check(field: &str, holds: bool, rule: &str) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::new(field, rule, "see --help or docs/results.md")) }
}
