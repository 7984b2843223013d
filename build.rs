//! Tells the program the version of the libtorch that its library is built against.

use std::path::PathBuf;

/// In libtorch's folder, its version.
const VERSION: &str = "build-version";

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let mut version = String::from("none");
    if std::env::var_os("CARGO_FEATURE_TORCH").is_some() {
        let libtorch = std::env::var_os("LIBTORCH").map(PathBuf::from).unwrap_or_default();
        let file = libtorch.join(VERSION);
        println!("cargo:rerun-if-changed={}", file.display());
        let found = std::fs::read_to_string(file).unwrap_or_default();
        version = if found.trim().is_empty() { "unknown".into() } else { found.trim().into() };
    }
    println!("cargo:rustc-env=DQN_TRADER_LIBTORCH_VERSION={version}");
}
