//! PyTorch state dicts: the zip-and-pickle files of `torch.save`, readable with
//! `torch.load(..., weights_only=True)`.
//!
//! ```text
//! archive/data.pkl     OrderedDict of name -> _rebuild_tensor_v2(storage, offset, shape, strides)
//! archive/byteorder    little
//! archive/data/N       the elements of tensor N, 64-byte aligned
//! archive/version      3
//! ```
//!
//! The format: PyTorch's `torch/serialization.py` and `caffe2/serialize/inline_container.h`.

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::io::{self, Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use thiserror::Error as ThisError;
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use super::pickle::{self, ElementKind, StoredTensor};
use crate::errors::Cause;
use crate::files::parsing::Parsing;
use crate::files::{Durability, read_bounded, write_whole};

/// The alignment of `torch.save`, so that a reader may map the elements into memory.
const ALIGNMENT_BYTES: u16 = 64;
/// Far above any file of ours; a malicious file must not exhaust memory by referring to its data
/// repeatedly.
const MAX_ELEMENTS: usize = 1 << 28;
/// Of so many float64 elements, with all that is beside them.
const MAX_BYTES: u64 = 1 << 32;

#[derive(Debug, ThisError)]
pub(crate) enum StateDictError {
    #[error("{}: {cause}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        cause: Cause,
    },
    #[error("{}: not a state dict of float32 or float64 tensors: {what}", path.display())]
    Format {
        path: PathBuf,
        what: String,
        /// What the reader of zip archives or of pickles said; `what` has it in words.
        #[source]
        cause: Option<Cause>,
    },
}

/// A tensor of f32 in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NamedTensor {
    pub(crate) name: String,
    pub(crate) shape: Vec<i64>,
    pub(crate) data: Vec<f32>,
}

/// Writes a state dict, completely or not at all. Equal tensors give equal bytes.
pub(crate) fn write(path: &Path, tensors: &[NamedTensor]) -> Result<(), StateDictError> {
    let written = encode(tensors).and_then(|bytes| {
        write_whole(path, Durability::Synced, |beside| fs::write(beside, &bytes))
    });
    written.map_err(|e| StateDictError::Io { path: path.into(), cause: Cause::new(e) })
}

/// Reads a state dict in the order of its entries. float64 is rounded to float32. Errors: tensors
/// that are not contiguous, other element types, and anything that a dict of tensors does not need.
pub(crate) fn read(path: &Path) -> Result<Vec<NamedTensor>, StateDictError> {
    let failed = |e: io::Error| StateDictError::Io { path: path.into(), cause: Cause::new(e) };
    let bytes = read_bounded(path, MAX_BYTES).map_err(failed)?;
    let _parsing = Parsing::begin(&path.display().to_string(), bytes.len());
    decode(&bytes).map_err(|Foreign { what, cause }| StateDictError::Format {
        path: path.into(),
        what,
        cause,
    })
}

fn encode(tensors: &[NamedTensor]) -> io::Result<Vec<u8>> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .with_alignment(ALIGNMENT_BYTES);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let mut entry = |name: &str, bytes: &[u8]| -> io::Result<()> {
        zip.start_file(format!("archive/{name}"), options)?;
        zip.write_all(bytes)
    };
    entry("data.pkl", &pickled(tensors))?;
    entry("byteorder", b"little")?;
    for (index, tensor) in tensors.iter().enumerate() {
        let bytes: Vec<u8> = tensor.data.iter().flat_map(|x| x.to_le_bytes()).collect();
        entry(&format!("data/{index}"), &bytes)?;
    }
    entry("version", b"3\n")?;
    Ok(zip.finish()?.into_inner())
}

/// The pickle of `data.pkl`: opcodes as in CPython's `Lib/pickletools.py`.
fn pickled(tensors: &[NamedTensor]) -> Vec<u8> {
    const EMPTY_ORDERED_DICT: &[u8] = b"ccollections\nOrderedDict\n)R";
    let mut out = b"\x80\x02".to_vec();
    out.extend(EMPTY_ORDERED_DICT);
    out.push(b'(');
    for (index, tensor) in tensors.iter().enumerate() {
        let elements = tensor.shape.iter().product::<i64>();
        assert_eq!(elements, tensor.data.len() as i64, "elements of {}", tensor.name);
        push_text(&mut out, &tensor.name);
        out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        push_text(&mut out, "storage");
        out.extend(b"ctorch\nFloatStorage\n");
        push_text(&mut out, &index.to_string());
        push_text(&mut out, "cpu");
        push_int(&mut out, elements);
        out.extend(b"tQ");
        push_int(&mut out, 0);
        for sizes in [&tensor.shape, &contiguous_strides(&tensor.shape)] {
            out.push(b'(');
            sizes.iter().for_each(|&size| push_int(&mut out, size));
            out.push(b't');
        }
        out.push(0x89);
        out.extend(EMPTY_ORDERED_DICT);
        out.extend(b"tR");
    }
    out.extend(b"u.");
    out
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    let len = u32::try_from(text.len()).expect("a name is shorter than 4 GiB");
    out.push(b'X');
    out.extend(len.to_le_bytes());
    out.extend(text.as_bytes());
}

fn push_int(out: &mut Vec<u8>, number: i64) {
    match i32::try_from(number) {
        Ok(number) => {
            out.push(b'J');
            out.extend(number.to_le_bytes());
        }
        Err(_) => {
            out.extend(b"\x8a\x08");
            out.extend(number.to_le_bytes());
        }
    }
}

fn contiguous_strides(shape: &[i64]) -> Vec<i64> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis].max(1);
    }
    strides
}

