//! The limits of the cgroup and of each of its parents, from the evidence of HP401, HP402 and HP410.

use maud::{Markup, html};
use serde_json::Value;

use super::{array, in_words, shown, table};
use hugeprobe_domain::catalogue::{HP401, HP402, HP410};
use hugeprobe_domain::report::Report;
use hugeprobe_domain::size::{PageSize, human_bytes};

const NO_LIMIT: &str = "none";
/// The cgroup has no hugetlb files: its pages are charged to its parents only.
const NO_FILES: &str = "no files";

/// Returns the tables for one page size: pages that are touched, and pages that are reserved.
pub(super) fn of_size(report: &Report, size: PageSize) -> Markup {
    html! {
        @for (id, caption) in [
            (HP401, "Limits of pages that are touched, from this cgroup upwards"),
            (HP402, "Limits of pages that are reserved, from this cgroup upwards"),
        ] {
            @if let Some(entry) = report.entry(id, Some(size)) { (levels(caption, &Value::from(entry.evidence.clone()), NO_FILES)) }
        }
    }
}

/// Returns the table of the memory limits.
pub(super) fn of_machine(report: &Report) -> Markup {
    let memory = report.entry(HP410, None).and_then(|entry| entry.evidence.get("memory"));
    html! { @if let Some(memory) = memory { (levels("Memory limits, from this cgroup upwards", memory, NO_LIMIT)) } }
}

/// Returns the table of a path of cgroups with `levels`, and whether it ends at the root of the hierarchy. `null` is what
/// an absent limit means.
fn levels(caption: &str, path: &Value, null: &str) -> Markup {
    let levels = array(path.get("levels"));
    if levels.is_empty() {
        return html! {};
    }
    let is_whole = path.get("complete").and_then(Value::as_bool) == Some(true);
    let head = html! { th scope="col" { "cgroup" } th.number scope="col" { "limit" } th.number scope="col" { "in use" } };
    let body = html! {
        @for level in levels {
            tr {
                th.path scope="row" { (shown(level.get("directory").and_then(Value::as_str).unwrap_or("?"))) }
                td.number { (limit(level.get("limit"), null)) }
                td.number { (bytes(level.get("usage"))) }
            }
        }
    };
    html! {
        (table(caption, &head, &body))
        @if !is_whole { p.note { "Parents that are not visible from here may have lower limits." } }
    }
}

fn limit(value: Option<&Value>, null: &str) -> String {
    match value {
        Some(Value::String(text)) if text == "max" => NO_LIMIT.to_owned(),
        None | Some(Value::Null) => null.to_owned(),
        other => bytes(other),
    }
}

fn bytes(value: Option<&Value>) -> String {
    match value {
        Some(Value::Number(number)) => number.as_u64().map_or_else(|| number.to_string(), human_bytes),
        None | Some(Value::Null) => "-".to_owned(),
        Some(other) => in_words(other),
    }
}
