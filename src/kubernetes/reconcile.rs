//! The reconciler: observations in, actions out, without clock or I/O.
//!
//! It is driven by level, not by edge: each observation changes what is known, and then everything is decided again from
//! what is known. So it does not matter which observation was lost, came twice or came late, and after an outage the latest
//! state is published, once.
//!
//! [`inspection`] judges the machine's facts; [`probing`] decides when a probe is due and takes its result;
//! [`size_state`] is what is known of a size from its probes; [`adoption`] is what the previous agent left on the Node;
//! [`publishing`] compares the decision with what the Node shows.

mod adoption;
mod clock;
mod inspection;
mod node;
mod probing;
mod publishing;
pub mod refusal;
mod size_state;
#[cfg(test)]
mod tests;
mod view;

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::events::v1::Event;
use serde_json::Value;

use super::config::{Config, Mode};
pub use super::probe_pod::Identity;
use crate::domain::check::Finding;
pub use crate::domain::inspect::kubernetes::PodUse;
use crate::domain::inventory::Inventory;
use crate::domain::size::PageSize;
use clock::{Clock, Moment};
use inspection::Judged;
use node::NodeView;
use probing::Probing;
use publishing::Publishing;
pub use publishing::{HOLD_MS, OUTAGE};
use refusal::Refusal;
pub use size_state::AFTER_HINDRANCE_MS;
use size_state::SizeState;
pub use view::{ProbeView, View};

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
    /// Server-side apply on `nodes/status`, by force, as [`MANAGER`](super::names::MANAGER).
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

/// Decides what the agent does.
#[derive(Debug)]
pub struct Reconciler {
    identity: Identity,
    config: Config,
    clock: Clock,
    observed: Observed,
    /// The findings that stand, about the machine and all sizes.
    findings: Vec<Finding>,
    /// The pools as they are configured.
    configured: Inventory,
    judged: Option<Judged>,
    sizes: BTreeMap<PageSize, SizeState>,
    probing: Probing,
    publishing: Publishing,
}

/// What has been seen last.
#[derive(Debug, Default)]
struct Observed {
    inventory: Option<Inventory>,
    /// None: not looked yet. `Some(None)`: there is none.
    node: Option<Option<NodeView>>,
    /// Whether the probe pods were listed once.
    pods: bool,
    usage: Option<PodUse>,
}

/// The longest that nothing is done at all.
const LONGEST_SLEEP_MS: u64 = 3_600_000;

// === impl Reconciler ===

impl Reconciler {
    /// An agent that has seen nothing yet.
    #[must_use]
    pub fn new(identity: Identity, config: Config) -> Self {
        let pods = config.mode == Mode::Resident;
        Self {
            identity,
            config,
            clock: Clock::default(),
            observed: Observed { pods, ..Observed::default() },
            findings: Vec::new(),
            configured: Inventory::default(),
            judged: None,
            sizes: BTreeMap::new(),
            probing: Probing::default(),
            publishing: Publishing::default(),
        }
    }

    /// Takes in what was seen, and says what is to be done, in this order; the last is always [`Action::WakeAt`].
    ///
    /// `now` may step back and forth. `random` is a number that differs between agents: it spreads what all agents
    /// would otherwise do at once.
    pub fn step(&mut self, now: Timestamp, random: u64, observation: Observation) -> Vec<Action> {
        self.clock.advance(now, random);
        self.observe(observation);
        let mut actions = Vec::new();
        if self.observed.inventory.is_some() && self.observed.node.is_some() && self.observed.pods {
            self.inspect();
            self.adopt();
            self.probe(&mut actions);
            self.inspect();
            self.publish(&mut actions);
        }
        actions.push(Action::WakeAt(self.clock.at(self.wake())));
        actions
    }

    fn observe(&mut self, observation: Observation) {
        match observation {
            Observation::Tick => {}
            Observation::Machine(inventory) => self.observed.inventory = Some(*inventory),
            Observation::Node(node) => self.see_node(node.map(|node| NodeView::of(&node))),
            Observation::Pods(pods) => {
                self.observed.pods = true;
                self.see_pods(&pods);
            }
            Observation::Pod(pod) => self.see_pod(&pod),
            Observation::PodGone { uid } => self.see_gone(&uid),
            Observation::Usage(usage) => self.observed.usage = Some(usage),
            Observation::Round { size, run, frontend, backend } => {
                self.see_round(size, &run, frontend, backend);
            }
            Observation::Done(done) => self.observe_result(done),
        }
    }

    fn observe_result(&mut self, done: Done) {
        match done {
            Done::Created { name, result } => {
                self.created(&name, result.map(|pod| *pod));
            }
            Done::Deleted { uid, result } => {
                self.deleted(&uid, &result);
            }
            Done::Listed(refusal) => {
                // Without permission to list there are no leftovers to remove; a name conflict shows a pod that exists.
                self.observed.pods |= matches!(refusal, Refusal::Forbidden(_));
                self.not_listed(&refusal);
            }
            Done::Applied(result) => {
                self.applied(result.map(|node| NodeView::of(&node)));
            }
            Done::Emitted { name, result } => {
                self.emitted(&name, &result);
            }
        }
    }

    /// The Node, if there is one.
    fn node(&self) -> Option<&NodeView> {
        self.observed.node.as_ref()?.as_ref()
    }

    /// When something is to be decided again though nothing was seen.
    fn wake(&self) -> Moment {
        let latest = self.clock.now().after(LONGEST_SLEEP_MS);
        let times = self.probing_times().into_iter().chain(self.publishing_times());
        times.filter(|time| *time > self.clock.now()).min().map_or(latest, |time| time.min(latest))
    }
}
