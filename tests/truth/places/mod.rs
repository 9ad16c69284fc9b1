//! Random places: several faults at a time, drawn from independent dimensions. In each place, `hugeprobe check` and the
//! workload are run, as in a row of the truth table. If the two disagree, the place is reduced to the fewest faults
//! that show it.
//!
//! `make places N=200` runs it. `HUGEPROBE_PLACES` is the number of places. `HUGEPROBE_SEED` is the seed of the first
//! one, which is printed. `HUGEPROBE_PLACES_MADE` is the number of places that an interrupted run with that seed has made. No place is started after `HUGEPROBE_PLACES_SECONDS`. `HUGEPROBE_PLACE='testpmd, memfd |
//! pool=-1 nofile=25'` runs only that place.

mod control;
mod draw;
mod facts;
mod fault;
mod faults;
mod flight;
mod kept;
mod plan;
mod report;
mod shrink;
mod tests;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use hugeprobe::domain::catalogue::HP509;

use crate::case::{Case, Cause};
use crate::compare::{self, Relation};
use crate::context::random::Random;
use crate::context::{Missing, SMALL, pools};
use crate::interrupt;
use crate::run;
use crate::scene::{Scene, Stage};
use crate::workload;
use draw::Place;
use facts::Facts;
use fault::Fault;
use kept::Kept;
use plan::Plan;
use report::Report;

pub(crate) use flight::play;
pub(crate) use tests::all as tests;

/// What the environment variables request.
#[derive(Debug)]
pub(crate) enum Asked {
    /// This number of random places.
    Draws(u64),
    /// This place.
    Place(String),
}

/// Returns what the environment variables request, if they request places.
pub(crate) fn asked() -> Option<Asked> {
    if let Ok(place) = std::env::var("HUGEPROBE_PLACE") {
        return Some(Asked::Place(place));
    }
    let number = std::env::var("HUGEPROBE_PLACES").ok()?;
    Some(Asked::Draws(number.parse().unwrap()))
}

/// Runs the requested places. Fails if hugeprobe and a workload disagree in a place where that is not known.
pub(crate) fn main(asked: &Asked) -> ExitCode {
    let stage = Stage::small();
    let before = pools::snapshot();
    let facts = Facts::of_this_machine();
    let kept = kept::all();
    let mut report = Report::default();
    let begin = Instant::now();
    // The time limit is checked between places. If the process were killed, its current place would not be undone.
    let most = std::env::var("HUGEPROBE_PLACES_SECONDS").map_or(u64::MAX, |text| text.parse().unwrap());
    let most = Duration::from_secs(most);
    match asked {
        Asked::Place(place) => run_one(&stage, None, &draw::read(place), &kept, &mut report),
        Asked::Draws(number) => {
            for one in kept.iter().filter(|one| one.is_for(&facts)) {
                if interrupt::is_asked() {
                    return ExitCode::FAILURE;
                }
                let seen = show(&stage, &one.place);
                report.again(one, &seen);
            }
            let mut seeds = Random::new();
            let first = seeds.seed;
            // Seeds after the first are random, so that two runs with consecutive seeds do not draw the same places.
            let draws = std::iter::once(first).chain((1..).map(|_| seeds.below(u64::MAX)));
            let goes_on = || begin.elapsed() < most && !interrupt::is_asked();
            // A run that was interrupted goes on after the draws that it made.
            let made = std::env::var("HUGEPROBE_PLACES_MADE").map_or(0, |text| text.parse().unwrap());
            for seed in draws.take(index(*number)).skip(made).take_while(|_| goes_on()) {
                run_one(&stage, Some(seed), &draw::place(seed, &facts), &kept, &mut report);
            }
        }
    }
    println!("\n{report}");
    let after = pools::snapshot();
    if before != after {
        eprintln!("the pools are not as before: {before:?}\n{after:?}");
    }
    if report.is_good() && before == after && !interrupt::is_asked() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap()
}

/// Runs a place, which is that of a seed or one that was named. If the two disagree, finds the fewest faults that show it.
fn run_one(stage: &Stage, seed: Option<u64>, place: &Place, kept: &[Kept], report: &mut Report) {
    let seen = show(stage, place);
    let known = kept.iter().any(|one| one.is_known_in(place));
    report.add(seed, &seen, known);
    if known || !seen.disagrees() {
        return;
    }
    let relation = seen.relation;
    let fewest = shrink::smallest(&place.faults, |faults| {
        let part = show(stage, &place.with(faults));
        println!("    {}", part.line);
        part.relation == relation
    });
    let place = place.with(&fewest);
    report.shrunk(seed, relation, &place, &show(stage, &place));
}

/// The result of a place.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) relation: Relation,
    pub(crate) works: bool,
    /// A line with the result, followed by the outputs of both programs if they disagree.
    pub(crate) line: String,
    pub(crate) seconds: f64,
}

/// Makes the place, runs hugeprobe and the workload, and undoes the place.
fn show(stage: &Stage, place: &Place) -> Seen {
    let begin = Instant::now();
    let case = case(place);
    let compared = run::compare(stage, &case, false);
    Seen {
        relation: compared.relation(),
        works: compared.outcome().works,
        line: report::line(&compared),
        seconds: begin.elapsed().as_secs_f64(),
    }
}

/// Returns the row that corresponds to a place.
fn case(place: &Place) -> Case {
    let causes = place.faults.iter().flat_map(|fault| fault.spec.causes);
    let faults = place.faults.clone();
    let words: Vec<String> = faults.iter().map(|fault| format!("{fault:?}")).collect();
    Case {
        fault: words.join(" "),
        workload: place.kind.to_string(),
        kind: place.kind,
        size: SMALL,
        cause: Cause::Place(causes.copied().chain([HP509]).collect()),
        state: Box::new(move |scene| make(scene, &faults)),
        ask: compare::ask,
        work: workload::run,
    }
}

/// Makes a place with these faults.
fn make(scene: &mut Scene, faults: &[Fault]) -> Result<(), Missing> {
    let mut plan = Plan::new(scene);
    faults.iter().for_each(|fault| (fault.spec.plan)(&mut plan, fault.value));
    plan.make(scene)?;
    faults.iter().try_for_each(|fault| (fault.spec.apply)(scene, fault.value))
}

/// Makes a place that is written as `pool=-1 nofile=24`, for rows that were found here.
pub(crate) fn placed(scene: &mut Scene, words: &str) -> Result<(), Missing> {
    make(scene, &draw::read(&format!("{} | {words}", scene.kind)).faults)
}

impl Seen {
    pub(crate) fn disagrees(&self) -> bool {
        use Relation::{FalseFail, FalsePass, OtherCause, Untold};
        [FalsePass, FalseFail, Untold, OtherCause].contains(&self.relation)
    }
}
