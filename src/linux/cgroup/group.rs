//! A cgroup named by an option: joins it, and reads its limits and usage.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, statfs};

use super::{hugetlb, memory};
use crate::errno::named;
use crate::root::HostRoot;
use hugeprobe_domain::cgroup::{CgroupVersion, Charges, HugetlbCgroup, HugetlbCounterKind};
use hugeprobe_domain::digits::parse_digits;
use hugeprobe_domain::memory_cgroup::MemoryCgroup;
use hugeprobe_domain::size::PageSize;

/// A cgroup with hugetlb files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    version: CgroupVersion,
    /// The absolute path, without symbolic links.
    directory: PathBuf,
}

/// Why a directory is not such a cgroup.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// The directory cannot be read.
    #[error("{directory}: {}", named(.source))]
    NotThere {
        /// The path that was given.
        directory: String,
        /// The error of the system call.
        source: io::Error,
    },
    /// The directory is on another file system, for example the tmpfs in which systemd and others mount the cgroup v1
    /// hierarchies.
    #[error("{0} is not a cgroup")]
    NotCgroup(String),
    /// The cgroup has no hugetlb files.
    #[error(
        "{0} has no hugetlb files: name a group below the root in which the hugetlb controller is enabled (on \
         cgroup v2, +hugetlb in its parent's cgroup.subtree_control)"
    )]
    NoFiles(String),
}

/// Parses how often a page fault was refused: `failcnt` of v1 is a number, and `events` of v2 has a line `max NUMBER`.
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
    /// Opens the cgroup at `directory`.
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

    /// Moves this process to the cgroup.
    ///
    /// # Errors
    ///
    /// EACCES or EPERM without permission. EBUSY if a cgroup of v2 has controllers enabled for its children.
    pub fn join(&self) -> io::Result<()> {
        // 0 means the writing process, in any PID namespace.
        fs::OpenOptions::new().write(true).open(self.directory.join("cgroup.procs"))?.write_all(b"0")
    }

    /// Returns the limits of the cgroup and of its ancestors, as far as they are visible.
    #[must_use]
    pub fn limits(&self) -> HugetlbCgroup {
        let path = self.directory.display().to_string();
        hugetlb::read_levels(&HostRoot::default(), self.version, path, self.directories())
    }

    /// Returns the memory limits of the cgroup and of its ancestors; `None` if a process that joins the cgroup stays in
    /// its memory cgroup, because another hierarchy has the memory controller.
    #[must_use]
    pub fn memory_limits(&self) -> Option<MemoryCgroup> {
        let root = HostRoot::default();
        if self.version == CgroupVersion::V1 || memory::is_on_v1(&root) {
            return None;
        }
        Some(memory::read_levels(
            &root,
            self.version,
            self.directory.display().to_string(),
            self.directories(),
        ))
    }

    /// Returns the directory of the cgroup and those of its ancestors in the same hierarchy.
    fn directories(&self) -> impl Iterator<Item = String> {
        let same = |directory: &&Path| version_of(directory).is_ok_and(|found| found == Some(self.version));
        self.directory.ancestors().take_while(same).map(|directory| directory.display().to_string())
    }

    /// Returns what the cgroup is charged for pages of `size` that were faulted in.
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

/// Returns the version of the hierarchy that contains a directory; `None` if no cgroup hierarchy does.
pub(super) fn version_of(directory: &Path) -> io::Result<Option<CgroupVersion>> {
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
