//! Requests and replies over MPI.

use std::time::{Duration, Instant};

use mpi::point_to_point::{Destination, Source};
use mpi::topology::Communicator;

use super::{MpiComm, pause_after};
use crate::comm::CommError;
use crate::comm::heartbeat::PULSE;
use crate::comm::mailbox::{Mailbox, ServerLink};

const QUESTION: i32 = 3;
const ANSWER: i32 = 4;

impl Mailbox for MpiComm {
    fn senders(&self) -> usize {
        self.size - 1
    }

    fn next(&self, timeout: Duration) -> Option<(usize, Vec<u8>)> {
        let since = Instant::now();
        PULSE.wait();
        loop {
            let any = self.world.any_process();
            if let Some(status) = any.immediate_probe_with_tag(QUESTION) {
                let from = self.world.process_at_rank(status.source_rank());
                let (bytes, _) = from.receive_vec_with_tag::<u8>(QUESTION);
                PULSE.work();
                return Some((status.source_rank() as usize - 1, bytes));
            }
            if since.elapsed() >= timeout {
                return None;
            }
            pause_after(since.elapsed());
        }
    }

    /// Returns once the client has started to receive, which it does as soon as it has sent its
    /// request.
    fn answer(&self, sender: usize, bytes: Vec<u8>) {
        self.world.process_at_rank(sender as i32 + 1).send_with_tag(&bytes[..], ANSWER);
    }
}

impl ServerLink for MpiComm {
    fn ask(&self, bytes: Vec<u8>) -> Result<Vec<u8>, CommError> {
        let root = self.world.process_at_rank(0);
        PULSE.wait();
        root.send_with_tag(&bytes[..], QUESTION);
        let since = Instant::now();
        while root.immediate_probe_with_tag(ANSWER).is_none() {
            pause_after(since.elapsed());
        }
        let (answer, _) = root.receive_vec_with_tag::<u8>(ANSWER);
        PULSE.work();
        Ok(answer)
    }
}
