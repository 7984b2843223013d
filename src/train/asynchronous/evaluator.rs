//! Evaluations beside a run that continues: in a thread, with weights as they were when it began.

use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Result, anyhow};

use crate::compute::threads::pool;
use crate::config::LearnerConfig;
use crate::portfolio::mandate::Mandate;
use crate::portfolio::meta_policy::ExpertWeights;
use crate::rl::belief::Belief;
use crate::rl::device::Device;
use crate::rl::network::NetworkShape;
use crate::train::dataset::PreparedData;
use crate::train::evaluation::Evaluation;
use crate::train::model::Model;
use crate::train::setup::Setup;

/// Makes them one after the other.
pub(crate) struct Evaluator {
    context: Arc<Around>,
    running: Option<JoinHandle<Result<Evaluation>>>,
    latest: Option<Evaluation>,
}

/// The same for all of them.
struct Around {
    mandate: Mandate,
    learner: LearnerConfig,
    eval: PreparedData,
    shape: NetworkShape,
    expert_weights: Option<ExpertWeights>,
    device: Device,
}

impl Evaluator {
    /// `expert_weights`: those of the meta-policy at the end of the training period.
    pub(crate) fn new(
        setup: &Setup<'_>,
        eval: &PreparedData,
        expert_weights: Option<ExpertWeights>,
    ) -> Evaluator {
        let context = Around {
            mandate: setup.mandate.clone(),
            learner: setup.learner.clone(),
            eval: eval.clone(),
            shape: setup.shape.clone(),
            expert_weights,
            device: setup.device,
        };
        Evaluator { context: Arc::new(context), running: None, latest: None }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Begins with these weights, after so many episodes and steps. None may be running.
    pub(crate) fn begin(&mut self, episode: u32, env_steps: u64, weights: &[f32]) -> Result<()> {
        assert!(!self.is_running(), "one at a time");
        let (context, weights) = (self.context.clone(), weights.to_vec());
        let work = move || -> Result<Evaluation> {
            let Around { mandate, learner, eval, shape, expert_weights, device } = &*context;
            let (shape, fit) = (shape.clone(), eval.note.fit.clone());
            let belief = Belief::in_network(shape.stocks);
            let expert_weights = expert_weights.clone();
            let model = Model { shape, weights, belief, fit, expert_weights };
            let evaluated = model.evaluate(learner, *device, mandate, eval, &mut |_| {})?;
            Ok(Evaluation { episode, env_steps, evaluated })
        };
        // One thread: the others are the workers'.
        self.running = Some(std::thread::spawn(|| pool(1).build()?.install(work)));
        Ok(())
    }

    /// The one that was running, if it is done by now.
    pub(crate) fn done(&mut self) -> Result<Option<&Evaluation>> {
        match &self.running {
            Some(thread) if thread.is_finished() => self.finish(),
            _ => Ok(None),
        }
    }

    /// Waits for the one that runs.
    pub(crate) fn finish(&mut self) -> Result<Option<&Evaluation>> {
        let Some(thread) = self.running.take() else { return Ok(None) };
        let done = thread.join().map_err(|_| anyhow!("the evaluation failed"))??;
        Ok(Some(self.latest.insert(done)))
    }

    /// The last that was made here.
    pub(crate) fn into_latest(self) -> Option<Evaluation> {
        self.latest
    }
}
