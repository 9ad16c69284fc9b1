//! What an agent wrote on a Node, and how a reader judges it: a verdict counts for the boot it was made in, and until it
//! expires. The agent may be long gone, and anyone with permission may have written it by hand.

use std::collections::BTreeMap;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::check::{CheckId, Verdict};
use super::size::PageSize;

/// Annotations or labels of an object.
pub type Texts = BTreeMap<String, String>;

/// How far the clocks of a node and of a reader may be apart.
const SKEW: SignedDuration = SignedDuration::from_mins(10);

/// The texts that hugeprobe wrote on a Node. A malformed text is treated as missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// `verdict`.
    pub verdict: Option<Verdict>,
    /// `boot-id`: the boot it was made in.
    pub boot_id: Option<String>,
    /// `checked-at`.
    pub checked_at: Option<Timestamp>,
    /// `valid-until`.
    pub valid_until: Option<Timestamp>,
    /// `summary`.
    pub summary: String,
    /// `probe`: since when, and why, no probe could run; empty if it can.
    pub probe: String,
    /// `profile`.
    pub profile: String,
    /// `version`.
    pub version: String,
    /// The labels `hugepages-1Gi`: pass (warn included), fail or unknown, smallest size first.
    pub sizes: BTreeMap<PageSize, Verdict>,
    /// The annotations `check.HP105.1Gi`, by id and size: what is not pass.
    pub checks: BTreeMap<(CheckId, Option<PageSize>), String>,
}

/// What a verdict is worth here and now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerdictState {
    /// It counts.
    Fresh(Verdict),
    /// There is none.
    Missing,
    /// It was made in another boot.
    OtherBoot,
    /// It expired at this moment: the agent no longer renews it.
    Expired(Timestamp),
    /// It lacks something without which it cannot be weighed, or contradicts itself; the text says what.
    Doubtful(&'static str),
}

/// One Node of a fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetNode {
    /// Its name.
    pub name: String,
    /// `.status.nodeInfo.bootID`.
    pub boot_id: String,
    /// What is written on it.
    pub published: Published,
    /// What that is worth.
    pub state: VerdictState,
}

/// The nodes that were asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fleet {
    /// When it was read.
    pub at: Timestamp,
    /// By name.
    pub nodes: Vec<FleetNode>,
}

// === impl Published ===

impl Published {
    /// What `annotations` and `labels` hold under `prefix` (`hugeprobe.io/`).
    #[must_use]
    pub fn read(annotations: &Texts, labels: &Texts, prefix: &str) -> Self {
        let mut published = Self::default();
        for (key, text) in annotations {
            let Some(name) = key.strip_prefix(prefix) else { continue };
            match name {
                "verdict" => published.verdict = parse_verdict(text),
                "boot-id" => published.boot_id = (!text.is_empty()).then(|| text.clone()),
                "checked-at" => published.checked_at = text.parse().ok(),
                "valid-until" => published.valid_until = text.parse().ok(),
                "summary" => published.summary.clone_from(text),
                "probe" => published.probe.clone_from(text),
                "profile" => published.profile.clone_from(text),
                "version" => published.version.clone_from(text),
                _ => {
                    if let Some(key) = name.strip_prefix("check.").and_then(parse_check) {
                        published.checks.insert(key, text.clone());
                    }
                }
            }
        }
        for (key, text) in labels {
            let size = key.strip_prefix(prefix).and_then(|name| name.strip_prefix("hugepages-"));
            if let Some(size) = size.and_then(|size| size.parse().ok())
                && let Some(verdict) = parse_verdict(text)
            {
                published.sizes.insert(size, verdict);
            }
        }
        published
    }

    /// What it is worth at `now` on a node whose boot is `boot_id` (`.status.nodeInfo.bootID`).
    #[must_use]
    pub fn state(&self, boot_id: &str, now: Timestamp) -> VerdictState {
        let Some(verdict) = self.verdict else { return VerdictState::Missing };
        let (Some(boot), Some(checked), Some(until)) = (&self.boot_id, self.checked_at, self.valid_until)
        else {
            return VerdictState::Doubtful("boot-id, checked-at or valid-until is missing or malformed");
        };
        if boot_id.is_empty() {
            return VerdictState::Doubtful("the Node does not report its boot ID");
        }
        if boot != boot_id {
            return VerdictState::OtherBoot;
        }
        if until <= now {
            return VerdictState::Expired(until);
        }
        if checked > now.saturating_add(SKEW).unwrap_or(Timestamp::MAX) {
            return VerdictState::Doubtful("the verdict is from the future: a clock is wrong");
        }
        VerdictState::Fresh(verdict)
    }
}

