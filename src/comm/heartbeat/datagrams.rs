//! Datagrams beside the connections. When the network was gone, TCP sends again only after about as
//! long as that took, so an outage of six seconds is a silence of twelve. A datagram of the next
//! round arrives at once. It says only that its sender's watch is alive.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Instant;

use super::peer::Peer;

/// As many are read in a round, besides those of the peers.
const STRANGERS: usize = 64;

/// None where the port is taken. Then, and where a firewall lets none pass, connections must do.
pub(super) struct Datagrams(Option<UdpSocket>);

impl Datagrams {
    /// From and to the ports of the connections to other machines.
    pub(super) fn beside(peers: &[Peer]) -> Datagrams {
        let remote = peers.iter().find(|peer| !peer.address.ip().is_loopback());
        Datagrams(remote.and_then(|peer| open(peer.own_port)))
    }

    pub(super) fn exchange(&self, peers: &mut [Peer], now: Instant) {
        let Some(socket) = &self.0 else { return };
        for _ in 0..peers.len() + STRANGERS {
            let Ok((_, from)) = socket.recv_from(&mut [0]) else { break };
            for peer in peers.iter_mut().filter(|peer| peer.address == from) {
                peer.heard = now;
            }
        }
        for peer in peers {
            // A lost one is like one that was not sent.
            let _ = socket.send_to(b".", peer.address);
        }
    }
}

fn open(port: u16) -> Option<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).ok()?;
    socket.set_nonblocking(true).ok()?;
    Some(socket)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::pair;
    use super::*;

    #[test]
    fn a_peer_whose_connection_is_silent_is_heard() {
        let (here, there) = pair();
        let ports = [here.own_port, there.own_port];
        let [own, others] = ports.map(|port| Datagrams(Some(open(port).unwrap())));
        let (mut here, mut there) = ([here], [there]);
        let later = here[0].heard + Duration::from_secs(9);
        others.exchange(&mut there, later);
        while here[0].heard < later {
            own.exchange(&mut here, later);
        }
    }

    #[test]
    fn a_stranger_is_not_a_peer() {
        let (here, _there) = pair();
        let (port, before, mut here) = (here.own_port, here.heard, [here]);
        let own = Datagrams(Some(open(port).unwrap()));
        let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
        stranger.send_to(b".", ("127.0.0.1", port)).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        own.exchange(&mut here, before + Duration::from_secs(9));
        assert_eq!(here[0].heard, before);
    }

    #[test]
    fn ranks_of_one_machine_need_none() {
        let (here, _there) = pair();
        assert!(Datagrams::beside(&[here]).0.is_none());
    }
}
