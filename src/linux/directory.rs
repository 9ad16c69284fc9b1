//! The directory given with `--dir`: the type of its file system, what the limits of its mount still allow, and whether
//! files can be created there.
//!
//! The check allocates no huge page: an empty file on hugetlbfs has none.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{major, minor};
use nix::sys::statfs::{self, FsType, Statfs, fstatfs};

use super::unnamed_file::{self, Refused};
use hugeprobe_domain::inventory::{Directory, DirectoryKind, WriteAttempt};
use hugeprobe_domain::peer::PathKind;
use hugeprobe_domain::reading::Reading;
use hugeprobe_domain::size::PageSize;

/// Inspects `path`. If it is on hugetlbfs, also tries to create a file there.
#[must_use]
pub fn inspect_directory(path: &Path) -> Directory {
    let mut directory = Directory {
        path: path.display().to_string(),
        real_path: std::fs::canonicalize(path).ok().map(|real| real.display().to_string()),
        device: None,
        kind: Reading::Absent,
        writable: Reading::Absent,
        listing: Reading::Absent,
    };
    // O_PATH: creating files in a directory does not require permission to list it. O_DIRECTORY triggers an automount.
    let opened =
        File::options().read(true).custom_flags((OFlag::O_PATH | OFlag::O_DIRECTORY).bits()).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) => {
            let answer = format!("cannot open {}: {error}", path.display());
            directory.kind = match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                    Reading::Known(DirectoryKind::NotADirectory(what_is_at(path)))
                }
                _ => Reading::Unreadable(answer.clone()),
            };
            if error.kind() == io::ErrorKind::PermissionDenied {
                directory.writable = Reading::Known(WriteAttempt::Denied(answer));
            }
            return directory;
        }
    };
    directory.device =
        file.metadata().ok().map(|data| format!("{}:{}", major(data.dev()), minor(data.dev())));
    directory.kind = match fstatfs(&file) {
        Ok(answer) => kind_of(&answer),
        Err(errno) => Reading::Unreadable(format!("fstatfs of {} failed: {errno}", path.display())),
    };
    if matches!(directory.kind, Reading::Known(DirectoryKind::Hugetlbfs { .. })) {
        directory.writable = Reading::Known(try_to_create(&file));
        directory.listing = try_to_list(path);
    }
    directory
}

fn kind_of(answer: &Statfs) -> Reading<DirectoryKind> {
    if answer.filesystem_type() != statfs::HUGETLBFS_MAGIC {
        return Reading::Known(DirectoryKind::Other(name_of(answer.filesystem_type())));
    }
    let bytes = u64::try_from(answer.block_size()).unwrap_or_default();
    let Some(size) = PageSize::from_bytes(bytes) else {
        return Reading::Malformed(format!("fstatfs shows a hugetlbfs with blocks of {bytes} bytes"));
    };
    Reading::Known(DirectoryKind::Hugetlbfs {
        size,
        pages: pages_of(answer.blocks(), answer.blocks_free(), answer.files()),
        inodes: inodes_of(answer.files(), answer.files_free()),
    })
}

/// Returns the limit and the pages left, from `f_blocks`, `f_bfree` and `f_files`; `None` if there is no limit.
///
/// A mount with neither `size=` nor `min_size=` reports 0 in all fields. With `min_size=` alone, `f_blocks` is -1. With
/// `size=0`, which does forbid every page, `f_blocks` is 0 and `f_files` is not. Source: `hugetlbfs_statfs()` in
/// `fs/hugetlbfs/inode.c`; seen on 6.18.
fn pages_of(blocks: u64, free: u64, files: u64) -> Option<(u64, u64)> {
    let unlimited = blocks == u64::MAX || (blocks == 0 && files == 0);
    (!unlimited).then_some((blocks, free))
}

/// Returns the limit and the inodes left, from `f_files` and `f_ffree`; `None` if `f_files` is -1, which means no
/// `nr_inodes=`, or 0, where the kernel does not report it.
fn inodes_of(files: u64, free: u64) -> Option<(u64, u64)> {
    (files != u64::MAX && files != 0).then_some((files, free))
}

