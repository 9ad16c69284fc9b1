//! The words of a result: outcome, finding.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::catalogue;
pub use super::check_id::CheckId;
use super::size::PageSize;

/// How one check came out.
///
/// The order is that of severity, so that `max` is "the worst of": `skip` says nothing, `fail` wins over `unknown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Not run, for a reason that is stated; a mandatory check that was skipped counts as `unknown`.
    Skip,
    /// Run, and as expected.
    Pass,
    /// Works, but needs attention.
    Warn,
    /// Inconclusive.
    Unknown,
    /// Run, and a workload that needs this would fail.
    Fail,
}

/// The verdict about one size, or about the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing is there and nothing was expected.
    None,
    /// Every mandatory check ran and passed, and no other failed.
    Pass,
    /// As pass, and something deserves a look.
    Warn,
    /// Inconclusive; never to be read as pass.
    Unknown,
    /// The workload would fail.
    Fail,
}

/// What one check found.
///
/// Made by [`Finding::pass`], [`Finding::skip`] and [`Finding::not_pass`], so that whatever is not a pass says what was
/// expected, what was seen and what to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Which check.
    pub id: CheckId,
    /// The size it is about; `None` for a check of the whole machine.
    pub size: Option<PageSize>,
    /// How it came out.
    pub outcome: Outcome,
    /// The fact in a few words: "508 of 512 free". For `skip`, the reason.
    pub summary: String,
    /// What was expected. Empty for pass and skip.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub expected: String,
    /// What was seen instead. Empty for pass and skip.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub seen: String,
    /// What to do, with exact paths. Empty for pass and skip.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remedy: String,
    /// The facts behind it, for a machine to read.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub evidence: Map<String, Value>,
}

/// The three texts of a finding that is not a pass.
#[derive(Debug, Clone)]
pub struct Because {
    /// What was expected.
    pub expected: String,
    /// What was seen.
    pub seen: String,
    /// What to do about it; the catalogue's remedy when empty.
    pub remedy: String,
}

// === impl Outcome, Verdict ===

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Skip => "skip",
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Unknown => "unknown",
            Self::Fail => "fail",
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Verdict {
    /// The verdict as it is printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Unknown => "unknown",
            Self::Fail => "fail",
        }
    }
}

// === impl Finding ===

impl Finding {
    /// As expected; `summary` is the fact.
    pub fn pass(id: CheckId, size: impl Into<Option<PageSize>>, summary: impl Into<String>) -> Self {
        Self::bare(id, size.into(), Outcome::Pass, summary.into())
    }

    /// Not run; `reason` says why, and which right or thing was missing.
    pub fn skip(id: CheckId, size: impl Into<Option<PageSize>>, reason: impl Into<String>) -> Self {
        Self::bare(id, size.into(), Outcome::Skip, reason.into())
    }

    /// Whatever is neither pass nor skip, with its three answers.
    pub fn not_pass(
        id: CheckId,
        size: impl Into<Option<PageSize>>,
        outcome: Outcome,
        summary: impl Into<String>,
        because: Because,
    ) -> Self {
        let mut finding = Self::bare(id, size.into(), outcome, summary.into());
        finding.expected = because.expected;
        finding.seen = because.seen;
        finding.remedy = if because.remedy.is_empty() {
            catalogue::find(id).map(|check| check.remedy.to_owned()).unwrap_or_default()
        } else {
            because.remedy
        };
        finding
    }

    /// Adds one fact to the evidence. A value that cannot be serialised is left out: evidence never decides.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Serialize) -> Self {
        if let Ok(value) = serde_json::to_value(value) {
            self.evidence.insert(key.to_owned(), value);
        }
        self
    }

    fn bare(id: CheckId, size: Option<PageSize>, outcome: Outcome, summary: String) -> Self {
        Self {
            id,
            size,
            outcome,
            summary,
            expected: String::new(),
            seen: String::new(),
            remedy: String::new(),
            evidence: Map::new(),
        }
    }
}

impl Because {
    /// Keeps the remedy of the catalogue.
    pub fn new(expected: impl Into<String>, seen: impl Into<String>) -> Self {
        Self { expected: expected.into(), seen: seen.into(), remedy: String::new() }
    }

    /// A remedy for this very case, with its paths and numbers.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }
}
