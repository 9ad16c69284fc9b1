//! HP6xx on real pages: every session, and each check made to fail.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Instant;

use hugeprobe::domain::catalogue::{HP601, HP602, HP603, HP604, HP606, HP607, HP608, HP609};
use hugeprobe::domain::check::{CheckId, Finding, Outcome};
use hugeprobe::domain::merge::{Ending, WorkerReport, merge};
use hugeprobe::domain::part::{Part, WorkerOutput};
use hugeprobe::domain::plan::{Plan, PlannedCheck, PlannedWorker, Role, Weight};
use hugeprobe::domain::sharing::Session;
use hugeprobe::domain::size::PageSize;
use hugeprobe::exchange::backend::{Backend, FEATURES, Options, PROTOCOL_FEATURES, Work};
use hugeprobe::exchange::channel::Channel;
use hugeprobe::exchange::role::Cgroups;
use hugeprobe::exchange::table::Pages;
use hugeprobe::exchange::{self, SessionTask, Source, frame};

use crate::Case;
use crate::context::{HANGS, LARGE, Machine, Missing, SMALL};

pub(crate) const CASES: &[Case] = &[
    ("sharing: 2Mi, every session passes", small),
    ("sharing: 1Gi, two pages and one", large),
    ("sharing: HP602 fails when the pages have another size", other_size),
    ("sharing: HP603 fails over a private mapping, so it can", private_is_not_shared),
    ("sharing: HP604 fails when other frames come back", other_frames),
    ("sharing: HP606 fails when the backend has another seed", other_seed),
    ("sharing: HP608 fails when the mapping is shared after all", shared_is_not_private),
    ("sharing: HP609 fails when huge pages arrive in place of small ones", huge_is_not_small),
    ("sharing: a role whose peer is gone says so in time", peer_gone),
];

#[derive(Default)]
struct Collected {
    findings: Vec<Finding>,
    last_step: Option<(CheckId, String)>,
}

impl WorkerOutput for Collected {
    fn step(&mut self, id: CheckId, what: &str) -> io::Result<()> {
        self.last_step = Some((id, what.to_owned()));
        Ok(())
    }

    fn found(&mut self, finding: Finding) -> io::Result<()> {
        self.findings.push(finding);
        Ok(())
    }
}

fn task(role: Role, size: PageSize, pages: u64) -> SessionTask {
    SessionTask {
        role,
        size,
        pages,
        memory: Source::Unattached,
        seed: 42,
        frames: 4096,
        cgroups: Cgroups::default(),
        no_deadline: false,
    }
}

fn play(task: &SessionTask, socket: OwnedFd) -> WorkerReport {
    let mut heard = Collected::default();
    exchange::run(task, socket, &mut heard).unwrap();
    let part = Part { findings: heard.findings, last_step: heard.last_step, ended: true };
    let (role, size) = (task.role, Some(task.size));
    WorkerReport { role, size, part: Ok(part), ending: Ending::Exited(0), log: String::new() }
}

/// Runs both roles, each in a thread.
fn both(frontend: &SessionTask, backend: SessionTask) -> [WorkerReport; 2] {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let backend = thread::spawn(move || play(&backend, theirs.into()));
    [play(frontend, ours.into()), backend.join().unwrap()]
}

fn session(session: Session, size: PageSize, pages: u64) -> [WorkerReport; 2] {
    both(&task(Role::Frontend(session), size, pages), task(Role::Backend(session), size, pages))
}

/// Merges the reports of a session into findings.
fn merged(session: Session, workers: &[WorkerReport], size: PageSize) -> Vec<Finding> {
    let duty = |role| PlannedWorker { role, weight: Weight::Full, not_run: None };
    let roles = vec![duty(Role::Frontend(session)), duty(Role::Backend(session))];
    let item =
        |id: &CheckId| PlannedCheck { id: *id, size: Some(size), roles: roles.clone(), mandatory: true };
    let items = session.checks().iter().map(item).collect();
    merge(&Plan { items, ..Plan::default() }, workers)
}

fn all_pass(which: Session, size: PageSize, pages: u64) {
    for finding in merged(which, &session(which, size, pages), size) {
        assert_eq!(finding.outcome, Outcome::Pass, "{which}, {pages} pages: {finding:#?}");
    }
}

/// Returns the finding of one role for one check.
fn word(worker: &WorkerReport, id: CheckId) -> &Finding {
    let findings = &worker.part.as_ref().unwrap().findings;
    findings.iter().find(|finding| finding.id == id).unwrap_or_else(|| panic!("{id}: {findings:#?}"))
}

