//! The table, the format for people. It has one block for each page size. In a block, each group of checks that passed
//! has one line, and each other finding has one line with its remedy below.

use std::io::{self, Write};

use super::style::{BOLD, DIM, Detail, Style, verdict_color};
use super::text::{clean, columns, flow, shorten, wrap};
use super::{cause, nothing, only, seconds, sizes};
use hugeprobe_domain::catalogue::GROUPS;
use hugeprobe_domain::check::{Outcome, Verdict};
use hugeprobe_domain::report::{Entry, Report};
use hugeprobe_domain::text::count;

mod group;
mod pool;

/// The width of a block's title, in columns.
const TITLE_WIDTH: usize = 16;
/// The maximum length of the name, the kernel release and the profile of the machine, in characters.
const LONGEST_NAME: usize = 64;
/// The maximum length of the first cause that is shown with the verdict, in characters.
const LONGEST_CAUSE: usize = 160;

/// Writes `report` as a table.
///
/// Passes take one line per group, and those about the whole machine take one line in total. Expected skips (such as
/// that of `--need` when the option was not given) are left out if the group has anything else to show. What follows
/// from an earlier failure takes one line. `-o json` has everything that is combined, shortened or left out here;
/// [`Detail::Verbose`] shows most of it.
///
/// # Errors
///
/// Fails if writing to `out` fails.
pub fn table(report: &Report, out: &mut dyn Write, style: Style) -> io::Result<()> {
    if style.detail == Detail::Quiet {
        return verdict(report, out, style);
    }
    header(report, out, style)?;
    verdict(report, out, style)?;
    for size in sizes(report) {
        writeln!(out)?;
        pool::line(size, report.pools.iter().find(|pool| pool.size == size), out, style)?;
        let verdict = report.sizes.iter().find(|one| one.size == size).map(|one| one.verdict);
        if verdict == Some(Verdict::None) {
            writeln!(out, "  {}", style.paint(DIM, "pool is empty and none was required"))?;
        }
        for one in GROUPS {
            let mut entries: Vec<_> = report.group(Some(size), one).collect();
            if verdict == Some(Verdict::None) {
                entries.retain(|entry| entry.outcome > Outcome::Pass);
            }
            group::lines(report, &entries, one, out, style)?;
        }
        if verdict == Some(Verdict::Unknown)
            && let Some(ids) = cause::not_reported(report, size)
        {
            group::unheard(&ids, out, style)?;
        }
    }
    machine(report, out, style)?;
    if nothing::applies(report) {
        nothing_to_check(report, out, style)?;
    }
    writeln!(out)?;
    verdict(report, out, style)
}

fn header(report: &Report, out: &mut dyn Write, style: Style) -> io::Result<()> {
    let known = |text: &str| {
        if text.is_empty() {
            "?".to_owned()
        } else {
            shorten(&clean(text, style.marks), LONGEST_NAME, style.marks)
        }
    };
    let name = known(&report.host.name);
    let mut pieces = vec![(columns(&name), style.paint(BOLD, &name).to_string())];
    for piece in [
        format!("kernel {}", known(&report.host.kernel)),
        known(&report.profile),
        seconds(report.duration_ms),
    ] {
        pieces.push((columns(&piece), piece));
    }
    for line in flow(pieces, style.columns(), style.columns()) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// Writes the findings about the whole machine: one dimmed line if all are pass or skip and `--only` was not given.
fn machine(report: &Report, out: &mut dyn Write, style: Style) -> io::Result<()> {
    let entries: Vec<&Entry> = report.checks.iter().filter(|entry| entry.size.is_none()).collect();
    if entries.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let title = format!("{:<TITLE_WIDTH$}", "machine");
    if report.only.is_empty() && entries.iter().all(|entry| entry.outcome <= Outcome::Pass) {
        let passed = match entries.iter().filter(|entry| entry.outcome == Outcome::Pass).count() {
            0 => None,
            passed => Some(format!("{} passed", count(passed, "check"))),
        };
        let room = style.columns().saturating_sub(TITLE_WIDTH);
        let used = passed.as_ref().map_or(0, |passed| columns(passed) + 2);
        let skips = group::skips(&entries, passed.is_none(), room.saturating_sub(used), style);
        let said = passed.into_iter().chain(skips).collect::<Vec<_>>().join("; ");
        let mut indent = style.paint(BOLD, &title).to_string();
        for line in wrap(&said, room, room) {
            writeln!(out, "{indent}{}", style.paint(DIM, &line))?;
            indent = " ".repeat(TITLE_WIDTH);
        }
        return Ok(());
    }
    writeln!(out, "{}", style.paint(BOLD, title.trim_end()))?;
    for one in GROUPS {
        let entries: Vec<_> = report.group(None, one).collect();
        group::lines(report, &entries, one, out, style)?;
    }
    Ok(())
}

fn nothing_to_check(report: &Report, out: &mut dyn Write, style: Style) -> io::Result<()> {
    writeln!(out)?;
    for line in wrap(&nothing::why(report), style.columns(), style.columns()) {
        writeln!(out, "{}", style.paint(BOLD, &line))?;
    }
    for (what, command) in nothing::commands(report) {
        writeln!(out, "{what}\n  {command}")?;
    }
    Ok(())
}

fn verdict(report: &Report, out: &mut dyn Write, style: Style) -> io::Result<()> {
    const INDENT: usize = 18;
    let verdict = report.verdict.to_string();
    write!(out, "verdict  {}", style.paint(verdict_color(report.verdict), &verdict))?;
    let pieces = report.sizes.iter().map(|one| {
        let (size, verdict) = (one.size.to_string(), one.verdict.to_string());
        let painted = style.paint(verdict_color(one.verdict), &verdict);
        (columns(&size) + 1 + columns(&verdict), format!("{size} {painted}"))
    });
    let room = style.columns().saturating_sub(INDENT);
    let mut margin = " ".repeat(INDENT.saturating_sub(9 + columns(&verdict)));
    for line in flow(pieces, room, room) {
        let gap = if line.is_empty() { "" } else { &margin };
        writeln!(out, "{gap}{line}")?;
        margin = " ".repeat(INDENT);
    }
    for one in &report.sizes {
        let Some(entry) = cause::first(report, one.size, one.verdict) else { continue };
        let room = style.columns().saturating_sub(9);
        let summary = shorten(&clean(&entry.summary, style.marks), LONGEST_CAUSE, style.marks);
        for line in wrap(&format!("{}: {summary} ({})", one.size, entry.id), room, room) {
            writeln!(out, "         {line}")?;
        }
    }
    if let Some(only) = only(report, ", ") {
        let note = format!("covers {only} only (--only), not the whole workload");
        let room = style.columns().saturating_sub(9);
        for line in wrap(&note, room, room) {
            writeln!(out, "         {line}")?;
        }
    }
    Ok(())
}
