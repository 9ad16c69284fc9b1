//! All names that hugeprobe uses in a cluster: keys, labels, the condition, the field manager, pods.
//!
//! Other programs read the annotations and labels, so the meaning of a name never changes.

use hugeprobe_domain::check::CheckId;
use hugeprobe_domain::size::PageSize;

/// The field manager of every server-side apply, the same for all agents.
pub const MANAGER: &str = "hugeprobe";

/// The prefix of all annotations and labels. Every key on a Node with this prefix belongs to hugeprobe.
pub const PREFIX: &str = "hugeprobe.io/";

/// Annotation and label: the verdict of the node.
///
/// The annotation is `pass`, `warn`, `fail`, `unknown` or `none`. The label is `pass` for a verdict with warnings too,
/// and is absent for `none`.
pub const VERDICT: &str = "hugeprobe.io/verdict";

/// Annotation: the verdict of each size and the first problem, in one line.
pub const SUMMARY: &str = "hugeprobe.io/summary";

/// Annotation: when the oldest probe on which the verdict is based ended, RFC 3339.
pub const CHECKED_AT: &str = "hugeprobe.io/checked-at";

/// Annotation: when the verdict expires unless it is renewed, RFC 3339.
pub const VALID_UNTIL: &str = "hugeprobe.io/valid-until";

/// Annotation: the boot that the verdict describes. Compare it with `.status.nodeInfo.bootID`.
pub const BOOT_ID: &str = "hugeprobe.io/boot-id";

/// Annotation: the version of hugeprobe that wrote the verdict.
pub const VERSION: &str = "hugeprobe.io/version";

/// Annotation: the profile, `restricted` or `privileged`.
pub const PROFILE: &str = "hugeprobe.io/profile";

/// Annotation: what the agent could not see under its profile; absent if it could see everything.
pub const UNSEEN: &str = "hugeprobe.io/unseen";

/// Annotation: since when and why no probe could run; absent while probes can run.
pub const PROBE: &str = "hugeprobe.io/probe";

/// Annotation: when an operator asked for another probe of each size, RFC 3339. The agent never writes it.
pub const RECHECK: &str = "hugeprobe.io/recheck";

/// Annotation: the last value of [`RECHECK`] after which every size has been probed; absent before the first.
pub const RECHECKED: &str = "hugeprobe.io/rechecked";

/// The type of the Node's condition. It is `True` for a verdict of pass, with or without warnings.
pub const CONDITION: &str = "hugeprobe.io/HugepagesReady";

/// The `reportingController` of events.
pub const CONTROLLER: &str = "hugeprobe.io/agent";

/// The namespace of events about Nodes. `kubectl describe node` does not find them in any other namespace.
pub const EVENT_NAMESPACE: &str = "default";

/// Label of a probe pod: the application.
pub const APP: (&str, &str) = ("app.kubernetes.io/name", "hugeprobe");

/// Label of a probe pod: the component of the application.
pub const COMPONENT: (&str, &str) = ("app.kubernetes.io/component", "probe");

/// Label of a probe pod: its page size.
pub const POD_SIZE: &str = "hugeprobe.io/size";

/// Label of a probe pod: its node, in the form that [`node_label`] returns. Each agent uses it to watch only its own
/// pods.
pub const POD_NODE: &str = "hugeprobe.io/node";

/// Annotation: the configured pages of a size, in total and per NUMA node: `512 (numa0 256, numa1 256)`.
#[must_use]
pub fn pool(size: PageSize) -> String {
    format!("{PREFIX}pool.{size}")
}

/// Annotation: the result of the sharing checks for a size.
#[must_use]
pub fn share(size: PageSize) -> String {
    format!("{PREFIX}share.{size}")
}

/// Annotation: the last conclusive probe of a size: verdict, time, and a digest of what was probed.
#[must_use]
pub fn probe(size: PageSize) -> String {
    format!("{PREFIX}probe.{size}")
}

