//! Which columns of a table mean what, by their names.

mod names;

use super::error::MarketError;
use names::{LAST_TIMES, MONEY, NAMES, Role, TICK_VOLUMES, VOLUME_OF};

/// `4. Close` becomes `close`, `<TICKER>` `ticker`, `adj_close` `adj close`.
pub(crate) fn plain_name(name: &str) -> String {
    let lower = name.trim().to_lowercase().replace(['_', '-'], " ");
    let bare = lower.trim_matches(|c: char| matches!(c, '<' | '>' | '"' | '*' | '#' | '$' | ' '));
    match bare.split_once(". ") {
        Some((number, rest)) if number.parse::<u8>().is_ok() => rest.trim().to_string(),
        _ => bare.to_string(),
    }
}

/// Whether a day file's column of this name is a price, the volume, a time or a symbol.
pub(crate) fn is_bar_column(name: &str) -> bool {
    let name = plain_name(name);
    let first = |(_, names): &(Role, &[&str])| names[0] == name;
    NAMES.iter().any(first) || LAST_TIMES.contains(&name.as_str())
}

/// Columns of all of Databento's records.
const DATABENTO: [&str; 3] = ["rtype", "publisher id", "instrument id"];

/// The columns of one stock's bars, as places among those that there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BarColumns {
    /// One column, or a date and a time of day.
    pub(crate) time: Vec<usize>,
    /// Open, high, low and close.
    pub(crate) prices: [usize; 4],
    /// Not every table has one.
    pub(crate) volume: Option<usize>,
    /// The number of quotes, where there is a volume that may be 0 throughout.
    pub(crate) tick_volume: Option<usize>,
    pub(crate) adjusted_close: Option<usize>,
    /// The stock's name, if any.
    pub(crate) symbol: Option<usize>,
    /// The zone of each row's time, if any.
    pub(crate) zone: Option<usize>,
    /// Prices that are whole numbers count billionths, as Databento stores them.
    pub(crate) billionths: bool,
}

impl BarColumns {
    /// The columns by name.
    ///
    /// # Errors
    /// If a price or the time is missing.
    pub(crate) fn new(names: &[&str], file: &str) -> Result<BarColumns, MarketError> {
        let mut plain: Vec<String> = names.iter().map(|name| plain_name(name)).collect();
        // Polygon has the ticker in T and the time in t.
        if names.contains(&"t")
            && let Some(ticker) = names.iter().position(|name| *name == "T")
        {
            plain[ticker] = "ticker".into();
        }
        let at = |wanted: &str| plain.iter().position(|name| name == wanted);
        let one = |role: Role| {
            let (_, names) = NAMES.iter().find(|(of, _)| *of == role)?;
            names.iter().find_map(|name| at(name))
        };
        let wrong = |what: String, hint: &str| MarketError::File {
            file: file.into(),
            what: format!("{what} (it has: {})", listed(names)),
            hint: hint.into(),
            cause: None,
        };
        let roles = [Role::Open, Role::High, Role::Low, Role::Close];
        let found = roles.map(one);
        let close = found[3].or_else(|| one(Role::AdjustedClose));
        let prices = [found[0], found[1], found[2], close];
        let missing: Vec<&str> = ["open", "high", "low", "close"]
            .into_iter()
            .zip(prices)
            .filter_map(|(name, found)| found.is_none().then_some(name))
            .collect();
        if !missing.is_empty() {
            let what = format!("has no column {}", missing.join(", "));
            return Err(wrong(
                what,
                "name the columns open, high, low, close and volume, for import with --columns",
            ));
        }
        for name in ["open", "high", "low", "close"] {
            let count = plain.iter().filter(|plain| *plain == name).count();
            if count > 1 {
                let what = format!("has {count} columns named {name}");
                return Err(wrong(what, "give a file for each stock, or see --columns"));
            }
        }
        let last = || LAST_TIMES.iter().find_map(|name| at(name));
        let pair = || Some(vec![one(Role::Date)?, one(Role::Clock)?]);
        let time = one(Role::Time).map(|time| vec![time]).or_else(pair);
        let time =
            time.or_else(|| Some(vec![one(Role::Date).or_else(last)?])).ok_or_else(|| {
                wrong("has no time column".into(), "name it timestamp, datetime, date or time")
            })?;
        let ticks = TICK_VOLUMES.iter().find_map(|name| at(name));
        let volume = match one(Role::Volume).or(ticks) {
            Some(volume) => Some(volume),
            None => coin_volume(&plain).map_err(|(one, other)| {
                let what = format!("has {} and {}, of which one is", names[one], names[other]);
                let hint = "say which is the volume, for import with --columns";
                wrong(format!("{what} in the coin itself"), hint)
            })?,
        };
        Ok(BarColumns {
            time,
            prices: prices.map(Option::unwrap_or_default),
            volume,
            tick_volume: ticks.filter(|&ticks| volume != Some(ticks)),
            adjusted_close: one(Role::AdjustedClose).filter(|_| found[3].is_some()),
            symbol: one(Role::Symbol),
            zone: one(Role::Zone),
            billionths: DATABENTO.iter().all(|name| at(name).is_some()),
        })
    }