/// Creates an unnamed file, and a second one while the first exists: with `nr_inodes=`, there may be room for only one.
fn try_to_create(directory: impl AsFd) -> WriteAttempt {
    let first = unnamed_file::create(&directory);
    match (&first, unnamed_file::create(&directory)) {
        (Ok(_), Err(Refused { call, errno: Errno::ENOSPC })) => {
            WriteAttempt::LastInode(format!("{call} of a second file failed: {}", Errno::ENOSPC))
        }
        (Ok(_), _) => WriteAttempt::Allowed,
        (Err(Refused { call: "unlink", errno }), _) => {
            WriteAttempt::Failed(format!("a file was created, but unlink failed: {errno}"))
        }
        (Err(Refused { call, errno }), _) => refusal(call, *errno),
    }
}

/// Opens the directory for reading and lists it, as DPDK does when it starts.
fn try_to_list(path: &Path) -> Reading<()> {
    match std::fs::read_dir(path).and_then(|mut entries| entries.next().transpose()) {
        Ok(_) => Reading::Known(()),
        Err(error) => Reading::Unreadable(format!("open(O_RDONLY) failed: {error}")),
    }
}

fn refusal(call: &str, errno: Errno) -> WriteAttempt {
    let answer = format!("{call} failed: {errno}");
    match errno {
        Errno::EROFS => WriteAttempt::ReadOnly(answer),
        Errno::EACCES | Errno::EPERM => WriteAttempt::Denied(answer),
        Errno::ENOSPC => WriteAttempt::NoInode(answer),
        _ => WriteAttempt::Failed(answer),
    }
}

/// What is at `path`: a socket or something else. What may not be looked at counts as a socket, since connecting tells.
#[must_use]
pub fn kind_of_path(path: &Path) -> PathKind {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => PathKind::Socket,
        Err(error) if error.kind() != io::ErrorKind::NotFound => PathKind::Socket,
        Ok(_) | Err(_) => PathKind::Other(what_is_at(path)),
    }
}

/// What is at a path that could not be opened as a directory, in words.
fn what_is_at(path: &Path) -> String {
    if let Ok(metadata) = std::fs::metadata(path) {
        let kind = metadata.file_type();
        let name = if kind.is_dir() {
            "a directory"
        } else if kind.is_file() {
            "a regular file"
        } else if kind.is_socket() {
            "a socket"
        } else if kind.is_fifo() {
            "a named pipe"
        } else if kind.is_block_device() || kind.is_char_device() {
            "a device"
        } else {
            "not a directory"
        };
        return name.to_owned();
    }
    match std::fs::read_link(path) {
        Ok(target) => format!("a symbolic link to {}, which does not exist", target.display()),
        Err(_) => "nothing".to_owned(),
    }
}

