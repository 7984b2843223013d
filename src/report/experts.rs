//! Who counted for how much when, and what that brought.

use super::page::figure;
use super::plot::weights_svg;
use super::{contributions, profits};
use crate::config::EnvConfig;
use crate::env::costs::Costs;
use crate::eval::contributions::Contributions;
use crate::eval::metrics::BacktestRecord;
use crate::portfolio::allocation::Allocations;

/// The report's section; nothing where the DQN is the only expert.
pub(super) fn section(
    record: &BacktestRecord,
    allocations: &Allocations,
    found: &Contributions,
    env: &EnvConfig,
) -> String {
    if found.experts.len() < 2 {
        return String::new();
    }
    let svg = |screen| weights_svg(allocations, record.stocks.len(), screen);
    let caption = "Above: what each expert counts for; the account holds the weighted mean of their \
                   positions. Below: what was ordered, net and gross. It is flat where the experts \
                   with the weight want nothing, where they cancel, or where a limit or the \
                   drawdown stop binds; allocations.csv says which, by stock and bar.";
    let label = "Weights of the experts and orders over time";
    let capital = record.equity.first().copied().unwrap_or(1.0);
    format!(
        "<h2>Experts</h2>\n{}{}{}",
        figure("", label, caption, svg),
        profits::section(record, allocations, &Costs::new(env)),
        contributions::section(found, capital)
    )
}
