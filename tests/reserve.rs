//! Runs the scenarios of `real/reserve`, until the binary that runs all tests on real pages does.

#[path = "real/reserve/mod.rs"]
mod reserve;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(code) = reserve::play(&arguments) {
        return code;
    }
    let mut arguments = libtest_mimic::Arguments::from_args();
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, reserve::trials()).exit_code()
}
