//! Pages of a column with their headers checked before decoding: polars trusts the counts and
//! reserves memory accordingly, and a failed allocation aborts the process instead of returning an
//! error.
//!
//! Thrift's compact protocol and the PageHeader struct are those of the Apache Parquet format,
//! `parquet.thrift`.

use std::ops::Range;

/// Far more than a day's column needs.
const MAX_PAGE_BYTES: i64 = 256 << 20;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum PageKind {
    /// Version 1.
    Data,
    Dictionary,
    /// Version 2, or an index page.
    Other,
}

/// A page of the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Page<'a> {
    pub(crate) kind: PageKind,
    pub(crate) values: usize,
    /// For data pages of version 1, by `parquet.thrift`.
    pub(crate) encoding: i64,
    pub(crate) uncompressed_bytes: usize,
    pub(crate) bytes: &'a [u8],
}

/// The pages in `range`, which hold `rows` values. None if a header claims more values than that,
/// or bytes beyond the range.
pub(super) fn read_pages(bytes: &[u8], range: Range<u64>, rows: usize) -> Option<Vec<Page<'_>>> {
    let range = usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?;
    let mut rest = bytes.get(range)?;
    let rows = i64::try_from(rows).ok()?;
    let (mut seen, mut pages) = (0, Vec::new());
    while seen < rows {
        let mut reader = Reader { bytes: rest };
        let header = reader.page_header()?;
        let compressed_bytes = usize::try_from(header.compressed_bytes).ok()?;
        let page;
        (page, rest) = reader.bytes.split_at_checked(compressed_bytes)?;
        let sizes_fit = (0..=MAX_PAGE_BYTES).contains(&header.uncompressed_bytes);
        if !sizes_fit || !(0..=rows).contains(&header.values) {
            return None;
        }
        let kind = match header.kind {
            0 => PageKind::Data,
            2 => PageKind::Dictionary,
            _ => PageKind::Other,
        };
        if kind != PageKind::Dictionary {
            seen += header.values;
        }
        pages.push(Page {
            kind,
            values: header.values as usize,
            encoding: header.encoding,
            uncompressed_bytes: header.uncompressed_bytes as usize,
            bytes: page,
        });
    }
    (seen == rows).then_some(pages)
}

/// Takes a varint from the front of `bytes`: seven bits per byte, lowest first.
pub(super) fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

struct PageHeader {
    kind: i64,
    uncompressed_bytes: i64,
    compressed_bytes: i64,
    values: i64,
    /// For data pages of version 1.
    encoding: i64,
}

/// Reads Thrift's compact protocol from the front of `bytes`.
struct Reader<'a> {
    bytes: &'a [u8],
}

/// Types of the compact protocol.
const BOOLEANS: Range<u8> = 1..3;
const BYTE: u8 = 3;
const INTEGERS: Range<u8> = 4..7;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const STRUCT: u8 = 12;
/// Page headers nest twice: the header of the kind, and its statistics.
const MAX_DEPTH: usize = 4;

