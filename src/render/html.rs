//! `-o html`: the report as one page, to read and to pass on. It needs no other file, runs no script and loads nothing.
//!
//! maud escapes every text that is inserted. [`shown`] also escapes control characters, as every format does.

use std::io::{self, Write};

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;

use super::style::Marks;
use super::text::clean;
use super::{only, seconds};
use hugeprobe_domain::check::{Outcome, Verdict};
use hugeprobe_domain::report::Report;

mod badge;
mod exchange;
mod findings;
mod holders;
mod limits;
mod pool;
mod size;
mod verdict;

/// The stylesheet: system fonts, and colours for light and dark with a contrast of at least 4.5 to 1.
const STYLE: &str = include_str!("html/style.css");

/// Refuses everything but this page's own style, for a text that got through the escapes all the same.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// Writes `report` as an HTML page.
///
/// # Errors
///
/// Fails if writing to `out` fails.
pub fn html(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", page(report).into_string())
}

fn page(report: &Report) -> Markup {
    let name = known(&report.host.name);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                // An icon of no bytes: without it, a browser asks the server of the page for one.
                link rel="icon" href="data:,";
                title { "hugeprobe: " (report.verdict) " on " (name) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (pool::patterns())
                header {
                    h1 { (badge::verdict(report.verdict)) " " (name) }
                    (facts(report))
                }
                main {
                    (verdict::section(report))
                    (request(report))
                    @for size in super::sizes(report) { (size::section(report, size)) }
                    (size::machine(report))
                }
                footer {
                    p { "Made by hugeprobe " (shown(report.version)) ". " code { "hugeprobe explain ID" }
                        " explains a check. " code { "hugeprobe check -o json" } " has the evidence of each." }
                }
            }
        }
    }
}

/// The machine and the run, in one line.
fn facts(report: &Report) -> Markup {
    let boot = report.host.boot_id.known().map(|id| format!("boot {}", shown(id)));
    let facts = [
        Some(format!("kernel {}", known(&report.host.kernel))),
        Some(format!("run as {}", known(&report.profile))),
        Some(shown(&report.time)),
        Some(format!("took {}", seconds(report.duration_ms))),
        boot,
    ];
    html! { ul.facts { @for fact in facts.into_iter().flatten() { li { (fact) } } } }
}

/// The options of the run.
fn request(report: &Report) -> Markup {
    let options = serde_json::to_value(&report.request).unwrap_or_default();
    let only = only(report, ", ");
    html! {
        section.request aria-labelledby="request" {
            h2 id="request" { "Request" }
            dl {
                @for (name, value) in options.as_object().into_iter().flatten() {
                    dt { (shown(name)) } dd { (in_words(value)) }
                }
                @if let Some(only) = only {
                    dt { "only" }
                    dd { (shown(&only)) ": the verdict covers these checks, not the whole workload" }
                }
            }
        }
    }
}

/// Returns the value of an option, or of a fact, as text.
fn in_words(value: &Value) -> String {
    match value {
        Value::Null => "not known".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => shown(text),
        Value::Array(values) => values.iter().map(in_words).collect::<Vec<_>>().join(", "),
        Value::Object(map) => {
            let pairs = map.iter().map(|(key, value)| format!("{} {}", shown(key), in_words(value)));
            pairs.collect::<Vec<_>>().join(", ")
        }
    }
}

/// Returns the text as one line without control characters.
fn shown(text: &str) -> String {
    clean(text, Marks::Unicode)
}

/// The same, for a name that may be missing.
fn known(text: &str) -> String {
    if text.is_empty() { "?".to_owned() } else { shown(text) }
}

/// Returns a table that scrolls where it is wider than the page. `head` has the cells of the first row, `body` the others.
fn table(caption: &str, head: &Markup, body: &Markup) -> Markup {
    html! {
        div.scroll role="region" aria-label=(caption) tabindex="0" {
            table { caption { (caption) } thead { tr { (head) } } tbody { (body) } }
        }
    }
}

/// Returns the elements of an array of the evidence; none if it is absent.
fn array(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Returns the outcome that a verdict is shown as.
const fn outcome_of(verdict: Verdict) -> Outcome {
    match verdict {
        Verdict::None => Outcome::Skip,
        Verdict::Pass => Outcome::Pass,
        Verdict::Warn => Outcome::Warn,
        Verdict::Unknown => Outcome::Unknown,
        Verdict::Fail => Outcome::Fail,
    }
}

#[cfg(test)]
mod tests;
