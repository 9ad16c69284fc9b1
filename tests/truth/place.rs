//! The environment in which a program runs: a cgroup, limits, a user and a seccomp filter, which are applied one after
//! another before the program is executed.
//!
//! The command is this test binary, started as `truth --as placed WORD... -- PROGRAM ARGUMENT...`. It applies the words
//! and then executes the program.

use std::os::fd::IntoRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

mod calls;

/// A place: the words that are applied, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place(Vec<String>);

/// The uid of the user `nobody`, which has no rights.
pub(crate) const NOBODY: u32 = 65534;

/// Runs `truth --as placed`, if the command line asks for it.
pub(crate) fn play(words: &[String]) -> Option<ExitCode> {
    let [first, second, rest @ ..] = words else { return None };
    match (first.as_str(), second.as_str()) {
        ("--as", "placed") => {}
        ("--as", "filtered") => return Some(filtered(rest)),
        _ => return None,
    }
    let end = rest.iter().position(|word| word == "--").unwrap();
    let program = &rest[end + 1..];
    let mut wrapped: Vec<String> = Vec::new();
    let (mut inherited, mut denied) = (0, Vec::new());
    // Applied together: becoming another user requires capabilities, and another user has none that could be dropped.
    let mut rights = Vec::new();
    for word in &rest[..end] {
        let (what, value) = word.split_once('=').unwrap();
        match what {
            "cgroup" => {
                std::fs::write(Path::new(value).join("cgroup.procs"), std::process::id().to_string())
                    .unwrap();
            }
            "deny" => denied.push(word.clone()),
            "uid" => rights.extend(become_user(&format!("{value}:{value}:"))),
            "without" => rights.extend([format!("--inh-caps=-{value}"), format!("--bounding-set=-{value}")]),
            "user" => rights.extend(become_user(value)),
            "hide" => own_mount(Some("none"), value, Some("tmpfs"), MsFlags::empty(), ""),
            "mask" => own_mount(Some("/dev/null"), value, None, MsFlags::MS_BIND, ""),
            "full" => {
                own_mount(Some("none"), value, Some("tmpfs"), MsFlags::empty(), "size=4k");
                std::fs::write(Path::new(value).join("filler"), [0; 4096]).unwrap();
            }
            "readonly" => {
                own_mount(Some(value), value, None, MsFlags::MS_BIND | MsFlags::MS_REC, "");
                let read_only = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
                own_mount(None, value, None, read_only, "");
            }
            "within" => {
                let (options, directory) = value.split_once('@').unwrap();
                own_mount(Some("none"), directory, Some("hugetlbfs"), MsFlags::empty(), options);
            }
            "procfs" => own_mount(Some("none"), "/proc", Some("proc"), MsFlags::empty(), value),
            "umask" => {
                nix::sys::stat::umask(
                    nix::sys::stat::Mode::from_bits(u32::from_str_radix(value, 8).unwrap()).unwrap(),
                );
            }
            // A program of the machine that changes something and then executes what it is given.
            "by" => wrapped.extend(value.split('+').map(str::to_owned)),
            "pidns" => wrapped.extend(pid_namespace(value)),
            "userns" => {
                // Writing an ID mapping requires capabilities, so these are dropped in the new namespace, which grants
                // them again. Without a mapping there are none to drop.
                let later = |option: &String| {
                    value != "unmapped" && (option.contains("caps") || option.contains("bounding"))
                };
                let (after, mut before) = rights.into_iter().partition(later);
                wrapped.extend(setpriv(&mut before));
                wrapped.extend(user_namespace(value));
                rights = after;
            }
            "cpus" => {
                let mut set = nix::sched::CpuSet::new();
                value.split(',').for_each(|cpu| set.set(cpu.parse().unwrap()).unwrap());
                nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set).unwrap();
            }
            "policy" => wrapped.extend(policy(value)),
            "class" => {
                let words = if value == "nice" { "nice -n 10" } else { "chrt --batch 0" };
                wrapped.extend(words.split(' ').map(str::to_owned));
            }
            "inherited" => inherited = value.parse().unwrap(),
            limit => rlimit(limit, value),
        }
    }
    wrapped.extend(setpriv(&mut rights));
    // The filter is for the program alone, not for what gives up rights or closes descriptors on the way: this binary
    // once more, as the last step.
    let filter = (!denied.is_empty()).then(this_binary);
    wrapped.extend(["bash", "-c", &descriptors(inherited, filter), "bash"].map(str::to_owned));
    if let Some(fd) = filter {
        wrapped.extend([
            format!("/proc/self/fd/{fd}"),
            "--as".to_owned(),
            "filtered".to_owned(),
            fd.to_string(),
        ]);
        wrapped
            .extend(denied.iter().filter_map(|word| word.split_once('=')).map(|(_, call)| call.to_owned()));
        wrapped.push("--".to_owned());
    }
    wrapped.extend_from_slice(program);
    let error = Command::new(&wrapped[0]).args(&wrapped[1..]).exec();
    eprintln!("{}: {error}", wrapped[0]);
    Some(ExitCode::from(127))
}

