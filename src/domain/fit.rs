//! Whether a pod that requests huge pages would work on a node now, and if not, the first reason.
//!
//! The order of the reasons is that in which a pod meets them: the scheduler, the pages, the verdict. A verdict that is not
//! valid says nothing about pages either, so staleness takes the place of both. A definite reason takes precedence over an
//! unknown one, and what is unknown is never a fit.

use std::collections::BTreeMap;

use serde::Serialize;

use super::catalogue::HP202;
use super::check::{Outcome, Verdict};
use super::published::{Published, PublishedPool, VerdictState};
use super::size::PageSize;
use super::text::count;

mod numa;
#[cfg(test)]
mod tests;

/// Numbers of pages by page size.
pub type Pages = BTreeMap<PageSize, u64>;

/// What a pod needs of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The pages of each size.
    pub pages: Pages,
    /// Whether one NUMA node has to have all of them.
    pub same_numa: bool,
}

/// The step at which a pod would be stopped on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// The scheduler does not place it there.
    Scheduler,
    /// The pool has too few pages.
    Pages,
    /// The verdict of the page size is not a pass.
    Verdict,
    /// The verdict is not valid.
    Staleness,
}

/// A reason for which a pod would not work on a node, or for which that is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The step.
    pub step: Step,
    /// Whether the pod would be stopped; otherwise it is unknown.
    pub is_definite: bool,
    /// The reason in words.
    pub why: String,
}

/// The answer for one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFit {
    /// The name of the Node.
    pub name: String,
    /// Why the pod would not work there; `None` if it would.
    pub reason: Option<Reason>,
}

/// The answer for all nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fit {
    /// What the pod needs.
    pub need: Need,
    /// The nodes, sorted by name.
    pub nodes: Vec<NodeFit>,
    /// What could not be read or was not compared, a sentence each.
    pub limits: Vec<String>,
}

// === impl Need ===

impl Need {
    /// Returns the need in words: `4 pages of 1Gi and 32 pages of 2Mi on one NUMA node`.
    #[must_use]
    pub fn text(&self) -> String {
        let pages: Vec<_> = self.pages.iter().map(|(size, pages)| of_size(*pages, *size)).collect();
        let place = if self.same_numa { " on one NUMA node" } else { "" };
        format!("{}{place}", pages.join(" and "))
    }

    /// Returns why the pod would not work on a node where the scheduler places it; `None` if it would.
    ///
    /// `requested` are the pages that other pods of the node request; `None` if that is unknown.
    #[must_use]
    pub fn compare(
        &self,
        published: &Published,
        state: &VerdictState,
        requested: Option<&Pages>,
    ) -> Option<Reason> {
        if let Some(why) = state.why() {
            return Some(Reason::unknown(Step::Staleness, why));
        }
        let pages = self.pages.iter().map(|(size, pages)| enough(*size, *pages, published, requested));
        let numa = numa::compare(self, published, requested);
        let verdicts = self.pages.keys().map(|size| verdict(*size, published));
        Reason::first(pages.chain([numa]).chain(verdicts).flatten())
    }
}

/// Compares the need of one size with the pool.
fn enough(size: PageSize, pages: u64, published: &Published, requested: Option<&Pages>) -> Option<Reason> {
    let total = published.pools.get(&size).and_then(|pool: &PublishedPool| pool.total);
    let Some(total) = total else {
        let why = format!("the number of pages of {size} in the pool is not published");
        return Some(Reason::unknown(Step::Pages, why));
    };
    let others = requested.and_then(|requested| requested.get(&size)).copied().unwrap_or(0);
    if pages > total.saturating_sub(others) {
        let others = if others == 0 { String::new() } else { format!(", and other pods request {others}") };
        let why = format!("needs {}; the pool has {}{others}", of_size(pages, size), count(total, "page"));
        return Some(Reason::no(Step::Pages, why));
    }
    // Other processes hold pages, and the check does not say how many are left for this pod.
    let outside = published.checks.get(&(HP202, Some(size)))?;
    Some(Reason::unknown(Step::Pages, format!("{HP202} {size} {outside}")))
}

