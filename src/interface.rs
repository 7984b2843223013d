//! The interface between environment and agent: [`ActionSet`].

/// The positions an agent may choose from, in the order of the network's outputs, as fractions of
/// the account: ascending, with 0, which is holding nothing. Below 0 shares are owed, to gain when
/// the price falls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActionSet {
    positions: [f32; ActionSet::MOST],
    len: usize,
}

impl ActionSet {
    /// Most positions of a set.
    pub const MOST: usize = 15;

    /// These positions, without those below 0 if it is `long_only`.
    ///
    /// # Panics
    /// If there are more than [`ActionSet::MOST`].
    pub fn new(positions: &[f32], long_only: bool) -> ActionSet {
        let mut set = ActionSet { positions: [0.0; ActionSet::MOST], len: 0 };
        for &position in positions.iter().filter(|&&position| position >= 0.0 || !long_only) {
            set.positions[set.len] = position;
            set.len += 1;
        }
        set
    }

    /// Number of actions, and of Q-values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: holding nothing is an action.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// `[action]`.
    pub fn positions(&self) -> &[f32] {
        &self.positions[..self.len]
    }

    /// The action whose position is nearest; the first of two equally near.
    pub fn index(&self, position: f32) -> usize {
        let mut found = 0;
        for (action, one) in self.positions().iter().enumerate() {
            if (one - position).abs() < (self.positions[found] - position).abs() {
                found = action;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_only_leaves_out_what_is_below_nothing() {
        let positions = [-1.0, -0.5, 0.0, 0.5, 1.0];
        let set = ActionSet::new(&positions, false);
        assert_eq!((set.len(), set.index(0.0), set.index(0.6)), (5, 2, 3));
        let long_only = ActionSet::new(&positions, true);
        assert_eq!(long_only.positions(), [0.0, 0.5, 1.0]);
        assert_eq!((long_only.index(-1.0), long_only.is_empty()), (0, false));
    }
}
