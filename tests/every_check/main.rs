//! Every check of the catalogue is seen to fail. One row for each id says where: by facts that are judged, or by a worker
//! whose word or end is merged, which needs neither root nor pages; and in which tests on real pages, if it can be made
//! to fail there: what a kernel did at boot, a CPU and a broken memory are as they are. A check without a row fails this
//! test.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // clippy.toml exempts functions marked #[test], not their helpers

mod facts;

use std::collections::BTreeSet;

use hugeprobe::domain::catalogue::CHECKS;
use hugeprobe::domain::check::{CheckId, Finding, Outcome};
use hugeprobe::domain::inventory::{DirectoryKind, WriteAttempt};
use hugeprobe::domain::merge::{Ending, WorkerReport, merge};
use hugeprobe::domain::part::Part;
use hugeprobe::domain::peer::Peer;
use hugeprobe::domain::plan::{Plan, Role, Weight};
use hugeprobe::domain::reading::Reading;
use hugeprobe::domain::request::{Request, Workload};
use hugeprobe::domain::sharing::AGREED;
use hugeprobe::probe::planning;

use Outcome::{Fail, Pass, Skip, Unknown, Warn};
use Reading::Known;
use facts::{DIR, Facts, SIZE, hugetlbfs, limit};

/// Where a check is seen to come out otherwise than with a pass.
struct Row {
    id: &'static str,
    fault: Fault,
    /// Tests on real pages that make the fault for real, by name.
    real: &'static [&'static str],
}

enum Fault {
    /// This change to facts that are sound makes this of it.
    Facts(Outcome, fn(&mut Facts)),
    /// A worker reports it: its death at the step is a failure, its silence is unknown, and so are the words of frontend
    /// and backend that contradict each other.
    Worker,
}

