//! One row for each way in which an inconclusive result must not become a pass.

use proptest::prelude::*;

use super::super::catalogue::{HP501, HP502, HP503, HP601, HP613, HP614};
use super::*;

fn size() -> Option<PageSize> {
    PageSize::from_bytes(2 << 20)
}

fn duty(role: Role) -> PlannedWorker {
    PlannedWorker { role, weight: Weight::Full, not_run: None }
}

fn item(id: CheckId, roles: Vec<PlannedWorker>) -> PlannedCheck {
    PlannedCheck { id, size: size(), roles, mandatory: true }
}

/// A plan of HP501 and HP502, both of which the memfd worker reports.
fn plan() -> Plan {
    let items = [HP501, HP502].map(|id| item(id, vec![duty(Role::Memfd)])).to_vec();
    Plan { items, ..Plan::default() }
}

fn worker(findings: &[(CheckId, Outcome)], ended: bool) -> WorkerReport {
    let findings = findings
        .iter()
        .map(|(id, outcome)| match outcome {
            Outcome::Pass => Finding::pass(*id, size(), "fine"),
            Outcome::Skip => Finding::skip(*id, size(), "no right"),
            outcome => {
                Finding::not_pass(*id, size(), *outcome, "bad", Because::new("good", "bad").remedy("mend"))
            }
        })
        .collect();
    let part = Part { findings, last_step: Some((HP502, "write one byte".to_owned())), ended };
    WorkerReport {
        role: Role::Memfd,
        size: size(),
        part: Ok(part),
        ending: Ending::Exited(0),
        log: String::new(),
    }
}

fn signalled(name: &str, raised_by_kernel: bool) -> Ending {
    Ending::Signalled { name: name.to_owned(), raised_by_kernel }
}

fn outcomes(plan: &Plan, workers: &[WorkerReport]) -> Vec<Outcome> {
    merge(plan, workers).iter().map(|finding| finding.outcome).collect()
}

const ALL: [(CheckId, Outcome); 2] = [(HP501, Outcome::Pass), (HP502, Outcome::Pass)];
const FIRST: [(CheckId, Outcome); 1] = [(HP501, Outcome::Pass)];

#[test]
fn all_said_and_ended_is_what_was_said() {
    assert_eq!(outcomes(&plan(), &[worker(&ALL, true)]), [Outcome::Pass, Outcome::Pass]);
}

#[test]
fn no_kind_of_silence_is_a_pass() {
    use Outcome::{Fail, Pass, Unknown};
    let with = |mut worker: WorkerReport, ending: Ending| {
        worker.ending = ending;
        worker
    };
    let invalid = |error: PartError| WorkerReport { part: Err(error), ..worker(&ALL, true) };
    let rows: Vec<(&str, Vec<WorkerReport>, [Outcome; 2])> = vec![
        ("no worker at all", vec![], [Unknown, Unknown]),
        ("two workers of one role", vec![worker(&ALL, true), worker(&ALL, true)], [Unknown, Unknown]),
        (
            "a worker of another role",
            vec![WorkerReport { role: Role::Need, ..worker(&ALL, true) }],
            [Unknown, Unknown],
        ),
        (
            "a worker of another size",
            vec![WorkerReport { size: None, ..worker(&ALL, true) }],
            [Unknown, Unknown],
        ),
        ("one check left out, ended", vec![worker(&FIRST, true)], [Pass, Unknown]),
        ("one check left out, not ended", vec![worker(&FIRST, false)], [Pass, Unknown]),
        ("everything said, not ended", vec![worker(&ALL, false)], [Unknown, Unknown]),
        ("nothing said, ended", vec![worker(&[], true)], [Unknown, Unknown]),
        (
            "killed by SIGBUS at HP502",
            vec![with(worker(&FIRST, false), signalled("SIGBUS", true))],
            [Pass, Fail],
        ),
        (
            "killed by SIGBUS after its last word",
            vec![with(worker(&ALL, false), signalled("SIGBUS", true))],
            [Unknown, Fail],
        ),
        (
            "killed by SIGKILL",
            vec![with(worker(&FIRST, false), signalled("SIGKILL", false))],
            [Pass, Unknown],
        ),
        ("past its deadline", vec![with(worker(&FIRST, false), Ending::Deadline)], [Pass, Unknown]),
        (
            "interrupted",
            vec![with(worker(&[], false), Ending::BrokenOff("SIGINT".into()))],
            [Unknown, Unknown],
        ),
        (
            "not started",
            vec![with(worker(&[], false), Ending::NotStarted("ENOMEM".into()))],
            [Unknown, Unknown],
        ),
        ("exit code 101", vec![with(worker(&FIRST, false), Ending::Exited(101))], [Pass, Unknown]),
        ("an id not asked for", vec![worker(&[ALL[0], ALL[1], (HP601, Pass)], true)], [Unknown, Unknown]),
        ("a part too long", vec![invalid(PartError::TooLong)], [Unknown, Unknown]),
        ("an id twice", vec![invalid(PartError::Twice(HP501))], [Unknown, Unknown]),
        ("garbage", vec![invalid(PartError::Malformed { line: 1, why: "x".into() })], [Unknown, Unknown]),
        ("another run's part", vec![invalid(PartError::OtherRun { line: 1 })], [Fail, Fail]),
        ("skipped though mandatory", vec![worker(&[(HP501, Outcome::Skip), ALL[1]], true)], [Unknown, Pass]),
    ];
    for (name, workers, expected) in rows {
        assert_eq!(outcomes(&plan(), &workers), expected, "{name}");
    }
}

