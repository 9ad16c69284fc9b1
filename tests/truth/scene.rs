//! The environment of a row: its pools, mounts and cgroups, and the place in which both hugeprobe and the workload run.
//! All of it is undone when the scene is dropped, in reverse order.

use std::any::Any;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use hugeprobe::domain::size::PageSize;

use crate::context::cgroup::{Group, Hierarchy};
use crate::context::child::{self, How};
use crate::context::program::PROGRAM;
use crate::context::{LARGE, Machine, Missing, SMALL, pools};
use crate::nodes;
use crate::place::Place;
use crate::workload::Kind;

/// The largest number of pages of 1Gi that a row takes.
const MOST_GIGABYTES: u64 = 4;

/// What all rows share: a directory that every user may enter, with a copy of hugeprobe.
#[derive(Debug)]
pub(crate) struct Stage {
    directory: tempfile::TempDir,
    /// How many pages of 1Gi the kernel could allocate when the tests started.
    pub(crate) gigabytes: u64,
}

/// The environment of one row.
pub(crate) struct Scene {
    pub(crate) kind: Kind,
    pub(crate) size: PageSize,
    /// How much memory the workload is configured to take, as a multiple of the smallest amount that works.
    pub(crate) times: u64,
    /// Where both sides and hugeprobe run.
    pub(crate) place: Place,
    /// Where only this side runs. hugeprobe gets its cgroup as an argument.
    pub(crate) frontend: Side,
    pub(crate) backend: Side,
    /// How OVS is configured to take its pages.
    pub(crate) ovs: OvsTold,
    /// The NUMA nodes on which the workload takes its memory, an equal part on each. Empty on a machine with one node: no
    /// option names a node then.
    pub(crate) on: Vec<u32>,
    /// Whether testpmd gets `-m`, which names no node, although its mbufs are on the first of these nodes.
    pub(crate) names_no_node: bool,
    /// The mount point of the row's hugetlbfs, where hugeprobe and the workload look for it.
    pub(crate) huge: PathBuf,
    /// The directory of sockets and run-time files, in which every user may write.
    pub(crate) run: PathBuf,
    pub(crate) program: PathBuf,
    /// Whether the row itself changes the pool while it runs.
    pub(crate) restless: bool,
    /// Whether the kernel allocated fewer pages of 1Gi than the row takes. This is not a failure: memory is fragmented.
    pub(crate) lacks_gigabytes: bool,
    /// How many pages of 1Gi the kernel can allocate.
    gigabytes: u64,
    machine: Machine,
    /// The v1 hierarchy, if cgroups are created there.
    hierarchy: Option<Rc<Hierarchy>>,
    made: Vec<Box<dyn Any>>,
    _directory: tempfile::TempDir,
}

/// The values of `dpdk-init` and `dpdk-socket-mem`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OvsTold {
    pub(crate) init: &'static str,
    pub(crate) socket_mem: &'static str,
}

/// One side of the pair.
#[derive(Debug, Default)]
pub(crate) struct Side {
    pub(crate) place: Place,
    pub(crate) cgroup: Option<PathBuf>,
}

/// How often a command at the end of a row is tried, and the time between.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(200);

/// A command that is run when this is dropped.
struct AtLast(Command);

// === impl Stage ===

impl Stage {
    /// Creates a stage that has as many pages of 1Gi as the kernel can allocate.
    pub(crate) fn new() -> Self {
        Self { gigabytes: gigabytes_to_be_had(), ..Self::small() }
    }

    /// Creates a stage for places that only use pages of 2Mi.
    pub(crate) fn small() -> Self {
        let directory = tempfile::Builder::new().prefix("truth-").tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::copy(PROGRAM, directory.path().join("hugeprobe")).unwrap();
        // No other process should see the mounts of rows. They disappear with the last process in this mount namespace.
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
        sh("mount --make-rprivate /");
        Self { directory, gigabytes: 0 }
    }
}

// === impl Scene ===

