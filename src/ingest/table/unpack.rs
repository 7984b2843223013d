//! Files within compressed ones.

use std::io::{Cursor, Read};

use super::file_error;
use crate::market::error::MarketError;

const GZIP: &[u8] = &[0x1f, 0x8b];
pub(super) const ZIP: &[u8] = b"PK\x03\x04";
/// A file that unpacks to more than this is not a table of bars that fits into memory.
const MAX_BYTES: u64 = 1 << 30;
/// More than a vendor's archive of one delivery has.
const MAX_FILES: usize = 10_000;

/// The files in an archive with their names, or the file itself, also if it is an Excel workbook.
/// Folders, and what macOS adds, are passed over.
///
/// # Errors
/// If an archive is damaged, or unpacks to more than 1 GiB.
pub(crate) fn unpacked(bytes: Vec<u8>, file: &str) -> Result<Vec<(String, Vec<u8>)>, MarketError> {
    let wrong = |what: String| {
        file_error(file, what, "unpack it yourself, and import the files that are in it")
    };
    if bytes.starts_with(GZIP) {
        let mut reader = flate2::read::MultiGzDecoder::new(&bytes[..]);
        let whole = limited(&mut reader).map_err(wrong)?;
        let name = file.strip_suffix(".gz").unwrap_or(file);
        return Ok(vec![(name.into(), whole)]);
    }
    if !bytes.starts_with(ZIP) {
        return Ok(vec![(file.into(), bytes)]);
    }
    let damaged = |e: zip::result::ZipError| wrong(format!("is not a whole ZIP archive: {e}"));
    let mut archive = zip::ZipArchive::new(Cursor::new(&bytes[..])).map_err(damaged)?;
    if archive.len() > MAX_FILES {
        return Err(wrong(format!("has {} files, more than {MAX_FILES}", archive.len())));
    }
    if is_workbook(&archive) {
        drop(archive);
        return Ok(vec![(file.into(), bytes)]);
    }
    let other = ["content.xml", "xl/workbook.bin"].iter();
    if other.filter(|name| archive.index_for_name(name).is_some()).count() > 0 {
        let what = "is a spreadsheet in another format than .xlsx".to_string();
        return Err(file_error(file, what, "save it as .xlsx or CSV"));
    }
    let (mut files, mut left) = (Vec::new(), MAX_BYTES);
    for i in 0..archive.len() {
        let mut member = archive.by_index(i).map_err(damaged)?;
        let name = member.name().to_string();
        let is_hidden = name.split('/').any(|part| part.starts_with('.') || part == "__MACOSX");
        if member.is_dir() || is_hidden {
            continue;
        }
        let mut whole = Vec::new();
        let read = (&mut member).take(left + 1).read_to_end(&mut whole);
        read.map_err(|e| wrong(format!("{name} in it cannot be read: {e}")))?;
        let length = whole.len() as u64;
        left = left.checked_sub(length).ok_or_else(|| wrong(too_large()))?;
        files.push((format!("{file}/{name}"), whole));
    }
    if files.is_empty() {
        return Err(wrong("is an archive without files".into()));
    }
    Ok(files)
}

/// Whether an archive is an Excel workbook.
fn is_workbook(archive: &zip::ZipArchive<Cursor<&[u8]>>) -> bool {
    archive.index_for_name("xl/workbook.xml").is_some()
}

/// Whether a file in ZIP is an Excel workbook that unpacks to at most `max_bytes`; None if it is one
/// that does not.
pub(super) fn is_small_workbook(bytes: &[u8], max_bytes: u64) -> Option<bool> {
    let Ok(mut archive) = zip::ZipArchive::new(Cursor::new(bytes)) else { return Some(false) };
    if !is_workbook(&archive) {
        return Some(false);
    }
    let mut left = max_bytes;
    for i in 0..archive.len() {
        let Ok(member) = archive.by_index(i) else { return Some(false) };
        // The declared size may be a lie. A member that cannot be read is left to the reader.
        let mut member = member.take(left + 1);
        let length = std::io::copy(&mut member, &mut std::io::sink()).unwrap_or(0);
        left = left.checked_sub(length)?;
    }
    Some(true)
}

fn too_large() -> String {
    format!("unpacks to more than {} GiB", MAX_BYTES >> 30)
}

fn limited(reader: &mut impl Read) -> Result<Vec<u8>, String> {
    let mut whole = Vec::new();
    let read = reader.take(MAX_BYTES + 1).read_to_end(&mut whole);
    read.map_err(|e| format!("is not a whole gzip file: {e}"))?;
    if whole.len() as u64 > MAX_BYTES { Err(too_large()) } else { Ok(whole) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn archives_are_unpacked() {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gz.write_all(b"a,b\n").unwrap();
        let gz = gz.finish().unwrap();
        let found = unpacked(gz.clone(), "X.csv.gz").unwrap();
        assert_eq!(found, [("X.csv".into(), b"a,b\n".to_vec())]);
        assert!(unpacked(gz[..gz.len() - 5].to_vec(), "X.csv.gz").is_err());

        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default();
        for (name, text) in [("in/A.txt", "one"), ("__MACOSX/._A.txt", "no"), ("B.txt", "two")] {
            zip.start_file(name, options).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        let zip = zip.finish().unwrap().into_inner();
        let found = unpacked(zip.clone(), "Z.zip").unwrap();
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["Z.zip/in/A.txt", "Z.zip/B.txt"]);
        assert_eq!(found[1].1, b"two");
        let error = unpacked(zip[..40].to_vec(), "Z.zip").unwrap_err().to_string();
        assert!(error.starts_with("Z.zip: is not a whole ZIP archive"), "{error}");
        assert_eq!(unpacked(b"x".to_vec(), "x").unwrap(), [("x".into(), b"x".to_vec())]);
    }
}
