//! A group that an option names: joined, and read from outside.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, statfs};

use super::level;
use super::memory::read_directories;
use crate::domain::cgroup::{CgroupVersion, Charges, HugetlbCgroup, HugetlbCounterKind};
use crate::domain::digits::parse_digits;
use crate::domain::memory_cgroup::MemoryCgroup;
use crate::domain::reading::Reading;
use crate::domain::size::PageSize;
use crate::linux::errno::named;
use crate::linux::root::HostRoot;

/// A cgroup with hugetlb files, by its directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    version: CgroupVersion,
    /// Absolute, without links.
    directory: PathBuf,
}

/// A directory that is not such a group.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// It cannot be looked at.
    #[error("{directory}: {}", named(.source))]
    NotThere {
        /// What was named.
        directory: String,
        /// The answer.
        source: io::Error,
    },
    /// It is on another file system, or the top of what systemd and others mount groups in.
    #[error("{0} is not a cgroup")]
    NotCgroup(String),
    /// It has no hugetlb files.
    #[error(
        "{0} has no hugetlb files: name a group below the root in which the hugetlb controller is enabled (on \
         cgroup v2, +hugetlb in its parent's cgroup.subtree_control)"
    )]
    NoFiles(String),
}

/// How often a touch was refused: v1 `failcnt` is a number, v2 `events` has a line `max NUMBER`.
///
/// Source: Documentation/admin-guide/cgroup-v2.rst (HugeTLB), Documentation/admin-guide/cgroup-v1/hugetlb.rst.
#[must_use]
pub fn parse_refusals(version: CgroupVersion, text: &str) -> Option<u64> {
    let number = match version {
        CgroupVersion::V1 => text,
        CgroupVersion::V2 => text.lines().find_map(|line| line.strip_prefix("max "))?,
    };
    parse_digits(number)
}

// === impl Group ===

impl Group {
    /// The group at `directory`.
    ///
    /// # Errors
    ///
    /// See [`GroupError`].
    pub fn open(directory: &Path) -> Result<Self, GroupError> {
        let not_there = |source| GroupError::NotThere { directory: directory.display().to_string(), source };
        let directory = fs::canonicalize(directory).map_err(not_there)?;
        let version = version_of(&directory).map_err(not_there)?;
        let version = version.ok_or_else(|| GroupError::NotCgroup(directory.display().to_string()))?;
        let names = fs::read_dir(&directory).map_err(not_there)?;
        let is_hugetlb = |entry: fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(b"hugetlb.");
        if !names.filter_map(Result::ok).any(is_hugetlb) {
            return Err(GroupError::NoFiles(directory.display().to_string()));
        }
        Ok(Self { version, directory })
    }

    /// Moves this process there.
    ///
    /// # Errors
    ///
    /// The kernel's answer: EACCES or EPERM without the right to, EBUSY where a group of v2 hands controllers on to
    /// groups below it.
    pub fn join(&self) -> io::Result<()> {
        // 0 is the process that writes, in any PID namespace.
        fs::OpenOptions::new().write(true).open(self.directory.join("cgroup.procs"))?.write_all(b"0")
    }

    /// Its limits, and those of the groups above it that are visible.
    #[must_use]
    pub fn limits(&self) -> HugetlbCgroup {
        let root = HostRoot::default();
        let groups: Vec<_> = self
            .ancestors()
            .map(|directory| level::read_group(&root, self.version, directory.display().to_string()))
            .collect();
        let complete = groups.last().is_some_and(|top| top.is_root);
        let levels = groups.into_iter().map(|group| group.level).collect();
        HugetlbCgroup { version: self.version, path: self.directory.display().to_string(), levels, complete }
    }

    /// Its memory limit, and those above it, where huge pages count against them. Absent: they do not.
    #[must_use]
    pub fn memory_limits(&self) -> Reading<MemoryCgroup> {
        if self.version == CgroupVersion::V1 {
            return Reading::Absent;
        }
        let directories = self.ancestors().map(|directory| directory.display().to_string());
        read_directories(&HostRoot::default(), self.directory.display().to_string(), directories)
    }

    /// Its directory and those above it, as far as they are of its hierarchy.
    fn ancestors(&self) -> impl Iterator<Item = &Path> {
        let same = |directory: &&Path| version_of(directory).is_ok_and(|found| found == Some(self.version));
        self.directory.ancestors().take_while(same)
    }

    /// What it is charged for pages of `size` that were touched.
    #[must_use]
    pub fn charges(&self, size: PageSize) -> Charges {
        let root = HostRoot::default();
        let file = |name| self.directory.join(name);
        Charges {
            bytes: root.number(file(self.version.usage_file(size, HugetlbCounterKind::Fault))),
            refused: root
                .parsed(file(self.version.refusals_file(size)), |text| parse_refusals(self.version, text)),
        }
    }
}

/// The version of the hierarchy that a directory is in; `None` if in none.
fn version_of(directory: &Path) -> io::Result<Option<CgroupVersion>> {
    let kind = statfs(directory).map_err(io::Error::from)?.filesystem_type();
    Ok(match kind {
        CGROUP2_SUPER_MAGIC => Some(CgroupVersion::V2),
        CGROUP_SUPER_MAGIC => Some(CgroupVersion::V1),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refusals_are_read_as_each_version_has_them() {
        for (version, text, refused) in [
            (CgroupVersion::V2, "max 3", Some(3)),
            (CgroupVersion::V2, "low 1\nmax 18446744073709551615\n", Some(u64::MAX)),
            (CgroupVersion::V2, "3", None),
            (CgroupVersion::V2, "max", None),
            (CgroupVersion::V2, "max -1", None),
            (CgroupVersion::V2, "max 18446744073709551616", None),
            (CgroupVersion::V2, "", None),
            (CgroupVersion::V1, "7", Some(7)),
            (CgroupVersion::V1, "+7", None),
            (CgroupVersion::V1, "max 7", None),
            (CgroupVersion::V1, "", None),
        ] {
            assert_eq!(parse_refusals(version, text), refused, "{version:?} {text:?}");
        }
    }

    #[test]
    fn what_is_no_group_is_said_to_be_none() {
        let directory = tempfile::tempdir().unwrap();
        let error = Group::open(directory.path()).unwrap_err().to_string();
        assert!(error.ends_with("is not a cgroup"), "{error}");
        let error = Group::open(&directory.path().join("none")).unwrap_err().to_string();
        assert!(error.contains("ENOENT"), "{error}");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = parse_refusals(CgroupVersion::V1, &text);
            let _ = parse_refusals(CgroupVersion::V2, &text);
        }

        #[test]
        fn every_number_is_read_back(number: u64) {
            prop_assert_eq!(parse_refusals(CgroupVersion::V1, &number.to_string()), Some(number));
            prop_assert_eq!(parse_refusals(CgroupVersion::V2, &format!("max {number}\n")), Some(number));
        }
    }
}
