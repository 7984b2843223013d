//! What a trained network listens to: whose prices, and which features.

use anyhow::Result;

use super::dataset::PreparedData;
use super::importance::{self, FeatureImportance, MeasuredPolicy};
use super::peer_view::{PeerView, Sampling};
use super::quarters;
use crate::comm::Comm;
use crate::features::relations::QuarterRelation;
use crate::rl::agent::Agent;

/// Why decisions are what they are.
#[derive(Clone, Debug, Default)]
pub struct Explanation {
    /// What the network makes of each stock's peers in the first of the periods.
    pub peer_view: PeerView,
    /// Relations in each quarter of all periods, in the order of time.
    pub quarters: Vec<QuarterRelation>,
    /// What the decisions in the last of the periods depend on.
    pub importance: Vec<FeatureImportance>,
}

impl Explanation {
    /// Of `policy` in these periods; on rank 0, empty on the others. Called on every
    /// rank, with the agents of its stocks.
    pub(crate) fn gather(
        comm: &dyn Comm,
        periods: &[&PreparedData],
        policy: &MeasuredPolicy<'_>,
        agents: &mut [(usize, &mut Agent)],
    ) -> Result<Explanation> {
        let (Some(first), Some(last)) = (periods.first(), periods.last()) else {
            return Ok(Explanation::default());
        };
        let network = (policy.shape, policy.weights);
        let sampling = Sampling::of_period(first);
        Ok(Explanation {
            peer_view: PeerView::gather(comm, first, sampling, network, agents)?,
            quarters: quarters::gather(comm, periods, network, agents)?,
            importance: importance::gather(comm, last, policy, agents)?,
        })
    }
}
