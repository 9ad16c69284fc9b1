//! Collects which process holds which pages, and what could not be seen. A page that several processes share is counted
//! once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::FileId;
use super::smaps::Area;
use hugeprobe_domain::inventory::Holder;
use hugeprobe_domain::size::PageSize;

/// What has been found so far.
#[derive(Debug, Default)]
pub(super) struct Owners {
    files: Held,
    holders: Vec<Holder>,
    not_seen: BTreeSet<String>,
    /// For each kind of thing that could not be seen: how many of them, and the first one.
    not_seen_of: BTreeMap<&'static str, (u64, String)>,
}

/// Pages by file. The private pages of a file's mappings have a separate entry (true).
pub(super) type Held = HashMap<(FileId, bool), FilePages>;

/// The pages of one file, or the private pages of its mappings.
#[derive(Debug, Clone, Default)]
pub(super) struct FilePages {
    size: Option<PageSize>,
    /// The pages allocated to the file, if it could be examined.
    allocated: u64,
    /// Pages that only one mapping has, added up.
    exclusive: u64,
    /// Pages that several mappings have. They are assumed to be the same pages, so the largest number counts.
    shared: u64,
}

// === impl Owners ===

impl Owners {
    /// Notes something that could not be seen.
    pub(super) fn not_seen(&mut self, why: String) {
        self.not_seen.insert(why);
    }

    /// Notes that `what` (such as "descriptors of") could not be seen for one process or file.
    pub(super) fn not_seen_of(&mut self, what: &'static str, whose: &str) {
        let (count, first) = self.not_seen_of.entry(what).or_default();
        *count += 1;
        if *count == 1 {
            whose.clone_into(first);
        }
    }

    /// Returns whether everything could be seen so far.
    pub(super) fn saw_all(&self) -> bool {
        self.not_seen.is_empty() && self.not_seen_of.is_empty()
    }

    /// Adds a process and what it holds. A process that holds no pages still has its files in use.
    pub(super) fn enter(&mut self, pid: u32, command: &str, held: Held) {
        let mut pages: BTreeMap<PageSize, u64> = BTreeMap::new();
        for (key, pages_of_file) in held {
            if let (Some(size), 1..) = (pages_of_file.size, pages_of_file.pages()) {
                let sum = pages.entry(size).or_default();
                *sum = sum.saturating_add(pages_of_file.pages());
            }
            self.files.entry(key).or_default().join(&pages_of_file);
        }
        if !pages.is_empty() {
            self.holders.push(Holder {
                pid,
                command: command.to_owned(),
                pages: pages.into_iter().collect(),
            });
        }
    }

    /// Adds a file that is in use, with the pages allocated to it.
    pub(super) fn enter_file(&mut self, file: FileId, size: PageSize, pages: u64) {
        self.files.entry((file, false)).or_default().file(size, pages);
    }

    /// Adds a file that is in use, whether or not it has huge pages.
    pub(super) fn note(&mut self, file: FileId) {
        self.files.entry((file, false)).or_default();
    }

    /// Returns whether a process has the file open or mapped.
    pub(super) fn is_in_use(&self, file: FileId) -> bool {
        self.files.contains_key(&(file, false)) || self.files.contains_key(&(file, true))
    }

    /// Returns how many pages of one size have an owner.
    pub(super) fn pages(&self, size: PageSize) -> u64 {
        let of_size = self.files.values().filter(|pages_of_file| pages_of_file.size == Some(size));
        of_size.map(FilePages::pages).fold(0, u64::saturating_add)
    }

    /// Returns the processes, sorted by pid, and the blind spots.
    pub(super) fn into_parts(self) -> (Vec<Holder>, Vec<String>) {
        let mut holders = self.holders;
        holders.sort_unstable_by_key(|holder| holder.pid);
        let about = self.not_seen_of.into_iter().map(|(what, (count, first))| match count {
            1 => format!("the {what} {first} could not be read"),
            _ => format!("the {what} {first} and {} more could not be read", count - 1),
        });
        (holders, self.not_seen.into_iter().chain(about).collect())
    }
}

// === impl FilePages ===

impl FilePages {
    /// Adds one mapping.
    pub(super) fn area(&mut self, area: &Area) {
        self.size = Some(area.size);
        self.exclusive = self.exclusive.saturating_add(area.exclusive);
        self.shared = self.shared.max(area.shared);
    }

    /// Adds the page size and number of pages that the file itself reports.
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

    /// Returns the number of pages allocated to the file, or the number of mapped pages if that is larger, as it is if
    /// the file could not be examined.
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

    fn enter(owners: &mut Owners, pid: u32, areas: &[Area]) {
        let mut held = Held::new();
        for area in areas {
            held.entry((area.file, area.is_private)).or_default().area(area);
        }
        owners.enter(pid, "x", held);
    }

    #[test]
    fn a_page_that_two_processes_share_is_one_page_and_held_by_both() {
        let mut owners = Owners::default();
        enter(&mut owners, 2, &[area(7, false, 1, 3)]);
        enter(&mut owners, 1, &[area(7, false, 0, 3)]);
        assert_eq!(owners.pages("2Mi".parse().unwrap()), 4);
        let (holders, _) = owners.into_parts();
        let held: Vec<_> = holders.iter().map(|holder| (holder.pid, holder.pages[0].1)).collect();
        assert_eq!(held, [(1, 3), (2, 4)]);
    }

    #[test]
    fn what_is_allocated_to_a_file_counts_however_little_of_it_is_mapped() {
        let size = "2Mi".parse().unwrap();
        let mut owners = Owners::default();
        enter(&mut owners, 1, &[area(7, false, 1, 0)]);
        owners.enter_file(file(7), size, 5);
        assert_eq!(owners.pages(size), 5);
        assert_eq!(owners.pages("1Gi".parse().unwrap()), 0);
    }

    #[test]
    fn private_pages_of_a_file_are_not_the_files() {
        let size = "2Mi".parse().unwrap();
        let mut owners = Owners::default();
        enter(&mut owners, 1, &[area(7, true, 2, 0), area(7, false, 1, 0)]);
        enter(&mut owners, 2, &[area(7, true, 1, 0)]);
        assert_eq!(owners.pages(size), 4);
    }

    #[test]
    fn a_mapping_without_a_page_keeps_its_file_in_use_and_its_process_holds_none() {
        let mut owners = Owners::default();
        enter(&mut owners, 1, &[area(7, false, 0, 0)]);
        owners.note(file(8));
        assert!(owners.is_in_use(file(7)) && owners.is_in_use(file(8)) && !owners.is_in_use(file(9)));
        assert_eq!(owners.into_parts(), (vec![], vec![]));
    }

    #[test]
    fn what_was_not_seen_is_named_once_and_counted() {
        let mut owners = Owners::default();
        assert!(owners.saw_all());
        owners.not_seen("CAP_SYS_PTRACE is missing".to_owned());
        for pid in 1..=3 {
            owners.not_seen_of("mappings of", &format!("pid {pid}"));
        }
        owners.not_seen_of("users of", "/a");
        assert!(!owners.saw_all());
        assert_eq!(
            owners.into_parts().1,
            [
                "CAP_SYS_PTRACE is missing",
                "the mappings of pid 1 and 2 more could not be read",
                "the users of /a could not be read"
            ]
        );
    }
}
