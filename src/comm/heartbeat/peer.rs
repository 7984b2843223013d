//! The connection to another rank's watch, and its messages.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use super::PeerStatus;

/// A heartbeat: one of these bytes, then the sender's moves (u64, little endian).
pub(crate) const ALIVE: u8 = b'.';
/// Alive, and told to stop: rank 0 decides when the job stops, and may not have been told.
pub(crate) const STOPPING: u8 = b'?';
pub(crate) const LEAVING: u8 = b'!';
const WORD_BYTES: usize = 9;

/// Another rank's watch.
pub(crate) struct Peer {
    pub(super) rank: usize,
    stream: TcpStream,
    pub(super) address: SocketAddr,
    /// Of this end of the connection.
    pub(super) own_port: u16,
    received: Vec<u8>,
    pub(super) heard: Instant,
    pub(super) moves: u64,
    pub(super) moved: Instant,
    pub(super) is_gone: bool,
    pub(super) is_stopping: bool,
    /// When it announced that it exits.
    pub(super) left: Option<Instant>,
}

impl Peer {
    pub(crate) fn new(rank: usize, stream: TcpStream) -> io::Result<Peer> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let now = Instant::now();
        Ok(Peer {
            rank,
            address: stream.peer_addr()?,
            own_port: stream.local_addr()?.port(),
            stream,
            received: Vec::new(),
            heard: now,
            moves: 0,
            moved: now,
            is_gone: false,
            is_stopping: false,
            left: None,
        })
    }

    pub(super) fn receive(&mut self, now: Instant) {
        let mut bytes = [0; 64 * WORD_BYTES];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => self.is_gone = true,
                Ok(count) => {
                    self.received.extend(&bytes[..count]);
                    continue;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(_) => self.is_gone = true,
            }
            break;
        }
        let words = self.received.len() / WORD_BYTES * WORD_BYTES;
        for word in self.received.drain(..words).collect::<Vec<u8>>().chunks_exact(WORD_BYTES) {
            self.heard = now;
            let moves = u64::from_le_bytes(word[1..].try_into().expect("eight bytes of a word"));
            if moves != self.moves {
                (self.moves, self.moved) = (moves, now);
            }
            self.is_stopping |= word[0] == STOPPING;
            if word[0] == LEAVING && self.left.is_none() {
                self.left = Some(now);
            }
        }
    }

    /// Sends a heartbeat. A failed write is not an error: the next round sends another, and a lost
    /// peer is found when reading.
    pub(super) fn send(&mut self, kind: u8, moves: u64) {
        let mut word = [kind; WORD_BYTES];
        word[1..].copy_from_slice(&moves.to_le_bytes());
        let _ = self.stream.write(&word);
    }

    pub(super) fn seen(&self, now: Instant) -> PeerStatus {
        PeerStatus {
            rank: self.rank,
            is_gone: self.is_gone,
            silent_for: now - self.heard,
            moves: self.moves,
            unmoved_for: now - self.moved,
        }
    }
}
