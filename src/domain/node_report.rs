//! What is known of one node: what hugeprobe published, and the events about the Node.

use jiff::Timestamp;

use super::published::FleetNode;

/// An event about an object of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectEvent {
    /// When it happened last; `None` if the event does not say.
    pub at: Option<Timestamp>,
    /// Whether it is a warning.
    pub is_warning: bool,
    /// The reason, in CamelCase.
    pub reason: String,
    /// The message.
    pub message: String,
    /// How often it happened.
    pub times: u64,
}

/// What is known of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeReport {
    /// The time at which it was read.
    pub at: Timestamp,
    /// What is published on the Node.
    pub node: FleetNode,
    /// The events about the Node, the latest last.
    pub events: Vec<ObjectEvent>,
    /// What could not be read, a sentence each.
    pub limits: Vec<String>,
}
