//! From nothing to bars for training: fetch, import, check, upload.
//!
//! The data service is a test server with responses in the documented format of the real one.

mod fetch;
mod import;
mod layouts;
mod moved;
mod nightly;
mod service;
mod upload;

use std::collections::BTreeMap;
use std::path::Path;

use crate::program::Place;

/// A key in the format of the service.
const KEY: &str = "ABCD1234EFGH5678";

/// Day files below a folder, by path.
fn day_files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "parquet") {
                let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// The error line of a command that must fail with exit code 2; it must contain all of `words`.
fn refused(command: &mut std::process::Command, words: &[&str]) -> String {
    let output = crate::program::run(command);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{stderr}");
    for word in words {
        assert!(errors[0].contains(word), "{word:?} is missing in: {}", errors[0]);
    }
    assert!(!stderr.contains(KEY), "the key shows: {stderr}");
    errors[0].to_string()
}

/// The program with a key and arguments.
fn with_key(place: &Place, args: &[&str]) -> std::process::Command {
    let mut command = place.program(args);
    command.env("ALPHAVANTAGE_API_KEY", KEY);
    command
}
