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

/// Rows that go through the network together: what they leave behind fits the second cache.
const CHUNK: usize = 64;

/// Online and target network of one stock, and the memory that they compute in.
pub struct Direct {
    level: Level,
    /// The stock itself, then its peers.
    slots: Vec<usize>,
    online: Weights,
    target: Weights,
    /// The last [`Engine::forward`], chunk by chunk.
    kept: Vec<Kept>,
    /// Passes of which nothing but their values is kept.
    passing: Kept,
    target_passing: Kept,
    scratch: Scratch,
    /// A chunk's share of the gradient.
    share: Vec<f32>,
    /// The observations of the last [`Engine::forward`], with slack.
    market_tm1: Vec<f32>,
    private_tm1: Vec<f32>,
}

/// What a chunk's way back needs of its way forward.
#[derive(Clone, Debug, Default)]
struct Kept {
    market: MarketPass,
    accounts: AccountPass,
}

impl Kept {
    /// Q-values of `rows` observations with `states` accounts each, added to `q`.
    fn values(
        &mut self,
        (level, weights): (Level, &Weights),
        (seen, states): (&[f32], usize),
        private: &[f32],
        q: &mut Vec<f32>,
    ) {
        let sizes = &weights.sizes;
        let rows = seen.len() / (sizes.slots * sizes.features);
        assert_eq!(private.len(), rows * states * sizes.privates, "private features");
        market(level, weights, seen, rows, &mut self.market);
        accounts(level, weights, &self.market.trunk, states, private, &mut self.accounts);
        q.extend_from_slice(&self.accounts.q[..rows * states * sizes.actions]);
    }
}

/// Both, on a second thread where there is one: workers are often not as many as threads would
/// want, so that one has to wait for another's last.
fn side_by_side(one: impl FnOnce() + Send, other: impl FnOnce() + Send) {
    if rayon::current_num_threads() > 1 {
        rayon::join(one, other);
    } else {
        one();
        other();
    }
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
            kept: Vec::new(),
            passing: Kept::default(),
            target_passing: Kept::default(),
            scratch: Scratch::default(),
            share: Vec::new(),
            market_tm1: Vec::new(),
            private_tm1: Vec::new(),
        }
    }

    /// Numbers of an observation's market part.
    fn cells(&self, market: &[f32]) -> usize {
        let cells = self.online.sizes.slots * self.online.sizes.features;
        assert!(market.len().is_multiple_of(cells), "market features");
        cells
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
        let cells = self.cells(seen);
        let of_chunk = private.chunks(CHUNK * self.online.sizes.privates);
        q.clear();
        for (seen, private) in seen.chunks(CHUNK * cells).zip(of_chunk) {
            self.passing.values((self.level, &self.online), (seen, 1), private, q);
        }
    }

    fn context(&mut self, seen: &[f32], out: &mut [f32]) {
        let (cells, sizes) = (self.cells(seen), &self.online.sizes);
        let width = 2 * sizes.embedding;
        assert_eq!(out.len(), seen.len() / cells * width, "context");
        for (seen, out) in seen.chunks(CHUNK * cells).zip(out.chunks_mut(CHUNK * width)) {
            let pass = &mut self.passing.market;
            market(self.level, &self.online, seen, seen.len() / cells, pass);
            let contexts = pass.context.chunks_exact(sizes.context);
            for (out, context) in out.chunks_exact_mut(width).zip(contexts) {
                let (own, rest) = out.split_at_mut(sizes.context);
                own.copy_from_slice(context);
                rest.fill(0.0);
            }
        }
    }

    fn forward(&mut self, seen: &Seen<'_>, values: &mut Values) {
        let (cells, privates) = (self.cells(seen.market), self.online.sizes.privates);
        let (tm1, t) = seen.market.split_at(seen.market.len() / 2);
        for of in [&mut values.q_tm1, &mut values.q_t_selector, &mut values.q_t_value] {
            of.clear();
        }
        self.kept.resize_with((tm1.len() / cells).div_ceil(CHUNK), Kept::default);
        let online = (self.level, &self.online);
        let target = (self.level, &self.target);
        let starts = tm1.chunks(CHUNK * cells).zip(seen.private_tm1.chunks(CHUNK * privates));
        let per_chunk = CHUNK * seen.states * privates;
        let ends = t.chunks(CHUNK * cells).zip(seen.private_t.chunks(per_chunk));
        let Values { q_tm1, q_t_selector, q_t_value } = values;
        let (kept, passing, target_passing) =
            (&mut self.kept, &mut self.passing, &mut self.target_passing);
        let of_ends = |pass: &mut Kept, weights, q: &mut Vec<f32>| {
            for (market, private) in ends.clone() {
                pass.values(weights, (market, seen.states), private, q);
            }
        };
        side_by_side(
            || {
                for (kept, (market, private)) in kept.iter_mut().zip(starts) {
                    kept.values(online, (market, 1), private, q_tm1);
                }
                if seen.double {
                    of_ends(passing, online, q_t_selector);
                }
            },
            || of_ends(target_passing, target, q_t_value),
        );
        let keep = |from: &[f32], to: &mut Vec<f32>| {
            to.clear();
            to.extend_from_slice(from);
            to.resize(from.len() + SLACK, 0.0);
        };
        keep(tm1, &mut self.market_tm1);
        keep(seen.private_tm1, &mut self.private_tm1);
    }

    fn backward(&mut self, grad_q: &[f32], gradient: &mut [f32]) {
        let sizes = &self.online.sizes;
        let (cells, privates, actions) =
            (sizes.slots * sizes.features, sizes.privates, sizes.actions);
        self.share.resize(gradient.len(), 0.0);
        for (i, (kept, grad_q)) in self.kept.iter().zip(grad_q.chunks(CHUNK * actions)).enumerate()
        {
            let given = Given {
                rows: grad_q.len() / actions,
                market: &self.market_tm1[i * CHUNK * cells..],
                private: &self.private_tm1[i * CHUNK * privates..],
                slots: &self.slots,
                market_pass: &kept.market,
                account_pass: &kept.accounts,
                grad_q,
            };
            let to = if i == 0 { &mut *gradient } else { &mut self.share[..] };
            backward(self.level, &self.online, &given, &mut self.scratch, to);
            if i > 0 {
                gradient.iter_mut().zip(&self.share).for_each(|(sum, share)| *sum += share);
            }
        }
    }
}

#[cfg(test)]
mod tests;
