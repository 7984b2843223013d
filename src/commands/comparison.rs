//! Who else might have traded an evaluation: the rows of the closing table.

use std::time::Instant;

use crate::config::RunConfig;
use crate::eval::comparison::{Comparison, ComparisonMarket, TradedRecords, compare_all};
use crate::eval::inference::Inference;
use crate::eval::oracle::Oracles;
use crate::portfolio::mandate::Mandate;
use crate::rl::rng::{Purpose, stream};
use crate::source::SYNTHETIC;
use crate::synthetic::SyntheticMarket;
use crate::train::dataset::PreparedData;
use crate::train::evaluation::EvaluationResult;

/// `inference` is what is said of the portfolio; `config` names the market.
pub(crate) fn beside(
    mandate: &Mandate,
    config: &RunConfig,
    eval: &PreparedData,
    evaluated: &EvaluationResult,
    inference: &Inference,
) -> Comparison {
    let started = Instant::now();
    let limits = eval.limits(mandate);
    let rows = eval.note.rows.clone();
    let market = ComparisonMarket { panel: &eval.panel, rows, mandate, limits: &limits };
    let planted = config.data.source.as_deref().and_then(|name| name.strip_prefix(SYNTHETIC));
    let planted = planted.and_then(|name| SyntheticMarket::parse(name).ok());
    let oracles = planted.and_then(|of| Oracles::new(&of, mandate, eval.note.bar_minutes));
    let oracle =
        oracles.map(|oracles| oracles.back_test(mandate, &eval.panel, &eval.note.rows, &limits));
    let traded = TradedRecords {
        dqn: &evaluated.dqn,
        portfolio: &evaluated.record,
        buy_and_hold: &evaluated.benchmark,
        sharpe: &inference.sharpe,
        oracle: oracle.as_ref(),
    };
    let mut rng = stream(config.seed, Purpose::Inference, 1);
    let all = compare_all(&market, &traded, &mut rng);
    tracing::info!(milliseconds = started.elapsed().as_millis() as u64, "all strategies compared");
    all
}
