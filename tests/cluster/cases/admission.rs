//! Probe pods that are not let in, or that somebody takes away.

use serde_json::json;

use super::context::pools::SMALL;
use super::context::{NAMESPACE, NODE, chart, kubectl, pods, wait};
use super::{Case, case};

pub(crate) const CASES: &[Case] = &[
    case("a probe pod that the API server refuses is an unknown with its reason", refused),
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
    // Another expectation is met as before: the verdict stands, with the warning.
    let changed = chart::with(&json!({"expectations": [{"nodeSelector": {}, "expect": ["2Mi>=3"]}]}));
    chart::published("the verdict stands, and HP203 warns", 60, |published| {
        published.names("HP203", "2Mi") && published.passes_for("2Mi")
    });
    show_ours();
    // Another pool is another matter: nobody knows.
    let grown = SMALL.change(2);
    chart::published("no verdict is made up for another pool", 60, |published| {
        published.names("HP203", "2Mi")
            && published.labels.get("hugepages-2Mi").is_some_and(|verdict| verdict == "unknown")
    });
    show_ours();
    drop(grown);
    drop(limit);
    chart::published("a pass once it is let in", 120, super::context::node::Published::passes);
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
    show_ours();
    drop(changed);
}

fn deleted() {
    let changed = chart::with(&json!({"expectations": [{"nodeSelector": {}, "expect": ["2Mi>=5"]}]}));
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
    chart::published("a pass all the same", 90, super::context::node::Published::passes);
    drop(changed);
}

fn show_ours() {
    let text = kubectl::must(&["describe", "node", NODE]);
    for line in text.lines().filter(|line| line.contains("hugeprobe")) {
        println!("    {line}");
    }
}
