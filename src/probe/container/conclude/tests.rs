//! Tests that the agent draws the same conclusion from two messages as `check` does, and never passes a missing result.

use serde_json::json;

use super::*;
use crate::assignment::Work;
use hugeprobe_domain::catalogue::{HP301, HP401, HP501, HP601, HP604, HP606, HP609};
use hugeprobe_domain::check::Verdict;
use hugeprobe_domain::judge::judge;
use hugeprobe_domain::part::Part;
use hugeprobe_domain::plan::{PlannedWorker, Weight};
use hugeprobe_domain::request::{Request, Workload};
use hugeprobe_domain::sharing::{AGREED, Session};

fn probe() -> Probe {
    Probe {
        size: "2Mi".parse().unwrap(),
        pages: 4,
        frontend_pays: false,
        need: vec![],
        workload: Workload::Dpdk,
        judge_syscalls: false,
        directory: "/hugepages".to_owned(),
        peer: None,
    }
}

fn run() -> Run {
    "a-run".parse().unwrap()
}

/// Returns the message of a container in which every check passes.
fn sound(container: Container) -> Message {
    let probe = probe();
    let roles: Vec<Role> = probe.jobs(1).iter().flat_map(|job| &job.workers).map(Work::role).collect();
    let pass = |id: CheckId| {
        let size = hugeprobe_domain::catalogue::find(id).filter(|check| check.per_size).map(|_| probe.size);
        Finding::pass(id, size, "fine").with(AGREED, json!({ "id": id }))
    };
    let worker = |role: Role| WorkerReport {
        role,
        size: Some(probe.size).filter(|_| !role.is_about_machine()),
        part: Ok(Part {
            findings: role.checks().iter().map(|id| pass(*id)).collect(),
            last_step: None,
            ended: true,
        }),
        ending: Ending::Exited(0),
        log: String::new(),
    };
    Message {
        container,
        size: probe.size,
        run: run(),
        findings: container.inspections().iter().map(|id| pass(*id)).collect(),
        workers: roles
            .into_iter()
            .filter(|role| container.roles().any(|its| its == *role))
            .map(worker)
            .collect(),
    }
}

fn terminated(message: &str) -> Terminated {
    Terminated { message: Some(message.to_owned()), reason: "exit code 0".to_owned() }
}

fn verdict(findings: &[Finding]) -> Verdict {
    judge(&probe().plan(), &Request::default(), findings)[0].verdict
}

fn of(findings: &[Finding], id: CheckId) -> &Finding {
    findings.iter().find(|finding| finding.id == id).unwrap()
}

fn concluded(frontend: &Message, backend: &Message) -> Vec<Finding> {
    conclude(&probe(), &run(), &[terminated(&frontend.write()), terminated(&backend.write())]).findings
}

#[test]
fn two_sound_messages_are_a_pass() {
    let findings = concluded(&sound(Container::Frontend), &sound(Container::Backend));
    assert_eq!(verdict(&findings), Verdict::Pass);
    let plan = probe().plan();
    assert_eq!(findings.len(), plan.items.len() + Container::Frontend.inspections().len());
}

#[test]
fn what_is_missing_or_refused_is_never_a_pass() {
    let texts = Container::ALL.map(|container| sound(container).write());
    let [frontend, backend] = &texts;
    let gone = Terminated { message: None, reason: "OOMKilled, exit code 137".to_owned() };
    let empty = Terminated { message: Some(String::new()), reason: "exit code 1".to_owned() };
    let half = terminated(&frontend[..frontend.len() / 2]);
    let [frontend, backend] = [frontend, backend].map(|text| terminated(text));
    for (frontend, backend, says) in [
        (&gone, &backend, "the frontend container left no message (OOMKilled, exit code 137)"),
        (&frontend, &gone, "the backend container left no message (OOMKilled, exit code 137)"),
        (&frontend, &empty, "the backend container left no message (exit code 1)"),
        (&frontend, &frontend, "it is from another container"),
        (&half, &backend, "not a complete message"),
    ] {
        let conclusion = conclude(&probe(), &run(), &[frontend.clone(), backend.clone()]);
        assert_eq!((conclusion.verdict, conclusion.complete), (Verdict::Unknown, false), "{says}");
        let finding = of(&conclusion.findings, HP601);
        assert!(finding.seen.contains(says), "{finding:?}");
    }
    // Both messages name another run, so they were not written for this one.
    let other = conclude(&probe(), &"other".parse().unwrap(), &[frontend, backend]);
    assert_eq!(other.verdict, Verdict::Fail);
    let nothing = conclude(&probe(), &run(), &[gone.clone(), gone]);
    assert_eq!(nothing.verdict, Verdict::Unknown);
    assert!(nothing.findings.iter().all(|finding| finding.id != HP301));
}

