//! Records an event for each change of the verdict or its reason, after the Node shows it.

use std::collections::VecDeque;

use jiff::Timestamp;
use k8s_openapi::api::events::v1::Event;

use super::super::action::Action;
use super::super::clock::{Clock, Moment};
use super::super::node::NodeView;
use super::super::refusal::Refusal;
use crate::backoff::Backoff;
use crate::event::{VerdictChange, event};
use crate::names;
use crate::probe_pod::Identity;
use hugeprobe_domain::check::Verdict;

/// Records events. It sends one at a time, and retries while the API server is unavailable.
#[derive(Debug, Default)]
pub(in super::super) struct EventRecorder {
    /// The verdict and the reason of the last event, and the uid of its Node.
    recorded: Option<Recorded>,
    queue: VecDeque<Event>,
    /// Whether the first event of the queue has been sent and not yet answered.
    sent: bool,
    not_before: Moment,
    failures: u32,
}

/// The content of an event.
#[derive(Debug, Clone)]
pub(in super::super) struct EventText {
    pub(in super::super) verdict: Verdict,
    pub(in super::super) reason: String,
    pub(in super::super) note: String,
}

/// An event to record once the Node shows its verdict.
#[derive(Debug)]
pub(in super::super) struct PendingEvent {
    recorded: Recorded,
    event: Option<Box<Event>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Recorded {
    uid: String,
    verdict: String,
    reason: String,
}

/// The most events in the queue. The oldest is dropped for a new one.
const KEPT: usize = 3;

const BACKOFF: Backoff = Backoff { first: 2_000, most: 300_000 };

// === impl EventRecorder ===

impl EventRecorder {
    /// Takes over from the previous agent, which has recorded an event about what the Node shows.
    pub(in super::super) fn take_over(&mut self, node: &NodeView) {
        self.recorded = Some(Recorded {
            uid: node.uid.clone(),
            verdict: node.annotations.get(names::VERDICT).cloned().unwrap_or_default(),
            reason: node.condition.as_ref().map_or_else(|| NOTHING.to_owned(), |one| one.reason.clone()),
        });
    }

    /// Returns the event about a change of the verdict or its reason; `None` if the last event reported the same.
    ///
    /// The result contains no event if the Node has no huge pages and never had a verdict.
    pub(in super::super) fn pending(
        &self,
        uid: &str,
        identity: &Identity,
        text: EventText,
        at: Timestamp,
    ) -> Option<PendingEvent> {
        let EventText { verdict, reason, note } = text;
        let recorded = Recorded { uid: uid.to_owned(), verdict: verdict.to_string(), reason };
        let before = self.recorded.as_ref().filter(|before| before.uid == uid);
        if before == Some(&recorded) {
            return None;
        }
        let is_nothing = verdict == Verdict::None && before.is_none();
        let change = VerdictChange {
            node: &identity.node,
            uid,
            agent: &identity.pod,
            verdict,
            reason: &recorded.reason,
            note: &note,
            at,
        };
        let event = (!is_nothing).then(|| Box::new(event(change)));
        Some(PendingEvent { recorded, event })
    }

    /// Queues an event, because the Node now shows its verdict.
    pub(in super::super) fn record(&mut self, pending: PendingEvent) {
        self.recorded = Some(pending.recorded);
        self.queue.extend(pending.event.map(|event| *event));
        while self.queue.len() > KEPT {
            // The event that has been sent stays at the front.
            self.queue.remove(usize::from(self.sent));
        }
    }

    /// Returns the next event, if one is due.
    pub(in super::super) fn emit(&mut self, now: Moment) -> Option<Action> {
        if self.sent || now < self.not_before {
            return None;
        }
        let event = self.queue.front()?.clone();
        self.sent = true;
        Some(Action::Emit(Box::new(event)))
    }

    pub(in super::super) fn time(&self) -> Option<Moment> {
        (!self.sent && !self.queue.is_empty()).then_some(self.not_before)
    }

    pub(in super::super) fn answered(&mut self, name: &str, result: &Result<(), Refusal>, clock: &mut Clock) {
        if !self.sent || self.queue.front().and_then(|event| event.metadata.name.as_deref()) != Some(name) {
            return;
        }
        self.sent = false;
        match result {
            Err(refusal @ (Refusal::Throttled { .. } | Refusal::Unavailable(_) | Refusal::Gone(_))) => {
                self.failures = self.failures.saturating_add(1);
                self.not_before = clock.after_refusal(BACKOFF, self.failures, refusal);
            }
            // The event was recorded, exists already, or was refused permanently. It is only retried after an error
            // that may be temporary.
            Ok(()) | Err(_) => {
                self.failures = 0;
                self.queue.pop_front();
            }
        }
    }
}

/// The reason of a Node that has no condition.
const NOTHING: &str = "HugepagesGone";
