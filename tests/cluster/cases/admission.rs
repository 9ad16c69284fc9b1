//! Probe pods that are not let in, or that somebody takes away.

use serde_json::json;

use super::context::node::Node;
use super::context::pools::SMALL;
use super::context::{NAMESPACE, chart, kubectl, pods, wait};
use super::{Case, case};

pub(crate) const CASES: &[Case] = &[
    case(
        "a probe pod that the API server refuses leaves the verdict with a warning, and makes none up",
        refused,
    ),
    case("a probe pod beyond the quota waits, and is no denial", quota),
    case("a probe pod whose image cannot be pulled leaves the verdict with its reason", no_image),
    case("a probe pod whose runtime class is missing is an unknown with its reason", no_runtime_class),
    case("a probe pod that is deleted in the middle is made again", deleted),
];

fn refused() {
    // In force for new pods alone: the agent's own pod stays.
    let limit = kubectl::apply_for_now(&json!({
        "apiVersion": "v1", "kind": "LimitRange",
        "metadata": {"name": "refuses", "namespace": NAMESPACE},
        "spec": {"limits": [{"type": "Container", "max": {SMALL.resource(): "0"}}]}
    }));
    // Boot, pages and mounts are as before: the verdict stands, with the warning.
    let due = chart::due(SMALL);
    chart::published("the verdict stands, and HP203 warns", 60, |published| {
        published.names("HP203", "2Mi") && published.passes_for("2Mi")
    });
    chart::show_ours();
    // Another pool is another matter: nobody knows.
    let grown = SMALL.change(2);
    chart::published("no verdict is made up for another pool", 60, |published| {
        published.names("HP203", "2Mi")
            && published.labels.get("hugepages-2Mi").is_some_and(|verdict| verdict == "unknown")
    });
    chart::show_ours();
    drop(grown);
    drop(limit);
    chart::published("a pass once it is let in, without the warning", 120, |published| {
        published.passes() && !published.names("HP203", "2Mi")
    });
    drop(due);
}

fn quota() {
    let changed = chart::with(&json!({"probe": {"maxInCluster": 1}}));
    chart::at_rest();
    // Of another node, as far as the quota is concerned.
    let other = kubectl::apply_for_now(&json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "of-another-node", "namespace": NAMESPACE},
        "spec": {
            "priorityClassName": "hugeprobe-probe", "nodeSelector": {"kubernetes.io/hostname": "node-b"},
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "a", "image": super::context::WORKLOAD_IMAGE,
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]
        }
    }));
    let used = || {
        kubectl::must(&[
            "get",
            "resourcequotas",
            "--namespace",
            NAMESPACE,
            "-o",
            "jsonpath={.items[*].status.used.pods}",
        ])
    };
    wait::until("the quota is used up", 30, || match used().as_str() {
        "1" => Ok(()),
        other => Err(other.to_owned()),
    });
    let denied = chart::denied();
    let due = chart::due(SMALL);
    let waits = || {
        let series = "hugeprobe_probe_blocked_since_timestamp_seconds{";
        chart::metrics().lines().any(|line| line.starts_with(series) && line.contains("reason=\"quota\""))
    };
    wait::until("it waits for its turn", 60, || if waits() { Ok(()) } else { Err("no such metric") });
    // The last verdict is valid: the Node is not written to say that the next one waits.
    let published = Node::read().published();
    assert!(published.passes_for("2Mi") && !published.names("HP203", "2Mi"), "{published:#?}");
    assert!(!published.annotations.contains_key("probe"), "{published:#?}");
    chart::show_ours();
    assert_eq!(chart::denied(), denied, "a quota is no missing right");
    let ended = chart::ended(SMALL, "pass");
    drop(other);
    wait::until("its turn comes", 120, || match chart::ended(SMALL, "pass") {
        now if now > ended && !waits() => Ok(()),
        now => Err(now),
    });
    assert!(Node::read().published().passes());
    drop(due);
    drop(changed);
}

fn no_image() {
    let changed = chart::with(&json!({"probe": {"pendingSeconds": 5}}));
    chart::at_rest();
    let gone = pods::without_image();
    let due = chart::due(SMALL);
    let published = chart::published("the annotation names the image", 90, |published| {
        published.annotation("probe").is_some_and(|probe| probe.contains("Image"))
    });
    assert!(published.passes_for("2Mi") && published.names("HP203", "2Mi"), "{published:#?}");
    chart::show_ours();
    drop(gone);
    chart::published("a pass once the image is there", 150, |published| {
        published.passes() && !published.annotations.contains_key("probe")
    });
    drop(due);
    drop(changed);
}

fn no_runtime_class() {
    let changed = chart::with(
        &json!({"probe": {"runtimeClassName": "there-is-none"}, "expectations": [{"nodeSelector": {}, "expect": ["2Mi>=4"]}]}),
    );
    let published = chart::published("HP203 says that the probe pod cannot be made", 60, |published| {
        published.names("HP203", "2Mi")
    });
    assert!(!published.passes_for("2Mi"), "{published:#?}");
    chart::show_ours();
    drop(changed);
}

fn deleted() {
    let before = chart::ended(SMALL, "pass");
    let due = chart::due(SMALL);
    let probe = wait::until("a probe is there", 60, || pods::probes().first().cloned().ok_or("none"));
    kubectl::must(&[
        "delete",
        "pod",
        chart::meta(&probe, "name"),
        "--namespace",
        NAMESPACE,
        "--force",
        "--grace-period=0",
    ]);
    chart::concluded("a pass all the same", SMALL, before);
    drop(due);
}
