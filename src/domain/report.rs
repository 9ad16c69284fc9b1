//! The report of one run: the findings and the verdicts. `-o json` prints it in this form. Its schema is
//! docs/reference/report.schema.json.

use serde::Serialize;
use serde_json::{Map, Value};

use super::catalogue::{self, Group};
use super::check::{CheckId, Finding, Outcome, Verdict};
use super::inventory::{Host, Pool};
use super::request::{Request, Selector};
use super::reserve::Replayed;
use super::size::PageSize;

/// The name of the schema. A change that breaks readers gets a new name.
pub const SCHEMA: &str = "hugeprobe.io/report/v1";

/// The report of one run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The version of hugeprobe that made the report.
    pub version: &'static str,
    /// When the run began: RFC 3339, in UTC.
    pub time: String,
    /// The worst verdict of all sizes.
    pub verdict: Verdict,
    /// The request: the options that differ from their defaults.
    pub request: Request,
    /// The checks and groups of `--only`. If there are any, the verdict covers only them, not the whole workload.
    #[serde(serialize_with = "as_text", skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<Selector>,
    /// The machine.
    pub host: Host,
    /// The privileges of the run: `root` or `uid 1000`.
    pub profile: String,
    /// The duration of the run, in milliseconds.
    pub duration_ms: u64,
    /// The verdict on each page size, smallest first.
    pub sizes: Vec<SizeVerdict>,
    /// The pools of those sizes, as they were before the run took its first page, but after `--reserve`.
    pub pools: Vec<Pool>,
    /// The findings, one entry per check and page size, sorted by size and id.
    pub checks: Vec<Entry>,
    /// The measurements, by page size. Only with `--measure`.
    pub measurements: Map<String, Value>,
    /// Runs with `--reserve` that were killed, and whose pages this run gave back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replayed: Vec<Replayed>,
}

/// The verdict on one page size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SizeVerdict {
    /// The page size.
    pub size: PageSize,
    /// The verdict.
    pub verdict: Verdict,
}

/// A finding, with the CamelCase reason of its check.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// The check.
    pub id: CheckId,
    /// The reason of the check, as in the catalogue.
    pub reason: &'static str,
    /// The page size; `null` for a check of the whole machine.
    pub size: Option<PageSize>,
    /// The outcome.
    pub outcome: Outcome,
    /// The fact in a few words.
    pub summary: String,
    /// What was expected. Empty for pass and skip.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub expected: String,
    /// What was seen instead. Empty for pass and skip.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub seen: String,
    /// What to do. Empty for pass and skip.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remedy: String,
    /// The facts behind the outcome.
    pub evidence: Map<String, Value>,
}

// === impl ===

impl Report {
    /// Returns the entries of one group about `size` (`None` for the machine), in the order of their ids.
    pub fn group(&self, size: Option<PageSize>, group: &Group) -> impl Iterator<Item = &Entry> {
        let group = *group;
        self.checks.iter().filter(move |entry| entry.size == size && group.has(entry.id))
    }

    /// Returns the entry of one check about `size` (`None` for the machine).
    #[must_use]
    pub fn entry(&self, id: CheckId, size: Option<PageSize>) -> Option<&Entry> {
        self.checks.iter().find(|entry| entry.id == id && entry.size == size)
    }
}

impl From<Finding> for Entry {
    fn from(finding: Finding) -> Self {
        let Finding { id, size, outcome, summary, expected, seen, remedy, evidence } = finding;
        let reason = catalogue::find(id).map_or("", |check| check.reason);
        Self { id, reason, size, outcome, summary, expected, seen, remedy, evidence }
    }
}

fn as_text<S: serde::Serializer>(only: &[Selector], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(only.iter().map(ToString::to_string))
}
