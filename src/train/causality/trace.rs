//! What a run decided and computed, each with the moment from which it may be known.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::market::calendar::iso_market_time;

/// Known before all bars.
pub(crate) const GIVEN: i64 = i64::MIN;

struct Entry {
    /// End of the last bar that may have been looked at, UTC seconds.
    known_s: i64,
    what: String,
    bytes: Vec<u8>,
}

/// Everything that was noted, in the order in which it came.
#[derive(Default)]
pub(crate) struct Trace {
    entries: Vec<Entry>,
    /// Of things that may not come about in another future, such as a fill: compared where they do
    /// in both.
    open: BTreeMap<(i64, String), Vec<u8>>,
}

fn moment(known_s: i64) -> String {
    if known_s == GIVEN { "before the start".into() } else { iso_market_time(known_s) }
}

fn bytes(value: &(impl Serialize + ?Sized)) -> Vec<u8> {
    postcard::to_allocvec(value).expect("numbers can be written down")
}

impl Trace {
    pub(crate) fn note(&mut self, known_s: i64, what: &str, value: &(impl Serialize + ?Sized)) {
        self.entries.push(Entry { known_s, what: what.into(), bytes: bytes(value) });
    }

    pub(crate) fn note_open(
        &mut self,
        known_s: i64,
        what: &str,
        value: &(impl Serialize + ?Sized),
    ) {
        let before = self.open.insert((known_s, what.into()), bytes(value));
        assert!(before.is_none(), "{what} is noted twice");
    }

    /// How much was known at `t_s`.
    pub(crate) fn known(&self, t_s: i64) -> usize {
        self.until(t_s).count()
    }

    /// The first thing known at `t_s` that is not the same in both, bit for bit.
    pub(crate) fn difference(&self, other: &Trace, t_s: i64) -> Option<String> {
        let said = |what: &str, known_s: i64| format!("{what} of {}", moment(known_s));
        let (mut ours, mut theirs) = (self.until(t_s), other.until(t_s));
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => break,
                (Some(a), Some(b)) if (a.known_s, &a.what) != (b.known_s, &b.what) => {
                    return Some(format!(
                        "{} came in place of {}",
                        said(&b.what, b.known_s),
                        a.what
                    ));
                }
                (Some(a), Some(b)) if a.bytes != b.bytes => return Some(said(&a.what, a.known_s)),
                (Some(_), Some(_)) => {}
                (Some(one), None) | (None, Some(one)) => {
                    return Some(format!("only one has {}", said(&one.what, one.known_s)));
                }
            }
        }
        let differs = |((known_s, what), bytes): (&(i64, String), &Vec<u8>)| {
            let key = (*known_s, what.clone());
            let same = *known_s > t_s || other.open.get(&key).is_none_or(|there| there == bytes);
            (!same).then(|| said(what, *known_s))
        };
        self.open.iter().find_map(differs)
    }

    fn until(&self, t_s: i64) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.known_s <= t_s)
    }
}
