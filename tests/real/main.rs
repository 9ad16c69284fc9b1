//! Tests on real huge pages, real cgroups and real mounts: one binary, whose tests run one after another.
//!
//! A test that needs something that this machine does not have (root, a pool, a controller) is ignored, with the
//! reason. With `HUGEPROBE_REQUIRE=1`, which `make test` sets, it fails. The exception are pages of 1Gi, if
//! `tests/hold-1gi` found that the kernel has fewer than two. Every page that a test adds to a pool is given back, and
//! a last test compares the pools with their state at the start.
//!
//! A test that fails while another program uses the pools runs again. If it never has the machine to itself, it is
//! ignored as `disturbed: ...`: it has neither passed nor failed. This is not a failure with `HUGEPROBE_REQUIRE=1`
//! either, because it proves nothing about the program and would make the result depend on luck. The summary of `make
//! test` counts such tests separately from those that passed.
// clippy.toml exempts tests, but only code marked by `cfg(test)`. A test binary with a runner of its own is not marked.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit
)]

mod allocation;
#[cfg(feature = "support")]
mod bundle;
mod cgroups;
mod container;
mod context;
mod cost;
mod disturbed;
mod fault;
mod kill;
mod killed;
mod limit;
mod mount;
mod peer;
mod peers;
mod pool;
mod reserve;
mod sharing;
mod spoilt;
mod testpmd;
mod walk;

use std::panic::{AssertUnwindSafe, catch_unwind};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use context::{Machine, Missing};
use disturbed::Ran;

/// A test: a name that is a sentence, and its function.
type Case = (&'static str, fn(&Machine) -> Result<(), Missing>);

fn main() -> std::process::ExitCode {
    // A child process of a test, started as `real --as NAME ...`: see `context::child`.
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(code) = context::child::main().or_else(|| reserve::play(&words)) {
        return code;
    }
    disturbed::mark();
    let mut arguments = Arguments::from_args();
    // One at a time, because the counters of a pool belong to the whole machine.
    arguments.test_threads = Some(1);
    let mut cases = [
        pool::CASES,
        mount::CASES,
        limit::CASES,
        allocation::CASES,
        walk::CASES,
        sharing::CASES,
        spoilt::CASES,
        fault::CASES,
        cgroups::CASES,
        container::CASES,
        cost::CASES,
        peer::CASES,
        testpmd::CASES,
        kill::CASES,
        killed::CASES,
    ]
    .concat();
    #[cfg(feature = "support")]
    cases.extend(bundle::CASES);
    cases.extend(peers::cases());
    cases.extend(reserve::cases());
    let mut trials: Vec<Trial> = cases.into_iter().map(|(name, run)| trial(name, run)).collect();
    let before = context::pools::snapshot();
    trials.push(Trial::ignorable_test("the pools are as they were before the tests", move || {
        match disturbed::settled(|| context::pools::snapshot() == before) {
            Ok(()) => Ok(Completion::Completed),
            Err(Some(who)) => Ok(Completion::ignored_with(format!("disturbed: {who}"))),
            Err(None) => {
                let after = context::pools::snapshot();
                Err(Failed::from(format!("before: {before:?}\nafter:  {after:?}")))
            }
        }
    }));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(name: &'static str, run: fn(&Machine) -> Result<(), Missing>) -> Trial {
    Trial::ignorable_test(name, move || match disturbed::again(name, || once(run)) {
        Ran::Ended(ended) => ended,
        Ran::Disturbed(who) => Ok(Completion::ignored_with(format!("disturbed: {who}"))),
    })
}

/// Runs a test. A missing requirement is one of its results, and a panic is a failure.
fn once(run: fn(&Machine) -> Result<(), Missing>) -> Result<Completion, Failed> {
    match catch_unwind(AssertUnwindSafe(|| run(&Machine::new()))) {
        Ok(Ok(())) => Ok(Completion::Completed),
        Ok(Err(Missing(what)))
            if what.starts_with(context::pools::NO_OTHERS)
                || what.starts_with(peers::NOT_BUILT)
                || what.contains("pages of 1Gi") && is("HUGEPROBE_WITHOUT", "1Gi") =>
        {
            Ok(Completion::ignored_with(format!("needs {what}")))
        }
        Ok(Err(Missing(what))) if is("HUGEPROBE_REQUIRE", "1") => {
            Err(Failed::from(format!("needs {what}, and HUGEPROBE_REQUIRE=1")))
        }
        Ok(Err(Missing(what))) => Ok(Completion::ignored_with(format!("needs {what}"))),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(Failed::from(format!("test panicked: {}", text.unwrap_or("no text"))))
        }
    }
}

fn is(variable: &str, value: &str) -> bool {
    std::env::var_os(variable).is_some_and(|its| its == value)
}
