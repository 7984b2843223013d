//! The panel's file: Arrow IPC, in record batches of a power of two of rows, so that it is written
//! a few megabytes at a time and a row is found by a shift. The one place that knows arrow2.
//!
//! Columns: `end_s` int64; `open`, `high`, `low`, `close`, `volume` lists of one double per stock;
//! `tradable` a list of one byte per stock; `features` a list of stocks x features floats. What
//! they are called and the note stand in the schema's metadata under [`HEADER_KEY`] as JSON.

use std::fs::File;
use std::io::{BufWriter, Cursor, Write};
use std::ops::Range;
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
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

use super::{MarketError, PanelAbout, PanelRows, Symbol};

const HEADER_KEY: &str = "dqn_trader_panel";
/// Raised whenever the layout changes; a file of another version is not read.
const VERSION: u32 = 1;
/// Size of a record batch: small beside a panel, large beside its header.
const BATCH_BYTES: usize = 8 << 20;

/// What the schema's metadata says of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Header {
    version: u32,
    rows: usize,
    /// Every record batch but the last has 2 to the power of this many rows.
    batch_shift: u32,
    pub stocks: Vec<Symbol>,
    pub feature_names: Vec<String>,
    pub note: String,
}

/// The columns of one record batch, in the mapped file.
pub(super) struct Batch {
    pub end_s: Buffer<i64>,
    pub open: Buffer<f64>,
    pub high: Buffer<f64>,
    pub low: Buffer<f64>,
    pub close: Buffer<f64>,
    pub volume: Buffer<f64>,
    pub tradable: Buffer<u8>,
    pub features: Buffer<f32>,
}

/// A mapped panel file, checked. The buffers keep the map alive.
pub(super) struct Mapped {
    pub header: Header,
    pub rows: usize,
    batches: Vec<Batch>,
}

impl Mapped {
    /// The batch that holds a row, and the row's place in it.
    #[inline]
    pub fn locate(&self, row: usize) -> (&Batch, usize) {
        let shift = self.header.batch_shift;
        (&self.batches[row >> shift], row & ((1 << shift) - 1))
    }

    pub fn open(path: &Path) -> Result<Mapped, MarketError> {
        let file = File::open(path).map_err(|e| MarketError::Store {
            place: path.display().to_string(),
            what: format!("cannot open this panel: {e}"),
            hint: "check that it exists and can be read".into(),
        })?;
        // SAFETY: a map is unsound where the file changes under it. Panel files are never written
        // in place: `write` fills a file of another name and renames it, and an older map keeps the
        // older file.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| damaged(path, e))?;
        Mapped::read(map).map_err(|what| damaged(path, what))
    }

    /// Err says what is wrong with the file.
    fn read(map: Mmap) -> Result<Mapped, String> {
        let metadata = read_file_metadata(&mut Cursor::new(&map[..])).map_err(|e| e.to_string())?;
        let header: Header = match metadata.schema.metadata.get(HEADER_KEY) {
            Some(text) => serde_json::from_str(text).map_err(|e| e.to_string())?,
            None => return Err("an Arrow file, but no panel".into()),
        };
        if header.version != VERSION {
            return Err(format!("panel format {}, expected {VERSION}", header.version));
        }
        if header.stocks.is_empty() || header.feature_names.is_empty() || header.batch_shift > 31 {
            return Err("its header makes no sense".into());
        }
        if metadata.schema.fields != fields(header.stocks.len(), header.feature_names.len())
            || !metadata.ipc_schema.is_little_endian
        {
            return Err("its columns are not those of a panel".into());
        }
        check_blocks(&metadata, &map)?;

        let map = Arc::new(map);
        let spans = batch_spans(header.rows, header.batch_shift);
        if spans.len() != metadata.blocks.len() {
            return Err("record batches are missing".into());
        }
        let batches = spans
            .enumerate()
            .map(|(i, span)| Batch::map(&metadata, map.clone(), i, span.len(), &header))
            .collect::<Result<_, String>>()?;
        Ok(Mapped { rows: header.rows, header, batches })
    }
}

impl Batch {
    fn map(
        metadata: &FileMetadata,
        map: Arc<Mmap>,
        index: usize,
        rows: usize,
        header: &Header,
    ) -> Result<Batch, String> {
        // SAFETY: the caller has to answer for offsets and text, of which these columns (numbers
        // and lists of fixed size, by `fields`) have none. That a column's buffer lies within the
        // file, is aligned for its type and is as long as its array says is checked by arrow2
        // itself; that the message lies within the file, by `check_blocks`. Every bit pattern is a
        // value of these types. Bitmaps of nulls, which arrow2 does not measure, are read where a
        // null count is above 0; `write`, the one source of files with this header, writes none.
        let chunk = unsafe { mmap_unchecked(metadata, &Default::default(), map, index) }
            .map_err(|e| e.to_string())?;
        let stocks = header.stocks.len();
        let columns = chunk.arrays();
        Ok(Batch {
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

/// The mapped values of a column of plain numbers.
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

/// Every record batch's message and body must lie within the file. arrow2 trusts the footer in
/// this.
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

fn damaged(path: &Path, what: impl std::fmt::Display) -> MarketError {
    MarketError::File {
        file: path.display().to_string(),
        what: format!("not a usable panel file ({what})"),
        hint: "delete it; it will be rebuilt from the bars".into(),
    }
}

/// Makes the numbers of some rows.
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
    };
    let file = tempfile::Builder::new()
        .prefix(".panel-")
        .permissions(std::fs::Permissions::from_mode(0o666)) // less the umask, as any other result
        .tempfile_in(folder)
        .map_err(failed)?;
    write_batches(file.as_file(), about, rows).map_err(|e| match e {
        arrow2::error::Error::Io(e) => failed(e),
        other => failed(std::io::Error::other(other)),
    })?;
    // Without this a crash of the machine may leave the new name on pages of zeros.
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    Ok(())
}

fn write_batches(
    file: &File,
    about: PanelAbout,
    rows: &Rows<'_>,
) -> Result<(), arrow2::error::Error> {
    let header = Header {
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
        begin_to_store(file);
    }
    writer.finish()?;
    writer.into_inner().flush()?;
    Ok(())
}

/// What was written so far begins to go to the disk, while the next rows are made: less is left to
/// wait for in the end. Only a hint, so that an error does not matter.
fn begin_to_store(file: &File) {
    #[cfg(target_os = "linux")]
    // SAFETY: the descriptor is open, and the call touches no memory.
    unsafe {
        libc::sync_file_range(file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE);
    }
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

/// Size of one time of the panel.
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
