//! Fast path for day files as most programs write them: a timestamp and five numbers, without
//! nulls, plain or dictionary-encoded. polars reads any file, but builds a decoder, a buffer and a
//! table for each column of each day; this module keeps one of each per thread. Any other or
//! damaged file is left to polars, which decides what is an error.

use std::cell::RefCell;
use std::io::Cursor;

use polars_parquet::parquet::compression::{Compression, DecompressionContext, decompress};
use polars_parquet::parquet::metadata::{ColumnChunkMetadata, FileMetadata};
use polars_parquet::parquet::read::read_metadata;
use polars_parquet::parquet::schema::types::{
    IntegerType, PhysicalType, PrimitiveLogicalType, PrimitiveType, TimeUnit,
};

use super::pages::{self, Page, PageKind};
use super::{DayPlan, RawRows, is_plausible};
use crate::market::{calendar, times};

/// The rows of a file that this module can decode, with further `columns`; None for any other.
pub(super) fn rows(bytes: &[u8], columns: &[String]) -> Option<RawRows> {
    thread_local!(static DECODER: RefCell<Decoder> = RefCell::new(Decoder::new()));
    let metadata = read_metadata(&mut Cursor::new(bytes)).ok()?;
    if !is_plausible(metadata.num_rows, bytes.len()) {
        return None;
    }
    DECODER.with_borrow_mut(|decoder| {
        let rows = decoder.rows(bytes, &metadata, columns);
        if rows.is_none() {
            // A truncated page leaves the decompressor in an undefined state.
            *decoder = Decoder::new();
        }
        rows
    })
}

/// Eight bytes of a column.
type Word = [u8; 8];

/// Buffers and state reused between columns.
struct Decoder {
    context: DecompressionContext,
    page: Vec<u8>,
    dictionary: Vec<Word>,
    /// The last file's plan: nearly always that of the next one.
    known: Option<KnownPlan>,
}

/// The plan for files of some columns, of which further ones are asked for.
struct KnownPlan {
    names: Vec<String>,
    asked: Vec<String>,
    plan: DayPlan,
}

impl KnownPlan {
    fn new(names: &[&str], asked: &[String]) -> Option<KnownPlan> {
        let plan = DayPlan::new(names, asked, "").ok()?;
        let names = names.iter().map(|name| name.to_string()).collect();
        Some(KnownPlan { names, asked: asked.to_vec(), plan })
    }
}

impl Decoder {
    fn new() -> Decoder {
        let (page, dictionary) = (Vec::new(), Vec::new());
        Decoder { context: DecompressionContext::Unset, page, dictionary, known: None }
    }

    fn rows(&mut self, bytes: &[u8], metadata: &FileMetadata, asked: &[String]) -> Option<RawRows> {
        let schema = &metadata.schema_descr;
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name()).collect();
        if names.len() != schema.columns().len() {
            return None;
        }
        let known = match self.known.take() {
            Some(known) if known.names == names && known.asked == asked => known,
            _ => KnownPlan::new(&names, asked)?,
        };
        let plan = &known.plan;
        let &[time_column] = &plan.bars.time[..] else { return None };
        let volume = plan.bars.volume?;
        let kind = |column: usize| &schema.columns()[column].descriptor.primitive_type;
        let (per_s, naive) = timestamp(kind(time_column))?;
        let mut stamps: Vec<i64> = Vec::with_capacity(metadata.num_rows);
        self.column(bytes, metadata, time_column, i64::from_le_bytes, &mut stamps)?;
        let mut numbers: [Vec<f64>; 5] = Default::default();
        let mut extras = vec![Vec::new(); plan.extras.len()];
        let slots = numbers.iter_mut().chain(&mut extras);
        let columns = plan.bars.prices.iter().chain([&volume]).chain(&plan.extras);
        for (&column, values) in columns.zip(slots) {
            values.reserve(metadata.num_rows);
            match number(kind(column))? {
                NumberKind::Float => {
                    self.column(bytes, metadata, column, f64::from_le_bytes, values)?;
                }
                // Databento's prices, unlike its volume.
                NumberKind::Integer if plan.bars.billionths && column != volume => return None,
                NumberKind::Integer => {
                    let value = |word| i64::from_le_bytes(word) as f64;
                    self.column(bytes, metadata, column, value, values)?;
                }
            }
        }
        let (has_zone, may_be_ticks) = (plan.bars.zone.is_some(), plan.bars.tick_volume.is_some());
        self.known = Some(known);
        let [open, high, low, close, volume] = numbers;
        let zone = naive.then(calendar::market_zone);
        // The polars path reports files without rows or times, and has missing volumes.
        let read = times::from_instants(stamps.into_iter().map(Some), per_s, zone).ok()?;
        let times::Times { label_s, naive, dates, .. } = read;
        if dates && label_s.len() > 1 || naive && has_zone {
            return None;
        }
        if may_be_ticks && volume.iter().all(|volume| *volume == 0.0) {
            return None;
        }
        let known = volume.iter().all(|volume| !volume.is_nan());
        let rows = RawRows { label_s, naive, remark: None, open, high, low, close, volume, extras };
        known.then_some(rows)
    }

    /// Appends a column's values to `out`.
    fn column<T>(
        &mut self,
        bytes: &[u8],
        metadata: &FileMetadata,
        column: usize,
        value: impl Fn(Word) -> T,
        out: &mut Vec<T>,
    ) -> Option<()> {
        let descriptor = &metadata.schema_descr.columns()[column].descriptor;
        if descriptor.max_rep_level != 0 || descriptor.max_def_level > 1 {
            return None;
        }
        let optional = descriptor.max_def_level == 1;
        for group in &metadata.row_groups {
            let chunk: &ColumnChunkMetadata = group.parquet_columns().get(column)?;
            self.dictionary.clear();
            for page in pages::read_pages(bytes, chunk.byte_range(), group.num_rows())? {
                let plain =
                    inflated(&page, chunk.compression(), &mut self.page, &mut self.context)?;
                match page.kind {
                    PageKind::Dictionary => self.dictionary.extend(words(plain, page.values)?),
                    PageKind::Data => {
                        let values = if optional { defined(plain, page.values)? } else { plain };
                        data(&page, values, &self.dictionary, &value, out)?;
                    }
                    PageKind::Other => return None,
                }
            }
        }
        (out.len() == metadata.num_rows).then_some(())
    }
}

