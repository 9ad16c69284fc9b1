//! The hugetlb cgroup of this process, and the room that its limits leave. Pure: `linux::cgroup` reads the files.
//!
//! A page is charged to the cgroup of the process that touches it and to all parents of that cgroup, so the tightest
//! limit decides. Reservations that mmap makes are charged in the same way, to a separate counter.
//!
//! Source: Documentation/admin-guide/cgroup-v1/hugetlb.rst, Documentation/admin-guide/cgroup-v2.rst (HugeTLB).

use serde::Serialize;
use serde_json::Value;

use super::reading::Reading;
use super::size::PageSize;

/// The hugetlb cgroup that this process is charged to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HugetlbCgroup {
    /// The version of the hierarchy that has the controller.
    pub version: CgroupVersion,
    /// The path of the cgroup, as in `/proc/self/cgroup`.
    pub path: String,
    /// The cgroup and its parents as far as they are visible, innermost first. Each of them may have a limit.
    pub levels: Vec<CgroupLevel>,
    /// Whether the last level is the root of the hierarchy. If not, parents that are not visible may have tighter
    /// limits.
    pub complete: bool,
}

/// What is charged to one cgroup and its descendants for one page size.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Charges {
    /// The bytes charged now.
    pub bytes: Reading<u64>,
    /// The total number of charges that were refused because of a limit.
    pub refused: Reading<u64>,
}

/// The version of a cgroup hierarchy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupVersion {
    /// cgroup v1: the controller has a separate hierarchy, or shares one with other v1 controllers.
    V1,
    /// cgroup v2.
    V2,
}

/// The limits of one cgroup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CgroupLevel {
    /// The directory of the cgroup.
    pub directory: String,
    /// The limits, one entry per page size that has files in the directory.
    ///
    /// It is normal that there are none at the root of cgroup v2 and where the controller is not enabled for the
    /// cgroup. Pages are then charged only to the parents.
    pub sizes: Reading<Vec<CgroupLimit>>,
}

/// The limits of one cgroup for one page size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CgroupLimit {
    /// The page size.
    pub size: PageSize,
    /// The fault counter. A touch beyond its limit raises SIGBUS.
    pub fault: HugetlbCounter,
    /// The reservation counter. mmap beyond its limit fails with ENOMEM. Absent before kernel 5.7.
    pub reservation: HugetlbCounter,
}

/// One of the two counters of a cgroup, and its limit, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct HugetlbCounter {
    /// The limit; `Known(None)` means no limit.
    pub limit: Reading<Option<u64>>,
    /// The bytes charged now.
    pub usage: Reading<u64>,
}

/// Which of the two counters of a cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HugetlbCounterKind {
    /// The counter of pages that were touched.
    Fault,
    /// The counter of pages that mmap reserved.
    Reservation,
}

/// The room that a cgroup and its parents leave for one page size in one counter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Headroom {
    /// The tightest limit that could be read; `None` if no limit was found.
    pub tightest: Option<LimitRoom>,
    /// What could not be read. If not empty, the actual limit may be tighter than `tightest`.
    pub not_known: Vec<String>,
}

/// The room that one limit leaves, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LimitRoom {
    /// The absolute path of the limit's file.
    pub file: String,
    /// The limit.
    pub limit: u64,
    /// The bytes charged; `None` if they could not be read.
    pub usage: Option<u64>,
    /// The limit minus the usage, or the limit itself if the usage is not known. Zero if the usage exceeds the limit,
    /// which is possible after the limit was lowered.
    pub left: u64,
}

/// One counter of one cgroup, as the evidence of a check shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CounterAt {
    /// The directory of the cgroup.
    pub directory: String,
    /// The limit in bytes, or `max` for none. Absent if the cgroup has no files for the page size.
    pub limit: Reading<Value>,
    /// The bytes charged now.
    pub usage: Reading<u64>,
}

// === impl ===

