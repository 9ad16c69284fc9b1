//! The first line of a page size's block: the counters of the pool, in total and per NUMA node.

use std::io::{self, Write};

use super::super::style::{BOLD, Style};
use super::super::text::{columns, flow, wrap};
use super::TITLE_WIDTH;
use hugeprobe_domain::inventory::{NumaPool, Pool};
use hugeprobe_domain::reading::Reading;
use hugeprobe_domain::size::PageSize;

/// The width of the totals, before the NUMA nodes, in columns.
const TOTALS_WIDTH: usize = 35;
const GAP: &str = "   ";

/// Writes `hugepages-2Mi   512 pages, 508 free, 0 reserved       node0 254/256   node1 254/256`: free/total per node.
pub(super) fn line(size: PageSize, pool: Option<&Pool>, out: &mut dyn Write, style: Style) -> io::Result<()> {
    let title = size.resource_name();
    let width = TITLE_WIDTH.max(columns(&title) + GAP.len());
    let room = style.columns().saturating_sub(width);
    let totals = pool.map_or_else(|| "no counters".to_owned(), totals);
    let mut lines = wrap(&totals, room, room);
    let nodes =
        pool.map_or(&[][..], |pool| shown_nodes(pool)).iter().map(node).map(|node| (columns(&node), node));
    let used = lines.last().map_or(0, |last| columns(last)).max(TOTALS_WIDTH) + GAP.len();
    let mut beside = flow(nodes, room.saturating_sub(used), room).into_iter();
    if let (Some(last), Some(first)) = (lines.last_mut(), beside.next().filter(|first| !first.is_empty())) {
        *last = format!("{last:<TOTALS_WIDTH$}{GAP}{first}");
    }
    lines.extend(beside);
    let mut margin = style.paint(BOLD, &format!("{title:<width$}")).to_string();
    for line in lines {
        writeln!(out, "{margin}{line}")?;
        margin = " ".repeat(width);
    }
    Ok(())
}

fn totals(pool: &Pool) -> String {
    let nothing_free = pool.free == Reading::Known(0);
    let unit = if pool.total == Reading::Known(1) { "page" } else { "pages" };
    let mut parts = vec![format!("{} {unit}", number(&pool.total)), format!("{} free", number(&pool.free))];
    if !(nothing_free && pool.reserved == Reading::Known(0)) {
        parts.push(format!("{} reserved", number(&pool.reserved)));
    }
    for (counter, name) in [(&pool.surplus, "surplus"), (&pool.overcommit, "overcommit")] {
        if !matches!(counter, Reading::Known(0) | Reading::Absent) {
            parts.push(format!("{} {name}", number(counter)));
        }
    }
    parts.join(", ")
}

/// Returns the NUMA nodes; none if there is only one and its counters equal the totals.
fn shown_nodes(pool: &Pool) -> &[NumaPool] {
    match pool.numa.as_slice() {
        [only] if only.total == pool.total && only.free == pool.free => &[],
        nodes => nodes,
    }
}

fn node(node: &NumaPool) -> String {
    format!("node{} {}/{}", node.node, number(&node.free), number(&node.total))
}

fn number(reading: &Reading<u64>) -> String {
    reading.get().map_or_else(|| "?".to_owned(), |number| number.to_string())
}
