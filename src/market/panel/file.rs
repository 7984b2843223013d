//! The panel file: Arrow IPC with 2^k rows per record batch, so that it is written a few megabytes
//! at a time and a row is located by a shift. The only module that uses arrow2.
//!
//! Columns: `end_s` int64; `open`, `high`, `low`, `close`, `volume` lists of one double per stock;
//! `tradable` a list of one byte per stock; `features` a list of stocks x features floats. Names
//! and note are JSON in the schema's metadata under [`HEADER_KEY`]. A [`checksum`] ends the file.

use std::fs::File;
use std::io::{BufWriter, Cursor, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow2::array::{Array, FixedSizeListArray, PrimitiveArray};
use arrow2::buffer::Buffer;
use arrow2::chunk::Chunk;
use arrow2::datatypes::{DataType, Field, Schema};
use arrow2::io::ipc::read::{FileMetadata, read_file_metadata};
use arrow2::io::ipc::write::{FileWriter, WriteOptions};
use arrow2::mmap::mmap_unchecked;
use arrow2::types::NativeType;
use memmap2::Mmap;
use serde::{Deserialize, Serialize};

use super::{MarketError, PanelAbout, PanelRows, Symbol, checksum};
use crate::errors::Cause;
use crate::files::{Durability, write_whole};

const HEADER_KEY: &str = "dqn_trader_panel";
/// To be raised whenever the layout changes; a file of another version is rejected.
const VERSION: u32 = 2;
/// Size of a record batch: small relative to a panel, large relative to its header.
const BATCH_BYTES: usize = 8 << 20;

/// Header of the file, in the schema's metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct PanelHeader {
    version: u32,
    rows: usize,
    /// Every record batch but the last has 2^`batch_shift` rows.
    batch_shift: u32,
    pub(crate) stocks: Vec<Symbol>,
    pub(crate) feature_names: Vec<String>,
    pub(crate) note: String,
}

/// What is wrong with a file: a message, or the error of a reader.
type Wrong = Box<dyn std::error::Error + Send + Sync>;

/// The columns of one record batch, in the mapped file or in memory.
pub(super) struct MappedBatch {
    pub(crate) end_s: Buffer<i64>,
    pub(crate) open: Buffer<f64>,
    pub(crate) high: Buffer<f64>,
    pub(crate) low: Buffer<f64>,
    pub(crate) close: Buffer<f64>,
    pub(crate) volume: Buffer<f64>,
    pub(crate) tradable: Buffer<u8>,
    pub(crate) features: Buffer<f32>,
}

/// A validated, memory-mapped panel file, or rows in memory. The buffers keep either alive.
pub(super) struct MappedPanel {
    pub(crate) header: PanelHeader,
    pub(crate) rows: usize,
    batches: Vec<MappedBatch>,
}

impl MappedPanel {
    /// The batch that contains a row, and the row's index in it.
    #[inline]
    pub(crate) fn locate(&self, row: usize) -> (&MappedBatch, usize) {
        let shift = self.header.batch_shift;
        (&self.batches[row >> shift], row & ((1 << shift) - 1))
    }

    /// Rows that are in no file, as one batch.
    pub(crate) fn in_memory(about: PanelAbout, rows: PanelRows) -> MappedPanel {
        let PanelAbout { stocks, feature_names, rows: count, note } = about;
        assert_eq!(rows.end_s.len(), count, "[time]");
        check(&rows, stocks.len(), feature_names.len());
        let header = PanelHeader {
            version: VERSION,
            rows: count,
            batch_shift: count.next_power_of_two().ilog2(),
            stocks,
            feature_names,
            note,
        };
        MappedPanel { header, rows: count, batches: vec![MappedBatch::in_memory(rows)] }
    }

    /// Maps a file and verifies its checksum, which reads every byte.
    pub(crate) fn open(path: &Path) -> Result<MappedPanel, MarketError> {
        let map = map(path)?;
        if !checksum::is_intact(path, &map) {
            return Err(damaged(path, "its checksum is not that of its content"));
        }
        MappedPanel::read(map).map_err(|what| damaged(path, what))
    }

