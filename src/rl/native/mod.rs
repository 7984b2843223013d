//! The Q-network implemented by hand, forward and backward, for the CPU. A minibatch is a few dozen
//! small matrix products, and libtorch spends more time around them than in them
//! (docs/performance.md). Tested against libtorch's automatic differentiation.
//!
//! ```text
//! simd      vectors of sixteen numbers, bit-identical on every processor
//! product   small matrix products
//! rows      norms, softmax and sums
//! turn      transposition of matrices
//! weights   parameters in the layout of the products
//! forward, backward
//! ```

mod backward;
mod forward;
mod product;
mod rows;
mod simd;
mod transpose;
mod weights;

use std::cell::RefCell;

use backward::{BackwardScratch, ForwardInputs, backward};
use forward::{AccountPass, MarketPass, accounts, market, trunk};
use product::SLACK;
use simd::SimdLevel;
use weights::NetworkWeights;

use super::engine::{Engine, MinibatchInputs, MinibatchValues, NetworkRole, OnValues};
use super::network::NetworkShape;
use crate::compute::simd_dispatch::wide;
use crate::compute::threads::run_parallel;

/// Maximum number of rows per pass, so that the intermediate results fit in the L2 cache.
const CHUNK: usize = 64;
/// A minibatch is split in two parts, because there are often fewer workers than threads. Always,
/// because the sum over rows depends on the split.
const PARTS: usize = 2;

/// The online and the target network.
pub(crate) struct NativeEngine {
    level: SimdLevel,
    online: NetworkWeights,
    target: NetworkWeights,
}

/// Forward results of a chunk that its backward pass needs.
#[derive(Clone, Debug, Default)]
struct ChunkActivations {
    market: MarketPass,
    accounts: AccountPass,
}

/// Buffers of a thread. Their content is not used across calls.
#[derive(Default)]
struct ThreadScratch {
    /// Forward passes without a backward pass.
    passing: ChunkActivations,
    scratch: BackwardScratch,
    /// Gradient of a chunk.
    share: Vec<f32>,
    /// Forward results of a minibatch, per chunk.
    kept: Vec<ChunkActivations>,
    /// Observations of the minibatch, with slack.
    market_tm1: Vec<f32>,
    private_tm1: Vec<f32>,
    values: MinibatchValues,
    grad_q: Vec<f32>,
    /// Gradient of the second half.
    other: Vec<f32>,
}

/// Runs `work` with the buffers that this thread used last, which are still in its caches. A thread
/// may have several, because while it waits for another thread it may start other work.
fn with_scratch<T>(work: impl FnOnce(&mut ThreadScratch) -> T) -> T {
    thread_local! {
        static FREE: RefCell<Vec<ThreadScratch>> = const { RefCell::new(Vec::new()) };
    }
    let mut room = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
    let out = work(&mut room);
    FREE.with_borrow_mut(|free| free.push(room));
    out
}

/// A network with the slots of one stock.
#[derive(Clone, Copy)]
struct NetworkView<'a> {
    level: SimdLevel,
    weights: &'a NetworkWeights,
    /// The stock itself, then its peers.
    slots: &'a [usize],
}

impl NetworkView<'_> {
    /// Q-values of observations with `states` accounts each, into `q`.
    fn values(
        self,
        (seen, states): (&[f32], usize),
        private: &[f32],
        kept: &mut ChunkActivations,
        q: &mut [f32],
    ) {
        let NetworkView { level, weights, slots } = self;
        let sizes = &weights.sizes;
        let rows = seen.len() / sizes.cells();
        assert_eq!(private.len(), rows * states * sizes.privates, "private features");
        market(level, weights, slots, seen, rows, &mut kept.market);
        accounts(level, weights, &kept.market.trunk, states, private, &mut kept.accounts);
        q.copy_from_slice(&kept.accounts.q[..rows * states * sizes.actions]);
    }
}

/// Number of rows per chunk.
fn chunk_rows(rows: usize) -> usize {
    rows.div_ceil(PARTS).clamp(1, CHUNK)
}

impl NativeEngine {
    /// Both networks with `weights`.
    ///
    /// # Errors
    ///
    /// The names of parameters that no layer of this engine has.
    pub(crate) fn new(shape: &NetworkShape, weights: &[f32]) -> Result<NativeEngine, String> {
        let level = *SimdLevel::available().last().expect("there is always a plain one");
        let mut online = NetworkWeights::new(shape)?;
        online.load(level, weights);
        Ok(NativeEngine { level, target: online.clone(), online })
    }

