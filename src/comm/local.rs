//! [`Comm`] in a single process, which is rank 0 and all workers at once.

use std::path::{Path, PathBuf};

use super::comm::{Comm, MessageFor, MessageStamp, OnMessage, StreamWork};
use super::error::CommError;
use super::ranks::Ranks;
use super::tree::{self, Node, PartialSum};

/// The only process: it sends nothing and waits for nobody.
pub struct LocalComm;

impl Comm for LocalComm {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn library(&self) -> String {
        String::new()
    }

    fn gather(
        &self,
        _stamp: MessageStamp,
        mine: &[f32],
        _counts: &[usize],
        all: &mut [f32],
    ) -> Result<(), CommError> {
        all.copy_from_slice(mine);
        Ok(())
    }

    fn scatter(
        &self,
        _stamp: MessageStamp,
        all: &[f32],
        _counts: &[usize],
        mine: &mut [f32],
    ) -> Result<(), CommError> {
        mine.copy_from_slice(all);
        Ok(())
    }

    fn broadcast(&self, _stamp: MessageStamp, _values: &mut [f32]) -> Result<(), CommError> {
        Ok(())
    }

    fn sum(
        &self,
        _stamp: MessageStamp,
        mine: &mut [f32],
        ranks: Ranks,
        total: &mut [f32],
    ) -> Result<(), CommError> {
        let blocks = mine.chunks_exact_mut(total.len()).enumerate();
        let parts = blocks.map(|(stock, values)| PartialSum { node: Node::leaf(stock), values });
        let sum = tree::merge(parts.collect(), ranks.stocks);
        total.copy_from_slice(sum[0].values);
        Ok(())
    }

    fn broadcast_bytes(&self, _bytes: &mut Vec<u8>) {}

    fn gather_bytes(&self, mine: &[u8]) -> Vec<Vec<u8>> {
        vec![mine.to_vec()]
    }

    fn scatter_bytes(&self, message_for: &mut MessageFor<'_>) -> Vec<u8> {
        message_for(0)
    }

    fn stream_to_root(&self, work: &mut StreamWork<'_>, on_message: &mut OnMessage<'_>) {
        work(&mut |bytes| on_message(0, bytes.to_vec()));
    }

    fn share_file(&self, path: &Path) -> Result<PathBuf, CommError> {
        Ok(path.to_path_buf())
    }
}
