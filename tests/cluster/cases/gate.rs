//! What docs/howto/gate-nodes.md says about gates: when the kubelet sets a startup taint, and what becomes of labels with which
//! an autoscaler creates a Node.

use serde_json::{Value, json};

use super::context::kubectl::Guard;
use super::context::node::{Node, Published};
use super::context::{NODE, chart, daemon, kubectl, left, wait};
use super::release::uninstalled;
use super::{Case, case};

pub(crate) const CASES: &[Case] = &[
    case("a startup taint of the kubelet gates a new Node and no reboot", registered_taint),
    case("labels that a Node was created with give way to the verdict", labels_of_a_node_pool),
];

const TAINT: &str = "readiness.k8s.io/hugepages";

/// The kubelet is configured to register its Node with a taint while this lives.
pub(crate) struct Registers(String);

impl Registers {
    pub(crate) fn with_taint() -> Self {
        let file = left("state/kubelet.yaml");
        let before = std::fs::read_to_string(&file).unwrap();
        let taint = format!("registerWithTaints: [{{key: {TAINT}, value: pending, effect: NoSchedule}}]\n");
        std::fs::write(&file, format!("{before}{taint}")).unwrap();
        Self(before)
    }
}

impl Drop for Registers {
    fn drop(&mut self) {
        std::fs::write(left("state/kubelet.yaml"), &self.0).unwrap();
        daemon("restart", "kubelet");
        drop(kubectl::run(&["taint", "node", NODE, &format!("{TAINT}-")]));
    }
}

fn is_tainted() -> bool {
    let taints = Node::read().json()["spec"]["taints"].clone();
    taints.as_array().into_iter().flatten().any(|taint| taint["key"] == TAINT)
}

/// Restarts the kubelet, as a reboot does, and waits until it has written the status of its Node.
fn kubelet_starts() {
    let heartbeat = || {
        let conditions = Node::read().json()["status"]["conditions"].clone();
        let ready = conditions.as_array().cloned().unwrap_or_default().into_iter();
        ready.filter(|one| one["type"] == "Ready").map(|one| one["lastHeartbeatTime"].clone()).next()
    };
    let before = heartbeat();
    // Times on the Node are whole seconds.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    daemon("restart", "kubelet");
    wait::until("the kubelet has written its Node", 60, || match heartbeat() {
        now if now == before => Err(now),
        now => Ok(now),
    });
}

fn registered_taint() {
    let registers = Registers::with_taint();
    kubelet_starts();
    assert!(!is_tainted(), "the Node was there: the taint is only set on a new one");
    assert!(Node::read().published().passes(), "and the label is that of the boot before");

    let uid = Node::read().uid().to_owned();
    kubectl::must(&["delete", "node", NODE]);
    daemon("restart", "kubelet");
    wait::until("the Node is registered again", 60, || {
        let node = kubectl::get(&["node", NODE]).ok_or(Value::Null)?;
        if node["metadata"]["uid"] == uid.as_str() { Err(node) } else { Ok(()) }
    });
    assert!(is_tainted(), "a new Node has the taint: {:#}", Node::read().json()["spec"]);
    chart::published("a pass behind the taint", 120, Published::passes);
    assert!(is_tainted(), "the agent does not remove it");
    kubectl::show(&["get", "node", NODE, "-o", "jsonpath={.spec.taints}"]);

    // As the node readiness controller does.
    kubectl::must(&["taint", "node", NODE, &format!("{TAINT}-")]);
    kubelet_starts();
    assert!(!is_tainted(), "the taint does not come back with the kubelet");
    drop(registers);
}

/// The labels of a Karpenter NodePool or of a node group, on a Node whose pool is smaller than expected. 16Mi is no page size
/// of this machine.
fn labels_of_a_node_pool() {
    let _again = uninstalled();
    let (verdict, small, absent) =
        ("hugeprobe.io/verdict=pass", "hugeprobe.io/hugepages-2Mi=pass", "hugeprobe.io/hugepages-16Mi=pass");
    let _labelled = Guard::run(
        &["label", "node", NODE, "--field-manager=karpenter", verdict, small, absent],
        &["label", "node", NODE, "hugeprobe.io/hugepages-16Mi-"],
    );
    assert!(Node::read().published().passes_for("2Mi"), "before any probe was, as the page warns");

    let _expected = chart::with(&json!({"expectations": [{"nodeSelector": {}, "expect": ["2Mi>=5000"]}]}));
    let published = chart::published("the labels are those of the verdict", 60, |published| {
        let is = |name: &str, value: &str| published.labels.get(name).is_some_and(|label| label == value);
        is("hugepages-2Mi", "fail")
            && is("verdict", "fail")
            && !published.labels.contains_key("hugepages-16Mi")
    });
    println!("    {:?}", published.labels);
}
