//! A reboot of the machine: what its Node shows from the moment at which the kubelet reports another boot until the agent has
//! answered.

use std::time::{Duration, Instant};

use serde_json::json;

use super::super::context::machine::{NAME, PATIENCE};
use super::super::context::node::{Node, Published};
use super::{BOTH, on, passes, show};

pub(super) fn without_policy() {
    // The verdict of the boot before is there until the agent voids it: a gate that reads only labels lets pods in.
    let seen = reboots(false);
    assert!(seen.first().unwrap().passes_for("2Mi"), "{seen:#?}");
}

pub(super) fn with_policy() {
    let seen = reboots(true);
    let first = seen.first().unwrap();
    assert!(first.labels.is_empty() && first.condition.is_none(), "{seen:#?}");
}

/// Reboots the machine, and returns what its Node showed, one after another, from the first write of the kubelet about the new
/// boot until the agent has probed it.
fn reboots(policy: bool) -> Vec<Published> {
    let mut seen = Vec::new();
    on(BOTH, &json!({"rebootPolicy": {"enabled": policy}}), |machine| {
        passes(BOTH.pages);
        let before = Node::named(NAME);
        machine.reboot();
        let begin = Instant::now();
        loop {
            let node = Node::named(NAME);
            assert_eq!(node.uid(), before.uid(), "the Node is the same object");
            let published = node.published();
            let is_new = node.boot_id() != before.boot_id();
            if is_new && seen.last() != Some(&published) {
                println!("    {:.1} s after the kubelet's start:", begin.elapsed().as_secs_f64());
                show(&published);
                seen.push(published.clone());
            }
            if is_new
                && published.annotation("boot-id") == Some(node.boot_id())
                && published.passes_for("2Mi")
            {
                break;
            }
            assert!(begin.elapsed() < Duration::from_secs(PATIENCE), "no verdict: {seen:#?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    seen
}
