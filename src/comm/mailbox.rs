//! Requests and replies between a server and workers that do not wait for each other, as opposed to
//! [`super::Comm`], whose calls are collective.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use super::error::CommError;

/// The server's end.
pub trait Mailbox {
    /// Number of clients.
    fn senders(&self) -> usize;

    /// The next request and its sender; None if none arrives within about `timeout`. An empty
    /// request means that the sender has disconnected.
    fn next(&self, timeout: Duration) -> Option<(usize, Vec<u8>)>;

    /// Replies to `sender`, which is waiting for it.
    fn answer(&self, sender: usize, bytes: Vec<u8>);
}

/// A worker's end.
pub trait ServerLink {
    /// Sends a request and waits for the reply. Errors: the server is gone.
    fn ask(&self, bytes: Vec<u8>) -> Result<Vec<u8>, CommError>;
}

/// A worker's error when the server is gone. It names no cause: the server reports that itself.
pub(crate) const SERVER_GONE: &str = "the parameter server broke off";

/// A mailbox between threads of one process.
pub(crate) struct LocalMailbox {
    questions: Receiver<(usize, Vec<u8>)>,
    answers: Vec<Sender<Vec<u8>>>,
}

/// A client of [`LocalMailbox`]. Disconnects when it is dropped.
pub(crate) struct LocalServerLink {
    sender: usize,
    questions: Sender<(usize, Vec<u8>)>,
    answers: Receiver<Vec<u8>>,
}

/// A mailbox in this process and `senders` clients of it.
pub(crate) fn local(senders: usize) -> (LocalMailbox, Vec<LocalServerLink>) {
    let (questions, received) = channel();
    let (mut answers, mut lines) = (Vec::new(), Vec::new());
    for sender in 0..senders {
        let (to, from) = channel();
        answers.push(to);
        lines.push(LocalServerLink { sender, questions: questions.clone(), answers: from });
    }
    (LocalMailbox { questions: received, answers }, lines)
}

impl Mailbox for LocalMailbox {
    fn senders(&self) -> usize {
        self.answers.len()
    }

    fn next(&self, timeout: Duration) -> Option<(usize, Vec<u8>)> {
        match self.questions.recv_timeout(timeout) {
            Ok(question) => Some(question),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                // All clients are gone: sleep, so that a caller's loop does not spin.
                std::thread::sleep(timeout);
                None
            }
        }
    }

    fn answer(&self, sender: usize, bytes: Vec<u8>) {
        // A client that panicked is reported where its thread is joined.
        let _ = self.answers[sender].send(bytes);
    }
}

impl ServerLink for LocalServerLink {
    fn ask(&self, bytes: Vec<u8>) -> Result<Vec<u8>, CommError> {
        let gone = || CommError::Shared(SERVER_GONE.into());
        self.questions.send((self.sender, bytes)).map_err(|_| gone())?;
        self.answers.recv().map_err(|_| gone())
    }
}

impl Drop for LocalServerLink {
    fn drop(&mut self) {
        // If the server is gone, there is nobody to notify.
        let _ = self.questions.send((self.sender, Vec::new()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_gets_the_reply_to_its_own_request() {
        let (mailbox, lines) = local(3);
        let ask = |line: &LocalServerLink| {
            let results = (0..50u8).map(|i| line.ask(vec![line.sender as u8, i]).unwrap());
            results.collect::<Vec<_>>()
        };
        let results: Vec<Vec<Vec<u8>>> = std::thread::scope(|scope| {
            let handles: Vec<_> =
                lines.into_iter().map(|line| scope.spawn(move || ask(&line))).collect();
            let mut received_count = 0;
            while let Some((sender, question)) = mailbox.next(Duration::from_secs(5)) {
                received_count += 1;
                // A client disconnects after its last request.
                if let [who, what] = question[..] {
                    assert_eq!(usize::from(who), sender);
                    mailbox.answer(sender, vec![who + 100, what]);
                }
                if received_count == 150 + 3 {
                    break;
                }
            }
            handles.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for (sender, results) in results.iter().enumerate() {
            let expected: Vec<_> = (0..50u8).map(|i| vec![sender as u8 + 100, i]).collect();
            assert_eq!(*results, expected);
        }
    }

    #[test]
    fn a_lost_server_is_an_error_and_no_request_is_none() {
        let (mailbox, lines) = local(1);
        assert!(mailbox.next(Duration::from_millis(1)).is_none());
        drop(mailbox);
        assert!(lines[0].ask(vec![1]).is_err());
    }
}
