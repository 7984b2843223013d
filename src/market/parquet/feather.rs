//! Whether an Arrow IPC file claims no more than it can hold: polars makes room for as many values
//! as a batch says that it has, before it reads them.
//!
//! Apache Arrow, "Arrow columnar format", sections "IPC file format" and "Encapsulated message
//! format".

use planus::ReadAsRoot;
use polars_arrow_format::ipc::{FooterRef, MessageHeaderRef, MessageRef, RecordBatchRef};

use super::is_plausible;

/// Behind the footer: its length, and the magic word.
const TAIL_BYTES: usize = 10;
/// Of a value in a buffer, at most.
const WIDEST: usize = 16;

/// Whether every count in the file's footer and batches is possible in a file of its size.
pub(super) fn claims_are_plausible(bytes: &[u8]) -> bool {
    batches_are_plausible(bytes).unwrap_or(false)
}

/// None where something cannot be read at all.
fn batches_are_plausible(bytes: &[u8]) -> Option<bool> {
    let end = bytes.len().checked_sub(TAIL_BYTES)?;
    let length = u32::from_le_bytes(bytes[end..end + 4].try_into().ok()?) as usize;
    let footer = FooterRef::read_as_root(bytes.get(end.checked_sub(length)?..end)?).ok()?;
    let blocks = [footer.dictionaries().ok()?, footer.record_batches().ok()?];
    for block in blocks.iter().flatten().flat_map(|blocks| blocks.iter()) {
        let start = usize::try_from(block.offset()).ok()?;
        let head_bytes = usize::try_from(block.meta_data_length()).ok()?;
        let body_bytes = usize::try_from(block.body_length()).ok()?;
        let body_start = start.checked_add(head_bytes)?;
        let head = bytes.get(start..body_start)?;
        let body = bytes.get(body_start..body_start.checked_add(body_bytes)?)?;
        // Newer files have a mark before the length of the message.
        let prefix = if head.starts_with(&[0xff; 4]) { 8 } else { 4 };
        let message = MessageRef::read_as_root(head.get(prefix..)?).ok()?;
        let batch = match message.header().ok()?? {
            MessageHeaderRef::RecordBatch(batch) => batch,
            MessageHeaderRef::DictionaryBatch(dictionary) => dictionary.data().ok()??,
            _ => return Some(false),
        };
        if !batch_is_plausible(&batch, body, bytes.len())? {
            return Some(false);
        }
    }
    Some(true)
}

fn batch_is_plausible(batch: &RecordBatchRef<'_>, body: &[u8], file_bytes: usize) -> Option<bool> {
    let fits =
        |count: i64| usize::try_from(count).is_ok_and(|count| is_plausible(count, file_bytes));
    let nodes = batch.nodes().ok()?;
    let mut nodes = nodes.iter().flat_map(|nodes| nodes.iter());
    if !fits(batch.length().ok()?)
        || !nodes.all(|node| fits(node.length()) && fits(node.null_count()))
    {
        return Some(false);
    }
    let is_compressed = batch.compression().ok()?.is_some();
    let buffers = batch.buffers().ok()?;
    for buffer in buffers.iter().flat_map(|buffers| buffers.iter()) {
        let start = usize::try_from(buffer.offset()).ok()?;
        let length = usize::try_from(buffer.length()).ok()?;
        let content = body.get(start..start.checked_add(length)?)?;
        // A compressed buffer begins with its length before; -1 if it was left as it is.
        if let Some(claim) = content.first_chunk::<8>().filter(|_| is_compressed) {
            let claim = i64::from_le_bytes(*claim);
            let most =
                usize::try_from(claim).is_ok_and(|claim| is_plausible(claim / WIDEST, file_bytes));
            if claim != -1 && !most {
                return Some(false);
            }
        }
    }
    Some(true)
}
