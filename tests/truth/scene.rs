//! What a row stands on: the pools as it wants them, mounts, cgroups, and the place where hugeprobe and the workload are
//! run alike. All of it goes when the scene goes, last made first.

use std::any::Any;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use hugeprobe::domain::size::PageSize;

use crate::context::cgroup::{Group, Hierarchy};
use crate::context::child::{self, How};
use crate::context::program::PROGRAM;
use crate::context::{LARGE, Machine, Missing, SMALL, pools};
use crate::place::Place;
use crate::workload::Kind;

/// The most pages of 1Gi that a row takes.
const MOST_GIGABYTES: u64 = 4;

/// What all rows share: a directory that everybody may enter, and hugeprobe in it.
#[derive(Debug)]
pub(crate) struct Stage {
    directory: tempfile::TempDir,
    /// Pages of 1Gi that the kernel could give as the run began.
    pub(crate) gigabytes: u64,
}

/// One row's.
pub(crate) struct Scene {
    pub(crate) kind: Kind,
    pub(crate) size: PageSize,
    /// How much memory the workload is told to take, in multiples of the least that does.
    pub(crate) times: u64,
    /// Where both sides and hugeprobe run.
    pub(crate) place: Place,
    /// Where one side alone runs; hugeprobe is told its cgroup.
    pub(crate) frontend: Side,
    pub(crate) backend: Side,
    /// How OVS is told to take its pages.
    pub(crate) ovs: OvsTold,
    /// Where the row's hugetlbfs is mounted, and where hugeprobe and the workload look for it.
    pub(crate) huge: PathBuf,
    /// Sockets and run-time files: everybody may write here.
    pub(crate) run: PathBuf,
    pub(crate) program: PathBuf,
    /// Whether the row itself changes the pool while it is run.
    pub(crate) restless: bool,
    /// Whether the kernel gave fewer pages of 1Gi than the row takes: memory is in pieces, which is nobody's fault.
    pub(crate) lacks_gigabytes: bool,
    /// Pages of 1Gi that the kernel has to give.
    gigabytes: u64,
    machine: Machine,
    /// The v1 hierarchy, if cgroups are made there.
    hierarchy: Option<Rc<Hierarchy>>,
    made: Vec<Box<dyn Any>>,
    _directory: tempfile::TempDir,
}

/// `dpdk-init` and `dpdk-socket-mem`.
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

/// Runs a command when dropped.
struct AtLast(Command);

// === impl Stage ===

impl Stage {
    /// With pages of 1Gi, as many as the kernel has to give.
    pub(crate) fn new() -> Self {
        Self { gigabytes: gigabytes_to_be_had(), ..Self::small() }
    }

