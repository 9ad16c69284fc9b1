//! Sets what `hugeprobe --version` prints after the version: commit, target and features.

#![allow(clippy::print_stdout)] // Cargo reads standard output

use std::env;
use std::path::Path;
use std::process::Command;

/// The length of the printed commit id. HUGEPROBE_COMMIT may be longer, but every build of a commit must have the same
/// bytes.
const DIGITS: usize = 12;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=HUGEPROBE_COMMIT");
    let commit = env::var("HUGEPROBE_COMMIT")
        .ok()
        .filter(|id| !id.is_empty())
        .or_else(head)
        .unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=HUGEPROBE_COMMIT={}", commit.chars().take(DIGITS).collect::<String>());
    println!(
        "cargo::rustc-env=HUGEPROBE_TARGET={}",
        env::var("TARGET").unwrap_or_else(|_| "unknown".to_owned())
    );
    println!("cargo::rustc-env=HUGEPROBE_FEATURES={}", features());
}

/// Returns the enabled features, without `default`.
fn features() -> String {
    let mut names: Vec<String> = env::vars()
        .filter_map(|(name, _)| name.strip_prefix("CARGO_FEATURE_").map(str::to_lowercase))
        .filter(|name| name != "default")
        .collect();
    names.sort();
    if names.is_empty() { "none".to_owned() } else { names.join(" ") }
}

/// Returns the commit of this clone or worktree, in builds that inherit from the release profile. A debug build mostly
/// contains edited files, which no commit describes, and it would have to compile every test again after each commit.
/// Without `.git` in this directory, an enclosing repository is a different project.
fn head() -> Option<String> {
    if env::var("PROFILE").is_ok_and(|profile| profile == "debug") || !Path::new(".git").exists() {
        return None;
    }
    // The log of HEAD changes with every commit and checkout; HEAD itself changes only with a checkout. Cargo would run
    // this script in every build if one of the paths did not exist.
    for name in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
