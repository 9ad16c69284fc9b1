//! Why a pod does not run: what the cluster reports about it, and what is known about that.

use jiff::Timestamp;

use super::check::Verdict;
use super::fit::Fit;
use super::published::FleetNode;
use super::troubleshooting::{Found, Kind, search};

/// What the cluster reports about one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodReport {
    /// The time at which it was read.
    pub at: Timestamp,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// `.status.phase`.
    pub phase: String,
    /// The node that the pod is bound to; `None` if it is bound to none.
    pub node: Option<String>,
    /// Whether all containers are ready, or have ended without an error.
    pub is_well: bool,
    /// The messages of its status, its containers and its events, a line each.
    pub messages: Vec<String>,
    /// The node or the nodes.
    pub place: Place,
    /// What could not be read, a sentence each.
    pub limits: Vec<String>,
}

/// What is known of the node of a pod, or of the nodes on which it could run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The pod is bound to this node.
    Node(Box<FleetNode>),
    /// The pod is bound to no node: where it would work.
    Nodes(Fit),
    /// The pod is bound to no node and requests no huge pages.
    NoPages,
    /// It could not be read; the limits say why.
    Unread,
}

// === impl PodReport ===

impl PodReport {
    /// Returns the messages as a log, in which [`search`] finds known failures. The number of a line is that of the message.
    #[must_use]
    pub fn log(&self) -> String {
        self.messages.join("\n")
    }

    /// Returns whether a cause is known: a known failure that is not often harmless, a node whose verdict is `fail`, or
    /// no node on which the pod would work.
    #[must_use]
    pub fn has_cause(&self) -> bool {
        let log = self.log();
        let is_known = |one: &Found<'_>| one.failure.kind != Kind::Harmless;
        search(&log).iter().any(is_known)
            || match &self.place {
                Place::Node(node) => node.state.verdict() == Verdict::Fail,
                Place::Nodes(fit) => fit.verdict() == Verdict::Fail,
                Place::NoPages | Place::Unread => false,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(messages: &[&str], place: Place) -> PodReport {
        PodReport {
            at: Timestamp::UNIX_EPOCH,
            namespace: "nfv".into(),
            name: "p".into(),
            phase: "Pending".into(),
            node: None,
            is_well: false,
            messages: messages.iter().map(|&text| text.to_owned()).collect(),
            place,
            limits: Vec::new(),
        }
    }

    #[test]
    fn a_cause_is_a_known_failure_or_what_is_known_of_the_nodes() {
        let known = "event FailedScheduling: 0/1 nodes are available: 1 Insufficient hugepages-1Gi.";
        assert!(report(&[known], Place::Unread).has_cause());
        assert!(report(&["container c: last terminated: Error, exit code 135"], Place::NoPages).has_cause());
        assert!(!report(&["event Failed: image not found"], Place::Unread).has_cause());
        let node = |annotation: &str| {
            let texts = [("verdict", annotation), ("boot-id", "b"), ("checked-at", "2026-11-23T05:00:00Z")];
            let texts = texts.into_iter().chain([("valid-until", "2026-11-23T06:00:00Z")]);
            let texts = texts.map(|(key, text)| (format!("hugeprobe.io/{key}"), text.to_owned())).collect();
            let published = super::super::published::Published::read(&texts, &texts, "hugeprobe.io/");
            let state = published.state("b", "2026-11-23T05:30:00Z".parse().unwrap());
            Place::Node(Box::new(FleetNode { name: "n".into(), boot_id: "b".into(), published, state }))
        };
        assert!(report(&[], node("fail")).has_cause());
        assert!(!report(&[], node("unknown")).has_cause());
        assert!(!report(&[], node("pass")).has_cause());
    }
}