impl HugetlbCgroup {
    /// Returns the counter of each cgroup on the way up, innermost first.
    #[must_use]
    pub fn counters(&self, size: PageSize, kind: HugetlbCounterKind) -> Vec<CounterAt> {
        let limit = |limit: Option<u64>| limit.map_or_else(|| Value::from("max"), Value::from);
        let at = |level: &CgroupLevel| {
            let sizes = level.sizes.clone();
            let of_size = sizes.and_then(|sizes| {
                let found = sizes.into_iter().find(|limit| limit.size == size);
                found.map_or(Reading::Absent, |limit| Reading::Known(limit.counter(kind).clone()))
            });
            CounterAt {
                directory: level.directory.clone(),
                limit: of_size.clone().and_then(|counter| counter.limit).map(limit),
                usage: of_size.and_then(|counter| counter.usage),
            }
        };
        self.levels.iter().map(at).collect()
    }

    /// Returns the room that the cgroup and its parents leave for `size`.
    #[must_use]
    pub fn headroom(&self, size: PageSize, kind: HugetlbCounterKind) -> Headroom {
        let mut headroom = Headroom::default();
        for level in &self.levels {
            let sizes = match &level.sizes {
                Reading::Known(sizes) => sizes,
                Reading::Absent => {
                    headroom.not_known.push(format!("{} does not exist", level.directory));
                    continue;
                }
                Reading::Unreadable(why) | Reading::Malformed(why) => {
                    headroom.not_known.push(why.clone());
                    continue;
                }
            };
            match sizes.iter().find(|limit| limit.size == size) {
                Some(limit) => headroom.add(self.version, &level.directory, size, kind, limit.counter(kind)),
                None if sizes.is_empty() => {}
                None => headroom.not_known.push(format!("{} has no files for {size}", level.directory)),
            }
        }
        headroom
    }
}

impl CgroupVersion {
    /// Returns the name of the file with the limit: `hugetlb.2MB.max`, `hugetlb.2MB.rsvd.limit_in_bytes`.
    #[must_use]
    pub fn limit_file(self, size: PageSize, kind: HugetlbCounterKind) -> String {
        let what = match self {
            Self::V1 => "limit_in_bytes",
            Self::V2 => "max",
        };
        format!("hugetlb.{}.{}{what}", size.cgroup_name(), kind.infix())
    }

    /// Returns the name of the file with the usage: `hugetlb.2MB.current`, `hugetlb.2MB.rsvd.usage_in_bytes`.
    #[must_use]
    pub fn usage_file(self, size: PageSize, kind: HugetlbCounterKind) -> String {
        let what = match self {
            Self::V1 => "usage_in_bytes",
            Self::V2 => "current",
        };
        format!("hugetlb.{}.{}{what}", size.cgroup_name(), kind.infix())
    }

    /// Returns the name of the file that counts refused page faults: `hugetlb.2MB.events`, `hugetlb.2MB.failcnt`.
    #[must_use]
    pub fn refusals_file(self, size: PageSize) -> String {
        let what = match self {
            Self::V1 => "failcnt",
            Self::V2 => "events",
        };
        format!("hugetlb.{}.{what}", size.cgroup_name())
    }
}

impl HugetlbCounterKind {
    const fn infix(self) -> &'static str {
        match self {
            Self::Fault => "",
            Self::Reservation => "rsvd.",
        }
    }
}

impl CgroupLimit {
    /// Returns the counter of this kind.
    #[must_use]
    pub const fn counter(&self, kind: HugetlbCounterKind) -> &HugetlbCounter {
        match kind {
            HugetlbCounterKind::Fault => &self.fault,
            HugetlbCounterKind::Reservation => &self.reservation,
        }
    }
}

