//! The arithmetic of `--reserve`: how a request is spread over NUMA nodes, and how many pages a pool gained.
//!
//! All counts are of *persistent* pages, `nr_hugepages - surplus_hugepages`. The number that is written to
//! `nr_hugepages` is the persistent count wanted (`set_max_huge_pages()` in the kernel's `mm/hugetlb.c`). Growing turns
//! surplus pages into persistent ones before it allocates new ones. Shrinking turns pages that are in use or reserved
//! into surplus pages, which the kernel frees when their user releases them. Writing back the total that was read
//! before would therefore make surplus pages permanently persistent.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::pool_id::PoolId;
use super::request::PageCount;
use super::size::PageSize;

/// The pages of a pool at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolCount {
    /// `nr_hugepages`.
    pub total: u64,
    /// `surplus_hugepages`.
    pub surplus: u64,
}

/// The pages that one `--reserve` got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// The pages requested.
    pub asked: PageCount,
    /// The persistent pages gained on all nodes together.
    pub got: u64,
    /// The pages gained in each pool, sorted by node. Pools without any are left out.
    pub pools: Vec<PoolGain>,
    /// Why fewer pages were gained than requested, one sentence per cause; empty if all were gained.
    pub shortfall: Vec<String>,
}

/// The pages that one pool gained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolGain {
    /// The pool.
    #[serde(flatten)]
    pub pool: PoolId,
    /// The persistent pages gained.
    pub got: u64,
    /// How many of them were surplus pages before. They are still in use, not free.
    pub from_surplus: u64,
}

/// The pages that were taken back from one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenBack {
    /// The pool.
    #[serde(flatten)]
    pub pool: PoolId,
    /// The number of persistent pages.
    pub pages: u64,
}

/// A run with `--reserve` that was killed, and whose pages a later run gave back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// The name of the killed run: the pid of its guardian, and a UUID.
    pub run: String,
    /// How many pages each pool was shrunk by. A pool that already had its former size is not listed.
    pub given: Vec<GivenBack>,
    /// What could not be given back and why, one sentence each. If there is any, the next run tries again.
    pub problems: Vec<String>,
}

/// The machine's memory in bytes, from `/proc/meminfo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// `MemTotal`.
    pub total: u64,
    /// `MemAvailable`: the kernel's estimate of what can be allocated without swapping.
    pub available: u64,
}

// === impl PoolCount ===

impl PoolCount {
    /// Returns the number of pages in the persistent pool.
    #[must_use]
    pub const fn persistent(self) -> u64 {
        self.total.saturating_sub(self.surplus)
    }

    /// Returns how many pages the pool gained between this count and `after`. The result is at most `asked`, because
    /// another process may have added more.
    #[must_use]
    pub fn gained(self, after: Self, asked: u64) -> u64 {
        after.persistent().saturating_sub(self.persistent()).min(asked)
    }
}

impl Granted {
    /// Returns whether fewer pages were gained than requested.
    #[must_use]
    pub const fn is_short(&self) -> bool {
        self.got < self.asked.pages
    }
}

// === impl Replayed ===

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run {}, which added pages with --reserve, was killed: ", self.run)?;
        match self.given.as_slice() {
            [] if self.problems.is_empty() => {
                f.write_str("none of its pages are left, the pools are unchanged")
            }
            [] => f.write_str("its pages could not be given back"),
            given => {
                let pools: Vec<String> =
                    given.iter().map(|one| format!("{} of {}", one.pages, one.pool)).collect();
                write!(f, "gave its pages back: {}", pools.join(", "))
            }
        }?;
        self.problems.iter().try_for_each(|problem| write!(f, "; {problem}"))
    }
}

// === impl Memory ===

impl Memory {
    /// The divisor for the share of all memory that is left to other processes.
    const LEFT_TO_OTHERS: u64 = 16;

    /// Returns whether `bytes` is more than half of the available memory.
    #[must_use]
    pub const fn is_over_half(self, bytes: u64) -> bool {
        bytes > self.available / 2
    }