impl Scene {
    pub(crate) fn new(stage: &Stage, kind: Kind, size: PageSize) -> Self {
        let directory = tempfile::Builder::new().prefix("row-").tempdir_in(stage.directory.path()).unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let [huge, run] = ["huge", "run"].map(|name| directory.path().join(name));
        fs::create_dir(&huge).unwrap();
        fs::create_dir(&run).unwrap();
        fs::set_permissions(&run, fs::Permissions::from_mode(0o777)).unwrap();
        Self {
            kind,
            size,
            times: 1,
            place: Place::default(),
            frontend: Side::default(),
            backend: Side::default(),
            ovs: OvsTold { init: "true", socket_mem: "64" },
            on: Vec::new(),
            names_no_node: false,
            huge,
            run,
            program: stage.directory.path().join("hugeprobe"),
            restless: false,
            lacks_gigabytes: false,
            gigabytes: stage.gigabytes,
            machine: Machine::new(),
            hierarchy: None,
            made: Vec::new(),
            _directory: directory,
        }
    }

    /// Returns the number of pages that both sides of the workload take together.
    pub(crate) fn need(&self) -> u64 {
        self.of_sides().iter().sum()
    }

    /// Returns the numbers of pages that the frontend and the backend take.
    pub(crate) fn of_sides(&self) -> [u64; 2] {
        self.kind.of_sides(self.size).map(|pages| pages * self.times)
    }

    /// Returns the state of the pools. It is the same before and after a run, unless other programs change the pools.
    pub(crate) fn pools(&self) -> Vec<[u64; 2]> {
        let stands = |size| [pools::available(size), pools::persistent(size)];
        if self.restless { Vec::new() } else { [SMALL, LARGE].map(stands).into() }
    }

    /// Keeps a value until the scene is dropped.
    pub(crate) fn keep(&mut self, made: impl Any) {
        self.made.push(Box::new(made));
    }

    /// Gives the pool exactly `pages` free pages, and the pools of other sizes none.
    pub(crate) fn pool(&mut self, pages: u64) -> Result<(), Missing> {
        for size in [LARGE, SMALL] {
            let wanted = if size == self.size { pages } else { 0 };
            self.pool_of(size, wanted)?;
        }
        Ok(())
    }

    /// Gives each of these NUMA nodes this number of pages, and the pools of other sizes no free page. The pools are expected to be
    /// empty, as in an emulated machine.
    pub(crate) fn pool_on(&mut self, pages: &[(u32, u64)]) -> Result<(), Missing> {
        self.pool(0)?;
        for &(node, pages) in pages {
            let added = nodes::OnNode::add(node, self.size, pages)?;
            self.keep(added);
        }
        Ok(())
    }

    /// Gives the pool of `size` exactly `pages` free pages. Excess pages are held by another process meanwhile.
    pub(crate) fn pool_of(&mut self, size: PageSize, pages: u64) -> Result<(), Missing> {
        let available = pools::available(size);
        if available > pages {
            self.hold_of(size, available - pages, How::Reserved);
        } else if available < pages {
            let more = pages - available;
            self.lacks_gigabytes = size == LARGE;
            if size == LARGE && more > self.gigabytes {
                return Err(Missing(format!(
                    "{more} pages of 1Gi: the kernel had {} to give",
                    self.gigabytes
                )));
            }
            let extra = pools::Extra::add(size, more)?;
            self.lacks_gigabytes = false;
            self.keep(extra);
        }
        Ok(())
    }

    /// Starts another process that holds `pages` pages.
    pub(crate) fn hold(&mut self, pages: u64, how: How) {
        self.hold_of(self.size, pages, how);
    }

    fn hold_of(&mut self, size: PageSize, pages: u64, how: How) {
        self.keep(child::hold(size, pages, how));
    }

    /// Sets a counter of the pool other than `nr_hugepages`. It is restored when the scene is dropped.
    pub(crate) fn set(&mut self, counter: &'static str, value: u64) {
        let file = format!("/sys/kernel/mm/hugepages/{}/{counter}", self.size.sysfs_name());
        let before = pools::counter(self.size, counter);
        self.at_last(&format!("echo {before} > {file}"));
        pools::set(self.size, counter, value);
    }

