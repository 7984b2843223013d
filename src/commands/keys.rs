//! Keys of services, from a file into the environment.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Result, anyhow};

use crate::errors::tell;

const KEYS: &str = ".cloudkeys/api_keys.env";
/// Where keys are, if they are not in the configuration of agents.
const VARIABLES: [&str; 3] =
    ["AZURE_STORAGE_CONNECTION_STRING", "ALPHAVANTAGE_API_KEY", "OPENAI_API_KEY"];

/// The keys of `.cloudkeys/api_keys.env` become environment variables; those already set win.
pub(super) fn read(rank: usize) -> Result<()> {
    match dotenvy::from_filename(KEYS) {
        Ok(path) => {
            if rank == 0 && is_open_to_others(&path) {
                tell(&format!("warning: other users can read {KEYS}; run chmod -R go= .cloudkeys"));
            }
            Ok(())
        }
        Err(dotenvy::Error::Io(e)) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(dotenvy::Error::Io(e)) => Err(anyhow!("{KEYS}: {e}; fix or remove it")),
        // The parser's message shows the line, and with it a key.
        Err(_) => Err(anyhow!("{KEYS}: a line cannot be parsed; write NAME=value or NAME='value'")),
    }
}

/// Whether there are keys in the environment, as there are once the file was read.
pub(super) fn are_there() -> bool {
    VARIABLES.iter().any(|name| std::env::var_os(name).is_some())
}

/// Whether users other than its owner can open a file in a folder, as far as these two say.
fn is_open_to_others(file: &Path) -> bool {
    let mode = |path: &Path| path.metadata().map_or(0, |about| about.permissions().mode());
    let (file, folder) = (mode(file), file.parent().map_or(0o777, mode));
    (file & 0o040 != 0 && folder & 0o010 != 0) || (file & 0o004 != 0 && folder & 0o001 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_is_open_to_others_if_its_folder_is() {
        let place = tempfile::tempdir().unwrap();
        let (folder, file) = (place.path().join("keys"), place.path().join("keys/api_keys.env"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(&file, "").unwrap();
        let set = |path: &Path, mode| {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        };
        for (of_folder, of_file, expected) in [
            (0o755, 0o644, true),
            (0o750, 0o640, true),
            (0o755, 0o600, false),
            (0o700, 0o644, false),
            (0o701, 0o640, false),
        ] {
            set(&folder, of_folder);
            set(&file, of_file);
            assert_eq!(is_open_to_others(&file), expected, "{of_folder:o} {of_file:o}");
        }
    }
}
