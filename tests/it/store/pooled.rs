//! Connections are few and reused; a listing is asked for once.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use dqn_trader::market::store::{AzureStore, Store};

use super::server::{self, Server};
use super::{key, list};

/// How a server was used.
#[derive(Default)]
struct Use {
    connections: AtomicUsize,
    /// Requests that are being answered. A connection that the client has closed and another one
    /// replaces may be seen as open for a moment, so connections are not counted that way.
    at_work: AtomicUsize,
    most_at_work: AtomicUsize,
    requests: AtomicUsize,
}

/// A server that keeps its connections: empty listings, and `day` for every blob after a while.
fn keeping(used: Arc<Use>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, used) = (stream.unwrap(), used.clone());
            used.connections.fetch_add(1, Ordering::SeqCst);
            thread::spawn(move || answer_all(stream, &used));
        }
    });
    address
}

fn answer_all(mut stream: TcpStream, used: &Use) {
    stream.set_nodelay(true).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    while let Some(Ok(first)) = lines.next() {
        while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        used.requests.fetch_add(1, Ordering::SeqCst);
        let at_work = used.at_work.fetch_add(1, Ordering::SeqCst) + 1;
        used.most_at_work.fetch_max(at_work, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(3));
        used.at_work.fetch_sub(1, Ordering::SeqCst);
        let answer = match first.contains("comp=list") {
            true => server::page(&[], ""),
            false => server::blob("day"),
        };
        let answer = answer.unwrap().replace("Connection: close\r\n", "");
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

#[test]
fn connections_are_reused_and_no_more_than_32() {
    let used = Arc::new(Use::default());
    let address = keeping(used.clone());
    let text = server::connection_string(&format!("{address}/fake"));
    let store = AzureStore::connect(&text, "days").unwrap();
    thread::scope(|scope| {
        for at in 0..64 {
            let store = &store;
            scope.spawn(move || {
                for day in 1..=25 {
                    let name = key("AAPL", &format!("20{at:02}-01-{day:02}"));
                    assert_eq!(store.get(&name).unwrap(), b"day");
                }
            });
        }
    });
    let of = |count: &AtomicUsize| count.load(Ordering::SeqCst);
    assert_eq!(of(&used.requests), 1 + 64 * 25);
    assert!(of(&used.most_at_work) <= 32, "{} requests at once", of(&used.most_at_work));
    assert!(of(&used.connections) <= 64, "{} connections in all", of(&used.connections));
}

#[test]
fn a_listing_is_asked_for_once_until_something_is_written() {
    let day = key("AAPL", "2020-01-03");
    let server = Server::start(move |line, _| match line {
        _ if line.starts_with("PUT") => server::written(),
        _ if line.contains("delimiter") => server::page(&[], ""),
        _ => server::page(&[&day], ""),
    });
    let store = AzureStore::connect(&server.connection_string(), "days").unwrap();
    let asked = |year: &str| server.count(&format!("prefix=stocks_intraday%2FAAPL%2F{year}%2F"));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(list(&store, "AAPL", "2020-01-01", "2020-12-31").len(), 1));
        }
    });
    assert_eq!(list(&store, "AAPL", "2020-01-04", "2020-12-31").len(), 0);
    assert_eq!(asked("2020"), 1);
    assert_eq!(list(&store, "AAPL", "2019-06-01", "2020-12-31").len(), 1);
    assert_eq!((asked("2019"), asked("2020")), (1, 1));
    store.put(&key("AAPL", "2020-01-06"), b"day").unwrap();
    assert_eq!(list(&store, "AAPL", "2019-06-01", "2020-12-31").len(), 1);
    assert_eq!((asked("2019"), asked("2020")), (1, 2));
}
