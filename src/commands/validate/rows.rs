//! The rows of the table: what is planted, who is measured, and what has to be reached.

/// One row.
#[derive(Debug)]
pub(crate) struct ValidationRow {
    pub(crate) name: &'static str,
    /// As after `synthetic:`.
    pub(crate) market: &'static str,
    pub(crate) stocks: usize,
    /// Settings besides the defaults.
    pub(crate) set: &'static [&'static str],
    pub(crate) measured: MeasuredStocks,
    pub(crate) bar: PassCriterion,
    /// (follower, leader) pairs that must stand first in `relationships.csv`.
    pub edges: &'static [(usize, usize)],
    /// Whether `--quick` has it.
    pub quick: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MeasuredStocks {
    All,
    /// The second of every two stocks, as many couples as this.
    Followers(usize),
}

/// What has to hold for a row to pass, on the mean over seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum PassCriterion {
    /// At least this fraction of the oracle's reward.
    Fraction(f64),
    /// Neither reward nor loss beyond noise: a mean fraction of at most [`PassCriterion::NOISE`]
    /// either way, or an interval that holds 0.
    Nothing,
    /// Turnover below a tenth of the random policy's, and the verdict is "no evidence".
    Calm,
    /// The planted edges are before all others.
    EdgesFirst,
    /// The meta-policy: at least this fraction of the best expert's reward, and
    /// [`PassCriterion::PER_REGIME`] of that of the best one per regime, known in hindsight.
    BestExpert(f64),
    /// The meta-policy: at least this fraction of the DQN's reward.
    OfDqn(f64),
    /// The meta-policy: at least this fraction of the log growth of the best expert.
    Growth(f64),
    /// The meta-policy: without its costs it loses nothing beyond noise.
    OnlyCosts,
}

impl PassCriterion {
    pub(crate) const NOISE: f64 = 0.02;
    pub(crate) const PER_REGIME: f64 = 0.9;

    /// Whether the meta-policy is held against its experts.
    pub(crate) fn judges_experts(self) -> bool {
        matches!(
            self,
            PassCriterion::BestExpert(_)
                | PassCriterion::OfDqn(_)
                | PassCriterion::Growth(_)
                | PassCriterion::OnlyCosts
        )
    }

    pub(crate) fn words(self) -> String {
        match self {
            PassCriterion::Fraction(least) => format!("at least {least:.2}"),
            PassCriterion::Nothing => "0, but for noise".into(),
            PassCriterion::Calm => "turnover under a tenth of random, no evidence".into(),
            PassCriterion::EdgesFirst => "the planted edges before all others".into(),
            PassCriterion::BestExpert(least) => format!("{least:.2} of the best expert"),
            PassCriterion::OfDqn(least) => format!("{least:.2} of the DQN"),
            PassCriterion::Growth(least) => format!("{least:.2} of the best expert's log growth"),
            PassCriterion::OnlyCosts => "no loss, but for costs and noise".into(),
        }
    }
}

impl ValidationRow {
    /// Whether the parts of the learner are tried on this row: one for each kind of edge, one that
    /// only planning earns, and the market without an edge.
    pub(super) fn is_ablated(&self) -> bool {
        ["momentum", "lead_lag", "pairs", "regimes", "clock_8", "random_walk"].contains(&self.name)
    }

    /// Whether the DQN of 2015 is tried on this row as well: what only planning or patience earns.
    pub(super) fn is_tried_with_dqn_2015(&self) -> bool {
        let names = ["clock_8", "persistent_10", "weak", "lead_lag_20", "pairs_20", "regimes_20"];
        names.contains(&self.name)
    }

    /// Indices of the measured stocks of `stocks`.
    pub(crate) fn measured(&self, stocks: usize) -> Vec<usize> {
        match self.measured {
            MeasuredStocks::All => (0..stocks).collect(),
            MeasuredStocks::Followers(couples) => {
                (0..couples).map(|couple| 2 * couple + 1).collect()
            }
        }
    }
}

const PLAIN: ValidationRow = ValidationRow {
    name: "",
    market: "",
    stocks: 4,
    set: &[],
    measured: MeasuredStocks::All,
    bar: PassCriterion::Fraction(0.9),
    edges: &[],
    quick: true,
};

/// A row of the full validation only.
const LONG: ValidationRow = ValidationRow { quick: false, ..PLAIN };

/// The same edge over days in bars of several lengths.
const TREND: ValidationRow =
    ValidationRow { market: "trend", bar: PassCriterion::Fraction(0.75), ..LONG };
const HOURS: &[&str] = &["data.bar_minutes=60", "start_date=1998-01-01", "eval_end=2008-12-31"];
const FIVE_MINUTES: &[&str] =
    &["data.bar_minutes=5", "start_date=1998-01-01", "eval_end=2008-12-31"];
const MINUTES: &[&str] = &["data.bar_minutes=1", "start_date=1998-01-01", "eval_end=2008-12-31"];

const META: &[&str] = &["portfolio.meta_policy.enabled=true"];

/// Costs per unit traded, of which one basis point is slippage as by default.
const COSTS_5: &[&str] = &["env.fee_bps=4"];
const COSTS_8: &[&str] = &["env.fee_bps=7"];
const COSTS_10: &[&str] = &["env.fee_bps=9"];
const COSTS_20: &[&str] = &["env.fee_bps=19"];

/// A short past, again and again: what can be learned by heart.
const PASSES: &[&str] = &[
    "start_date=2003-01-01",
    "end_date=2004-12-31",
    "data.bar_minutes=60",
    "episodes=30",
    "learner.replay_ratio=1",
];

