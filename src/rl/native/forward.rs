//! The forward pass: from market features to values.

use super::product::{LeftMatrix, RightMatrix, SLACK, SumStart, product};
use super::rows::{add_scaled, dot, norm_row, scale_to, softmax};
use super::simd::{Plain, Simd, SimdLevel, by_level};
use super::weights::{NetworkWeights, Sizes};

/// Intermediate results of the market part of the network for `rows` observations; reused buffers.
#[derive(Clone, Debug, Default)]
pub(super) struct MarketPass {
    /// `[row, slot, embedding]`: before scale and shift, and after ReLU.
    pub(crate) first: Vec<f32>,
    pub(crate) first_out: Vec<f32>,
    pub(crate) first_inverse: Vec<f32>,
    pub(crate) second: Vec<f32>,
    pub(crate) second_inverse: Vec<f32>,
    /// `[row, slot, embedding]`
    pub(crate) embeddings: Vec<f32>,
    /// `[row, embedding]`, scaled.
    pub(crate) query: Vec<f32>,
    /// `[row, head, embedding]`: the query multiplied by the key matrix. The keys themselves are
    /// not needed: q (K e) = (q K) e, and there is one query for many peers.
    pub(crate) asked: Vec<f32>,
    /// `[row, peer, head]`
    pub(crate) attention: Vec<f32>,
    /// Buffer of the softmax.
    pub(crate) of_heads: Vec<f32>,
    /// `[row, head, embedding]`: the attention-weighted mean of the peers' embeddings. The value
    /// matrix is linear, so it is applied afterwards.
    pub(crate) mixed: Vec<f32>,
    /// `[row, embedding]`
    pub(crate) values: Vec<f32>,
    /// `[row, context]`
    pub context: Vec<f32>,
    /// The trunk's pre-activations, `[row, trunk]`.
    pub trunk: Vec<f32>,
}

/// Intermediate results of the trunk and the heads.
#[derive(Clone, Debug, Default)]
pub(super) struct HeadsPass {
    /// Before scale and shift, and after ReLU: `[row, trunk]`.
    pub trunk: Vec<f32>,
    pub trunk_out: Vec<f32>,
    pub trunk_inverse: Vec<f32>,
    /// `[row, action]`
    pub values: Vec<f32>,
}

/// Resizes a buffer to at least `len` elements plus slack.
pub(super) fn room(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len + SLACK {
        buffer.resize(len + SLACK, 0.0);
    }
    &mut buffer[..len + SLACK]
}

by_level! {
    /// The market part: `market`, `[row, slot, feature]`, of `rows` observations through encoder,
    /// attention and the trunk's weights. `slots` are the symbols of the slots.
    pub(super) fn market(
        w: &NetworkWeights, slots: &[usize], market: &[f32], rows: usize, pass: &mut MarketPass
    ) = market_with
}

by_level! {
    /// The encoder alone: of `market`, rows of `row` numbers that begin with the features of these
    /// symbols, `rows` observations into the embeddings, `[row, symbol, embedding]`.
    pub(super) fn encode(
        w: &NetworkWeights, symbols: &[usize], market: &[f32], row: usize, rows: usize, pass: &mut MarketPass
    ) = encode_with
}

by_level! {
    /// The market part after the encoder, from the embeddings of `rows` observations.
    pub(super) fn observe(w: &NetworkWeights, rows: usize, pass: &mut MarketPass) = observe_with
}

by_level! {
    /// From the trunk's pre-activations, `[row, trunk]`, of `rows` observations to their values.
    pub(super) fn heads(
        w: &NetworkWeights, trunk: &[f32], rows: usize, pass: &mut HeadsPass
    ) = heads_with
}

#[inline(always)]
unsafe fn market_with<S: Simd>(
    w: &NetworkWeights,
    symbols: &[usize],
    market: &[f32],
    rows: usize,
    pass: &mut MarketPass,
) {
    let Sizes { slots, used, features, .. } = w.sizes;
    // SAFETY: the caller guarantees that the processor has S.
    unsafe {
        encode_with::<S>(w, &symbols[..used], market, slots * features, rows, pass);
        observe_with::<S>(w, rows, pass);
    }
}