    fn view<'a>(&'a self, which: NetworkRole, slots: &'a [usize]) -> NetworkView<'a> {
        let weights = match which {
            NetworkRole::Online => &self.online,
            NetworkRole::Target => &self.target,
        };
        NetworkView { level: self.level, weights, slots }
    }

    /// Number of observations in a market part.
    fn rows(&self, market: &[f32]) -> usize {
        let cells = self.online.sizes.cells();
        assert!(market.len().is_multiple_of(cells), "market features");
        market.len() / cells
    }

    /// Q-values of a minibatch; leaves the results that the backward pass needs in `kept`.
    fn forward(
        &self,
        slots: &[usize],
        seen: &MinibatchInputs<'_>,
        kept: &mut Vec<ChunkActivations>,
        values: &mut MinibatchValues,
    ) {
        let sizes = &self.online.sizes;
        let (tm1, t) = seen.market.split_at(seen.market.len() / 2);
        let rows = self.rows(tm1);
        let (chunk, states) = (chunk_rows(rows), seen.states);
        values.q_tm1.resize(rows * sizes.actions, 0.0);
        values.q_t_value.resize(rows * states * sizes.actions, 0.0);
        values.q_t_selector.resize(if seen.double { values.q_t_value.len() } else { 0 }, 0.0);
        kept.resize_with(rows.div_ceil(chunk), ChunkActivations::default);
        let (online, target) =
            (self.view(NetworkRole::Online, slots), self.view(NetworkRole::Target, slots));
        let of_ends = chunk * states * sizes.actions;
        let mut selectors = values.q_t_selector.chunks_mut(of_ends);
        let starts = tm1
            .chunks(chunk * sizes.cells())
            .zip(seen.private_tm1.chunks(chunk * sizes.privates))
            .zip(kept.iter_mut().zip(values.q_tm1.chunks_mut(chunk * sizes.actions)));
        let ends = t
            .chunks(chunk * sizes.cells())
            .zip(seen.private_t.chunks(chunk * states * sizes.privates))
            .zip(values.q_t_value.chunks_mut(of_ends).map(|value| (value, selectors.next())));
        run_parallel(starts.zip(ends).collect(), |(start, end)| {
            let ((tm1, private_tm1), (kept, q_tm1)) = start;
            let ((t, private_t), (value, selector)) = end;
            online.values((tm1, 1), private_tm1, kept, q_tm1);
            with_scratch(|room| {
                if let Some(selector) = selector {
                    online.values((t, states), private_t, &mut room.passing, selector);
                }
                target.values((t, states), private_t, &mut room.passing, value);
            });
        });
    }

    /// Sums the gradients of chunks, the first of which starts at row `first`.
    fn backward(
        &self,
        slots: &[usize],
        batch: &Batch<'_>,
        first: usize,
        kept: &[ChunkActivations],
        sum: &mut [f32],
    ) {
        let sizes = &self.online.sizes;
        let rows = batch.grad_q.len() / sizes.actions;
        let chunk = chunk_rows(rows);
        with_scratch(|ThreadScratch { scratch, share, .. }| {
            for (i, kept) in kept.iter().enumerate() {
                let from = first + i * chunk;
                let count = chunk.min(rows - from);
                let given = ForwardInputs {
                    rows: count,
                    market: &batch.market_tm1[from * sizes.cells()..],
                    private: &batch.private_tm1[from * sizes.privates..],
                    slots,
                    market_pass: &kept.market,
                    account_pass: &kept.accounts,
                    grad_q: &batch.grad_q[from * sizes.actions..][..count * sizes.actions],
                };
                if i == 0 {
                    backward(self.level, &self.online, &given, scratch, sum);
                } else {
                    share.resize(sum.len(), 0.0);
                    backward(self.level, &self.online, &given, scratch, share);
                    add(share, sum);
                }
            }
        });
    }
}

/// Inputs of the backward pass in addition to the kept results.
struct Batch<'a> {
    market_tm1: &'a [f32],
    private_tm1: &'a [f32],
    /// `[row, action]`
    grad_q: &'a [f32],
}

wide! {
fn add(share: &[f32], sum: &mut [f32]) -> () {
    sum.iter_mut().zip(share).for_each(|(sum, share)| *sum += share);
}
}

impl Engine for NativeEngine {
    fn load(&mut self, which: NetworkRole, weights: &[f32]) {
        match which {
            NetworkRole::Online => self.online.load(self.level, weights),
            NetworkRole::Target => self.target.load(self.level, weights),
        }
    }