/// Judges the published verdict of one size.
fn verdict(size: PageSize, published: &Published) -> Option<Reason> {
    let verdict = published.sizes.get(&size);
    let is_definite = match verdict {
        Some(Verdict::Pass | Verdict::Warn) => return None,
        Some(Verdict::Fail) => true,
        Some(Verdict::Unknown | Verdict::None) | None => false,
    };
    let outcome = if is_definite { Outcome::Fail } else { Outcome::Unknown };
    let of_this = |(_, at): &(_, Option<PageSize>)| at.is_none_or(|at| at == size);
    let named =
        published.checks.iter().filter(|(key, _)| of_this(key)).find(|(_, text)| {
            text.strip_prefix(&outcome.to_string()).is_some_and(|rest| rest.starts_with(':'))
        });
    let why = match (named, verdict) {
        (Some(((id, _), text)), _) => format!("{size} {id} {text}"),
        (None, Some(_)) if !published.summary.is_empty() => published.summary.clone(),
        (None, Some(verdict)) => format!("the verdict of {size} is {verdict}"),
        (None, None) => format!("there is no verdict of {size}"),
    };
    Some(Reason { step: Step::Verdict, is_definite, why })
}

/// Formats `1 page of 1Gi`, `4 pages of 1Gi`.
#[must_use]
pub fn of_size(pages: u64, size: PageSize) -> String {
    format!("{} of {size}", count(pages, "page"))
}

// === impl Reason ===

impl Reason {
    /// Creates a reason for which the pod would not work.
    #[must_use]
    pub const fn no(step: Step, why: String) -> Self {
        Self { step, is_definite: true, why }
    }

    /// Creates a reason for which it is unknown whether the pod would work.
    #[must_use]
    pub const fn unknown(step: Step, why: String) -> Self {
        Self { step, is_definite: false, why }
    }

    /// Returns the first definite reason, otherwise the first reason.
    pub fn first(reasons: impl IntoIterator<Item = Self>) -> Option<Self> {
        let mut first = None;
        for reason in reasons {
            if reason.is_definite {
                return Some(reason);
            }
            first = first.or(Some(reason));
        }
        first
    }
}

// === impl Step, NodeFit, Fit ===

impl Step {
    /// Returns the word for a table.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Scheduler => "scheduler",
            Self::Pages => "pages",
            Self::Verdict => "verdict",
            Self::Staleness => "staleness",
        }
    }
}

impl NodeFit {
    /// Returns `pass` if the pod would work on the node, `fail` if it would not, otherwise `unknown`.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        match &self.reason {
            None => Verdict::Pass,
            Some(Reason { is_definite: true, .. }) => Verdict::Fail,
            Some(_) => Verdict::Unknown,
        }
    }

    /// Returns the word for a table: `yes`, `no` or `unknown`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match &self.reason {
            None => "yes",
            Some(Reason { is_definite: true, .. }) => "no",
            Some(_) => "unknown",
        }
    }
}

impl Fit {
    /// Returns `pass` if the pod would work on some node, `unknown` if it is unknown for some node, otherwise `fail`;
    /// `none` if there are no nodes.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.nodes.iter().map(NodeFit::verdict).min().unwrap_or(Verdict::None)
    }
}

impl Serialize for Fit {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let mut map = serializer.serialize_map(Some(6))?;
        map.serialize_entry("schema", "hugeprobe.io/fits/v1")?;
        map.serialize_entry("verdict", &self.verdict())?;
        map.serialize_entry("needs", &self.need.pages)?;
        map.serialize_entry("sameNuma", &self.need.same_numa)?;
        map.serialize_entry("nodes", &self.nodes)?;
        map.serialize_entry("limits", &self.limits)?;
        map.end()
    }
}

impl Serialize for NodeFit {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Node<'a> {
            name: &'a str,
            fits: &'a str,
            step: Option<Step>,
            why: Option<&'a str>,
        }
        let reason = self.reason.as_ref();
        let (step, why) = (reason.map(|reason| reason.step), reason.map(|reason| reason.why.as_str()));
        Node { name: &self.name, fits: self.word(), step, why }.serialize(serializer)
    }
}