#[inline(always)]
unsafe fn encode_with<S: Simd>(
    w: &NetworkWeights,
    symbols: &[usize],
    market: &[f32],
    row: usize,
    rows: usize,
    pass: &mut MarketPass,
) {
    let Sizes { features, embedding: width, .. } = w.sizes;
    let (places, used) = (&w.places, symbols.len());
    let cells = rows * used;
    let first = room(&mut pass.first, cells * width);
    for (slot, &symbol) in symbols.iter().enumerate() {
        let left = LeftMatrix::rows(&market[slot * features..], row);
        let right = RightMatrix { data: &w.first_t, row: width };
        let bias = SumStart::Bias(&w.symbol_bias[symbol * width..][..width]);
        let out = (&mut first[slot * width..], used * width);
        // SAFETY: the caller guarantees that the processor has S.
        unsafe { product::<S>((rows, width, features), left, right, bias, out) };
    }
    let out = room(&mut pass.first_out, cells * width);
    let inverse = room(&mut pass.first_inverse, cells);
    let norm = w.norm(&places.encoder[0]);
    for i in 0..cells {
        let (x, y) = (&mut first[i * width..][..width], &mut out[i * width..][..width]);
        // SAFETY: the caller guarantees that the processor has S.
        inverse[i] = unsafe { norm_row::<S>(x, norm, true, y) };
    }

    let second = room(&mut pass.second, cells * width);
    let right = RightMatrix { data: &w.second_t, row: width };
    let bias = SumStart::Bias(w.part(&places.encoder[1].bias));
    let left = LeftMatrix::rows(out, width);
    // SAFETY: the caller guarantees that the processor has S.
    unsafe { product::<S>((cells, width, width), left, right, bias, (second, width)) };
    let embeddings = room(&mut pass.embeddings, cells * width);
    let inverse = room(&mut pass.second_inverse, cells);
    let norm = w.norm(&places.encoder[1]);
    for i in 0..cells {
        let (x, y) = (&mut second[i * width..][..width], &mut embeddings[i * width..][..width]);
        // SAFETY: the caller guarantees that the processor has S.
        inverse[i] = unsafe { norm_row::<S>(x, norm, false, y) };
    }
}

#[inline(always)]
unsafe fn observe_with<S: Simd>(w: &NetworkWeights, rows: usize, pass: &mut MarketPass) {
    let Sizes { used, embedding: width, context, .. } = w.sizes;
    let embeddings = &pass.embeddings;
    let joined = room(&mut pass.context, rows * context);
    for row in 0..rows {
        let own = &embeddings[row * used * width..][..width];
        joined[row * context..][..width].copy_from_slice(own);
    }
    if w.sizes.attends {
        // SAFETY: the caller guarantees that the processor has S.
        unsafe { attend::<S>(w, rows, pass) };
    }
    let trunk = w.sizes.trunk;
    let sums = room(&mut pass.trunk, rows * trunk);
    let left = LeftMatrix::rows(&pass.context, context);
    let right = RightMatrix { data: &w.trunk_t, row: trunk };
    let bias = SumStart::Bias(w.part(&w.places.trunk.bias));
    // SAFETY: the caller guarantees that the processor has S.
    unsafe { product::<S>((rows, trunk, context), left, right, bias, (sums, trunk)) };
}

