//! Processes that tests run besides the program under test: holders of pages, and the program under a seccomp filter.
//!
//! Each one is this test binary, started as `real --as NAME ...`, so that nothing else has to be installed.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

use hugeprobe::domain::size::{HugeLen, PageSize};
use hugeprobe::linux::map::{Fill, Mapping};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use super::program::{PROGRAM, Run, in_cgroup, run};

/// How a holder holds its pages.
#[derive(Debug, Clone, Copy)]
pub(crate) enum How {
    /// The pages are mapped and written to.
    Touched,
    /// The pages are only mapped: reserved, but not allocated.
    Reserved,
}

/// A seccomp filter that removes system calls.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Filter {
    /// madvise(MADV_POPULATE_WRITE) returns EINVAL, as before Linux 5.14.
    OldKernel,
    /// mbind and set_mempolicy return EPERM, as under a container's default profile.
    NoMbind,
    /// mbind returns 0 and does nothing.
    DeafMbind,
    /// Everything that a container may not do by default and hugeprobe might try: memory policies, mounts, namespaces.
    Container,
    /// The same as `Container`, on a kernel before 5.14.
    ContainerOfOldKernel,
}

/// A process that holds pages until it is dropped.
#[derive(Debug)]
pub(crate) struct Holder(Child);

/// Starts a process that holds `pages` pages of `size`. It holds them when this returns.
pub(crate) fn hold(size: PageSize, pages: u64, how: How) -> Holder {
    let how = format!("{how:?}");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--as", "holder", &size.to_string(), &pages.to_string(), &how])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "held\n", "the holder of {pages} pages of {size}");
    Holder(child)
}

/// Runs the program with `arguments` under `filter`.
pub(crate) fn under(filter: Filter, arguments: &[&str]) -> Run {
    run(Command::new(std::env::current_exe().unwrap()).args(words(filter)).args(arguments))
}

/// Does the same in a cgroup.
pub(crate) fn under_in_cgroup(group: &Path, filter: Filter, arguments: &[&str]) -> Run {
    let mut command = in_cgroup(group);
    run(command.arg(std::env::current_exe().unwrap()).args(words(filter)).args(arguments))
}

/// Returns the arguments with which this binary becomes the program under a filter.
fn words(filter: Filter) -> [String; 4] {
    ["--as".to_owned(), "filtered".to_owned(), format!("{filter:?}"), PROGRAM.to_owned()]
}

/// Runs one of these processes, if the command line names one.
pub(crate) fn main() -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["--as", "holder", size, pages, how] => holder(size.parse().unwrap(), pages.parse().unwrap(), how),
        ["--as", "filtered", filter, program, rest @ ..] => filtered(filter, program, rest),
        _ => return None,
    }
    Some(ExitCode::SUCCESS)
}

fn holder(size: PageSize, pages: u64, how: &str) {
    let mapping = Mapping::anonymous(HugeLen::new(size, pages).unwrap(), Fill::OnTouch).unwrap();
    if how == "Touched" {
        mapping.populate_write(0..pages).unwrap();
    }
    println!("held");
    // Wait until the process that started this one drops the holder.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

fn filtered(filter: &str, program: &str, arguments: &[&str]) {
    let populate_write = || {
        let populate_write = u64::try_from(nix::libc::MADV_POPULATE_WRITE).unwrap();
        let advice =
            SeccompCondition::new(2, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, populate_write).unwrap();
        vec![(nix::libc::SYS_madvise, vec![SeccompRule::new(vec![advice]).unwrap()])]
    };
    let filters = match filter {
        "OldKernel" => vec![(nix::libc::EINVAL, populate_write())],
        "Container" => vec![(nix::libc::EPERM, forbidden_to_containers())],
        "ContainerOfOldKernel" => {
            vec![(nix::libc::EPERM, forbidden_to_containers()), (nix::libc::EINVAL, populate_write())]
        }
        "NoMbind" => vec![(
            nix::libc::EPERM,
            [nix::libc::SYS_mbind, nix::libc::SYS_set_mempolicy].map(|call| (call, vec![])).to_vec(),
        )],
        "DeafMbind" => vec![(0, vec![(nix::libc::SYS_mbind, vec![])])],
        other => panic!("no filter {other}"),
    };
    for (errno, rules) in filters {
        let filter = SeccompFilter::new(
            rules.into_iter().collect(),
            SeccompAction::Allow,
            SeccompAction::Errno(u32::try_from(errno).unwrap()),
            std::env::consts::ARCH.try_into().unwrap(),
        )
        .unwrap();
        seccompiler::apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
    }
    let error = Command::new(program).args(arguments).exec();
    let _ = writeln!(std::io::stderr(), "{program}: {error}");
    std::process::exit(127);
}

/// Returns the system calls that containers may not use. Source: the default profile of containerd and moby, for a
/// process without capabilities.
fn forbidden_to_containers() -> Vec<(i64, Vec<SeccompRule>)> {
    use nix::libc;
    [
        libc::SYS_get_mempolicy,
        libc::SYS_set_mempolicy,
        libc::SYS_mbind,
        libc::SYS_move_pages,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_fsopen,
        libc::SYS_fsconfig,
        libc::SYS_fsmount,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_keyctl,
        libc::SYS_userfaultfd,
    ]
    .map(|call| (call, vec![]))
    .to_vec()
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}
