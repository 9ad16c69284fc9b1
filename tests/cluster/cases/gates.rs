//! What each gate of docs/howto/gate-nodes.md does on a node that is bad, in each state that its verdict can be in. The rows are in
//! tests/cluster/gates.txt; a case finds out what really happens and compares it with its row.
//!
//! A reboot is one as the API server sees it: no agent, a kubelet that starts, and another boot id than the one on the Node. The
//! machine keeps its boot id, so what is made up is the boot before: see `boot::before`.

mod boot;
mod gate;

use super::context::kubectl::Guard;
use super::context::node::Node;
use super::context::pools::{Holder, SMALL};
use super::context::{MUTATING_POLICIES, NAMESPACE, NODE, chart, daemon, kubectl, wait};
use super::gate::Registers;
use super::{Case, case_since};

use boot::Boot;
use gate::Rule;

pub(crate) const CASES: &[Case] = &[
    row("gates: taken since the probe", taken),
    row("gates: another boot and its agent", with_agent),
    row("gates: bound while the node was down", bound_while_down),
    row("gates: another boot before its agent", before_agent),
    row("gates: another boot with the reboot policy", reboot_policy),
    row("gates: an agent that is gone", agent_gone),
    row("gates: an expired verdict", expired),
    row("gates: a Node that was registered again", registered_again),
];

/// A case that tries the rule of the node readiness controller too, see tests/cluster/readiness. Its values have the preflight
/// that a policy adds.
const fn row(name: &'static str, run: fn()) -> Case {
    Case { program: Some("readiness"), ..case_since(MUTATING_POLICIES, name, run) }
}

/// The values of every row: pods that ask for it get the preflight.
fn injecting(reboot_policy: bool) -> chart::Changed {
    chart::with(&serde_json::json!({
        "preflight": {"enabled": true},
        "rebootPolicy": {"enabled": reboot_policy},
    }))
}

/// The agent is not on the node for as long as this lives; what it wrote is.
fn without_agent() -> Guard {
    let select = |value: &str| {
        format!(
            r#"{{"spec": {{"template": {{"spec": {{"nodeSelector": {{"hugeprobe-case": {value}}}}}}}}}}}"#
        )
    };
    let patch = ["patch", "daemonset", "hugeprobe", "--namespace", NAMESPACE, "--type=merge", "--patch"];
    let guard = Guard::run(
        &[patch.as_slice(), &[select("\"nowhere\"").as_str()]].concat(),
        &[patch.as_slice(), &[select("null").as_str()]].concat(),
    );
    let agents =
        || kubectl::list(&["pods", "--namespace", NAMESPACE, "-l", "app.kubernetes.io/component=agent"]);
    wait::until("the agent is gone", 60, || match agents().len() {
        0 => Ok(()),
        more => Err(more),
    });
    guard
}

/// Another process takes all pages, as one does that starts with the machine. The kubelet counts them all the same.
fn pages_are_taken() -> Holder {
    chart::at_rest();
    Holder::take(SMALL.free())
}

fn taken() {
    let _values = injecting(false);
    let rule = Rule::start();
    let _holder = pages_are_taken();
    gate::row("taken since the probe", &rule);
}

fn with_agent() {
    let _values = injecting(false);
    let rule = Rule::start();
    let _holder = pages_are_taken();
    let absent = without_agent();
    Boot::before().ends();
    drop(absent);
    let published = chart::published("the agent voids the verdict of the boot before", 60, |published| {
        !published.passes() && !published.passes_for("2Mi")
    });
    println!("    {:?} {:?}", published.labels, published.condition);
    rule.taints();
    gate::row("another boot and its agent", &rule);
}

fn before_agent() {
    let _values = injecting(false);
    let rule = Rule::start();
    let _holder = pages_are_taken();
    let _absent = without_agent();
    Boot::before().ends();
    assert!(Node::read().published().passes(), "the labels are those of the boot before");
    gate::row("another boot before its agent", &rule);
}

fn reboot_policy() {
    let _values = injecting(true);
    let rule = Rule::start();
    let _holder = pages_are_taken();
    let _absent = without_agent();
    let boot = Boot::before();
    assert!(Node::read().published().passes(), "a pass of the boot before");
    boot.ends();
    let published = Node::read().published();
    println!("    {:?} {:?}", published.labels, published.condition);
    assert!(published.labels.is_empty() && published.condition.is_none(), "{published:#?}");
    rule.taints();
    gate::row("another boot with the reboot policy", &rule);
}

fn bound_while_down() {
    let _values = injecting(false);
    let rule = Rule::start();
    let _holder = pages_are_taken();
    let _absent = without_agent();
    let boot = Boot::before();
    let pods = gate::bound();
    boot.ends();
    pods.compare("bound while the node was down", &rule);
}

fn agent_gone() {
    let _values = injecting(false);
    let rule = Rule::start();
    let _holder = pages_are_taken();
    let _absent = without_agent();
    gate::row("an agent that is gone", &rule);
}

fn expired() {
    let _values = injecting(false);
    let rule = Rule::start();
    let _holder = pages_are_taken();
    let _absent = without_agent();
    kubectl::must(&[
        "annotate",
        "node",
        NODE,
        "--overwrite",
        "hugeprobe.io/valid-until=2026-01-01T00:00:00Z",
    ]);
    gate::row("an expired verdict", &rule);
}

fn registered_again() {
    let _values = injecting(false);
    let rule = Rule::start();
    let _holder = pages_are_taken();
    let _absent = without_agent();
    let _registers = Registers::with_taint();
    kubectl::must(&["delete", "node", NODE]);
    daemon("restart", "kubelet");
    wait::until("the Node is there, and Ready", 60, || match kubectl::get(&["node", NODE]) {
        Some(node) if node["status"]["conditions"].to_string().contains("KubeletReady") => Ok(()),
        node => Err(node),
    });
    gate::row("a Node that was registered again", &rule);
}