/// The same with enough passes for several attempts.
const MANY_PASSES: &[&str] = &[
    "start_date=2003-01-01",
    "end_date=2004-12-31",
    "data.bar_minutes=60",
    "episodes=60",
    "learner.replay_ratio=1",
];

/// A bar a session, as most public data have it: fifteen years are few bars, which are passed over as
/// often.
const DAILY: &[&str] = &["data.bar_minutes=390", "episodes=36", "learner.replay_ratio=1"];

/// Two years to learn from, as users have them, and no more edge than stocks themselves have.
const HELD: &[&str] = &[
    "portfolio.meta_policy.enabled=true",
    "start_date=2003-01-01",
    "end_date=2004-12-31",
    "data.bar_minutes=60",
    "episodes=30",
    "learner.replay_ratio=1",
];

pub(super) const ROWS: [ValidationRow; 31] = [
    ValidationRow { name: "leaked", market: "leaked", bar: PassCriterion::Fraction(0.95), ..PLAIN },
    ValidationRow { name: "momentum", market: "momentum", ..PLAIN },
    ValidationRow { name: "mean_reversion", market: "mean_reversion", ..PLAIN },
    ValidationRow {
        name: "lead_lag",
        market: "lead_lag",
        measured: MeasuredStocks::Followers(2),
        ..PLAIN
    },
    ValidationRow {
        name: "lead_lag_attention_only",
        market: "lead_lag",
        measured: MeasuredStocks::Followers(2),
        set: &["features.peers=false"],
        ..PLAIN
    },
    ValidationRow {
        name: "lead_lag_no_attention",
        market: "lead_lag",
        measured: MeasuredStocks::Followers(2),
        set: &["features.peers=false", "network.attention=false"],
        bar: PassCriterion::Nothing,
        ..PLAIN
    },
    ValidationRow { name: "pairs", market: "pairs", bar: PassCriterion::Fraction(0.8), ..PLAIN },
    ValidationRow {
        name: "regimes",
        market: "regimes",
        bar: PassCriterion::Fraction(0.8),
        ..PLAIN
    },
    ValidationRow { name: "random_walk", market: "random_walk", bar: PassCriterion::Calm, ..PLAIN },
    ValidationRow {
        name: "relationships",
        market: "lead_lag-3",
        stocks: 10,
        measured: MeasuredStocks::Followers(3),
        bar: PassCriterion::EdgesFirst,
        edges: &[(1, 0), (3, 2), (5, 4)],
        ..PLAIN
    },
    ValidationRow {
        name: "meta_regimes",
        market: "regimes",
        set: META,
        bar: PassCriterion::BestExpert(0.97),
        ..PLAIN
    },
    ValidationRow {
        name: "meta_single_best",
        market: "momentum",
        set: META,
        bar: PassCriterion::BestExpert(0.97),
        ..PLAIN
    },
    ValidationRow {
        name: "meta_random_walk",
        market: "random_walk",
        set: META,
        bar: PassCriterion::OnlyCosts,
        ..PLAIN
    },
    ValidationRow {
        name: "meta_weak",
        market: "weak",
        set: META,
        bar: PassCriterion::OfDqn(0.8),
        ..LONG
    },
    ValidationRow {
        name: "drift",
        market: "drift",
        stocks: 3,
        set: HELD,
        bar: PassCriterion::Growth(0.8),
        ..LONG
    },
    ValidationRow {
        name: "clock_5",
        market: "clock",
        set: COSTS_5,
        bar: PassCriterion::Fraction(0.95),
        ..LONG
    },
    ValidationRow {
        name: "clock_8",
        market: "clock",
        set: COSTS_8,
        bar: PassCriterion::Fraction(0.93),
        ..PLAIN
    },
    ValidationRow {
        name: "persistent_5",
        market: "persistent",
        set: COSTS_5,
        bar: PassCriterion::Fraction(0.93),
        ..LONG
    },
    ValidationRow { name: "persistent_10", market: "persistent", set: COSTS_10, ..LONG },
    ValidationRow { name: "weak", market: "weak", ..LONG },
    ValidationRow { name: "trend_hour", set: HOURS, ..TREND },
    ValidationRow { name: "trend_five_minutes", set: FIVE_MINUTES, ..TREND },
    ValidationRow { name: "trend_minute", set: MINUTES, ..TREND },
    ValidationRow {
        name: "lead_lag_20",
        market: "lead_lag",
        measured: MeasuredStocks::Followers(2),
        set: COSTS_20,
        bar: PassCriterion::Fraction(0.85),
        ..LONG
    },
    ValidationRow { name: "pairs_20", market: "pairs", set: COSTS_20, ..LONG },
    ValidationRow {
        name: "regimes_20",
        market: "regimes",
        set: COSTS_20,
        bar: PassCriterion::Fraction(0.8),
        ..LONG
    },
    ValidationRow {
        name: "momentum_passes",
        market: "momentum",
        set: MANY_PASSES,
        bar: PassCriterion::Fraction(0.9),
        ..LONG
    },
    ValidationRow {
        name: "regimes_passes",
        market: "regimes",
        set: MANY_PASSES,
        bar: PassCriterion::Fraction(0.7),
        ..LONG
    },
    ValidationRow {
        name: "lead_lag_daily",
        market: "lead_lag",
        measured: MeasuredStocks::Followers(2),
        set: DAILY,
        ..LONG
    },
    ValidationRow {
        name: "random_walk_daily",
        market: "random_walk",
        stocks: 5,
        set: DAILY,
        bar: PassCriterion::Calm,
        ..LONG
    },
    ValidationRow {
        name: "random_walk_passes",
        market: "random_walk",
        stocks: 5,
        set: PASSES,
        bar: PassCriterion::Calm,
        ..LONG
    },
];
