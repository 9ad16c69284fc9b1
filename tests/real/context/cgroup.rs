//! A hugetlb cgroup of the test's own.

use std::fs;
use std::path::{Path, PathBuf};

use super::Missing;

/// Where cgroup v2 may be mounted: alone, or beside v1.
const ROOTS: [&str; 2] = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];

/// A group; removed when dropped.
#[derive(Debug)]
pub(crate) struct Group {
    path: PathBuf,
}

impl Group {
    /// Makes the group `name` under the root of the v2 hierarchy.
    pub(crate) fn new(name: &str) -> Result<Self, Missing> {
        let root = root()?;
        let path = root.join(format!("hugeprobe-test-{name}"));
        // Left over from a run that was killed: it is empty, or the test has a reason to fail.
        let _ = fs::remove_dir(&path);
        fs::create_dir(&path).map_err(|error| Missing(format!("a cgroup {}: {error}", path.display())))?;
        Ok(Self { path })
    }

    /// A group below this one.
    pub(crate) fn child(&self, name: &str) -> Self {
        fs::write(self.path.join("cgroup.subtree_control"), "+hugetlb").unwrap();
        let path = self.path.join(name);
        fs::create_dir(&path).unwrap();
        Self { path }
    }

    /// Writes one of its files: `hugetlb.2MB.max`.
    pub(crate) fn set(&self, file: &str, value: u64) {
        let path = self.path.join(file);
        fs::write(&path, value.to_string()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn root() -> Result<PathBuf, Missing> {
    for root in ROOTS.map(Path::new) {
        let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        if controllers.split_whitespace().any(|name| name == "hugetlb") {
            fs::write(root.join("cgroup.subtree_control"), "+hugetlb").map_err(|error| {
                Missing(format!("the hugetlb controller under {}: {error}", root.display()))
            })?;
            return Ok(root.to_owned());
        }
    }
    Err(Missing("the hugetlb controller on cgroup v2".to_owned()))
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its last process may be a moment in leaving.
        for _ in 0..50 {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("{} cannot be removed", self.path.display());
    }
}
