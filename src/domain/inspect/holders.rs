//! HP105: whether every page in use has an owner, and what to remove if not.

use serde::Serialize;

use super::about::{About, trouble, untold, with_counters};
use super::common::{PAGES_OF_ALL_STEPS, count, needed};
use crate::catalogue::HP105;
use crate::check::{Because, Finding, Outcome};
use crate::inventory::{Holder, Holders, Inventory, LeakedFile, LeakedSegment, Pool};
use crate::request::Request;
use crate::size::{PageSize, human_bytes};

/// How many files and segments the text of a finding names. The evidence has more.
const SHOWN: usize = 5;
/// How many files and processes the evidence has at most.
const KEPT: usize = 1000;

/// Returns the finding of HP105.
pub(super) fn owned(about: &About<'_>) -> Finding {
    let size = about.size;
    let pool = match &about.pool {
        Ok(pool) => *pool,
        Err(none) => return none.finding(HP105, size),
    };
    let (Some(total), Some(free)) = (pool.total.get(), pool.free.get()) else {
        return untold(HP105, size, trouble(&[&pool.total, &pool.free]));
    };
    let used = total.saturating_sub(free);
    let finding = match &about.inventory.holders {
        _ if used == 0 => Finding::pass(HP105, size, "no page in use"),
        None => Finding::skip(HP105, size, "the owners of the pages were not looked up"),
        Some(holders) => {
            let leaks = Leaks::of(holders, size);
            let finding = if leaks.is_empty() {
                traced(holders, size, used)
            } else {
                leaked(about, &leaks, pool, total)
            };
            with_evidence(finding, holders, &leaks, size)
        }
    };
    with_counters(finding, pool)
}

/// Returns whether the report should name the owners of pages: a pool in use has fewer available pages than are needed,
/// or something did not work.
#[must_use]
pub fn are_of_interest(
    inventory: &Inventory,
    request: &Request,
    sizes: &[PageSize],
    found: &[Finding],
) -> bool {
    let is_short = |pool: &Pool| {
        let wanted = needed(request, pool.size).unwrap_or(0).max(PAGES_OF_ALL_STEPS);
        let there = pool.available().zip(pool.growable());
        pool.may_be_in_use() && there.is_none_or(|(available, more)| available.saturating_add(more) < wanted)
    };
    sizes.iter().filter_map(|size| inventory.pool(*size)).any(is_short)
        || found.iter().any(|finding| finding.outcome > Outcome::Warn)
}

/// Files and segments that have pages of one size although no process uses them.
struct Leaks<'a> {
    files: Vec<&'a LeakedFile>,
    segments: Vec<&'a LeakedSegment>,
}

/// A process and its pages of one size, as the evidence shows them.
#[derive(Serialize)]
struct Owner<'a> {
    pid: u32,
    command: &'a str,
    pages: u64,
}

/// Returns the finding for the case that no leaked file or segment was found. It is `skip` if pages have no known owner
/// and the privileges do not suffice to see every owner.
fn traced(holders: &Holders, size: PageSize, used: u64) -> Finding {
    let untraced = holders.untraced.iter().find(|(other, _)| *other == size).map_or(0, |(_, pages)| *pages);
    if untraced == 0 && !holders.is_quick {
        return Finding::pass(HP105, size, "every page in use has an owner");
    }
    if let [first, rest @ ..] = holders.blind_spots.as_slice() {
        let more = if rest.is_empty() { String::new() } else { format!("; and {} more", rest.len()) };
        return Finding::skip(HP105, size, format!("not every owner is visible: {first}{more}"));
    }
    if holders.is_quick {
        return Finding::pass(HP105, size, "no file or SysV segment has pages without a user");
    }
    let summary = format!("no owner was found for {untraced} of {} in use", count(used, "page"));
    let because = Because::new("an owner for every page in use", summary.clone()).remedy(
        "run again; if the pages remain, look for a descriptor in transit through a socket, a hugetlbfs that is not \
         mounted in the namespace of any process, or a SysV segment of another IPC namespace",
    );
    Finding::not_pass(HP105, size, Outcome::Warn, summary, because)
}

fn leaked(about: &About<'_>, leaks: &Leaks<'_>, pool: &Pool, total: u64) -> Finding {
    let pages = leaks.pages();
    let whom = match (leaks.files.is_empty(), leaks.segments.is_empty()) {
        (false, true) => "files that no process has open",
        (true, _) => "SysV segments that no process has attached",
        (false, false) => "files and SysV segments that no process uses",
    };
    let are = if pages == 1 { "is" } else { "are" };
    // Reserved pages that the mount of --dir keeps are not available to others, and are to the workload.
    let kept = about.inventory.kept_for_directory(pool.size);
    let busy = pool.available() == Some(0) && !matches!(pool.growable(), Some(1..)) && kept == 0;
    let (outcome, summary) = if busy {
        (Outcome::Fail, format!("no free page: {pages} of {total} {are} held by {whom}"))
    } else {
        (Outcome::Warn, format!("{pages} of {} {are} held by {whom}", count(total, "page")))
    };
    let because =
        Because::new("an owner for every page in use", leaks.in_words(pool.size)).remedy(leaks.remedy());
    Finding::not_pass(HP105, pool.size, outcome, summary, because)
}

