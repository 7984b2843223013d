//! The passes of a run, divided among attempts: each begins anew, with another weight decay, and the
//! validation days choose among the weights of all.

use serde::{Deserialize, Serialize};

/// Fewer passes than this are not an attempt of their own.
const MIN_PASSES: u32 = 10;
/// Validations of a run, about. Each of them is a choice, and the more there are the more one must
/// show to be believed; and weights that were learned with a large step size are noisy.
const VALIDATIONS: u32 = 3;

/// The weights that a run ends with, if validation believes them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChosenWeights {
    /// Passes of the run before them.
    pub episode: u32,
    /// Of their attempt.
    pub weight_decay: f64,
    /// Whether there was more than one.
    pub is_choice: bool,
}

/// How the passes of a run are divided; passes are counted from 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Attempts {
    /// In order, without gaps; never empty.
    list: Vec<Attempt>,
}

/// Passes that learn with one weight decay, while the step size falls from its start to its end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) first: u32,
    pub(crate) last: u32,
    pub(crate) weight_decay: f64,
    pub(crate) begins_with: AttemptStart,
    /// Passes between two validations.
    validate_every: u32,
}

/// The weights with which an attempt begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AttemptStart {
    /// Those of the run.
    First,
    /// Those that validation chose; the newest where it does not choose.
    Chosen,
}

impl Attempts {
    /// As many of `weight_decays` as have enough passes each, the first of them first; the first
    /// alone where there are no validation days to choose by.
    ///
    /// # Panics
    /// If there is no weight decay, or no pass.
    pub(crate) fn new(weight_decays: &[f64], episodes: u32, chooses: bool) -> Attempts {
        let most = if chooses { (episodes / MIN_PASSES).max(1) } else { 1 };
        let count = most.min(weight_decays.len() as u32);
        assert!(count > 0 && episodes > 0, "a run has a weight decay and a pass");
        let last_of =
            |index: u32| (u64::from(index) * u64::from(episodes) / u64::from(count)) as u32;
        let attempt = |(index, &weight_decay): (u32, &f64)| Attempt {
            first: last_of(index) + 1,
            last: last_of(index + 1),
            weight_decay,
            begins_with: AttemptStart::First,
            validate_every: validate_every(episodes),
        };
        Attempts { list: (0..count).zip(weight_decays).map(attempt).collect() }
    }

    /// Passes of the whole run.
    pub(crate) fn episodes(&self) -> u32 {
        self.list.last().map_or(0, |attempt| attempt.last)
    }

    /// Goes on to so many passes in all, from the weights that were chosen so far.
    pub(crate) fn go_on(&mut self, episodes: u32) {
        let last = self.of(self.episodes());
        self.list.push(Attempt {
            first: last.last + 1,
            last: episodes,
            weight_decay: last.weight_decay,
            begins_with: AttemptStart::Chosen,
            validate_every: validate_every(episodes - last.last),
        });
    }

    /// Has the last attempt learn with the weight decay of the weights after pass `chosen`.
    pub(crate) fn continue_from(&mut self, chosen: u32) {
        let weight_decay = self.of(chosen).weight_decay;
        self.list.iter_mut().next_back().expect("never empty").weight_decay = weight_decay;
    }

    /// The attempt to which a pass belongs; the last one after all passes.
    pub(crate) fn of(&self, episode: u32) -> Attempt {
        let index = self.list.partition_point(|attempt| attempt.last < episode);
        self.list[index.min(self.list.len() - 1)]
    }

    /// What those weights are that were chosen after a pass.
    pub(crate) fn chosen(&self, episode: u32) -> ChosenWeights {
        let is_choice = self.list.len() > 1;
        ChosenWeights { episode, weight_decay: self.of(episode).weight_decay, is_choice }
    }

    /// Whether weights are validated after a pass: after every so many, and after the last one of
    /// each attempt.
    pub(crate) fn is_validated(&self, episode: u32) -> bool {
        let attempt = self.of(episode);
        let passes = episode + 1 - attempt.first;
        passes.is_multiple_of(attempt.validate_every) || episode == attempt.last
    }

    /// How often that is in a run.
    pub(crate) fn validations(&self) -> u32 {
        let of = |attempt: &Attempt| attempt.passes().div_ceil(attempt.validate_every);
        self.list.iter().map(of).sum()
    }
}

impl Attempt {
    /// Passes of this attempt.
    pub(crate) fn passes(&self) -> u32 {
        self.last + 1 - self.first
    }
}

fn validate_every(episodes: u32) -> u32 {
    episodes.div_ceil(VALIDATIONS).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECAYS: [f64; 3] = [4.0, 12.0, 36.0];

    fn spans(attempts: &Attempts) -> Vec<(u32, u32, f64)> {
        let mut found: Vec<_> = (1..=attempts.episodes())
            .map(|episode| attempts.of(episode))
            .map(|it| (it.first, it.last, it.weight_decay))
            .collect();
        found.dedup();
        found
    }

    #[test]
    fn passes_are_divided_where_there_are_enough_and_something_chooses() {
        let divided = |episodes, chooses| spans(&Attempts::new(&DECAYS, episodes, chooses));
        assert_eq!(divided(1, true), [(1, 1, 4.0)]);
        assert_eq!(divided(19, true), [(1, 19, 4.0)]);
        assert_eq!(divided(21, true), [(1, 10, 4.0), (11, 21, 12.0)]);
        assert_eq!(divided(100, true), [(1, 33, 4.0), (34, 66, 12.0), (67, 100, 36.0)]);
        assert_eq!(divided(100, false), [(1, 100, 4.0)]);
        assert_eq!(Attempts::new(&DECAYS[1..2], 100, true).of(50).passes(), 100);
    }

    /// The last pass of each of three attempts is validated; of a single one three passes.
    #[test]
    fn the_last_weights_of_an_attempt_are_validated() {
        let attempts = Attempts::new(&DECAYS, 100, true);
        assert_eq!(attempts.validations(), 3);
        assert!(attempts.is_validated(33) && !attempts.is_validated(34));
        let single = Attempts::new(&DECAYS[..1], 100, true);
        assert_eq!(single.validations(), 3);
        assert!([34, 68, 100].iter().all(|&episode| single.is_validated(episode)));
        assert_eq!(Attempts::new(&DECAYS, 1, true).validations(), 1);
        for episodes in [2, 19, 20, 21, 64, 999] {
            let attempts = Attempts::new(&DECAYS, episodes, true);
            let counted = (1..=episodes).filter(|&episode| attempts.is_validated(episode)).count();
            assert_eq!(attempts.validations() as usize, counted, "{episodes}");
        }
    }

    #[test]
    fn a_run_goes_on_from_the_weights_that_were_chosen() {
        let mut attempts = Attempts::new(&DECAYS, 30, true);
        attempts.go_on(45);
        assert_eq!(attempts.of(31).weight_decay, 36.0);
        attempts.continue_from(18);
        let last = attempts.of(31);
        assert_eq!((last.first, last.last, last.weight_decay), (31, 45, 12.0));
        assert_eq!(last.begins_with, AttemptStart::Chosen);
        assert_eq!(attempts.of(30).begins_with, AttemptStart::First);
        assert_eq!(attempts.validations(), 3 + 3);
    }
}
