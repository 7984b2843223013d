//! What the experts of the meta-policy earned in the training period: the rules on all of its days,
//! the DQN on those that it did not learn from.

use std::ops::Range;
use std::sync::Arc;

use crate::market::panel::Panel;
use crate::portfolio::meta_policy::{CapitalPlan, ExpertWeights, MetaPolicy};

/// On rank 0.
pub(crate) struct ExpertRecord {
    meta: Arc<MetaPolicy>,
    plan: CapitalPlan,
    /// The validation days, to the end of the training period; empty if there are none.
    rows: Range<usize>,
    /// Weights before the validation days, and after them as if nothing were known of the DQN.
    before: ExpertWeights,
    without_dqn: ExpertWeights,
}

impl ExpertRecord {
    /// `before` and `without_dqn` are the weights at the start and at the end of `rows`, by the
    /// records of the rules alone.
    pub(crate) fn new(
        meta: Arc<MetaPolicy>,
        plan: CapitalPlan,
        rows: Range<usize>,
        [before, without_dqn]: [ExpertWeights; 2],
    ) -> ExpertRecord {
        ExpertRecord { meta, plan, rows, before, without_dqn }
    }

    pub(crate) fn meta(&self) -> &Arc<MetaPolicy> {
        &self.meta
    }

    /// Weights at the end of the training period, before anything is known of the DQN.
    pub(crate) fn without_dqn(&self) -> &ExpertWeights {
        &self.without_dqn
    }

    /// Weights at the end of the training period. `wanted` `[stock, row]`: the positions on the
    /// validation days of a DQN that is believed or not, in fractions of the capital; it is flat
    /// after the last that is known.
    pub(crate) fn weights(
        &self,
        panel: &Panel,
        is_believed: bool,
        wanted: &[f32],
    ) -> ExpertWeights {
        let known = wanted.len() / panel.stocks().len();
        let position = |row: usize, stock: usize| {
            let row = row - self.rows.start;
            if row < known { f64::from(wanted[stock * known + row]) } else { 0.0 }
        };
        let rows = self.rows.clone();
        self.meta.weights_after(&self.before, is_believed, panel, rows, &self.plan, position)
    }
}
