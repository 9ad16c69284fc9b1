//! Tests on emulated machines: several NUMA nodes, and kernels older and newer than this one's.
//!
//! `make machines` prepares what they boot and says where it is; without that they show as ignored.
// clippy.toml's exemption of tests is for what `cfg(test)` marks, and a runner of its own is not marked.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod four_nodes;
mod gigantic;
mod kernels;
mod machine;
mod places;
mod two_nodes;

use std::path::Path;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// A test: a name that is a sentence, and what it does with what was prepared.
type Case = (&'static str, fn(&Path));

fn main() -> std::process::ExitCode {
    let mut arguments = Arguments::from_args();
    // Each machine has as many processors as it has nodes, all of them emulated.
    arguments.test_threads = Some(1);
    let cases =
        [two_nodes::CASES, four_nodes::CASES, gigantic::CASES, kernels::CASES, places::CASES].concat();
    let trials = cases.into_iter().map(|(name, run)| {
        Trial::ignorable_test(name, move || match machine::prepared() {
            Some(prepared) => {
                run(&prepared);
                Ok::<_, Failed>(Completion::Completed)
            }
            None => Ok(Completion::ignored_with("needs `make machines`")),
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
