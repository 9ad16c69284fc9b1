//! The limits of a memory cgroup, and the room below them.
//!
//! Since Linux 6.7, cgroup v2 can be mounted with `memory_hugetlb_accounting`. A huge page is then charged to the
//! memory controller too. At `memory.max` the kernel reclaims what it can and does nothing else. There is no SIGBUS and
//! no OOM kill: the page fault is retried again and again, and the process hangs.
//!
//! Source: Documentation/admin-guide/cgroup-v2.rst (mount options); `mem_cgroup_charge_hugetlb()` in `mm/memcontrol.c`.

use serde::Serialize;

use super::cgroup::LimitRoom;
use super::reading::Reading;

/// The cgroup that the memory controller charges, and its parents as far as they are visible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemoryCgroup {
    /// The path of the cgroup, as in `/proc/self/cgroup`.
    pub path: String,
    /// The cgroup and its parents, innermost first. The tightest limit decides.
    pub levels: Vec<MemoryLevel>,
    /// Whether the last level is the root of the hierarchy. If not, parents that are not visible may have tighter
    /// limits.
    pub complete: bool,
}

/// The limit of one cgroup and what is charged to it, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MemoryLevel {
    /// The directory of the cgroup.
    pub directory: String,
    /// The absolute path of the limit file: `memory.max`, on cgroup v1 `memory.limit_in_bytes`.
    pub file: String,
    /// The limit; `Known(None)` means no limit, also if the controller is not enabled for the cgroup.
    pub limit: Reading<Option<u64>>,
    /// `memory.high` of cgroup v2: above it, the kernel slows the processes down. `Known(None)`: there is none.
    pub high: Reading<Option<u64>>,
    /// What is charged: `memory.current`, on cgroup v1 `memory.usage_in_bytes`.
    pub usage: Reading<u64>,
    /// Usage that the kernel can reclaim without swap: page cache and slab (`memory.stat`).
    pub cache: Reading<u64>,
    /// Usage that the kernel can reclaim by swapping it out (`memory.stat`: `anon` and `shmem`).
    pub swappable: Reading<u64>,
}

/// What may be reclaimed to make room for a huge page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reclaim {
    /// Nothing: only what is free below the limit now.
    Nothing,
    /// Page cache and slab.
    Cache,
    /// Page cache and slab, and what can be swapped out.
    CacheAndSwap,
}

// === impl ===

impl MemoryCgroup {
    /// Returns the limit that leaves the least room; `None` if there is no limit.
    #[must_use]
    pub fn tightest(&self, reclaim: Reclaim) -> Option<LimitRoom> {
        let rooms =
            self.levels.iter().filter_map(|level| level.room(&level.limit, level.file.clone(), reclaim));
        rooms.min_by_key(|room| room.left)
    }

    /// Returns the `memory.high` that leaves the least room; `None` if there is none.
    #[must_use]
    pub fn tightest_high(&self, reclaim: Reclaim) -> Option<LimitRoom> {
        let file = |level: &MemoryLevel| format!("{}/memory.high", level.directory);
        let rooms = self.levels.iter().filter_map(|level| level.room(&level.high, file(level), reclaim));
        rooms.min_by_key(|room| room.left)
    }

    /// Returns what could not be read. If not empty, the actual limit may be tighter than [`Self::tightest`].
    #[must_use]
    pub fn not_known(&self) -> Vec<String> {
        self.levels.iter().filter_map(MemoryLevel::not_known).collect()
    }

    /// Returns why it is not known how much a limited cgroup can reclaim; `None` if it is known.
    ///
    /// If it is not known, [`Self::tightest`] assumes that all of the usage can be reclaimed.
    #[must_use]
    pub fn reclaimable_not_known(&self) -> Option<String> {
        self.levels.iter().find_map(MemoryLevel::reclaimable_not_known)
    }
}

impl MemoryLevel {
    /// Returns why it is not known how much of the usage can be reclaimed; `None` if it is known or there is no limit.
    fn reclaimable_not_known(&self) -> Option<String> {
        self.limit.get().flatten()?;
        [&self.cache, &self.swappable].into_iter().find_map(|reading| match reading {
            Reading::Known(_) => None,
            Reading::Absent => Some(format!("{}/memory.stat is not there", self.directory)),
            Reading::Unreadable(why) | Reading::Malformed(why) => Some(why.clone()),
        })
    }

