//! Writes libtorch's folder into the library's run path, so that it is found without
//! LD_LIBRARY_PATH: first that of a bundle (scripts/bundle.sh), beside the library, then that of this
//! build.

use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let lib = std::env::var_os("LIBTORCH").map(PathBuf::from).unwrap_or_default().join("lib");
    // The link is resolved, so that a moved clone still finds the library in the user's cache.
    let lib = lib.canonicalize().unwrap_or(lib);
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/libtorch/lib:{}", lib.display());
}
