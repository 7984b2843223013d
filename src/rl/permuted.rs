//! A network's values on inputs of which one column is shuffled among the rows.

use std::ops::Range;

use super::engine::Engine;

/// The inputs of one stock's decisions.
pub(crate) struct PermutedInputs {
    /// The stock itself, then its peers.
    slots: Vec<usize>,
    /// `[row, slot, feature]`.
    features: Vec<f32>,
    rows: usize,
}

impl PermutedInputs {
    /// `features` is `[row, slot, feature]` for so many rows.
    ///
    /// # Panics
    /// If it is empty or cannot be divided so.
    pub(crate) fn new(slots: Vec<usize>, features: Vec<f32>, rows: usize) -> PermutedInputs {
        assert!(rows > 0 && !slots.is_empty(), "there is something to look at");
        assert_eq!(features.len() % (rows * slots.len()), 0, "[row, slot, feature]");
        PermutedInputs { slots, features, rows }
    }

    /// Slots of the stock itself, or of its peers.
    pub(crate) fn slots(&self, of_peers: bool) -> Range<usize> {
        if of_peers { 1..self.slots.len() } else { 0..1 }
    }

    /// Values as they are, `[row, action]`.
    pub(crate) fn values(&self, engine: &dyn Engine, values: &mut Vec<f32>) {
        engine.values(&self.slots, &self.features, values);
    }

    /// Values where every row has the `feature` of row `order[row]` in these slots, and everything
    /// else of its own.
    pub(crate) fn permuted_values(
        &self,
        engine: &dyn Engine,
        slots: Range<usize>,
        feature: usize,
        order: &[usize],
        values: &mut Vec<f32>,
    ) {
        engine.values(&self.slots, &self.permuted(slots, feature, order), values);
    }

    fn permuted(&self, slots: Range<usize>, feature: usize, order: &[usize]) -> Vec<f32> {
        assert_eq!(order.len(), self.rows, "a row for each row");
        let per_row = self.features.len() / self.rows;
        let width = per_row / self.slots.len();
        let mut changed = self.features.clone();
        for (row, &from) in changed.chunks_exact_mut(per_row).zip(order) {
            for slot in slots.clone() {
                let place = slot * width + feature;
                row[place] = self.features[from * per_row + place];
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two rows of two slots with three features.
    #[test]
    fn one_column_of_the_slots_changes_places() {
        #[rustfmt::skip]
        let features = vec![
            1.0, 2.0, 3.0,  4.0, 5.0, 6.0,
            11.0, 12.0, 13.0,  14.0, 15.0, 16.0,
        ];
        let inputs = PermutedInputs::new(vec![7, 3], features, 2);
        #[rustfmt::skip]
        let own = [
            1.0, 12.0, 3.0,  4.0, 5.0, 6.0,
            11.0, 2.0, 13.0,  14.0, 15.0, 16.0,
        ];
        assert_eq!(inputs.permuted(inputs.slots(false), 1, &[1, 0]), own);
        let peers = inputs.permuted(inputs.slots(true), 2, &[1, 1]);
        assert_eq!(peers[5], 16.0);
        assert_eq!((&peers[..5], &peers[6..]), (&inputs.features[..5], &inputs.features[6..]));
    }
}
