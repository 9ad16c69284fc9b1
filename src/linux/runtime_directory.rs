//! The directory in which a DPDK process keeps its files for secondary processes.
//!
//! Source: `eal_create_runtime_dir()` in `lib/eal/unix/eal_filesystem.c` of DPDK 22.11.

use std::env;
use std::path::{Path, PathBuf};

use hugeprobe_domain::inventory::{FreeSpace, RuntimeDirectory};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, faccessat, getuid};

use super::errno::named;
use super::root::HostRoot;
use super::status;

/// The longest path of a Unix socket in bytes, without the NUL.
const SOCKET_PATH: usize = 107;
/// Mode bits of a directory.
const OWNER_WRITES_AND_ENTERS: u32 = 0o300;
const OWNER_LISTS: u32 = 0o400;
/// Bit number in CapEff (`include/uapi/linux/capability.h`).
const CAP_DAC_OVERRIDE: u32 = 1;

/// Asks whether this process could create the directory of the default `--file-prefix`, or write to it if it exists, and how
/// much space is free there. `in_memory` is whether it runs with `--in-memory`. Creates nothing.
#[must_use]
pub fn inspect(in_memory: bool) -> RuntimeDirectory {
    let variable = |name| env::var_os(name).map(PathBuf::from);
    let base = variable("RUNTIME_DIRECTORY").unwrap_or_else(|| match getuid().as_raw() {
        0 => PathBuf::from("/var/run"),
        _ => variable("XDG_RUNTIME_DIR").unwrap_or_else(|| PathBuf::from("/tmp")),
    });
    below(&base, in_memory)
}

fn below(base: &Path, in_memory: bool) -> RuntimeDirectory {
    let path = base.join("dpdk/rte");
    // The directories that do not exist are created, except for the base itself.
    let deepest = [path.as_path(), &base.join("dpdk"), base]
        .into_iter()
        .find(|directory| directory.symlink_metadata().is_ok())
        .unwrap_or(base)
        .to_owned();
    let may_write = faccessat(AT_FDCWD, &deepest, AccessFlags::W_OK | AccessFlags::X_OK, AtFlags::AT_EACCESS);
    let refused = |errno: Errno| format!("access of {}: {}", deepest.display(), named(&errno.into()));
    RuntimeDirectory {
        path: path.display().to_string(),
        refused: may_write
            .err()
            .map(refused)
            .or_else(|| too_long(&path))
            .or_else(|| unusable_once_created(in_memory)),
        space: free_space(&deepest),
    }
}

/// Returns why DPDK cannot bind the socket of its telemetry, whose path is the longest.
///
/// Source: unix(7), `sun_path`.
fn too_long(path: &Path) -> Option<String> {
    let socket = path.join("dpdk_telemetry.v2");
    let bytes = socket.as_os_str().len();
    let why = || format!("the path of its socket has {bytes} bytes, and a Unix socket takes {SOCKET_PATH}");
    if bytes > SOCKET_PATH { Some(why()) } else { None }
}

/// Returns why DPDK may not create files in a directory that it has created: the umask takes away the owner's rights.
fn unusable_once_created(in_memory: bool) -> Option<String> {
    // It lists the directory only if it answers secondary processes.
    let needed = if in_memory { OWNER_WRITES_AND_ENTERS } else { OWNER_WRITES_AND_ENTERS | OWNER_LISTS };
    let read = status::read(&HostRoot::default(), "/proc/self");
    let status = read.known()?;
    let umask = status.umask.filter(|umask| umask & needed != 0)?;
    let overrides = status.capabilities.get().is_some_and(|set| set & (1 << CAP_DAC_OVERRIDE) != 0);
    if overrides { None } else { Some(format!("the umask is {umask:04o}")) }
}

fn free_space(directory: &Path) -> Option<FreeSpace> {
    let found = statvfs(directory).ok()?;
    // A tmpfs without a limit, and a file system that creates inodes as it needs them, report a total of 0.
    let limited = |total: u64, free: u64| if total == 0 { None } else { Some(free) };
    Some(FreeSpace {
        bytes: limited(found.blocks(), found.blocks_available().saturating_mul(found.fragment_size())),
        files: limited(found.files(), found.files_available()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_can_be_created_and_one_whose_base_is_missing() {
        let scratch = tempfile::tempdir().unwrap();
        assert_eq!(below(scratch.path(), true).refused, None);
        assert!(below(scratch.path(), true).space.is_some());
        assert!(below(&scratch.path().join("a"), true).refused.unwrap().contains("ENOENT"));
        std::fs::create_dir_all(scratch.path().join("dpdk/rte")).unwrap();
        assert_eq!(below(scratch.path(), true).refused, None);
        let long = scratch.path().join("a".repeat(SOCKET_PATH));
        assert!(too_long(&long).unwrap().contains("bytes"));
        assert_eq!(too_long(scratch.path()), None);
        let other = tempfile::tempdir().unwrap();
        std::fs::write(other.path().join("dpdk"), "").unwrap();
        assert!(
            below(other.path(), true).refused.unwrap().contains("EACCES"),
            "a file in place of the directory"
        );
    }
}