    /// For places that have pages of 2Mi alone.
    pub(crate) fn small() -> Self {
        let directory = tempfile::Builder::new().prefix("truth-").tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::copy(PROGRAM, directory.path().join("hugeprobe")).unwrap();
        // Mounts of rows are nobody else's business, and go with the last process that sees them.
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

    /// Pages that the workload takes, both sides together.
    pub(crate) fn need(&self) -> u64 {
        self.of_sides().iter().sum()
    }

    /// Pages that the frontend takes, and the backend.
    pub(crate) fn of_sides(&self) -> [u64; 2] {
        self.kind.of_sides(self.size).map(|pages| pages * self.times)
    }

    /// How the pools stand: the same before and after a run, unless somebody else is about.
    pub(crate) fn pools(&self) -> Vec<[u64; 2]> {
        let stands = |size| [pools::available(size), pools::persistent(size)];
        if self.restless { Vec::new() } else { [SMALL, LARGE].map(stands).into() }
    }

    /// Something that goes with the scene.
    pub(crate) fn keep(&mut self, made: impl Any) {
        self.made.push(Box::new(made));
    }

    /// The pool has exactly so many free pages, and those of other sizes none.
    pub(crate) fn pool(&mut self, pages: u64) -> Result<(), Missing> {
        for size in [LARGE, SMALL] {
            let wanted = if size == self.size { pages } else { 0 };
            self.pool_of(size, wanted)?;
        }
        Ok(())
    }

    /// The pool of `size` has exactly so many free pages: what others left free beyond that is held for the time.
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

    /// Another process holds so many pages.
    pub(crate) fn hold(&mut self, pages: u64, how: How) {
        self.hold_of(self.size, pages, how);
    }

    fn hold_of(&mut self, size: PageSize, pages: u64, how: How) {
        self.keep(child::hold(size, pages, how));
    }

    /// A counter of the pool that is not `nr_hugepages`; as before when the scene goes.
    pub(crate) fn set(&mut self, counter: &'static str, value: u64) {
        let file = format!("/sys/kernel/mm/hugepages/{}/{counter}", self.size.sysfs_name());
        let before = pools::counter(self.size, counter);
        self.at_last(&format!("echo {before} > {file}"));
        pools::set(self.size, counter, value);
    }

    /// A hugetlbfs of the row's size with these options, where the workload looks for it.
    pub(crate) fn mount(&mut self, options: &str) {
        self.mount_of(self.size, options);
    }

    /// The same with pages of `size`.
    pub(crate) fn mount_of(&mut self, size: PageSize, options: &str) {
        let comma = if options.is_empty() { "" } else { "," };
        self.mount_as(&format!("mount -t hugetlbfs -o pagesize={}{comma}{options} none", size.bytes()));
    }

    /// What `command` mounts, there.
    pub(crate) fn mount_as(&mut self, command: &str) {
        let huge = self.huge.display().to_string();
        sh(&format!("{command} '{huge}'"));
        self.at_last(&format!("umount '{huge}'"));
    }

    /// A command that is run in the scene, and has to succeed. `$DIR` is the mount.
    pub(crate) fn sh(&self, script: &str) {
        sh(&format!("DIR='{}'\n{script}", self.huge.display()));
    }

    /// A command that is run when the scene goes.
    pub(crate) fn at_last(&mut self, script: &str) {
        let mut command = Command::new("sh");
        command.args(["-ec", script]);
        self.keep(AtLast(command));
    }

    /// A cgroup of the row's own.
    pub(crate) fn cgroup(&self, name: &str) -> Result<Group, Missing> {
        let name = format!("truth-{}-{name}", std::process::id());
        match &self.hierarchy {
            Some(v1) => Ok(Group::on(v1, &name)),
            None => self.machine.cgroup(&name),
        }
    }

    /// From here on, cgroups are made on v1.
    pub(crate) fn on_v1(&mut self) -> Result<(), Missing> {
        let v1 = Rc::new(Hierarchy::v1()?);
        self.keep(Rc::clone(&v1));
        self.hierarchy = Some(v1);
        Ok(())
    }

    /// The limit file of the row's size: `hugetlb.2MB.max` for `max`, or `hugetlb.2MB.limit_in_bytes` on v1.
    pub(crate) fn limit_file(&self, what: &str) -> String {
        let size = if self.size == SMALL { "2MB" } else { "1GB" };
        let what = if self.hierarchy.is_some() { &what.replace("max", "limit_in_bytes") } else { what };
        format!("hugetlb.{size}.{what}")
    }

    /// So many pages, in bytes.
    pub(crate) fn bytes(&self, pages: u64) -> u64 {
        pages * self.size.bytes()
    }

    /// Where the two sides meet.
    pub(crate) fn socket(&self) -> String {
        self.run.join("s").display().to_string()
    }

    /// Where the hugetlbfs is, if the workload uses one.
    pub(crate) fn directory(&self) -> Option<&Path> {
        self.kind.uses_directory().then_some(self.huge.as_path())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // What is kept of it unmounts it, as the last that goes.
        self.hierarchy = None;
        while let Some(made) = self.made.pop() {
            drop(made);
        }
    }
}

impl Drop for AtLast {
    fn drop(&mut self) {
        let status = self.0.status().unwrap();
        assert!(status.success(), "{:?}: {status}", self.0);
    }
}

fn gigabytes_to_be_had() -> u64 {
    (1..=MOST_GIGABYTES).rev().find(|pages| pools::Extra::add(LARGE, *pages).is_ok()).unwrap_or(0)
}

fn sh(script: &str) {
    let status = Command::new("sh").args(["-ec", script]).status().unwrap();
    assert!(status.success(), "{script}: {status}");
}
