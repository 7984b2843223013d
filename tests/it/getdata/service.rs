//! A server that stands in for Alpha Vantage.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use dqn_trader::market::calendar::{iso_market_time, sessions_in};
use dqn_trader::market::{Period, Symbol, YearMonth};

use crate::http::{cut, response, serve};

/// The content of a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) symbol: String,
    pub(crate) month: String,
    pub(crate) minutes: i64,
    pub(crate) csv: bool,
    pub(crate) line: String,
    /// Number of earlier requests for the same stock and month.
    pub(crate) before: usize,
}

pub(crate) enum Reply {
    /// HTTP status 200 and a body.
    Body(String),
    Status(&'static str),
    /// A body that ends before its announced length.
    Cut(String),
    /// The connection stays open without a response.
    Silence,
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    /// Number of requests that [`Server::asked`] has already returned.
    told: AtomicUsize,
}

impl Server {
    /// Answers every request by `answer`.
    pub(crate) fn start(answer: impl Fn(&Request) -> Reply + Send + 'static) -> Server {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let address = serve(move |asked| {
            let mut request = read(asked.line);
            let same = |other: &&Request| {
                (&other.symbol, &other.month) == (&request.symbol, &request.month)
            };
            request.before = seen.lock().unwrap().iter().filter(same).count();
            seen.lock().unwrap().push(request.clone());
            match answer(&request) {
                Reply::Body(body) => Some(response("200 OK", "", &body)),
                Reply::Status(status) => Some(response(status, "", "")),
                Reply::Cut(body) => Some(cut(&body)),
                Reply::Silence => None,
            }
        });
        Server { address, requests, told: AtomicUsize::new(0) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/query", self.address)
    }

    /// Months requested since the last call, as `AAA 2020-01`.
    pub(crate) fn asked(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        let new = &requests[self.told.swap(requests.len(), Ordering::SeqCst)..];
        new.iter().map(|request| format!("{} {}", request.symbol, request.month)).collect()
    }

    /// Number of requests so far.
    pub(crate) fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    /// The last request line.
    pub(crate) fn last_line(&self) -> String {
        self.requests.lock().unwrap().last().unwrap().line.clone()
    }
}

fn read(line: String) -> Request {
    let field = |name: &str| {
        let query = line.split(['?', ' ']).nth(2).unwrap_or_default();
        let pair = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
        pair.unwrap_or_default().to_string()
    };
    Request {
        symbol: field("symbol"),
        month: field("month"),
        minutes: field("interval").trim_end_matches("min").parse().unwrap_or(0),
        csv: field("datatype") == "csv",
        before: 0,
        line,
    }
}

/// A bar: its start in UTC seconds, then open, high, low, close and volume.
pub(crate) type Bar = (i64, [f64; 5]);

/// Bars of a month's regular sessions. Prices depend on stock, day and time, and vary by a few per
/// cent.
pub(crate) fn bars(symbol: &str, month: &str, minutes: i64) -> Vec<Bar> {
    let month: YearMonth = month.parse().unwrap();
    let start = 50.0 + f64::from(symbol.bytes().map(u32::from).sum::<u32>() % 97);
    let mut bars = Vec::new();
    for (date, session) in sessions_in(&month.period()) {
        let day = (f64::from(chrono::Datelike::num_days_from_ce(&date)) * 0.7).sin();
        for (i, label_s) in
            (session.open_s..session.close_s).step_by(60 * minutes as usize).enumerate()
        {
            let open = start * (1.0 + 0.02 * day + 0.005 * (i as f64 * 0.9).sin());
            let close = open * (1.0 + 0.001 * (i as f64).cos());
            let (high, low) = (open.max(close) * 1.001, open.min(close) * 0.999);
            bars.push((label_s, [open, high, low, close, 1_000.0 + i as f64]));
        }
    }
    bars
}

/// In the format of the service, newest first.
pub(crate) fn series(request: &Request, bars: &[Bar]) -> Reply {
    let time = |label_s| iso_market_time(label_s)[..19].replace('T', " ");
    if request.csv {
        let row = |(label_s, [o, h, l, c, v]): &Bar| {
            format!("{},{o:.4},{h:.4},{l:.4},{c:.4},{v:.0}\r\n", time(*label_s))
        };
        let rows: String = bars.iter().rev().map(row).collect();
        return Reply::Body(format!("timestamp,open,high,low,close,volume\r\n{rows}"));
    }
    let row = |(label_s, [o, h, l, c, v]): &Bar| {
        format!(
            "\"{}\": {{\"1. open\": \"{o:.4}\", \"2. high\": \"{h:.4}\", \"3. low\": \"{l:.4}\", \
             \"4. close\": \"{c:.4}\", \"5. volume\": \"{v:.0}\"}}",
            time(*label_s)
        )
    };
    let rows: Vec<String> = bars.iter().rev().map(row).collect();
    let (symbol, minutes) = (&request.symbol, request.minutes);
    Reply::Body(format!(
        "{{\"Meta Data\": {{\"1. Information\": \"Intraday\", \"2. Symbol\": \"{symbol}\", \
         \"3. Last Refreshed\": \"now\", \"4. Interval\": \"{minutes}min\", \
         \"5. Output Size\": \"Full size\", \"6. Time Zone\": \"US/Eastern\"}}, \
         \"Time Series ({minutes}min)\": {{{}}}}}",
        rows.join(", ")
    ))
}

/// The response of a service without faults.
pub(crate) fn plain(request: &Request) -> Reply {
    series(request, &bars(&request.symbol, &request.month, request.minutes))
}

/// A message in one of the service's fields.
pub(crate) fn says(field: &str, text: &str) -> Reply {
    Reply::Body(format!("{{\n    \"{field}\": \"{text}\"\n}}"))
}

pub(crate) fn period(start: &str, end: &str) -> Period {
    Period { start: start.parse().unwrap(), end: end.parse().unwrap() }
}

pub(crate) fn symbol(text: &str) -> Symbol {
    text.parse().unwrap()
}
