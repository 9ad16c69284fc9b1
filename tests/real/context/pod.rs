//! A probe pod without a cluster: two containers as the kubelet and runc would make them.
//!
//! Each container is the program as process 1 of a PID namespace, with uid and gid 65532, no capabilities and no way to
//! gain any, the system calls of a container, a read-only root, a separate hugetlb cgroup and 32 MiB of memory. Both
//! share a hugetlbfs and a directory to meet in. These are in a separate mount namespace and disappear with it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use hugeprobe::domain::check::{Finding, Outcome, Verdict};
use hugeprobe::domain::compact::{Container, MESSAGE_LIMIT, Message, Run};
use hugeprobe::domain::judge::judge;
use hugeprobe::domain::request::{Request, Workload};
use hugeprobe::domain::size::PageSize;
use hugeprobe::probe::container::{Place, Probe, Terminated, conclude};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::cgroup::{Group, Hierarchy};
use super::child::Filter;
use super::program::PROGRAM;
use super::{Machine, Missing};

/// The mount options of the hugetlbfs if fsGroup is set, as the kubelet mounts it.
pub(crate) const WITH_FS_GROUP: &str = "gid=65532,mode=2775";
/// The mount options of the hugetlbfs if fsGroup is not set.
pub(crate) const WITHOUT_FS_GROUP: &str = "mode=0755";

/// The memory limit of a container of the chart, besides its pages, in bytes.
const MEMORY: u64 = 32 << 20;
/// The time limit of the containers of a pod, in seconds, if a test does not set another one.
const SECONDS: u64 = 120;

const RUN: &str = "0b5e4f0e-6c0f-4a6c-9f49-6b8a0c0f3a51";

/// The volumes and cgroups of a pod.
pub(crate) struct Pod {
    pub(crate) probe: Probe,
    /// The time limit of a container, in seconds.
    pub(crate) seconds: u64,
    pub(crate) filter: Filter,
    directory: tempfile::TempDir,
    /// The process that keeps the mount namespace alive.
    keeper: Child,
    groups: Groups,
    memory: [Option<PathBuf>; 2],
}

/// The hugetlb cgroups of both containers. A hierarchy that was mounted for them is unmounted after they are removed.
pub(crate) struct Groups {
    frontend: Group,
    backend: Group,
    _hierarchy: Option<Hierarchy>,
}

/// A running container, ended when dropped.
pub(crate) struct Running {
    /// unshare(1), which exits with the status of its child.
    outer: Child,
}

// === impl Groups ===

impl Groups {
    /// Creates the groups on the hierarchy that has the controller.
    pub(crate) fn new(machine: &Machine) -> Result<Self, Missing> {
        let v2 = || Ok((machine.cgroup("pod-frontend")?, machine.cgroup("pod-backend")?));
        match v2() {
            Ok((frontend, backend)) => Ok(Self { frontend, backend, _hierarchy: None }),
            Err(Missing(_)) => Self::v1(machine),
        }
    }

    /// Creates the groups on the v1 hierarchy.
    pub(crate) fn v1(machine: &Machine) -> Result<Self, Missing> {
        machine.root()?;
        let hierarchy = Hierarchy::v1()?;
        let [frontend, backend] = ["pod-frontend", "pod-backend"].map(|name| Group::on(&hierarchy, name));
        Ok(Self { frontend, backend, _hierarchy: Some(hierarchy) })
    }
}

// === impl Pod ===

