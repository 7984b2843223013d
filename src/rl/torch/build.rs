//! Writes libtorch's folder into the library's run path, so that it is found without
//! LD_LIBRARY_PATH.

use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let lib = std::env::var_os("LIBTORCH").map(PathBuf::from).unwrap_or_default().join("lib");
    // The link is resolved, so that a moved clone still finds the library in the user's cache.
    let lib = lib.canonicalize().unwrap_or(lib);
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
}