impl Headroom {
    fn add(
        &mut self,
        version: CgroupVersion,
        directory: &str,
        size: PageSize,
        kind: HugetlbCounterKind,
        counter: &HugetlbCounter,
    ) {
        let file = format!("{directory}/{}", version.limit_file(size, kind));
        let limit = match (&counter.limit, &counter.usage) {
            (Reading::Known(None), _) => return,
            // Neither file exists: kernels before 5.7 have no reservation counter. Every kernel has a fault counter.
            (Reading::Absent, Reading::Absent) if kind == HugetlbCounterKind::Reservation => return,
            (Reading::Known(Some(limit)), _) => *limit,
            (Reading::Absent, _) => return self.not_known.push(format!("{file} does not exist")),
            (Reading::Unreadable(why) | Reading::Malformed(why), _) => {
                return self.not_known.push(why.clone());
            }
        };
        match &counter.usage {
            Reading::Known(_) => {}
            Reading::Absent => {
                let file = version.usage_file(size, kind);
                self.not_known.push(format!("{directory}/{file} does not exist"));
            }
            Reading::Unreadable(why) | Reading::Malformed(why) => self.not_known.push(why.clone()),
        }
        let usage = counter.usage.get();
        let left = limit.saturating_sub(usage.unwrap_or(0));
        if self.tightest.as_ref().is_none_or(|room| left < room.left) {
            self.tightest = Some(LimitRoom { file, limit, usage, left });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MI: u64 = 1 << 20;

    fn size() -> PageSize {
        "2Mi".parse().unwrap()
    }

    fn counter(limit: Option<u64>, usage: u64) -> HugetlbCounter {
        HugetlbCounter { limit: Reading::Known(limit), usage: Reading::Known(usage) }
    }

    fn level(directory: &str, fault: HugetlbCounter, reservation: HugetlbCounter) -> CgroupLevel {
        let limit = CgroupLimit { size: size(), fault, reservation };
        CgroupLevel { directory: directory.into(), sizes: Reading::Known(vec![limit]) }
    }

    fn group(levels: Vec<CgroupLevel>) -> HugetlbCgroup {
        HugetlbCgroup { version: CgroupVersion::V2, path: "/a/b".into(), levels, complete: true }
    }

    #[test]
    fn the_tightest_level_decides_in_each_account() {
        let group = group(vec![
            level("/c/a/b", counter(Some(64 * MI), 2 * MI), counter(Some(8 * MI), 8 * MI)),
            level("/c/a", counter(Some(32 * MI), 16 * MI), counter(None, 100 * MI)),
            CgroupLevel { directory: "/c".into(), sizes: Reading::Known(vec![]) },
        ]);
        let fault = group.headroom(size(), HugetlbCounterKind::Fault);
        assert_eq!(
            fault.tightest,
            Some(LimitRoom {
                file: "/c/a/hugetlb.2MB.max".into(),
                limit: 32 * MI,
                usage: Some(16 * MI),
                left: 16 * MI
            })
        );
        let reservation = group.headroom(size(), HugetlbCounterKind::Reservation).tightest.unwrap();
        assert_eq!((reservation.file.as_str(), reservation.left), ("/c/a/b/hugetlb.2MB.rsvd.max", 0));
        assert_eq!(fault.not_known, Vec::<String>::new());
    }

    #[test]
    fn each_level_shows_its_own_counter_and_no_limit_is_not_an_absent_one() {
        let unlisted = CgroupLevel { directory: "/c/x".into(), sizes: Reading::Unreadable("EACCES".into()) };
        let root = CgroupLevel { directory: "/".into(), sizes: Reading::Known(vec![]) };
        let group =
            group(vec![level("/c/a", counter(Some(8 * MI), 2 * MI), counter(None, 4 * MI)), unlisted, root]);
        let shown = |kind| serde_json::to_value(group.counters(size(), kind)).unwrap();
        let others = [
            serde_json::json!({"directory": "/c/x", "limit": {"unreadable": "EACCES"}, "usage": {"unreadable": "EACCES"}}),
            serde_json::json!({"directory": "/", "limit": null, "usage": null}),
        ];
        let fault = serde_json::json!({"directory": "/c/a", "limit": 8 * MI, "usage": 2 * MI});
        let reservation = serde_json::json!({"directory": "/c/a", "limit": "max", "usage": 4 * MI});
        assert_eq!(shown(HugetlbCounterKind::Fault), serde_json::json!([fault, others[0], others[1]]));
        assert_eq!(
            shown(HugetlbCounterKind::Reservation),
            serde_json::json!([reservation, others[0], others[1]])
        );
    }

    #[test]
    fn usage_above_a_lowered_limit_leaves_nothing() {
        let group = group(vec![level("/c", counter(Some(2 * MI), 6 * MI), HugetlbCounter::default())]);
        assert_eq!(group.headroom(size(), HugetlbCounterKind::Fault).tightest.unwrap().left, 0);
    }

    #[test]
    fn an_older_kernel_has_no_account_of_reservations_and_that_is_no_limit() {
        let group = group(vec![level("/c", counter(None, 0), HugetlbCounter::default())]);
        assert_eq!(group.headroom(size(), HugetlbCounterKind::Reservation), Headroom::default());
    }

    #[test]
    fn what_could_not_be_read_is_said_and_never_taken_for_no_limit() {
        let broken = |limit, usage| level("/c", HugetlbCounter { limit, usage }, HugetlbCounter::default());
        for (level, part) in [
            (broken(Reading::Absent, Reading::Absent), "/c/hugetlb.2MB.max does not exist"),
            (broken(Reading::Absent, Reading::Known(0)), "/c/hugetlb.2MB.max does not exist"),
            (broken(Reading::Malformed("garbage".into()), Reading::Known(0)), "garbage"),
            (broken(Reading::Unreadable("EACCES".into()), Reading::Known(0)), "EACCES"),
            (broken(Reading::Known(Some(2 * MI)), Reading::Absent), "/c/hugetlb.2MB.current does not exist"),
            (broken(Reading::Known(Some(2 * MI)), Reading::Malformed("x".into())), "x"),
            (CgroupLevel { directory: "/c".into(), sizes: Reading::Absent }, "/c does not exist"),
            (CgroupLevel { directory: "/c".into(), sizes: Reading::Unreadable("no".into()) }, "no"),
        ] {
            assert_eq!(group(vec![level]).headroom(size(), HugetlbCounterKind::Fault).not_known, [part]);
        }
        let other = group(vec![level("/c", counter(None, 0), counter(None, 0))]);
        let headroom = other.headroom("1Gi".parse().unwrap(), HugetlbCounterKind::Fault);
        assert_eq!(headroom.not_known, ["/c has no files for 1Gi"]);
    }

    #[test]
    fn a_limit_below_what_is_needed_shows_even_where_the_usage_is_not_known() {
        let counter = HugetlbCounter { limit: Reading::Known(Some(0)), usage: Reading::Absent };
        let headroom = group(vec![level("/c", counter, HugetlbCounter::default())])
            .headroom(size(), HugetlbCounterKind::Fault);
        assert_eq!(headroom.tightest.map(|room| room.left), Some(0));
    }

    #[test]
    fn files_are_named_as_each_version_has_them() {
        let giga = "1Gi".parse().unwrap();
        for (version, kind, limit, usage) in [
            (CgroupVersion::V2, HugetlbCounterKind::Fault, "hugetlb.1GB.max", "hugetlb.1GB.current"),
            (
                CgroupVersion::V2,
                HugetlbCounterKind::Reservation,
                "hugetlb.1GB.rsvd.max",
                "hugetlb.1GB.rsvd.current",
            ),
            (
                CgroupVersion::V1,
                HugetlbCounterKind::Fault,
                "hugetlb.1GB.limit_in_bytes",
                "hugetlb.1GB.usage_in_bytes",
            ),
            (
                CgroupVersion::V1,
                HugetlbCounterKind::Reservation,
                "hugetlb.1GB.rsvd.limit_in_bytes",
                "hugetlb.1GB.rsvd.usage_in_bytes",
            ),
        ] {
            assert_eq!(version.limit_file(giga, kind), limit);
            assert_eq!(version.usage_file(giga, kind), usage);
        }
    }
}
