//! The environment in which runs are killed: a cgroup that contains every process of a run, whatever its session and
//! parent, and a mount namespace with a hugetlbfs. It also records what a run could leave behind.

use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

use crate::context::cgroup::Group;
use crate::context::random::Random;
use crate::context::{Machine, Missing, SMALL, pools};

/// How long restoring may take after a kill, in seconds, besides the rest of the run. After this time it counts as
/// failed. `HUGEPROBE_RESTORED_WITHIN` sets a longer time for an emulated machine. On an idle machine 2 s are enough,
/// but no test measures that, because it would depend on what else the machine does.
const RESTORED_WITHIN: u64 = 30;
/// How long the kernel may take to free the pages of a run after its last process has ended.
const SETTLED: Duration = Duration::from_secs(2);
/// How long other programs may keep the pools changed before a difference is attributed to the run.
const OTHERS_TAKE: Duration = Duration::from_secs(20);

/// Where `--reserve` keeps its journals.
const RUN_DIRECTORY: &str = "/run/hugeprobe";

/// The environment of the killed runs.
#[derive(Debug)]
pub(super) struct Scene {
    group: Group,
    directory: TempDir,
    /// The counters of the pools before anything was run here.
    base: Counters,
    patience: Duration,
    random: RefCell<Random>,
}

type Counters = BTreeMap<PathBuf, u64>;

/// What runs must leave unchanged.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Remains {
    /// Every counter of the pools of 2Mi, in total and per NUMA node.
    pub(super) counters: Counters,
    others: Others,
}

/// What no other program changes.
#[derive(Debug, Clone, PartialEq)]
struct Others {
    mounts: String,
    files: BTreeSet<OsString>,
    segments: BTreeSet<String>,
}

/// The result of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// Everything is as before.
    Counts,
    /// Other programs changed the pools: the pools changed back when no process of the run was left that could do so.
    Disturbed,
}

/// Creates the environment and runs `act` in it.
pub(super) fn on(machine: &Machine, act: impl FnOnce(&Scene) + Send) -> Result<(), Missing> {
    let group = machine.cgroup("kill")?;
    if !group.path().join("cgroup.kill").exists() {
        return Err(Missing("cgroup.kill (Linux 5.14)".to_owned()));
    }
    // In a separate thread, because the mount namespace ends with the thread.
    let done = thread::scope(|scope| scope.spawn(|| act(&Scene::new(group))).join());
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    Ok(())
}

// === impl Scene ===

