//! What a Node shows of a verdict: annotations, labels and a condition, and the one server-side apply that writes
//! them.
//!
//! An apply sends all fields, because the API server removes those that are left out. Every text is limited in length
//! and printable, regardless of its source. The number of free pages is not published, because it changes even if the
//! verdict and the configuration do not.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::names;
use hugeprobe_domain::catalogue;
use hugeprobe_domain::check::{Finding, Outcome, Verdict};
use hugeprobe_domain::inventory::{Inventory, Pool};
use hugeprobe_domain::report::SizeVerdict;
use hugeprobe_domain::size::PageSize;
use hugeprobe_domain::text::line;

/// The most characters of an annotation's value: about as much as `kubectl describe` shows.
pub const ANNOTATION_CHARS: usize = 140;

/// The reason of a verdict that is unknown because the first probe has not ended.
pub const PENDING: &str = "ProbePending";

/// The most findings that get an annotation, because the admission policy limits the number of annotations. The worst
/// are kept.
const CHECKS_SHOWN: usize = 64;

/// The maximum length of a condition's message and of an event's note, in bytes.
pub const MESSAGE_BYTES: usize = 1024;

/// The facts from which the content of a Node is made.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The node's verdict.
    pub verdict: Verdict,
    /// The verdict of each size.
    pub sizes: &'a [SizeVerdict],
    /// All current findings.
    pub findings: &'a [Finding],
    /// The pools as they are configured, without their usage.
    pub inventory: &'a Inventory,
    /// The id of the boot to which the verdict applies.
    pub boot_id: &'a str,
    /// `restricted` or `privileged`.
    pub profile: &'a str,
    /// The result of the sharing checks of each size, as a line of text.
    pub shares: BTreeMap<PageSize, String>,
    /// The last conclusive probe of each size, as the value of its annotation.
    pub probes: BTreeMap<PageSize, String>,
    /// Why no probe can run; `None` if probes can run.
    pub blocked: Option<String>,
    /// The last request for another probe that has been answered.
    pub rechecked: Option<String>,
    /// Whether verdicts are unknown only because first probes have not ended. This is not a fault and causes no
    /// warning.
    pub waits: bool,
}

/// What a Node shows, without the times.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// The annotations by key.
    pub annotations: BTreeMap<String, String>,
    /// The labels by key.
    pub labels: BTreeMap<String, String>,
    /// The condition; `None` if the pools are empty and none were required.
    pub condition: Option<Condition>,
}

/// The Node's condition, without its times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// The reason in CamelCase: `HugepagesVerified`, for example, or the catalogue's reason for the leading finding.
    pub reason: String,
    /// The verdict of each size and the leading finding.
    pub message: String,
}

/// When the verdict was found and how long it is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// The end of the oldest probe on which the verdict is based.
    pub checked_at: Timestamp,
    /// The time at which the verdict expires unless it is renewed.
    pub valid_until: Timestamp,
}

/// The Node to which an apply is addressed.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The Node's name.
    pub name: &'a str,
    /// The Node's uid. If a Node of this name has another uid, the API server answers 409, so a new Node never gets
    /// the verdict of an old one.
    pub uid: &'a str,
    /// The current time.
    pub now: Timestamp,
    /// Since when the condition has had the status that is applied; `None` if it has another status now.
    pub same_status_since: Option<Timestamp>,
}

// === impl Content ===

impl Content {
    /// Returns what the Node should show.
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
        if let Some(blocked) = &facts.blocked {
            say(names::PROBE.to_owned(), blocked);
        }
        if let Some(rechecked) = &facts.rechecked {
            say(names::RECHECKED.to_owned(), rechecked);
        }
        for size in facts.sizes.iter().map(|one| one.size) {
            if let Some(pool) = facts.inventory.pool(size) {
                say(names::pool(size), &configured(pool));
            }
        }
        facts.shares.iter().for_each(|(size, share)| say(names::share(*size), share));
        facts.probes.iter().for_each(|(size, probe)| say(names::probe(*size), probe));
        // Two probes may have findings of one check about the machine, which share an annotation. The worse finding
        // is inserted last and replaces the other.
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

    /// Returns the body of the apply.
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
    /// Returns the most important finding: the first of the worst findings; `None` if none is worse than a pass.
    #[must_use]
    pub fn leading(&self) -> Option<&Finding> {
        let bad = self.findings.iter().filter(|finding| finding.outcome > Outcome::Pass);
        bad.min_by_key(|finding| {
            (std::cmp::Reverse(finding.outcome), finding.size.is_none(), finding.size, finding.id)
        })
    }

    /// Returns the reason of the condition and of the event.
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

    /// Returns the verdict of each size and the leading finding, such as `2Mi pass, 1Gi fail: HP105 no free page`.
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

    /// Returns the message of the condition and the note of the event: one fact and the check's id. The remedy is
    /// left to `hugeprobe explain`.
    #[must_use]
    pub fn message(&self) -> String {
        line(&self.summary(), MESSAGE_BYTES)
    }

    /// Returns what could not be checked because a permission is missing.
    fn unseen(&self) -> Option<String> {
        let blind = |id| {
            let mut about = self.findings.iter().filter(|finding| finding.id == id).peekable();
            about.peek().is_some() && about.all(|finding| finding.outcome == Outcome::Skip)
        };
        let checks = [
            (catalogue::HP105, "owners of pages"),
            (catalogue::HP202, "use outside pods"),
            (catalogue::HP413, "limits of other cgroups"),
        ];
        let unseen: Vec<_> = checks
            .into_iter()
            .filter(|(id, _)| blind(*id))
            .map(|(id, what)| format!("{what} ({id})"))
            .collect();
        if unseen.is_empty() { None } else { Some(unseen.join(", ")) }
    }
}

/// Formats the persistent pages of a pool, such as `512 (numa0 256, numa1 256)`. `?` replaces a number that could not
/// be read.
fn configured(pool: &Pool) -> String {
    let shown = |pages: Option<u64>| pages.map_or_else(|| "?".to_owned(), |pages| pages.to_string());
    let nodes: Vec<_> =
        pool.numa.iter().map(|one| format!("numa{} {}", one.node, shown(one.persistent()))).collect();
    let total = shown(pool.persistent());
    if nodes.is_empty() { total } else { format!("{total} ({})", nodes.join(", ")) }
}

/// Returns the value of a label. Warnings are `pass`, because a scheduler only needs to know whether the pages work.
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

/// Formats a time as RFC 3339 in whole seconds, the precision with which the API server stores times.
#[must_use]
pub fn seconds(time: Timestamp) -> String {
    let whole = Timestamp::from_second(time.as_second()).unwrap_or(time);
    whole.to_string()
}