/// Annotation: the result of a check that did not pass.
#[must_use]
pub fn check(id: CheckId, size: Option<PageSize>) -> String {
    match size {
        Some(size) => format!("{PREFIX}check.{id}.{size}"),
        None => format!("{PREFIX}check.{id}"),
    }
}

/// Label: `pass`, `fail` or `unknown` for one size; absent if the pool is empty and none was required.
#[must_use]
pub fn size_label(size: PageSize) -> String {
    format!("{PREFIX}{}", size.resource_name())
}

/// Returns the name of the probe pod of a node and a page size: `hugeprobe-2mi-NODE`.
///
/// The admission policy compares the name with the node that the agent's token names, so that an agent cannot take the
/// name of another node's pod.
#[must_use]
pub fn probe_pod(node: &str, size: PageSize) -> String {
    format!("hugeprobe-{}-{}", size.to_string().to_lowercase(), cut(node, NODE_IN_NAME))
}

/// Returns the node's name in the form of a label value.
#[must_use]
pub fn node_label(node: &str) -> String {
    cut(node, NODE_IN_LABEL)
}

/// The part of a pod name's 253 characters that is left after `hugeprobe-512mi-`.
const NODE_IN_NAME: usize = 237;
/// The maximum length of a label value.
const NODE_IN_LABEL: usize = 63;

/// Returns the node's name, cut to `most` bytes.
///
/// A name that was cut ends in `x`, because a name must not end in `.` or `-`.
fn cut(node: &str, most: usize) -> String {
    match node.get(..most.saturating_sub(1)) {
        Some(begin) if node.len() > most => format!("{begin}x"),
        _ => node.to_owned(),
    }
}

/// Returns the label selector of the probe pods of one node.
#[must_use]
pub fn probe_pod_selector(node: &str) -> String {
    format!("{}={},{}={},{POD_NODE}={}", APP.0, APP.1, COMPONENT.0, COMPONENT.1, node_label(node))
}

/// Returns 16 hexadecimal digits that identify `parts`: 64-bit FNV-1a, with a byte after each part that cannot occur in
/// UTF-8.
///
/// It detects accidental differences. It is not a cryptographic hash, so it does not protect against forged parts.
#[must_use]
pub fn digest<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let bytes = parts.into_iter().flat_map(|part| part.bytes().chain([0xff]));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hugeprobe_domain::catalogue::{HP105, HP108};

    #[test]
    fn names_are_those_of_the_design() {
        let large: PageSize = "1Gi".parse().unwrap();
        assert_eq!(pool(large), "hugeprobe.io/pool.1Gi");
        assert_eq!(share(large), "hugeprobe.io/share.1Gi");
        assert_eq!(check(HP105, Some(large)), "hugeprobe.io/check.HP105.1Gi");
        assert_eq!(check(HP108, None), "hugeprobe.io/check.HP108");
        assert_eq!(size_label(large), "hugeprobe.io/hugepages-1Gi");
        assert_eq!(probe_pod("ip-10-0-0-1.example.com", large), "hugeprobe-1gi-ip-10-0-0-1.example.com");
    }

    #[test]
    fn a_pod_is_named_for_its_node_and_fits_a_label() {
        let size: PageSize = "512Mi".parse().unwrap();
        let long = "n.".repeat(126);
        for (node, length, label) in [("a", 17, "a"), (long.as_str(), 253, &format!("{}x", &long[..62]))] {
            let name = probe_pod(node, size);
            assert_eq!(name.len(), length);
            assert!(name.ends_with(|c: char| c.is_ascii_alphanumeric()), "{name}");
            assert_eq!(node_label(node), label);
        }
        assert_ne!(probe_pod("a", size), probe_pod("b", size));
        assert!(probe_pod_selector("a").ends_with("hugeprobe.io/node=a"));
    }

    #[test]
    fn parts_are_kept_apart() {
        assert_ne!(digest(["ab", "c"]), digest(["a", "bc"]));
        assert_ne!(digest(["a"]), digest(["a", ""]));
    }
}
