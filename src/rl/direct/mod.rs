//! The Q-network by hand, forward and back, for the CPU: a minibatch is a few dozen small matrix
//! products, and libtorch spends more time around them than in them (docs/performance.md). Checked
//! against libtorch's automatic differentiation.
//!
//! ```text
//! simd      sixteen numbers at a time, the same bits on every processor
//! product   small matrix products
//! rows      norms, softmax and sums
//! weights   parameters as the products want them
//! forward, backward
//! ```

mod backward;
mod forward;
mod product;
mod rows;
mod simd;
mod weights;

use backward::{Given, Scratch, backward};
use forward::{AccountPass, MarketPass, accounts, market};
use product::SLACK;
use simd::Level;
use weights::Weights;

use super::engine::{Engine, Seen, Values, Which};
use super::network::NetworkShape;

/// Online and target network of one stock, and the memory that they compute in.
pub struct Direct {
    level: Level,
    /// The stock itself, then its peers.
    slots: Vec<usize>,
    online: Weights,
    target: Weights,
    market: MarketPass,
    target_market: MarketPass,
    accounts: AccountPass,
    end_accounts: AccountPass,
    scratch: Scratch,
    /// The observations of the last [`Engine::forward`], with slack.
    market_tm1: Vec<f32>,
    private_tm1: Vec<f32>,
}

impl Direct {
    pub fn new(shape: &NetworkShape, slots: &[usize], weights: &[f32]) -> Direct {
        let level = *Level::available().last().expect("there is always a plain one");
        let mut online = Weights::new(shape);
        online.load(weights, slots);
        Direct {
            level,
            slots: slots.to_vec(),
            target: online.clone(),
            online,
            market: MarketPass::default(),
            target_market: MarketPass::default(),
            accounts: AccountPass::default(),
            end_accounts: AccountPass::default(),
            scratch: Scratch::default(),
            market_tm1: Vec::new(),
            private_tm1: Vec::new(),
        }
    }

    fn rows(&self, market: &[f32]) -> usize {
        let cells = self.online.sizes.slots * self.online.sizes.features;
        assert!(market.len().is_multiple_of(cells), "market features");
        market.len() / cells
    }
}

impl Engine for Direct {
    fn load(&mut self, which: Which, weights: &[f32]) {
        match which {
            Which::Online => self.online.load(weights, &self.slots),
            Which::Target => self.target.load(weights, &self.slots),
        }
    }

    fn weights(&self) -> Vec<f32> {
        self.online.flat[..self.online.len].to_vec()
    }

    fn q_values(&mut self, seen: &[f32], private: &[f32], q: &mut Vec<f32>) {
        let rows = self.rows(seen);
        assert_eq!(private.len(), rows * self.online.sizes.privates, "private features");
        market(self.level, &self.online, seen, rows, &mut self.market);
        let trunk = &self.market.trunk;
        accounts(self.level, &self.online, trunk, 1, private, &mut self.accounts);
        q.clear();
        q.extend_from_slice(&self.accounts.q[..rows * self.online.sizes.actions]);
    }

    fn context(&mut self, seen: &[f32], out: &mut [f32]) {
        let (rows, sizes) = (self.rows(seen), &self.online.sizes);
        assert_eq!(out.len(), rows * 2 * sizes.embedding, "context");
        market(self.level, &self.online, seen, rows, &mut self.market);
        let contexts = self.market.context.chunks_exact(sizes.context);
        for (out, context) in out.chunks_exact_mut(2 * sizes.embedding).zip(contexts) {
            let (own, rest) = out.split_at_mut(sizes.context);
            own.copy_from_slice(context);
            rest.fill(0.0);
        }
    }

    fn forward(&mut self, seen: &Seen<'_>, values: &mut Values) {
        let (rows, level) = (self.rows(seen.market) / 2, self.level);
        let [actions, trunk] = [self.online.sizes.actions, self.online.sizes.trunk];
        let cells = seen.market.len() / 2;
        // Both ends of the transitions at once, if both are asked for.
        let online_rows = if seen.double { 2 * rows } else { rows };
        market(level, &self.online, seen.market, online_rows, &mut self.market);
        let sums = &self.market.trunk;
        accounts(level, &self.online, sums, 1, seen.private_tm1, &mut self.accounts);
        values.q_tm1.clear();
        values.q_tm1.extend_from_slice(&self.accounts.q[..rows * actions]);

        let (states, q_len) = (seen.states, rows * seen.states * actions);
        if seen.double {
            let ends = &sums[rows * trunk..];
            accounts(level, &self.online, ends, states, seen.private_t, &mut self.end_accounts);
            values.q_t_selector.clear();
            values.q_t_selector.extend_from_slice(&self.end_accounts.q[..q_len]);
        }
        market(level, &self.target, &seen.market[cells..], rows, &mut self.target_market);
        let sums = &self.target_market.trunk;
        accounts(level, &self.target, sums, states, seen.private_t, &mut self.end_accounts);
        values.q_t_value.clear();
        values.q_t_value.extend_from_slice(&self.end_accounts.q[..q_len]);

        let keep = |from: &[f32], to: &mut Vec<f32>| {
            to.clear();
            to.extend_from_slice(from);
            to.resize(from.len() + SLACK, 0.0);
        };
        keep(&seen.market[..cells], &mut self.market_tm1);
        keep(seen.private_tm1, &mut self.private_tm1);
    }

    fn backward(&mut self, grad_q: &[f32], gradient: &mut [f32]) {
        let given = Given {
            rows: grad_q.len() / self.online.sizes.actions,
            market: &self.market_tm1,
            private: &self.private_tm1,
            slots: &self.slots,
            market_pass: &self.market,
            account_pass: &self.accounts,
            grad_q,
        };
        backward(self.level, &self.online, &given, &mut self.scratch, gradient);
    }
}

#[cfg(test)]
mod tests;