    /// Like [`MappedPanel::open`], for a file that has just been verified or written.
    pub(crate) fn open_verified(path: &Path) -> Result<MappedPanel, MarketError> {
        MappedPanel::read(map(path)?).map_err(|what| damaged(path, what))
    }

    /// The error says what is wrong with the file.
    fn read(map: Mmap) -> Result<MappedPanel, Wrong> {
        let content = checksum::content(&map).ok_or("it is too short")?;
        let metadata = read_file_metadata(&mut Cursor::new(content))?;
        let header: PanelHeader = match metadata.schema.metadata.get(HEADER_KEY) {
            Some(text) => serde_json::from_str(text)?,
            None => return Err("an Arrow file, but no panel".into()),
        };
        if header.version != VERSION {
            return Err(format!("panel format {}, expected {VERSION}", header.version).into());
        }
        if header.stocks.is_empty() || header.feature_names.is_empty() || header.batch_shift > 31 {
            return Err("its header makes no sense".into());
        }
        if metadata.schema.fields != fields(header.stocks.len(), header.feature_names.len())
            || !metadata.ipc_schema.is_little_endian
        {
            return Err("its columns are not those of a panel".into());
        }
        check_blocks(&metadata, content)?;

        let map = Arc::new(map);
        let spans = batch_spans(header.rows, header.batch_shift);
        if spans.len() != metadata.blocks.len() {
            return Err("record batches are missing".into());
        }
        let batches = spans
            .enumerate()
            .map(|(i, span)| MappedBatch::map(&metadata, map.clone(), i, span.len(), &header))
            .collect::<Result<_, Wrong>>()?;
        Ok(MappedPanel { rows: header.rows, header, batches })
    }
}

impl MappedBatch {
    fn in_memory(rows: PanelRows) -> MappedBatch {
        let tradable: Vec<u8> = rows.tradable.iter().map(|&x| x.into()).collect();
        MappedBatch {
            end_s: rows.end_s.into(),
            open: rows.open.into(),
            high: rows.high.into(),
            low: rows.low.into(),
            close: rows.close.into(),
            volume: rows.volume.into(),
            tradable: tradable.into(),
            features: rows.features.into(),
        }
    }

    fn map(
        metadata: &FileMetadata,
        map: Arc<Mmap>,
        index: usize,
        rows: usize,
        header: &PanelHeader,
    ) -> Result<MappedBatch, Wrong> {
        // SAFETY: the caller must guarantee valid offsets and text, of which these columns (numbers
        // and lists of fixed size, by `fields`) have none. arrow2 itself checks that a column's
        // buffer lies within the file, is aligned for its type and has the array's length;
        // `check_blocks` checks that the message lies within the file. Every bit pattern is a valid
        // value of these types. Null bitmaps, whose length arrow2 does not check, are only read if
        // a null count is above 0; `write`, the only writer of files with this header, writes none.
        let chunk = unsafe { mmap_unchecked(metadata, &Default::default(), map, index) }?;
        let stocks = header.stocks.len();
        let columns = chunk.arrays();
        Ok(MappedBatch {
            end_s: numbers(columns[0].as_ref(), rows)?,
            open: lists(columns[1].as_ref(), rows, stocks)?,
            high: lists(columns[2].as_ref(), rows, stocks)?,
            low: lists(columns[3].as_ref(), rows, stocks)?,
            close: lists(columns[4].as_ref(), rows, stocks)?,
            volume: lists(columns[5].as_ref(), rows, stocks)?,
            tradable: lists(columns[6].as_ref(), rows, stocks)?,
            features: lists(columns[7].as_ref(), rows, stocks * header.feature_names.len())?,
        })
    }
}

/// The mapped values of a column of numbers.
fn numbers<T: NativeType>(array: &dyn Array, rows: usize) -> Result<Buffer<T>, String> {
    match array.as_any().downcast_ref::<PrimitiveArray<T>>() {
        Some(array) if array.len() == rows && array.null_count() == 0 => Ok(array.values().clone()),
        _ => Err("a column has the wrong length".into()),
    }
}

