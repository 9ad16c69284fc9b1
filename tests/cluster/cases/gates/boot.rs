//! A reboot, as the API server sees it.

use serde_json::json;

use super::super::context::node::Node;
use super::super::context::{NODE, daemon, kubectl, script, wait};

/// The boot before this one.
const EARLIER: &str = "0b007000-0000-4000-8000-000000000001";

/// A node that is down, and whose Node shows what kubelet and agent wrote in the boot before. Its kubelet starts when this goes,
/// even if the case fails.
#[must_use]
pub(super) struct Boot {
    /// The boot of this machine, which the kubelet will report.
    id: String,
}

impl Boot {
    /// Stops the kubelet and changes the boot on the Node: in its status, and in the verdict, as its agent would have applied it.
    /// The agent must be gone, or it would write its own again.
    pub(super) fn before() -> Self {
        let node = Node::read();
        let boot = Self { id: node.boot_id().to_owned() };
        daemon("stop", "kubelet");
        let info = json!({"status": {"nodeInfo": {"bootID": EARLIER}}}).to_string();
        kubectl::must(&["patch", "node", NODE, "--subresource=status", "--type=merge", "--patch", &info]);
        let ours = |what: &str| {
            let mut all = node.json()["metadata"][what].as_object().cloned().unwrap_or_default();
            all.retain(|key, _| key.starts_with("hugeprobe.io/"));
            all
        };
        let mut annotations = ours("annotations");
        annotations.insert("hugeprobe.io/boot-id".to_owned(), json!(EARLIER));
        let conditions = node.json()["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let conditions: Vec<_> =
            conditions.into_iter().filter(|one| one["type"] == "hugeprobe.io/HugepagesReady").collect();
        let verdict = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": NODE, "annotations": annotations, "labels": ours("labels")},
            "status": {"conditions": conditions},
        });
        let options =
            ["--server-side", "--force-conflicts", "--field-manager=hugeprobe", "--subresource=status"];
        kubectl::try_apply(&verdict, &options).unwrap();
        let shown = Node::read();
        assert_eq!(shown.boot_id(), EARLIER);
        assert!(shown.published().passes(), "{:#?}", shown.published());
        boot
    }

    /// Starts the kubelet, and waits until it has reported the boot that it runs on.
    pub(super) fn ends(self) {
        let id = self.id.clone();
        drop(self);
        wait::until("the kubelet reports another boot", 60, || {
            let node = Node::read();
            if node.boot_id() == id { Ok(()) } else { Err(node.boot_id().to_owned()) }
        });
    }
}

impl Drop for Boot {
    fn drop(&mut self) {
        // Not by `daemon`: a panic here would hide why the case failed.
        let started = script("daemon").args(["start", "kubelet"]).status();
        if !started.is_ok_and(|status| status.success()) {
            println!("    not taken back: the kubelet does not start");
        }
    }
}
