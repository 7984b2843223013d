//! Who else might have traded an evaluation: the rows of the closing table.

use std::time::Instant;

use crate::eval::comparison::{Comparison, ComparisonMarket, TradedRecords, compare_all};
use crate::eval::inference::Inference;
use crate::portfolio::mandate::Mandate;
use crate::rl::rng::{Purpose, stream};
use crate::train::dataset::PreparedData;
use crate::train::evaluation::EvaluationResult;

/// `inference` is what is said of the portfolio, `seed` the run's.
pub(crate) fn beside(
    mandate: &Mandate,
    seed: u64,
    eval: &PreparedData,
    evaluated: &EvaluationResult,
    inference: &Inference,
) -> Comparison {
    let started = Instant::now();
    let limits = eval.limits(mandate);
    let rows = eval.note.rows.clone();
    let market = ComparisonMarket { panel: &eval.panel, rows, mandate, limits: &limits };
    let traded = TradedRecords {
        dqn: &evaluated.dqn,
        portfolio: &evaluated.record,
        buy_and_hold: &evaluated.benchmark,
        sharpe: &inference.sharpe,
    };
    let mut rng = stream(seed, Purpose::Inference, 1);
    let all = compare_all(&market, &traded, &mut rng);
    tracing::info!(milliseconds = started.elapsed().as_millis() as u64, "all strategies compared");
    all
}