/// The mapped values `[row, size]` of a column of lists.
fn lists<T: NativeType>(array: &dyn Array, rows: usize, size: usize) -> Result<Buffer<T>, String> {
    match array.as_any().downcast_ref::<FixedSizeListArray>() {
        Some(list) if list.null_count() == 0 => numbers(list.values().as_ref(), rows * size),
        _ => Err("a column has the wrong type".into()),
    }
}

/// Checks that the message and body of every record batch lie within the file, since arrow2 trusts
/// the footer.
fn check_blocks(metadata: &FileMetadata, bytes: &[u8]) -> Result<(), String> {
    for block in &metadata.blocks {
        let start = usize::try_from(block.offset).ok();
        let message = usize::try_from(block.meta_data_length).ok();
        let body = usize::try_from(block.body_length).ok();
        let inside = start.zip(message).zip(body).and_then(|((start, message), body)| {
            let end = start.checked_add(message)?.checked_add(body)?;
            let prefix = bytes.get(start..start.checked_add(8)?)?;
            let flatbuffer = i32::from_le_bytes([prefix[4], prefix[5], prefix[6], prefix[7]]);
            let flatbuffer = usize::try_from(flatbuffer).ok()?;
            let framed = prefix[..4] == [0xff; 4] && flatbuffer.checked_add(8)? <= message;
            (end <= bytes.len() && framed).then_some(())
        });
        inside.ok_or("a record batch does not lie within the file")?;
    }
    Ok(())
}

fn map(path: &Path) -> Result<Mmap, MarketError> {
    let file = File::open(path).map_err(|e| MarketError::Store {
        place: path.display().to_string(),
        what: format!("cannot open this panel: {e}"),
        hint: "check that it exists and can be read".into(),
        cause: Some(Cause::new(e)),
    })?;
    // SAFETY: a mapping is unsound if the file changes. Panel files are never written in place:
    // `write` fills a file of another name and renames it, and an older mapping keeps the older
    // file.
    unsafe { Mmap::map(&file) }.map_err(|e| damaged(path, e))
}

fn damaged(path: &Path, cause: impl Into<Wrong>) -> MarketError {
    let cause = cause.into();
    MarketError::File {
        file: path.display().to_string(),
        what: format!("not a usable panel file ({cause})"),
        hint: "delete it; it will be rebuilt from the bars".into(),
        cause: Some(Cause::new(cause)),
    }
}

/// Computes the numbers of the given rows.
type Rows<'a> = dyn Fn(Range<usize>) -> PanelRows + 'a;

pub(super) fn write(path: &Path, about: PanelAbout, rows: &Rows<'_>) -> Result<(), MarketError> {
    assert!(!about.stocks.is_empty() && !about.feature_names.is_empty(), "an empty panel");
    assert!(about.rows <= u32::MAX as usize, "rows are counted in 32 bits");
    let panel_bytes = row_bytes(&about) * about.rows;
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let failed = |e: std::io::Error| MarketError::Store {
        place: path.display().to_string(),
        what: format!("cannot write this panel: {e}"),
        hint: format!(
            "check that {} exists, is writable and has {} MB free",
            folder.display(),
            panel_bytes.div_ceil(1 << 20).max(1)
        ),
        cause: Some(Cause::new(e)),
    };
    let fill = |beside: &Path| {
        let mut file = File::options().read(true).write(true).truncate(true).open(beside)?;
        write_batches(&file, about, rows).map_err(|e| match e {
            arrow2::error::Error::Io(e) => e,
            other => std::io::Error::other(other),
        })?;
        // SAFETY: no other process writes to this file, and this one only past the mapped range,
        // after the mapping is dropped.
        let content = unsafe { Mmap::map(&file) }?;
        let trailer = checksum::trailer(path, &content);
        drop(content);
        file.write_all(&trailer)
    };
    // After a machine crash the name may refer to pages of zeros, which the checksum detects.
    write_whole(path, Durability::Unsynced, fill).map_err(failed)
}

