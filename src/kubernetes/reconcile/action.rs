//! The reconciler's input and output: observations, results and actions.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::events::v1::Event;
use serde_json::Value;

use super::refusal::Refusal;
use hugeprobe_domain::inspect::conflicts::PodNames;
use hugeprobe_domain::inspect::kubernetes::PodUse;
use hugeprobe_domain::inventory::Inventory;
use hugeprobe_domain::size::PageSize;

/// A change that the agent has observed.
#[derive(Debug, Clone)]
pub enum Observation {
    /// Time has passed; there is nothing else to report.
    Tick,
    /// The current inventory of the machine.
    Machine(Box<Inventory>),
    /// The Node as the API server returns it; `None` if it does not exist.
    Node(Option<Box<Node>>),
    /// All probe pods of this node.
    Pods(Vec<Pod>),
    /// A probe pod was created or has changed.
    Pod(Box<Pod>),
    /// A probe pod was deleted.
    PodGone {
        /// The pod's uid.
        uid: String,
    },
    /// The pages that pods use.
    Usage(PodUse),
    /// The names of the pods that request huge pages.
    PodNames(PodNames),
    /// The result of an action.
    Done(Done),
    /// The reports of both roles about a round of resident mode. A report that did not arrive in time is `None`.
    Round {
        /// The page size.
        size: PageSize,
        /// The round's nonce.
        run: String,
        /// The frontend's report.
        frontend: Option<String>,
        /// The backend's report.
        backend: Option<String>,
    },
}

/// The result of an action.
#[derive(Debug, Clone)]
pub enum Done {
    /// The result of `CreatePod`.
    Created {
        /// The pod's name.
        name: String,
        /// The pod as the API server created it.
        result: Result<Box<Pod>, Refusal>,
    },
    /// The result of `DeletePod`. It is also a success if the pod no longer exists or another pod has its name.
    Deleted {
        /// The pod's uid.
        uid: String,
        /// Whether the call succeeded.
        result: Result<(), Refusal>,
    },
    /// `ListPods` was refused.
    Listed(Refusal),
    /// The result of `Apply`: the Node after it.
    Applied(Result<Box<Node>, Refusal>),
    /// The result of `Emit`. It is also a success if the event exists already.
    Emitted {
        /// The event's name.
        name: String,
        /// Whether the call succeeded.
        result: Result<(), Refusal>,
    },
}

/// An action to execute. The executor reports one result and does not retry.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Create this pod.
    CreatePod(Box<Pod>),
    /// Delete this pod, if it still has this uid.
    DeletePod {
        /// The pod's name.
        name: String,
        /// The pod's uid.
        uid: String,
    },
    /// List the probe pods of this node.
    ListPods,
    /// Send a server-side apply to `nodes/status` with `force`, as field manager
    /// [`MANAGER`](crate::names::MANAGER).
    Apply(Value),
    /// Create this event.
    Emit(Box<Event>),
    /// Run a round of resident mode in both roles.
    Round {
        /// The page size.
        size: PageSize,
        /// The round's nonce.
        run: String,
        /// The most pages to use.
        pages: u64,
        /// The time limit in seconds.
        seconds: u64,
    },
    /// Call [`step`](super::Reconciler::step) at this time if there is no observation before.
    WakeAt(Timestamp),
}
