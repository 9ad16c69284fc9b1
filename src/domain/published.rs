//! The verdict that an agent published on a Node, and how a reader judges it.
//!
//! A verdict is valid only for the boot in which it was made, and until it expires. The agent may no longer run, and
//! anyone with permission may have written the verdict by hand.

use std::collections::BTreeMap;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::check::{CheckId, Verdict};
use super::size::PageSize;

mod causes;
mod pool;

pub use causes::Cause;
pub use pool::PublishedPool;

/// The annotations or the labels of an object.
pub type Texts = BTreeMap<String, String>;

/// How far the clocks of a node and of a reader may differ.
const SKEW: SignedDuration = SignedDuration::from_mins(10);

/// The annotations and labels that hugeprobe wrote on a Node. A malformed value is treated as missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// `verdict`.
    pub verdict: Option<Verdict>,
    /// `boot-id`: the boot in which the verdict was made.
    pub boot_id: Option<String>,
    /// `checked-at`.
    pub checked_at: Option<Timestamp>,
    /// `valid-until`.
    pub valid_until: Option<Timestamp>,
    /// `summary`.
    pub summary: String,
    /// `unseen`: what the agent could not see with its rights; empty if it could see everything.
    pub unseen: String,
    /// `probe`: since when and why no probe could run; empty if probes can run.
    pub probe: String,
    /// `profile`.
    pub profile: String,
    /// `version`.
    pub version: String,
    /// `recheck`: when an operator asked for another probe; empty if none was asked for.
    pub recheck: String,
    /// `rechecked`: the last value of `recheck` that the agent has answered.
    pub rechecked: String,
    /// The labels such as `hugepages-1Gi`, smallest size first: pass (which includes warn), fail or unknown.
    pub sizes: BTreeMap<PageSize, Verdict>,
    /// The annotations such as `pool.1Gi`: the pages that are configured.
    pub pools: BTreeMap<PageSize, PublishedPool>,
    /// The annotations such as `share.1Gi`: the result of the sharing checks, in one line.
    pub shares: BTreeMap<PageSize, String>,
    /// The annotations such as `check.HP105.1Gi`, by id and page size: the checks that did not pass.
    pub checks: BTreeMap<(CheckId, Option<PageSize>), String>,
}

/// Whether a published verdict is valid, on a node and at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerdictState {
    /// The verdict is valid.
    Fresh(Verdict),
    /// There is no verdict.
    Missing,
    /// The verdict is from another boot.
    OtherBoot,
    /// The verdict expired at this time: the agent no longer renews it.
    Expired(Timestamp),
    /// The verdict cannot be judged: required data is missing or contradictory. The text says which.
    Doubtful(&'static str),
    /// The Node was deleted, or its labels no longer match; only a watch sees that.
    Deleted,
}

/// A Node and the verdict published on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetNode {
    /// The name of the Node.
    pub name: String,
    /// The current boot id of the node (`.status.nodeInfo.bootID`).
    pub boot_id: String,
    /// What is published on the Node.
    pub published: Published,
    /// Whether the verdict is valid.
    pub state: VerdictState,
}

/// The nodes that were requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fleet {
    /// The time at which they were read.
    pub at: Timestamp,
    /// The nodes, sorted by name.
    pub nodes: Vec<FleetNode>,
}

// === impl Published ===