fn write_batches(
    file: &File,
    about: PanelAbout,
    rows: &Rows<'_>,
) -> Result<(), arrow2::error::Error> {
    let header = PanelHeader {
        version: VERSION,
        rows: about.rows,
        batch_shift: (BATCH_BYTES / row_bytes(&about)).clamp(1 << 6, 1 << 20).ilog2(),
        stocks: about.stocks,
        feature_names: about.feature_names,
        note: about.note,
    };
    let text = serde_json::to_string(&header)
        .map_err(|e| arrow2::error::Error::External("panel header".into(), Box::new(e)))?;
    let schema = Schema {
        fields: fields(header.stocks.len(), header.feature_names.len()),
        metadata: [(HEADER_KEY.to_string(), text)].into(),
    };
    let buffered = BufWriter::new(file);
    let mut writer = FileWriter::try_new(buffered, schema, None, WriteOptions::default())?;
    let (stocks, mut before_s) = (header.stocks.len(), i64::MIN);
    for span in batch_spans(header.rows, header.batch_shift) {
        let part = rows(span.clone());
        assert_eq!(part.end_s.len(), span.len(), "[time]");
        check(&part, stocks, header.feature_names.len());
        assert!(before_s < part.end_s[0], "bar times must increase");
        before_s = part.end_s[span.len() - 1];
        writer.write(&chunk(part, stocks, header.feature_names.len()), None)?;
    }
    writer.finish()?;
    writer.into_inner().flush()?;
    Ok(())
}

/// The rows of each record batch.
fn batch_spans(rows: usize, batch_shift: u32) -> impl ExactSizeIterator<Item = Range<usize>> {
    let batch = 1usize << batch_shift;
    (0..rows.div_ceil(batch)).map(move |i| i * batch..rows.min((i + 1) * batch))
}

fn chunk(rows: PanelRows, stocks: usize, features: usize) -> Chunk<Box<dyn Array>> {
    let tradable: Vec<u8> = rows.tradable.iter().map(|&x| x.into()).collect();
    Chunk::new(vec![
        PrimitiveArray::from_vec(rows.end_s).boxed(),
        list_array(rows.open, stocks),
        list_array(rows.high, stocks),
        list_array(rows.low, stocks),
        list_array(rows.close, stocks),
        list_array(rows.volume, stocks),
        list_array(tradable, stocks),
        list_array(rows.features, stocks * features),
    ])
}

fn list_array<T: NativeType>(values: Vec<T>, size: usize) -> Box<dyn Array> {
    let data_type = list_type(T::PRIMITIVE.into(), size);
    FixedSizeListArray::new(data_type, PrimitiveArray::from_vec(values).boxed(), None).boxed()
}

fn list_type(item: DataType, size: usize) -> DataType {
    DataType::FixedSizeList(Box::new(Field::new("item", item, false)), size)
}

fn fields(stocks: usize, features: usize) -> Vec<Field> {
    let prices = || list_type(DataType::Float64, stocks);
    vec![
        Field::new("end_s", DataType::Int64, false),
        Field::new("open", prices(), false),
        Field::new("high", prices(), false),
        Field::new("low", prices(), false),
        Field::new("close", prices(), false),
        Field::new("volume", prices(), false),
        Field::new("tradable", list_type(DataType::UInt8, stocks), false),
        Field::new("features", list_type(DataType::Float32, stocks * features), false),
    ]
}

/// Bytes per panel row.
fn row_bytes(about: &PanelAbout) -> usize {
    8 + about.stocks.len() * (5 * 8 + 1 + 4 * about.feature_names.len())
}

fn check(rows: &PanelRows, stocks: usize, features: usize) {
    let cells = rows.end_s.len() * stocks;
    assert!(rows.end_s.is_sorted_by(|a, b| a < b), "bar times must increase");
    for column in [&rows.open, &rows.high, &rows.low, &rows.close, &rows.volume] {
        assert_eq!(column.len(), cells, "[time, stock]");
    }
    assert_eq!(rows.tradable.len(), cells, "[time, stock]");
    assert_eq!(rows.features.len(), cells * features, "[time, stock, feature]");
    let finite = |part: &[f32]| part.iter().fold(true, |all, x| all & x.is_finite());
    assert!(rows.features.chunks(1 << 10).all(finite), "a feature is not finite");
}

#[cfg(test)]
mod tests;
