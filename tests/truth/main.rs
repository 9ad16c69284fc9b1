//! The truth table. For each row, a fault is made, `hugeprobe check` and the real workload are run with that fault, and
//! the two results are compared. hugeprobe is worth installing only if its verdict predicts the workload; the table
//! shows how well it does, in numbers.
//!
//! `make truth` runs it. It needs root, huge pages, testpmd, QEMU and a machine that no other program uses. It sets
//! `HUGEPROBE_TRUTH=1`. Without this variable the test does nothing, so that `cargo test` can pass anywhere. With it,
//! no row is left out silently: if the machine lacks something that a row needs, that is an error.
//!
//! `HUGEPROBE_TRUTH=1 cargo test --test truth -- WORD...` runs the rows whose name contains every WORD, and writes no
//! table. `--list` lists the names of all rows.
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

#[allow(dead_code, unreachable_pub, reason = "shared with tests/real, which uses the rest of it")]
#[path = "../real/context/mod.rs"]
mod context;

mod bounds;
mod case;
mod compare;
mod interrupt;
mod nodes;
mod peers;
mod place;
mod places;
mod process;
mod rows;
mod run;
mod scene;
mod table;
mod workload;

use std::process::ExitCode;
use std::time::Instant;

use libtest_mimic::{Arguments, Completion, Trial};

use compare::Standing;
use run::compare;
use scene::Stage;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(code) = place::play(&words).or_else(|| places::play(&words)).or_else(context::child::main) {
        return code;
    }
    if words.iter().any(|word| word == "--list") {
        case::all().iter().for_each(|case| println!("{}", case.name()));
        return ExitCode::SUCCESS;
    }
    if let Some(asked) = places::asked() {
        interrupt::watch();
        return places::main(&asked);
    }
    if std::env::var_os("HUGEPROBE_TRUTH").is_none_or(|value| value != "1") {
        // Reported as every test runner does, so that the summary of `make test` names what was left out.
        let left_out = Trial::ignorable_test("the truth table", || {
            Ok(Completion::ignored_with("made by `make truth`, with the pools of the machine to itself"))
        });
        let trials = places::tests().chain([left_out]).collect();
        return libtest_mimic::run(&Arguments::from_args(), trials).exit_code();
    }
    // Options that cargo passes to every test harness, such as `--nocapture`, are not names of rows.
    let wanted: Vec<String> = words.into_iter().filter(|word| !word.starts_with('-')).collect();
    interrupt::watch();
    let begin = Instant::now();
    let stage = Stage::new();
    let before = context::pools::snapshot();
    let mut cases = case::all();
    cases.retain(|case| wanted.iter().all(|word| case.name().contains(word.as_str())));
    let exceptions = bounds::exceptions();
    let mut compared = Vec::new();
    for case in &cases {
        if interrupt::is_asked() {
            return ExitCode::FAILURE;
        }
        let one = compare(&stage, case, exceptions.contains(&case.name()));
        println!("{one}");
        compared.push(one);
    }
    let after = context::pools::snapshot();
    let standing = Standing::of(&compared, &exceptions);
    println!("\n{standing}");
    println!("{} rows in {} s", compared.len(), begin.elapsed().as_secs());
    let mut good = standing.is_good();
    if before != after {
        eprintln!("the pools are not as before: {before:?}\n{after:?}");
        good = false;
    }
    if wanted.is_empty() {
        table::write(&compared, &standing);
        good &= bounds::hold(compared.len(), compared.len() - standing.left_out);
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