fn with_evidence(finding: Finding, holders: &Holders, leaks: &Leaks<'_>, size: PageSize) -> Finding {
    let pages_of =
        |holder: &Holder| holder.pages.iter().find(|(other, _)| *other == size).map(|(_, pages)| *pages);
    let mut owners: Vec<Owner<'_>> = (holders.processes.iter())
        .filter_map(|holder| {
            Some(Owner { pid: holder.pid, command: &holder.command, pages: pages_of(holder)? })
        })
        .collect();
    owners.truncate(KEPT);
    let files: Vec<_> = leaks.files.iter().take(KEPT).collect();
    let finding = if holders.is_quick { finding } else { finding.with("holders", owners) };
    let finding = if files.is_empty() { finding } else { finding.with("files", files) };
    let finding = if leaks.segments.is_empty() { finding } else { finding.with("segments", &leaks.segments) };
    let Some((_, untraced)) = holders.untraced.iter().find(|(other, _)| *other == size) else {
        return finding;
    };
    finding.with("untraced", untraced).with("blind_spots", &holders.blind_spots)
}

// === impl Leaks ===

impl<'a> Leaks<'a> {
    fn of(holders: &'a Holders, size: PageSize) -> Self {
        Self {
            files: holders.leaked.iter().filter(|file| file.size == size).collect(),
            segments: holders.segments.iter().filter(|segment| segment.size == size).collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.files.is_empty() && self.segments.is_empty()
    }

    fn pages(&self) -> u64 {
        let files = self.files.iter().map(|file| file.pages);
        files.chain(self.segments.iter().map(|segment| segment.pages)).fold(0, u64::saturating_add)
    }

    /// Returns what holds the pages, how much, and for how long:
    /// `/dev/hugepages/rtemap_0, 1 GiB, last used 3 days ago`.
    fn in_words(&self, size: PageSize) -> String {
        let files = self.files.iter().map(|file| file.path.clone());
        let names: Vec<String> =
            files.chain(self.segments.iter().map(|segment| format!("SysV segment {}", segment.id))).collect();
        let mut text = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
        if let Some(more @ 1..) = names.len().checked_sub(SHOWN) {
            text = format!("{text}, ... {more} more");
        }
        text = format!("{text}; {}", human_bytes(self.pages().saturating_mul(size.bytes())));
        // The shortest idle time: every other file has been idle for longer.
        let idle = self.files.iter().map(|file| file.idle_seconds).min().flatten();
        if let Some(idle) = idle { format!("{text}, last used {} ago", human_time(idle)) } else { text }
    }

    /// Returns the commands that remove the files and segments, with their exact names, ready to be copied.
    fn remedy(&self) -> String {
        let mut lines = Vec::new();
        match self.files.as_slice() {
            [] => {}
            [_] => lines.push("remove this file, or start its owner again:".to_owned()),
            files => lines.push(format!("remove these {} files, or start their owner again:", files.len())),
        }
        lines.extend(self.files.iter().take(SHOWN).map(|file| format!("  rm {}", shell_word(&file.path))));
        if let Some(more @ 1..) = self.files.len().checked_sub(SHOWN) {
            lines.push(format!("and {more} more, listed by -o json"));
        }
        match self.segments.as_slice() {
            [] => {}
            [_] => lines.push("remove this SysV segment:".to_owned()),
            segments => lines.push(format!("remove these {} SysV segments:", segments.len())),
        }
        lines.extend(self.segments.iter().take(SHOWN).map(|segment| format!("  ipcrm -m {}", segment.id)));
        if let Some(more @ 1..) = self.segments.len().checked_sub(SHOWN) {
            lines.push(format!("and {more} more, listed by -o json"));
        }
        lines.join("\n")
    }
}

/// Quotes a path so that a shell reads it as one word.
fn shell_word(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if !path.is_empty() && path.chars().all(plain) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

/// Returns a duration in the largest unit of which it has at least one, truncated: `3 days`, `5 hours`.
fn human_time(seconds: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1)];
    let unit = UNITS.iter().find(|(_, length)| seconds >= *length);
    unit.map_or_else(|| count(0, "second"), |(name, length)| count(seconds / length, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::HP701;
    use crate::reading::Reading::{Absent, Known};

    #[test]
    fn holders_are_of_interest_where_a_pool_in_use_is_short() {
        let size: PageSize = "2Mi".parse().unwrap();
        let pool = |total, free, reserved, overcommit| Pool {
            size,
            total: Known(total),
            free: Known(free),
            reserved: Known(reserved),
            surplus: Known(0),
            overcommit: Known(overcommit),
            mempolicy: Known(total),
            numa: Vec::new(),
        };
        let short = |pool, need: &[&str], found: &[Finding]| {
            let need = need.iter().map(|text| text.parse().unwrap()).collect();
            let inventory = Inventory { pools: Known(vec![pool]), ..Inventory::default() };
            are_of_interest(&inventory, &Request { need, ..Request::default() }, &[size], found)
        };
        assert!(!short(pool(8, 6, 0, 0), &[], &[]));
        assert!(!short(pool(8, 8, 8, 0), &[], &[]), "reserved pages have no holder that the kernel names");
        assert!(!short(pool(0, 0, 0, 0), &["2Mi=4"], &[]), "nobody holds a page of an empty pool");
        assert!(short(pool(8, 1, 0, 0), &[], &[]));
        assert!(short(pool(8, 6, 5, 0), &[], &[]));
        assert!(!short(pool(8, 1, 0, 1), &[], &[]), "overcommit has the second one");
        assert!(short(pool(8, 6, 0, 0), &["2Mi=7"], &[]));
        assert!(short(Pool { free: Absent, ..pool(8, 6, 0, 0) }, &[], &[]));
        let because = Because::new("this", "that");
        let failed = Finding::not_pass(HP701, size, Outcome::Fail, "so", because);
        assert!(short(pool(8, 6, 0, 0), &[], &[failed]));
    }
}
