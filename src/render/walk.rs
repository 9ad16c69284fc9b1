//! `hugeprobe walk`: for each step its description, what the kernel documents about it, and the counters before and
//! after, in total and per NUMA node.

use std::io::{self, Write};

use super::style::{BOLD, DIM, Marks, Style, outcome_color};
use super::text::{clean, columns, wrap};
use hugeprobe_domain::check::Outcome;
use hugeprobe_domain::counters::{Counters, Figure, Movement, NodeCounters};
use hugeprobe_domain::pool_id::PoolId;
use hugeprobe_domain::size::{PageSize, human_bytes};

/// The indent of a step's text, in columns.
const INDENT: usize = 4;

/// The pages that a walk uses.
#[derive(Debug, Clone)]
pub struct Walk {
    /// The page size.
    pub size: PageSize,
    /// The number of pages that the steps use.
    pub pages: u64,
    /// The NUMA nodes that have a pool of this size.
    pub nodes: Vec<u32>,
}

/// A row of the table: a counter before and after a step.
struct Row {
    name: String,
    before: Cell,
    after: Cell,
    /// The documented value after the step; [`Cell::Nothing`] if there is none.
    expected: Cell,
}

/// One cell: pages, the free and total pages of a NUMA node, or bytes.
#[derive(PartialEq, Eq)]
enum Cell {
    Nothing,
    One(u64),
    FreeOfTotal(u64, u64),
    Bytes(u64),
}

/// Writes the title, and a command that shows the counters in another terminal.
///
/// The command lists every path in full, because the same directories have files that cannot be read.
///
/// # Errors
///
/// Fails if writing to `out` fails.
pub fn opening(walk: &Walk, out: &mut dyn Write, style: Style) -> io::Result<()> {
    let pages = if walk.pages == 1 { "page" } else { "pages" };
    let title = format!("{}: {} {pages}, step by step", walk.size.resource_name(), walk.pages);
    writeln!(out, "{}", style.paint(BOLD, &title))?;
    writeln!(out)?;
    writeln!(out, "In another terminal, at any step:")?;
    let pool = PoolId::machine(walk.size);
    let mut paths: Vec<String> = ["nr_hugepages", "free_hugepages", "resv_hugepages", "surplus_hugepages"]
        .map(|name| pool.file(name))
        .into();
    for node in &walk.nodes {
        let pool = PoolId::node(walk.size, *node);
        paths.extend(["nr_hugepages", "free_hugepages"].map(|name| pool.file(name)));
    }
    write!(out, "  grep ''")?;
    for path in paths {
        write!(out, " \\\n    {path}")?;
    }
    writeln!(out)?;
    Ok(())
}

/// Writes step `number`, counted from 1: the counters before and after it, and `figures` below them.
///
/// A number that changed has the difference beside it. A counter that does not have the expected value is marked and
/// followed by that value.
///
/// # Errors
///
/// Fails if writing to `out` fails.
pub fn step(
    number: usize,
    movement: &Movement,
    figures: &[Figure],
    out: &mut dyn Write,
    style: Style,
) -> io::Result<()> {
    let room = style.columns().saturating_sub(INDENT);
    writeln!(out)?;
    let mut margin = style.paint(BOLD, &format!("{number:>2}  ")).to_string();
    for line in wrap(&clean(&movement.step, style.marks), room, room) {
        writeln!(out, "{margin}{}", style.paint(BOLD, &line))?;
        margin = " ".repeat(INDENT);
    }
    if !movement.documented.is_empty() {
        for line in wrap(&clean(&movement.documented, style.marks), room, room) {
            writeln!(out, "{margin}{}", style.paint(DIM, &line))?;
        }
    }
    writeln!(out)?;
    counters(&rows(movement, figures), out, style)
}

/// Writes the prompt to press Enter before the next step.
///
/// # Errors
///
/// Fails if writing to `out` fails.
pub fn pause(out: &mut dyn Write) -> io::Result<()> {
    write!(out, "\n{:INDENT$}press Enter to continue ", "")?;
    out.flush()
}

/// Writes that two processes share the pages in the following steps. The process named `first` touches them first.
///
/// # Errors
///
/// Fails if writing to `out` fails.
pub fn sharing(first: &str, out: &mut dyn Write, style: Style) -> io::Result<()> {
    let title = format!("Two processes share the pages over vhost-user: the {first} touches them first");
    writeln!(out, "\n{}", style.paint(BOLD, &title))
}

/// Writes the pid of a role's process, and the command that shows its huge pages.
///
/// # Errors
///
/// Fails if writing to `out` fails.
pub fn process(role: &str, pid: u32, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{:INDENT$}{role:<8} is process {pid}: grep Hugetlb /proc/{pid}/smaps_rollup", "")
}

