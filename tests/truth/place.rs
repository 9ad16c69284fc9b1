//! Where a program runs: a cgroup, limits, a user, a seccomp filter, one after another before it is executed.
//!
//! This test binary again, started as `truth --as placed WORD... -- PROGRAM ARGUMENT...`, takes its place by the words
//! and becomes the program.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use nix::errno::Errno;
use nix::libc;
use nix::sys::resource::{Resource, setrlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// A place, as the words that lead there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place(Vec<String>);

/// Nobody: a user without rights.
pub(crate) const NOBODY: u32 = 65534;

/// What `truth --as placed` is, if the command line says so.
pub(crate) fn play(words: &[String]) -> Option<ExitCode> {
    let [first, second, rest @ ..] = words else { return None };
    if first != "--as" || second != "placed" {
        return None;
    }
    let end = rest.iter().position(|word| word == "--").unwrap();
    let program = &rest[end + 1..];
    let mut wrapped: Vec<String> = Vec::new();
    let mut inherited = 0;
    for word in &rest[..end] {
        let (what, value) = word.split_once('=').unwrap();
        match what {
            "cgroup" => {
                std::fs::write(Path::new(value).join("cgroup.procs"), std::process::id().to_string())
                    .unwrap();
            }
            "deny" => deny(value),
            "uid" => wrapped.extend(setpriv(&format!("--reuid={value} --regid={value} --clear-groups"))),
            "without" => wrapped.extend(setpriv(&format!("--bounding-set=-{value} --inh-caps=-{value}"))),
            "hide" => {
                nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
                let over = Some("none");
                let (kind, flags) = (Some("tmpfs"), nix::mount::MsFlags::empty());
                nix::mount::mount(over, value, kind, flags, None::<&str>).unwrap();
            }
            "inherited" => inherited = value.parse().unwrap(),
            limit => rlimit(limit, value),
        }
    }
    wrapped.extend(["bash", "-c", &descriptors(inherited), "bash"].map(str::to_owned));
    wrapped.extend_from_slice(program);
    let error = Command::new(&wrapped[0]).args(&wrapped[1..]).exec();
    eprintln!("{}: {error}", wrapped[0]);
    Some(ExitCode::from(127))
}

/// Leaves so many descriptors open beyond 0, 1 and 2, and none of those that whoever runs the tests left behind.
fn descriptors(inherited: usize) -> String {
    let open: String = (3..3 + inherited).map(|number| format!("exec {number}</dev/null; ")).collect();
    let close =
        "for f in /proc/$$/fd/*; do n=${f##*/}; [ $n -le 2 ] || [ $n = 255 ] || eval \"exec $n>&-\"; done";
    format!("{close}; {open}exec \"$@\"")
}

fn setpriv(options: &str) -> Vec<String> {
    std::iter::once("setpriv").chain(options.split(' ')).map(str::to_owned).collect()
}

/// `nofile`, `24:64`: soft and hard.
fn rlimit(name: &str, value: &str) {
    let resource = match name {
        "nofile" => Resource::RLIMIT_NOFILE,
        "as" => Resource::RLIMIT_AS,
        "memlock" => Resource::RLIMIT_MEMLOCK,
        "fsize" => Resource::RLIMIT_FSIZE,
        other => panic!("no place {other}"),
    };
    let (soft, hard) = value.split_once(':').unwrap_or((value, value));
    setrlimit(resource, soft.parse().unwrap(), hard.parse().unwrap()).unwrap();
}

/// `mbind:EPERM`.
fn deny(call: &str) {
    let (call, errno) = call.split_once(':').unwrap();
    let number = match call {
        "get_mempolicy" => libc::SYS_get_mempolicy,
        "set_mempolicy" => libc::SYS_set_mempolicy,
        "mbind" => libc::SYS_mbind,
        "madvise" => libc::SYS_madvise,
        "memfd_create" => libc::SYS_memfd_create,
        "mlockall" => libc::SYS_mlockall,
        other => panic!("no number for {other}"),
    };
    let errno = match errno {
        "EPERM" => Errno::EPERM,
        "ENOSYS" => Errno::ENOSYS,
        other => panic!("no number for {other}"),
    };
    let filter = SeccompFilter::new(
        [(number, vec![])].into(),
        SeccompAction::Allow,
        SeccompAction::Errno((errno as i32).unsigned_abs()),
        std::env::consts::ARCH.try_into().unwrap(),
    )
    .unwrap();
    seccompiler::apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
}

// === impl Place ===

impl Place {
    /// Goes one step further: `nofile=24`, `inherited=3`, `hide=/sys`, `uid=65534`, `without=ipc_lock`, `deny=mbind:EPERM`.
    pub(crate) fn add(&mut self, word: impl Into<String>) {
        self.0.push(word.into());
    }

    /// Into a cgroup: first of all, while there is still the right to.
    pub(crate) fn enter(&mut self, group: &Path) {
        self.0.insert(0, format!("cgroup={}", group.display()));
    }

    /// This place, and from there on to `other`.
    pub(crate) fn and(&self, other: &Self) -> Self {
        Self(other.0.iter().chain(&self.0).cloned().collect())
    }

    /// `program`, started there.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--as", "placed"]).args(&self.0).arg("--").arg(program.as_ref());
        command
    }
}