/// A page's bytes, decompressed into `buffer` if necessary.
fn inflated<'a>(
    page: &Page<'a>,
    compression: Compression,
    buffer: &'a mut Vec<u8>,
    context: &mut DecompressionContext,
) -> Option<&'a [u8]> {
    if compression == Compression::Uncompressed {
        return Some(page.bytes);
    }
    buffer.resize(page.uncompressed_bytes, 0);
    decompress(compression, page.bytes, buffer, context).ok()?;
    Some(buffer)
}

fn data<T>(
    page: &Page,
    values: &[u8],
    dictionary: &[Word],
    value: &impl Fn(Word) -> T,
    out: &mut Vec<T>,
) -> Option<()> {
    /// Values of `Encoding` in `parquet.thrift`.
    const PLAIN: i64 = 0;
    const PLAIN_DICTIONARY: i64 = 2;
    const RLE_DICTIONARY: i64 = 8;
    match page.encoding {
        PLAIN => out.extend(words(values, page.values)?.map(value)),
        PLAIN_DICTIONARY | RLE_DICTIONARY => {
            let (&width, runs) = values.split_first()?;
            let mut push = |index: u32, times: usize| {
                let word = *dictionary.get(index as usize)?;
                out.extend(std::iter::repeat_with(|| value(word)).take(times));
                Some(())
            };
            hybrid(runs, width, page.values, &mut push)?;
        }
        _ => return None,
    }
    Some(())
}

/// Exactly `count` words; None for any other number.
fn words(bytes: &[u8], count: usize) -> Option<impl Iterator<Item = Word> + '_> {
    let (words, rest) = bytes.as_chunks::<8>();
    (rest.is_empty() && words.len() == count).then(|| words.iter().copied())
}

