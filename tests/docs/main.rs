//! The texts for readers: every link leads somewhere, lines fit, and the language is plain, in pages and in what the
//! program prints.
#![allow(clippy::unwrap_used, clippy::panic)] // clippy.toml exempts functions marked #[test], not their helpers

mod gates;
mod links;
mod literals;
mod phrases;
mod texts;

use std::fs;
use std::path::{Path, PathBuf};

/// Pages that are made from a source in `src/` or by `make truth`. Their text is checked at its source.
const GENERATED: &[&str] = &[
    "docs/reference/checks.md",
    "docs/reference/cli.md",
    "docs/reference/troubleshooting.md",
    "docs/internals/truth-table.md",
];

/// The repository.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file of the repository.
fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All pages, as paths from the repository's root.
fn pages() -> Vec<String> {
    let mut pages: Vec<String> = [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "packaging/README.md",
        "charts/hugeprobe/README.md",
        "examples/README.md",
        "src/exchange/README.md",
    ]
    .map(str::to_owned)
    .to_vec();
    collect(&root().join("docs"), "md", &mut pages);
    pages.sort();
    pages
}

/// Adds the files below `directory` whose names have this extension, as paths from the repository's root.
fn collect(directory: &Path, extension: &str, files: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, extension, files);
        } else if path.extension().is_some_and(|its| its == extension) {
            files.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
        }
    }
}

/// The lines of a page outside code blocks, with their numbers.
fn prose(page: &str) -> Vec<(usize, &str)> {
    let mut code = false;
    let lines = page.lines().enumerate().map(|(index, line)| (index + 1, line));
    lines
        .filter(|(_, line)| {
            let fence = line.trim_start().starts_with("```");
            code ^= fence;
            !code && !fence
        })
        .collect()
}

#[test]
fn pages_wrap_at_100_columns() {
    // Lists of one entry a line, or made from values.yaml.
    const LISTS: &[&str] = &["docs/SUMMARY.md", "charts/hugeprobe/README.md"];
    for page in
        pages().iter().filter(|page| !GENERATED.contains(&page.as_str()) && !LISTS.contains(&page.as_str()))
    {
        for (number, line) in prose(&text(page)) {
            // A table row is one line, and a link or path is not broken.
            let may_be_long = line.starts_with('|') || !line.trim_start_matches(['-', ' ']).contains(' ');
            assert!(may_be_long || line.chars().count() <= 100, "{page}:{number} is longer than 100 columns");
        }
    }
}

#[test]
fn make_help_has_every_verb() {
    let makefile = text("Makefile");
    let phony = makefile.split_once(".PHONY:").unwrap().1.replace("\\\n", " ");
    for verb in phony.lines().next().unwrap().split_whitespace() {
        let (before, _) =
            makefile.split_once(&format!("\n{verb}:")).unwrap_or_else(|| panic!("no rule for {verb}"));
        let comments = before.lines().rev().take_while(|line| line.starts_with('#') || line.contains(" ?= "));
        assert!(comments.into_iter().any(|line| line.starts_with("## ")), "{verb} has no '## ' comment");
    }
}
