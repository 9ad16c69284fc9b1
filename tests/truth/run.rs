//! Runs a row: makes its fault, runs hugeprobe and runs the workload.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use crate::case::Case;
use crate::compare::{Compared, NotRun};
use crate::scene::{Scene, Stage};
use crate::workload;

/// How often a row is run at most, if other programs change the pools meanwhile.
const TRIES: usize = 5;

/// Compares a row, and repeats it if other programs changed the pools.
pub(crate) fn compare<'c>(stage: &Stage, case: &'c Case, known: bool) -> Compared<'c> {
    let mut compared = compare_once(stage, case, known);
    for _ in 1..TRIES {
        if !compared.disturbed {
            break;
        }
        eprintln!(
            "'{}' once more: other programs change the pools, a run left pages behind, or hugeprobe ran out of time",
            case.fault
        );
        compared = compare_once(stage, case, known);
    }
    compared
}

/// Makes the fault, runs hugeprobe and the workload, and undoes the fault. If the row is `known` to differ, the
/// workload runs only once.
fn compare_once<'c>(stage: &Stage, case: &'c Case, known: bool) -> Compared<'c> {
    let mut scene = Scene::new(stage, case.kind, case.size);
    // Making the fault panics if another process has just taken a page, or if a peer does not start.
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

/// Runs hugeprobe, then the workload.
fn both<'c>(case: &'c Case, scene: &Scene, known: bool) -> Compared<'c> {
    let before = scene.pools();
    let begin = Instant::now();
    let asked = (case.ask)(scene);
    workload::clean_up(scene);
    let asking = begin.elapsed();
    // A slow machine says nothing of hugeprobe's time limits.
    let was_too_slow = workload::slowness() > 1 && asked.said.contains("exceeded its time limit");
    let mut outcomes = vec![work(case, scene)];
    // The verdict is inconclusive or wrong. Run the workload again, to see whether it always has the same outcome.
    if asked.disagrees(&outcomes[0]) && !known && !was_too_slow {
        outcomes.push(work(case, scene));
        outcomes.push(work(case, scene));
    }
    let took = [asking, begin.elapsed() - asking];
    let disturbed = before != scene.pools() || was_too_slow;
    Compared { case, asked, outcomes, disturbed, not_run: None, took, known }
}

/// Runs the workload and removes what it left, so that a second run finds what the first one found.
fn work(case: &Case, scene: &Scene) -> workload::Outcome {
    let outcome = (case.work)(scene);
    workload::clean_up(scene);
    outcome
}
