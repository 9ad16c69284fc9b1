//! A hugetlb cgroup for a test, on either hierarchy.

use std::fs;
use std::path::{Path, PathBuf};

use hugeprobe::domain::size::PageSize;

use super::Missing;

/// Where cgroup v2 may be mounted: together with v1, or alone.
const ROOTS: [&str; 2] = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];

/// A cgroup; removed when dropped.
#[derive(Debug)]
pub(crate) struct Group {
    path: PathBuf,
    /// The name of the file of a size's fault limit, after `hugetlb.2MB.`.
    limit: &'static str,
}

/// A v1 hierarchy with the hugetlb controller, for as long as this value lives.
#[derive(Debug)]
pub(crate) struct Hierarchy {
    /// The mount point, if this test mounted the hierarchy.
    mounted: Option<tempfile::TempDir>,
    path: PathBuf,
}

/// A cgroup of another controller, `pids` or `memory`, on the hierarchy that has it. It is removed when dropped.
#[derive(Debug)]
pub(crate) struct Controlled {
    path: PathBuf,
    is_v1: bool,
}

impl Group {
    /// Creates the group `name` in the root of the v2 hierarchy.
    pub(crate) fn new(name: &str) -> Result<Self, Missing> {
        Ok(Self { path: create(&root()?, name)?, limit: "max" })
    }

    /// Creates the group `name` on a v1 hierarchy.
    pub(crate) fn on(hierarchy: &Hierarchy, name: &str) -> Self {
        Self { path: create(&hierarchy.path, name).unwrap(), limit: "limit_in_bytes" }
    }

    /// Creates a group below this one.
    pub(crate) fn child(&self, name: &str) -> Self {
        // On v1 every group has the controller of its hierarchy.
        if self.limit == "max" {
            fs::write(self.path.join("cgroup.subtree_control"), "+hugetlb").unwrap();
        }
        let path = self.path.join(name);
        fs::create_dir(&path).unwrap();
        Self { path, limit: self.limit }
    }

    /// Sets the fault limit of a size, in pages.
    pub(crate) fn limit(&self, size: PageSize, pages: u64) {
        self.set(&format!("hugetlb.{}.{}", size.cgroup_name(), self.limit), pages * size.bytes());
    }

    /// Writes one of the group's files, for example `hugetlb.2MB.max`.
    pub(crate) fn set(&self, file: &str, value: u64) {
        let path = self.path.join(file);
        fs::write(&path, value.to_string()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Returns the directory of the group.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

// === impl Controlled ===

impl Controlled {
    /// Creates the group `name`.
    pub(crate) fn new(controller: &str, name: &str) -> Result<Self, Missing> {
        let v1 = Path::new("/sys/fs/cgroup").join(controller);
        let is_v1 = v1.join("cgroup.procs").exists();
        let parent = if is_v1 { v1 } else { root_of(controller)? };
        Ok(Self { path: create(&parent, name)?, is_v1 })
    }

    /// Writes a limit, whose file has one name on v1 and another on v2.
    pub(crate) fn set(&self, v1: &str, v2: &str, value: u64) {
        fs::write(self.path.join(if self.is_v1 { v1 } else { v2 }), value.to_string()).unwrap();
    }

    /// Returns the directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Controlled {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

// === impl Hierarchy ===

impl Hierarchy {
    /// Returns the v1 hierarchy that is mounted, or mounts one. Mounting works only if no group of the v2 hierarchy has
    /// the controller.
    pub(crate) fn v1() -> Result<Self, Missing> {
        let usual = Path::new("/sys/fs/cgroup/hugetlb");
        if usual.join("cgroup.procs").exists() {
            return Ok(Self { mounted: None, path: usual.to_owned() });
        }
        let mounted = tempfile::tempdir().unwrap();
        let mut done = mount_v1(mounted.path());
        // Every v2 group that has the controller holds it: living groups and, until the kernel has freed them, removed
        // ones. Groups of other programs have it because these tests enabled it for the children of the root.
        for _ in 0..600 {
            if done != Err(nix::errno::Errno::EBUSY) {
                break;
            }
            for root in ROOTS.map(Path::new) {
                let _ = fs::write(root.join("cgroup.subtree_control"), "-hugetlb");
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
            done = mount_v1(mounted.path());
        }
        done.map_err(|errno| Missing(format!("the hugetlb controller on cgroup v1: {errno}; {}", held())))?;
        let path = mounted.path().to_owned();
        Ok(Self { mounted: Some(mounted), path })
    }
}

impl Drop for Hierarchy {
    fn drop(&mut self) {
        let Some(mounted) = &self.mounted else { return };
        nix::mount::umount(mounted.path()).unwrap();
        // The kernel returns the controller to v2 a moment later, unless another process has it mounted too. Other
        // tests need it on v2.
        for turn in 1..=100 {
            if root().is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
            // Dying groups kept the hierarchy alive after its last unmount. Mounting and unmounting it again frees it.
            if turn % 10 == 0 && mount_v1(mounted.path()).is_ok() {
                let _ = nix::mount::umount(mounted.path());
            }
        }
    }
}

fn mount_v1(path: &Path) -> nix::Result<()> {
    nix::mount::mount(Some("none"), path, Some("cgroup"), nix::mount::MsFlags::empty(), Some("hugetlb"))
}

/// Describes what holds the controller on v2: the living groups, and the number of dying ones.
fn held() -> String {
    let roots = ROOTS.map(Path::new);
    let told = roots.iter().filter_map(|root| fs::read_to_string(root.join("cgroup.stat")).ok());
    let groups =
        roots.iter().filter(|root| root.join("cgroup.stat").exists()).flat_map(fs::read_dir).flatten();
    let groups = groups.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect::<Vec<_>>();
    format!("cgroup.stat says {:?}, and there are {groups:?}", told.collect::<String>())
}

fn root() -> Result<PathBuf, Missing> {
    root_of("hugetlb")
}

/// Returns the root of the v2 hierarchy, whose groups have this controller from now on.
fn root_of(controller: &str) -> Result<PathBuf, Missing> {
    for root in ROOTS.map(Path::new) {
        let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        if controllers.split_whitespace().any(|name| name == controller) {
            fs::write(root.join("cgroup.subtree_control"), format!("+{controller}")).map_err(|error| {
                Missing(format!("the {controller} controller under {}: {error}", root.display()))
            })?;
            return Ok(root.to_owned());
        }
    }
    Err(Missing(format!("the {controller} controller on cgroup v2")))
}

impl Drop for Group {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Creates a group of the tests below `parent`.
fn create(parent: &Path, name: &str) -> Result<PathBuf, Missing> {
    let path = parent.join(format!("hugeprobe-test-{name}"));
    // A killed run may have left the group behind. If it is still in use, it stays, and creating it fails below.
    let _ = fs::remove_dir(&path);
    fs::create_dir(&path).map_err(|error| Missing(format!("a cgroup {}: {error}", path.display())))?;
    Ok(path)
}

/// Removes a group.
fn remove(path: &Path) {
    // The last process may still be exiting.
    for _ in 0..50 {
        if fs::remove_dir(path).is_ok() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("{} cannot be removed", path.display());
}
