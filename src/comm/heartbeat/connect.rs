//! How the watches connect: rank 0 opens a port and broadcasts its address over MPI.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::peer::Peer;

/// Timeout of one address; a reachable machine answers within milliseconds.
const CONNECT: Duration = Duration::from_secs(1);
/// Timeout of the handshake on a worker. Rank 0 handles one worker after the other.
const GREET: Duration = Duration::from_secs(10);
/// Timeout of the handshake on rank 0: a client that sends nothing is not one of the ranks.
const STRANGER: Duration = Duration::from_secs(1);
const TOKEN_BYTES: usize = 16;
const PAUSE: Duration = Duration::from_millis(2);

/// Where rank 0 listens, and the token that identifies its ranks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Invitation {
    token: [u8; TOKEN_BYTES],
    port: u16,
    addresses: Vec<IpAddr>,
    host: String,
}

/// On rank 0: opens a port (0: a free one), on the loopback interface if all ranks are on this
/// machine.
pub(crate) fn open(one_machine: bool, port: u16) -> io::Result<(TcpListener, Invitation)> {
    let reach = if one_machine { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
    let listener = TcpListener::bind((reach, port))?;
    listener.set_nonblocking(true)?;
    let mut token = [0; TOKEN_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut token)?;
    let mut addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    let mut host = String::new();
    if !one_machine {
        let table = std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
        addresses.extend(own_addresses(&table).into_iter().map(IpAddr::V4));
        host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    }
    let port = listener.local_addr()?.port();
    Ok((listener, Invitation { token, port, addresses, host: host.trim().into() }))
}

/// On rank 0: accepts connections until `expected` ranks are connected or all have tried.
/// `on_missing` receives the first rank that is not connected yet.
pub(crate) fn accept(
    listener: &TcpListener,
    invitation: &Invitation,
    expected: usize,
    all_tried: &AtomicBool,
    mut on_missing: impl FnMut(usize),
) -> Vec<Peer> {
    let mut peers: Vec<Peer> = Vec::new();
    while peers.len() < expected && !all_tried.load(Ordering::Relaxed) {
        let first_missing = (1..=expected).find(|&rank| peers.iter().all(|p| p.rank != rank));
        first_missing.into_iter().for_each(&mut on_missing);
        match listener.accept() {
            Ok((stream, _)) => peers.extend(greet(stream, invitation, expected)),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
    peers
}

/// None for a client with a wrong token or rank.
fn greet(mut stream: TcpStream, invitation: &Invitation, expected: usize) -> Option<Peer> {
    let mut shake_hands = || -> io::Result<usize> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(STRANGER))?;
        let mut token = [0; TOKEN_BYTES];
        let mut rank = [0; 8];
        stream.read_exact(&mut token)?;
        stream.read_exact(&mut rank)?;
        let rank = u64::from_le_bytes(rank);
        if token != invitation.token || !(1..=expected as u64).contains(&rank) {
            return Err(ErrorKind::PermissionDenied.into());
        }
        stream.write_all(&answer(invitation))?;
        Ok(rank as usize)
    };
    let rank = shake_hands().ok()?;
    Peer::new(rank, stream).ok()
}

/// Rank 0's reply to the token.
fn answer(invitation: &Invitation) -> [u8; TOKEN_BYTES] {
    invitation.token.map(|byte| !byte)
}

/// On a worker: connects to the first reachable address of rank 0. Errors: that of the last
/// address.
pub(crate) fn join(invitation: &Invitation, rank: usize) -> io::Result<Peer> {
    let Invitation { port, addresses, host, .. } = invitation;
    let known = addresses.iter().map(|&address| SocketAddr::new(address, *port));
    let looked_up = (!host.is_empty()).then(|| (host.as_str(), *port).to_socket_addrs());
    let looked_up = looked_up.and_then(Result::ok).into_iter().flatten();
    let mut failed = io::Error::from(ErrorKind::AddrNotAvailable);
    for address in known.chain(looked_up) {
        match try_one(address, invitation, rank) {
            Ok(peer) => return Ok(peer),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn try_one(address: SocketAddr, invitation: &Invitation, rank: usize) -> io::Result<Peer> {
    let mut stream = TcpStream::connect_timeout(&address, CONNECT)?;
    stream.set_read_timeout(Some(GREET))?;
    stream.write_all(&invitation.token)?;
    stream.write_all(&(rank as u64).to_le_bytes())?;
    let mut answered = [0; TOKEN_BYTES];
    stream.read_exact(&mut answered)?;
    if answered != answer(invitation) {
        return Err(ErrorKind::PermissionDenied.into());
    }
    Peer::new(0, stream)
}

/// Non-loopback addresses of this machine, parsed from `/proc/net/fib_trie`.
fn own_addresses(table: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let mut address = None;
    for line in table.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("|-- ") {
            address = text.parse().ok();
        } else if line == "/32 host LOCAL" {
            found.extend(address.filter(|one: &Ipv4Addr| !one.is_loopback()));
        }
    }
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn own_addresses_are_those_that_are_local_to_the_host() {
        let table = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n  \
            +-- 10.1.0.0/16 2 0 2\n        |-- 10.1.0.7\n           /32 host LOCAL\n        \
            |-- 10.1.255.255\n           /32 link BROADCAST\n        |-- 127.0.0.1\n           \
            /32 host LOCAL\nLocal:\n        |-- 10.1.0.7\n           /32 host LOCAL\n";
        assert_eq!(own_addresses(table), [Ipv4Addr::new(10, 1, 0, 7)]);
    }

    #[test]
    fn a_port_that_is_named_is_the_one_that_is_opened() {
        let (listener, invitation) = open(true, 0).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!((invitation.port, port > 0), (port, true));
        assert_eq!(open(true, port).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(listener);
        let (again, _) = open(true, port).unwrap();
        assert_eq!(again.local_addr().unwrap().port(), port);
    }

    #[test]
    fn a_rank_is_accepted_by_its_token_only() {
        let (listener, invitation) = open(false, 0).unwrap();
        let (tried, knows) = (AtomicBool::new(false), invitation.clone());
        let guess = Invitation { token: [7; TOKEN_BYTES], ..invitation.clone() };
        let missing = AtomicUsize::new(0);
        let peers = std::thread::scope(|scope| {
            let accepting = scope.spawn(|| {
                accept(&listener, &invitation, 2, &tried, |rank| {
                    missing.store(rank, Ordering::Relaxed);
                })
            });
            assert!(join(&guess, 1).is_err());
            let peer = join(&knows, 2).unwrap();
            assert!(join(&knows, 3).is_err(), "there is no such rank");
            tried.store(true, Ordering::Relaxed);
            assert_eq!(peer.rank, 0);
            accepting.join().unwrap()
        });
        assert_eq!(peers.iter().map(|peer| peer.rank).collect::<Vec<_>>(), [2]);
        assert_eq!(missing.into_inner(), 1);
    }
}