    fn q_values(&self, slots: &[usize], seen: &[f32], private: &[f32], q: &mut Vec<f32>) {
        let (sizes, view) = (&self.online.sizes, self.view(NetworkRole::Online, slots));
        let rows = self.rows(seen);
        let chunk = chunk_rows(rows);
        q.resize(rows * sizes.actions, 0.0);
        let private = private.chunks(chunk * sizes.privates);
        let given = seen.chunks(chunk * sizes.cells()).zip(private);
        let tasks = given.zip(q.chunks_mut(chunk * sizes.actions)).collect();
        run_parallel(tasks, |((seen, private), q)| {
            with_scratch(|room| view.values((seen, 1), private, &mut room.passing, q));
        });
    }

    fn context(&self, slots: &[usize], seen: &[f32], out: &mut [f32]) {
        let sizes = &self.online.sizes;
        let (rows, width) = (self.rows(seen), 2 * sizes.embedding);
        assert_eq!(out.len(), rows * width, "context");
        let chunk = chunk_rows(rows);
        let given = seen.chunks(chunk * sizes.cells()).zip(out.chunks_mut(chunk * width));
        with_scratch(|ThreadScratch { passing: ChunkActivations { market: pass, .. }, .. }| {
            for (seen, out) in given {
                market(self.level, &self.online, slots, seen, self.rows(seen), pass);
                let contexts = pass.context.chunks_exact(sizes.context);
                for (out, context) in out.chunks_exact_mut(width).zip(contexts) {
                    let (own, rest) = out.split_at_mut(sizes.context);
                    own.copy_from_slice(context);
                    rest.fill(0.0);
                }
            }
        });
    }

    fn heads(&self, contexts: &[f32], private: &[f32], q: &mut Vec<f32>) {
        let sizes = &self.online.sizes;
        let (width, actions) = (2 * sizes.embedding, sizes.actions);
        assert!(contexts.len().is_multiple_of(width), "contexts");
        let rows = contexts.len() / width;
        assert_eq!(private.len(), rows * sizes.privates, "private features");
        q.resize(rows * actions, 0.0);
        let given = contexts.chunks(CHUNK * width).zip(private.chunks(CHUNK * sizes.privates));
        with_scratch(
            |ThreadScratch {
                 passing: ChunkActivations { market: pass, accounts: rest }, ..
             }| {
                for ((contexts, private), q) in given.zip(q.chunks_mut(CHUNK * actions)) {
                    let rows = contexts.len() / width;
                    trunk(self.level, &self.online, (contexts, width), rows, &mut pass.trunk);
                    accounts(self.level, &self.online, &pass.trunk, 1, private, rest);
                    q.copy_from_slice(&rest.q[..q.len()]);
                }
            },
        );
    }

    fn attention(&self, slots: &[usize], seen: &[f32], out: &mut Vec<f32>) {
        let sizes = &self.online.sizes;
        assert!(sizes.attends, "a network without attention");
        let share = 1.0 / sizes.heads as f32;
        out.clear();
        with_scratch(|ThreadScratch { passing: ChunkActivations { market: pass, .. }, .. }| {
            for seen in seen.chunks(CHUNK * sizes.cells()) {
                let rows = self.rows(seen);
                market(self.level, &self.online, slots, seen, rows, pass);
                let weights = &pass.attention[..rows * sizes.peers() * sizes.heads];
                let of_peers = weights.chunks_exact(sizes.heads);
                out.extend(of_peers.map(|heads| share * heads.iter().sum::<f32>()));
            }
        });
    }

    fn learn(
        &self,
        slots: &[usize],
        seen: &MinibatchInputs<'_>,
        on_values: &mut OnValues<'_>,
        gradient: &mut [f32],
    ) {
        with_scratch(|room| {
            let ThreadScratch { kept, values, grad_q, market_tm1, private_tm1, other, .. } = room;
            self.forward(slots, seen, kept, values);
            on_values(values, grad_q);
            let tm1 = &seen.market[..seen.market.len() / 2];
            for (from, to) in [(tm1, &mut *market_tm1), (seen.private_tm1, &mut *private_tm1)] {
                to.clear();
                to.extend_from_slice(from);
                to.resize(from.len() + SLACK, 0.0);
            }
            let batch = Batch { market_tm1, private_tm1, grad_q };
            let (half, later) = kept.split_at(kept.len().div_ceil(PARTS));
            let first = half.len() * chunk_rows(self.rows(tm1));
            let mut tasks = vec![(0, half, &mut *gradient)];
            if !later.is_empty() {
                other.resize(tasks[0].2.len(), 0.0);
                tasks.push((first, later, other));
            }
            run_parallel(tasks, |(first, kept, sum)| {
                self.backward(slots, &batch, first, kept, sum);
            });
            if !later.is_empty() {
                add(other, gradient);
            }
        });
    }
}

#[cfg(test)]
mod tests;
