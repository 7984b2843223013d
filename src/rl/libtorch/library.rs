//! Finds and opens the library, once per process.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::TorchError;
use super::table::{SYMBOL, Table, TableOf, VERSION};

/// What to do where it is missing or of another build.
const BUILD: &str = "build both with `cargo build --release`";

/// The library's functions. It stays open until the process ends.
pub(super) fn functions() -> Result<&'static Table, TorchError> {
    static TABLE: OnceLock<Result<&'static Table, TorchError>> = OnceLock::new();
    TABLE.get_or_init(|| open(&find()?)).clone()
}

/// Where the library is: as `DQN_TRADER_TORCH_LIBRARY` says, else beside the program, else where
/// cargo puts it for programs, tests and examples.
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
    let candidates = ["", "deps", "../deps"].map(|place| folder.join(place).join(NAME));
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        TorchError::new(format!(
            "{NAME}, with which the program uses libtorch, is not in {}; {BUILD}, or name it in \
             {VARIABLE}",
            folder.display()
        ))
    })
}

fn open(path: &Path) -> Result<&'static Table, TorchError> {
    let wrong = |what: String| TorchError::new(format!("{}: {what}", path.display()));
    // SAFETY: it is our own library; what libtorch does as it is loaded touches nothing of ours.
    let library = unsafe { libloading::Library::new(path) };
    let library = library.map_err(|error| {
        let hint = "run scripts/setup.sh if libtorch is what is missing";
        wrong(format!("cannot be opened: {error}; {hint}, or {BUILD}"))
    })?;
    let other = || wrong(format!("is of another version than this program; {BUILD}"));
    // SAFETY: a library of ours has it with this type in every version.
    let table_of = unsafe { library.get::<TableOf>(SYMBOL) }.map_err(|_| other())?;
    let table = table_of();
    // libtorch's threads and destructors do not survive it being closed.
    std::mem::forget(library);
    // SAFETY: its version is the first of its fields in every version.
    let version = unsafe { table.cast::<u64>().read() };
    if version != VERSION {
        return Err(other());
    }
    // SAFETY: a static of the library, which stays open, and of the type that this program knows.
    Ok(unsafe { &*table })
}
