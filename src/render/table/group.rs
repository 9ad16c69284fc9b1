//! The lines of one group of checks: one line for all that passed, one for each finding, one for all that was skipped.

use std::cmp::Reverse;
use std::io::{self, Write};

use super::super::style::{BOLD, DIM, Detail, Style, outcome_color};
use super::super::text::{adds, clean, columns, id_list, shorten, wrap};
use super::super::{cause, holders};
use hugeprobe_domain::catalogue::{
    self, Group, HP101, HP102, HP103, HP104, HP107, HP109, HP509, HP701, HP702,
};
use hugeprobe_domain::check::{CheckId, Outcome};
use hugeprobe_domain::report::{Entry, Report};
use hugeprobe_domain::text::count;

/// The width of a group's name, including the space after it, in columns.
const NAME_WIDTH: usize = 13;
/// The longest list of ids that is shown at the right edge (`HP601 to HP604`), in columns. A longer list follows the
/// text.
const LONGEST_IDS: usize = 16;
/// The maximum length of a summary, in characters.
const LONGEST_SUMMARY: usize = 300;
/// The maximum length of an expectation, an observation or a line of a remedy, in characters.
const LONGEST_DETAIL: usize = 600;
/// The maximum number of lines of a remedy.
const MOST_REMEDY_LINES: usize = 12;

/// Checks whose facts are already in the pool's line above. They are shown only if the group has nothing else.
const REPEATS_COUNTERS: [CheckId; 2] = [HP101, HP102];
/// Checks that answer an option. They are shown first, because the user asked for them.
const ANSWERS: [CheckId; 3] = [HP103, HP109, HP509];
/// Checks that run only with an option or on some machines. If they are skipped, that is expected.
const NO_NEWS: [CheckId; 7] = [HP103, HP104, HP107, HP109, HP509, HP701, HP702];

/// Groups whose checks are consecutive steps. What passed is shown even if a step failed, because it shows how far the
/// run came.
const STEPS: [u16; 2] = [5, 6];
/// The group whose passes are measurements. Each is shown on a separate line.
const FIGURES: u16 = 7;

/// Findings with the same outcome and summary, shown on one line.
struct Fold<'a> {
    ids: Vec<CheckId>,
    first: &'a Entry,
    /// Whether all findings have the same expectation and the same observation.
    same_facts: bool,
    same_remedy: bool,
    /// The failure that this finding follows from, where the facts and the remedy are shown.
    cause: Option<CheckId>,
}

/// Writes why a verdict is unknown if no finding explains it: the mandatory checks `ids` have no passing result.
pub(super) fn unheard(ids: &[CheckId], out: &mut dyn Write, style: Style) -> io::Result<()> {
    let text =
        if ids.is_empty() { "no check reported a result" } else { "mandatory for a pass, but did not run" };
    marked(Outcome::Unknown, "verdict", text, &id_list(ids), out, style)
}

/// Writes the lines of `group`. `entries` are those of the group about one size or about the machine; if there are
/// none, nothing is written.
pub(super) fn lines(
    report: &Report,
    entries: &[&Entry],
    group: &Group,
    out: &mut dyn Write,
    style: Style,
) -> io::Result<()> {
    let mut shown = false;
    let passes: Vec<_> = entries.iter().filter(|entry| entry.outcome == Outcome::Pass).copied().collect();
    let cause_of = |entry: &Entry| {
        if style.detail == Detail::Verbose { None } else { cause::of(report, entry) }
    };
    let (blocked, others): (Vec<_>, Vec<_>) = (entries.iter().copied())
        .partition(|entry| entry.outcome != Outcome::Fail && cause_of(entry).is_some());
    let findings = folds(&others, &cause_of);
    if group.digit == FIGURES {
        for entry in &passes {
            let text = shown_summary(entry, style);
            marked(Outcome::Pass, group.name, &text, &entry.id.to_string(), out, style)?;
            shown = true;
        }
    } else if !passes.is_empty() && (findings.is_empty() || STEPS.contains(&group.digit)) {
        marked(Outcome::Pass, group.name, &passed(&passes, style), "", out, style)?;
        shown = true;
    }
    for fold in &findings {
        let text = shown_summary(fold.first, style);
        marked(fold.first.outcome, group.name, &text, &id_list(&fold.ids), out, style)?;
        details(report, fold, out, style)?;
        shown = true;
    }
    if let Some(cause) = blocked.iter().find_map(|entry| cause_of(entry)) {
        let ids: Vec<_> = blocked.iter().map(|entry| entry.id).collect();
        let text = format!("blocked by {cause}: {} ({})", count(ids.len(), "check"), id_list(&ids));
        marked(Outcome::Unknown, group.name, &text, "", out, style)?;
        shown = true;
    }
    if let Some(text) = skips(entries, !shown || style.detail == Detail::Verbose, room(style), style) {
        marked(Outcome::Skip, if shown { "" } else { group.name }, &text, "", out, style)?;
    }
    Ok(())
}