#[test]
fn each_word_that_is_left_out_keeps_it_from_passing() {
    let (frontend, backend) = (sound(Container::Frontend), sound(Container::Backend));
    for index in 0..frontend.workers.len() {
        let mut fewer = frontend.clone();
        let gone = fewer.workers.remove(index);
        let findings = concluded(&fewer, &backend);
        let role = gone.role;
        // Memory outside the directory is advisory: a missing result leads to a warning at most.
        let full = |duty: &PlannedWorker| duty.role == role && duty.weight == Weight::Full;
        let counts = probe().plan().items.iter().flat_map(|item| &item.roles).any(full);
        let expected = if counts { Verdict::Unknown } else { Verdict::Warn };
        assert_eq!(verdict(&findings), expected, "{role}");
    }
    let mut fewer = backend.clone();
    fewer.findings.clear();
    let findings = concluded(&frontend, &fewer);
    assert_eq!(of(&findings, HP401).outcome, Outcome::Unknown);
    assert!(of(&findings, HP401).seen.contains("backend"));
}

#[test]
fn the_two_sides_have_to_agree() {
    let (frontend, mut backend) = (sound(Container::Frontend), sound(Container::Backend));
    let part = backend.workers[0].part.as_mut().unwrap();
    part.findings[0].evidence.insert(AGREED.to_owned(), json!({ "inode": 2 }));
    let findings = concluded(&frontend, &backend);
    assert_eq!(of(&findings, HP601).outcome, Outcome::Fail);
    backend.workers[0].part.as_mut().unwrap().findings[0].evidence.clear();
    assert_eq!(of(&concluded(&frontend, &backend), HP601).outcome, Outcome::Unknown);
}

#[test]
fn the_worse_of_both_inspections_stands_and_says_whose_it_is() {
    let (frontend, mut backend) = (sound(Container::Frontend), sound(Container::Backend));
    let place = backend.findings.iter_mut().find(|finding| finding.id == HP401).unwrap();
    let because = Because::new("room for 2 pages", "hugetlb.2MB.max is 0").remedy("raise it");
    *place = Finding::not_pass(HP401, probe().size, Outcome::Fail, "this cgroup may use no page", because);
    let findings = concluded(&frontend, &backend);
    let finding = of(&findings, HP401);
    assert_eq!(
        (finding.outcome, finding.summary.as_str()),
        (Outcome::Fail, "backend: this cgroup may use no page")
    );
    assert_eq!((finding.seen.as_str(), finding.remedy.as_str()), ("hugetlb.2MB.max is 0", "raise it"));
    assert_eq!(verdict(&findings), Verdict::Fail);
}

#[test]
fn a_worker_that_was_killed_is_told_of_as_check_tells_of_it() {
    let (frontend, mut backend) = (sound(Container::Frontend), sound(Container::Backend));
    let worker = backend
        .workers
        .iter_mut()
        .find(|worker| worker.role == Role::Backend(Session::BackendFirst))
        .unwrap();
    worker.part =
        Ok(Part { findings: vec![], last_step: Some((HP606, "take the pages".to_owned())), ended: false });
    worker.ending = Ending::Signalled { name: "SIGBUS".to_owned(), raised_by_kernel: true };
    let findings = concluded(&frontend, &backend);
    let finding = of(&findings, HP606);
    assert_eq!(finding.outcome, Outcome::Fail);
    assert!(finding.summary.contains("SIGBUS at the step 'take the pages'"), "{finding:?}");
    assert_eq!(of(&findings, HP604).outcome, Outcome::Pass);
}

#[test]
fn words_that_did_not_fit_are_looked_up_in_the_log() {
    let (mut frontend, backend) = (sound(Container::Frontend), sound(Container::Backend));
    for worker in &mut frontend.workers {
        for finding in &mut worker.part.as_mut().unwrap().findings {
            *finding = Finding::not_pass(finding.id, finding.size, Outcome::Fail, "", Because::new("", ""));
        }
    }
    let findings = concluded(&frontend, &backend);
    for id in [HP501, HP609] {
        let finding = of(&findings, id);
        assert!(
            finding.summary.contains("see the container's log") && !finding.remedy.is_empty(),
            "{finding:?}"
        );
    }
}
