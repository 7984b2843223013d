//! The backward pass: from d loss / d values to the gradient of all parameters.

use super::forward::{HeadsPass, MarketPass, room};
use super::product::{LeftMatrix, RightMatrix, SumStart, product};
use super::rows::{Normed, add_scaled, dot, norm_row_back, sum_columns};
use super::simd::{Plain, Simd, SimdLevel, by_level};
use super::weights::{NetworkWeights, NormedPlace, Sizes};

/// Intermediate gradients; reused buffers.
#[derive(Clone, Debug, Default)]
pub(super) struct BackwardScratch {
    output: Vec<f32>,
    last: Vec<f32>,
    trunk: Vec<f32>,
    context: Vec<f32>,
    values: Vec<f32>,
    mixed: Vec<f32>,
    asked: Vec<f32>,
    query: Vec<f32>,
    scores: Vec<f32>,
    embeddings: Vec<f32>,
    first: Vec<f32>,
    slots: Vec<f32>,
    /// Sink for gradients of scale and shift if a layer has no norm.
    norm: Vec<f32>,
}

/// Inputs and results of the forward pass of `rows` observations.
pub(super) struct ForwardInputs<'a> {
    pub rows: usize,
    /// `[row, slot, feature]`, with slack.
    pub market: &'a [f32],
    /// Symbols of the slots.
    pub slots: &'a [usize],
    pub market_pass: &'a MarketPass,
    pub heads_pass: &'a HeadsPass,
    /// d loss / d value, `[row, action]`.
    pub grad_values: &'a [f32],
}

