//! The reconciler: it takes observations and returns actions, without a clock and without I/O.
//!
//! It is level-triggered, not edge-triggered. Each observation updates the known state, and then every decision is
//! made again from that state. An observation may therefore be lost, repeated or late, and after an outage the latest
//! state is published once.
//!
//! [`inspection`] judges the facts about the machine. [`probing`] decides when a probe is due and handles its result.
//! [`size_state`] holds what is known about one page size from its probes. [`adoption`] takes over the state that the
//! previous agent left on the Node. [`publishing`] compares the desired state with what the Node shows.

mod action;
mod adoption;
mod clock;
mod inspection;
mod node;
mod probing;
mod publishing;
mod recheck;
pub mod refusal;
mod size_state;
mod state;
#[cfg(test)]
mod tests;
mod view;

use jiff::Timestamp;

pub use super::probe_pod::Identity;
pub use action::{Action, Done, Observation};
use clock::{LONGEST_SLEEP_MS, Moment};
pub use hugeprobe_domain::inspect::kubernetes::PodUse;
use node::NodeView;
pub use publishing::OUTAGE;
use refusal::Refusal;
pub use size_state::{AFTER_BLOCKED_MS, BEFORE_FIRST_MS, Blocked, BlockedKind, HOLD_MS};
pub use state::Reconciler;
pub use view::{ProbeView, View};

impl Reconciler {
    /// Updates the state with an observation, and returns the actions to execute, in this order. The last action is
    /// always [`Action::WakeAt`].
    ///
    /// `now` may jump forwards or backwards. `random` is a number that differs between agents. It spreads over time
    /// what all agents would otherwise do at once.
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
            Observation::PodNames(names) => self.observed.pod_names = names,
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
                // Without permission to list there are no leftovers that could be removed. An existing pod is noticed
                // when the creation of a pod fails because of its name.
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

    /// Returns when to decide again if there is no observation until then.
    fn wake(&self) -> Moment {
        let latest = self.clock.now().after(LONGEST_SLEEP_MS);
        let times = self.probing_times().into_iter().chain(self.publishing_times());
        times.filter(|time| *time > self.clock.now()).min().map_or(latest, |time| time.min(latest))
    }
}
