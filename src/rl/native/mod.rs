//! The Q-network implemented by hand, forward and backward, for the CPU. A minibatch is a few dozen
//! small matrix products, and libtorch spends more time around them than in them
//! (docs/performance.md). Tested against libtorch's automatic differentiation.
//!
//! ```text
//! simd      vectors of sixteen numbers, bit-identical on every processor
//! product   small matrix products
//! rows      norms, softmax and sums
//! transpose transposition of matrices
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
use forward::{HeadsPass, MarketPass, encode, heads, market, observe, room};
use product::SLACK;
use simd::SimdLevel;
use weights::NetworkWeights;

use super::engine::{Engine, MinibatchInputs, MinibatchValues, NetworkRole, OnValues, SharedBars};
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
    heads: HeadsPass,
}

/// Buffers of a thread. Their content is not used across calls.
#[derive(Default)]
struct ThreadScratch {
    /// Forward passes without a backward pass.
    passing: ChunkActivations,
    scratch: BackwardScratch,
    /// Gradient of a chunk.
    share: Vec<f32>,
    /// Forward results of the learned rows of a minibatch, per chunk.
    kept: Vec<ChunkActivations>,
    /// The learned observations, with slack.
    market: Vec<f32>,
    values: MinibatchValues,
    grad_values: Vec<f32>,
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
    /// Values of the observations `seen` into `out`.
    fn values(self, seen: &[f32], kept: &mut ChunkActivations, out: &mut [f32]) {
        let NetworkView { level, weights, slots } = self;
        let sizes = &weights.sizes;
        let rows = seen.len() / sizes.cells();
        market(level, weights, slots, seen, rows, &mut kept.market);
        heads(level, weights, &kept.market.trunk, rows, &mut kept.heads);
        out.copy_from_slice(&kept.heads.values[..rows * sizes.actions]);
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

    /// Values of a minibatch; leaves the results that the backward pass needs in `kept`.
    fn forward(
        &self,
        slots: &[usize],
        seen: &MinibatchInputs<'_>,
        kept: &mut Vec<ChunkActivations>,
        values: &mut MinibatchValues,
    ) {
        let sizes = &self.online.sizes;
        let rows = self.rows(seen.market);
        let chunk = chunk_rows(seen.learned);
        for out in [&mut values.online, &mut values.target] {
            out.resize(rows * sizes.actions, 0.0);
        }
        kept.resize_with(seen.learned.div_ceil(chunk), ChunkActivations::default);
        let (online, target) =
            (self.view(NetworkRole::Online, slots), self.view(NetworkRole::Target, slots));
        let (learned, valued) = seen.market.split_at(seen.learned * sizes.cells());
        let (of_learned, of_valued) = values.online.split_at_mut(seen.learned * sizes.actions);
        let cells = chunk * sizes.cells();
        let starts = learned.chunks(cells).zip(of_learned.chunks_mut(chunk * sizes.actions));
        let starts = starts.zip(kept.iter_mut().map(Some));
        let ends = valued.chunks(cells).zip(of_valued.chunks_mut(chunk * sizes.actions));
        let ends = ends.map(|end| (end, None));
        let (learned, valued) = values.target.split_at_mut(seen.learned * sizes.actions);
        let targets = [learned, valued].into_iter();
        let targets = targets.flat_map(|part| part.chunks_mut(chunk * sizes.actions));
        run_parallel(
            starts.chain(ends).zip(targets).collect(),
            |(((seen, of_online), kept), of_target)| {
                with_scratch(|room| {
                    let kept = kept.unwrap_or(&mut room.passing);
                    online.values(seen, kept, of_online);
                    target.values(seen, &mut room.passing, of_target);
                });
            },
        );
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
        let rows = batch.grad_values.len() / sizes.actions;
        let chunk = chunk_rows(rows);
        with_scratch(|ThreadScratch { scratch, share, .. }| {
            for (i, kept) in kept.iter().enumerate() {
                let from = first + i * chunk;
                let count = chunk.min(rows - from);
                let given = ForwardInputs {
                    rows: count,
                    market: &batch.market[from * sizes.cells()..],
                    slots,
                    market_pass: &kept.market,
                    heads_pass: &kept.heads,
                    grad_values: &batch.grad_values[from * sizes.actions..]
                        [..count * sizes.actions],
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
    market: &'a [f32],
    /// `[row, action]`
    grad_values: &'a [f32],
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

    fn values(&self, slots: &[usize], seen: &[f32], out: &mut Vec<f32>) {
        let (sizes, view) = (&self.online.sizes, self.view(NetworkRole::Online, slots));
        let rows = self.rows(seen);
        let chunk = chunk_rows(rows);
        out.resize(rows * sizes.actions, 0.0);
        let given = seen.chunks(chunk * sizes.cells());
        let tasks = given.zip(out.chunks_mut(chunk * sizes.actions)).collect();
        run_parallel(tasks, |(seen, out)| {
            with_scratch(|room| view.values(seen, &mut room.passing, out));
        });
    }

    fn values_of_all(
        &self,
        slots: &[Vec<usize>],
        bars: &mut SharedBars,
        out: &mut [&mut Vec<f32>],
    ) {
        let (sizes, rows) = (&self.online.sizes, bars.rows);
        let (width, chunk) = (sizes.embedding, chunk_rows(rows));
        let seen: Vec<Vec<usize>> = slots
            .iter()
            .map(|slots| slots[..sizes.used].iter().map(|&symbol| bars.place(symbol)).collect())
            .collect();
        let SharedBars { symbols, market, embeddings, .. } = bars;
        let row = symbols.len() * sizes.features;
        let mut is_seen = vec![false; symbols.len()];
        seen.iter().flatten().for_each(|&place| is_seen[place] = true);
        embeddings.resize(symbols.len() * rows * width, 0.0);
        let of_symbols = embeddings.chunks_mut((rows * width).max(1)).enumerate();
        let tasks =
            of_symbols.filter(|(place, _)| is_seen[*place]).flat_map(|(place, of_symbol)| {
                let chunks = of_symbol.chunks_mut(chunk * width).enumerate();
                chunks.map(move |(i, chunk)| (place, i, chunk))
            });
        run_parallel(tasks.collect(), |(place, i, out): (usize, usize, &mut [f32])| {
            let market = &market[i * chunk * row + place * sizes.features..];
            with_scratch(|room| {
                let pass = &mut room.passing.market;
                let symbol = &symbols[place..place + 1];
                encode(self.level, &self.online, symbol, market, row, out.len() / width, pass);
                out.copy_from_slice(&pass.embeddings[..out.len()]);
            });
        });
        let tasks = seen.iter().zip(out).flat_map(|(seen, out)| {
            out.resize(rows * sizes.actions, 0.0);
            let chunks = out.chunks_mut(chunk * sizes.actions).enumerate();
            chunks.map(move |(i, out)| (seen, i * chunk, out))
        });
        let embeddings = &*embeddings;
        run_parallel(tasks.collect(), |(seen, first, out): (&Vec<usize>, usize, &mut [f32])| {
            let count = out.len() / sizes.actions;
            with_scratch(
                |ThreadScratch { passing: ChunkActivations { market, heads: pass }, .. }| {
                    let joined = room(&mut market.embeddings, count * seen.len() * width);
                    for (slot, place) in seen.iter().enumerate() {
                        let of_symbol =
                            &embeddings[(place * rows + first) * width..][..count * width];
                        for (row, embedding) in of_symbol.chunks_exact(width).enumerate() {
                            joined[(row * seen.len() + slot) * width..][..width]
                                .copy_from_slice(embedding);
                        }
                    }
                    observe(self.level, &self.online, count, market);
                    heads(self.level, &self.online, &market.trunk, count, pass);
                    out.copy_from_slice(&pass.values[..out.len()]);
                },
            );
        });
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
            let ThreadScratch { kept, values, grad_values, market, other, .. } = room;
            self.forward(slots, seen, kept, values);
            on_values(values, grad_values);
            let learned = &seen.market[..seen.learned * self.online.sizes.cells()];
            market.clear();
            market.extend_from_slice(learned);
            market.resize(learned.len() + SLACK, 0.0);
            let batch = Batch { market, grad_values };
            let (half, later) = kept.split_at(kept.len().div_ceil(PARTS));
            let first = half.len() * chunk_rows(seen.learned);
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
