//! The reconciler's state. The decisions are in the other files of this directory, one subject in each.

use std::collections::BTreeMap;

use super::clock::{Clock, Moment};
use super::node::NodeView;
use super::probing::pods::Pods;
use super::publishing::events::{EventRecorder, PendingEvent};
use super::publishing::node_state::NodeState;
use super::recheck::requests::Recheck;
use super::size_state::{About, SizeState};
use crate::config::{Config, Mode};
use crate::probe_pod::{Asked, Identity};
use hugeprobe_domain::check::{Finding, Verdict};
use hugeprobe_domain::inspect::conflicts::PodNames;
use hugeprobe_domain::inspect::kubernetes::PodUse;
use hugeprobe_domain::inventory::Inventory;
use hugeprobe_domain::report::SizeVerdict;
use hugeprobe_domain::size::PageSize;

/// The reconciler. It decides what the agent does.
#[derive(Debug)]
pub struct Reconciler {
    pub(super) identity: Identity,
    pub(super) config: Config,
    pub(super) clock: Clock,
    pub(super) observed: Observed,
    /// The current findings about the machine and all sizes.
    pub(super) findings: Vec<Finding>,
    /// The pools as they are configured, without their usage.
    pub(super) configured: Inventory,
    pub(super) judged: Option<Judged>,
    pub(super) sizes: BTreeMap<PageSize, SizeState>,
    pub(super) probing: Probing,
    pub(super) publishing: Publishing,
}

/// The latest observations.
#[derive(Debug, Default)]
pub(super) struct Observed {
    pub(super) inventory: Option<Inventory>,
    /// `None` before the first observation; `Some(None)` if the Node does not exist.
    pub(super) node: Option<Option<NodeView>>,
    /// Whether the probe pods have been listed. Always true in resident mode.
    pub(super) pods: bool,
    pub(super) usage: Option<PodUse>,
    /// The names of the pods that request huge pages, as far as they are known.
    pub(super) pod_names: PodNames,
}

/// The verdict of the node and of each size.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    pub(super) sizes: Vec<SizeVerdict>,
}

/// The state of the probes.
#[derive(Debug, Default)]
pub(super) struct Probing {
    pub(super) running: Option<RunningProbe>,
    pub(super) pods: Pods,
    /// The operators' requests for another probe.
    pub(super) recheck: Recheck,
    /// The number of rounds started in resident mode.
    pub(super) rounds: u64,
}

/// The probe that is running.
#[derive(Debug)]
pub(super) struct RunningProbe {
    pub(super) asked: Asked,
    /// The digests of what the probe tests, made when it was started.
    pub(super) about: About,
    /// The pod's name, or the round's nonce in resident mode.
    pub(super) name: String,
    /// The pod's uid, once the pod has been created.
    pub(super) uid: Option<String>,
    pub(super) since: Moment,
    /// Whether the pod was deleted before it was seen to end.
    pub(super) gone: bool,
}

/// The state of what is written to the Node and as events.
#[derive(Debug, Default)]
pub(super) struct Publishing {
    /// Whether the state that the previous agent left on the Node has been taken over.
    pub(super) adopted: bool,
    /// Whether a verdict of this agent or of the previous one has been on the Node.
    pub(super) first_out: bool,
    /// Whether the verdict may be shown. It is false until the wait for the first probe is over.
    pub(super) decided: bool,
    /// The apply that was sent and has not been answered.
    pub(super) sent: Option<Sent>,
    pub(super) not_before: Moment,
    /// How often an apply had no answer since the last success.
    pub(super) failures: u32,
    /// How often an apply was refused since the last success. It is a count of its own, because an API server that has
    /// just started forbids everything until it has read its rules.
    pub(super) refusals: u32,
    /// When the verdict is renewed next; `None` before it was published for the first time.
    pub(super) renew_at: Option<Moment>,
    /// Whether a renewal is in progress.
    pub(super) renewing: bool,
    pub(super) unsettled_since: Option<Moment>,
    /// The last successful apply.
    pub(super) applied: Option<Applied>,
    pub(super) recorder: EventRecorder,
}

#[derive(Debug)]
pub(super) struct Sent {
    pub(super) uid: String,
    pub(super) desired: NodeState,
    /// Whether keys of other clients were overwritten, so that the next apply can remove them.
    pub(super) scrubs: bool,
    pub(super) event: Option<PendingEvent>,
}

#[derive(Debug)]
pub(super) struct Applied {
    pub(super) uid: String,
    pub(super) at: Moment,
    /// The desired state and the state that the Node showed after the apply, if they differ. Applying the same again
    /// would be of no use.
    pub(super) futile: Option<(NodeState, NodeState)>,
}

// === impl ===

impl Reconciler {
    /// Returns a reconciler without any observation.
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

    /// Returns the Node, if it exists.
    pub(super) fn node(&self) -> Option<&NodeView> {
        self.observed.node.as_ref()?.as_ref()
    }
}

impl Publishing {
    /// Takes over from the previous agent: the Node shows its verdict, and its events have been recorded.
    pub(super) fn take_over(&mut self, node: &NodeView, renew_at: Moment) {
        self.first_out = true;
        self.renew_at = Some(renew_at);
        self.recorder.take_over(node);
    }
}