/// What follows the definition levels of a page; None if a value is null.
fn defined(page: &[u8], values: usize) -> Option<&[u8]> {
    let (length, rest) = page.split_first_chunk::<4>()?;
    let (levels, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    hybrid(levels, 1, values, &mut |level, _| (level == 1).then_some(()))?;
    Some(rest)
}

/// Decodes `count` numbers of `width` bits in Parquet's RLE/bit-packing hybrid: runs of one number,
/// and bit-packed groups of eight. `push(number, repetitions)` may stop by returning None.
fn hybrid(
    mut bytes: &[u8],
    width: u8,
    count: usize,
    push: &mut impl FnMut(u32, usize) -> Option<()>,
) -> Option<()> {
    let width = usize::from(width);
    if width > 32 {
        return None;
    }
    let mut left = count;
    while left > 0 {
        let head = usize::try_from(pages::varint(&mut bytes)?).ok()?;
        if head & 1 == 0 {
            let (number, rest) = bytes.split_at_checked(width.div_ceil(8))?;
            let number = number.iter().rev().fold(0, |sum, &byte| sum << 8 | u32::from(byte));
            let times = (head >> 1).min(left);
            if times == 0 {
                return None;
            }
            push(number, times)?;
            (left, bytes) = (left - times, rest);
            continue;
        }
        let (packed, rest) = bytes.split_at_checked((head >> 1).checked_mul(width)?)?;
        let held = (head >> 1).checked_mul(8)?.min(left);
        if held == 0 {
            return None;
        }
        unpack(packed, width, held, push)?;
        (left, bytes) = (left - held, rest);
    }
    Some(())
}

/// The first `count` numbers of `width` bits, lowest bits first.
fn unpack(
    packed: &[u8],
    width: usize,
    count: usize,
    push: &mut impl FnMut(u32, usize) -> Option<()>,
) -> Option<()> {
    if width == 1 && packed[..count / 8].iter().all(|&byte| byte == 0xff) {
        // Definition levels of a column without nulls.
        let last = packed.get(count / 8).copied().unwrap_or(0);
        push(1, count / 8 * 8)?;
        return (0..count % 8).try_for_each(|bit| push(u32::from(last >> bit & 1), 1));
    }
    let (mut bits, mut held, mut bytes) = (0_u64, 0, packed.iter());
    for _ in 0..count {
        while held < width {
            bits |= u64::from(*bytes.next()?) << held;
            held += 8;
        }
        push((bits & ((1 << width) - 1)) as u32, 1)?;
        bits >>= width;
        held -= width;
    }
    Some(())
}

/// Ticks per second, and whether times have no zone.
fn timestamp(column: &PrimitiveType) -> Option<(i64, bool)> {
    let Some(PrimitiveLogicalType::Timestamp { unit, is_adjusted_to_utc }) = column.logical_type
    else {
        return None;
    };
    let per_s = match unit {
        TimeUnit::Milliseconds => 1_000,
        TimeUnit::Microseconds => 1_000_000,
        TimeUnit::Nanoseconds => 1_000_000_000,
    };
    (column.physical_type == PhysicalType::Int64).then_some((per_s, !is_adjusted_to_utc))
}

enum NumberKind {
    Float,
    Integer,
}

fn number(column: &PrimitiveType) -> Option<NumberKind> {
    let whole = PrimitiveLogicalType::Integer(IntegerType::Int64);
    match (column.physical_type, column.logical_type) {
        (PhysicalType::Double, None) => Some(NumberKind::Float),
        (PhysicalType::Int64, None) if column.converted_type.is_none() => Some(NumberKind::Integer),
        (PhysicalType::Int64, Some(kind)) if kind == whole => Some(NumberKind::Integer),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(bytes: &[u8], width: u8, count: usize) -> Option<Vec<u32>> {
        let mut numbers = Vec::new();
        let mut push = |number: u32, times: usize| {
            numbers.extend(std::iter::repeat_n(number, times));
            Some(())
        };
        hybrid(bytes, width, count, &mut push)?;
        Some(numbers)
    }

    /// Example of the format's specification: 0 to 7 in three bits each.
    #[test]
    fn runs_and_packed_numbers_by_hand() {
        let packed = [0b0000_0011, 0b1000_1000, 0b1100_0110, 0b1111_1010];
        assert_eq!(numbers(&packed, 3, 8).unwrap(), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(numbers(&packed, 3, 5).unwrap(), [0, 1, 2, 3, 4]);
        assert_eq!(numbers(&packed[..3], 3, 8), None);
        // Five times 258, then eight numbers of nine bits: 1 and seven times 0.
        let runs = [10, 2, 1, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(numbers(&runs, 9, 8).unwrap(), [258, 258, 258, 258, 258, 1, 0, 0]);
        assert_eq!(numbers(&[24, 7], 0, 3), Some(vec![0; 3]));
        assert_eq!(numbers(&[0, 7], 3, 3), None, "a run of nothing does not end");
        assert_eq!(numbers(&[1], 3, 3), None, "nor does a group of none");
        assert_eq!(numbers(&[10, 2], 33, 5), None);
    }

    #[test]
    fn a_value_that_is_not_there_is_seen() {
        // Ten levels: one run; two groups of eight; the same with a null.
        let page = |levels: &[u8]| [&[levels.len() as u8, 0, 0, 0], levels, &[9; 3]].concat();
        assert_eq!(defined(&page(&[20, 1]), 10), Some(&[9; 3][..]));
        assert_eq!(defined(&page(&[5, 0xff, 0b011]), 10), Some(&[9; 3][..]));
        for levels in [&[20, 0][..], &[5, 0xff, 0b001], &[5, 0xfe, 0b011], &[18, 1]] {
            assert_eq!(defined(&page(levels), 10), None, "{levels:?}");
        }
    }
}
