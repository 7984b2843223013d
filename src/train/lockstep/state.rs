//! What a run in lockstep remembers, and how it resumes from that.

use anyhow::{Result, bail};

use super::LockstepTrainer;
use crate::train::snapshot::{LockstepState, ModeState, RootState, Snapshot, StockState};

impl LockstepTrainer<'_> {
    /// This rank's state between two bars, for a checkpoint.
    pub(super) fn snapshot(&self) -> Snapshot {
        let own = self.workers.iter().zip(&self.reward_sums);
        let stocks = own.map(|(worker, &reward_sum)| {
            (worker.stock(), StockState { worker: worker.state(), reward_sum, own_pace: None })
        });
        Snapshot {
            env_steps: self.at.env_steps,
            root: self.root.as_ref().map(|root| RootState {
                weights: self.weights.clone(),
                optimizer: root.server.optimizer().clone(),
                mode: ModeState::Lockstep(LockstepState {
                    at: self.at,
                    attempts: self.attempts.clone(),
                    networks: self.networks.state(),
                    credit: self.credit.clone(),
                    desk: root.desk.state(),
                    selected: self.selection.as_ref().and_then(|it| it.selected().cloned()),
                    learned: root.learned.clone(),
                }),
            }),
            stocks: stocks.collect(),
        }
    }

    /// Restores a snapshot of the same run, taken with any number of ranks. Every rank needs rank
    /// 0's part and the parts of its own stocks, in their order.
    ///
    /// Errors: it is of an asynchronous run.
    pub(crate) fn restore(&mut self, root: RootState, stocks: Vec<StockState>) -> Result<()> {
        assert_eq!(stocks.len(), self.workers.len(), "a state for every stock of this rank");
        assert_eq!(root.weights.len(), self.weights.len(), "weights of another network");
        let RootState { weights, optimizer, mode: ModeState::Lockstep(state) } = root else {
            bail!("the checkpoint is of an asynchronous run; resume it with --sync async")
        };
        self.at = state.at;
        self.attempts = state.attempts;
        if self.attempts.episodes() < self.setup.episodes {
            // Of a run that came to its end and is to go on.
            self.attempts.go_on(self.setup.episodes);
        }
        self.credit = state.credit;
        if let Some(selection) = &mut self.selection {
            selection.restore(state.selected, self.attempts.validations());
        }
        self.weights = weights;
        self.networks.restore(&self.weights, state.networks);
        let weight_decay = self.attempt().weight_decay;
        let sums = self.reward_sums.iter_mut();
        for ((worker, sum), stock) in self.workers.iter_mut().zip(sums).zip(stocks) {
            worker.restore(stock.worker);
            *sum = stock.reward_sum;
        }
        if let Some(root) = &mut self.root {
            root.server = self.setup.server(self.weights.clone(), weight_decay);
            root.server.restore(&self.weights, optimizer);
            root.desk.restore(state.desk);
            root.learned = state.learned;
        }
        Ok(())
    }
}