impl Pod {
    /// Creates a pod in these cgroups, whose containers may each use `pages` pages of `size`.
    pub(crate) fn new(size: PageSize, pages: u64, options: &str, groups: Groups) -> Result<Self, Missing> {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().to_str().unwrap();
        [&groups.frontend, &groups.backend].into_iter().for_each(|group| group.limit(size, pages));
        // The directory is a tmpfs, so that the root can be made read-only without it.
        let script = format!(
            "set -e
            mount -t tmpfs -o mode=0755 tmpfs {root}
            mkdir {root}/hugepages {root}/run {root}/log {root}/rounds
            chmod 0777 {root}/run {root}/rounds
            [ -z '{options}' ] || mount -t hugetlbfs -o pagesize={},{options} none {root}/hugepages
            for file in program real; do : > {root}/$file; done
            mount --bind \"$1\" {root}/program; mount --bind \"$2\" {root}/real
            for container in frontend backend; do : > {root}/log/$container; chmod 0666 {root}/log/$container; done
            mount -o remount,bind,ro /
            echo made
            read -r end || true",
            size.mount_option()
        );
        let real = std::env::current_exe().unwrap();
        let mut keeper = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh", PROGRAM])
            .arg(real)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| Missing(format!("unshare ({error})")))?;
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "made\n", "the pod's volumes");
        let directory_of = |name: &str| format!("{root}/{name}");
        let probe = Probe {
            size,
            pages,
            frontend_pays: false,
            need: vec![],
            workload: Workload::Dpdk,
            judge_syscalls: false,
            directory: directory_of("hugepages"),
            peer: None,
        };
        let memory = Container::ALL.map(memory_group);
        Ok(Self { probe, seconds: SECONDS, filter: Filter::Container, directory, keeper, groups, memory })
    }

    /// Returns the hugetlb cgroup of a container.
    pub(crate) fn group(&self, container: Container) -> &Group {
        match container {
            Container::Frontend => &self.groups.frontend,
            Container::Backend => &self.groups.backend,
        }
    }

    /// Returns the name of the run.
    pub(crate) fn run() -> Run {
        RUN.parse().unwrap()
    }

    /// Returns the path at which the test sees a file of the pod's volumes.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        let inside = self.directory.path().join(name);
        Path::new("/proc")
            .join(self.keeper.id().to_string())
            .join("root")
            .join(inside.strip_prefix("/").unwrap())
    }

    /// Starts a container, for one run or for rounds.
    pub(crate) fn start(&self, container: Container, rounds: bool) -> Running {
        let root = self.directory.path().to_str().unwrap();
        let place = Place {
            rendezvous: format!("{root}/run"),
            run: RUN.to_owned(),
            report: format!("{root}/log/{container}"),
            seconds: self.seconds,
            rounds: rounds.then(|| format!("{root}/rounds")),
        };
        let joins = [Some(self.group(container).path().to_owned()), self.memory[container as usize].clone()];
        let joins: String = joins
            .iter()
            .flatten()
            .map(|path| format!("echo $$ > {}/cgroup.procs; ", path.display()))
            .collect();
        let script = format!(
            "set -e; {joins}exec unshare --mount --pid --fork --mount-proc \
             setpriv --reuid 65532 --regid 65532 --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs \
             {root}/real --as filtered {:?} {root}/program \"$@\"",
            self.filter
        );
        let outer = Command::new("nsenter")
            .arg(format!("--mount=/proc/{}/ns/mnt", self.keeper.id()))
            .args(["sh", "-c", &script, "sh"])
            .args(self.probe.arguments(container, &place))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Running { outer }
    }

    /// Runs both containers, asserts that they exit with 0, and returns the findings of the agent.
    pub(crate) fn play(&self) -> Vec<Finding> {
        // A real pod starts with an empty directory. Without this, a fast container would find the unlocked file of an
        // earlier peer and conclude that its peer has ended.
        for container in Container::ALL {
            let _ = fs::remove_file(self.path(&format!("run/{container}.alive")));
        }
        let running = Container::ALL.map(|container| self.start(container, false));
        for container in running {
            assert_eq!(container.end().code(), Some(0), "a container that wrote its message exits 0");
        }
        self.conclude()
    }

    /// Returns the message that a container left.
    pub(crate) fn message(&self, container: Container) -> String {
        let text = fs::read_to_string(self.path(&format!("log/{container}"))).unwrap();
        assert!(text.len() <= MESSAGE_LIMIT, "{text}");
        text
    }

    /// Returns the message that a container left, parsed.
    pub(crate) fn parsed(&self, container: Container) -> Message {
        let text = self.message(container);
        Message::parse(&text, container, self.probe.size, &Self::run())
            .unwrap_or_else(|error| panic!("{container}: {error}: {text}"))
    }

    /// Returns the findings of the agent from both messages.
    pub(crate) fn conclude(&self) -> Vec<Finding> {
        let terminated =
            |container| Terminated { message: Some(self.message(container)), reason: "in a test".to_owned() };
        conclude(&self.probe, &Self::run(), &Container::ALL.map(terminated)).findings
    }

    /// Returns the verdict of findings about this pod's page size.
    pub(crate) fn verdict(&self, findings: &[Finding]) -> Verdict {
        judge(&self.probe.plan(), &Request::default(), findings)[0].verdict
    }

    /// Asserts that the pod has left neither a file nor a socket that the next pod would find.
    #[track_caller]
    pub(crate) fn left_nothing(&self) {
        assert_eq!(fs::read_dir(self.path("hugepages")).unwrap().count(), 0);
        let sockets = fs::read_dir(self.path("run")).unwrap().map(|entry| entry.unwrap().file_name());
        let sockets: Vec<_> = sockets.filter(|name| name.to_str().unwrap().ends_with(".sock")).collect();
        assert!(sockets.is_empty(), "{sockets:?}");
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
        for memory in self.memory.iter().flatten() {
            for _ in 0..50 {
                if fs::remove_dir(memory).is_ok() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// Creates a cgroup with the memory limit of a container of the chart. Returns `None` if the controller is not
/// available.
fn memory_group(container: Container) -> Option<PathBuf> {
    let group = Path::new("/sys/fs/cgroup/memory").join(format!("hugeprobe-test-{container}"));
    let _ = fs::remove_dir(&group);
    fs::create_dir(&group).ok()?;
    fs::write(group.join("memory.limit_in_bytes"), MEMORY.to_string()).ok()?;
    Some(group)
}

/// Asserts the outcome of one check and returns its finding.
#[track_caller]
pub(crate) fn expect(findings: &[Finding], id: &str, outcome: Outcome) -> Finding {
    let finding = findings.iter().find(|finding| finding.id.to_string() == id);
    let finding = finding.unwrap_or_else(|| panic!("{id} was not concluded"));
    assert_eq!(finding.outcome, outcome, "{finding:#?}\nof {findings:#?}");
    finding.clone()
}

// === impl Running ===

impl Running {
    /// Returns the container's process 1, by its pid on the machine, once it exists.
    pub(crate) fn pid(&self) -> Option<Pid> {
        children(self.outer.id()).first().copied()
    }

    /// Sends a signal to the container's process, once it exists and is the program itself.
    pub(crate) fn signal(&self, signal: Signal) {
        wait_for("the container's process", || {
            let pid = self.pid()?;
            let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            words.windows(9).any(|word| word == b"container").then_some(())
        });
        kill(self.pid().unwrap(), signal).unwrap();
    }

    /// Waits until the container has a worker of this role.
    pub(crate) fn wait_for_worker(&self, role: &str) {
        let needle = format!("\"role\":\"{role}\"");
        wait_for(role, || {
            let workers = children(u32::try_from(self.pid()?.as_raw()).unwrap());
            let words = workers.iter().filter_map(|worker| fs::read(format!("/proc/{worker}/cmdline")).ok());
            words.into_iter().any(|words| String::from_utf8_lossy(&words).contains(&needle)).then_some(())
        });
    }

    /// Waits until the container has ended.
    pub(crate) fn end(mut self) -> ExitStatus {
        // Longer than the time limit of the containers.
        let limit = Duration::from_secs(SECONDS + 30);
        let begin = Instant::now();
        loop {
            if let Some(status) = self.outer.try_wait().unwrap() {
                return status;
            }
            assert!(begin.elapsed() < limit, "a container does not end within {limit:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A process that changes its user loses its parent-death signal (prctl(2)), so it must be killed here.
        if let Some(pid) = self.pid() {
            let _ = kill(pid, Signal::SIGKILL);
        }
        let _ = self.outer.kill();
        let _ = self.outer.wait();
    }
}

fn children(pid: u32) -> Vec<Pid> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap())).collect()
}

/// Waits until `look` returns something.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < super::HANGS, "{what} does not come");
        // A worker lives only a few milliseconds.
        std::thread::sleep(Duration::from_micros(200));
    }
}
