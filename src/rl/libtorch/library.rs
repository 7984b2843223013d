//! Finds and loads the library, once per process.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::TorchError;
use super::table::{FunctionTable, SYMBOL, TableOf, VERSION};

/// Advice if it is missing or of another version.
const BUILD: &str = "build both with `cargo build --release`";

/// The library's functions. It stays open until the process ends.
pub(super) fn functions() -> Result<&'static FunctionTable, TorchError> {
    static TABLE: OnceLock<Result<&'static FunctionTable, TorchError>> = OnceLock::new();
    TABLE.get_or_init(|| open(&find()?)).clone()
}

/// The path of the library: `DQN_TRADER_TORCH_LIBRARY`, else where cargo puts it for programs, else
/// next to the program, else where cargo puts it for examples. Cargo's own place comes first: a
/// build of the program alone leaves an older copy next to it as it was. Errors: it is not found.
fn find() -> Result<PathBuf, TorchError> {
    const NAME: &str = "libdqn_trader_torch.so";
    const VARIABLE: &str = "DQN_TRADER_TORCH_LIBRARY";
    if let Some(path) = std::env::var_os(VARIABLE).map(PathBuf::from) {
        let missing = || TorchError::new(format!("{VARIABLE}: {}: no such file", path.display()));
        return if path.is_file() { Ok(path) } else { Err(missing()) };
    }
    let program = std::env::current_exe();
    let program = program.map_err(|error| TorchError::new(format!("the program: {error}")))?;
    let folder = program.parent().unwrap_or(&program);
    let candidates = ["deps", "", "../deps"].map(|place| folder.join(place).join(NAME));
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        TorchError::new(format!(
            "{NAME}, which loads libtorch, was not found in {}; {BUILD}, or set {VARIABLE} to its \
             path",
            folder.display()
        ))
    })
}

fn open(path: &Path) -> Result<&'static FunctionTable, TorchError> {
    let wrong = |what: String| TorchError::new(format!("{}: {what}", path.display()));
    // SAFETY: it is our own library, and libtorch's initializers do not affect this program.
    let library = unsafe { libloading::Library::new(path) };
    let library = library.map_err(|error| {
        let hint = "run scripts/setup.sh if libtorch is what is missing";
        wrong(format!("cannot be opened: {error}; {hint}, or {BUILD}"))
    })?;
    let other = || wrong(format!("is of another version than this program; {BUILD}"));
    // SAFETY: our library exports it with this type in every version.
    let table_of = unsafe { library.get::<TableOf>(SYMBOL) }.map_err(|_| other())?;
    let table = table_of();
    // libtorch's threads and destructors would not survive unloading.
    std::mem::forget(library);
    // SAFETY: the version is the first field in every version.
    let version = unsafe { table.cast::<u64>().read() };
    if version != VERSION {
        return Err(other());
    }
    // SAFETY: a static of the library, which stays loaded, and of the type of this version.
    Ok(unsafe { &*table })
}
