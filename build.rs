//! Writes libtorch's folder into the binary's run path, so that it starts without LD_LIBRARY_PATH,
//! and tells the program its version.

use std::path::PathBuf;

/// In libtorch's folder, its version.
const VERSION: &str = "build-version";

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let libtorch = std::env::var_os("LIBTORCH").map(PathBuf::from).unwrap_or_default();
    let lib = libtorch.join("lib");
    // The link is resolved, so that a moved clone still finds the library in the user's cache.
    let lib = lib.canonicalize().unwrap_or(lib);
    let version = libtorch.join(VERSION);
    println!("cargo:rerun-if-changed={}", version.display());
    let version = std::fs::read_to_string(version).unwrap_or_default();
    let version = if version.trim().is_empty() { "unknown" } else { version.trim() };
    println!("cargo:rustc-env=DQN_TRADER_LIBTORCH_VERSION={version}");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
}
