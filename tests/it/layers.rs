//! The structure of the code, checked on its own imports: rooms import downward only, no two
//! modules import each other in a circle, and each foreign library has a single seam.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Layers from the bottom up. A room imports only from rooms of lower layers, and from none of its
/// own layer.
const LAYERS: [&[&str]; 14] = [
    &["errors", "files", "wording", "math", "compute", "interface"],
    &["market", "comm"],
    &["synthetic", "ingest"],
    &["source"],
    &["config"],
    &["features"],
    &["env", "rl", "strategy"],
    &["portfolio"],
    &["eval"],
    &["train", "runner", "study"],
    &["report"],
    &["agents", "trade"],
    &["cli"],
    &["commands"],
];

/// A foreign library, and the only modules that may name it.
const SEAMS: [(&str, &[&str]); 15] = [
    ("tch", &["rl/torch"]),
    ("libloading", &["rl/libtorch/library"]),
    ("mpi", &["comm/mpi"]),
    ("arrow2", &["market/panel/file"]),
    ("azure_storage_blobs", &["market/store/azure"]),
    ("polars_parquet", &["market/parquet"]),
    ("plotters", &["report/plot"]),
    ("encoding_rs", &["ingest/table"]),
    ("flate2", &["ingest/table"]),
    ("calamine", &["ingest/table/workbook"]),
    ("hyper", &["trade/serve"]),
    ("anstream", &["errors/colour"]),
    ("anstyle", &["errors/colour"]),
    ("clap_complete", &["commands/shell"]),
    ("clap_mangen", &["commands/shell"]),
];

/// A module's path from the root of the crate: `["market", "panel"]`.
type Module = Vec<String>;

/// A source file without comments, string contents and tests.
struct Source {
    module: Module,
    code: String,
    /// All paths in the code, with groups expanded.
    paths: Vec<Vec<String>>,
    /// Names that `use` imports into the module, with their paths.
    imports: BTreeMap<String, Vec<String>>,
}

struct Crate {
    sources: BTreeMap<Module, Source>,
}

impl Crate {
    fn read(root: &Path) -> Crate {
        let mut files = Vec::new();
        collect(root, &mut files);
        files.retain(|file| !file.ends_with("tests.rs") && *file != root.join("main.rs"));
        let modules = files.iter().map(|file| module_of(file.strip_prefix(root).unwrap()));
        let modules: BTreeSet<Module> = modules.collect();
        let mut sources = BTreeMap::new();
        for file in &files {
            let module = module_of(file.strip_prefix(root).unwrap());
            let inner = modules.iter().filter(|other| other.len() == module.len() + 1);
            let children = inner.filter(|other| other.starts_with(&module));
            let children: Vec<&str> = children.map(|child| child[module.len()].as_str()).collect();
            let code = without_tests(&stripped(&fs::read_to_string(file).unwrap()));
            sources.insert(module.clone(), Source::new(module, code, &children));
        }
        Crate { sources }
    }

    /// The module that defines what `path` names, seen from `from`. Re-exports are followed.
    fn definition(&self, from: &Module, path: &[String]) -> Option<Module> {
        let mut at: Module = match path.first()?.as_str() {
            "crate" => Vec::new(),
            "self" => from.clone(),
            "super" => from[..from.len().checked_sub(1)?].to_vec(),
            child => {
                let mut inner = from.clone();
                inner.push(child.into());
                return self.sources.contains_key(&inner).then(|| {
                    let mut whole = vec!["self".to_string()];
                    whole.extend_from_slice(path);
                    self.definition(from, &whole).unwrap()
                });
            }
        };
        for (i, segment) in path.iter().enumerate().skip(1) {
            if segment == "super" {
                at.pop();
                continue;
            }
            let mut inner = at.clone();
            inner.push(segment.clone());
            if self.sources.contains_key(&inner) {
                at = inner;
                continue;
            }
            let re_exported = self.sources.get(&at).and_then(|source| source.imports.get(segment));
            let Some(import) = re_exported.filter(|_| at != *from) else { return Some(at) };
            let mut whole = import.clone();
            whole.extend_from_slice(&path[i + 1..]);
            return self.definition(&at, &whole).or(Some(at));
        }
        Some(at)
    }

