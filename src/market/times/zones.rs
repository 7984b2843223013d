//! Times beside a column of their zones.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta};

use super::text::{Zone, zone};
use super::{TimeOptions, Times, in_range, local_to_utc, shortened};

/// Times that `read` reads, each without a zone of its own in the zone that its row names, `names`.
/// Rows that name none have no time.
///
/// # Errors
/// If a zone is unknown, or some times have one of their own and others do not.
pub(crate) fn zones<'a, E>(
    names: impl Iterator<Item = Option<&'a str>>,
    options: &TimeOptions,
    read: impl FnOnce(&TimeOptions) -> Result<Times, E>,
    wrong: impl Fn(String) -> E,
) -> Result<Times, E> {
    let in_utc = TimeOptions { zone: chrono_tz::UTC, ..options.clone() };
    let mut times = read(&in_utc)?;
    // Dates are of no zone, and times with a zone of their own have it.
    if !times.naive {
        return Ok(times);
    }
    if times.zoned {
        return Err(wrong(
            "some times have a zone and others do not, beside a column of zones".into(),
        ));
    }
    let mut known: BTreeMap<&str, Zone> = BTreeMap::new();
    for (label_s, name) in times.label_s.iter_mut().zip(names) {
        let name = name.map(str::trim).filter(|name| !name.is_empty());
        let Some(name) = name else {
            *label_s = None;
            continue;
        };
        let zone = match known.get(name) {
            Some(zone) => *zone,
            None => {
                let zone = zone(name).ok_or_else(|| {
                    let what = format!("{:?} is not a time zone", shortened(name));
                    wrong(format!("{what}, as America/New_York, UTC and -05:00 are"))
                })?;
                known.insert(name, zone);
                zone
            }
        };
        *label_s = label_s.and_then(|local_s| in_zone(local_s, zone));
    }
    times.naive = false;
    Ok(times)
}

/// UTC seconds of a wall clock that was read as UTC.
fn in_zone(local_s: i64, zone: Zone) -> Option<i64> {
    let local = DateTime::from_timestamp(local_s, 0)?.naive_utc();
    match zone {
        Zone::None => None,
        Zone::Offset(east_s) => {
            in_range((local - TimeDelta::seconds(i64::from(east_s))).and_utc().timestamp())
        }
        Zone::Named(zone) => local_to_utc(local, zone),
    }
}
