//! As root, in a mount namespace of the test: the mounts as this kernel shows them.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use hugeprobe::domain::inventory::{DirectoryKind, WriteAttempt};
use hugeprobe::domain::reading::Reading;
use hugeprobe::linux::directory::inspect_directory;
use hugeprobe::linux::mounts;
use hugeprobe::linux::root::HostRoot;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use super::{MIB, size};

/// A directory in a mount namespace of this thread's own, under a tmpfs that takes all mounts below away with it.
struct Scratch(tempfile::TempDir);

impl Scratch {
    /// `None` without the right to make such a namespace.
    fn new() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let nothing = None::<&str>;
        let made = unshare(CloneFlags::CLONE_NEWNS)
            .and_then(|()| mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing))
            .and_then(|()| {
                mount(Some("none"), directory.path(), Some("tmpfs"), MsFlags::empty(), Some("mode=0755"))
            });
        match made {
            Ok(()) => Some(Self(directory)),
            Err(errno) => {
                println!("not run: a mount namespace of one's own is refused: {errno}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn make(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        umount2(self.path(), MntFlags::MNT_DETACH).unwrap();
    }
}

fn hugetlbfs(path: &Path, flags: MsFlags, options: &str) -> nix::Result<()> {
    mount(Some("none"), path, Some("hugetlbfs"), flags, Some(options))
}

fn kind(path: &Path) -> DirectoryKind {
    inspect_directory(path).kind.known().unwrap().clone()
}

/// As another user, in the eyes of the file system and for this thread alone.
fn as_nobody<T>(act: impl FnOnce() -> T) -> T {
    let before = nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65534));
    let result = act();
    nix::unistd::setfsuid(before);
    result
}

#[test]
fn this_kernel_shows_mounts_as_they_were_seen() {
    let Some(scratch) = Scratch::new() else { return };
    let small = size("2Mi");
    let plain = DirectoryKind::Hugetlbfs { size: small, pages: None, inodes: None };
    // options; limit and inodes among the mount's; what fstatfs tells; whether a file can be made
    for (index, (options, limit, inodes, expected)) in [
        ("pagesize=2M", None, None, plain.clone()),
        (
            "pagesize=2M,size=5M",
            Some(4 * MIB),
            None,
            DirectoryKind::Hugetlbfs { size: small, pages: Some((2, 2)), inodes: None },
        ),
        (
            "pagesize=2M,size=0",
            Some(0),
            None,
            DirectoryKind::Hugetlbfs { size: small, pages: Some((0, 0)), inodes: None },
        ),
        ("pagesize=2M,nr_inodes=1", None, Some(1), plain.clone()),
        ("pagesize=2M,nr_inodes=2", None, Some(2), plain.clone()),
        ("pagesize=2M,nr_inodes=3", None, Some(3), plain),
        (
            "pagesize=2M,nr_inodes=1,size=4M",
            Some(4 * MIB),
            Some(1),
            DirectoryKind::Hugetlbfs { size: small, pages: Some((2, 2)), inodes: Some((1, 0)) },
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let path = scratch.make(&format!("m {index}"));
        if let Err(errno) = hugetlbfs(&path, MsFlags::empty(), options) {
            println!("not run: this kernel mounts no hugetlbfs of 2Mi: {errno}");
            return;
        }
        let mounts = mounts::read_of(&HostRoot::default(), "/proc/thread-self");
        let mounts = mounts.known().unwrap();
        let shown = mounts.iter().find(|mount| Path::new(&mount.path) == path).unwrap();
        assert_eq!((shown.size, shown.limit_bytes, shown.inodes), (Some(small), limit, inodes), "{options}");

        let directory = inspect_directory(&path);
        assert_eq!(directory.kind, Reading::Known(expected), "{options}");
        assert_eq!(directory.device.as_ref(), Some(&shown.device));
        let may = directory.writable.known().unwrap().clone();
        assert_eq!(matches!(may, WriteAttempt::NoInode(_)), inodes == Some(1), "{options}: {may:?}");
        // The root directory has one.
        assert_eq!(matches!(may, WriteAttempt::LastInode(_)), inodes == Some(2), "{options}: {may:?}");
        let is_enough = inodes.is_none_or(|inodes| inodes >= 3);
        assert_eq!(may == WriteAttempt::Allowed, is_enough, "{options}: {may:?}");
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0, "{options}");
    }
}

#[test]
fn this_kernel_tells_read_only_from_not_permitted() {
    let Some(scratch) = Scratch::new() else { return };
    let (open, mine, read_only, secret) =
        ["open", "mine", "read-only", "secret"].map(|name| scratch.make(name)).into();
    if hugetlbfs(&open, MsFlags::empty(), "mode=0777").is_err() {
        return;
    }
    hugetlbfs(&mine, MsFlags::empty(), "").unwrap();
    hugetlbfs(&read_only, MsFlags::MS_RDONLY, "").unwrap();
    std::fs::set_permissions(&secret, Permissions::from_mode(0o700)).unwrap();
    std::fs::create_dir(secret.join("below")).unwrap();

    let answer = |path: &Path| inspect_directory(path).writable.known().unwrap().clone();
    assert_eq!(answer(&mine), WriteAttempt::Allowed);
    assert!(matches!(answer(&read_only), WriteAttempt::ReadOnly(text) if text.contains("EROFS")));
    as_nobody(|| {
        assert_eq!(answer(&open), WriteAttempt::Allowed);
        assert!(matches!(answer(&mine), WriteAttempt::Denied(text) if text.contains("EACCES")));
        let below = inspect_directory(&secret.join("below"));
        assert!(below.kind.is_trouble(), "{below:?}");
        assert!(matches!(below.writable, Reading::Known(WriteAttempt::Denied(_))));
    });
}

#[test]
fn this_kernel_hides_mounts_as_the_tables_say() {
    let Some(scratch) = Scratch::new() else { return };
    let (stacked, below, beside, itself) =
        ["stacked", "a/b", "a.b", "itself"].map(|name| scratch.make(name)).into();
    for path in [&stacked, &stacked, &below, &beside, &itself] {
        if hugetlbfs(path, MsFlags::empty(), "").is_err() {
            return;
        }
    }
    mount(Some("none"), &scratch.path().join("a"), Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    mount(Some(&itself), &itself, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    assert_eq!(kind(&scratch.path().join("a")), DirectoryKind::Other("tmpfs".into()));

    let mounts = mounts::read_of(&HostRoot::default(), "/proc/thread-self");
    let top = scratch.path().to_str().unwrap();
    let seen: Vec<_> = mounts
        .known()
        .unwrap()
        .iter()
        .filter_map(|mount| {
            let hider = mount.hidden_by.as_ref().map(|hider| hider.trim_start_matches(top).to_owned());
            Some((mount.path.strip_prefix(top)?.to_owned(), hider))
        })
        .collect();
    let expected = [
        ("/stacked", Some("/stacked")),
        ("/stacked", None),
        ("/a/b", Some("/a")),
        ("/a.b", None),
        ("/itself", None),
        ("/itself", None),
    ]
    .map(|(path, hider)| (path.to_owned(), hider.map(str::to_owned)));
    assert_eq!(seen, expected);
}