    /// Whether a column of this name may be the time.
    pub(crate) fn is_time(name: &str) -> bool {
        let name = plain_name(name);
        let times = |(role, _): &&(Role, &[&str])| matches!(role, Role::Time | Role::Date);
        NAMES.iter().filter(times).any(|(_, names)| names.contains(&name.as_str()))
            || LAST_TIMES.contains(&name.as_str())
    }

    /// All columns, without repetition.
    pub(crate) fn all(&self) -> Vec<usize> {
        let Self { volume, tick_volume, adjusted_close, symbol, zone, .. } = self;
        let optional = [*volume, *tick_volume, *adjusted_close, *symbol, *zone];
        let all = self.time.iter().chain(&self.prices).copied();
        let mut all: Vec<usize> = all.chain(optional.into_iter().flatten()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// Of columns such as `Volume BTC` and `Volume USD` the one in coins, not in money.
///
/// # Errors
/// Two of them, if it is not to be told.
fn coin_volume(plain: &[String]) -> Result<Option<usize>, (usize, usize)> {
    let unit = |name: &String| {
        let unit = name.strip_prefix(VOLUME_OF)?.trim_matches(['(', ')']);
        let is_unit =
            (2..=8).contains(&unit.len()) && unit.bytes().all(|b| b.is_ascii_alphanumeric());
        is_unit.then(|| MONEY.contains(&unit))
    };
    let all = || plain.iter().enumerate().filter_map(|(i, name)| Some((i, unit(name)?)));
    let coins: Vec<usize> = all().filter(|(_, is_money)| !is_money).map(|(i, _)| i).collect();
    let money: Vec<usize> = all().filter(|(_, is_money)| *is_money).map(|(i, _)| i).collect();
    match (&coins[..], &money[..]) {
        ([one], _) | ([], [one]) => Ok(Some(*one)),
        ([one, other, ..], _) | ([], [one, other, ..]) => Err((*one, *other)),
        ([], []) => Ok(plain.iter().position(|name| name.starts_with(VOLUME_OF))),
    }
}

/// Column names for a message, shortened.
pub(crate) fn listed(names: &[&str]) -> String {
    const MAX_BYTES: usize = 90;
    let named: Vec<&str> = names.iter().copied().filter(|name| !name.is_empty()).collect();
    let text = named.join(", ");
    match text.len() > MAX_BYTES {
        true => format!("{}, ...", &text[..text.floor_char_boundary(MAX_BYTES)]),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[&str]) -> BarColumns {
        BarColumns::new(names, "table").unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn the_names_of_many_programs_mean_the_same() {
        for names in [
            ["timestamp", "open", "high", "low", "close", "volume"],
            ["Datetime", "1. open", "2. high", "3. low", "4. close", "5. volume"],
            ["<DTYYYYMMDD>", "<OPEN>", "<HIGH>", "<LOW>", "<CLOSE>", "<VOL>"],
            ["t", "o", "h", "l", "c", "v"],
            ["Date", "Open", "High", "Low", "Close/Last", "Volume"],
            ["unix", "open", "high", "low", "close", "Volume BTC"],
            ["open_time", "Open", "High", "Low", "Price", "Vol."],
            ["window_start", "open", "high", "low", "adjcp", "volume"],
            ["Datum", "Eröffn.", "Hoch", "Tief", "Zuletzt", "Vol."],
            ["Date-Time", "$open", "$high", "$low", "$close", "$volume"],
            ["date", "OPENPRC", "ASKHI", "BIDLO", "PRC", "VOL"],
        ] {
            let found = columns(&names);
            assert_eq!((found.time, found.prices), (vec![0], [1, 2, 3, 4]), "{names:?}");
            assert_eq!((found.volume, found.symbol), (Some(5), None), "{names:?}");
        }
        let found = columns(&["tic", "date", "time", "close", "adj_close", "low", "high", "open"]);
        assert_eq!((found.time, found.prices), (vec![1, 2], [7, 6, 5, 3]));
        assert_eq!((found.adjusted_close, found.symbol, found.volume), (Some(4), Some(0), None));
    }

    #[test]
    fn of_two_volumes_the_coin_s_is_taken() {
        let with = |volumes: &[&str]| {
            let names = [&["date", "open", "high", "low", "close"], volumes].concat();
            BarColumns::new(&names, "f").map(|found| (found.volume, found.tick_volume))
        };
        assert_eq!(with(&["Volume USD", "Volume BTC"]).unwrap(), (Some(6), None));
        assert_eq!(with(&["Volume ETH", "Volume USDT", "tradecount"]).unwrap(), (Some(5), None));
        assert_eq!(with(&["Volume USD"]).unwrap(), (Some(5), None));
        assert_eq!(with(&["Volume_(BTC)", "Volume_(Currency)"]).unwrap(), (Some(5), None));
        assert_eq!(with(&["Volume in shares"]).unwrap(), (Some(5), None));
        let error = with(&["Volume ETH", "Volume BTC"]).unwrap_err().to_string();
        assert!(error.contains("has Volume ETH and Volume BTC, of which"), "{error}");
        // MetaTrader: the number of quotes beside a volume, or alone.
        assert_eq!(with(&["<TICKVOL>", "<VOL>", "<SPREAD>"]).unwrap(), (Some(6), Some(5)));
        assert_eq!(with(&["<TICKVOL>", "<SPREAD>"]).unwrap(), (Some(5), None));
    }

    #[test]
    fn zones_and_databento_s_records_are_known_by_name() {
        let found = columns(&["tz", "ts", "open", "high", "low", "close"]);
        assert_eq!((found.zone, found.billionths), (Some(0), false));
        let prices = ["ts_event", "open", "high", "low", "close"];
        let found = columns(&[&prices[..], &["rtype", "publisher_id", "instrument_id"]].concat());
        assert_eq!((found.zone, found.billionths), (None, true));
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = |names: &[&str]| BarColumns::new(names, "f").unwrap_err().to_string();
        let text = error(&["date", "open", "volume"]);
        assert!(text.starts_with("f: has no column high, low, close (it has: date,"), "{text}");
        assert!(error(&["open", "high", "low", "close"]).contains("has no time column"));
        let many = vec!["a column with a name that is long"; 100];
        assert!(error(&many).len() < 300);
    }

    #[test]
    fn a_feature_may_not_have_the_name_of_a_bar_s_column() {
        for name in ["Open", "4. close", "volume", "timestamp", "date", "symbol", "time"] {
            assert!(is_bar_column(name), "{name}");
        }
        for name in ["vix", "price", "code", "v", "vwap", "data"] {
            assert!(!is_bar_column(name), "{name}");
        }
    }
}
