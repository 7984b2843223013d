use std::net::{TcpListener, TcpStream};

use super::*;

const PATIENCE: HeartbeatTimeouts =
    HeartbeatTimeouts { silent: Duration::from_secs(7), stuck: Some(Duration::from_secs(60)) };

fn seen(rank: usize, silent_s: u64, moves: u64, unmoved_s: u64) -> PeerStatus {
    PeerStatus {
        rank,
        is_gone: false,
        silent_for: Duration::from_secs(silent_s),
        moves,
        unmoved_for: Duration::from_secs(unmoved_s),
    }
}

#[test]
fn slow_work_is_no_trouble_and_silence_is() {
    // Rank 2 has worked for 59 s while the others wait for it.
    let all = [seen(0, 0, 11, 59), seen(1, 1, 11, 59), seen(2, 7, 10, 59)];
    assert_eq!(trouble(&all, PATIENCE), None);
    let silent = [all[0], all[1], seen(2, 8, 10, 59)];
    let expected = Some((2, PeerFault::Silent(Duration::from_secs(8))));
    assert_eq!(trouble(&silent, PATIENCE), expected);
    let died = [silent[0], PeerStatus { is_gone: true, ..silent[1] }, silent[2]];
    assert_eq!(trouble(&died, PATIENCE), Some((1, PeerFault::Died)));
}

#[test]
fn endless_work_and_endless_waiting_are_trouble_in_the_end() {
    let (waiting, working) = (seen(0, 0, 11, 61), seen(2, 0, 10, 61));
    let stuck = Some((2, PeerFault::Stuck(Duration::from_secs(61))));
    assert_eq!(trouble(&[waiting, working], PATIENCE), stuck);
    let all = Some((0, PeerFault::Deadlock(Duration::from_secs(61))));
    assert_eq!(trouble(&[waiting, PeerStatus { rank: 1, ..waiting }], PATIENCE), all);
    assert_eq!(trouble(&[waiting, seen(1, 0, 11, 60)], PATIENCE), None);
    assert_eq!(trouble(&[waiting, working], HeartbeatTimeouts { stuck: None, ..PATIENCE }), None);
}

#[test]
fn an_error_line_names_the_rank_its_trouble_and_the_remedy() {
    let line = error_line("rank 2 (MSFT)", PeerFault::Silent(Duration::from_millis(7_600)));
    assert!(line.starts_with("error: rank 2 (MSFT) sent no heartbeat for 8 s"), "{line}");
    assert!(line.contains("ranks.timeout_s") && line.contains("--resume"), "{line}");
    assert!(!line.contains('\n'), "{line}");
}

#[test]
fn a_quarter_of_the_time_is_for_ending_the_job() {
    let of = HeartbeatTimeouts::from_seconds;
    let silent = Duration::from_secs(6);
    assert_eq!(of(8.0, 0.0), Some(HeartbeatTimeouts { silent, stuck: None }));
    assert_eq!(
        of(8.0, f64::INFINITY),
        Some(HeartbeatTimeouts { silent, stuck: Some(Duration::MAX) })
    );
    assert_eq!(of(0.0, 60.0), None);
}

#[test]
fn moves_are_odd_while_waiting() {
    let pulse = Pulse::new();
    let moves = || pulse.moves.load(Ordering::Relaxed);
    pulse.work();
    assert_eq!(moves(), 2);
    pulse.wait();
    pulse.wait();
    assert_eq!(moves(), 3);
    pulse.work();
    pulse.work();
    assert_eq!(moves(), 6);
}

/// Both ends of a connection.
pub(super) fn pair() -> (Peer, Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let other = listener.accept().unwrap().0;
    (Peer::new(1, one).unwrap(), Peer::new(0, other).unwrap())
}

/// Listens until `news` is true.
fn listen_until(peer: &mut Peer, news: fn(&Peer) -> bool) {
    while !news(peer) {
        peer.receive(Instant::now());
    }
}

#[test]
fn heartbeats_arrive_and_a_farewell_is_not_a_death() {
    let (mut here, mut there) = pair();
    there.send(ALIVE, 5);
    listen_until(&mut here, |peer| peer.moves == 5);
    assert!(here.left.is_none() && !here.is_gone);
    there.send(LEAVING, 6);
    drop(there);
    listen_until(&mut here, |peer| peer.is_gone);
    assert!(here.left.is_some() && here.moves == 6, "the farewell came before the end");

    let (mut here, there) = pair();
    drop(there);
    listen_until(&mut here, |peer| peer.is_gone);
    assert!(here.left.is_none());
}