    /// Returns the room below `limit`, which is in `file`.
    fn room(&self, limit: &Reading<Option<u64>>, file: String, reclaim: Reclaim) -> Option<LimitRoom> {
        let limit = limit.get().flatten()?;
        let usage = self.usage.get();
        // If it is not known how much can be reclaimed, assume all of it: a limit counts as too low only if it is too
        // low in any case.
        let reclaimable = |reading: &Reading<u64>| reading.get().or(usage).unwrap_or(0);
        let reclaimed = match reclaim {
            Reclaim::Nothing => 0,
            Reclaim::Cache => reclaimable(&self.cache),
            Reclaim::CacheAndSwap => reclaimable(&self.cache).saturating_add(reclaimable(&self.swappable)),
        };
        let stays = usage.unwrap_or(0).saturating_sub(reclaimed);
        Some(LimitRoom { file, limit, usage, left: limit.saturating_sub(stays) })
    }

    fn not_known(&self) -> Option<String> {
        match (&self.limit, &self.usage) {
            (Reading::Known(None), _) | (Reading::Known(_), Reading::Known(_)) => None,
            (Reading::Absent, _) => Some(format!("{} does not exist", self.file)),
            (Reading::Unreadable(why) | Reading::Malformed(why), _) => Some(why.clone()),
            (_, Reading::Absent) => Some(format!("the usage of {} does not exist", self.directory)),
            (_, Reading::Unreadable(why) | Reading::Malformed(why)) => Some(why.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MI: u64 = 1 << 20;

    fn level(directory: &str, limit: Option<u64>, usage: u64, cache: u64, swappable: u64) -> MemoryLevel {
        MemoryLevel {
            directory: directory.into(),
            file: format!("{directory}/memory.max"),
            limit: Reading::Known(limit),
            high: Reading::Known(None),
            usage: Reading::Known(usage),
            cache: Reading::Known(cache),
            swappable: Reading::Known(swappable),
        }
    }

    fn left(levels: Vec<MemoryLevel>, reclaim: Reclaim) -> Option<(String, u64)> {
        let cgroup = MemoryCgroup { path: "/a".into(), levels, complete: true };
        cgroup.tightest(reclaim).map(|room| (room.file, room.left))
    }

    #[test]
    fn the_tightest_level_decides_after_what_can_be_reclaimed() {
        let levels = vec![
            level("/c/a/b", Some(64 * MI), 40 * MI, 30 * MI, 5 * MI),
            level("/c/a", Some(100 * MI), 90 * MI, 0, 0),
            level("/c", None, 500 * MI, 0, 0),
        ];
        let file = |directory: &str| format!("{directory}/memory.max");
        assert_eq!(left(levels.clone(), Reclaim::Nothing), Some((file("/c/a"), 10 * MI)));
        let own = vec![levels[0].clone()];
        assert_eq!(left(own.clone(), Reclaim::Nothing), Some((file("/c/a/b"), 24 * MI)));
        assert_eq!(left(own.clone(), Reclaim::Cache), Some((file("/c/a/b"), 54 * MI)));
        assert_eq!(left(own, Reclaim::CacheAndSwap), Some((file("/c/a/b"), 59 * MI)));
        assert_eq!(left(vec![levels[2].clone()], Reclaim::Nothing), None);
    }

    #[test]
    fn what_cannot_be_read_is_never_taken_for_no_limit() {
        let limited = level("/c", Some(MI), 0, 0, 0);
        for (level, part) in [
            (MemoryLevel { limit: Reading::Absent, ..limited.clone() }, "/c/memory.max does not exist"),
            (MemoryLevel { limit: Reading::Malformed("garbage".into()), ..limited.clone() }, "garbage"),
            (MemoryLevel { usage: Reading::Absent, ..limited.clone() }, "the usage of /c does not exist"),
            (MemoryLevel { usage: Reading::Unreadable("EACCES".into()), ..limited.clone() }, "EACCES"),
        ] {
            let cgroup = MemoryCgroup { path: "/a".into(), levels: vec![level], complete: true };
            assert_eq!(cgroup.not_known(), [part]);
        }
        let unlimited = MemoryLevel { limit: Reading::Known(None), usage: Reading::Absent, ..limited };
        assert_eq!(unlimited.not_known(), None);
    }

    #[test]
    fn a_limit_shows_even_where_the_usage_is_not_known() {
        let limited = MemoryLevel { usage: Reading::Absent, ..level("/c", Some(MI), 0, 0, 0) };
        assert_eq!(left(vec![limited], Reclaim::Cache), Some(("/c/memory.max".into(), MI)));
    }
}
