//! What a Node shows of a verdict: annotations, labels and a condition, and the one server-side apply that carries them.
//!
//! An apply sends everything: the API server removes what is left out. Texts are bounded and printable,
//! wherever they come from; of free pages there is none, since they change without anything having changed.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::names;
use crate::domain::catalogue;
use crate::domain::check::{Finding, Outcome, Verdict};
use crate::domain::inventory::{Inventory, Pool};
use crate::domain::report::SizeVerdict;
use crate::domain::size::PageSize;
use crate::domain::text::line;

/// What `kubectl describe` shows of an annotation.
pub const ANNOTATION_CHARS: usize = 140;

/// The reason of a verdict that is unknown because the first probe is not over.
pub const PENDING: &str = "ProbePending";

/// The most checks that have an annotation: the admission policy bounds the number of annotations. The worst are kept.
const CHECKS_SHOWN: usize = 64;

/// What a condition's message and an event's note may have, bytes.
pub const MESSAGE_BYTES: usize = 1024;

/// The facts that a verdict is published with.
#[derive(Debug)]
pub struct Facts<'a> {
    /// Of the node.
    pub verdict: Verdict,
    /// Of each size.
    pub sizes: &'a [SizeVerdict],
    /// All that stand.
    pub findings: &'a [Finding],
    /// The pools, as they are configured.
    pub inventory: &'a Inventory,
    /// The boot that it is about.
    pub boot_id: &'a str,
    /// `restricted` or `privileged`.
    pub profile: &'a str,
    /// What the sharing of each size came to.
    pub shares: BTreeMap<PageSize, String>,
    /// The last conclusive probe of each size, as the reconciler writes it.
    pub probes: BTreeMap<PageSize, String>,
    /// Why no probe can run, if so.
    pub hindrance: Option<String>,
    /// Whether what is unknown is so only because first probes are not over: no fault, and no warning.
    pub waits: bool,
}

/// What a Node shows, save for the times.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// Annotations, by key.
    pub annotations: BTreeMap<String, String>,
    /// Labels, by key.
    pub labels: BTreeMap<String, String>,
    /// The condition; none for a node with nothing there and nothing expected.
    pub condition: Option<Condition>,
}

/// The Node's condition, save for its times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// CamelCase: the catalogue's reason of what is wrong.
    pub reason: String,
    /// The findings behind it.
    pub message: String,
}

/// When it was found, and until when it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// When the oldest probe behind it ended.
    pub checked_at: Timestamp,
    /// From when on it does not count unless it was renewed.
    pub valid_until: Timestamp,
}

/// The Node that an apply is about.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its uid: a Node of another one gets 409, and no verdict that is not its own.
    pub uid: &'a str,
    /// Now.
    pub now: Timestamp,
    /// When the condition got the status that it is to have; `None` if it has another.
    pub same_status_since: Option<Timestamp>,
}

// === impl Content ===

impl Content {
    /// What is to be shown.
    #[must_use]
    pub fn of(facts: &Facts<'_>) -> Self {
        let mut content = Self::default();
        let mut say = |key: String, value: &str| {
            content.annotations.insert(key, line(value, ANNOTATION_CHARS));
        };
        say(names::VERDICT.to_owned(), &facts.verdict.to_string());
        say(names::SUMMARY.to_owned(), &facts.summary());
        say(names::BOOT_ID.to_owned(), facts.boot_id);
        say(names::VERSION.to_owned(), env!("CARGO_PKG_VERSION"));
        say(names::PROFILE.to_owned(), facts.profile);
        if let Some(unseen) = facts.unseen() {
            say(names::UNSEEN.to_owned(), &unseen);
        }
        if let Some(hindrance) = &facts.hindrance {
            say(names::PROBE.to_owned(), hindrance);
        }
        for size in facts.sizes.iter().map(|one| one.size) {
            if let Some(pool) = facts.inventory.pool(size) {
                say(names::pool(size), &configured(pool));
            }
        }
        facts.shares.iter().for_each(|(size, share)| say(names::share(*size), share));
        facts.probes.iter().for_each(|(size, probe)| say(names::probe(*size), probe));
        // Of two that are about the machine, from two probes, the worse is said last and stays.
        let mut bad: Vec<_> =
            facts.findings.iter().filter(|finding| finding.outcome > Outcome::Pass).collect();
        bad.sort_by_key(|finding| finding.outcome);
        for finding in bad.iter().skip(bad.len().saturating_sub(CHECKS_SHOWN)) {
            say(names::check(finding.id, finding.size), &format!("{}: {}", finding.outcome, finding.summary));
        }
        let labels = facts.sizes.iter().map(|one| (names::size_label(one.size), one.verdict));
        for (key, verdict) in labels.chain([(names::VERDICT.to_owned(), facts.verdict)]) {
            if let Some(value) = label_value(verdict) {
                content.labels.insert(key, value.to_owned());
            }
        }
        content.condition = status(facts.verdict).map(|status| Condition {
            status: status.to_owned(),
            reason: facts.reason().to_owned(),
            message: facts.message(),
        });
        content
    }

