//! How much is looked at before the search for holders gives up and says so.

use std::time::{Duration, Instant};

/// The most that a search may take. What is left out is named among the blind spots.
#[derive(Debug, Clone)]
pub struct SearchLimits {
    /// Time for the whole search.
    pub time: Duration,
    /// Open descriptors of processes.
    pub descriptors: u64,
    /// Files on hugetlbfs.
    pub files: u64,
}

/// What is left of the [`SearchLimits`].
#[derive(Debug)]
pub(super) struct Budget {
    until: Instant,
    descriptors: u64,
    files: u64,
    exhausted: Option<&'static str>,
}

// === impl SearchLimits, Budget ===

impl Default for SearchLimits {
    /// Looking at every descriptor of a machine with 9,000 processes and a million descriptors took 9 s; without that, 0.6 s.
    fn default() -> Self {
        Self { time: Duration::from_secs(5), descriptors: 4_000_000, files: 400_000 }
    }
}

impl Budget {
    pub(super) fn new(limits: &SearchLimits) -> Self {
        let now = Instant::now();
        Self {
            until: now.checked_add(limits.time).unwrap_or(now),
            descriptors: limits.descriptors,
            files: limits.files,
            exhausted: None,
        }
    }

    /// Whether there is time for one more process or directory.
    pub(super) fn has_time(&mut self) -> bool {
        let left = Instant::now() < self.until;
        if !left {
            self.exhausted.get_or_insert("the time limit expired before every process was examined");
        }
        left
    }

    /// Takes one descriptor, or says that there is none left.
    pub(super) fn descriptor(&mut self) -> bool {
        // The clock is asked now and then: one process may have a million descriptors.
        if self.descriptors.is_multiple_of(4096) && !self.has_time() {
            return false;
        }
        take(&mut self.descriptors, &mut self.exhausted, "too many open descriptors to examine all of them")
    }

    /// Takes one file, or says that there is none left.
    pub(super) fn file(&mut self) -> bool {
        take(&mut self.files, &mut self.exhausted, "too many files on hugetlbfs to examine all of them")
    }

    /// What was left out, if anything.
    pub(super) fn exhausted(&self) -> Option<String> {
        self.exhausted.map(str::to_owned)
    }
}

fn take(left: &mut u64, exhausted: &mut Option<&'static str>, why: &'static str) -> bool {
    match left.checked_sub(1) {
        Some(less) => {
            *left = less;
            true
        }
        None => {
            exhausted.get_or_insert(why);
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_is_named() {
        let limits = SearchLimits { descriptors: 1, files: 1, ..SearchLimits::default() };
        let mut budget = Budget::new(&limits);
        assert!(budget.has_time() && budget.descriptor() && budget.file());
        assert_eq!(budget.exhausted(), None);
        assert!(!budget.file() && !budget.descriptor());
        assert!(budget.exhausted().is_some_and(|why| why.contains("files")));
        let mut budget = Budget::new(&SearchLimits { time: Duration::ZERO, ..SearchLimits::default() });
        assert!(!budget.has_time());
        assert!(budget.exhausted().is_some_and(|why| why.contains("time")));
    }
}
