//! The interface between environment and agent: [`Action`] and [`ActionSet`].

use serde::{Deserialize, Serialize};

/// The position that an agent wants to hold from the next bar's open on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Owe shares, to gain when the price falls.
    Short,
    /// Hold nothing.
    Flat,
    /// Hold shares, to gain when the price rises.
    Long,
}

impl Action {
    /// -1, 0 or 1.
    pub fn direction(self) -> i8 {
        match self {
            Action::Short => -1,
            Action::Flat => 0,
            Action::Long => 1,
        }
    }
}

/// The actions an agent may choose from, in the order of the network's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActionSet(&'static [Action]);

impl ActionSet {
    /// Flat and long; with short, unless `long_only`.
    pub fn new(long_only: bool) -> ActionSet {
        if long_only {
            ActionSet(&[Action::Flat, Action::Long])
        } else {
            ActionSet(&[Action::Short, Action::Flat, Action::Long])
        }
    }

    /// Number of actions, and of Q-values.
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// Never: there is always flat and long.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The action of a network output. Panics if there is no such output.
    pub fn action(self, index: usize) -> Action {
        self.0[index]
    }

    /// The position of each action, as a fraction of the account.
    pub fn positions(self) -> &'static [f32] {
        if self.0.len() == 2 { &[0.0, 1.0] } else { &[-1.0, 0.0, 1.0] }
    }

    /// Index of the network output for a direction. Panics if the set does not contain it.
    pub fn index(self, direction: i8) -> usize {
        let found = self.0.iter().position(|action| action.direction() == direction);
        found.unwrap_or_else(|| panic!("direction {direction} is not in the action set"))
    }
}