    /// The modules that each module imports from.
    fn imports(&self) -> BTreeMap<&Module, BTreeSet<Module>> {
        let of = |source: &Source| {
            let defined = source.paths.iter().filter_map(|p| self.definition(&source.module, p));
            defined.filter(|module| !module.is_empty() && *module != source.module).collect()
        };
        self.sources.iter().map(|(module, source)| (module, of(source))).collect()
    }
}

impl Source {
    fn new(module: Module, code: String, children: &[&str]) -> Source {
        let tokens = tokens(&code);
        let (mut paths, mut imports) = (Vec::new(), BTreeMap::new());
        let mut i = 0;
        while i < tokens.len() {
            let is_use = tokens[i] == "use";
            let at = if is_use { i + 1 } else { i };
            let begins = ["crate", "super", "self"].contains(&tokens[at].as_str())
                || (children.contains(&tokens[at].as_str()) && (at == 0 || tokens[at - 1] != "::"));
            let is_followed = tokens.get(at + 1).is_some_and(|token| token == "::");
            let starts_path = is_use || (begins && is_followed);
            if !starts_path {
                i += 1;
                continue;
            }
            let mut found = Vec::new();
            i = expand(&tokens, at, &[], is_use, &mut found).max(i + 1);
            for (path, name) in found {
                if is_use {
                    imports.insert(name, path.clone());
                }
                paths.push(path);
            }
        }
        Source { module, code, paths, imports }
    }
}

/// Reads the path that starts at token `i`, after `prefix`; a group in braces only if `groups` is
/// set. Returns the index of the token after it.
fn expand(
    tokens: &[String],
    mut i: usize,
    prefix: &[String],
    groups: bool,
    found: &mut Vec<(Vec<String>, String)>,
) -> usize {
    let mut path = prefix.to_vec();
    loop {
        match tokens.get(i).map(String::as_str) {
            Some("{") if groups => {
                i += 1;
                while tokens.get(i).is_some_and(|token| token != "}") {
                    i = expand(tokens, i, &path, groups, found);
                    i += usize::from(tokens.get(i).is_some_and(|token| token == ","));
                }
                return i + 1;
            }
            Some("*") if groups => i += 1,
            Some(name) if is_name(name) => {
                if name != "self" || path.is_empty() {
                    path.push(name.into());
                }
                i += 1;
                if tokens.get(i).is_some_and(|token| token == "::") {
                    i += 1;
                    continue;
                }
            }
            _ => {}
        }
        break;
    }
    let mut name = path.last().cloned().unwrap_or_default();
    if groups && tokens.get(i).is_some_and(|token| token == "as") {
        name = tokens[i + 1].clone();
        i += 2;
    }
    found.push((path, name));
    i
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Names, `::` and single other characters.
fn tokens(code: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let len = match first {
            c if c.is_alphanumeric() || c == '_' => {
                rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len())
            }
            ':' if rest.starts_with("::") => 2,
            c => c.len_utf8(),
        };
        if !first.is_whitespace() {
            tokens.push(rest[..len].into());
        }
        rest = &rest[len..];
    }
    tokens
}

/// The code without comments and string contents.
fn stripped(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let (mut in_text, mut escaped, mut before) = (false, false, ' ');
        for c in line.chars() {
            if !in_text && before == '/' && c == '/' {
                out.pop();
                break;
            }
            if c == '"' && !escaped && before != '\'' {
                in_text = !in_text;
            } else if !in_text {
                out.push(c);
            }
            escaped = in_text && c == '\\' && !escaped;
            before = c;
        }
        out.push('\n');
    }
    out
}