const fn row(id: &'static str, fault: Fault, real: &'static [&'static str]) -> Row {
    Row { id, fault, real }
}

#[rustfmt::skip] // a table
const ROWS: &[Row] = &[
    row("HP101", Fault::Facts(Fail, |facts| { facts.pool().total = Known(0); facts.need("1Gi=1"); }),
        &["pool: HP101 fails when pages are needed and there is no pool"]),
    row("HP102", Fault::Facts(Unknown, |facts| facts.pool().free = Known(0)),
        &["pool: HP102 is unknown when another process holds every page"]),
    row("HP103", Fault::Facts(Fail, |facts| facts.request.expect = vec!["1Gi@numa1>=9".parse().unwrap()]),
        &["pool: HP103 passes and fails by --expect"]),
    row("HP104", Fault::Facts(Fail, |facts| facts.boots_with(17)), &[]),
    row("HP105", Fault::Facts(Fail, |facts| { facts.pool().free = Known(0); facts.leaks(16); }),
        &["pool: HP105 warns of a leaked file and fails when it holds the last page"]),
    row("HP106", Fault::Facts(Warn, |facts| facts.pool().surplus = Known(1)),
        &["pool: HP106 warns when there is nothing but overcommit, and the steps still pass"]),
    row("HP107", Fault::Facts(Fail, |facts| {
        facts.inventory.pools = Known(vec![]);
        facts.inventory.cpu_1gi = Known(false);
        facts.need("1Gi=1");
    }), &[]),
    row("HP108", Fault::Facts(Warn, |facts| facts.inventory.hardware_corrupted_bytes = Known(4096)), &[]),
    row("HP109", Fault::Facts(Warn, |facts| facts.granted[0].got = 15), &[]),
    row("HP301", Fault::Facts(Fail, |facts| facts.directory().kind = Known(DirectoryKind::Other("tmpfs".into()))),
        &["mount: HP301 fails for a tmpfs, a missing directory and another page size"]),
    row("HP302", Fault::Facts(Fail, |facts| {
        facts.directory().writable = Known(WriteAttempt::Denied("open: EACCES".into()));
    }), &["mount: HP302 fails for another uid, and read-only"]),
    row("HP303", Fault::Facts(Fail, |facts| facts.directory().kind = hugetlbfs(Some((4, 0)), None)),
        &["mount: HP303 fails when size= leaves too little room, and min_size= does not disturb"]),
    row("HP304", Fault::Facts(Fail, |facts| facts.directory().kind = hugetlbfs(None, Some((4, 0)))),
        &["mount: HP304 fails when nr_inodes= is used up"]),
    row("HP305", Fault::Facts(Warn, |facts| facts.mount().hidden_by = Some(DIR.into())),
        &["mount: HP305 warns of a mount on top"]),
    row("HP306", Fault::Worker, &["mount: HP306 fails if DPDK may not open a hugetlbfs that it does not use"]),
    row("HP307", Fault::Facts(Fail, Facts::no_runtime_directory),
        &["mount: HP307 fails if DPDK cannot create its runtime directory"]),
    row("HP401", Fault::Facts(Fail, |facts| facts.limited(Some(0), None)),
        &["limit: HP401 fails at a fault limit of 0, and the first touch with it"]),
    row("HP402", Fault::Facts(Fail, |facts| facts.limited(None, Some(0))),
        &["limit: HP402 fails at a reservation limit of 0, and mmap with it"]),
    row("HP403", Fault::Facts(Warn, |facts| facts.inventory.limits.memlock = limit(64 << 10)), &[]),
    row("HP404", Fault::Facts(Fail, |facts| facts.inventory.limits.nofile = limit(20)),
        &["limit: HP404, HP405, HP406 and HP415 fail under tight rlimits"]),
    row("HP405", Fault::Facts(Fail, |facts| facts.inventory.limits.address_space = limit(4 << 30)),
        &["limit: HP404, HP405, HP406 and HP415 fail under tight rlimits"]),
    row("HP406", Fault::Facts(Fail, |facts| facts.inventory.limits.file_size = limit(1 << 20)),
        &["limit: HP404, HP405, HP406 and HP415 fail under tight rlimits"]),
    row("HP407", Fault::Worker, &["limit: HP407 names the system calls that seccomp forbids"]),
    // testpmd and QEMU were seen to need no capability, so there is nothing to fail.
    row("HP408", Fault::Facts(Unknown, |facts| {
        facts.inventory.privileges.capabilities = Reading::Unreadable("no /proc".into());
    }), &[]),
    row("HP409", Fault::Worker, &["limit: HP409 fails when pids.max is below the workload's threads"]),
    row("HP410", Fault::Facts(Fail, |facts| facts.memory_limited(1 << 20)),
        &["limit: HP410 fails when the memory limit is below what the workload needs"]),
    row("HP411", Fault::Worker, &["limit: HP411 fails when vm.max_map_count is below the workload's mappings"]),
    row("HP412", Fault::Facts(Fail, |facts| {
        facts.request.workload = Workload::DpdkFilePerPage;
        facts.request.frontend_need = vec!["1Gi=9".parse().unwrap()];
    }), &[]),
    row("HP413", Fault::Facts(Warn, Facts::limited_above),
        &["limit: HP413 warns of a cgroup that may use pages below a limit of 0"]),
    row("HP414", Fault::Facts(Fail, |facts| facts.inventory.cpus_in_sysfs.with_core_id = Known(false)),
        &["limit: HP414 fails without a CPU in /sys"]),
    row("HP415", Fault::Facts(Fail, |facts| facts.inventory.limits.cpu_time = limit(3600)),
        &["limit: HP404, HP405, HP406 and HP415 fail under tight rlimits"]),
    row("HP501", Fault::Worker, &["limit: HP402 fails at a reservation limit of 0, and mmap with it"]),
    row("HP502", Fault::Worker, &["limit: HP401 fails at a fault limit of 0, and the first touch with it"]),
    row("HP503", Fault::Worker, &["allocation: HP503 fails when the limit has room for one page"]),
    row("HP504", Fault::Worker, &["fault: HP504 fails when somebody keeps the pages that were released"]),
    row("HP505", Fault::Worker, &["allocation: HP505 fails when populating gets fewer pages"]),
    row("HP506", Fault::Worker, &["fault: HP506 fails when pages land elsewhere than they were bound to"]),
    row("HP507", Fault::Worker, &["fault: HP507 warns when a NUMA node gives none of its pages"]),
    row("HP508", Fault::Worker, &["allocation: HP508 warns without the right to SHM_HUGETLB"]),
    row("HP509", Fault::Worker, &["allocation: HP509 passes, and fails when the pool is too small"]),
    row("HP601", Fault::Worker, &["sharing: HP602 fails when the pages have another size"]),
    row("HP602", Fault::Worker, &["sharing: HP602 fails when the pages have another size"]),
    row("HP603", Fault::Worker, &["sharing: HP603 fails over a private mapping, so it can"]),
    row("HP604", Fault::Worker, &["sharing: HP604 fails when other frames come back"]),
    row("HP605", Fault::Worker, &["spoilt: HP605 fails when the frontend's first touch is SIGBUS"]),
    row("HP606", Fault::Worker, &["sharing: HP606 fails when the backend has another seed"]),
    row("HP607", Fault::Worker, &["sharing: HP608 fails when the mapping is shared after all"]),
    row("HP608", Fault::Worker, &["sharing: HP608 fails when the mapping is shared after all"]),
    row("HP609", Fault::Worker, &["sharing: HP609 fails when huge pages arrive in place of small ones"]),
    row("HP610", Fault::Worker, &["spoilt: HP610 fails when frames of the second region come back altered"]),
    row("HP611", Fault::Worker, &["spoilt: HP611 fails when the bytes of a new region are not shared"]),
    row("HP612", Fault::Worker, &["peer: nobody there, and somebody who speaks something else, fail HP612"]),
    row("HP613", Fault::Worker, &["peer: a peer that refuses the table fails HP613 with what it said"]),
    row("HP614", Fault::Worker, &["peer: a peer that goes silent at the queues fails HP614"]),
    row("HP615", Fault::Worker, &["peer: a testpmd that takes no frames fails HP615"]),
    // For information: nothing that they measure is a fault, and only their worker can fail them.
    row("HP701", Fault::Worker, &[]),
    row("HP702", Fault::Worker, &[]),
];

// === the rows ===

#[test]
fn every_check_of_the_catalogue_has_one_row() {
    let rows: Vec<_> = ROWS.iter().map(|row| row.id.to_owned()).collect();
    // HP2xx are the agent's: src/domain/inspect/kubernetes/tests.rs has a row for each, tests/cluster the real thing.
    let of_check = CHECKS.iter().filter(|check| check.id.number() / 100 != 2);
    let checks: Vec<_> = of_check.map(|check| check.id.to_string()).collect();
    assert_eq!(rows, checks, "a check that is not seen to fail here proves nothing: give it a row");
}

#[test]
fn facts_that_are_sound_pass_and_one_that_is_not_is_found_by_its_own_check() {
    let sound = Facts::sound().findings();
    for finding in &sound {
        assert!([Pass, Skip].contains(&finding.outcome), "{finding:?}");
    }
    for (row, expected, spoil) in ROWS.iter().filter_map(|row| match row.fault {
        Fault::Facts(expected, spoil) => Some((row, expected, spoil)),
        Fault::Worker => None,
    }) {
        let mut facts = Facts::sound();
        spoil(&mut facts);
        let findings = facts.findings();
        let of = |findings: &[Finding]| {
            let mut its = findings.iter().filter(|finding| finding.id.to_string() == row.id);
            its.next().unwrap_or_else(|| panic!("nobody judges {}", row.id)).clone()
        };
        let found = of(&findings);
        assert_eq!(found.outcome, expected, "{found:?}");
        assert!(is_explained(&found), "{found:?}");
        assert_ne!(of(&sound).outcome, expected);
    }
}

#[test]
fn a_check_that_a_worker_reports_fails_with_it_and_is_unknown_without_it() {
    let facts = Facts::sound();
    let peer = Some(Peer { socket: "/run/vhost".into(), listen: false, transmit: 64 });
    let request = Request {
        directory: None,
        measure: true,
        peer,
        need: vec!["1Gi=1".parse().unwrap()],
        ..facts.request
    };
    let (plan, _) = planning::plan(&facts.inventory, &request, &[SIZE], true, 7);
    let planned: BTreeSet<_> = plan.items.iter().map(|item| item.id.to_string()).collect();
    let rows = ROWS.iter().filter(|row| matches!(row.fault, Fault::Worker)).map(|row| row.id.to_owned());
    assert_eq!(planned, rows.collect::<BTreeSet<_>>());
    for item in &plan.items {
        let outcome = |workers: &[WorkerReport]| {
            let finding = merge(&plan, workers).into_iter().find(|finding| finding.id == item.id).unwrap();
            assert!(finding.outcome == Pass || is_explained(&finding), "{finding:?}");
            finding.outcome
        };
        assert_eq!(outcome(&reports(&plan)), Pass, "{}", item.id);
        for (role, weight) in item.roles.iter().map(|duty| (duty.role, duty.weight)) {
            // What gives advice only makes nothing worse than a warning.
            let [fail, unknown] = if weight == Weight::Advisory { [Warn; 2] } else { [Fail, Unknown] };
            let with = |change: &dyn Fn(&mut WorkerReport)| {
                let mut workers = reports(&plan);
                workers.iter_mut().filter(|worker| worker.role == role).for_each(change);
                outcome(&workers)
            };
            assert_eq!(with(&|worker| dies_at(worker, item.id)), fail, "{} {role} dies", item.id);
            assert_eq!(
                with(&|worker| worker.part = Ok(Part::default())),
                unknown,
                "{} {role} silent",
                item.id
            );
            if matches!(role, Role::Frontend(_)) {
                let lies =
                    |worker: &mut WorkerReport| finding_of(worker, item.id).evidence[AGREED] = 2.into();
                assert_eq!(with(&lies), Fail, "{} {role} saw something else", item.id);
            }
        }
    }
}

#[test]
fn the_tests_on_real_pages_that_are_named_are_there_and_every_mandatory_check_has_one() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real");
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let sources: String =
        files.filter(|path| path.is_file()).map(|path| std::fs::read_to_string(path).unwrap()).collect();
    for row in ROWS {
        for name in row.real {
            assert!(sources.contains(&format!("\"{name}\"")), "{}: there is no test '{name}'", row.id);
        }
        let mandatory = CHECKS.iter().any(|check| check.mandatory && check.id.to_string() == row.id);
        assert!(!mandatory || !row.real.is_empty(), "{} is made to fail on real pages nowhere", row.id);
    }
}