    /// Returns the maximum number of pages of `size` that may be taken from the memory.
    ///
    /// The kernel stops only when no memory is left, and the OOM killer ends other processes before that.
    #[must_use]
    pub const fn affords(self, size: PageSize) -> u64 {
        self.available.saturating_sub(self.total / Self::LEFT_TO_OTHERS) / size.bytes()
    }
}

/// Spreads `pages` evenly over `pools`. The remainder goes to the first pools, one page each. Pools whose share is 0
/// are left out.
#[must_use]
pub fn spread(pages: u64, pools: &[PoolId]) -> Vec<(PoolId, u64)> {
    let Some(each) = pages.checked_div(pools.len() as u64) else { return Vec::new() };
    let mut rest = pages - each * pools.len() as u64;
    let share = |pool: &PoolId| {
        let extra = u64::from(rest > 0);
        rest -= extra;
        (*pool, each + extra)
    };
    pools.iter().map(share).filter(|(_, share)| *share > 0).collect()
}

/// Grows `pools` by `pages` in total. `grow` grows one pool and returns how many pages it gained.
///
/// The pages are first spread evenly. What some pools cannot give is then requested from those that gave everything
/// that was requested from them.
///
/// # Errors
///
/// The first error of `grow`, which is not called again.
pub fn distribute<E>(
    pages: u64,
    pools: &[PoolId],
    mut grow: impl FnMut(PoolId, u64) -> Result<u64, E>,
) -> Result<(), E> {
    let mut able = pools.to_vec();
    let mut missing = pages;
    while missing > 0 && !able.is_empty() {
        for (pool, share) in spread(missing, &able) {
            let got = grow(pool, share)?.min(share);
            missing -= got;
            if got < share {
                able.retain(|other| *other != pool);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    fn size() -> PageSize {
        "2Mi".parse().unwrap()
    }

    fn nodes(count: u32) -> Vec<PoolId> {
        (0..count).map(|node| PoolId { size: size(), node: Some(node) }).collect()
    }

    /// Returns what is requested from each pool, in order, and what each pool gave in total, if they have `stock`.
    fn asked(pages: u64, stock: &[u64]) -> (Vec<(u32, u64)>, BTreeMap<PoolId, u64>) {
        let pools = nodes(stock.len().try_into().unwrap());
        let (mut asked, mut given) = (Vec::new(), BTreeMap::new());
        let done = distribute(pages, &pools, |pool, share| {
            let node = pool.node.unwrap();
            let given = given.entry(pool).or_insert(0);
            let got = share.min(stock[node as usize] - *given);
            *given += got;
            asked.push((node, share));
            Ok::<_, Infallible>(got)
        });
        done.unwrap();
        (asked, given)
    }

    #[test]
    fn the_remainder_goes_to_the_lowest_nodes() {
        let shares =
            |pages, count| -> Vec<u64> { spread(pages, &nodes(count)).iter().map(|(_, n)| *n).collect() };
        assert_eq!(shares(16, 1), [16]);
        assert_eq!(shares(16, 2), [8, 8]);
        assert_eq!(shares(17, 2), [9, 8]);
        assert_eq!(shares(7, 4), [2, 2, 2, 1]);
        assert_eq!(shares(2, 4), [1, 1]);
        assert!(shares(0, 4).is_empty());
        assert!(spread(16, &[]).is_empty());
    }

    #[test]
    fn what_one_node_cannot_give_is_asked_of_the_others() {
        assert_eq!(asked(16, &[99, 99]).0, [(0, 8), (1, 8)]);
        assert_eq!(asked(16, &[3, 99]).0, [(0, 8), (1, 8), (1, 5)]);
        assert_eq!(asked(16, &[0, 5, 99]).0, [(0, 6), (1, 5), (2, 5), (1, 3), (2, 3), (2, 3)]);
        assert_eq!(asked(16, &[3, 4]).0, [(0, 8), (1, 8)]);
    }

    #[test]
    fn an_error_ends_the_asking() {
        let mut calls = 0;
        let done = distribute(16, &nodes(4), |_, _| {
            calls += 1;
            Err("refused")
        });
        assert_eq!((done, calls), (Err("refused"), 1));
    }

    #[test]
    fn gain_is_of_persistent_pages_and_never_more_than_asked() {
        let count = |total, surplus| PoolCount { total, surplus };
        for (before, after, asked, gained) in [
            (count(32, 0), count(48, 0), 16, 16),
            (count(32, 0), count(40, 0), 16, 8),
            (count(35, 3), count(40, 0), 8, 8), // seen on 6.18: three of the eight had been surplus
            (count(32, 0), count(36, 4), 8, 0), // the surplus of others does not count as gained
            (count(32, 0), count(30, 0), 8, 0),
            (count(32, 0), count(99, 0), 8, 8),
            (count(2, 4), count(2, 4), 8, 0), // contradictory: more surplus than pages
        ] {
            assert_eq!(before.gained(after, asked), gained, "{before:?} {after:?}");
        }
    }

    #[test]
    fn a_sixteenth_of_the_memory_is_left_to_others() {
        let memory = |total: u64, available: u64| Memory { total: total << 20, available: available << 20 };
        assert_eq!(memory(16 << 10, 8 << 10).affords(size()), (7 << 10) / 2);
        assert_eq!(memory(16 << 10, 1 << 10).affords(size()), 0);
        assert_eq!(memory(16 << 10, 0).affords(size()), 0);
    }

    #[test]
    fn more_than_half_of_what_is_available_is_told_from_half() {
        let memory = Memory { total: 16 << 30, available: 9 << 20 };
        for (pages, is_over) in [(0, false), (2, false), (3, true)] {
            assert_eq!(memory.is_over_half(pages * size().bytes()), is_over, "{pages}");
        }
        assert!(Memory { available: 0, ..memory }.is_over_half(1));
    }

    #[test]
    fn a_replay_is_one_sentence() {
        let given = |node, pages| GivenBack { pool: PoolId { size: size(), node }, pages };
        for (given, problems, end) in [
            (vec![], vec![], "none of its pages are left, the pools are unchanged"),
            (vec![given(None, 4)], vec![], "gave its pages back: 4 of 2Mi"),
            (
                vec![given(Some(0), 4), given(Some(1), 1)],
                vec!["x"],
                "gave its pages back: 4 of 2Mi@numa0, 1 of 2Mi@numa1; x",
            ),
            (vec![], vec!["x", "y"], "its pages could not be given back; x; y"),
        ] {
            let problems = problems.into_iter().map(str::to_owned).collect();
            let replayed = Replayed { run: "7-a".to_owned(), given, problems };
            assert_eq!(
                replayed.to_string(),
                format!("run 7-a, which added pages with --reserve, was killed: {end}")
            );
        }
    }

    proptest! {
        #[test]
        fn a_spread_is_whole_and_even(pages in 0..u64::MAX, count in 1_u32..64) {
            let shares: Vec<u64> = spread(pages, &nodes(count)).iter().map(|(_, n)| *n).collect();
            prop_assert_eq!(shares.iter().sum::<u64>(), pages);
            prop_assert!(shares.iter().max().unwrap_or(&0) - shares.iter().min().unwrap_or(&0) <= 1);
            prop_assert!(shares.is_sorted_by(|a, b| a >= b));
        }

        #[test]
        fn as_much_is_had_as_there_is(pages in 0_u64..1000, stock in prop::collection::vec(0_u64..300, 1..8)) {
            let (_, given) = asked(pages, &stock);
            prop_assert_eq!(given.values().sum::<u64>(), pages.min(stock.iter().sum()));
        }

        #[test]
        fn no_amount_of_memory_panics(total: u64, available: u64) {
            let _ = Memory { total, available }.affords(size());
        }
    }
}