impl Scene {
    fn new(group: Group) -> Self {
        let directory = tempfile::tempdir().unwrap();
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_PRIVATE | MsFlags::MS_REC, None::<&str>).unwrap();
        mount(Some("none"), directory.path(), Some("hugetlbfs"), MsFlags::empty(), Some("pagesize=2M"))
            .unwrap();
        let patience =
            std::env::var("HUGEPROBE_RESTORED_WITHIN").map_or(RESTORED_WITHIN, |text| text.parse().unwrap());
        Self {
            group,
            directory,
            base: counters(),
            patience: Duration::from_secs(patience),
            random: RefCell::new(Random::new()),
        }
    }

    /// Returns the directory of the cgroup.
    pub(super) fn group(&self) -> &Path {
        self.group.path()
    }

    /// Returns the random number generator.
    pub(super) fn random(&self) -> RefMut<'_, Random> {
        self.random.borrow_mut()
    }

    /// Returns the mount point of the hugetlbfs.
    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Returns the processes of the run, with the verb that each was started with.
    pub(super) fn processes(&self) -> Vec<(i32, String)> {
        let pids = fs::read_to_string(self.group().join("cgroup.procs")).unwrap();
        pids.lines().filter_map(|pid| Some((pid.parse().ok()?, verb(pid)))).collect()
    }

    /// Kills all processes of the run at the same moment.
    pub(super) fn kill_all(&self) {
        fs::write(self.group().join("cgroup.kill"), "1").unwrap();
    }

    /// Returns the current state of everything that a run must leave unchanged.
    pub(super) fn remains(&self) -> Remains {
        let files = fs::read_dir(self.directory()).unwrap().map(|entry| entry.unwrap().file_name());
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let segments = fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
        // Key and id. The other columns change with use.
        let id = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        let others = Others { mounts, files: files.collect(), segments: segments.lines().map(id).collect() };
        Remains { counters: counters(), others }
    }

    /// Waits until everything is as `before`, no process of the run lives, and it has left no journal. `since` is the
    /// time of the kill. `rest` is how long the rest of the run may take.
    pub(super) fn restored(&self, before: &Remains, since: Instant, rest: Duration) -> Result<Round, String> {
        let mut left_at = None;
        loop {
            let processes = self.processes();
            if processes.is_empty() {
                left_at.get_or_insert_with(Instant::now);
            }
            let journals = if processes.is_empty() { dead_journals() } else { Vec::new() };
            let now = self.remains();
            if processes.is_empty() && journals.is_empty() && now == *before {
                return Ok(Round::Counts);
            }
            let is_over = left_at.is_some_and(|left| left.elapsed() > SETTLED);
            if is_over && processes.is_empty() && journals.is_empty() && now.others == before.others {
                return self.changed_by_others(before);
            } else if since.elapsed() < rest + self.patience {
                thread::sleep(Duration::from_millis(2));
            } else {
                return Err(format!(
                    "after {:?}: processes {processes:?}, journals {journals:?}, {}",
                    since.elapsed(),
                    now.against(before)
                ));
            }
        }
    }

    /// Handles pools that differ although no process is left that could give pages back for the run. If they still
    /// change back, to the state at the start of the round or before the first one, other programs had changed them.
    fn changed_by_others(&self, before: &Remains) -> Result<Round, String> {
        let since = Instant::now();
        loop {
            let now = counters();
            if now == before.counters || now == self.base {
                return Ok(Round::Disturbed);
            }
            if since.elapsed() > OTHERS_TAKE {
                let before = &before.counters;
                return Err(format!(
                    "not given back\nbefore: {before:?}\nnow:    {now:?}\nat first: {:?}",
                    self.base
                ));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Remains {
    /// Describes the differences from `before`.
    fn against(&self, before: &Self) -> String {
        let counter = |path: &PathBuf| (self.counters.get(path), before.counters.get(path));
        let paths: BTreeSet<&PathBuf> = self.counters.keys().chain(before.counters.keys()).collect();
        let other = paths.into_iter().filter(|path| counter(path).0 != counter(path).1);
        let mut told: Vec<String> = other
            .map(|path| format!("{} was {:?} and is {:?}", path.display(), counter(path).1, counter(path).0))
            .collect();
        if self.others != before.others {
            told.push(format!("{:?} was {:?}", self.others, before.others));
        }
        if told.is_empty() { "all else as before".to_owned() } else { told.join("; ") }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // After a failure, a living process could prevent the group from being removed.
        self.kill_all();
        let _ = umount2(self.directory(), MntFlags::MNT_DETACH);
    }
}

fn counters() -> Counters {
    let mut counters = pools::snapshot();
    counters.retain(|path, _| path.components().any(|part| part.as_os_str() == SMALL.sysfs_name().as_str()));
    counters
}

/// Returns the first argument of a process, or an empty string if the process is gone.
fn verb(pid: &str) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let verb = line.split(|byte| *byte == 0).nth(1).unwrap_or_default();
    String::from_utf8_lossy(verb).into_owned()
}

/// Returns the names of the files in the run directory that belong to no living guardian, or a note that it exists but
/// is empty.
fn dead_journals() -> Vec<String> {
    let Ok(entries) = fs::read_dir(RUN_DIRECTORY) else { return Vec::new() };
    let names: Vec<String> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    if names.is_empty() {
        return vec![format!("none, but {RUN_DIRECTORY} is there")];
    }
    let guardian = |name: &String| verb(name.split('-').next().unwrap_or_default()) == "guardian";
    names.into_iter().filter(|name| !guardian(name)).collect()
}
