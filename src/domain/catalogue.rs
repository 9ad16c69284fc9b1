//! The catalogue of checks: the single source for `hugeprobe explain`, docs/reference/checks.md, hints, event reasons
//! and alert texts.
//!
//! The meaning of an id never changes. If a check is removed, its number is not used again.

use std::str::FromStr;

use super::check_id::CheckId;

/// One check of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// The id of the check.
    pub id: CheckId,
    /// What is wrong if the check does not pass, in CamelCase. Events use it as their reason.
    pub reason: &'static str,
    /// What is true if the check passes, in a few words.
    pub title: &'static str,
    /// Why the check matters to a vhost-user workload: what the workload would do otherwise.
    pub why: &'static str,
    /// How each outcome is decided.
    pub how: &'static str,
    /// What to do if the check does not pass and the finding has no more specific remedy.
    pub remedy: &'static str,
    /// True if there is one result per page size, false if there is one for the whole machine.
    pub per_size: bool,
    /// Whether a page size can pass only if this check passes.
    pub mandatory: bool,
}

/// The error for a text that is not the id of a check.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown check '{text}'; an id is HP and three digits, such as HP501 (`hugeprobe explain` lists them)"
)]
pub struct CheckIdError {
    text: String,
}

/// A group of checks, shown as one line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// The first digit of the ids in the group, as `--only` takes it.
    pub digit: u16,
    /// The first and the last id of the group, without `HP`.
    ids: (u16, u16),
    /// The name of the group in the table.
    pub name: &'static str,
    /// What the checks of the group are about.
    pub title: &'static str,
}

/// The groups, in the order of the table.
pub const GROUPS: &[Group] = &[
    Group { digit: 1, ids: (100, 199), name: "pool", title: "The kernel's pools" },
    Group { digit: 2, ids: (200, 299), name: "cluster", title: "Kubernetes' view of the pools" },
    Group { digit: 3, ids: (300, 399), name: "mount", title: "The hugetlbfs mount" },
    Group { digit: 4, ids: (400, 499), name: "limits", title: "Limits of this process and of cgroups" },
    Group {
        digit: 5,
        ids: (500, 599),
        name: "allocation",
        title: "Allocation: the counters move as the kernel documents",
    },
    Group { digit: 6, ids: (600, 611), name: "sharing", title: "Sharing memory as vhost-user does" },
    Group {
        digit: 6,
        ids: (612, 699),
        name: "peer",
        title: "Your own vhost-user peer accepts these pages (--peer)",
    },
    Group { digit: 7, ids: (700, 799), name: "measured", title: "Measurements, for information only" },
];

macro_rules! checks {
    ($($name:ident = $number:literal { $($field:ident: $value:expr),+ $(,)? })+) => {
        $(
            #[doc = concat!("HP", stringify!($number), ", see [`CHECKS`](super::CHECKS).")]
            pub const $name: crate::check_id::CheckId = crate::check_id::CheckId::new($number);
        )+

        /// The checks of this group, sorted by number.
        pub(super) const CHECKS: &[super::Check] =
            &[$(super::Check { id: $name, $($field: $value),+ }),+];
    };
}

mod allocation;
mod kubernetes;
mod limits;
mod measured;
mod mount;
mod peer;
mod pool;
mod sharing;

pub use allocation::*;
pub use kubernetes::*;
pub use limits::*;
pub use measured::*;
pub use mount::*;
pub use peer::*;
pub use pool::*;
pub use sharing::*;

const BY_GROUP: [&[Check]; 8] = [
    pool::CHECKS,
    kubernetes::CHECKS,
    mount::CHECKS,
    limits::CHECKS,
    allocation::CHECKS,
    sharing::CHECKS,
    peer::CHECKS,
    measured::CHECKS,
];

/// All checks, sorted by number.
pub const CHECKS: &[Check] = &joined::<{ count() }>();

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler: a panic does not compile")]
const fn joined<const COUNT: usize>() -> [Check; COUNT] {
    let mut all = [BY_GROUP[0][0]; COUNT];
    let (mut group, mut next) = (0, 0);
    while group < BY_GROUP.len() {
        let mut index = 0;
        while index < BY_GROUP[group].len() {
            all[next] = BY_GROUP[group][index];
            (index, next) = (index + 1, next + 1);
        }
        group += 1;
    }
    all
}

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler: a panic does not compile")]
const fn count() -> usize {
    let (mut group, mut count) = (0, 0);
    while group < BY_GROUP.len() {
        count += BY_GROUP[group].len();
        group += 1;
    }
    count
}

/// Returns the check with this id, or `None` if the catalogue does not have it.
#[must_use]
pub fn find(id: CheckId) -> Option<&'static Check> {
    CHECKS.iter().find(|check| check.id == id)
}

impl Check {
    /// Returns the group that the check belongs to.
    #[must_use]
    pub fn group(&self) -> Option<&'static Group> {
        GROUPS.iter().find(|group| group.has(self.id))
    }
}

impl FromStr for CheckId {
    type Err = CheckIdError;

    /// Parses `HP` or `hp` and three digits. Accepts only ids in the catalogue.
    fn from_str(text: &str) -> Result<Self, CheckIdError> {
        let fail = || CheckIdError { text: text.chars().take(40).collect() };
        let digits = text.strip_prefix("HP").or_else(|| text.strip_prefix("hp")).ok_or_else(fail)?;
        if digits.len() != 3 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(fail());
        }
        let id = Self::new(digits.parse().map_err(|_| fail())?);
        find(id).map(|check| check.id).ok_or_else(fail)
    }
}

impl TryFrom<String> for CheckId {
    type Error = CheckIdError;

    fn try_from(text: String) -> Result<Self, CheckIdError> {
        text.parse()
    }
}

impl Group {
    /// Returns whether the check belongs to this group.
    #[must_use]
    pub const fn has(&self, id: CheckId) -> bool {
        let (first, last) = self.ids;
        first <= id.number() && id.number() <= last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_ascend_and_each_has_its_group_and_reason() {
        for pair in CHECKS.windows(2) {
            assert!(pair[0].id < pair[1].id, "{} before {}", pair[0].id, pair[1].id);
        }
        for check in CHECKS {
            assert!(check.group().is_some(), "{}", check.id);
            assert!(check.reason.chars().all(|c| c.is_ascii_alphanumeric()), "{}", check.reason);
            assert!(check.reason.starts_with(|c: char| c.is_ascii_uppercase()), "{}", check.reason);
            assert!(![check.why, check.how, check.remedy].contains(&""), "{}", check.id);
            assert_eq!(
                CHECKS.iter().filter(|other| other.reason == check.reason).count(),
                1,
                "{}",
                check.reason
            );
        }
    }

    #[test]
    fn remedies_name_no_globs() {
        for check in CHECKS {
            assert!(!check.remedy.contains('*'), "{}: {}", check.id, check.remedy);
        }
    }

    #[test]
    fn what_design_calls_mandatory_is() {
        let mandatory: Vec<_> =
            CHECKS.iter().filter(|check| check.mandatory).map(|check| check.id.number()).collect();
        assert_eq!(mandatory, [501, 502, 503, 504, 505, 601, 602, 603, 604]);
    }
}
