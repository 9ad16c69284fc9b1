//! Who has the pages of a size: the processes, files and SysV segments that HP105 found.

use maud::{Markup, html};
use serde_json::{Map, Value};

use super::{array, in_words, shown, table};
use hugeprobe_domain::catalogue::HP105;
use hugeprobe_domain::report::Report;
use hugeprobe_domain::size::PageSize;

/// The maximum number of rows of a table. `-o json` has the others.
const SHOWN: usize = 100;

/// Returns the tables, as far as the report has them.
pub(super) fn tables(report: &Report, size: PageSize) -> Markup {
    let Some(entry) = report.entry(HP105, Some(size)) else {
        return html! {};
    };
    let facts = &entry.evidence;
    let untraced = facts.get("untraced").and_then(Value::as_u64);
    let blind_spots = facts.get("blind_spots").and_then(Value::as_array).filter(|spots| !spots.is_empty());
    html! {
        (owners("Processes that hold pages", facts, "holders", &[("pid", "pid"), ("command", "program"), ("pages", "pages")]))
        (owners("Files with pages that no process has open", facts, "files",
            &[("path", "path"), ("pages", "pages"), ("idle_seconds", "seconds since its last use")]))
        (owners("SysV segments with pages that no process has attached", facts, "segments",
            &[("id", "id"), ("pages", "pages"), ("creator", "pid of its creator")]))
        @if let Some(pages) = untraced { p { "Pages in use without a known owner: " (pages) "." } }
        @if let Some(spots) = blind_spots {
            details {
                summary { "What could not be seen" }
                ul.checks { @for spot in spots.iter().take(SHOWN) { li { (in_words(spot)) } } }
            }
        }
    }
}

/// Returns a table of the objects under `key`. `columns` are a field and its title each.
fn owners(caption: &str, facts: &Map<String, Value>, key: &str, columns: &[(&str, &str)]) -> Markup {
    let rows = array(facts.get(key));
    if rows.is_empty() {
        return html! {};
    }
    let head = html! { @for (field, title) in columns { (heading(field, title, rows)) } };
    let body = html! {
        @for row in rows.iter().take(SHOWN) { tr { @for (field, _) in columns { (cell(row.get(field))) } } }
    };
    html! {
        (table(caption, &head, &body))
        @if let Some(more @ 1..) = rows.len().checked_sub(SHOWN) { p.note { "And " (more) " more, listed by -o json." } }
    }
}

fn heading(field: &str, title: &str, rows: &[Value]) -> Markup {
    let is_number = rows.iter().any(|row| row.get(field).is_some_and(Value::is_number));
    html! { @if is_number { th.number scope="col" { (title) } } @else { th scope="col" { (title) } } }
}

fn cell(value: Option<&Value>) -> Markup {
    match value {
        Some(Value::Number(number)) => html! { td.number { (number) } },
        Some(Value::String(text)) => html! { td { (shown(text)) } },
        Some(value) => html! { td { (in_words(value)) } },
        None => html! { td { "not known" } },
    }
}
