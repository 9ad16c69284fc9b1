//! Pods as a real API server returns them, each with the stage that the agent derives from it.
#![allow(clippy::needless_pass_by_value, reason = "statuses are written where they are used")]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn stage_of(metadata: Value, status: Value) -> Stage {
    stage(&serde_json::from_value(json!({"metadata": metadata, "status": status})).unwrap())
}

fn container(name: &str, state: Value) -> Value {
    json!({"name": name, "image": "x", "imageID": "", "ready": false, "restartCount": 0, "state": state})
}

fn both(phase: &str, frontend: Value, backend: Value) -> Value {
    json!({"phase": phase, "conditions": [{"type": "PodScheduled", "status": "True"}],
           "containerStatuses": [container("backend", backend), container("frontend", frontend)]})
}

fn done(message: &str) -> Value {
    json!({"terminated": {"exitCode": 0, "reason": "Completed", "message": message}})
}

fn killed() -> Value {
    json!({"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown"}})
}

fn waiting(reason: &str) -> Value {
    json!({"waiting": {"reason": reason, "message": "Back-off pulling image \"x\""}})
}

fn unscheduled(message: &str) -> Value {
    json!({"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]})
}

fn failed(reason: &str) -> Value {
    json!({"phase": "Failed", "reason": reason, "message": "Pod was rejected: ..."})
}

fn disrupted(reason: &str) -> Value {
    let mut status = both("Failed", killed(), killed());
    status["conditions"] = json!([{"type": "DisruptionTarget", "status": "True", "reason": reason}]);
    status
}

fn busy(lacks: Lack, why: &str) -> Stage {
    Stage::Ended(lacks.busy(why))
}

fn unknown(why: &str) -> Stage {
    Stage::Ended(End::Unknown(why.to_owned()))
}

fn pending(end: End) -> Stage {
    Stage::Pending { if_it_lasts: end }
}

#[test]
fn each_status_has_its_meaning() {
    let lack = "0/3 nodes are available: 1 Insufficient hugepages-1Gi, 2 node(s) didn't match Pod's node affinity/selector. \
                preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.";
    let running = || json!({"running": {"startedAt": "2026-11-23T05:38:15Z"}});
    for (name, status, expected) in [
        (
            "just made",
            json!({"phase": "Pending"}),
            pending(End::Waiting("no scheduler has processed the pod".into())),
        ),
        ("no pages", unscheduled(lack), pending(Lack::Pages.busy("Insufficient hugepages-1Gi"))),
        (
            "no pages, no CPU",
            unscheduled("0/1 nodes are available: 1 Insufficient hugepages-2Mi, 1 Insufficient cpu."),
            pending(Lack::Pages.busy("Insufficient cpu, Insufficient hugepages-2Mi")),
        ),
        (
            "too many pods",
            unscheduled("0/1 nodes are available: 1 Too many pods."),
            pending(Lack::Pods.busy("Too many pods")),
        ),
        (
            "no CPU",
            unscheduled("0/1 nodes are available: 1 Insufficient cpu."),
            pending(Lack::Cpu.busy("Insufficient cpu")),
        ),
        (
            "no memory",
            unscheduled("0/1 nodes are available: 1 Insufficient memory."),
            pending(Lack::Memory.busy("Insufficient memory")),
        ),
        (
            "no suitable node",
            unscheduled("0/3 nodes are available: 3 node(s) had volume node affinity conflict."),
            pending(End::Unknown("Unschedulable: the scheduler finds no suitable node".into())),
        ),
        (
            "on its way",
            both("Pending", waiting("ContainerCreating"), waiting("ContainerCreating")),
            Stage::Starting { stuck: None },
        ),
        (
            "scheduled, and nothing else",
            json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}]}),
            Stage::Starting { stuck: None },
        ),
        (
            "no image",
            both("Pending", waiting("ImagePullBackOff"), waiting("ErrImagePull")),
            Stage::Starting { stuck: Some("ImagePullBackOff".into()) },
        ),
        (
            "one cannot start",
            both("Running", running(), waiting("CreateContainerError")),
            Stage::Starting { stuck: Some("CreateContainerError".into()) },
        ),
        ("one runs", both("Pending", running(), waiting("ContainerCreating")), Stage::Running),
        ("both run", both("Running", running(), running()), Stage::Running),
        ("one has ended", both("Running", running(), done("x")), Stage::Running),
        ("no pages at admission", failed("OutOfhugepages-1Gi"), busy(Lack::Pages, "OutOfhugepages-1Gi")),
        ("no place at admission", failed("OutOfpods"), busy(Lack::Pods, "OutOfpods")),
        ("no CPU at admission", failed("OutOfcpu"), busy(Lack::Cpu, "OutOfcpu")),
        (
            "no NUMA node",
            failed("TopologyAffinityError"),
            busy(Lack::Numa, "TopologyAffinityError: no single NUMA node has the resources now"),
        ),
        (
            "no NUMA node for the memory manager",
            json!({"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": "Allocate failed due to \
                [memorymanager] failed to get the default NUMA affinity, no NUMA nodes with enough memory is available, \
                which is unexpected"}),
            busy(Lack::Numa, "UnexpectedAdmissionError: the memory manager finds no NUMA node for the pod"),
        ),
        (
            "not admitted",
            failed("UnexpectedAdmissionError"),
            unknown("UnexpectedAdmissionError: refused by the kubelet"),
        ),
        ("another node", failed("NodeAffinity"), unknown("NodeAffinity: refused by the kubelet")),
        ("evicted", failed("Evicted"), busy(Lack::Evicted, "evicted")),
        ("preempted by the kubelet", failed("Preempting"), busy(Lack::Preempted, "preempted")),
        ("preempted", disrupted("PreemptionByScheduler"), busy(Lack::Preempted, "preempted")),
        ("evicted by the API", disrupted("EvictionByEvictionAPI"), busy(Lack::Evicted, "evicted")),
        (
            "the node is shutting down",
            failed("NodeShutdown"),
            unknown("the node is shutting down (NodeShutdown)"),
        ),
        (
            "never ready",
            failed("DeadlineExceeded"),
            unknown("DeadlineExceeded: the pod exceeded its time limit"),
        ),
        ("no reason", json!({"phase": "Failed"}), unknown("the pod ended before its containers ran")),
        ("empty", json!({}), pending(End::Waiting("no scheduler has processed the pod".into()))),
    ] {
        assert_eq!(stage_of(json!({"name": "p"}), status), expected, "{name}");
    }
}