/// Returns "skipped: …" with reasons and ids, in `room` columns if they fit; `None` if there is nothing to show.
///
/// Expected skips ([`NO_NEWS`]) are included only if `with_all` is set. Mandatory checks are always included.
pub(super) fn skips(entries: &[&Entry], with_all: bool, room: usize, style: Style) -> Option<String> {
    let mut reasons: Vec<(&str, Vec<CheckId>)> = Vec::new();
    for entry in entries.iter().filter(|entry| entry.outcome == Outcome::Skip) {
        if !with_all && NO_NEWS.contains(&entry.id) {
            continue;
        }
        match reasons.iter_mut().find(|(reason, _)| *reason == entry.summary) {
            Some((_, ids)) => ids.push(entry.id),
            None => reasons.push((&entry.summary, vec![entry.id])),
        }
    }
    let is_mandatory =
        |ids: &[CheckId]| ids.iter().any(|id| catalogue::find(*id).is_some_and(|check| check.mandatory));
    reasons.sort_by_key(|(_, ids)| Reverse(is_mandatory(ids)));
    let mut text = String::new();
    let mut left_out = 0;
    for (reason, ids) in &reasons {
        let reason = shorten(&clean(reason, style.marks), LONGEST_SUMMARY, style.marks);
        let one = format!("{reason} ({})", id_list(ids));
        if text.is_empty() {
            text = format!("skipped: {one}");
        } else if is_mandatory(ids)
            || style.detail == Detail::Verbose
            || columns(&text) + 2 + columns(&one) <= room
        {
            text = format!("{text}; {one}");
        } else {
            left_out += ids.len();
        }
    }
    if left_out > 0 {
        text = format!("{text}; and {left_out} more (-v)");
    }
    (!text.is_empty()).then_some(text)
}

/// Returns the summaries of what passed, as many as fit on a line.
fn passed(passes: &[&Entry], style: Style) -> String {
    let (repeats, mut news): (Vec<_>, Vec<_>) =
        passes.iter().copied().partition(|entry| REPEATS_COUNTERS.contains(&entry.id));
    news.sort_by_key(|entry| !ANSWERS.contains(&entry.id));
    let telling = if news.is_empty() { &repeats } else { &news };
    let mut summaries: Vec<String> = Vec::new();
    for entry in telling {
        let summary = shown_summary(entry, style);
        if !summary.is_empty() && !summaries.contains(&summary) {
            summaries.push(summary);
        }
    }
    if summaries.is_empty() {
        return "passed".to_owned();
    }
    let mut text = String::new();
    let total = summaries.len();
    for (index, summary) in summaries.iter().enumerate() {
        let more = format!(", and {} more", total - index);
        let reserve = if index + 1 == total { 0 } else { columns(&more) };
        if text.is_empty() {
            text.clone_from(summary);
        } else if columns(&text) + 2 + columns(summary) + reserve <= room(style) {
            text = format!("{text}, {summary}");
        } else {
            return text + &more;
        }
    }
    text
}

/// Returns the findings that are neither pass nor skip, worst first, with equal findings combined.
///
/// Unknown findings with the same summary are combined even if their facts and remedies differ. Other findings are
/// combined only if their facts and remedies are equal, so that no failure loses them.
fn folds<'a>(entries: &[&'a Entry], cause_of: &dyn Fn(&Entry) -> Option<CheckId>) -> Vec<Fold<'a>> {
    let mut findings: Vec<&Entry> =
        entries.iter().filter(|entry| entry.outcome > Outcome::Pass).copied().collect();
    findings.sort_by_key(|entry| (Reverse(entry.outcome), entry.id));
    let mut folds: Vec<Fold<'a>> = Vec::new();
    for entry in findings {
        let facts =
            |fold: &Fold<'_>| (&fold.first.expected, &fold.first.seen) == (&entry.expected, &entry.seen);
        let remedy = |fold: &Fold<'_>| fold.first.remedy == entry.remedy;
        let same = folds.iter_mut().find(|fold| {
            (fold.first.outcome, &fold.first.summary) == (entry.outcome, &entry.summary)
                && (entry.outcome == Outcome::Unknown || (facts(fold) && remedy(fold)))
        });
        match same {
            Some(fold) => {
                fold.ids.push(entry.id);
                fold.same_facts &= facts(fold);
                fold.same_remedy &= remedy(fold);
            }
            None => {
                let cause = cause_of(entry);
                folds.push(Fold {
                    ids: vec![entry.id],
                    first: entry,
                    same_facts: true,
                    same_remedy: true,
                    cause,
                });
            }
        }
    }
    folds
}