/// Returns a descriptor by which a user without rights may execute this binary, which is in a directory that others need
/// not be able to enter. It stays open across execve.
fn this_binary() -> i32 {
    let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
    fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    file.into_raw_fd()
}

/// Becomes the program under seccomp filters: `FD CALL:ANSWER... -- PROGRAM ARGUMENT...`. The descriptor is that of this
/// binary.
fn filtered(words: &[String]) -> ExitCode {
    let end = words.iter().position(|word| word == "--").unwrap();
    nix::unistd::close(words[0].parse::<i32>().unwrap()).unwrap();
    let program = &words[end + 1..];
    words[1..end].iter().for_each(|call| deny(call));
    let error = Command::new(&program[0]).args(&program[1..]).exec();
    eprintln!("{}: {error}", program[0]);
    ExitCode::from(127)
}

/// Returns a shell script that leaves `inherited` descriptors open besides 0, 1 and 2, and closes those that the tests
/// have inherited themselves.
fn descriptors(inherited: usize, kept: Option<i32>) -> String {
    let kept = kept.unwrap_or(0);
    let numbers = (3..).filter(|number| *number != kept).take(inherited);
    let open: String = numbers.map(|number| format!("exec {number}</dev/null; ")).collect();
    let close = format!(
        "for f in /proc/$$/fd/*; do n=${{f##*/}}; [ $n -le 2 ] || [ $n = 255 ] || [ $n = {kept} ] || eval \"exec $n>&-\"; done"
    );
    format!("{close}; {open}exec \"$@\"")
}

/// Returns a setpriv(1) command with these options and empties the list. Without options there is no command.
fn setpriv(options: &mut Vec<String>) -> Vec<String> {
    if options.is_empty() {
        Vec::new()
    } else {
        [vec!["setpriv".to_owned()], std::mem::take(options)].concat()
    }
}

/// Returns the setpriv(1) options for `UID:GID:GROUPS`.
fn become_user(value: &str) -> Vec<String> {
    let [uid, gid, groups] = value.splitn(3, ':').collect::<Vec<_>>()[..] else { panic!("no user {value}") };
    let groups = if groups.is_empty() { "--clear-groups".to_owned() } else { format!("--groups={groups}") };
    vec![format!("--reuid={uid}"), format!("--regid={gid}"), groups]
}

/// Mounts something that only this process and its children see.
fn own_mount(source: Option<&str>, target: &str, kind: Option<&str>, flags: MsFlags, options: &str) {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    mount(source, target, kind, flags, Some(options)).unwrap_or_else(|errno| panic!("{target}: {errno}"));
}

/// Returns a command that creates a PID namespace in which vm.memfd_noexec has this value.
fn pid_namespace(noexec: &str) -> Vec<String> {
    // Where /proc/sys is read-only, the value stays unchanged. A shell would need a descriptor from 10 on to write there, which
    // RLIMIT_NOFILE may deny.
    let script = format!(
        "if (open(my $file, '>', '/proc/sys/vm/memfd_noexec')) {{ print $file {noexec} }} exec @ARGV"
    );
    let words = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "perl", "-e", &script, "--"];
    words.map(str::to_owned).into()
}