impl Published {
    /// Reads what `annotations` and `labels` hold under `prefix` (`hugeprobe.io/`).
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
                "unseen" => published.unseen.clone_from(text),
                "probe" => published.probe.clone_from(text),
                "profile" => published.profile.clone_from(text),
                "version" => published.version.clone_from(text),
                "recheck" => published.recheck.clone_from(text),
                "rechecked" => published.rechecked.clone_from(text),
                _ => {
                    if let Some(key) = name.strip_prefix("check.").and_then(parse_check) {
                        published.checks.insert(key, text.clone());
                    } else if let Some(size) = name.strip_prefix("pool.").and_then(|size| size.parse().ok()) {
                        published.pools.insert(size, PublishedPool::read(text));
                    } else if let Some(size) = name.strip_prefix("share.").and_then(|size| size.parse().ok())
                    {
                        published.shares.insert(size, text.clone());
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

    /// Returns whether the verdict is valid at time `now` on a node whose current boot is `boot_id`
    /// (`.status.nodeInfo.bootID`).
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

/// Parses `HP105.1Gi`, or `HP106` for a check of the whole machine.
fn parse_check(text: &str) -> Option<(CheckId, Option<PageSize>)> {
    let (id, size) = match text.split_once('.') {
        Some((id, size)) => (id, Some(PageSize::from_str(size).ok()?)),
        None => (text, None),
    };
    Some((id.parse().ok()?, size))
}

// === impl VerdictState ===

impl VerdictState {
    /// Returns the verdict that a reader may rely on: `unknown` if the published one is not valid.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        match self {
            Self::Fresh(verdict) => *verdict,
            Self::Missing | Self::OtherBoot | Self::Expired(_) | Self::Doubtful(_) | Self::Deleted => {
                Verdict::Unknown
            }
        }
    }

    /// Returns one word for a table: the verdict, or why it is not valid.
    #[must_use]
    pub fn word(&self) -> String {
        match self {
            Self::Fresh(verdict) => verdict.to_string(),
            Self::Missing => "missing".to_owned(),
            Self::OtherBoot | Self::Expired(_) => "stale".to_owned(),
            Self::Doubtful(_) => "doubtful".to_owned(),
            Self::Deleted => "deleted".to_owned(),
        }
    }

    /// Returns why the verdict is not valid, in a sentence; `None` if it is valid.
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
            Self::Deleted => Some("the Node was deleted, or its labels no longer match".to_owned()),
        }
    }
}

// === impl FleetNode, Fleet ===

impl FleetNode {
    /// Compares the verdict with the boot of the node and with the time.
    pub fn weigh(&mut self, now: Timestamp) {
        self.state = self.published.state(&self.boot_id, now);
    }

    /// Returns the verdict on one page size that a reader may rely on; `None` if none is published for that size.
    #[must_use]
    pub fn size(&self, size: PageSize) -> Option<Verdict> {
        let verdict = *self.published.sizes.get(&size)?;
        Some(if matches!(self.state, VerdictState::Fresh(_)) { verdict } else { Verdict::Unknown })
    }
}

impl Fleet {
    /// Returns the worst verdict of all nodes: `none` if there are no nodes, or if every node has `none`.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.nodes.iter().map(|node| node.state.verdict()).max().unwrap_or(Verdict::None)
    }

    /// Returns whether there is nothing more to wait for: there are nodes, and all of them have a valid verdict other
    /// than `unknown`.
    #[must_use]
    pub fn is_told(&self) -> bool {
        !self.nodes.is_empty() && self.nodes.iter().all(|node| node.state.verdict() != Verdict::Unknown)
    }

    /// Returns whether there are nodes, and the verdict of each is a valid `pass` or `warn`.
    #[must_use]
    pub fn passes(&self) -> bool {
        let passes = |node: &FleetNode| matches!(node.state.verdict(), Verdict::Pass | Verdict::Warn);
        !self.nodes.is_empty() && self.nodes.iter().all(passes)
    }

    /// Returns the nodes whose verdict is not a valid `pass` or `warn`, and not a valid `none` either.
    #[must_use]
    pub fn failing(self) -> Self {
        let is_good = |node: &FleetNode| {
            matches!(node.state, VerdictState::Fresh(Verdict::Pass | Verdict::Warn | Verdict::None))
        };
        Self { nodes: self.nodes.into_iter().filter(|node| !is_good(node)).collect(), ..self }
    }

    /// Returns how many nodes have each [`VerdictState::word`], the most frequent first.
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
