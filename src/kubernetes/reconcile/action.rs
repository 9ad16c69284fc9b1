//! What goes in and comes out: observations, results and actions.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::events::v1::Event;
use serde_json::Value;

use super::refusal::Refusal;
use crate::domain::inspect::kubernetes::PodUse;
use crate::domain::inventory::Inventory;
use crate::domain::size::PageSize;

/// Something that has been seen.
#[derive(Debug, Clone)]
pub enum Observation {
    /// Nothing but time.
    Tick,
    /// What the machine has.
    Machine(Box<Inventory>),
    /// The Node as the API server has it; none: there is no such Node.
    Node(Option<Box<Node>>),
    /// All probe pods of this node that there are.
    Pods(Vec<Pod>),
    /// One of them is new, or has changed.
    Pod(Box<Pod>),
    /// One of them is gone.
    PodGone {
        /// Its uid.
        uid: String,
    },
    /// Who uses pages.
    Usage(PodUse),
    /// The result of an action.
    Done(Done),
    /// Resident mode: the parts that both roles left of a round; none that did not come in time.
    Round {
        /// The size.
        size: PageSize,
        /// The round's nonce.
        run: String,
        /// What the frontend left.
        frontend: Option<String>,
        /// What the backend left.
        backend: Option<String>,
    },
}

/// The result of an action.
#[derive(Debug, Clone)]
pub enum Done {
    /// Of `CreatePod`.
    Created {
        /// The pod's name.
        name: String,
        /// The pod as it was created.
        result: Result<Box<Pod>, Refusal>,
    },
    /// Of `DeletePod`; that it was gone already, or another one, is as good.
    Deleted {
        /// Its uid.
        uid: String,
        /// How it went.
        result: Result<(), Refusal>,
    },
    /// `ListPods` was refused.
    Listed(Refusal),
    /// Of `Apply`: the Node as it is now.
    Applied(Result<Box<Node>, Refusal>),
    /// Of `Emit`; that it was there already is as good.
    Emitted {
        /// The event's name.
        name: String,
        /// How it went.
        result: Result<(), Refusal>,
    },
}

/// An action to execute. The executor answers once, and does not retry.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Create this pod.
    CreatePod(Box<Pod>),
    /// Delete this pod, if it is still the one of this uid.
    DeletePod {
        /// Its name.
        name: String,
        /// Its uid.
        uid: String,
    },
    /// List the probe pods of this node.
    ListPods,
    /// Server-side apply on `nodes/status`, by force, as [`MANAGER`](crate::kubernetes::names::MANAGER).
    Apply(Value),
    /// Create this event.
    Emit(Box<Event>),
    /// Resident mode: have both roles do a round.
    Round {
        /// The size.
        size: PageSize,
        /// The round's nonce.
        run: String,
        /// Pages, at most.
        pages: u64,
        /// How long it may take.
        seconds: u64,
    },
    /// Call again at this time, if nothing was seen before.
    WakeAt(Timestamp),
}