/// Vaswani et al. (2017), section 3.2, with the matrix products reordered; see [`MarketPass`].
#[inline(always)]
unsafe fn attend<S: Simd>(w: &NetworkWeights, rows: usize, pass: &mut MarketPass) {
    let Sizes { used, embedding: width, heads, context, .. } = w.sizes;
    let (per_head, peers, place) = (w.sizes.per_head(), w.sizes.peers(), &w.places.attention);
    let (query, asked) =
        (room(&mut pass.query, rows * width), room(&mut pass.asked, rows * heads * width));
    let left = LeftMatrix::rows(&pass.embeddings, used * width);
    let right = RightMatrix { data: &w.query_t, row: width };
    let bias = SumStart::Bias(w.part(&place.query_bias));
    // SAFETY: the caller guarantees that the processor has S.
    unsafe { product::<S>((rows, width, width), left, right, bias, (&mut *query, width)) };
    let scale = (per_head as f32).sqrt().recip();
    query[..rows * width].iter_mut().for_each(|q| *q *= scale);
    for head in 0..heads {
        let left = LeftMatrix::rows(&query[head * per_head..], width);
        let right = RightMatrix { data: w.right(&place.key, head * per_head * width), row: width };
        let out = (&mut asked[head * width..], heads * width);
        // SAFETY: the caller guarantees that the processor has S.
        unsafe { product::<S>((rows, width, per_head), left, right, SumStart::Zero, out) };
    }
    let attention = room(&mut pass.attention, rows * peers * heads);
    let mixed = room(&mut pass.mixed, rows * heads * width);
    let nearness = w.part(&place.nearness);
    let of_heads = &mut room(&mut pass.of_heads, 2 * heads)[..2 * heads];
    for row in 0..rows {
        let embeddings = &pass.embeddings[row * used * width..][..used * width];
        let scores = &mut attention[row * peers * heads..][..peers * heads];
        for peer in 0..peers {
            let embedding = &embeddings[(1 + peer) * width..][..width];
            for head in 0..heads {
                let asked = &asked[(row * heads + head) * width..][..width];
                let at = peer * heads + head;
                // SAFETY: the caller guarantees that the processor has S.
                scores[at] = unsafe { dot::<S>(asked, embedding) } + nearness[at];
            }
        }
        softmax(scores, of_heads);
        for head in 0..heads {
            let mixed = &mut mixed[(row * heads + head) * width..][..width];
            scale_to(scores[head], &embeddings[width..][..width], mixed);
            for peer in 1..peers {
                let embedding = &embeddings[(1 + peer) * width..][..width];
                add_scaled(scores[peer * heads + head], embedding, mixed);
            }
        }
    }
    let values = room(&mut pass.values, rows * width);
    for head in 0..heads {
        let left = LeftMatrix::rows(&mixed[head * width..], heads * width);
        let right = RightMatrix { data: &w.value_t[head * per_head..], row: width };
        let out = (&mut values[head * per_head..], width);
        // SAFETY: the caller guarantees that the processor has S.
        unsafe { product::<S>((rows, per_head, width), left, right, SumStart::Zero, out) };
    }
    let (left, right) =
        (LeftMatrix::rows(values, width), RightMatrix { data: &w.output_t, row: width });
    let bias = SumStart::Bias(w.part(&place.output_bias));
    let out = (&mut pass.context[width..], context);
    // SAFETY: the caller guarantees that the processor has S.
    unsafe { product::<S>((rows, width, width), left, right, bias, out) };
}

#[inline(always)]
unsafe fn heads_with<S: Simd>(
    w: &NetworkWeights,
    market: &[f32],
    rows: usize,
    pass: &mut HeadsPass,
) {
    let Sizes { trunk, actions, .. } = w.sizes;
    let sums = room(&mut pass.trunk, rows * trunk);
    sums[..rows * trunk].copy_from_slice(&market[..rows * trunk]);
    let out = room(&mut pass.trunk_out, rows * trunk);
    let inverse = room(&mut pass.trunk_inverse, rows);
    let norm = w.norm(&w.places.trunk);
    for i in 0..rows {
        let (x, y) = (&mut sums[i * trunk..][..trunk], &mut out[i * trunk..][..trunk]);
        // SAFETY: the caller guarantees that the processor has S.
        inverse[i] = unsafe { norm_row::<S>(x, norm, true, y) };
    }
    let values = room(&mut pass.values, rows * actions);
    let (left, right) =
        (LeftMatrix::rows(out, trunk), RightMatrix { data: &w.heads.weight_t, row: actions });
    let bias = SumStart::Bias(&w.heads.bias);
    // SAFETY: the caller guarantees that the processor has S.
    unsafe { product::<S>((rows, actions, trunk), left, right, bias, (values, actions)) };
}