    /// The body of the apply.
    #[must_use]
    pub fn body(&self, times: Times, target: Target<'_>) -> Value {
        let mut annotations = self.annotations.clone();
        annotations.insert(names::CHECKED_AT.to_owned(), seconds(times.checked_at));
        annotations.insert(names::VALID_UNTIL.to_owned(), seconds(times.valid_until));
        let mut body = json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": target.name,
                "uid": target.uid,
                "annotations": annotations,
                "labels": self.labels,
            },
        });
        if let (Some(condition), Some(body)) = (&self.condition, body.as_object_mut()) {
            let mut status = Map::new();
            let since = target.same_status_since.unwrap_or(target.now);
            status.insert(
                "conditions".to_owned(),
                json!([{
                    "type": names::CONDITION,
                    "status": condition.status,
                    "reason": condition.reason,
                    "message": condition.message,
                    "lastHeartbeatTime": seconds(target.now),
                    "lastTransitionTime": seconds(since),
                }]),
            );
            body.insert("status".to_owned(), Value::Object(status));
        }
        body
    }
}

// === impl Facts ===

impl Facts<'_> {
    /// What weighs most of all that was found: the first of the worst findings; none for a pass.
    #[must_use]
    pub fn leading(&self) -> Option<&Finding> {
        let bad = self.findings.iter().filter(|finding| finding.outcome > Outcome::Pass);
        bad.min_by_key(|finding| {
            (std::cmp::Reverse(finding.outcome), finding.size.is_none(), finding.size, finding.id)
        })
    }

    /// The reason of condition and event.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self.verdict {
            Verdict::None => "HugepagesGone",
            Verdict::Pass => "HugepagesVerified",
            Verdict::Warn => "HugepagesVerifiedWithWarnings",
            Verdict::Unknown if self.waits && self.leading().is_none_or(|one| one.id == catalogue::HP203) => {
                PENDING
            }
            Verdict::Unknown | Verdict::Fail => self
                .leading()
                .and_then(|finding| catalogue::find(finding.id))
                .map_or("HugepagesNotVerified", |check| check.reason),
        }
    }

    /// `2Mi pass, 1Gi fail: HP105 no free page`.
    fn summary(&self) -> String {
        if self.sizes.is_empty() && self.verdict == Verdict::None {
            return "pools are empty and none were required".to_owned();
        }
        let sizes: Vec<_> = self.sizes.iter().map(|one| format!("{} {}", one.size, one.verdict)).collect();
        let sizes = sizes.join(", ");
        match self.leading() {
            Some(finding) => format!("{sizes}: {} {}", finding.id, finding.summary),
            None => sizes,
        }
    }

    /// The text of condition and event: one fact and the check's id. What to do about it is `hugeprobe explain`'s to say.
    #[must_use]
    pub fn message(&self) -> String {
        line(&self.summary(), MESSAGE_BYTES)
    }

    /// What could not be checked without a permission.
    fn unseen(&self) -> Option<String> {
        let blind = |id| {
            let mut about = self.findings.iter().filter(|finding| finding.id == id).peekable();
            about.peek().is_some() && about.all(|finding| finding.outcome == Outcome::Skip)
        };
        let unseen: Vec<_> = [(catalogue::HP105, "owners of pages"), (catalogue::HP202, "use outside pods")]
            .into_iter()
            .filter(|(id, _)| blind(*id))
            .map(|(id, what)| format!("{what} ({id})"))
            .collect();
        if unseen.is_empty() { None } else { Some(unseen.join(", ")) }
    }
}

/// `512 (numa0 256, numa1 256)`: persistent pages; `?` for what could not be read.
fn configured(pool: &Pool) -> String {
    let shown = |pages: Option<u64>| pages.map_or_else(|| "?".to_owned(), |pages| pages.to_string());
    let nodes: Vec<_> =
        pool.numa.iter().map(|one| format!("numa{} {}", one.node, shown(one.persistent()))).collect();
    let total = shown(pool.persistent());
    if nodes.is_empty() { total } else { format!("{total} ({})", nodes.join(", ")) }
}

/// The value of a label: a scheduler asks whether pages work, not how well.
fn label_value(verdict: Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::None => None,
        Verdict::Pass | Verdict::Warn => Some("pass"),
        Verdict::Unknown => Some("unknown"),
        Verdict::Fail => Some("fail"),
    }
}

fn status(verdict: Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::None => None,
        Verdict::Pass | Verdict::Warn => Some("True"),
        Verdict::Unknown => Some("Unknown"),
        Verdict::Fail => Some("False"),
    }
}

/// RFC 3339 in whole seconds, as the API server keeps times.
#[must_use]
pub fn seconds(time: Timestamp) -> String {
    let whole = Timestamp::from_second(time.as_second()).unwrap_or(time);
    whole.to_string()
}
