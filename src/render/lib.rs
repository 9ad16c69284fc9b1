//! Formats results for people, scripts and test dashboards. There is one file for each format; the content was decided
//! by earlier stages.
//!
//! Every format writes to a [`Write`] and returns its errors. The caller decides what a closed pipe (`| head`) means.
//! Every format escapes control characters of the data, because file names, process names and kernel messages can
//! contain any character, and a terminal would interpret them.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use hugeprobe_domain::report::Report;
use hugeprobe_domain::size::PageSize;

mod cause;
pub mod explain;
pub mod fits;
mod holders;
#[cfg(feature = "html")]
pub mod html;
pub mod json;
#[cfg(feature = "kubectl")]
pub mod jsonpath;
pub mod junit;
pub mod node;
pub mod nodes;
mod nothing;
pub mod progress;
pub mod short;
pub mod standalone;
pub mod style;
pub mod table;
mod text;
pub mod troubleshooting;
pub mod walk;
pub mod who;
pub mod why;
#[cfg(feature = "kubectl")]
pub mod yaml;

pub use style::{Detail, Marks, Style};

/// `-o`: the format of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people, see [`table`].
    #[default]
    Table,
    /// One line for each fact, for grep and awk, see [`short`].
    Short,
    /// The complete report, see [`json`].
    Json,
    /// For tools that show test results, see [`junit`].
    Junit,
    /// One page for a browser, see [`html`].
    #[cfg(feature = "html")]
    Html,
}

/// The names of the formats, as errors list them.
#[cfg(feature = "html")]
const NAMES: &str = "table, short, json, junit or html";
#[cfg(not(feature = "html"))]
const NAMES: &str = "table, short, json or junit";

/// The error for an unknown output format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown output format '{text}': use {NAMES}")]
pub struct FormatError {
    text: String,
}

/// Writes `report` in the given format.
///
/// Only the table uses `style`. The other formats are for programs and do not depend on the terminal.
///
/// # Errors
///
/// Fails if writing to `out` fails.
pub fn render(report: &Report, format: Format, out: &mut dyn Write, style: Style) -> io::Result<()> {
    match format {
        Format::Table => table::table(report, out, style),
        Format::Short => short::short(report, out),
        Format::Json => json::json(report, out),
        Format::Junit => junit::junit(report, out),
        #[cfg(feature = "html")]
        Format::Html => html::html(report, out),
    }
}

/// Returns every page size that the report mentions, so that a size without a verdict or a pool is not lost.
fn sizes(report: &Report) -> BTreeSet<PageSize> {
    (report.sizes.iter().map(|one| one.size))
        .chain(report.pools.iter().map(|pool| pool.size))
        .chain(report.checks.iter().filter_map(|entry| entry.size))
        .collect()
}

/// Returns the checks and groups of `--only`, as the user wrote them; `None` without `--only`.
fn only(report: &Report, separator: &str) -> Option<String> {
    let names: Vec<_> = report.only.iter().map(ToString::to_string).collect();
    (!names.is_empty()).then(|| names.join(separator))
}

/// Formats a duration with three digits: `0.08 s`, `12.3 s`, `123 s`.
fn seconds(milliseconds: u64) -> String {
    let (whole, rest) = (milliseconds / 1000, milliseconds % 1000);
    match whole {
        0..10 => format!("{whole}.{:02} s", rest / 10),
        10..100 => format!("{whole}.{} s", rest / 100),
        _ => format!("{whole} s"),
    }
}

// === impl Format ===

impl Format {
    /// All formats, in the order of the help text.
    pub const ALL: &[Self] = &[
        Self::Table,
        Self::Short,
        Self::Json,
        Self::Junit,
        #[cfg(feature = "html")]
        Self::Html,
    ];
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Table => "table",
            Self::Short => "short",
            Self::Json => "json",
            Self::Junit => "junit",
            #[cfg(feature = "html")]
            Self::Html => "html",
        })
    }
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        (Self::ALL.iter().copied())
            .find(|format| format.to_string() == text)
            .ok_or_else(|| FormatError { text: text::clean(text, Marks::Unicode).chars().take(40).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_read_as_they_print() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(*format));
        }
    }

    #[test]
    fn what_is_no_form_is_refused_by_name() {
        for text in ["", "yaml", "JSON", "table ", "\u{1b}[2J"] {
            let error = text.parse::<Format>().unwrap_err().to_string();
            assert!(error.contains("table, short, json"), "{error}");
            assert!(!error.contains('\u{1b}'));
        }
    }
}