/// Writes the expectation and the observation if the summary does not contain them, the owners of the pages, the
/// remedy, and the `hugeprobe explain` command.
fn details(report: &Report, fold: &Fold<'_>, out: &mut dyn Write, style: Style) -> io::Result<()> {
    let entry = fold.first;
    let room = room(style);
    let shown = |text: &str| shorten(&clean(text, style.marks), LONGEST_DETAIL, style.marks);
    let mut lines = Vec::new();
    if let Some(cause) = fold.cause {
        let text = format!("follows from {cause}");
        writeln!(out, "{}{}", " ".repeat(indent(style)), style.paint(DIM, &text))?;
        return Ok(());
    }
    if fold.same_facts {
        let expected = adds(&entry.expected, &entry.summary).then(|| shown(&entry.expected));
        let seen = adds(&entry.seen, &entry.summary).then(|| shown(&entry.seen));
        let facts = match (expected, seen) {
            (Some(expected), Some(seen)) => format!("expected: {expected}; actual: {seen}"),
            (Some(expected), None) => format!("expected: {expected}"),
            (None, Some(seen)) => seen,
            (None, None) => String::new(),
        };
        if !facts.is_empty() {
            lines.extend(wrap(&facts, room, room));
        }
    }
    if let Some(text) = holders::of(report, entry) {
        lines.extend(wrap(&shown(&text), room, room));
    }
    if fold.same_remedy && !entry.remedy.is_empty() {
        let all = entry.remedy.lines().count();
        for line in entry.remedy.lines().take(MOST_REMEDY_LINES) {
            let line = shown(line);
            // An indented line is a command. It is not wrapped, so that it can be copied.
            if line.starts_with(' ') { lines.push(line) } else { lines.extend(wrap(&line, room, room)) }
        }
        if all > MOST_REMEDY_LINES {
            let more = format!("and {} more lines, see -o json", all - MOST_REMEDY_LINES);
            lines.extend(wrap(&more, room, room));
        }
    }
    let hint = format!("hugeprobe explain {}", entry.id);
    let margin = " ".repeat(indent(style));
    let last = lines.last().map_or(0, |line| columns(line));
    let has_hint = entry.outcome > Outcome::Warn;
    let beside = has_hint && last > 0 && last + 2 + columns(&hint) <= room;
    let count = lines.len();
    for (index, line) in lines.iter().enumerate() {
        write!(out, "{margin}{line}")?;
        if beside && index + 1 == count {
            write!(out, "{}{}", " ".repeat(gap(last, &hint, style)), style.paint(DIM, &hint))?;
        }
        writeln!(out)?;
    }
    if has_hint && !beside {
        let gap = " ".repeat(gap(0, &hint, style));
        writeln!(out, "{margin}{gap}{}", style.paint(DIM, &hint))?;
    }
    Ok(())
}

/// Writes one line with its mark, wrapped if necessary. `id` holds one id or several, and is written at the right edge
/// of the first line.
fn marked(
    outcome: Outcome,
    name: &str,
    text: &str,
    id: &str,
    out: &mut dyn Write,
    style: Style,
) -> io::Result<()> {
    let room = room(style);
    let (text, id) =
        if columns(id) > LONGEST_IDS { (format!("{text} ({id})"), "") } else { (text.to_owned(), id) };
    let beside = if id.is_empty() { 0 } else { columns(id) + 2 };
    let mut lines = wrap(&text, room.saturating_sub(beside), room).into_iter();
    let first = lines.next().unwrap_or_default();
    let ansi = match outcome {
        Outcome::Skip => DIM,
        Outcome::Fail => BOLD,
        Outcome::Pass | Outcome::Warn | Outcome::Unknown => anstyle::Style::new(),
    };
    write!(
        out,
        "  {} {}{}",
        style.paint(outcome_color(outcome), style.marks.of(outcome)),
        style.paint(ansi, &format!("{name:<NAME_WIDTH$}")),
        style.paint(ansi, &first)
    )?;
    if !id.is_empty() {
        write!(out, "{}{}", " ".repeat(gap(columns(&first), id, style)), style.paint(DIM, id))?;
    }
    writeln!(out)?;
    for line in lines {
        writeln!(out, "{}{}", " ".repeat(indent(style)), style.paint(ansi, &line))?;
    }
    Ok(())
}

fn shown_summary(entry: &Entry, style: Style) -> String {
    shorten(&clean(&entry.summary, style.marks), LONGEST_SUMMARY, style.marks)
}

/// Returns the number of columns before a group's text: margin, mark and name.
fn indent(style: Style) -> usize {
    2 + style.marks.width() + 1 + NAME_WIDTH
}

/// Returns the number of columns between a text of `used` columns and `right`, which ends at the right edge.
///
/// The right edge is that of a paragraph, because the edge of a wide terminal is too far away to read across. Only a
/// long text goes beyond it.
fn gap(used: usize, right: &str, style: Style) -> usize {
    let edge = style.paragraph_columns().saturating_sub(indent(style));
    edge.saturating_sub(used + columns(right)).max(if used == 0 { 0 } else { 2 })
}

/// Returns the number of columns for a group's text.
fn room(style: Style) -> usize {
    style.columns().saturating_sub(indent(style))
}