by_level! {
    /// Overwrites `gradient` with d loss / d parameters, in the order of the layout.
    pub(super) fn backward(w: &NetworkWeights, given: &ForwardInputs<'_>, scratch: &mut BackwardScratch, gradient: &mut [f32])
        = backward_with
}

#[inline(always)]
unsafe fn backward_with<S: Simd>(
    w: &NetworkWeights,
    given: &ForwardInputs<'_>,
    scratch: &mut BackwardScratch,
    gradient: &mut [f32],
) {
    assert_eq!(gradient.len(), w.len, "elements of the gradient");
    let places = &w.places;
    // The other parts are overwritten completely.
    for place in [&places.symbol, &places.encoder[0].weight, &places.attention.nearness] {
        gradient[place.clone()].fill(0.0);
    }
    if !w.sizes.attends {
        gradient[places.trunk.weight.clone()].fill(0.0);
    }
    // SAFETY: the caller guarantees that the processor has S.
    unsafe {
        heads::<S>(w, given, scratch, gradient);
        trunk::<S>(w, given, scratch, gradient);
        let Sizes { used, embedding: width, context, .. } = w.sizes;
        let embeddings = room(&mut scratch.embeddings, given.rows * used * width);
        for row in 0..given.rows {
            let own = &scratch.context[row * context..][..width];
            embeddings[row * used * width..][..width].copy_from_slice(own);
        }
        if w.sizes.attends {
            attention::<S>(w, given, scratch, gradient);
        }
        encoder::<S>(w, given, scratch, gradient);
    }
}

/// Leaves d loss / d trunk output in `scratch.trunk`.
#[inline(always)]
unsafe fn heads<S: Simd>(
    w: &NetworkWeights,
    given: &ForwardInputs<'_>,
    scratch: &mut BackwardScratch,
    gradient: &mut [f32],
) {
    let Sizes { trunk, actions, .. } = w.sizes;
    let (rows, pass) = (given.rows, given.heads_pass);
    let grad_values = room(&mut scratch.output, rows * actions);
    grad_values[..rows * actions].copy_from_slice(given.grad_values);
    let last = room(&mut scratch.last, trunk * actions);
    let grad_trunk = room(&mut scratch.trunk, rows * trunk);
    // SAFETY: the caller guarantees that the processor has S.
    unsafe {
        let left = LeftMatrix::columns(&pass.trunk_out, trunk);
        let right = RightMatrix { data: &*grad_values, row: actions };
        product::<S>((trunk, actions, rows), left, right, SumStart::Zero, (&mut *last, actions));
        let left = LeftMatrix::rows(grad_values, actions);
        let right = RightMatrix { data: &w.heads.weight, row: trunk };
        product::<S>((rows, trunk, actions), left, right, SumStart::Zero, (grad_trunk, trunk));
    }
    split_heads(w, last, &given.grad_values[..rows * actions], gradient);
}

/// Splits the gradient of the combined heads, `[trunk, actions]`, into those of each.
fn split_heads(w: &NetworkWeights, last: &[f32], grad_values: &[f32], gradient: &mut [f32]) {
    let Sizes { trunk, actions, .. } = w.sizes;
    let share = 1.0 / actions as f32;
    let biases: Vec<f32> =
        (0..actions).map(|a| grad_values.iter().skip(a).step_by(actions).sum()).collect();
    let head = match &w.places.heads[..] {
        [value, advantage] => {
            let rows = last.chunks_exact(actions);
            for (to, row) in gradient[value.weight.clone()].iter_mut().zip(rows) {
                *to = row.iter().sum();
            }
            gradient[value.bias.start] = biases.iter().sum();
            advantage
        }
        heads => &heads[0],
    };
    let dueling = if w.sizes.dueling { share } else { 0.0 };
    for (i, row) in last.chunks_exact(actions).take(trunk).enumerate() {
        let mean = row.iter().sum::<f32>() * dueling;
        for (a, &grad) in row.iter().enumerate() {
            gradient[head.weight.start + a * trunk + i] = grad - mean;
        }
    }
    let mean = biases.iter().sum::<f32>() * dueling;
    for (to, grad) in gradient[head.bias.clone()].iter_mut().zip(&biases) {
        *to = grad - mean;
    }
}

/// Replaces d loss / d output of a normed layer in `grad` by d loss / d pre-activation, and writes
/// the gradients of scale, shift and bias.
#[inline(always)]
unsafe fn norm_back<S: Simd>(
    w: &NetworkWeights,
    place: &NormedPlace,
    (x, inverse, result): (&[f32], &[f32], Option<&[f32]>),
    grad: &mut [f32],
    scratch: &mut Vec<f32>,
    gradient: &mut [f32],
) {
    let width = place.bias.len();
    let (scale, shift) = room(scratch, 2 * width)[..2 * width].split_at_mut(width);
    scale.fill(0.0);
    shift.fill(0.0);
    let norm = w.norm(place);
    for (i, grad) in grad.chunks_exact_mut(width).enumerate() {
        let at = i * width..(i + 1) * width;
        let rectified = result.map(|result| &result[at.clone()]);
        let row = Normed { x: &x[at], inverse: inverse[i], rectified };
        // SAFETY: the caller guarantees that the processor has S.
        unsafe { norm_row_back::<S>(&row, norm, grad, (&mut *scale, &mut *shift)) };
    }
    if let Some((to_scale, to_shift)) = &place.norm {
        gradient[to_scale.clone()].copy_from_slice(scale);
        gradient[to_shift.clone()].copy_from_slice(shift);
    }
    sum_columns(grad, width, grad.len() / width, &mut gradient[place.bias.clone()]);
}

/// Leaves d loss / d context in `scratch.context`.
#[inline(always)]
unsafe fn trunk<S: Simd>(
    w: &NetworkWeights,
    given: &ForwardInputs<'_>,
    scratch: &mut BackwardScratch,
    gradient: &mut [f32],
) {
    let Sizes { trunk, context, joined, .. } = w.sizes;
    let (rows, place, pass) = (given.rows, &w.places.trunk, given.heads_pass);
    let forward_results = (&pass.trunk[..], &pass.trunk_inverse[..], Some(&pass.trunk_out[..]));
    let grad = &mut scratch.trunk[..rows * trunk];
    // SAFETY: the caller guarantees that the processor has S.
    unsafe { norm_back::<S>(w, place, forward_results, grad, &mut scratch.norm, gradient) };
    let to = &mut gradient[place.weight.clone()];
    let grad_context = room(&mut scratch.context, rows * context);
    // SAFETY: the caller guarantees that the processor has S.
    unsafe {
        let left = LeftMatrix::columns(grad, trunk);
        let right = RightMatrix { data: &given.market_pass.context, row: context };
        product::<S>((trunk, context, rows), left, right, SumStart::Zero, (&mut *to, joined));
        let (left, right) = (
            LeftMatrix::rows(grad, trunk),
            RightMatrix { data: w.right(&place.weight, 0), row: joined },
        );
        product::<S>((rows, context, trunk), left, right, SumStart::Zero, (grad_context, context));
    }
}

/// Adds the gradient through attention to the stock's own part of `scratch.embeddings` and
/// overwrites the peers' part.
#[inline(always)]
unsafe fn attention<S: Simd>(
    w: &NetworkWeights,
    given: &ForwardInputs<'_>,
    scratch: &mut BackwardScratch,
    gradient: &mut [f32],
) {
    let Sizes { used, embedding: width, heads, context, .. } = w.sizes;
    let (rows, per_head, place) = (given.rows, w.sizes.per_head(), &w.places.attention);
    let pass = given.market_pass;
    let grad_values = room(&mut scratch.values, rows * width);
    let grad_mixed = room(&mut scratch.mixed, rows * heads * width);
    let gathered = &scratch.context[width..];
    sum_columns(gathered, context, rows, &mut gradient[place.output_bias.clone()]);
    // SAFETY: the caller guarantees that the processor has S.
    unsafe {
        let (left, right) = (
            LeftMatrix::columns(gathered, context),
            RightMatrix { data: &pass.values, row: width },
        );
        let out = (&mut gradient[place.output.clone()], width);
        product::<S>((width, width, rows), left, right, SumStart::Zero, out);
        let (left, right) = (
            LeftMatrix::rows(gathered, context),
            RightMatrix { data: w.right(&place.output, 0), row: width },
        );
        product::<S>((rows, width, width), left, right, SumStart::Zero, (&mut *grad_values, width));
        for head in 0..heads {
            let (from, of_head) = (head * per_head, head * per_head * width);
            let left = LeftMatrix::columns(&grad_values[from..], width);
            let right = RightMatrix { data: &pass.mixed[head * width..], row: heads * width };
            let out = (&mut gradient[place.value.clone()][of_head..], width);
            product::<S>((per_head, width, rows), left, right, SumStart::Zero, out);
            let left = LeftMatrix::rows(&grad_values[from..], width);
            let right = RightMatrix { data: w.right(&place.value, of_head), row: width };
            let out = (&mut grad_mixed[head * width..], heads * width);
            product::<S>((rows, width, per_head), left, right, SumStart::Zero, out);
        }
        scores::<S>(w, given, scratch, &mut gradient[place.nearness.clone()]);
        let grad_asked = &scratch.asked[..];
        let grad_query = room(&mut scratch.query, rows * width);
        for head in 0..heads {
            let (from, of_head) = (head * per_head, head * per_head * width);
            let left = LeftMatrix::columns(&pass.query[from..], width);
            let right = RightMatrix { data: &grad_asked[head * width..], row: heads * width };
            let out = (&mut gradient[place.key.clone()][of_head..], width);
            product::<S>((per_head, width, rows), left, right, SumStart::Zero, out);
            let left = LeftMatrix::rows(&grad_asked[head * width..], heads * width);
            let right = RightMatrix { data: &w.key_t[from..], row: width };
            let out = (&mut grad_query[from..], width);
            product::<S>((rows, per_head, width), left, right, SumStart::Zero, out);
        }
        let scale = (per_head as f32).sqrt().recip();
        grad_query[..rows * width].iter_mut().for_each(|grad| *grad *= scale);
        sum_columns(grad_query, width, rows, &mut gradient[place.query_bias.clone()]);
        let left = LeftMatrix::columns(grad_query, width);
        let right = RightMatrix { data: &pass.embeddings, row: used * width };
        let out = (&mut gradient[place.query.clone()], width);
        product::<S>((width, width, rows), left, right, SumStart::Zero, out);
        let (left, right) = (
            LeftMatrix::rows(grad_query, width),
            RightMatrix { data: w.right(&place.query, 0), row: width },
        );
        let out = (&mut scratch.embeddings[..], used * width);
        product::<S>((rows, width, width), left, right, SumStart::Result, out);
    }
}

/// From d loss / d mixtures to the peers' embeddings and the `asked` vectors.
#[inline(always)]
unsafe fn scores<S: Simd>(
    w: &NetworkWeights,
    given: &ForwardInputs<'_>,
    scratch: &mut BackwardScratch,
    nearness: &mut [f32],
) {
    let Sizes { used, embedding: width, heads, .. } = w.sizes;
    let (rows, peers, pass) = (given.rows, w.sizes.peers(), given.market_pass);
    let grad_asked = room(&mut scratch.asked, rows * heads * width);
    grad_asked[..rows * heads * width].fill(0.0);
    let grads = room(&mut scratch.scores, peers * heads);
    let grads = &mut grads[..peers * heads];
    for row in 0..rows {
        let embeddings = &pass.embeddings[row * used * width..][..used * width];
        let grad_embeddings = &mut scratch.embeddings[row * used * width..][..used * width];
        let weights = &pass.attention[row * peers * heads..][..peers * heads];
        let of_head = |head: usize| (row * heads + head) * width;
        for peer in 0..peers {
            let embedding = &embeddings[(1 + peer) * width..][..width];
            for head in 0..heads {
                let mixed = &scratch.mixed[of_head(head)..][..width];
                // SAFETY: the caller guarantees that the processor has S.
                grads[peer * heads + head] = unsafe { dot::<S>(mixed, embedding) };
            }
        }
        for head in 0..heads {
            let column = |peer: usize| peer * heads + head;
            let mean: f32 = (0..peers).map(|p| weights[column(p)] * grads[column(p)]).sum();
            for peer in 0..peers {
                let grad = &mut grads[column(peer)];
                *grad = weights[column(peer)] * (*grad - mean);
                nearness[column(peer)] += *grad;
            }
        }
        for peer in 0..peers {
            let to = &mut grad_embeddings[(1 + peer) * width..][..width];
            to.fill(0.0);
            let embedding = &embeddings[(1 + peer) * width..][..width];
            for head in 0..heads {
                let (at, grad) = (of_head(head), grads[peer * heads + head]);
                add_scaled(weights[peer * heads + head], &scratch.mixed[at..][..width], to);
                add_scaled(grad, &pass.asked[at..][..width], to);
                add_scaled(grad, embedding, &mut grad_asked[at..][..width]);
            }
        }
    }
}

#[inline(always)]
unsafe fn encoder<S: Simd>(
    w: &NetworkWeights,
    given: &ForwardInputs<'_>,
    scratch: &mut BackwardScratch,
    gradient: &mut [f32],
) {
    let Sizes { slots, used, features, symbol, embedding: width, .. } = w.sizes;
    let ([first, second], pass) = (&w.places.encoder, given.market_pass);
    let cells = given.rows * used;
    let grad = &mut scratch.embeddings[..cells * width];
    let forward_results = (&pass.second[..], &pass.second_inverse[..], None);
    let grad_first = room(&mut scratch.first, cells * width);
    // SAFETY: the caller guarantees that the processor has S.
    unsafe {
        norm_back::<S>(w, second, forward_results, grad, &mut scratch.norm, gradient);
        let (left, right) =
            (LeftMatrix::columns(grad, width), RightMatrix { data: &pass.first_out, row: width });
        let out = (&mut gradient[second.weight.clone()], width);
        product::<S>((width, width, cells), left, right, SumStart::Zero, out);
        let (left, right) = (
            LeftMatrix::rows(grad, width),
            RightMatrix { data: w.right(&second.weight, 0), row: width },
        );
        product::<S>((cells, width, width), left, right, SumStart::Zero, (&mut *grad_first, width));
        let forward_results = (&pass.first[..], &pass.first_inverse[..], Some(&pass.first_out[..]));
        let grad_first = &mut grad_first[..cells * width];
        norm_back::<S>(w, first, forward_results, grad_first, &mut scratch.norm, gradient);
        // If all slots are used, they are contiguous; else only the stock's own slot of every row
        // is used.
        let left = LeftMatrix::columns(grad_first, width);
        let right = RightMatrix { data: given.market, row: features * slots / used };
        let out = (&mut gradient[first.weight.clone()], features + symbol);
        product::<S>((width, features, cells), left, right, SumStart::Zero, out);
    }
    let grad_first = &scratch.first[..cells * width];
    let sums = &mut room(&mut scratch.slots, width)[..width];
    let inputs = features + symbol;
    for (slot, &of) in given.slots[..used].iter().enumerate() {
        sum_columns(&grad_first[slot * width..], used * width, given.rows, sums);
        let at = w.places.symbol.start + of * symbol;
        for (i, &grad) in sums.iter().enumerate() {
            let row = first.weight.start + i * inputs + features;
            for k in 0..symbol {
                gradient[row + k] += grad * w.flat[at + k];
                gradient[at + k] += grad * w.flat[row + k];
            }
        }
    }
}
