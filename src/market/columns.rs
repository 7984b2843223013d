//! Which columns of a table mean what, by their names.

use super::error::MarketError;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A time, or a date of daily bars.
    Time,
    /// A date whose time of day is in another column.
    Date,
    Clock,
    Symbol,
    Open,
    High,
    Low,
    Close,
    /// The close adjusted for dividends, beside one that is not.
    AdjustedClose,
    Volume,
}

/// Names by role, best first: as data services, brokers and libraries write them, in lower case
/// without brackets, underlines and a leading number.
const NAMES: [(Role, &[&str]); 10] = [
    (
        Role::Time,
        &[
            "timestamp",
            "datetime",
            "date time",
            "date/time",
            "ts",
            "ts event",
            "window start",
            "open time",
            "opentime",
            "gmt time",
            "utc time",
            "local time",
            "begins at",
            "start time",
            "bar time",
            "unix",
            "unix timestamp",
            "epoch",
            "t",
            "dt",
        ],
    ),
    (
        Role::Date,
        &[
            "date",
            "dtyyyymmdd",
            "trade date",
            "trading day",
            "day date",
            "datadate",
            "dlycaldt",
            "datum",
            "data",
            "日期",
        ],
    ),
    (Role::Clock, &["time", "time of day", "timebarstart"]),
    (
        Role::Symbol,
        &[
            "symbol",
            "ticker",
            "ticker symbol",
            "stock",
            "sym",
            "tic",
            "act symbol",
            "ts code",
            "ric",
            "asset",
            "instrument",
            "contract",
            "underlying",
            "stock id",
            "permno",
            "security",
            "code",
            "name",
        ],
    ),
    (
        Role::Open,
        &[
            "open",
            "open price",
            "price open",
            "opening price",
            "firsttradeprice",
            "px open",
            "openprc",
            "dlyopen",
            "prcod",
            "eröffn.",
            "eröffnung",
            "otwarcie",
            "开盘",
            "o",
        ],
    ),
    (
        Role::High,
        &[
            "high",
            "high price",
            "price high",
            "hightradeprice",
            "px high",
            "askhi",
            "dlyhigh",
            "prchd",
            "hoch",
            "najwyzszy",
            "最高",
            "h",
        ],
    ),
    (
        Role::Low,
        &[
            "low",
            "low price",
            "price low",
            "lowtradeprice",
            "px low",
            "bidlo",
            "dlylow",
            "prcld",
            "tief",
            "najnizszy",
            "最低",
            "l",
        ],
    ),
    (
        Role::Close,
        &[
            "close",
            "close/last",
            "close price",
            "price close",
            "closing price",
            "last price",
            "lasttradeprice",
            "px last",
            "prc",
            "dlyclose",
            "dlyprc",
            "prccd",
            "zuletzt",
            "schluss",
            "zamkniecie",
            "收盘",
            "last",
            "price",
            "c",
        ],
    ),
    (
        Role::AdjustedClose,
        &[
            "adj close",
            "adjusted close",
            "adjclose",
            "adjcp",
            "close adj",
            "closeadj",
            "adj. close",
            "adjusted",
        ],
    ),
    (
        Role::Volume,
        &[
            "volume",
            "vol",
            "vol.",
            "total volume",
            "tickvol",
            "tick volume",
            "shares",
            "px volume",
            "dlyvol",
            "cshtrd",
            "wolumen",
            "成交量",
            "v",
        ],
    ),
];
/// Names of a time column where there is no better one. The column that pandas saves for an unnamed
/// index comes last, since it may be a mere counter.
const LAST_TIMES: [&str; 6] =
    ["time", "date", "dtyyyymmdd", "index level 0", "index", "unnamed: 0"];
/// Volumes of coins are named after the coin: `Volume BTC`.
const VOLUME_OF: &str = "volume ";

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

/// The columns of one stock's bars, as places among those that there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BarColumns {
    /// One column, or a date and a time of day.
    pub(crate) time: Vec<usize>,
    /// Open, high, low and close.
    pub(crate) prices: [usize; 4],
    /// Not every table has one.
    pub(crate) volume: Option<usize>,
    pub(crate) adjusted_close: Option<usize>,
    /// The stock's name, if any.
    pub(crate) symbol: Option<usize>,
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
        let coins = || plain.iter().position(|name| name.starts_with(VOLUME_OF));
        Ok(BarColumns {
            time,
            prices: prices.map(Option::unwrap_or_default),
            volume: one(Role::Volume).or_else(coins),
            adjusted_close: one(Role::AdjustedClose).filter(|_| found[3].is_some()),
            symbol: one(Role::Symbol),
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
        let optional = [self.volume, self.adjusted_close, self.symbol];
        let all = self.time.iter().chain(&self.prices).copied();
        let mut all: Vec<usize> = all.chain(optional.into_iter().flatten()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// Column names for a message, shortened.
pub(crate) fn listed(names: &[&str]) -> String {
    const MAX_CHARS: usize = 90;
    let named: Vec<&str> = names.iter().copied().filter(|name| !name.is_empty()).collect();
    let text = named.join(", ");
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}, ...", &text[..end]),
        None => text,
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
