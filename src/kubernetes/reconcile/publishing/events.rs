//! Events: one for each turn of the verdict, once the Node shows it.

use std::collections::VecDeque;

use jiff::Timestamp;
use k8s_openapi::api::events::v1::Event;

use super::super::clock::{Clock, Moment, Patience};
use super::super::node::NodeView;
use super::super::refusal::Refusal;
use super::super::{Action, Identity, Reconciler};
use crate::domain::check::Verdict;
use crate::kubernetes::event::{Turn, event};
use crate::kubernetes::names;

/// What was told, and what is to be.
#[derive(Debug, Default)]
pub(super) struct Telling {
    /// What the last event said, and about which Node.
    told: Option<Told>,
    queue: VecDeque<Event>,
    /// Whether the first of the queue is on its way.
    sent: bool,
    not_before: Moment,
    failures: u32,
}

/// What an event would say.
#[derive(Debug, Clone)]
pub(super) struct Words {
    pub(super) verdict: Verdict,
    pub(super) reason: String,
    pub(super) note: String,
}

/// A turn that is told once the Node shows it.
#[derive(Debug)]
pub(super) struct Turned {
    told: Told,
    event: Option<Box<Event>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    uid: String,
    verdict: String,
    reason: String,
}

/// Events tell what happens now; older ones than these make way.
const KEPT: usize = 3;

const PATIENCE: Patience = Patience { first: 2_000, most: 300_000 };

// === impl Telling ===

impl Telling {
    /// What is shown was told by the agent before.
    pub(super) fn take_over(&mut self, node: &NodeView) {
        self.told = Some(Told {
            uid: node.uid.clone(),
            verdict: node.annotations.get(names::VERDICT).cloned().unwrap_or_default(),
            reason: node.condition.as_ref().map_or_else(|| NOTHING.to_owned(), |one| one.reason.clone()),
        });
    }

    /// The turn that `words` are, if they are one. That there is nothing and never was needs no telling.
    pub(super) fn turn(&self, uid: &str, identity: &Identity, words: Words, at: Timestamp) -> Option<Turned> {
        let Words { verdict, reason, note } = words;
        let told = Told { uid: uid.to_owned(), verdict: verdict.to_string(), reason };
        let before = self.told.as_ref().filter(|before| before.uid == uid);
        if before == Some(&told) {
            return None;
        }
        let says_nothing = verdict == Verdict::None && before.is_none();
        let turn = Turn {
            node: &identity.node,
            uid,
            agent: &identity.pod,
            verdict,
            reason: &told.reason,
            note: &note,
            at,
        };
        let event = (!says_nothing).then(|| Box::new(event(turn)));
        Some(Turned { told, event })
    }

    /// The Node shows it.
    pub(super) fn told(&mut self, turn: Turned) {
        self.told = Some(turn.told);
        self.queue.extend(turn.event.map(|event| *event));
        while self.queue.len() > KEPT {
            // The one on its way stays the first.
            self.queue.remove(usize::from(self.sent));
        }
    }

    /// The next event, if one is due.
    pub(super) fn emit(&mut self, now: Moment) -> Option<Action> {
        if self.sent || now < self.not_before {
            return None;
        }
        let event = self.queue.front()?.clone();
        self.sent = true;
        Some(Action::Emit(Box::new(event)))
    }

    pub(super) fn time(&self) -> Option<Moment> {
        (!self.sent && !self.queue.is_empty()).then_some(self.not_before)
    }

    fn answered(&mut self, name: &str, result: &Result<(), Refusal>, clock: &mut Clock) {
        if !self.sent || self.queue.front().and_then(|event| event.metadata.name.as_deref()) != Some(name) {
            return;
        }
        self.sent = false;
        match result {
            Err(Refusal::Throttled { .. } | Refusal::Unavailable(_) | Refusal::Gone(_)) => {
                self.failures = self.failures.saturating_add(1);
                self.not_before = clock.again(PATIENCE, self.failures);
            }
            // Told, told before, or never to be: an event is not worth more than a try.
            Ok(()) | Err(_) => {
                self.failures = 0;
                self.queue.pop_front();
            }
        }
    }
}

/// The reason of a Node that has no condition.
const NOTHING: &str = "HugepagesGone";

impl Reconciler {
    /// The answer to `Emit`.
    pub(in super::super) fn emitted(&mut self, name: &str, result: &Result<(), Refusal>) {
        self.publishing.telling.answered(name, result, &mut self.clock);
    }
}