/// Returns the name of a file system from its magic number (statfs(2), `include/uapi/linux/magic.h`).
fn name_of(magic: FsType) -> String {
    const NAMES: &[(FsType, &str)] = &[
        (statfs::TMPFS_MAGIC, "tmpfs"),
        (statfs::EXT4_SUPER_MAGIC, "ext4"),
        (statfs::XFS_SUPER_MAGIC, "xfs"),
        (statfs::BTRFS_SUPER_MAGIC, "btrfs"),
        (statfs::OVERLAYFS_SUPER_MAGIC, "overlayfs"),
        (statfs::NFS_SUPER_MAGIC, "nfs"),
        (statfs::FUSE_SUPER_MAGIC, "fuse"),
        (statfs::PROC_SUPER_MAGIC, "proc"),
        (statfs::SYSFS_MAGIC, "sysfs"),
        (statfs::CGROUP_SUPER_MAGIC, "cgroup"),
        (statfs::CGROUP2_SUPER_MAGIC, "cgroup2"),
    ];
    match NAMES.iter().find(|(number, _)| *number == magic) {
        Some((_, name)) => (*name).to_owned(),
        None => format!("a file system with the magic number {:#x}", magic.0),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn kind(path: &Path) -> DirectoryKind {
        inspect_directory(path).kind.known().unwrap().clone()
    }

    #[test]
    fn limits_are_told_from_none_by_what_linux_6_18_answers() {
        const NONE: u64 = u64::MAX;
        // Mount options; then f_blocks, f_bfree, f_files and f_ffree; then the expected pages and inodes.
        for (options, [blocks, free, files, files_free], pages, inodes) in [
            ("", [0, 0, 0, 0], None, None),
            ("nr_inodes=10", [0, 0, 0, 0], None, None),
            ("size=4M", [2, 2, NONE, NONE], Some((2, 2)), None),
            ("size=0", [0, 0, NONE, NONE], Some((0, 0)), None),
            ("size=1K", [0, 0, NONE, NONE], Some((0, 0)), None),
            ("min_size=2M", [NONE, NONE, NONE, NONE], None, None),
            ("size=4M,min_size=2M", [2, 1, NONE, NONE], Some((2, 1)), None),
            ("size=4M,nr_inodes=2", [2, 2, 2, 0], Some((2, 2)), Some((2, 0))),
            ("size=0,nr_inodes=2", [0, 0, 2, 1], Some((0, 0)), Some((2, 1))),
        ] {
            assert_eq!(pages_of(blocks, free, files), pages, "{options}");
            assert_eq!(inodes_of(files, files_free), inodes, "{options}");
        }
    }

    #[test]
    fn what_is_no_directory_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        std::fs::write(at("file"), "").unwrap();
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        symlink("/nowhere/at/all", at("dangling")).unwrap();
        symlink("file", at("to-file")).unwrap();
        for (name, what) in [
            ("none", "nothing"),
            ("file", "a regular file"),
            ("file/below", "nothing"),
            ("to-file", "a regular file"),
            ("fifo", "a named pipe"),
            ("dangling", "a symbolic link to /nowhere/at/all, which does not exist"),
        ] {
            assert_eq!(kind(&at(name)), DirectoryKind::NotADirectory(what.into()), "{name}");
        }
        assert_eq!(kind(Path::new("")), DirectoryKind::NotADirectory("nothing".into()));
    }

    #[test]
    fn a_socket_is_told_from_what_is_no_peer() {
        let scratch = tempfile::tempdir().unwrap();
        let socket = scratch.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert_eq!(kind_of_path(&socket), PathKind::Socket);
        assert_eq!(kind_of_path(&scratch.path().join("none")), PathKind::Other("nothing".into()));
        assert_eq!(kind_of_path(scratch.path()), PathKind::Other("a directory".into()));
    }

    #[test]
    fn another_file_system_is_named_and_nothing_is_created_there() {
        let proc = inspect_directory(Path::new("/proc"));
        assert_eq!(proc.kind, Reading::Known(DirectoryKind::Other("proc".into())));
        assert_eq!(proc.writable, Reading::Absent);
        assert_eq!(name_of(FsType(0x1234)), "a file system with the magic number 0x1234");
    }

    #[test]
    fn a_symbolic_link_is_followed_and_the_real_path_told() {
        let scratch = tempfile::tempdir().unwrap();
        symlink("/proc", scratch.path().join("link")).unwrap();
        let directory = inspect_directory(&scratch.path().join("link"));
        assert_eq!(directory.real_path.as_deref(), Some("/proc"));
        assert_eq!(directory.kind, Reading::Known(DirectoryKind::Other("proc".into())));
    }

    #[test]
    fn a_path_that_loops_is_unreadable_not_missing() {
        let scratch = tempfile::tempdir().unwrap();
        symlink("loop", scratch.path().join("loop")).unwrap();
        assert!(inspect_directory(&scratch.path().join("loop")).kind.is_trouble());
    }

    #[test]
    fn both_ways_of_creating_leave_nothing_behind() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = File::open(scratch.path()).unwrap();
        assert_eq!(try_to_create(&directory), WriteAttempt::Allowed);
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    }

    #[test]
    fn where_the_kernel_knows_no_nameless_files_a_name_is_tried() {
        if !nix::unistd::geteuid().is_root() {
            return; // other users already fail with a permission error on /proc
        }
        let answer = try_to_create(File::open("/proc").unwrap());
        assert!(matches!(&answer, WriteAttempt::Failed(text) if text.contains("O_CREAT")), "{answer:?}");
    }

    #[test]
    fn refusals_are_told_apart() {
        assert!(matches!(refusal("open", Errno::EROFS), WriteAttempt::ReadOnly(_)));
        assert!(matches!(refusal("open", Errno::EACCES), WriteAttempt::Denied(_)));
        assert!(matches!(refusal("open", Errno::EPERM), WriteAttempt::Denied(_)));
        assert!(matches!(refusal("open", Errno::ENOSPC), WriteAttempt::NoInode(_)));
        assert!(
            matches!(refusal("open", Errno::EMFILE), WriteAttempt::Failed(text) if text.contains("EMFILE"))
        );
    }

    #[test]
    fn a_directory_that_may_not_be_written_refuses() {
        if nix::unistd::geteuid().is_root() {
            return; // root may write everywhere; tests/limits/kernel.rs runs this as another uid
        }
        let scratch = tempfile::tempdir().unwrap();
        std::fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(0o555)).unwrap();
        assert!(matches!(try_to_create(File::open(scratch.path()).unwrap()), WriteAttempt::Denied(_)));
    }
}