    /// Mounts a hugetlbfs of the row's page size with these options, where the workload looks for it.
    pub(crate) fn mount(&mut self, options: &str) {
        self.mount_of(self.size, options);
    }

    /// Does the same with pages of `size`.
    pub(crate) fn mount_of(&mut self, size: PageSize, options: &str) {
        let comma = if options.is_empty() { "" } else { "," };
        self.mount_as(&format!("mount -t hugetlbfs -o pagesize={}{comma}{options} none", size.bytes()));
    }

    /// Runs the mount command `command` with that mount point.
    pub(crate) fn mount_as(&mut self, command: &str) {
        let huge = self.huge.display().to_string();
        sh(&format!("{command} '{huge}'"));
        self.at_last(&format!("umount '{huge}'"));
    }

    /// Runs a shell script in the scene, which must succeed. `$DIR` is the mount point.
    pub(crate) fn sh(&self, script: &str) {
        sh(&format!("DIR='{}'\n{script}", self.huge.display()));
    }

    /// Adds a shell script that is run when the scene is dropped.
    pub(crate) fn at_last(&mut self, script: &str) {
        let mut command = Command::new("sh");
        command.args(["-ec", script]);
        self.keep(AtLast(command));
    }

    /// Creates a cgroup for this row.
    pub(crate) fn cgroup(&self, name: &str) -> Result<Group, Missing> {
        let name = format!("truth-{}-{name}", std::process::id());
        match &self.hierarchy {
            Some(v1) => Ok(Group::on(v1, &name)),
            None => self.machine.cgroup(&name),
        }
    }

    /// Makes later cgroups be created on v1.
    pub(crate) fn on_v1(&mut self) -> Result<(), Missing> {
        let v1 = Rc::new(Hierarchy::v1()?);
        self.keep(Rc::clone(&v1));
        self.hierarchy = Some(v1);
        Ok(())
    }

    /// Returns the name of a limit file for the row's page size: `hugetlb.2MB.max` for `max`, or
    /// `hugetlb.2MB.limit_in_bytes` on v1.
    pub(crate) fn limit_file(&self, what: &str) -> String {
        let size = if self.size == SMALL { "2MB" } else { "1GB" };
        let what = if self.hierarchy.is_some() { &what.replace("max", "limit_in_bytes") } else { what };
        format!("hugetlb.{size}.{what}")
    }

    /// Returns the size of `pages` pages in bytes.
    pub(crate) fn bytes(&self, pages: u64) -> u64 {
        pages * self.size.bytes()
    }

    /// Returns the path of the socket on which the two sides meet.
    pub(crate) fn socket(&self) -> String {
        self.run.join("s").display().to_string()
    }

    /// Returns the mount point of the hugetlbfs, if the workload uses one.
    pub(crate) fn directory(&self) -> Option<&Path> {
        self.kind.uses_directory().then_some(self.huge.as_path())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // `made` has another reference, which is dropped after those of all later cgroups and unmounts the hierarchy.
        self.hierarchy = None;
        while let Some(made) = self.made.pop() {
            drop(made);
        }
    }
}

impl Drop for AtLast {
    fn drop(&mut self) {
        // Another program may have a file of a mount open for a moment, for example one that looks for the owners of pages.
        let undone = (0..TRIES).any(|_| {
            let done = self.0.status().unwrap().success();
            if !done {
                std::thread::sleep(PAUSE);
            }
            done
        });
        assert!(undone, "{:?}", self.0);
    }
}

/// Returns how many pages of 1Gi the rows may have; none where the run does without.
fn gigabytes_to_be_had() -> u64 {
    if std::env::var_os("HUGEPROBE_WITHOUT").is_some_and(|size| size == "1Gi") {
        return 0;
    }
    (1..=MOST_GIGABYTES).rev().find(|pages| pools::Extra::add(LARGE, *pages).is_ok()).unwrap_or(0)
}

fn sh(script: &str) {
    let status = Command::new("sh").args(["-ec", script]).status().unwrap();
    assert!(status.success(), "{script}: {status}");
}
