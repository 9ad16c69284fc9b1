//! The short form: one line for each fact, for grep and awk. Its words and their order are stable. New fields are added
//! only at the end of a `verdict` line.
//!
//! ```text
//! all verdict fail
//! 2Mi verdict pass total=512 free=508 reserved=0 surplus=0 overcommit=0 numa0=254/256 numa1=254/256
//! 2Mi HP401 warn CgroupFaultLimit this cgroup may use 8 of the 508 free pages
//! 1Gi verdict fail total=16 free=0 reserved=0 surplus=0 overcommit=-
//! 1Gi HP105 fail PagesHeldByNobody no free page: 14 of 16 are held by files that no process has open
//! ```
//!
//! One space separates the fields: the subject (`all`, a size, `machine`), `verdict` or a check's id, the verdict or
//! outcome, and the rest. A count is a number, `-` if the kernel does not have it, or `?` if it could not be read. For
//! a NUMA node it is free/total. Passes are not listed, and neither are skips of checks that are not mandatory. With
//! `--only`, the first line ends with the selected checks and groups: `all verdict pass only=HP1,HP503`.

use std::io::{self, Write};

use super::style::Marks;
use super::text::clean;
use super::{only, sizes};
use hugeprobe_domain::catalogue;
use hugeprobe_domain::check::Outcome;
use hugeprobe_domain::inventory::Pool;
use hugeprobe_domain::reading::Reading;
use hugeprobe_domain::report::{Entry, Report};

/// Writes `report` in the short form.
///
/// # Errors
///
/// Fails if writing to `out` fails.
pub fn short(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "all verdict {}", report.verdict)?;
    if let Some(only) = only(report, ",") {
        write!(out, " only={only}")?;
    }
    writeln!(out)?;
    for size in sizes(report) {
        if let Some(one) = report.sizes.iter().find(|one| one.size == size) {
            write!(out, "{size} verdict {}", one.verdict)?;
            if let Some(pool) = report.pools.iter().find(|pool| pool.size == size) {
                counters(pool, out)?;
            }
            writeln!(out)?;
        }
        findings(&size.to_string(), report.checks.iter().filter(|entry| entry.size == Some(size)), out)?;
    }
    findings("machine", report.checks.iter().filter(|entry| entry.size.is_none()), out)
}

fn counters(pool: &Pool, out: &mut dyn Write) -> io::Result<()> {
    for (name, counter) in [
        ("total", &pool.total),
        ("free", &pool.free),
        ("reserved", &pool.reserved),
        ("surplus", &pool.surplus),
        ("overcommit", &pool.overcommit),
    ] {
        write!(out, " {name}={}", number(counter))?;
    }
    for node in &pool.numa {
        write!(out, " numa{}={}/{}", node.node, number(&node.free), number(&node.total))?;
    }
    Ok(())
}

fn findings<'a>(
    about: &str,
    entries: impl Iterator<Item = &'a Entry>,
    out: &mut dyn Write,
) -> io::Result<()> {
    for entry in entries.filter(|entry| is_listed(entry)) {
        let summary = clean(&entry.summary, Marks::Unicode);
        writeln!(out, "{about} {} {} {} {summary}", entry.id, entry.outcome, entry.reason)?;
    }
    Ok(())
}

fn is_listed(entry: &Entry) -> bool {
    match entry.outcome {
        Outcome::Pass => false,
        Outcome::Skip => catalogue::find(entry.id).is_some_and(|check| check.mandatory),
        Outcome::Warn | Outcome::Unknown | Outcome::Fail => true,
    }
}

fn number(reading: &Reading<u64>) -> String {
    match reading {
        Reading::Known(number) => number.to_string(),
        Reading::Absent => "-".to_owned(),
        Reading::Unreadable(_) | Reading::Malformed(_) => "?".to_owned(),
    }
}