impl Reader<'_> {
    fn page_header(&mut self) -> Option<PageHeader> {
        let (mut kind, mut uncompressed, mut compressed, mut values) = (None, None, None, None);
        let mut id = 0;
        while let Some(field_type) = self.field(&mut id)? {
            match id {
                1 => kind = Some(self.integer()?),
                2 => uncompressed = Some(self.integer()?),
                3 => compressed = Some(self.integer()?),
                // Headers of a data page, a dictionary page and a data page of version 2: each
                // begins with its count.
                5 | 7 | 8 if field_type == STRUCT => values = Some(self.count()?),
                _ => self.skip(field_type, MAX_DEPTH)?,
            }
        }
        Some(PageHeader {
            kind: kind?,
            uncompressed_bytes: uncompressed?,
            compressed_bytes: compressed?,
            values: values?.0,
            encoding: values?.1,
        })
    }

    /// Reads a struct to its end. Returns fields 1 and 2: the count and, in data pages of version
    /// 1, the encoding.
    fn count(&mut self) -> Option<(i64, i64)> {
        let (mut id, mut count, mut encoding) = (0, None, 0);
        while let Some(field_type) = self.field(&mut id)? {
            match id {
                1 if INTEGERS.contains(&field_type) => count = Some(self.integer()?),
                2 if INTEGERS.contains(&field_type) => encoding = self.integer()?,
                _ => self.skip(field_type, MAX_DEPTH)?,
            }
        }
        Some((count?, encoding))
    }

    /// The next field's type; Some(None) at the end of the struct. `id` is updated to the field's.
    fn field(&mut self, id: &mut i64) -> Option<Option<u8>> {
        let byte = self.byte()?;
        if byte == 0 {
            return Some(None);
        }
        let step = i64::from(byte >> 4);
        *id = if step == 0 { self.integer()? } else { id.checked_add(step)? };
        Some(Some(byte & 0x0f))
    }

    fn skip(&mut self, field_type: u8, depth: usize) -> Option<()> {
        match field_type {
            t if BOOLEANS.contains(&t) => Some(()),
            BYTE => self.take(1),
            t if INTEGERS.contains(&t) => varint(&mut self.bytes).map(|_| ()),
            DOUBLE => self.take(8),
            BINARY => {
                let length = varint(&mut self.bytes)?;
                self.take(usize::try_from(length).ok()?)
            }
            STRUCT => {
                let depth = depth.checked_sub(1)?;
                let mut id = 0;
                while let Some(inner) = self.field(&mut id)? {
                    self.skip(inner, depth)?;
                }
                Some(())
            }
            // Page headers have no lists, sets or maps.
            _ => None,
        }
    }

    fn take(&mut self, length: usize) -> Option<()> {
        self.bytes = self.bytes.get(length..)?;
        Some(())
    }

    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(first)
    }

    /// A zigzag varint: 0, -1, 1, -2, ...
    fn integer(&mut self) -> Option<i64> {
        let value = varint(&mut self.bytes)?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page of version 1 with 3 values in `bytes` bytes: fields 1 to 3 and 5, each a step of 1
    /// (or 2) and type i32 (5) or struct (12).
    fn page(values: u8, bytes: u8) -> Vec<u8> {
        let header = [0x15, 0, 0x15, 2 * bytes, 0x15, 2 * bytes, 0x2c, 0x15, 2 * values, 0, 0];
        let mut page = header.to_vec();
        page.extend(std::iter::repeat_n(7, bytes.into()));
        page
    }

    #[test]
    fn pages_must_add_up() {
        let two = [page(3, 5), page(2, 4)].concat();
        let range = 0..two.len() as u64;
        let found = read_pages(&two, range.clone(), 5).unwrap();
        let shape = |page: &Page| (page.kind, page.values, page.bytes.to_vec());
        let expected = [(PageKind::Data, 3, vec![7; 5]), (PageKind::Data, 2, vec![7; 4])];
        assert_eq!(found.iter().map(shape).collect::<Vec<_>>(), expected);
        for rows in [4, 6] {
            assert_eq!(read_pages(&two, range.clone(), rows), None, "{rows}");
        }
        assert_eq!(read_pages(&two, 0..range.end - 1, 5), None);
        assert_eq!(read_pages(&two, 0..range.end + 1, 5), None);
        // -1 in zigzag encoding.
        let mut negative = page(3, 5);
        negative[8] = 1;
        assert_eq!(read_pages(&negative, 0..negative.len() as u64, 3), None);
    }

    #[test]
    fn integers_are_zigzag_varints() {
        let read = |bytes: &[u8]| Reader { bytes }.integer();
        assert_eq!((read(&[0]), read(&[1]), read(&[2])), (Some(0), Some(-1), Some(1)));
        assert_eq!(read(&[0xac, 0x02]), Some(150));
        assert_eq!((read(&[0x80]), read(&[0xff; 11])), (None, None));
    }
}
