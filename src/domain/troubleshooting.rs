//! Known failures: the line that a program prints when huge pages do not work, its cause, the remedy and the checks.
//!
//! `troubleshooting/rows.txt` is the source of `hugeprobe explain --log` and of docs/reference/troubleshooting.md.

use std::sync::LazyLock;

use super::check::CheckId;

mod parse;
mod pattern;
#[cfg(test)]
mod tests;

pub use parse::RowError;
pub(crate) use pattern::Pattern;

/// The text of the rows.
const ROWS: &str = include_str!("troubleshooting/rows.txt");

/// The maximum distance, in lines, between a cause and a consequence that is attributed to it.
const CONSEQUENCE_WITHIN: usize = 50;

/// A row of the table: a failure with its cause and remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownFailure {
    /// The name of the failure, which is also its anchor on the page.
    pub name: &'static str,
    /// What the user sees.
    pub met_as: MetAs,
    /// What the line says about the cause.
    pub kind: Kind,
    /// The patterns that recognise the line; empty for a symptom without a line.
    pub(crate) patterns: Vec<Pattern>,
    /// A pattern that another line of the log must match too.
    pub(crate) beside: Option<Pattern>,
    /// Patterns of lines that are about something else, even if they match `patterns`.
    pub(crate) unless: Vec<Pattern>,
    /// The cause of the failure.
    pub cause: String,
    /// What to do.
    pub remedy: String,
    /// The checks that find the cause; empty if hugeprobe does not look for it.
    pub checks: Vec<CheckId>,
    /// Where the failure was seen: an issue as `owner/repository#number`, a source file, or the program that was run.
    pub sources: Vec<&'static str>,
}

/// What the user sees when the failure happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetAs {
    /// A line, as the program prints it.
    Line(&'static str),
    /// A symptom for which no program prints a line.
    Symptom(String),
}

/// What a line says about the cause of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The line points to the cause.
    Cause,
    /// The program prints the line after any failure; an earlier line points to the cause.
    Consequence,
    /// The line is often harmless.
    Harmless,
}

/// The failures of one group of programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chapter {
    /// The programs.
    pub title: &'static str,
    /// Their failures.
    pub failures: Vec<KnownFailure>,
}

/// A known failure that occurs in a log.
#[derive(Debug, Clone, Copy)]
pub struct Found<'l> {
    /// The failure.
    pub failure: &'static KnownFailure,
    /// The number of the first line that matches, counted from 1.
    pub number: usize,
    /// That line.
    pub line: &'l str,
    /// How many lines match.
    pub times: usize,
    /// The number of the line that this one follows from.
    pub follows: Option<usize>,
}

/// Returns every chapter, in the order of the page.
#[must_use]
pub fn chapters() -> &'static [Chapter] {
    // The rows of a release always parse: the test `the_rows_parse` fails on an error and reports its line.
    static CHAPTERS: LazyLock<Vec<Chapter>> = LazyLock::new(|| parse::chapters(ROWS).unwrap_or_default());
    &CHAPTERS
}

/// Returns every failure.
pub fn all() -> impl Iterator<Item = &'static KnownFailure> {
    chapters().iter().flat_map(|chapter| &chapter.failures)
}

/// Returns the known failures in `log`: first causes, then consequences, then often harmless lines, each in the order
/// of the log. A line counts only for the failure with the most matching text.
#[must_use]
pub fn search(log: &str) -> Vec<Found<'_>> {
    let mut found: Vec<Found<'_>> = Vec::new();
    let mut beside = Vec::new();
    let conditions: Vec<_> = all().filter_map(|failure| failure.beside.as_ref()).collect();
    for (index, line) in log.lines().enumerate() {
        let text = pattern::normalize(line);
        beside.extend(conditions.iter().filter(|condition| condition.matches(&text)));
        let Some(failure) = of_line(&text) else { continue };
        match found.iter_mut().find(|other| other.failure.name == failure.name) {
            Some(other) => other.times += 1,
            None => found.push(Found { failure, number: index + 1, line, times: 1, follows: None }),
        }
    }
    found.retain(|one| one.failure.beside.as_ref().is_none_or(|condition| beside.contains(&condition)));
    attribute_consequences(&mut found);
    found.sort_by_key(|one| match one.failure.kind {
        Kind::Harmless => Kind::Harmless,
        _ if one.follows.is_some() => Kind::Consequence,
        _ => Kind::Cause,
    });
    found
}

/// Sets `follows` of each consequence to the nearest earlier failure that does not itself follow from another one, if
/// that is at most [`CONSEQUENCE_WITHIN`] lines before it.
fn attribute_consequences(found: &mut [Found<'_>]) {
    let mut origin: Option<usize> = None;
    for one in found.iter_mut().filter(|one| one.failure.kind != Kind::Harmless) {
        let near = origin.filter(|number| one.number - number <= CONSEQUENCE_WITHIN);
        match (one.failure.kind, near) {
            (Kind::Consequence, Some(number)) => one.follows = Some(number),
            _ => origin = Some(one.number),
        }
    }
}

/// Returns the failure of a normalized line. If several match, it is the one with the most matching text.
fn of_line(line: &str) -> Option<&'static KnownFailure> {
    let ways = all().flat_map(|failure| failure.patterns.iter().map(move |pattern| (failure, pattern)));
    let is_foreign = |failure: &KnownFailure| failure.unless.iter().any(|pattern| pattern.matches(line));
    let matching = ways.filter(|(failure, pattern)| pattern.matches(line) && !is_foreign(failure));
    matching.max_by_key(|(_, pattern)| pattern.weight()).map(|(failure, _)| failure)
}
