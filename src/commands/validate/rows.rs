//! The rows of the table: what is planted, who is measured, and what has to be reached.

/// One row.
#[derive(Debug)]
pub struct Row {
    pub name: &'static str,
    /// As after `synthetic:`.
    pub market: &'static str,
    pub stocks: usize,
    /// Settings besides the defaults.
    pub set: &'static [&'static str],
    pub measured: Measured,
    pub bar: Bar,
    /// (follower, leader) pairs that must stand first in `relationships.csv`.
    pub edges: &'static [(usize, usize)],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measured {
    All,
    /// The second of every two stocks, as many couples as this.
    Followers(usize),
}

/// What has to hold for a row to pass, on the mean over seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bar {
    /// At least this fraction of the oracle's reward.
    Fraction(f64),
    /// Neither reward nor loss beyond noise: a mean fraction of at most [`Bar::NOISE`] either way,
    /// or an interval that holds 0.
    Nothing,
    /// Turnover below a tenth of the random policy's, and the verdict is "no evidence".
    Calm,
    /// The planted edges are before all others.
    EdgesFirst,
    /// The meta-policy: at least this fraction of the best expert per regime known in hindsight,
    /// and more than every expert alone.
    BestPerRegime(f64),
    /// The meta-policy: at least this fraction of the best expert's reward.
    BestExpert(f64),
    /// The meta-policy: without its costs it loses nothing beyond noise.
    OnlyCosts,
}

impl Bar {
    pub const NOISE: f64 = 0.02;

    /// Whether the meta-policy is held against its experts.
    pub fn is_of_experts(self) -> bool {
        matches!(self, Bar::BestPerRegime(_) | Bar::BestExpert(_) | Bar::OnlyCosts)
    }

    pub fn words(self) -> String {
        match self {
            Bar::Fraction(least) => format!("at least {least:.2}"),
            Bar::Nothing => "0, but for noise".into(),
            Bar::Calm => "turnover under a tenth of random, no evidence".into(),
            Bar::EdgesFirst => "the planted edges before all others".into(),
            Bar::BestPerRegime(least) => {
                format!("{least:.2} of the best expert per regime, above each")
            }
            Bar::BestExpert(least) => format!("{least:.2} of the best expert"),
            Bar::OnlyCosts => "no loss, but for costs and noise".into(),
        }
    }
}

impl Row {
    /// Whether the parts of the learner are tried on this row: one for each kind of edge, and the
    /// market without one.
    pub fn is_ablated(&self) -> bool {
        ["momentum", "lead_lag", "pairs", "regimes", "random_walk"].contains(&self.name)
    }

    /// How many trainings, where so many are asked for: what has to hold beside the best in
    /// hindsight is judged by twice as many.
    pub fn seeds(&self, asked: u64) -> u64 {
        if matches!(self.bar, Bar::BestPerRegime(_)) { 2 * asked } else { asked }
    }

    /// Indices of the measured stocks of `stocks`.
    pub fn measured(&self, stocks: usize) -> Vec<usize> {
        match self.measured {
            Measured::All => (0..stocks).collect(),
            Measured::Followers(couples) => (0..couples).map(|couple| 2 * couple + 1).collect(),
        }
    }
}

const PLAIN: Row = Row {
    name: "",
    market: "",
    stocks: 4,
    set: &[],
    measured: Measured::All,
    bar: Bar::Fraction(0.9),
    edges: &[],
};

const META: &[&str] = &["portfolio.meta_policy.enabled=true"];

pub const ROWS: [Row; 13] = [
    Row { name: "leaked", market: "leaked", bar: Bar::Fraction(0.95), ..PLAIN },
    Row { name: "momentum", market: "momentum", ..PLAIN },
    Row { name: "mean_reversion", market: "mean_reversion", ..PLAIN },
    Row { name: "lead_lag", market: "lead_lag", measured: Measured::Followers(2), ..PLAIN },
    Row {
        name: "lead_lag_attention_only",
        market: "lead_lag",
        measured: Measured::Followers(2),
        set: &["features.peers=false"],
        ..PLAIN
    },
    Row {
        name: "lead_lag_no_attention",
        market: "lead_lag",
        measured: Measured::Followers(2),
        set: &["features.peers=false", "network.attention=false"],
        bar: Bar::Nothing,
        ..PLAIN
    },
    Row { name: "pairs", market: "pairs", bar: Bar::Fraction(0.8), ..PLAIN },
    Row { name: "regimes", market: "regimes", bar: Bar::Fraction(0.8), ..PLAIN },
    Row { name: "random_walk", market: "random_walk", bar: Bar::Calm, ..PLAIN },
    Row {
        name: "relationships",
        market: "lead_lag-3",
        stocks: 10,
        measured: Measured::Followers(3),
        bar: Bar::EdgesFirst,
        edges: &[(1, 0), (3, 2), (5, 4)],
        ..PLAIN
    },
    Row {
        name: "meta_regimes",
        market: "regimes",
        set: META,
        bar: Bar::BestPerRegime(0.9),
        ..PLAIN
    },
    Row {
        name: "meta_single_best",
        market: "momentum",
        set: META,
        bar: Bar::BestExpert(0.95),
        ..PLAIN
    },
    Row {
        name: "meta_random_walk",
        market: "random_walk",
        set: META,
        bar: Bar::OnlyCosts,
        ..PLAIN
    },
];
