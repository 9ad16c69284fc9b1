//! The results of checks: outcomes, verdicts and findings.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::catalogue;
pub use super::check_id::CheckId;
use super::size::PageSize;

/// The outcome of one check.
///
/// Outcomes are ordered by severity, so that `max` returns the worst one. `skip` is lowest because it says nothing
/// about the machine, and `fail` outranks `unknown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The check did not run; the finding gives the reason. A mandatory check that was skipped counts as `unknown`.
    Skip,
    /// The check found what was expected.
    Pass,
    /// The check found something that works but needs attention.
    Warn,
    /// The check was inconclusive.
    Unknown,
    /// The check found that a workload which needs this would fail.
    Fail,
}

/// The verdict on one page size, or on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// There are no pages, and none were expected.
    None,
    /// Every mandatory check ran and passed, and every other check passed or was skipped.
    Pass,
    /// As for `Pass`, except that at least one check has the outcome `warn`.
    Warn,
    /// Inconclusive. Must never be treated as a pass.
    Unknown,
    /// The workload would fail.
    Fail,
}

/// The result of one check.
///
/// Created by [`Finding::pass`], [`Finding::skip`] and [`Finding::not_pass`]. They ensure that a finding which is
/// neither pass nor skip says what was expected, what was seen and what to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The check.
    pub id: CheckId,
    /// The page size; `None` for a check of the whole machine.
    pub size: Option<PageSize>,
    /// The outcome.
    pub outcome: Outcome,
    /// The fact in a few words, such as "508 of 512 free". For `skip`, the reason.
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
    /// The facts behind the outcome, for programs to read.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub evidence: Map<String, Value>,
}

/// The explanation of a finding that is neither pass nor skip.
#[derive(Debug, Clone)]
pub struct Because {
    /// What was expected.
    pub expected: String,
    /// What was seen.
    pub seen: String,
    /// What to do about it. If empty, the remedy of the catalogue is used.
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
    /// Returns the verdict as it is printed.
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
    /// Creates a finding with the outcome `pass`. `summary` states the fact.
    pub fn pass(id: CheckId, size: impl Into<Option<PageSize>>, summary: impl Into<String>) -> Self {
        Self::bare(id, size.into(), Outcome::Pass, summary.into())
    }

    /// Creates a finding with the outcome `skip`. `reason` names the privilege or resource that was missing.
    pub fn skip(id: CheckId, size: impl Into<Option<PageSize>>, reason: impl Into<String>) -> Self {
        Self::bare(id, size.into(), Outcome::Skip, reason.into())
    }

    /// Returns the finding with the worse outcome; this one if both have the same.
    #[must_use]
    pub fn or_worse(self, other: Self) -> Self {
        if other.outcome > self.outcome { other } else { self }
    }

    /// Creates a finding with any other outcome. `because` explains it.
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

    /// Adds one fact to the evidence.
    ///
    /// A value that cannot be serialised is left out. Missing evidence never turns another outcome into a pass.
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
    /// Creates an explanation that uses the remedy of the catalogue.
    pub fn new(expected: impl Into<String>, seen: impl Into<String>) -> Self {
        Self { expected: expected.into(), seen: seen.into(), remedy: String::new() }
    }

    /// Sets a remedy for this specific case, with its paths and numbers.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }
}
