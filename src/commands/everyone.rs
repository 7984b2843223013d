//! Who else might have traded an evaluation: the rows of the closing table.

use std::time::Instant;

use crate::config::RunConfig;
use crate::eval::everyone::{Contender, Market, Traded, everyone};
use crate::eval::inference::Inference;
use crate::rl::rng::{Purpose, stream};
use crate::train::dataset::Prepared;
use crate::train::evaluation::Evaluated;

/// `inference` is what is said of the portfolio.
pub fn beside(
    config: &RunConfig,
    eval: &Prepared,
    evaluated: &Evaluated,
    inference: &Inference,
) -> Vec<Contender> {
    let started = Instant::now();
    let limits = eval.limits(config);
    let rows = eval.note.rows.clone();
    let market = Market { panel: &eval.panel, rows, config, limits: &limits };
    let traded = Traded {
        dqn: &evaluated.dqn,
        portfolio: &evaluated.course,
        buy_and_hold: &evaluated.benchmark,
        sharpe: &inference.sharpe,
    };
    let mut rng = stream(config.seed, Purpose::Inference, 1);
    let all = everyone(&market, &traded, &mut rng);
    tracing::info!(milliseconds = started.elapsed().as_millis() as u64, "all strategies compared");
    all
}
