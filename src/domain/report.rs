//! The report of one run: the findings and the verdict. `-o json` prints it in this form; its schema is
//! docs/reference/report.schema.json.

use serde::Serialize;
use serde_json::{Map, Value};

use super::catalogue::{self, Group};
use super::check::{CheckId, Finding, Outcome, Verdict};
use super::inventory::{Host, Pool};
use super::request::{Request, Selector};
use super::reserve::Replayed;
use super::size::PageSize;

/// The schema's name; a change that breaks a reader gets another.
pub const SCHEMA: &str = "hugeprobe.io/report/v1";

/// One run's report.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The version of hugeprobe that made it.
    pub version: &'static str,
    /// When the run began: RFC 3339, in UTC.
    pub time: String,
    /// The worst of the sizes'.
    pub verdict: Verdict,
    /// What the user asked: the options, where they are not the default.
    pub request: Request,
    /// What the verdict is about, if `--only` left something out: never a word about the workload then.
    #[serde(serialize_with = "as_text", skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<Selector>,
    /// The machine.
    pub host: Host,
    /// Under which rights it was made: `root` or `uid 1000`.
    pub profile: String,
    /// How long the run took, in milliseconds.
    pub duration_ms: u64,
    /// The verdict of each size, smallest first.
    pub sizes: Vec<SizeVerdict>,
    /// The pools of those sizes, as they were before the run took its first page (and after `--reserve`).
    pub pools: Vec<Pool>,
    /// What was found, one entry per check and size, by size and id.
    pub checks: Vec<Entry>,
    /// What was measured, by size: with `--measure` only.
    pub measurements: Map<String, Value>,
    /// Runs with `--reserve` that were killed, and whose pages this run gave back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replayed: Vec<Replayed>,
}

/// The verdict about one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SizeVerdict {
    /// The size.
    pub size: PageSize,
    /// Its verdict.
    pub verdict: Verdict,
}

/// A finding, with its check's CamelCase reason.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// The check.
    pub id: CheckId,
    /// Its reason, as in the catalogue.
    pub reason: &'static str,
    /// The size; `null` for a check of the whole machine.
    pub size: Option<PageSize>,
    /// How it came out.
    pub outcome: Outcome,
    /// The fact in a few words.
    pub summary: String,
    /// What was expected, unless it is a pass.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub expected: String,
    /// What was seen instead, unless it is a pass.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub seen: String,
    /// What to do, unless it is a pass.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remedy: String,
    /// The facts behind it.
    pub evidence: Map<String, Value>,
}

// === impl ===

impl Report {
    /// The entries about `size` (`None`: about the machine) of one group, in the order of their ids.
    pub fn group(&self, size: Option<PageSize>, group: &Group) -> impl Iterator<Item = &Entry> {
        let group = *group;
        self.checks.iter().filter(move |entry| entry.size == size && group.has(entry.id))
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
