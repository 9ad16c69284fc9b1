//! The truth table: a fault is made, `hugeprobe check` is run in it and the real workload is run in it, and the two are
//! compared. What makes hugeprobe worth installing is that its verdict predicts the workload; this is that, as a number.
//!
//! `make truth` runs it: root, huge pages, testpmd and QEMU, nobody else on the machine. Without `HUGEPROBE_TRUTH=1`,
//! which that sets, it does nothing, so that `cargo test` can pass anywhere; with it, no row is left out in silence: what
//! a row needs and the machine has not is an error.
//!
//! `HUGEPROBE_TRUTH=1 cargo test --test truth -- WORD...` runs the rows whose name has every WORD, and writes no table;
//! `--list` names them all.
// clippy.toml's exemption of tests is for what `cfg(test)` marks, and a runner of its own is not marked.
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
mod peers;
mod place;
mod process;
mod rows;
mod scene;
mod table;
mod workload;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::Instant;

use libtest_mimic::{Arguments, Completion, Trial};

use case::Case;
use compare::{Compared, NotRun, Standing};
use scene::{Scene, Stage};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(code) = place::play(&words).or_else(context::child::main) {
        return code;
    }
    if words.iter().any(|word| word == "--list") {
        case::all().iter().for_each(|case| println!("{}", case.name()));
        return ExitCode::SUCCESS;
    }
    if std::env::var_os("HUGEPROBE_TRUTH").is_none_or(|value| value != "1") {
        // As every runner says it, so that the summary of `make test` names what was left out.
        let left_out = Trial::ignorable_test("the truth table", || {
            Ok(Completion::ignored_with("made by `make truth`, with the pools of the machine to itself"))
        });
        return libtest_mimic::run(&Arguments::from_args(), vec![left_out]).exit_code();
    }
    // What cargo passes on to every harness, `--nocapture` and the like, is not about rows.
    let wanted: Vec<String> = words.into_iter().filter(|word| !word.starts_with('-')).collect();
    let begin = Instant::now();
    let stage = Stage::new();
    let before = context::pools::snapshot();
    let mut cases = case::all();
    cases.retain(|case| wanted.iter().all(|word| case.name().contains(word.as_str())));
    let exceptions = bounds::exceptions();
    let mut compared = Vec::new();
    for case in &cases {
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

/// How often a row is run at most, if somebody else changes the pools meanwhile.
const TRIES: usize = 5;

/// Compares a row, again if somebody else was about.
fn compare<'c>(stage: &Stage, case: &'c Case, known: bool) -> Compared<'c> {
    let mut compared = compare_once(stage, case, known);
    for _ in 1..TRIES {
        if !compared.disturbed {
            break;
        }
        eprintln!("'{}' once more: somebody else changes the pools, or a run left pages behind", case.fault);
        compared = compare_once(stage, case, known);
    }
    compared
}

/// Makes the fault, asks hugeprobe, runs the workload, and takes the fault away. Of what is `known` to differ once is
/// enough.
fn compare_once<'c>(stage: &Stage, case: &'c Case, known: bool) -> Compared<'c> {
    let mut scene = Scene::new(stage, case.kind, case.size);
    // A page that somebody else took just now makes it panic, and so does a peer that does not come up.
    let ran = std::panic::catch_unwind(AssertUnwindSafe(|| match (case.state)(&mut scene) {
        Ok(()) => Ok(both(case, &scene, known)),
        Err(missing) => Err(missing.0),
    }));
    match ran {
        Ok(Ok(compared)) => compared,
        Ok(Err(missing)) => {
            let why = if scene.lacks_gigabytes { NotRun::LeftOut } else { NotRun::Missing };
            Compared::not_run(case, why, &missing)
        }
        Err(_) => {
            let not_run = Compared::not_run(case, NotRun::Missing, "pages that stay where they are");
            Compared { disturbed: true, ..not_run }
        }
    }
}

/// Asks hugeprobe, and runs the workload.
fn both<'c>(case: &'c Case, scene: &Scene, known: bool) -> Compared<'c> {
    let before = scene.pools();
    let begin = Instant::now();
    let asked = (case.ask)(scene);
    workload::clean_up(scene);
    let asking = begin.elapsed();
    let mut outcomes = vec![work(case, scene)];
    // A verdict that tells nothing, or the opposite: is the workload itself sure?
    if asked.disagrees(&outcomes[0]) && !known {
        outcomes.push(work(case, scene));
        outcomes.push(work(case, scene));
    }
    let took = [asking, begin.elapsed() - asking];
    let disturbed = before != scene.pools();
    Compared { case, asked, outcomes, disturbed, not_run: None, took, known }
}

/// Runs the workload. Of a row run again, the second should find what the first did.
fn work(case: &Case, scene: &Scene) -> workload::Outcome {
    let outcome = (case.work)(scene);
    workload::clean_up(scene);
    outcome
}
