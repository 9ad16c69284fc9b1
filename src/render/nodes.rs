//! `hugeprobe nodes`: one line for each node of a cluster. The reasons follow below a node that does not pass.
//!
//! The short form is for grep and awk. Its words and their order are stable, and new fields are added only at the end
//! of a line:
//!
//! ```text
//! all verdict unknown
//! node-a pass 2Mi=pass 1Gi=pass checked=2026-11-23T05:00:00Z valid=2026-11-23T06:12:00Z
//! node-b stale 2Mi=unknown checked=2026-11-20T05:00:00Z valid=2026-11-20T06:03:00Z
//! node-c missing checked=- valid=-
//! ```

use std::io::{self, Write};

use jiff::Timestamp;

use super::json;
use super::style::{BOLD, DIM, Style, verdict_color};
use super::text::{clean, wrap};
use hugeprobe_domain::check::Verdict;
use hugeprobe_domain::published::{Cause, Fleet, FleetNode};
use hugeprobe_domain::text::count;

#[cfg(feature = "kubectl")]
mod each;
mod table;

#[cfg(feature = "kubectl")]
pub use each::Each;
pub use table::Table;

/// The number of nodes that are named for a cause.
const NAMED: usize = 3;

/// What a table shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableView {
    /// The line of column names and the line of totals.
    pub headers: bool,
    /// The pages of each NUMA node, the end of the verdict's validity, and the agent.
    pub is_wide: bool,
}

/// What is written of the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// A line for each node, and below it why it does not pass.
    Table(TableView),
    /// A line for each cause, with the number of nodes and some of their names.
    Causes {
        /// With the line of column names.
        headers: bool,
    },
    /// A line for each node, for grep and awk.
    Short,
    /// Everything, for programs.
    Json,
    /// The names alone, as `kubectl get nodes -o name` writes them.
    Name,
}

// === impl TableView ===

impl TableView {
    /// The table with or without its first and last line.
    #[must_use]
    pub const fn of(headers: bool) -> Self {
        Self { headers, is_wide: false }
    }
}

/// Writes `fleet`.
///
/// # Errors
///
/// Fails if writing to `out` fails.
pub fn render(fleet: &Fleet, view: View, out: &mut dyn Write, style: Style) -> io::Result<()> {
    match view {
        View::Table(view) => table(fleet, view, out, style),
        View::Causes { headers } => causes(&fleet.causes(), headers, out, style),
        View::Short => short(fleet, out),
        View::Json => json::value(fleet, out),
        View::Name => fleet.nodes.iter().try_for_each(|node| name(node, out)),
    }
}

fn name(node: &FleetNode, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "node/{}", clean(&node.name, super::Marks::Unicode))
}

fn causes(causes: &[Cause<'_>], headers: bool, out: &mut dyn Write, style: Style) -> io::Result<()> {
    if causes.is_empty() {
        return writeln!(out, "no node has a cause for which it does not pass");
    }
    if headers {
        writeln!(out, "{}", style.paint(BOLD, "COUNT  CAUSE"))?;
    }
    let room = style.columns().saturating_sub(7);
    for cause in causes {
        let id = match cause.check {
            Some((id, Some(size))) => format!("{id} {size} "),
            Some((id, None)) => format!("{id} "),
            None => String::new(),
        };
        for (index, text) in wrap(&clean(&(id + &cause.text), style.marks), room, room).iter().enumerate() {
            let count = if index == 0 { cause.nodes.len().to_string() } else { String::new() };
            writeln!(out, "{count:>5}  {text}")?;
        }
        let mut named = cause.nodes.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
        if let Some(more) = cause.nodes.len().checked_sub(NAMED).filter(|more| *more > 0) {
            named += &format!(" and {more} more");
        }
        writeln!(out, "       {}", style.paint(DIM, &clean(&named, style.marks)))?;
    }
    Ok(())
}

fn table(fleet: &Fleet, view: TableView, out: &mut dyn Write, style: Style) -> io::Result<()> {
    if fleet.nodes.is_empty() {
        return writeln!(out, "no node matches");
    }
    let mut table = Table::new(view, style);
    table.fit(fleet);
    table.write(fleet, out)?;
    if !view.headers {
        return Ok(());
    }
    let counts: Vec<_> = fleet.counts().into_iter().map(|(word, count)| format!("{count} {word}")).collect();
    let verdict = fleet.verdict().to_string();
    writeln!(
        out,
        "\nverdict  {}     {}: {}",
        style.paint(verdict_color(fleet.verdict()), &verdict),
        count(fleet.nodes.len(), "node"),
        counts.join(", ")
    )
}

/// Writes why the verdict of a node does not count; if it counts, writes what did not pass.
fn reasons(node: &FleetNode, out: &mut dyn Write, style: Style) -> io::Result<()> {
    let published = &node.published;
    let mut reasons = Vec::new();
    if let Some(why) = node.state.why() {
        reasons.push(why);
    } else {
        for ((id, size), text) in &published.checks {
            reasons.push(match size {
                Some(size) => format!("{size} {id} {text}"),
                None => format!("{id} {text}"),
            });
        }
        if reasons.is_empty() && !matches!(node.state.verdict(), Verdict::Pass | Verdict::None) {
            reasons.push(published.summary.clone());
        }
        if !published.probe.is_empty() {
            reasons.push(format!("probe: {}", published.probe));
        }
    }
    let room = style.columns().saturating_sub(4);
    for reason in reasons.iter().filter(|reason| !reason.is_empty()) {
        for (index, text) in wrap(&clean(reason, style.marks), room, room).iter().enumerate() {
            let margin = if index == 0 { "  " } else { "    " };
            writeln!(out, "{margin}{}", style.paint(DIM, text))?;
        }
    }
    Ok(())
}

fn short(fleet: &Fleet, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "all verdict {}", fleet.verdict())?;
    fleet.nodes.iter().try_for_each(|node| short_line(node, out))
}

fn short_line(node: &FleetNode, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "{} {}", clean(&node.name, super::Marks::Unicode), node.state.word())?;
    for size in node.published.sizes.keys() {
        let verdict = node.size(*size).unwrap_or(Verdict::Unknown);
        write!(out, " {size}={verdict}")?;
    }
    let time = |at: Option<Timestamp>| at.map_or("-".to_owned(), |at| at.to_string());
    let published = &node.published;
    writeln!(out, " checked={} valid={}", time(published.checked_at), time(published.valid_until))
}

/// Returns the time since `at` in the largest unit that gives at least 2, as kubectl does.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(at.as_second());
    match seconds {
        ..0 => "in the future".to_owned(),
        0..120 => format!("{seconds} s ago"),
        120..7_200 => format!("{} min ago", seconds / 60),
        7_200..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests;