/// The code before the tests at the file's end, without imports for tests only.
fn without_tests(code: &str) -> String {
    let end = code.find("#[cfg(test)]\nmod tests {").unwrap_or(code.len());
    let mut out = String::new();
    let mut lines = code[..end].lines();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            lines.next();
        } else {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn module_of(file: &Path) -> Module {
    let without = file.with_extension("");
    let mut module: Module =
        without.components().map(|part| part.as_os_str().to_str().unwrap().to_string()).collect();
    if module.last().is_some_and(|name| name == "mod" || name == "lib") {
        module.pop();
    }
    module
}

fn layer(room: &str) -> usize {
    let found = LAYERS.iter().position(|layer| layer.contains(&room));
    found.unwrap_or_else(|| panic!("src/{room}: give the new room a layer in tests/it/layers.rs"))
}

fn source_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Rooms that import from a room of their own or a higher layer.
fn upward(krate: &Crate) -> Vec<String> {
    let mut found = Vec::new();
    for (module, imported) in krate.imports() {
        let Some(room) = module.first() else { continue };
        for other in imported.iter().filter(|other| other[0] != *room) {
            if layer(&other[0]) >= layer(room) {
                found.push(format!("{} imports {}", module.join("/"), other.join("/")));
            }
        }
    }
    found
}

/// Groups of modules that can all be reached from one another. A module that uses its parent's
/// definitions is not a circle.
fn circles(krate: &Crate) -> Vec<Vec<String>> {
    let mut reached: BTreeMap<&Module, BTreeSet<&Module>> = BTreeMap::new();
    let imports = krate.imports();
    for module in krate.sources.keys() {
        let mut seen = BTreeSet::new();
        let mut next = vec![module];
        while let Some(at) = next.pop() {
            let imported = imports[at].iter().filter(|other| !at.starts_with(other));
            for other in imported.filter_map(|other| krate.sources.get_key_value(other)) {
                if seen.insert(other.0) {
                    next.push(other.0);
                }
            }
        }
        reached.insert(module, seen);
    }
    let mut found = BTreeSet::new();
    for (module, seen) in &reached {
        if seen.contains(module) {
            let both = seen.iter().filter(|other| reached[**other].contains(module));
            found.insert(both.map(|module| module.join("/")).collect::<Vec<String>>());
        }
    }
    found.into_iter().collect()
}

/// Modules that name a foreign library outside its seam.
fn outside_seams(krate: &Crate) -> Vec<String> {
    let mut found = Vec::new();
    for source in krate.sources.values() {
        let (place, tokens) = (source.module.join("/"), tokens(&source.code));
        for (library, seam) in SEAMS {
            // A path's first segment: `crate::comm::mpi::MpiComm` names a module of ours.
            let is_first = |i: usize| i == 0 || tokens[i - 1] != "::";
            let names = |(i, pair): (usize, &[String])| {
                pair[0] == library && pair[1] == "::" && is_first(i)
            };
            let inside = seam.iter().any(|allowed| place.starts_with(allowed));
            if !inside && tokens.windows(2).enumerate().any(names) {
                found.push(format!("{place} names {library}"));
            }
        }
    }
    found
}

#[test]
fn rooms_import_downward_only() {
    let found = upward(&Crate::read(&source_root()));
    assert!(found.is_empty(), "upward imports:\n{}", found.join("\n"));
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let found = circles(&Crate::read(&source_root()));
    let told: Vec<String> = found.iter().map(|circle| circle.join(", ")).collect();
    assert!(found.is_empty(), "circles:\n{}", told.join("\n"));
}

#[test]
fn each_foreign_library_has_one_seam() {
    let found = outside_seams(&Crate::read(&source_root()));
    assert!(found.is_empty(), "outside their seams:\n{}", found.join("\n"));
}

/// Tests the checks on a small crate with one of each fault.
#[test]
fn planted_faults_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("market/mod.rs", "mod bar;\nmod file;\npub use bar::Bar;\n"),
        ("market/bar.rs", "use super::file::read;\n// use crate::eval::Hidden;\n"),
        ("market/file.rs", "use super::{Bar, bar};\nuse crate::{env::Costs as Paid, math};\n"),
        ("env.rs", "use crate::market::{self, Bar};\n#[cfg(test)]\nuse crate::train::Run;\n"),
        ("eval.rs", "fn run() { let _ = \"crate::train::x\"; tch::no_grad(|| 1) }\n"),
        ("math.rs", "#[cfg(test)]\nmod tests {\n    use crate::train::Run;\n}\n"),
    ];
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let krate = Crate::read(folder.path());
    assert_eq!(upward(&krate), ["market/file imports env"]);
    assert_eq!(circles(&krate), [["env", "market", "market/bar", "market/file"]]);
    assert_eq!(outside_seams(&krate), ["eval names tch"]);
}
