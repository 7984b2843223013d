//! A transition in 32 bytes: row indices instead of observations, because prices do not depend on
//! actions.

use serde::{Deserialize, Serialize};

use crate::interface::PrivateState;

/// From row `t` with an action to row `t_end`, at most n bars later. Plain data with a fixed
/// layout.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[repr(C)]
pub struct Transition {
    /// Panel row of the decision.
    pub t: u32,
    /// Discounted sum of the rewards of the bars after t up to `t_end`, in units of the stock's
    /// `return_std`.
    pub reward: f32,
    /// Discount of the value at `t_end`: gamma^bars, or 0 after ruin.
    pub discount: f32,
    /// [`PrivateState::unrealized_return`] at t.
    pub unrealized_t: f32,
    /// [`PrivateState::unrealized_return`] at `t_end`.
    pub unrealized_end: f32,
    /// [`PrivateState::bars_held`] at t.
    pub bars_held_t: u16,
    /// [`PrivateState::bars_held`] at `t_end`.
    pub bars_held_end: u16,
    /// The training lane that made it.
    pub lane: u16,
    /// [`PrivateState::position`] at t.
    pub position_t: i8,
    /// [`PrivateState::position`] at `t_end`.
    pub position_end: i8,
    /// Number of rows from t to t_end.
    pub bars: u8,
    /// Index in the action set of the position actually held, after arbitration.
    pub action: u8,
    /// Position from two bars after t on; for a single bar, that at `t_end`.
    pub position_next: i8,
    _reserved: u8,
}

const _: () = assert!(std::mem::size_of::<Transition>() == 32);

impl Transition {
    /// From the state at row `t` to that at `t_end`. Panics if a number does not fit its field.
    pub fn new(
        (t, private_t): (usize, PrivateState),
        action: usize,
        lane: usize,
        reward: f64,
        discount: f64,
        (t_end, private_end): (usize, PrivateState),
    ) -> Transition {
        Transition {
            t: u32::try_from(t).expect("a panel has fewer than 2^32 rows"),
            reward: reward as f32,
            discount: discount as f32,
            unrealized_t: private_t.unrealized_return,
            unrealized_end: private_end.unrealized_return,
            bars_held_t: private_t.bars_held,
            bars_held_end: private_end.bars_held,
            lane: u16::try_from(lane).expect("there are fewer than 2^16 lanes"),
            position_t: private_t.position,
            position_end: private_end.position,
            bars: u8::try_from(t_end - t).expect("n-step returns span fewer than 256 bars"),
            action: u8::try_from(action).expect("there are fewer than 256 actions"),
            position_next: private_end.position,
            _reserved: 0,
        }
    }

    /// Sets the position held after the second of several bars.
    pub(crate) fn with_next(self, position_next: i8) -> Transition {
        Transition { position_next, ..self }
    }

    pub(crate) fn t_end(&self) -> usize {
        self.t as usize + usize::from(self.bars)
    }

    pub(crate) fn private_t(&self) -> PrivateState {
        PrivateState {
            position: self.position_t,
            bars_held: self.bars_held_t,
            unrealized_return: self.unrealized_t,
        }
    }

    pub(crate) fn private_end(&self) -> PrivateState {
        PrivateState {
            position: self.position_end,
            bars_held: self.bars_held_end,
            unrealized_return: self.unrealized_end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_round_trip() {
        let start = PrivateState { position: -1, bars_held: 40_000, unrealized_return: -0.25 };
        let end = PrivateState { position: 1, bars_held: 3, unrealized_return: 0.5 };
        let tr = Transition::new((70_000, start), 2, 65_535, -1.5, 0.75, (70_255, end));
        assert_eq!((tr.t, tr.t_end(), tr.bars), (70_000, 70_255, 255));
        assert_eq!((tr.private_t(), tr.private_end()), (start, end));
        assert_eq!((tr.action, tr.lane, tr.reward, tr.discount), (2, 65_535, -1.5, 0.75));
    }

    #[test]
    #[should_panic(expected = "fewer than 256 bars")]
    fn spans_fewer_than_256_bars() {
        let flat = PrivateState::default();
        Transition::new((0, flat), 0, 0, 0.0, 1.0, (256, flat));
    }
}
