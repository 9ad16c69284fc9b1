//! `hugeprobe check`.

use hugeprobe_domain::request::Request;
use hugeprobe_linux::root::HostRoot;
use hugeprobe_probe::check::{self, CheckError};
use hugeprobe_render::{Detail, Style, render};

use super::args::{Check, FailOn};
use super::exit::Exit;
use super::{Trouble, print, terminal};

/// Runs the checks and prints the report.
pub(super) fn run(options: &Check) -> Result<Exit, Trouble> {
    let request = Request::from(options);
    request.validate().map_err(|error| Trouble::usage(&error))?;
    let root = match &options.root {
        Some(tree) if !tree.is_dir() => {
            return Err(Trouble::usage(&format!("--root {}: no such directory", tree.display())));
        }
        Some(tree) => HostRoot::new(tree),
        None => HostRoot::default(),
    };
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

/// Maps an error of a run to an exit code. An option that requires root is a usage error for other users.
pub(super) fn trouble(error: CheckError) -> Trouble {
    match error {
        CheckError::Reserve(error) if error.is_usage() => Trouble::usage(&error),
        CheckError::Cgroup(_) | CheckError::Listen(_) => Trouble::usage(&error),
        error => Trouble::unknown(&error),
    }
}
