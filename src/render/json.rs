//! `-o json`: the complete report. docs/reference/report.schema.json describes it.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use super::text::is_steering;
use hugeprobe_domain::report::Report;

/// The JSON schema of a report.
pub const SCHEMA: &str = include_str!("../../docs/reference/report.schema.json");

/// serde_json's pretty layout, with control characters of terminals escaped too.
///
/// JSON does not require those escapes, but U+009B starts an ANSI sequence as ESC does. Every parser reads the same
/// value.
#[derive(Default)]
struct Harmless<'a>(PrettyFormatter<'a>);

/// Writes `report` as JSON, indented, with a newline at the end.
///
/// # Errors
///
/// Fails if writing to `out` fails.
pub fn json(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    value(report, out)
}

/// Writes any value in the same layout.
///
/// # Errors
///
/// Fails if writing to `out` fails.
pub fn value(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    let mut serializer = Serializer::with_formatter(&mut *out, Harmless::default());
    value.serialize(&mut serializer)?;
    writeln!(out)
}

// === impl Harmless ===

impl Formatter for Harmless<'_> {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| is_escaped(*c)) {
            let (before, after) = rest.split_at_checked(at).unwrap_or((rest, ""));
            writer.write_all(before.as_bytes())?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = after.get(c.len_utf8()..).unwrap_or_default();
        }
        writer.write_all(rest.as_bytes())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

/// Returns whether this formatter escapes `c`.
///
/// Of the ASCII characters, that is only U+007F: serde_json itself escapes those below U+0020, quotes and backslashes.
fn is_escaped(c: char) -> bool {
    c == '\u{7f}' || (!c.is_ascii() && is_steering(c))
}