/// What is no pass says what was expected, what was seen, and what to do.
fn is_explained(finding: &Finding) -> bool {
    ![&finding.expected, &finding.seen, &finding.remedy].iter().any(|text| text.is_empty())
}

// === workers ===

/// The reports of workers that find everything as it should be.
fn reports(plan: &Plan) -> Vec<WorkerReport> {
    let mut workers: Vec<WorkerReport> = Vec::new();
    for item in &plan.items {
        for duty in &item.roles {
            assert_eq!(duty.not_run, None, "{} {}", item.id, duty.role);
            let at = workers.iter().position(|worker| worker.role == duty.role).unwrap_or_else(|| {
                workers.push(WorkerReport {
                    role: duty.role,
                    size: item.size,
                    part: Ok(Part { ended: true, ..Part::default() }),
                    ending: Ending::Exited(0),
                    log: String::new(),
                });
                workers.len() - 1
            });
            let finding = Finding::pass(item.id, item.size, "as it should be").with(AGREED, 1);
            workers[at].part.as_mut().unwrap().findings.push(finding);
        }
    }
    workers
}

fn finding_of(worker: &mut WorkerReport, id: CheckId) -> &mut Finding {
    worker.part.as_mut().unwrap().findings.iter_mut().find(|finding| finding.id == id).unwrap()
}

fn dies_at(worker: &mut WorkerReport, id: CheckId) {
    let last_step = Some((id, "write one byte".to_owned()));
    worker.part = Ok(Part { last_step, ..Part::default() });
    worker.ending = Ending::Signalled { name: "SIGBUS".to_owned(), raised_by_kernel: true };
}
