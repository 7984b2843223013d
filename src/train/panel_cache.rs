//! Panels in the cache: named by all that they depend on, verified when they are used again, and
//! removed when there are too many.

use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::market::MarketError;
use crate::market::panel::Panel;

/// The oldest panels go when the cache holds more than this.
const CACHE_BYTES: u64 = 4 << 30;

/// Of a panel, by all that it depends on.
pub(super) fn file_name(depends_on: &impl Serialize) -> Result<String, serde_json::Error> {
    let digest = Sha256::digest(serde_json::to_vec(depends_on)?);
    let name: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{name}.arrow"))
}

/// The digest's file can be used as it is: its checksum is verified. It then counts as used just
/// now; see [`prune`]. The user is told of one that is damaged.
pub(crate) fn readable(path: &Path) -> bool {
    let Ok(file) = std::fs::File::open(path) else { return false };
    match Panel::open(path) {
        Ok(_) => {
            // A cache that can be read and not written serves all the same.
            let _ = file.set_modified(std::time::SystemTime::now());
            true
        }
        Err(MarketError::File { file, what, .. }) => {
            tracing::warn!("{file}: {what}; it is made again from the bars");
            false
        }
        Err(_) => false,
    }
}

/// Removes the panels that were not used for longest while the folder is too large; never `keep`.
pub(crate) fn prune(folder: &Path, keep: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut files: Vec<_> = entries
        .flatten()
        .filter_map(|entry| {
            let data = entry.metadata().ok().filter(|data| data.is_file())?;
            Some((data.modified().ok()?, data.len(), entry.path()))
        })
        .collect();
    files.sort();
    let mut total: u64 = files.iter().map(|(_, len, _)| len).sum();
    for (_, len, path) in files {
        if total <= CACHE_BYTES {
            return;
        }
        if path != keep && std::fs::remove_file(&path).is_ok() {
            total -= len;
        }
    }
}