/// Returns a command that sets the memory policy, for example `bind:0,1`: set_mempolicy(2).
fn policy(value: &str) -> Vec<String> {
    let (mode, nodes) = value.split_once(':').unwrap();
    // The modes of `include/uapi/linux/mempolicy.h`. MPOL_LOCAL takes no nodes.
    let number = match mode {
        "preferred" => 1,
        "bind" => 2,
        "interleave" => 3,
        "local" => 4,
        other => panic!("no policy {other}"),
    };
    let bits = nodes.split(',').map(|node| 1_u64 << node.parse::<u32>().unwrap()).sum::<u64>();
    let bits = if mode == "local" { 0 } else { bits };
    let script = format!(
        "my $mask = pack('Q', {bits}); syscall({}, {number}, $mask, 65) == 0 or die \"set_mempolicy: $!\"; exec @ARGV",
        nix::libc::SYS_set_mempolicy
    );
    ["perl", "-e", &script, "--"].map(str::to_owned).into()
}

fn user_namespace(mapping: &str) -> Vec<String> {
    let mapping: &[&str] = match mapping {
        "root" => &["--map-root-user"],
        "same" => &["--map-current-user"],
        "unmapped" => &[],
        other => panic!("no user namespace {other}"),
    };
    ["unshare", "--user"].iter().chain(mapping).map(|word| (*word).to_owned()).collect()
}

/// Sets a resource limit, for example `nofile` to `24:64` (soft and hard).
fn rlimit(name: &str, value: &str) {
    let resource = match name {
        "nofile" => Resource::RLIMIT_NOFILE,
        "as" => Resource::RLIMIT_AS,
        "memlock" => Resource::RLIMIT_MEMLOCK,
        "fsize" => Resource::RLIMIT_FSIZE,
        "data" => Resource::RLIMIT_DATA,
        "stack" => Resource::RLIMIT_STACK,
        "nproc" => Resource::RLIMIT_NPROC,
        "core" => Resource::RLIMIT_CORE,
        "cpu" => Resource::RLIMIT_CPU,
        "sigpending" => Resource::RLIMIT_SIGPENDING,
        "msgqueue" => Resource::RLIMIT_MSGQUEUE,
        "nice" => Resource::RLIMIT_NICE,
        "rtprio" => Resource::RLIMIT_RTPRIO,
        "locks" => Resource::RLIMIT_LOCKS,
        other => panic!("no place {other}"),
    };
    let (soft, hard) = value.split_once(':').unwrap_or((value, value));
    // Not above the hard limit of this process.
    let (_, most) = getrlimit(resource).unwrap();
    let [soft, hard] = [soft, hard].map(|text| most.min(text.parse().unwrap()));
    setrlimit(resource, soft, hard).unwrap();
}

/// Denies a system call: `mbind:EPERM`, `mbind:ENOSYS` or `mbind:kill`.
fn deny(call: &str) {
    let (call, answer) = call.split_once(':').unwrap();
    let number = calls::number(call);
    let errno = |errno: Errno| SeccompAction::Errno((errno as i32).unsigned_abs());
    let action = match answer {
        "EPERM" => errno(Errno::EPERM),
        "ENOSYS" => errno(Errno::ENOSYS),
        "kill" => SeccompAction::KillProcess,
        other => panic!("no answer {other}"),
    };
    let filter = SeccompFilter::new(
        [(number, vec![])].into(),
        SeccompAction::Allow,
        action,
        std::env::consts::ARCH.try_into().unwrap(),
    )
    .unwrap();
    seccompiler::apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
}

// === impl Place ===

impl Place {
    /// Adds a step: `nofile=24`, `inherited=3`, `hide=/sys`, `uid=65534`, `without=ipc_lock`, `deny=mbind:EPERM`. A
    /// step that removes rights must come after the steps that need them.
    pub(crate) fn add(&mut self, word: impl Into<String>) {
        self.0.push(word.into());
    }

    /// Adds a step that joins a cgroup. It comes first, because later steps may remove the right to do so.
    pub(crate) fn enter(&mut self, group: &Path) {
        self.0.insert(0, format!("cgroup={}", group.display()));
    }

    /// Returns a place with the steps of `other`, followed by those of this place.
    pub(crate) fn and(&self, other: &Self) -> Self {
        Self(other.0.iter().chain(&self.0).cloned().collect())
    }

    /// Returns a command that runs `program` in this place.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--as", "placed"]).args(&self.0).arg("--").arg(program.as_ref());
        command
    }
}
