//! The directory in which a DPDK process keeps its files for secondary processes.
//!
//! Source: `eal_create_runtime_dir()` in `lib/eal/unix/eal_filesystem.c` of DPDK 22.11.

use std::env;
use std::path::{Path, PathBuf};

use hugeprobe_domain::inventory::RuntimeDirectory;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat, getuid};

use super::errno::named;

/// Asks whether this process could create the directory of the default `--file-prefix`, or write to it if it exists. Creates
/// nothing.
#[must_use]
pub fn inspect() -> RuntimeDirectory {
    let variable = |name| env::var_os(name).map(PathBuf::from);
    let base = variable("RUNTIME_DIRECTORY").unwrap_or_else(|| match getuid().as_raw() {
        0 => PathBuf::from("/var/run"),
        _ => variable("XDG_RUNTIME_DIR").unwrap_or_else(|| PathBuf::from("/tmp")),
    });
    below(&base)
}

fn below(base: &Path) -> RuntimeDirectory {
    let path = base.join("dpdk/rte");
    // The directories that do not exist are created, except for the base itself.
    let deepest = [path.as_path(), &base.join("dpdk"), base]
        .into_iter()
        .find(|directory| directory.symlink_metadata().is_ok())
        .unwrap_or(base)
        .to_owned();
    let may_write = faccessat(AT_FDCWD, &deepest, AccessFlags::W_OK | AccessFlags::X_OK, AtFlags::AT_EACCESS);
    let refused = |errno: Errno| format!("access of {}: {}", deepest.display(), named(&errno.into()));
    RuntimeDirectory { path: path.display().to_string(), refused: may_write.err().map(refused) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_can_be_created_and_one_whose_base_is_missing() {
        let scratch = tempfile::tempdir().unwrap();
        assert_eq!(below(scratch.path()).refused, None);
        assert!(below(&scratch.path().join("a")).refused.unwrap().contains("ENOENT"));
        std::fs::create_dir_all(scratch.path().join("dpdk/rte")).unwrap();
        assert_eq!(below(scratch.path()).refused, None);
        let other = tempfile::tempdir().unwrap();
        std::fs::write(other.path().join("dpdk"), "").unwrap();
        assert!(below(other.path()).refused.unwrap().contains("EACCES"), "a file is no directory");
    }
}
