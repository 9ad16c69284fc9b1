//! Who holds which pages, each page counted once however many processes share it; and what could not be seen.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::FileId;
use super::smaps::Area;
use crate::domain::inventory::Holder;
use crate::domain::size::PageSize;

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    tallies: Tallies,
    holders: Vec<Holder>,
    blind: BTreeSet<String>,
    /// What could not be seen, of how many things, and the first of them.
    blind_about: BTreeMap<&'static str, (u64, String)>,
}

/// By file, private pages of its mappings apart.
pub(super) type Tallies = HashMap<(FileId, bool), Tally>;

/// The pages of one file, or the private pages of its mappings.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    size: Option<PageSize>,
    /// Pages allocated to the file, where it could be asked.
    allocated: u64,
    /// Pages that one mapping alone has: they add up.
    exclusive: u64,
    /// Pages that others have too: the same ones, as far as one can tell.
    shared: u64,
}

// === impl Ledger ===

impl Ledger {
    /// Notes something that could not be seen.
    pub(super) fn blind(&mut self, why: String) {
        self.blind.insert(why);
    }

    /// Notes that `what` ("descriptors of") could not be seen of one process or file.
    pub(super) fn blind_about(&mut self, what: &'static str, whose: &str) {
        let (count, first) = self.blind_about.entry(what).or_default();
        *count += 1;
        if *count == 1 {
            whose.clone_into(first);
        }
    }

    /// Whether nothing was left unseen so far.
    pub(super) fn saw_all(&self) -> bool {
        self.blind.is_empty() && self.blind_about.is_empty()
    }

    /// Enters one process with what it holds; one that holds nothing still has its files in use.
    pub(super) fn enter(&mut self, pid: u32, command: &str, held: Tallies) {
        let mut pages: BTreeMap<PageSize, u64> = BTreeMap::new();
        for (key, tally) in held {
            if let (Some(size), 1..) = (tally.size, tally.pages()) {
                let sum = pages.entry(size).or_default();
                *sum = sum.saturating_add(tally.pages());
            }
            self.tallies.entry(key).or_default().join(&tally);
        }
        if !pages.is_empty() {
            self.holders.push(Holder {
                pid,
                command: command.to_owned(),
                pages: pages.into_iter().collect(),
            });
        }
    }

    /// Enters a file as used by somebody, with the pages allocated to it.
    pub(super) fn enter_file(&mut self, file: FileId, size: PageSize, pages: u64) {
        self.tallies.entry((file, false)).or_default().file(size, pages);
    }

    /// Enters a file as used by somebody, of whatever kind it is.
    pub(super) fn note(&mut self, file: FileId) {
        self.tallies.entry((file, false)).or_default();
    }

    /// Whether some process has the file open or mapped.
    pub(super) fn is_in_use(&self, file: FileId) -> bool {
        self.tallies.contains_key(&(file, false)) || self.tallies.contains_key(&(file, true))
    }

    /// Pages of one size that somebody holds.
    pub(super) fn pages(&self, size: PageSize) -> u64 {
        let of_size = self.tallies.values().filter(|tally| tally.size == Some(size));
        of_size.map(Tally::pages).fold(0, u64::saturating_add)
    }

    /// The processes by pid, and the blind spots.
    pub(super) fn into_parts(self) -> (Vec<Holder>, Vec<String>) {
        let mut holders = self.holders;
        holders.sort_unstable_by_key(|holder| holder.pid);
        let about = self.blind_about.into_iter().map(|(what, (count, first))| match count {
            1 => format!("the {what} {first} could not be seen"),
            _ => format!("the {what} {first} and {} more could not be seen", count - 1),
        });
        (holders, self.blind.into_iter().chain(about).collect())
    }
}

// === impl Tally ===

impl Tally {
    /// Adds one mapping.
    pub(super) fn area(&mut self, area: &Area) {
        self.size = Some(area.size);
        self.exclusive = self.exclusive.saturating_add(area.exclusive);
        self.shared = self.shared.max(area.shared);
    }

