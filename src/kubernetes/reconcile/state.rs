//! What the reconciler knows: its own state and no decision. The files beside this one decide, each about one thing.

use std::collections::BTreeMap;

use super::clock::{Clock, Moment};
use super::node::NodeView;
use super::probing::pods::Pods;
use super::publishing::events::{EventRecorder, PendingEvent};
use super::publishing::node_state::NodeState;
use super::size_state::{About, SizeState};
use crate::domain::check::{Finding, Verdict};
use crate::domain::inspect::kubernetes::PodUse;
use crate::domain::inventory::Inventory;
use crate::domain::report::SizeVerdict;
use crate::domain::size::PageSize;
use crate::kubernetes::config::{Config, Mode};
use crate::kubernetes::probe_pod::{Asked, Identity};

/// Decides what the agent does.
#[derive(Debug)]
pub struct Reconciler {
    pub(super) identity: Identity,
    pub(super) config: Config,
    pub(super) clock: Clock,
    pub(super) observed: Observed,
    /// The findings that stand, about the machine and all sizes.
    pub(super) findings: Vec<Finding>,
    /// The pools as they are configured.
    pub(super) configured: Inventory,
    pub(super) judged: Option<Judged>,
    pub(super) sizes: BTreeMap<PageSize, SizeState>,
    pub(super) probing: Probing,
    pub(super) publishing: Publishing,
}

/// What has been seen last.
#[derive(Debug, Default)]
pub(super) struct Observed {
    pub(super) inventory: Option<Inventory>,
    /// None: not looked yet. `Some(None)`: there is none.
    pub(super) node: Option<Option<NodeView>>,
    /// Whether the probe pods were listed once.
    pub(super) pods: bool,
    pub(super) usage: Option<PodUse>,
}

/// What the verdict is, and about what.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    pub(super) sizes: Vec<SizeVerdict>,
}

/// What is under way.
#[derive(Debug, Default)]
pub(super) struct Probing {
    pub(super) running: Option<RunningProbe>,
    pub(super) pods: Pods,
    /// Rounds of resident mode so far.
    pub(super) rounds: u64,
}

/// The probe that is running.
#[derive(Debug)]
pub(super) struct RunningProbe {
    pub(super) asked: Asked,
    /// What the probe is about, when it was made.
    pub(super) about: About,
    /// The pod's name; the round's nonce in resident mode.
    pub(super) name: String,
    /// The pod's uid, once it is made.
    pub(super) uid: Option<String>,
    pub(super) since: Moment,
    /// That it is gone.
    pub(super) gone: bool,
}

/// What was written, and what is on its way.
#[derive(Debug, Default)]
pub(super) struct Publishing {
    /// Whether the Node was looked at for what the agent before left.
    pub(super) adopted: bool,
    /// Whether a verdict of this agent, or of the one before, has been on the Node.
    pub(super) first_out: bool,
    /// Whether what is decided may be shown; not while the first probe is under way.
    pub(super) decided: bool,
    /// What was sent and is not answered.
    pub(super) sent: Option<Sent>,
    pub(super) not_before: Moment,
    pub(super) failures: u32,
    /// When the verdict is made again; none before it was published once.
    pub(super) renew_at: Option<Moment>,
    /// Whether that is under way.
    pub(super) renewing: bool,
    pub(super) unsettled_since: Option<Moment>,
    /// The last apply that was taken.
    pub(super) applied: Option<Applied>,
    pub(super) recorder: EventRecorder,
}

#[derive(Debug)]
pub(super) struct Sent {
    pub(super) uid: String,
    pub(super) desired: NodeState,
    /// Whether other people's keys were overwritten, to be removed by the next one.
    pub(super) scrubs: bool,
    pub(super) event: Option<PendingEvent>,
}

#[derive(Debug)]
pub(super) struct Applied {
    pub(super) uid: String,
    pub(super) at: Moment,
    /// What was sent and what the Node showed then, if they differ: there is no use in sending it again.
    pub(super) futile: Option<(NodeState, NodeState)>,
}

// === impl ===

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

    /// The Node, if there is one.
    pub(super) fn node(&self) -> Option<&NodeView> {
        self.observed.node.as_ref()?.as_ref()
    }
}

impl Publishing {
    /// The Node shows what the previous agent wrote: it is known, and its events were recorded.
    pub(super) fn take_over(&mut self, node: &NodeView, renew_at: Moment) {
        self.first_out = true;
        self.renew_at = Some(renew_at);
        self.recorder.take_over(node);
    }
}
