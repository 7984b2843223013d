//! How a table was read, in words.

use std::fmt::Write;

use super::TableOptions;
use crate::market::columns::BarColumns;
use crate::market::times::Times;

/// One line: what the columns were taken for.
pub(super) fn understood<'a>(
    kind: &str,
    columns: &BarColumns,
    name: impl Fn(usize) -> &'a str,
    times: &Times,
    options: &TableOptions,
) -> String {
    let time: Vec<&str> = columns.time.iter().map(|&column| name(column)).collect();
    let what = if times.dates { "dates" } else { "times" };
    let zone = if times.naive { ", without a zone" } else { "" };
    let mut line = format!("{kind}; {what} from {} ({}{zone})", time.join(" and "), times.read_as);
    let prices: Vec<&str> = columns.prices.iter().map(|&column| name(column)).collect();
    let _ = write!(line, "; prices from {}", prices.join(", "));
    let volume = match columns.volume {
        Some(column) => format!("volume from {}", name(column)),
        None => "no volume, read as 0".into(),
    };
    let is_ticks = columns.volume.is_some() && columns.volume == columns.tick_volume;
    let why = if is_ticks { ", as the other is 0 throughout" } else { "" };
    let _ = write!(line, "; {volume}{why}");
    if let Some(column) = columns.symbol {
        let _ = write!(line, "; stocks from {}", name(column));
    }
    if let (Some(column), false) = (columns.zone, times.dates) {
        let _ = write!(line, "; zones from {}", name(column));
    }
    match columns.adjusted_close {
        Some(column) if options.adjusted => {
            let _ = write!(line, "; scaled to {}", name(column));
        }
        Some(column) => {
            let _ = write!(line, "; {} is not used (see --adjusted)", name(column));
        }
        None => {}
    }
    line
}