    /// Adds what the file itself says.
    pub(super) fn file(&mut self, size: PageSize, pages: u64) {
        self.size = Some(size);
        self.allocated = self.allocated.max(pages);
    }

    fn join(&mut self, other: &Self) {
        self.size = self.size.or(other.size);
        self.allocated = self.allocated.max(other.allocated);
        self.exclusive = self.exclusive.saturating_add(other.exclusive);
        self.shared = self.shared.max(other.shared);
    }

    /// The file has what was allocated to it; one that could not be asked, at least what is mapped of it.
    fn pages(&self) -> u64 {
        self.allocated.max(self.exclusive.saturating_add(self.shared))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(inode: u64) -> FileId {
        FileId { major: 0, minor: 17, inode, namespace: 0 }
    }

    fn area(inode: u64, is_private: bool, exclusive: u64, shared: u64) -> Area {
        let size = "2Mi".parse().unwrap();
        Area { range: String::new(), file: file(inode), is_sysv: false, is_private, size, exclusive, shared }
    }

    fn enter(ledger: &mut Ledger, pid: u32, areas: &[Area]) {
        let mut held = Tallies::new();
        for area in areas {
            held.entry((area.file, area.is_private)).or_default().area(area);
        }
        ledger.enter(pid, "x", held);
    }

    #[test]
    fn a_page_that_two_processes_share_is_one_page_and_held_by_both() {
        let mut ledger = Ledger::default();
        enter(&mut ledger, 2, &[area(7, false, 1, 3)]);
        enter(&mut ledger, 1, &[area(7, false, 0, 3)]);
        assert_eq!(ledger.pages("2Mi".parse().unwrap()), 4);
        let (holders, _) = ledger.into_parts();
        let held: Vec<_> = holders.iter().map(|holder| (holder.pid, holder.pages[0].1)).collect();
        assert_eq!(held, [(1, 3), (2, 4)]);
    }

    #[test]
    fn what_is_allocated_to_a_file_counts_however_little_of_it_is_mapped() {
        let size = "2Mi".parse().unwrap();
        let mut ledger = Ledger::default();
        enter(&mut ledger, 1, &[area(7, false, 1, 0)]);
        ledger.enter_file(file(7), size, 5);
        assert_eq!(ledger.pages(size), 5);
        assert_eq!(ledger.pages("1Gi".parse().unwrap()), 0);
    }

    #[test]
    fn private_pages_of_a_file_are_not_the_files() {
        let size = "2Mi".parse().unwrap();
        let mut ledger = Ledger::default();
        enter(&mut ledger, 1, &[area(7, true, 2, 0), area(7, false, 1, 0)]);
        enter(&mut ledger, 2, &[area(7, true, 1, 0)]);
        assert_eq!(ledger.pages(size), 4);
    }

    #[test]
    fn a_mapping_without_a_page_keeps_its_file_in_use_and_its_process_holds_none() {
        let mut ledger = Ledger::default();
        enter(&mut ledger, 1, &[area(7, false, 0, 0)]);
        ledger.note(file(8));
        assert!(ledger.is_in_use(file(7)) && ledger.is_in_use(file(8)) && !ledger.is_in_use(file(9)));
        assert_eq!(ledger.into_parts(), (vec![], vec![]));
    }

    #[test]
    fn what_was_not_seen_is_named_once_and_counted() {
        let mut ledger = Ledger::default();
        assert!(ledger.saw_all());
        ledger.blind("CAP_SYS_PTRACE is missing".to_owned());
        for pid in 1..=3 {
            ledger.blind_about("mappings of", &format!("pid {pid}"));
        }
        ledger.blind_about("users of", "/a");
        assert!(!ledger.saw_all());
        assert_eq!(
            ledger.into_parts().1,
            [
                "CAP_SYS_PTRACE is missing",
                "the mappings of pid 1 and 2 more could not be seen",
                "the users of /a could not be seen"
            ]
        );
    }
}
