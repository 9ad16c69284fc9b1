//! What programs print when huge pages fail them: the line, what it means, the check that finds the cause, the remedy.
//!
//! The one source of `hugeprobe explain --log` and docs/troubleshooting.md. Pure: text in, rows out. A row is found by
//! pieces of a line in their order, whatever stands between them, and in either letter case; a piece is the program's
//! own words and never a number, a path or a name of this or that machine.

mod dpdk;
mod kernel;
mod kubernetes;
mod others;
mod ovs;
mod qemu;

use super::check::CheckId;

/// A failure as it is met.
#[derive(Debug, Clone, Copy)]
pub struct Trouble {
    /// Its name: an anchor of the page.
    pub name: &'static str,
    /// The line as a program prints it; where nothing is printed, what is seen instead.
    pub example: &'static str,
    /// Each a way to know the line: pieces in their order. None for what no line tells of.
    pub says: &'static [&'static [&'static str]],
    /// Where the line tells of trouble only sometimes.
    pub is_often_harmless: bool,
    /// What it means.
    pub cause: &'static str,
    /// What to do.
    pub remedy: &'static str,
    /// The checks that find the cause; empty if hugeprobe does not look for it.
    pub checks: &'static [CheckId],
    /// Where it was met: an issue as `owner/repository#number`, a file of a source, or what was run.
    pub sources: &'static [&'static str],
}

/// The failures that one program prints, or that are met with it.
#[derive(Debug, Clone, Copy)]
pub struct Chapter {
    /// The program.
    pub title: &'static str,
    /// Its failures.
    pub troubles: &'static [Trouble],
}

/// A failure that a log tells of.
#[derive(Debug, Clone, Copy)]
pub struct Found<'l> {
    /// The failure.
    pub trouble: &'static Trouble,
    /// The number of the first line that tells of it, counted from 1.
    pub number: usize,
    /// That line.
    pub line: &'l str,
    /// How many lines do.
    pub times: usize,
}

/// Every chapter, in the order of the page.
pub const CHAPTERS: &[Chapter] = &[
    Chapter { title: "DPDK", troubles: dpdk::TROUBLES },
    Chapter { title: "Open vSwitch", troubles: ovs::TROUBLES },
    Chapter { title: "QEMU and libvirt", troubles: qemu::TROUBLES },
    Chapter { title: "The kernel, and mount", troubles: kernel::TROUBLES },
    Chapter { title: "Kubernetes and container runtimes", troubles: kubernetes::TROUBLES },
    Chapter { title: "Other programs", troubles: others::TROUBLES },
];

/// How much of a line is looked at, bytes: no message comes near it, and a file that is no log may be one line.
const LONGEST_LINE: usize = 4096;

/// A row of the table, its fields in the order in which they are read.
macro_rules! troubles {
    ($($name:literal $(($harmless:ident))? {
        example: $example:expr, says: [$([$($piece:literal),+ $(,)?]),* $(,)?], cause: $cause:expr, remedy: $remedy:expr,
        checks: [$($check:ident),* $(,)?], sources: [$($source:literal),+ $(,)?] $(,)?
    })+) => {
        pub(super) const TROUBLES: &[super::Trouble] = &[$(super::Trouble {
            name: $name,
            example: $example,
            says: &[$(&[$($piece),+]),*],
            is_often_harmless: [$(stringify!($harmless),)? ""].len() > 1,
            cause: $cause,
            remedy: $remedy,
            checks: &[$(crate::domain::catalogue::$check),*],
            sources: &[$($source),+],
        }),+];
    };
}
use troubles;

/// Every failure.
pub fn all() -> impl Iterator<Item = &'static Trouble> {
    CHAPTERS.iter().flat_map(|chapter| chapter.troubles)
}

/// The failures that `log` tells of, in the order in which it does; those that are often harmless come last. A line
/// tells of one: that of which it says most.
#[must_use]
pub fn search(log: &str) -> Vec<Found<'_>> {
    let mut found: Vec<Found<'_>> = Vec::new();
    for (index, line) in log.lines().enumerate() {
        let Some(trouble) = of_line(line) else { continue };
        match found.iter_mut().find(|other| other.trouble.name == trouble.name) {
            Some(other) => other.times += 1,
            None => found.push(Found { trouble, number: index + 1, line, times: 1 }),
        }
    }
    found.sort_by_key(|one| one.trouble.is_often_harmless);
    found
}

/// The failure that a line tells of: the one whose pieces are longest together.
fn of_line(line: &str) -> Option<&'static Trouble> {
    let end = (0..=line.len().min(LONGEST_LINE)).rev().find(|end| line.is_char_boundary(*end));
    let line = line.get(..end.unwrap_or(0)).unwrap_or_default().to_ascii_lowercase();
    let ways = all().flat_map(|trouble| trouble.says.iter().map(move |pieces| (trouble, *pieces)));
    let matching = ways.filter(|(_, pieces)| has_in_order(&line, pieces));
    matching
        .max_by_key(|(_, pieces)| pieces.iter().map(|piece| piece.len()).sum::<usize>())
        .map(|(trouble, _)| trouble)
}

/// Whether the pieces, in lower case, occur in `line` one after the other.
fn has_in_order(line: &str, pieces: &[&str]) -> bool {
    let mut rest = line;
    pieces.iter().all(|piece| match rest.split_once(piece) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests;
