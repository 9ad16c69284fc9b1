//! Holds the direction of imports: each layer may use those below it and none above. See docs/architecture.md.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // clippy.toml exempts functions marked #[test], not their helpers

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The layers, lowest first. `render` and `probe` stand side by side: neither may use the other.
const LAYERS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("linux", &["domain"]),
    ("allocation", &["domain", "linux"]),
    ("exchange", &["domain", "linux"]),
    ("probe", &["domain", "linux", "allocation", "exchange"]),
    ("render", &["domain"]),
    ("kubernetes", &["domain", "linux", "allocation", "exchange", "probe", "render"]),
    ("cli", &["domain", "linux", "allocation", "exchange", "probe", "render", "kubernetes"]),
];

/// The only files that may hold `unsafe`.
const UNSAFE: &[&str] = &[
    "src/linux/map.rs",
    "src/linux/map/affinity.rs",
    "src/linux/map/segment.rs",
    "src/linux/map/policy.rs",
    "src/linux/fds.rs",
    "src/linux/signals.rs",
];

/// What `domain` must not touch: it is pure.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::process",
    "std::time",
    "std::env",
    "std::thread",
    "nix::",
    "libc::",
    "rustix::",
];

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

/// The modules of this crate that a text names: after `crate::`, in a brace list or alone, and after `hugeprobe::`.
fn used(text: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    let code = code(text);
    for prefix in ["crate::", "hugeprobe::"] {
        for (at, _) in code.match_indices(prefix) {
            let rest = &code[at + prefix.len()..];
            let names: Vec<String> = match rest.strip_prefix('{') {
                Some(list) => top_level_names(list),
                None => vec![rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()],
            };
            used.extend(names);
        }
    }
    used
}

/// The first path segment of each item of a brace list, nested lists being passed over.
fn top_level_names(list: &str) -> Vec<String> {
    let (mut depth, mut names, mut start) = (1, Vec::new(), true);
    let mut chars = list.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            ',' if depth == 1 => start = true,
            c if start && depth == 1 && (c.is_alphanumeric() || c == '_') => {
                let mut name = String::from(c);
                while let Some(next) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                    name.push(next);
                }
                names.push(name);
                start = false;
            }
            _ => {}
        }
    }
    names
}

#[test]
fn imports_point_downwards_only() {
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        let layer = name.strip_prefix("src/").unwrap().split(['/', '.']).next().unwrap();
        if ["lib", "main"].contains(&layer) {
            continue;
        }
        let (_, below) =
            LAYERS.iter().find(|(its, _)| *its == layer).unwrap_or_else(|| panic!("{name} is in no layer"));
        for module in used(&text) {
            if module != layer && !below.contains(&module.as_str()) {
                wrong.push(format!("{name} uses {module}"));
            }
        }
    }
    assert!(wrong.is_empty(), "upward imports:\n{}", wrong.join("\n"));
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

/// The test's own eyes: a reader that finds nothing would find nothing wrong.
#[test]
fn imports_are_seen_in_every_form() {
    let text = "use crate::domain::size;\nuse crate::{linux::{pools, mounts}, render};\nlet x = crate::cli::main();\n// crate::probe\n";
    let expected = ["cli", "domain", "linux", "render"].map(String::from);
    assert_eq!(used(text), BTreeSet::from(expected));
}
