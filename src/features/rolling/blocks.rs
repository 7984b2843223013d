//! Windows over many values at once, equal to [`Window::update`] value by value, to the last bit.
//!
//! The blocks of a window are independent until their summaries are joined. So several blocks are
//! processed in parallel lanes, one value of each at a time, by the code that takes in a single
//! value, and the compiler turns the lanes into vector instructions.

use super::{Accumulator, Window};
use crate::compute::simd_dispatch::wide;

/// Blocks processed in parallel.
const LANES: usize = 16;

/// A summary that consists of a count and `N` numbers.
pub(crate) trait CountedAccumulator<const N: usize>: Accumulator {
    fn numbers(self) -> [f64; N];
    fn counted(count: f64, numbers: [f64; N]) -> Self;
}

/// Numbers of one summary per lane, preceded by those of the block before the first lane.
type Row<const N: usize> = [[f64; 1 + LANES]; N];

impl<S: Accumulator> Window<S> {
    /// Takes in values and writes `read(window, value)` at each of them; NaN until the window is
    /// full.
    pub(crate) fn run<const N: usize, const K: usize>(
        &mut self,
        values: &[S::Value],
        read: impl Fn(S, S::Value) -> [f64; K],
        out: [&mut [f64]; K],
    ) where
        S: CountedAccumulator<N>,
    {
        let mut out = out;
        out.iter().for_each(|out| assert_eq!(out.len(), values.len(), "one reading per value"));
        // The first block has no predecessor, and a later one may be partly filled.
        let to_next = self.length - self.block.len();
        let begun = if self.suffixes.is_empty() { to_next } else { to_next % self.length };
        let mut done = begun.min(values.len());
        self.run_singly(0..done, values, &read, &mut out);
        let mut scratch = Scratch { transposed: Vec::new(), suffixes: Vec::new() };
        loop {
            let blocks = ((values.len() - done) / self.length).min(LANES);
            // A pass over fewer lanes costs as much as one over all.
            if blocks < LANES / 2 {
                break;
            }
            let here = done..done + blocks * self.length;
            let parts = out.each_mut().map(|out| &mut out[here.clone()]);
            run_lanes(&mut self.suffixes, &mut scratch, &values[here.clone()], &read, parts);
            done = here.end;
        }
        self.run_singly(done..values.len(), values, &read, &mut out);
    }

    /// Like [`Window::run`] over the known values; NaN at the others.
    pub(crate) fn run_known<const N: usize, const K: usize>(
        &mut self,
        values: &[S::Value],
        known: impl Fn(&S::Value) -> bool,
        read: impl Fn(S, S::Value) -> [f64; K],
        out: [&mut [f64]; K],
    ) where
        S: CountedAccumulator<N>,
    {
        let (mut out, mut done) = (out, 0);
        for part in values.chunk_by(|a, b| known(a) == known(b)) {
            let here = done..done + part.len();
            let mut parts = out.each_mut().map(|out| &mut out[here.clone()]);
            if known(&part[0]) {
                self.run(part, &read, parts);
            } else {
                parts.iter_mut().for_each(|part| part.fill(f64::NAN));
            }
            done = here.end;
        }
    }

    fn run_singly<const K: usize>(
        &mut self,
        range: std::ops::Range<usize>,
        values: &[S::Value],
        read: &impl Fn(S, S::Value) -> [f64; K],
        out: &mut [&mut [f64]; K],
    ) {
        for t in range {
            let found = self.update(values[t]).map_or([f64::NAN; K], |all| read(all, values[t]));
            for (out, found) in out.iter_mut().zip(found) {
                out[t] = found;
            }
        }
    }
}

struct Scratch<V, const N: usize> {
    /// `[position in the block][lane]`.
    transposed: Vec<[V; LANES]>,
    /// `[position in the block]`: summary from that position to the end of the block.
    suffixes: Vec<Row<N>>,
}

wide! {
    /// Processes whole blocks, at most [`LANES`]. `older` holds the suffixes of the block before
    /// them, and on return those of the last of them.
    fn run_lanes[S: CountedAccumulator<N>, R: Fn(S, S::Value) -> [f64; K], const N: usize, const K: usize](
        older: &mut [S],
        scratch: &mut Scratch<S::Value, N>,
        values: &[S::Value],
        read: &R,
        out: [&mut [f64]; K],
    ) -> () {
        let length = older.len();
        let blocks = values.len() / length;
        let Scratch { transposed, suffixes } = scratch;
        transposed.resize(length, [values[0]; LANES]);
        for (lane, block) in values.chunks_exact(length).enumerate() {
            for (row, &value) in transposed.iter_mut().zip(block) {
                row[lane] = value;
            }
        }
        suffixes.resize(length, [[0.0; 1 + LANES]; N]);
        let mut suffix = [[0.0; LANES]; N];
        for i in (0..length).rev() {
            push::<S, N>(&mut suffix, (length - 1 - i) as f64, &transposed[i]);
            let own = older[i].numbers();
            for n in 0..N {
                suffixes[i][n][0] = own[n];
                suffixes[i][n][1..].copy_from_slice(&suffix[n]);
            }
            let last = std::array::from_fn(|n| suffix[n][blocks - 1]);
            older[i] = S::counted((length - i) as f64, last);
        }
        let mut prefix = [[0.0; LANES]; N];
        let mut readings = [[0.0; LANES]; K];
        for i in 0..length {
            push::<S, N>(&mut prefix, i as f64, &transposed[i]);
            for lane in 0..LANES {
                let newer = S::counted((i + 1) as f64, std::array::from_fn(|n| prefix[n][lane]));
                let all = match suffixes.get(i + 1) {
                    Some(row) => {
                        let numbers = std::array::from_fn(|n| row[n][lane]);
                        S::counted((length - 1 - i) as f64, numbers).join(newer)
                    }
                    None => newer,
                };
                let found = read(all, transposed[i][lane]);
                for k in 0..K {
                    readings[k][lane] = found[k];
                }
            }
            for k in 0..K {
                for block in 0..blocks {
                    out[k][block * length + i] = readings[k][block];
                }
            }
        }
    }
}

/// Adds one value to each lane's summary of `count` values.
#[inline(always)]
fn push<S: CountedAccumulator<N>, const N: usize>(
    lanes: &mut [[f64; LANES]; N],
    count: f64,
    values: &[S::Value; LANES],
) {
    for lane in 0..LANES {
        let mut summary = S::counted(count, std::array::from_fn(|n| lanes[n][lane]));
        summary.push(values[lane]);
        let numbers = summary.numbers();
        for n in 0..N {
            lanes[n][lane] = numbers[n];
        }
    }
}