#[test]
fn whoever_is_silent_says_why_and_what_to_do() {
    let mut dead = worker(&FIRST, false);
    dead.ending = signalled("SIGBUS", true);
    dead.log = "last words".to_owned();
    for finding in merge(&plan(), &[dead]).into_iter().filter(|finding| finding.outcome != Outcome::Pass) {
        assert!(finding.seen.contains("SIGBUS") && finding.seen.contains("write one byte"), "{finding:?}");
        assert!(!finding.expected.is_empty() && !finding.remedy.is_empty(), "{finding:?}");
        assert_eq!(finding.evidence.get("log").and_then(Value::as_str), Some("last words"));
    }
}

#[test]
fn the_worst_of_two_workers_wins_and_both_are_in_the_evidence() {
    let plan =
        Plan { items: vec![item(HP501, vec![duty(Role::Memfd), duty(Role::Anonymous)])], ..Plan::default() };
    let anonymous = |outcome| WorkerReport { role: Role::Anonymous, ..worker(&[(HP501, outcome)], true) };
    for (outcome, expected) in [
        (Outcome::Pass, Outcome::Pass),
        (Outcome::Warn, Outcome::Warn),
        (Outcome::Unknown, Outcome::Unknown),
        (Outcome::Fail, Outcome::Fail),
        (Outcome::Skip, Outcome::Unknown),
    ] {
        let found = merge(&plan, &[worker(&FIRST, true), anonymous(outcome)]);
        assert_eq!(found[0].outcome, expected);
        assert!(found[0].evidence.contains_key("memfd") && found[0].evidence.contains_key("anonymous"));
    }
    assert_eq!(outcomes(&plan, &[worker(&FIRST, true)]), [Outcome::Unknown], "one of two is silent");
}

#[test]
fn of_two_failures_of_a_session_the_backend_says_why() {
    use Outcome::{Fail, Unknown};
    let session = sharing::Session::BackendFirst;
    let roles = [Role::Frontend(session), Role::Backend(session)];
    for (frontend, backend, word) in [
        (Fail, Fail, "backend:backend-first: because"),
        (Fail, Unknown, "frontend:backend-first: refused"),
        (Unknown, Fail, "backend:backend-first: because"),
        (Unknown, Unknown, "frontend:backend-first: refused"),
    ] {
        let items = vec![item(HP601, roles.map(duty).to_vec())];
        let said = |role, outcome, summary: &str| {
            let mut worker = WorkerReport { role, ..worker(&[(HP601, outcome)], true) };
            worker.part.as_mut().unwrap().findings[0].summary = summary.to_owned();
            worker
        };
        let workers = [said(roles[0], frontend, "refused"), said(roles[1], backend, "because")];
        assert_eq!(merge(&Plan { items, ..Plan::default() }, &workers)[0].summary, word);
    }
}