#[test]
fn what_both_left_is_evidence_whatever_became_of_the_pod() {
    let terminated = |message: Option<&str>, reason: &str| Terminated {
        message: message.map(str::to_owned),
        reason: reason.to_owned(),
    };
    let oom = || json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
    let bus = || json!({"terminated": {"exitCode": 135, "signal": 7, "reason": "Error", "message": ""}});
    let with_reason = |reason: &str, mut status: Value| {
        status["reason"] = json!(reason);
        status
    };
    for (name, status, frontend, backend) in [
        (
            "both reported",
            both("Succeeded", done("f"), done("b")),
            terminated(Some("f"), "Completed, exit code 0"),
            terminated(Some("b"), "Completed, exit code 0"),
        ),
        (
            "one was killed",
            both("Failed", oom(), done("b")),
            terminated(None, "OOMKilled, exit code 137"),
            terminated(Some("b"), "Completed, exit code 0"),
        ),
        (
            "a signal",
            both("Failed", done("f"), bus()),
            terminated(Some("f"), "Completed, exit code 0"),
            terminated(None, "Error, signal 7"),
        ),
        (
            "evicted after it had reported",
            with_reason("Evicted", both("Failed", done("f"), done("b"))),
            terminated(Some("f"), "Completed, exit code 0"),
            terminated(Some("b"), "Completed, exit code 0"),
        ),
    ] {
        assert_eq!(
            stage_of(json!({}), status),
            Stage::Ended(End::Reported(Box::new([frontend, backend]))),
            "{name}"
        );
    }
    assert_eq!(
        stage_of(json!({}), with_reason("Evicted", both("Failed", killed(), done("b")))),
        busy(Lack::Evicted, "evicted")
    );
    assert_eq!(
        stage_of(json!({}), with_reason("OutOfhugepages-2Mi", both("Failed", killed(), killed()))),
        busy(Lack::Pages, "OutOfhugepages-2Mi")
    );
}

#[test]
fn a_pod_that_somebody_deletes_was_pushed_out() {
    let going = json!({"deletionTimestamp": "2026-11-23T05:38:15Z"});
    let running = json!({"running": {}});
    assert_eq!(stage_of(going.clone(), both("Running", running.clone(), running)), Stage::Ended(gone()));
    let reported = stage_of(going, both("Succeeded", done("f"), done("b")));
    assert!(matches!(reported, Stage::Ended(End::Reported(_))));
}

#[test]
fn a_reason_is_the_same_whatever_the_cluster_looks_like() {
    let of = |nodes: u32| {
        unscheduled(&format!(
            "0/{nodes} nodes are available: 1 Insufficient hugepages-1Gi, {nodes} node(s) were cordoned."
        ))
    };
    assert_eq!(stage_of(json!({}), of(3)), stage_of(json!({}), of(5000)));
}

#[test]
fn only_what_has_ended_holds_nothing() {
    let over = |status: Value| is_over(&serde_json::from_value(json!({"status": status})).unwrap());
    assert!(over(json!({"phase": "Failed"})) && over(both("Running", done("f"), killed())));
    assert!(
        !over(json!({"phase": "Pending"}))
            && !over(both("Running", json!({"running": {}}), done("b")))
            && !over(json!({}))
    );
}

proptest! {
    #[test]
    fn no_words_of_others_panic_or_are_long(reason in "\\PC{0,300}", message in "\\PC{0,300}", phase in "Pending|Failed|Running|\\PC{0,9}") {
        let mut statuses = vec![json!({"phase": phase, "reason": reason, "message": message}), unscheduled(&format!("Insufficient {message}"))];
        statuses.push(both(&phase, waiting(&reason), done(&message)));
        statuses.push(disrupted(&reason));
        for status in statuses {
            let why = match stage_of(json!({}), status) {
                Stage::Ended(End::Busy { why, .. } | End::Unknown(why)) | Stage::Starting { stuck: Some(why) } => why,
                Stage::Pending { if_it_lasts: End::Busy { why, .. } | End::Unknown(why) } => why,
                _ => continue,
            };
            prop_assert!(why.len() <= 120 && why.bytes().all(|b| (0x20..0x7f).contains(&b)), "{why}");
        }
    }
}
