//! `hugeprobe check`.

use std::path::{Path, PathBuf};

use hugeprobe_domain::request::Request;
use hugeprobe_linux::root::HostRoot;
#[cfg(feature = "support")]
use hugeprobe_probe::bundle;
use hugeprobe_probe::check::{self, CheckError};
use hugeprobe_render::{Detail, Style, render};

use super::args::{Check, FailOn};
use super::exit::Exit;
use super::{Trouble, print, terminal};

/// Runs the checks and prints the report.
pub(super) fn run(options: &Check) -> Result<Exit, Trouble> {
    let request = Request::from(&options.what);
    request.validate().map_err(|error| Trouble::usage(&error))?;
    let tree = options.root.as_deref().map(Tree::open).transpose()?;
    let root = tree.as_ref().map(|tree| HostRoot::new(tree.path())).unwrap_or_default();
    let mut progress = terminal::progress();
    let report = check::run(&root, &request, &mut progress);
    progress.clear();
    let report = report.map_err(trouble)?;
    let detail = match (options.quiet, options.verbose) {
        (true, _) => Detail::Quiet,
        (false, true) => Detail::Verbose,
        (false, false) => Detail::Normal,
    };
    print(|out| render(&report, options.output, out, Style { detail, ..terminal::style() }))?;
    Ok(Exit::of(report.verdict, options.fail_on == FailOn::Warn))
}

/// What `--root` names.
enum Tree {
    Directory(PathBuf),
    /// A bundle, which is removed again when the run has ended.
    #[cfg(feature = "support")]
    Bundle(bundle::Unpacked),
}

impl Tree {
    fn open(path: &Path) -> Result<Self, Trouble> {
        if path.is_dir() {
            return Ok(Self::Directory(path.to_owned()));
        }
        #[cfg(feature = "support")]
        if path.is_file() {
            return bundle::open(path)
                .map(Self::Bundle)
                .map_err(|error| Trouble::usage(&format!("--root: {error}")));
        }
        Err(Trouble::usage(&format!("--root {}: no such directory", path.display())))
    }

    fn path(&self) -> PathBuf {
        match self {
            Self::Directory(path) => path.clone(),
            #[cfg(feature = "support")]
            Self::Bundle(unpacked) => unpacked.root(),
        }
    }
}

/// Maps an error of a run to an exit code. An option that requires root is a usage error for other users.
pub(super) fn trouble(error: CheckError) -> Trouble {
    match error {
        CheckError::Reserve(error) if error.is_usage() => Trouble::usage(&error),
        CheckError::Cgroup(_) | CheckError::Listen(_) => Trouble::usage(&error),
        error => Trouble::unknown(&error),
    }
}