#[test]
fn advice_is_a_warning_at_most_and_never_a_pass_instead() {
    let advisory = PlannedWorker { weight: Weight::Advisory, ..duty(Role::Anonymous) };
    let plan = Plan { items: vec![item(HP501, vec![duty(Role::Memfd), advisory])], ..Plan::default() };
    let anonymous = WorkerReport { role: Role::Anonymous, ..worker(&[(HP501, Outcome::Fail)], true) };
    assert_eq!(outcomes(&plan, &[worker(&FIRST, true), anonymous.clone()]), [Outcome::Warn]);
    assert_eq!(outcomes(&plan, &[worker(&FIRST, true)]), [Outcome::Warn], "advice that never came");
    assert_eq!(outcomes(&plan, &[anonymous]), [Outcome::Unknown], "advice alone");
    let interrupted = WorkerReport {
        role: Role::Anonymous,
        ending: Ending::BrokenOff("SIGINT".into()),
        ..worker(&[], false)
    };
    assert_eq!(outcomes(&plan, &[worker(&FIRST, true), interrupted]), [Outcome::Unknown], "interrupted");
}

#[test]
fn what_was_not_run_is_skip_or_unknown_as_the_plan_says() {
    let not_run = |not_run| {
        let roles = vec![PlannedWorker { not_run: Some(not_run), ..duty(Role::SysV) }];
        Plan { items: vec![PlannedCheck { mandatory: false, ..item(HP503, roles) }], ..Plan::default() }
    };
    assert_eq!(outcomes(&not_run(NotRun::Skipped("no right".into())), &[]), [Outcome::Skip]);
    assert_eq!(
        outcomes(&not_run(NotRun::Prevented { why: "busy".into(), remedy: "wait".into() }), &[]),
        [Outcome::Unknown]
    );
}

#[test]
fn a_check_that_nobody_was_asked_about_is_unknown() {
    let plan = Plan { items: vec![item(HP501, vec![])], ..Plan::default() };
    assert_eq!(outcomes(&plan, &[worker(&FIRST, true)]), [Outcome::Unknown]);
}

#[test]
fn a_peer_that_lets_time_pass_has_failed_where_it_did() {
    use Outcome::{Fail, Unknown};
    let items = [HP613, HP614].map(|id| item(id, vec![duty(Role::Peer)])).to_vec();
    let plan = Plan { items, ..Plan::default() };
    let last_step = Some((HP614, "set up and enable the queues".to_owned()));
    let peer = WorkerReport {
        role: Role::Peer,
        size: size(),
        part: Ok(Part { last_step, ..Part::default() }),
        ending: Ending::Deadline,
        log: String::new(),
    };
    assert_eq!(outcomes(&plan, &[peer]), [Unknown, Fail]);
}

fn any_ending() -> impl Strategy<Value = Ending> {
    prop_oneof![
        (0..256_i32).prop_map(Ending::Exited),
        any::<bool>().prop_map(|raised_by_kernel| signalled("SIGX", raised_by_kernel)),
        Just(Ending::Deadline),
        Just(Ending::BrokenOff("SIGINT".to_owned())),
        Just(Ending::NotStarted("no".to_owned())),
    ]
}

proptest! {
    /// Whatever the workers do, a pass is one that a worker of the plan reported as a pass.
    #[test]
    fn a_pass_was_reported_as_one(
        said in proptest::sample::subsequence(ALL.to_vec(), 0..=2), ended: bool, ending in any_ending(),
    ) {
        let report = WorkerReport { ending, ..worker(&said, ended) };
        for finding in merge(&plan(), &[report]) {
            if finding.outcome == Outcome::Pass {
                prop_assert!(said.iter().any(|(id, _)| *id == finding.id));
                prop_assert!(ended || said.len() < ALL.len());
            }
        }
    }
}