fn small(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    for which in Session::ALL {
        all_pass(which, SMALL, 2);
    }
    all_pass(Session::FrontendFirst, SMALL, 1);
    all_pass(Session::BackendFirst, SMALL, 1);
    all_pass(Session::MemfdBackendFirst, SMALL, 4);
    Ok(())
}

fn large(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(LARGE, 2)?;
    all_pass(Session::FrontendFirst, LARGE, 2);
    all_pass(Session::BackendFirst, LARGE, 1);
    Ok(())
}

fn other_size(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 2)?;
    let which = Session::FrontendFirst;
    let [frontend, backend] =
        both(&task(Role::Frontend(which), SMALL, 2), task(Role::Backend(which), LARGE, 2));
    let said = word(&backend, HP602);
    assert!(
        said.outcome == Outcome::Fail && said.seen.contains("has pages of 2Mi instead of 1Gi"),
        "{said:?}"
    );
    assert_eq!(word(&frontend, HP601).outcome, Outcome::Fail);
    Ok(())
}

fn private_is_not_shared(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let frontend = task(Role::Frontend(Session::Private), SMALL, 2);
    let [_, backend] = both(&frontend, task(Role::Backend(Session::FrontendFirst), SMALL, 2));
    let said = word(&backend, HP603);
    assert!(said.outcome == Outcome::Fail && said.summary.contains("bytes are not seen"), "{said:?}");
    Ok(())
}

fn other_frames(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 2)?;
    let which = Session::FrontendFirst;
    // A backend that reads and writes as it should, but then sends frames that the frontend does not expect.
    struct Honest(SessionTask);
    impl hugeprobe::exchange::backend::Watch for Honest {
        fn table(
            &mut self,
            table: &hugeprobe::exchange::table::Table,
            _: &hugeprobe::exchange::backend::Traffic,
        ) -> Result<(), String> {
            let memory = table.regions()[0].volatile().unwrap();
            hugeprobe::linux::pattern::write(&memory, 2 << 20, !self.0.seed).unwrap();
            Ok(())
        }
    }
    let (ours, theirs) = UnixStream::pair().unwrap();
    let frontend = task(Role::Frontend(which), SMALL, 2);
    let mut honest = Honest(frontend.clone());
    let backend = thread::spawn(move || {
        let work = Work::Source { source: frame::Source::new(1, 64), frames: 100_000, returns: None };
        let options = Options {
            pages: Pages::Huge,
            work,
            features: FEATURES,
            protocol_features: PROTOCOL_FEATURES & !hugeprobe::exchange::message::protocol::STATUS,
        };
        let _ = Backend::new(Channel::new(theirs.into()), options, &mut honest).serve(Instant::now() + HANGS);
    });
    let said = play(&frontend, ours.into());
    let said = word(&said, HP604);
    assert!(said.outcome == Outcome::Fail && said.seen.contains("altered"), "{said:?}");
    backend.join().unwrap();
    Ok(())
}

fn other_seed(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 2)?;
    let which = Session::BackendFirst;
    let backend = SessionTask { seed: 43, ..task(Role::Backend(which), SMALL, 2) };
    let workers = both(&task(Role::Frontend(which), SMALL, 2), backend);
    assert_eq!(word(&workers[0], HP606).outcome, Outcome::Fail);
    assert_eq!(merged(which, &workers, SMALL)[0].outcome, Outcome::Fail);
    Ok(())
}

fn shared_is_not_private(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let frontend = task(Role::Frontend(Session::MemfdFrontendFirst), SMALL, 2);
    let [frontend, backend] = both(&frontend, task(Role::Backend(Session::Private), SMALL, 2));
    assert_eq!(word(&backend, HP608).outcome, Outcome::Fail);
    assert_eq!(word(&frontend, HP607).outcome, Outcome::Fail);
    Ok(())
}

fn huge_is_not_small(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 2)?;
    let frontend = task(Role::Frontend(Session::FrontendFirst), SMALL, 2);
    let [_, backend] = both(&frontend, task(Role::Backend(Session::Small), SMALL, 2));
    assert_eq!(word(&backend, HP609).outcome, Outcome::Fail);
    Ok(())
}

fn peer_gone(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 2)?;
    for which in Session::ALL {
        for role in [Role::Frontend(which), Role::Backend(which)] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            drop(theirs);
            let began = Instant::now();
            let worker = play(&task(role, SMALL, 2), ours.into());
            assert!(began.elapsed() < HANGS);
            for finding in &worker.part.unwrap().findings {
                assert_ne!(finding.outcome, Outcome::Fail, "{role}: {finding:?}");
            }
        }
    }
    Ok(())
}
