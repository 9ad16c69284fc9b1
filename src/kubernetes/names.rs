//! Every name that hugeprobe uses in a cluster: keys, labels, the condition, the field manager, pods. Annotations and
//! labels are read by other programs; a name never changes its meaning.

use crate::domain::check::CheckId;
use crate::domain::size::PageSize;

/// The field manager of every apply, the same for all agents.
pub const MANAGER: &str = "hugeprobe";

/// The prefix of all annotations and labels. Every key on a Node with this prefix is hugeprobe's.
pub const PREFIX: &str = "hugeprobe.io/";

/// `pass`, `warn`, `fail`, `unknown` or `none`: annotation (exact) and label (`pass` includes warnings; no label for none).
pub const VERDICT: &str = "hugeprobe.io/verdict";

/// Annotation: the verdict of each size, and the first thing that is wrong, in a line.
pub const SUMMARY: &str = "hugeprobe.io/summary";

/// Annotation: when the oldest probe behind the verdict ended, RFC 3339.
pub const CHECKED_AT: &str = "hugeprobe.io/checked-at";

/// Annotation: from when on the verdict no longer counts unless it was renewed, RFC 3339.
pub const VALID_UNTIL: &str = "hugeprobe.io/valid-until";

/// Annotation: the boot that the verdict is about; to be compared with `.status.nodeInfo.bootID`.
pub const BOOT_ID: &str = "hugeprobe.io/boot-id";

/// Annotation: the version of hugeprobe that wrote.
pub const VERSION: &str = "hugeprobe.io/version";

/// Annotation: `restricted` or `privileged`.
pub const PROFILE: &str = "hugeprobe.io/profile";

/// Annotation: what could not be seen under that profile; absent if all was.
pub const UNSEEN: &str = "hugeprobe.io/unseen";

/// Annotation: since when and why no probe could run; absent while they can.
pub const PROBE: &str = "hugeprobe.io/probe";

/// The Node's condition. True: pass, warnings included.
pub const CONDITION: &str = "hugeprobe.io/HugepagesReady";

/// Events' `reportingController`.
pub const CONTROLLER: &str = "hugeprobe.io/agent";

/// The namespace of events about Nodes: in any other, `kubectl describe node` would not find them.
pub const EVENT_NAMESPACE: &str = "default";

/// Label of a probe pod: the application.
pub const APP: (&str, &str) = ("app.kubernetes.io/name", "hugeprobe");

/// Label of a probe pod: what part of the application it is.
pub const COMPONENT: (&str, &str) = ("app.kubernetes.io/component", "probe");

/// Label of a probe pod: its page size.
pub const POD_SIZE: &str = "hugeprobe.io/size";

/// Label of a probe pod: its node as [`node_label`] writes it, so that each agent watches its own pods alone.
pub const POD_NODE: &str = "hugeprobe.io/node";

/// Annotation: the configured pages of a size, per NUMA node: `512 (numa0 256, numa1 256)`.
#[must_use]
pub fn pool(size: PageSize) -> String {
    format!("{PREFIX}pool.{size}")
}

/// Annotation: the result of sharing for a size.
#[must_use]
pub fn share(size: PageSize) -> String {
    format!("{PREFIX}share.{size}")
}

/// Annotation: the last conclusive probe of a size: verdict, time, and the digest of what it was about.
#[must_use]
pub fn probe(size: PageSize) -> String {
    format!("{PREFIX}probe.{size}")
}

/// Annotation: the result of a check that does not pass.
#[must_use]
pub fn check(id: CheckId, size: Option<PageSize>) -> String {
    match size {
        Some(size) => format!("{PREFIX}check.{id}.{size}"),
        None => format!("{PREFIX}check.{id}"),
    }
}

/// Label: `pass`, `fail` or `unknown` about one size; none if nothing is there and nothing was expected.
#[must_use]
pub fn size_label(size: PageSize) -> String {
    format!("{PREFIX}{}", size.resource_name())
}

/// The name of the probe pod of one node and size: `hugeprobe-2mi-NODE`. The admission policy compares it with the node
/// that the token names, so that no agent can take the name of another node's pod.
#[must_use]
pub fn probe_pod(node: &str, size: PageSize) -> String {
    format!("hugeprobe-{}-{}", size.to_string().to_lowercase(), cut(node, NODE_IN_NAME))
}

/// The node's name as the value of a label.
#[must_use]
pub fn node_label(node: &str) -> String {
    cut(node, NODE_IN_LABEL)
}

/// What is left of a pod's 253 characters after `hugeprobe-512mi-`.
const NODE_IN_NAME: usize = 237;
/// The longest value of a label.
const NODE_IN_LABEL: usize = 63;

/// The node's name verbatim. One that is too long is cut, and ends in `x`, because a name may not end in `.` or `-`.
fn cut(node: &str, most: usize) -> String {
    match node.get(..most.saturating_sub(1)) {
        Some(begin) if node.len() > most => format!("{begin}x"),
        _ => node.to_owned(),
    }
}

/// The label selector of the probe pods of one node.
#[must_use]
pub fn probe_pod_selector(node: &str) -> String {
    format!("{}={},{}={},{POD_NODE}={}", APP.0, APP.1, COMPONENT.0, COMPONENT.1, node_label(node))
}

/// 16 hexadecimal digits that stand for `parts`: FNV-1a, 64 bits, each part ended by a byte that no text has.
///
/// It tells texts apart that differ by random, not by intent.
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
    use crate::domain::catalogue::{HP105, HP108};

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
