//! Checks what the compiler does not: which files may hold `unsafe`, that `domain` uses no system, that no files import
//! each other in a circle, and that files stay small. Each layer is a crate, so that the compiler refuses an import that
//! points upwards. See docs/internals/architecture.md.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // clippy.toml exempts functions marked #[test], not their helpers

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The only files that may hold `unsafe`.
const UNSAFE: &[&str] = &[
    "src/linux/map.rs",
    "src/linux/map/affinity.rs",
    "src/linux/map/segment.rs",
    "src/linux/map/policy.rs",
    "src/linux/map/prefetch.rs",
    "src/linux/fds.rs",
    "src/linux/seccomp.rs",
    "src/linux/signals.rs",
];

/// The parts of the standard library that `domain` must not use: it has no I/O and no clock. Its Cargo.toml has no crate
/// that offers them.
const IMPURE: &[&str] = &["std::fs", "std::net", "std::process", "std::time", "std::env", "std::thread"];

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    rust_files(&root.join("src"))
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect()
}

/// The text without line comments.
fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_domain_is_pure() {
    let mut wrong = Vec::new();
    for (name, text) in sources().iter().filter(|(name, _)| name.starts_with("src/domain/")) {
        wrong.extend(
            IMPURE
                .iter()
                .filter(|path| code(text).contains(**path))
                .map(|path| format!("{name} uses {path}")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_lives_in_few_files() {
    for (name, text) in sources() {
        let code = code(&text);
        let has_unsafe =
            code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl");
        assert!(!has_unsafe || UNSAFE.contains(&name.as_str()), "{name} has unsafe code");
        assert!(
            !code.contains("allow(unsafe_code)") || UNSAFE.contains(&name.as_str()),
            "{name} allows unsafe code"
        );
    }
}

#[test]
fn files_are_small_enough_to_have_one_purpose() {
    for (name, text) in
        sources().iter().filter(|(name, _)| !name.ends_with("/tests.rs") && !name.contains("/tests/"))
    {
        assert!(text.lines().count() <= 400, "{name} has {} lines: split it", text.lines().count());
    }
}

/// By module path (`domain::check`), each file of src and the files that it imports from.
type Imports = BTreeMap<String, (String, BTreeSet<String>)>;

/// The module path of a file of src.
fn module_of(name: &str) -> String {
    let path = name.trim_start_matches("src/").trim_end_matches(".rs");
    let path = path.trim_end_matches("/mod").trim_end_matches("/lib");
    path.replace('/', "::")
}

/// The text without its tests: `#[cfg(test)]` before a module in braces.
fn without_tests(text: &str) -> String {
    let mut rest = text;
    let mut kept = String::new();
    while let Some(at) = rest.find("#[cfg(test)]\nmod ") {
        kept.push_str(&rest[..at]);
        rest = &rest[at..];
        let (brace, semicolon) = (rest.find('{').unwrap_or(usize::MAX), rest.find(';').unwrap_or(usize::MAX));
        if semicolon < brace {
            rest = &rest[semicolon + 1..];
            continue;
        }
        let mut depth = 0;
        let end = rest.char_indices().skip(brace).find(|(_, c)| {
            depth += match c {
                '{' => 1,
                '}' => -1,
                _ => 0,
            };
            *c == '}' && depth == 0
        });
        rest = end.map_or("", |(end, _)| &rest[end + 1..]);
    }
    kept + rest
}

/// The paths of a `use` declaration, its braces undone: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn paths_of(declaration: &str) -> Vec<String> {
    let Some((before, list)) = declaration.split_once('{') else {
        let path = declaration.split(" as ").next().unwrap_or_default();
        return vec![path.split_whitespace().collect()];
    };
    let list = list.rsplit_once('}').map_or(list, |(list, _)| list);
    let (mut items, mut depth) = (vec![String::new()], 0);
    for c in list.chars() {
        match c {
            ',' if depth == 0 => items.push(String::new()),
            _ => {
                depth += match c {
                    '{' => 1,
                    '}' => -1,
                    _ => 0,
                };
                items.last_mut().unwrap().push(c);
            }
        }
    }
    let items = items.iter().map(|item| item.trim()).filter(|item| !item.is_empty());
    items.flat_map(|item| paths_of(&format!("{}{item}", before.trim()))).collect()
}

/// The file that a path leads to from a file of this module; `None` for what is not of this crate.
fn file_of(path: &str, module: &str, files: &BTreeSet<String>) -> Option<String> {
    let mut from: Vec<&str> = if module.is_empty() { Vec::new() } else { module.split("::").collect() };
    let mut names = path.split("::").peekable();
    match names.peek()? {
        // The root of a layer's crate is its folder; that of the program is src.
        &"crate" => from.truncate(usize::from(from.first() != Some(&"cli"))),
        &"self" | &"super" => {}
        name if files.contains(&[module, *name].join("::")) => {}
        _ => return None,
    }
    for name in names {
        match name {
            "crate" | "self" => {}
            "super" => drop(from.pop()),
            name => from.push(name),
        }
    }
    while !from.is_empty() {
        let module = from.join("::");
        if files.contains(&module) {
            return Some(module);
        }
        from.pop();
    }
    None
}

/// What each file imports: by `use`, and by a path that begins with `crate::` or `super::`. A `pub use` of a file's own child
/// is no import.
fn imports(sources: &[(String, String)]) -> Imports {
    let sources: Vec<_> = sources
        .iter()
        .filter(|(name, _)| !name.ends_with("/tests.rs") && !name.contains("/tests/"))
        .filter(|(name, _)| !["src/lib.rs", "src/main.rs"].contains(&name.as_str()))
        .map(|(name, text)| (module_of(name), name.clone(), code(&without_tests(text))))
        .collect();
    let files: BTreeSet<String> = sources.iter().map(|(module, ..)| module.clone()).collect();
    let mut imports = Imports::new();
    for (module, name, text) in &sources {
        let mut used = BTreeSet::new();
        for statement in text.split_inclusive([';', '{', '}']).scan(String::new(), |open, piece| {
            // A `use` with braces is more than one piece: it goes on to the semicolon.
            open.push_str(piece);
            let begins = open.trim_start();
            let is_use =
                begins.starts_with("use ") || (begins.starts_with("pub") && begins.contains(" use "));
            Some(if is_use && !piece.ends_with(';') { String::new() } else { std::mem::take(open) })
        }) {
            let statement = statement.trim();
            let (visibility, declaration) = match statement.split_once("use ") {
                Some((before, rest)) if before.is_empty() || before.trim_end().starts_with("pub") => {
                    (before, rest)
                }
                _ => {
                    used.extend(inline_paths(statement).filter_map(|path| file_of(&path, module, &files)));
                    continue;
                }
            };
            for path in paths_of(declaration.trim_end_matches(';')) {
                let Some(file) = file_of(&path, module, &files) else { continue };
                let is_child = file.starts_with(&format!("{module}::"));
                if visibility.is_empty() || !is_child {
                    used.insert(file);
                }
            }
        }
        used.remove(module);
        imports.insert(module.clone(), (name.clone(), used));
    }
    imports
}

/// The paths in a text that begin with `crate::` or `super::`.
fn inline_paths(text: &str) -> impl Iterator<Item = String> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    text.split(move |c| !is_name(c))
        .filter(|word| word.starts_with("crate::") || word.starts_with("super::"))
        .map(str::to_owned)
}

/// A way from `module` back to itself; empty if there is none.
fn circle(module: &str, imports: &Imports) -> Vec<String> {
    let mut ways = vec![vec![module.to_owned()]];
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop() {
        for next in &imports[way.last().unwrap()].1 {
            let way = [&way[..], std::slice::from_ref(next)].concat();
            if next == module {
                return way.iter().map(|module| imports[module].0.clone()).collect();
            }
            if seen.insert(next.clone()) {
                ways.insert(0, way);
            }
        }
    }
    Vec::new()
}

#[test]
fn no_circle_of_files() {
    let imports = imports(&sources());
    let circles = imports.keys().map(|module| circle(module, &imports));
    let circles: BTreeSet<Vec<String>> = circles.filter(|circle| !circle.is_empty()).collect();
    let circles: Vec<_> = circles.iter().map(|circle| circle.join(" -> ")).collect();
    assert!(circles.is_empty(), "files import each other in a circle:\n{}", circles.join("\n"));
}

/// The test's own eyes: a circle of each form is seen, and what is none is not.
#[test]
fn circles_are_seen_in_every_form() {
    let circles = |files: &[(&str, &str)]| {
        let files: Vec<_> =
            files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let imports = imports(&files);
        imports.keys().filter(|module| !circle(module, &imports).is_empty()).cloned().collect::<Vec<_>>()
    };
    let both = ["a::x", "a::y"];
    let a = ("src/a/lib.rs", "pub mod x;\npub mod y;\npub use x::X;\n");
    for (x, y) in [
        ("use super::y::Y;", "use super::x::X;"),
        ("use crate::{\n    y::{Y, Z},\n};", "pub(super) use crate::x;"),
        ("use super::y::Y as Other;", "fn f() { crate::x::g(); }"),
    ] {
        assert_eq!(circles(&[a, ("src/a/x.rs", x), ("src/a/y.rs", y)]), both, "{x} {y}");
    }
    for (x, y) in [
        ("use super::y::Y;", "use std::fmt;"),
        (
            "use super::y::Y;",
            "// use super::x::X;\n#[cfg(test)]\nmod tests {\n    use super::super::x::X;\n}\n",
        ),
        ("use super::y::Y;", "#[cfg(test)]\nmod tests;\n"),
    ] {
        assert_eq!(circles(&[a, ("src/a/x.rs", x), ("src/a/y.rs", y)]), [""; 0], "{x} {y}");
    }
    let parent = ("src/a/lib.rs", "mod x;\nuse x::X;\n");
    assert_eq!(circles(&[parent, ("src/a/x.rs", "use super::A;")]), ["a", "a::x"]);
}
