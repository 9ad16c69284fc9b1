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
    let cases = [two_nodes::CASES, four_nodes::CASES, gigantic::CASES, kernels::CASES].concat();
    let always = cases.into_iter().map(|case| trial(case, || true, "needs `make machines`"));
    let places = places::CASES.iter().map(|case| trial(*case, places::are_wanted, places::LEFT_OUT));
    libtest_mimic::run(&arguments, always.chain(places).collect()).exit_code()
}

/// Returns the test of a case, which is left out if the machines are not prepared or it is not wanted.
fn trial((name, run): Case, is_wanted: fn() -> bool, left_out: &'static str) -> Trial {
    Trial::ignorable_test(name, move || match machine::prepared().filter(|_| is_wanted()) {
        Some(prepared) => {
            run(&prepared);
            Ok::<_, Failed>(Completion::Completed)
        }
        None => Ok(Completion::ignored_with(left_out)),
    })
}