fn parse_verdict(text: &str) -> Option<Verdict> {
    [Verdict::None, Verdict::Pass, Verdict::Warn, Verdict::Unknown, Verdict::Fail]
        .into_iter()
        .find(|verdict| verdict.to_string() == text)
}

/// `HP105.1Gi`, or `HP106` for a check of the machine.
fn parse_check(text: &str) -> Option<(CheckId, Option<PageSize>)> {
    let (id, size) = match text.split_once('.') {
        Some((id, size)) => (id, Some(PageSize::from_str(size).ok()?)),
        None => (text, None),
    };
    Some((id.parse().ok()?, size))
}

// === impl VerdictState ===

impl VerdictState {
    /// The verdict that a reader may rely on: what does not count is unknown.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        match self {
            Self::Fresh(verdict) => *verdict,
            Self::Missing | Self::OtherBoot | Self::Expired(_) | Self::Doubtful(_) => Verdict::Unknown,
        }
    }

    /// One word for a table: the verdict, or why it does not count.
    #[must_use]
    pub fn word(&self) -> String {
        match self {
            Self::Fresh(verdict) => verdict.to_string(),
            Self::Missing => "missing".to_owned(),
            Self::OtherBoot | Self::Expired(_) => "stale".to_owned(),
            Self::Doubtful(_) => "doubtful".to_owned(),
        }
    }

    /// Why it does not count, in a sentence; `None` if it does.
    #[must_use]
    pub fn why(&self) -> Option<String> {
        match self {
            Self::Fresh(_) => None,
            Self::Missing => {
                Some("no verdict: no agent runs on the node, or it has not reported yet".to_owned())
            }
            Self::OtherBoot => Some("the verdict is from another boot".to_owned()),
            Self::Expired(until) => {
                Some(format!("expired at {until} and not renewed: no agent runs on the node"))
            }
            Self::Doubtful(why) => Some((*why).to_owned()),
        }
    }
}

// === impl FleetNode, Fleet ===

impl FleetNode {
    /// The verdict about one size that a reader may rely on; `None` if the node has none to give.
    #[must_use]
    pub fn size(&self, size: PageSize) -> Option<Verdict> {
        let verdict = *self.published.sizes.get(&size)?;
        Some(if matches!(self.state, VerdictState::Fresh(_)) { verdict } else { Verdict::Unknown })
    }
}

impl Fleet {
    /// The worst of the nodes': `none` if there is none, or none of them has anything.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.nodes.iter().map(|node| node.state.verdict()).max().unwrap_or(Verdict::None)
    }

    /// Whether there is nothing more to wait for: every node has a verdict that counts and tells something.
    #[must_use]
    pub fn is_told(&self) -> bool {
        !self.nodes.is_empty() && self.nodes.iter().all(|node| node.state.verdict() != Verdict::Unknown)
    }

    /// How many nodes stand how, most first.
    #[must_use]
    pub fn counts(&self) -> Vec<(String, usize)> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for node in &self.nodes {
            *counts.entry(node.state.word()).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts
    }
}

impl Serialize for Fleet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("schema", "hugeprobe.io/nodes/v1")?;
        map.serialize_entry("readAt", &self.at.to_string())?;
        map.serialize_entry("verdict", &self.verdict())?;
        map.serialize_entry("nodes", &self.nodes)?;
        map.end()
    }
}

impl Serialize for FleetNode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Size {
            size: PageSize,
            verdict: Option<Verdict>,
        }
        #[derive(Serialize)]
        struct Check<'a> {
            id: CheckId,
            size: Option<PageSize>,
            text: &'a str,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Node<'a> {
            name: &'a str,
            verdict: Verdict,
            standing: String,
            why: Option<String>,
            sizes: Vec<Size>,
            summary: &'a str,
            probe: &'a str,
            checked_at: Option<String>,
            valid_until: Option<String>,
            boot_id: Option<&'a str>,
            node_boot_id: &'a str,
            version: &'a str,
            profile: &'a str,
            checks: Vec<Check<'a>>,
        }
        let published = &self.published;
        Node {
            name: &self.name,
            verdict: self.state.verdict(),
            standing: self.state.word(),
            why: self.state.why(),
            sizes: published
                .sizes
                .keys()
                .map(|size| Size { size: *size, verdict: self.size(*size) })
                .collect(),
            summary: &published.summary,
            probe: &published.probe,
            checked_at: published.checked_at.map(|at| at.to_string()),
            valid_until: published.valid_until.map(|at| at.to_string()),
            boot_id: published.boot_id.as_deref(),
            node_boot_id: &self.boot_id,
            version: &published.version,
            profile: &published.profile,
            checks: published
                .checks
                .iter()
                .map(|((id, size), text)| Check { id: *id, size: *size, text })
                .collect(),
        }
        .serialize(serializer)
    }
}

#[cfg(test)]
mod tests;