/// Why bytes are no state dict.
#[derive(Debug)]
struct Foreign {
    what: String,
    cause: Option<Cause>,
}

impl Foreign {
    fn new(what: String, error: impl Error + Send + Sync + 'static) -> Foreign {
        Foreign { what, cause: Some(Cause::new(error)) }
    }
}

impl From<String> for Foreign {
    fn from(what: String) -> Foreign {
        Foreign { what, cause: None }
    }
}

impl From<&str> for Foreign {
    fn from(what: &str) -> Foreign {
        what.to_string().into()
    }
}

fn decode(bytes: &[u8]) -> Result<Vec<NamedTensor>, Foreign> {
    let mut archive = Archive::open(bytes)?;
    if archive.has("byteorder") && archive.read("byteorder")? != b"little" {
        return Err("its elements are not in little-endian order".into());
    }
    let stored =
        pickle::read(&archive.read("data.pkl")?).map_err(|e| Foreign::new(e.to_string(), e))?;
    let mut storages: HashMap<Rc<str>, Vec<u8>> = HashMap::new();
    let mut room = MAX_ELEMENTS;
    let mut tensors = Vec::with_capacity(stored.len());
    for (name, tensor) in stored {
        let key = tensor.storage.key.clone();
        if !storages.contains_key(&key) {
            storages.insert(key.clone(), archive.read(&format!("data/{key}"))?);
        }
        let data = elements(&tensor, &storages[&key], &mut room)
            .map_err(|what| format!("tensor {name}: {what}"))?;
        tensors.push(NamedTensor { name: name.to_string(), shape: tensor.shape.clone(), data });
    }
    Ok(tensors)
}

/// An archive that limits the bytes read to its own length: entries must not overlap.
struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    root: String,
    unread: usize,
}

impl Archive<'_> {
    fn open(bytes: &[u8]) -> Result<Archive<'_>, Foreign> {
        let not_zip = |error: ZipError| {
            let what = format!("{error}; torch.save writes a zip archive since PyTorch 1.6");
            Foreign::new(what, error)
        };
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(not_zip)?;
        let mut roots = zip.file_names().filter_map(|name| name.strip_suffix("/data.pkl"));
        let root = roots.next().ok_or("it has no data.pkl")?.to_string();
        drop(roots);
        Ok(Archive { zip, root, unread: bytes.len() })
    }

    fn has(&self, name: &str) -> bool {
        self.zip.index_for_name(&format!("{}/{name}", self.root)).is_some()
    }

    /// The content of an entry, with its checksum verified.
    fn read(&mut self, name: &str) -> Result<Vec<u8>, Foreign> {
        let found = self.zip.by_name(&format!("{}/{name}", self.root));
        let mut entry = found.map_err(|e| Foreign::new(format!("{name}: {e}"), e))?;
        if entry.compression() != CompressionMethod::Stored {
            return Err(format!("{name}: it is compressed").into());
        }
        let mut content = Vec::new();
        let read = entry.read_to_end(&mut content);
        read.map_err(|e| Foreign::new(format!("{name}: {e}"), e))?;
        let unread = self.unread.checked_sub(content.len());
        self.unread = unread.ok_or_else(|| format!("{name}: it overlaps another entry"))?;
        Ok(content)
    }
}

/// The elements of a contiguous tensor in its storage's bytes; subtracts their number from `room`.
fn elements(tensor: &StoredTensor, bytes: &[u8], room: &mut usize) -> Result<Vec<f32>, String> {
    let size = |&size: &i64| usize::try_from(size).map_err(|_| "a size is negative");
    let shape = tensor.shape.iter().map(size).collect::<Result<Vec<_>, _>>()?;
    let count = shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size));
    let count = count.filter(|count| count <= room).ok_or("it is too large")?;
    *room -= count;

    if tensor.strides.len() != shape.len() {
        return Err("it has not one stride per axis".into());
    }
    if count == 0 {
        return Ok(Vec::new());
    }
    let strides = contiguous_strides(&tensor.shape);
    let axes = shape.iter().zip(strides.iter().zip(&tensor.strides));
    // The stride of an axis of length 1 is never used.
    if !axes.into_iter().all(|(&size, (wanted, found))| size == 1 || found == wanted) {
        return Err("it is not contiguous; save it with .contiguous()".into());
    }

    let width = match tensor.storage.kind {
        ElementKind::Float32 => 4,
        ElementKind::Float64 => 8,
    };
    let offset = usize::try_from(tensor.offset).map_err(|_| "its offset is negative")?;
    let from = offset.checked_mul(width);
    let end = offset.checked_add(count).and_then(|end| end.checked_mul(width));
    let whole = usize::try_from(tensor.storage.elements).ok().and_then(|n| n.checked_mul(width));
    let part = match (from, end) {
        (Some(from), Some(end)) if whole == Some(bytes.len()) => bytes.get(from..end),
        _ => None,
    };
    let part = part.ok_or("it reaches beyond its data")?;
    Ok(match tensor.storage.kind {
        ElementKind::Float32 => part.chunks_exact(4).map(f32_of).collect(),
        ElementKind::Float64 => part.chunks_exact(8).map(|b| f64_of(b) as f32).collect(),
    })
}

fn f32_of(bytes: &[u8]) -> f32 {
    f32::from_le_bytes(bytes.try_into().expect("a chunk of four bytes"))
}

fn f64_of(bytes: &[u8]) -> f64 {
    f64::from_le_bytes(bytes.try_into().expect("a chunk of eight bytes"))
}

#[cfg(test)]
mod tests;
