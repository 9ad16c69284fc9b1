//! The agent, the chart and the rights in a real cluster: the one that `make cluster` leaves running from this clone.
//!
//! Cases run one after another on that one node. Without the cluster they show as ignored with the reason; with
//! `HUGEPROBE_REQUIRE_CLUSTER=1`, which `.ci/cluster` sets, that is a failure. Each case begins with a node whose verdict is
//! pass, puts back what it changes, and prints what kubectl shows.
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

mod admission;
mod alerts;
mod calm;
mod claims;
mod context;
mod examples;
mod gate;
mod gates;
mod health;
mod modes;
mod numa;
mod outage;
mod plugin;
mod pool;
mod release;
mod rights;
mod truth;
mod users;
mod workload;

use std::time::Instant;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use context::pools::LARGE;
use context::{Cluster, Missing, machine, pods};

/// A case: a name that is a sentence, and what is done to the cluster.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    /// Pages of 1Gi without which it is left out: a kernel that ran for long may have none to give.
    large_pages: i64,
    /// The minor version of Kubernetes from which on it can be run.
    since: u32,
    /// A program in target/cluster/bin without which a part of the case is not tried.
    program: Option<&'static str>,
    /// What the cluster lacks, for which it is left out.
    lacks: fn() -> Option<&'static str>,
    /// Whether it is about the emulated machine that `make numa` prepares, and not about the cluster's own node.
    on_machine: bool,
    run: fn(),
}

/// A case that pages of 2Mi are enough for.
const fn case(name: &'static str, run: fn()) -> Case {
    Case { name, large_pages: 0, since: 0, program: None, lacks: || None, on_machine: false, run }
}

/// A case about what Kubernetes has from this minor version on.
const fn case_since(since: u32, name: &'static str, run: fn()) -> Case {
    Case { since, ..case(name, run) }
}

/// A case about pages of 1Gi, so many of them.
const fn large_case(name: &'static str, large_pages: i64, run: fn()) -> Case {
    Case { large_pages, ..case(name, run) }
}

/// A case about the emulated machine.
const fn machine_case(name: &'static str, run: fn()) -> Case {
    Case { on_machine: true, ..case(name, run) }
}

fn main() -> std::process::ExitCode {
    let mut arguments = Arguments::from_args();
    // There is one node.
    arguments.test_threads = Some(1);
    let cases = [
        health::CASES,
        pool::CASES,
        workload::CASES,
        truth::CASES,
        users::CASES,
        claims::CASES,
        modes::CASES,
        admission::CASES,
        calm::CASES,
        gate::CASES,
        gates::CASES,
        examples::CASES,
        outage::CASES,
        rights::CASES,
        plugin::CASES,
        release::CASES,
        alerts::CASES,
        numa::CASES,
    ]
    .concat();
    let trials = cases.into_iter().map(trial).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(case: Case) -> Trial {
    Trial::ignorable_test(case.name, move || match Cluster::find() {
        _ if case.on_machine && !machine::is_wanted() => Ok(Completion::ignored_with("needs `make numa`")),
        Ok(cluster) if cluster.minor < case.since => Ok(Completion::ignored_with(format!(
            "needs Kubernetes 1.{}, this is 1.{}",
            case.since, cluster.minor
        ))),
        Ok(_) if LARGE.persistent() < case.large_pages => {
            let (needed, there) = (case.large_pages, LARGE.persistent());
            Ok(Completion::ignored_with(format!("needs {needed} pages of 1Gi, the kernel gave {there}")))
        }
        Ok(_) => {
            if let Some(lacks) = (case.lacks)() {
                return Ok(Completion::ignored_with(lacks));
            }
            println!("\n== {}", case.name);
            let begin = Instant::now();
            pods::namespace();
            if !case.on_machine {
                context::chart::settled();
            }
            (case.run)();
            println!("== {:.1} s", begin.elapsed().as_secs_f64());
            match case.program.filter(|program| !context::left("bin").join(program).exists()) {
                Some(program) => Ok(Completion::ignored_with(format!(
                    "the rest passed, but a part needs target/cluster/bin/{program}"
                ))),
                None => Ok(Completion::Completed),
            }
        }
        Err(Missing(what))
            if std::env::var_os("HUGEPROBE_REQUIRE_CLUSTER").is_some_and(|value| value == "1") =>
        {
            Err(Failed::from(format!("needs {what}, and HUGEPROBE_REQUIRE_CLUSTER=1")))
        }
        Err(Missing(what)) => Ok(Completion::ignored_with(format!("needs {what}"))),
    })
}