/// Writes how the walk ended.
///
/// `steps` were done. In `astray` of them the counters did not move as documented. A walk that was `stopped` before its
/// end is never shown as a pass.
///
/// # Errors
///
/// Fails if writing to `out` fails.
pub fn closing(
    steps: usize,
    astray: usize,
    stopped: bool,
    out: &mut dyn Write,
    style: Style,
) -> io::Result<()> {
    let (outcome, text) = match (steps, astray) {
        (0, _) => (Outcome::Unknown, "no step ran".to_owned()),
        (1, _) if stopped => (Outcome::Unknown, "stopped after 1 step".to_owned()),
        (steps, _) if stopped => (Outcome::Unknown, format!("stopped after {steps} steps")),
        (steps, 0) => (Outcome::Pass, format!("{steps} steps, the counters moved as documented")),
        (steps, astray) => (
            Outcome::Unknown,
            format!(
                "{steps} steps, in {astray} of them the counters did not move as documented: \
                 another process may use this pool; run again"
            ),
        ),
    };
    let mark = style.marks.of(outcome);
    writeln!(out, "\n{} {text}", style.paint(outcome_color(outcome), mark))
}

fn counters(rows: &[Row], out: &mut dyn Write, style: Style) -> io::Result<()> {
    let widest =
        |cells: &mut dyn Iterator<Item = usize>, title: &str| cells.max().unwrap_or(0).max(title.len());
    let name = widest(&mut rows.iter().map(|row| columns(&row.name)), "");
    let before = widest(&mut rows.iter().map(|row| columns(&row.before.to_string())), "before");
    let after = widest(&mut rows.iter().map(|row| columns(&row.after.to_string())), "after");
    let margin = " ".repeat(INDENT);
    let title = format!("{:<name$}   {:>before$}   {:>after$}", "", "before", "after");
    writeln!(out, "{margin}{}", style.paint(DIM, &title))?;
    for row in rows {
        let cells = format!(
            "{:<name$}   {:>before$}   {:>after$}",
            row.name,
            row.before.to_string(),
            row.after.to_string()
        );
        let change = row.change();
        let ansi = if change.is_empty() { anstyle::Style::new() } else { BOLD };
        write!(out, "{margin}{}", style.paint(ansi, &cells))?;
        if !change.is_empty() {
            write!(out, "   {change}")?;
        }
        if !row.is_expected() {
            let wrong = format!("{} expected {}", style.marks.of(Outcome::Fail), row.expected);
            write!(out, "   {}", style.paint(outcome_color(Outcome::Fail), &wrong))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn rows(movement: &Movement, figures: &[Figure]) -> Vec<Row> {
    let Movement { before, expected, after, .. } = movement;
    let total = |name: &str, get: fn(&Counters) -> u64| Row {
        name: name.to_owned(),
        before: Cell::One(get(before)),
        after: Cell::One(get(after)),
        expected: Cell::One(get(expected)),
    };
    let mut rows = vec![
        total("total", |counters| counters.total),
        total("free", |counters| counters.free),
        total("reserved", |counters| counters.reserved),
        total("surplus", |counters| counters.surplus),
    ];
    let mut nodes: Vec<u32> = before.numa.iter().chain(&after.numa).map(|node| node.node).collect();
    nodes.sort_unstable();
    nodes.dedup();
    rows.extend(nodes.into_iter().map(|node| Row {
        name: format!("node{node} free/total"),
        before: Cell::of(&before.numa, node),
        after: Cell::of(&after.numa, node),
        expected: Cell::of(&expected.numa, node),
    }));
    rows.extend(figures.iter().map(|Figure { name, before, after }| {
        let [before, after] = [before, after].map(|bytes| bytes.map_or(Cell::Nothing, Cell::Bytes));
        Row { name: clean(name, Marks::Unicode), before, after, expected: Cell::Nothing }
    }));
    rows
}

// === impl Row, Cell ===

impl Row {
    fn is_expected(&self) -> bool {
        self.expected == Cell::Nothing || self.expected == self.after
    }

    /// Returns the difference: `+1`, or `free -1 total +2`. Returns an empty string if nothing changed.
    fn change(&self) -> String {
        let moved = |before: u64, after: u64| i128::from(after) - i128::from(before);
        match (&self.before, &self.after) {
            (before, after) if before == after => String::new(),
            (Cell::One(before), Cell::One(after)) => format!("{:+}", moved(*before, *after)),
            (Cell::FreeOfTotal(free, total), Cell::FreeOfTotal(free_after, total_after)) => {
                let parts = [("free", moved(*free, *free_after)), ("total", moved(*total, *total_after))];
                let parts: Vec<_> = parts
                    .iter()
                    .filter(|(_, moved)| *moved != 0)
                    .map(|(name, moved)| format!("{name} {moved:+}"))
                    .collect();
                parts.join(" ")
            }
            (Cell::Bytes(before), Cell::Bytes(after)) => {
                let sign = if after < before { '-' } else { '+' };
                format!("{sign}{}", human_bytes(after.abs_diff(*before)))
            }
            _ => "changed".to_owned(),
        }
    }
}

impl Cell {
    fn of(nodes: &[NodeCounters], number: u32) -> Self {
        nodes
            .iter()
            .find(|node| node.node == number)
            .map_or(Self::Nothing, |node| Self::FreeOfTotal(node.free, node.total))
    }
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("-"),
            Self::One(number) => write!(f, "{number}"),
            Self::FreeOfTotal(free, total) => write!(f, "{free}/{total}"),
            Self::Bytes(bytes) => f.write_str(&human_bytes(*bytes)),
        }
    }
}

#[cfg(test)]
mod tests;
