//! Questions and answers between workers that do not wait for each other and a server that
//! answers whoever comes. Beside [`super::Comm`], whose exchanges are made by all ranks together.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use super::error::CommError;

/// The server's end.
pub trait Mailbox {
    /// How many may ask.
    fn senders(&self) -> usize;

    /// The next question and who asks; None where none comes for about `patience`. No bytes: the
    /// sender is gone for good.
    fn next(&self, patience: Duration) -> Option<(usize, Vec<u8>)>;

    /// `sender` has asked and waits.
    fn answer(&self, sender: usize, bytes: Vec<u8>);
}

/// A worker's end.
pub trait Line {
    /// Asks the server and waits for the answer. Errors: the server is gone.
    fn ask(&self, bytes: Vec<u8>) -> Result<Vec<u8>, CommError>;
}

/// What a worker says when nobody answers: not what went wrong, but what comes of it.
pub const SERVER_GONE: &str = "the parameter server broke off";

/// Between threads of one process.
pub struct LocalMailbox {
    questions: Receiver<(usize, Vec<u8>)>,
    answers: Vec<Sender<Vec<u8>>>,
}

/// Hangs up when it is dropped.
pub struct LocalLine {
    sender: usize,
    questions: Sender<(usize, Vec<u8>)>,
    answers: Receiver<Vec<u8>>,
}

/// A mailbox in this process, and a line to it for each of so many threads.
pub fn local(senders: usize) -> (LocalMailbox, Vec<LocalLine>) {
    let (questions, received) = channel();
    let (mut answers, mut lines) = (Vec::new(), Vec::new());
    for sender in 0..senders {
        let (to, from) = channel();
        answers.push(to);
        lines.push(LocalLine { sender, questions: questions.clone(), answers: from });
    }
    (LocalMailbox { questions: received, answers }, lines)
}

impl Mailbox for LocalMailbox {
    fn senders(&self) -> usize {
        self.answers.len()
    }

    fn next(&self, patience: Duration) -> Option<(usize, Vec<u8>)> {
        match self.questions.recv_timeout(patience) {
            Ok(question) => Some(question),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                // Nobody is left to ask; whoever waits for that must not wait in circles.
                std::thread::sleep(patience);
                None
            }
        }
    }

    fn answer(&self, sender: usize, bytes: Vec<u8>) {
        // A thread that broke off is found where it is joined.
        let _ = self.answers[sender].send(bytes);
    }
}

impl Line for LocalLine {
    fn ask(&self, bytes: Vec<u8>) -> Result<Vec<u8>, CommError> {
        let gone = || CommError::Shared(SERVER_GONE.into());
        self.questions.send((self.sender, bytes)).map_err(|_| gone())?;
        self.answers.recv().map_err(|_| gone())
    }
}

impl Drop for LocalLine {
    fn drop(&mut self) {
        // Where the server is gone, it does not mind.
        let _ = self.questions.send((self.sender, Vec::new()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_gets_the_answer_to_their_own_question() {
        let (mailbox, lines) = local(3);
        let ask = |line: &LocalLine| {
            let said = (0..50u8).map(|i| line.ask(vec![line.sender as u8, i]).unwrap());
            said.collect::<Vec<_>>()
        };
        let said: Vec<Vec<Vec<u8>>> = std::thread::scope(|scope| {
            let asking: Vec<_> =
                lines.into_iter().map(|line| scope.spawn(move || ask(&line))).collect();
            let mut asked = 0;
            while let Some((sender, question)) = mailbox.next(Duration::from_secs(5)) {
                asked += 1;
                // Each hangs up when it has asked all.
                if let [who, what] = question[..] {
                    assert_eq!(usize::from(who), sender);
                    mailbox.answer(sender, vec![who + 100, what]);
                }
                if asked == 150 + 3 {
                    break;
                }
            }
            asking.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for (sender, said) in said.iter().enumerate() {
            let expected: Vec<_> = (0..50u8).map(|i| vec![sender as u8 + 100, i]).collect();
            assert_eq!(*said, expected);
        }
    }

    #[test]
    fn a_server_that_is_gone_is_an_error_and_nobody_asking_is_none() {
        let (mailbox, lines) = local(1);
        assert!(mailbox.next(Duration::from_millis(1)).is_none());
        drop(mailbox);
        assert!(lines[0].ask(vec![1]).is_err());
    }
}
