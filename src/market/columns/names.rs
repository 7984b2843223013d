//! The names that programs give to columns.

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A time, or a date of daily bars.
    Time,
    /// A date whose time of day is in another column.
    Date,
    Clock,
    /// The zone of times that are written without one.
    Zone,
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
pub(super) const NAMES: [(Role, &[&str]); 11] = [
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
            "start",
            "start time",
            "time period start",
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
    (Role::Zone, &["timezone", "time zone", "tz", "exchange timezone", "exchange time zone"]),
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
            "volume traded",
            "volumefrom",
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
pub(super) const LAST_TIMES: [&str; 6] =
    ["time", "date", "dtyyyymmdd", "index level 0", "index", "unnamed: 0"];
/// The number of quotes, which MetaTrader writes beside a volume that it may not know.
pub(super) const TICK_VOLUMES: [&str; 3] = ["tickvol", "tick volume", "tickvolume"];
/// Volumes of coins are named after the coin, or after what it is paid with: `Volume BTC`, `Volume
/// USD`.
pub(super) const VOLUME_OF: &str = "volume ";
/// What coins are paid with.
pub(super) const MONEY: [&str; 23] = [
    "usd", "usdt", "usdc", "busd", "tusd", "fdusd", "dai", "eur", "gbp", "jpy", "krw", "aud",
    "cad", "chf", "try", "brl", "rub", "inr", "idr", "cny", "sgd", "hkd", "currency",
];
