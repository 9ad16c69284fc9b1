//! Checks whether this process is in the host's PID namespace and sees the host's `/run`.

use super::mountinfo::parse_mountinfo;
use super::root::HostRoot;
use hugeprobe_domain::reading::Reading;

/// The host's PID namespace: PROC_PID_INIT_INO in the kernel's include/linux/proc_ns.h, 0xEFFFFFFC.
const INIT_PID_NAMESPACE: &str = "pid:[4026531836]";

/// A directory, identified by the device of its file system and its path there, which are the same in every mount
/// namespace.
type Directory = (String, String);

/// Checks that this process is in the host's PID namespace, and that it sees the same directory at the path `directory`
/// as process 1 of the host.
///
/// # Errors
///
/// A sentence that says which of the two is not the case, or why that cannot be determined.
pub fn check(root: &HostRoot, directory: &str) -> Result<(), String> {
    match std::fs::read_link(root.path("/proc/self/ns/pid")) {
        Ok(namespace) if namespace.as_os_str() == INIT_PID_NAMESPACE => {}
        Ok(_) => return Err("this process is in a PID namespace, as in a container".to_owned()),
        Err(error) => return Err(format!("cannot read /proc/self/ns/pid: {error}")),
    }
    // Even root may not be allowed to open /proc/1/root, but mountinfo of process 1 is always readable.
    let [ours, hosts] =
        ["/proc/self/mountinfo", "/proc/1/mountinfo"].map(|table| locate(root, table, directory));
    if ours? == hosts? { Ok(()) } else { Err(format!("{directory} is not the host's, as in a container")) }
}

/// Returns the location of `directory` according to the mount table in the file `table`.
fn locate(root: &HostRoot, table: &str, directory: &str) -> Result<Directory, String> {
    let text = match root.table(table) {
        Reading::Known(text) => text,
        other => {
            let why = other.why_unknown().unwrap_or_default();
            return Err(format!("cannot read {table}: {why}"));
        }
    };
    let mounts = parse_mountinfo(&text)?;
    let below = |path: &str| {
        let rest = directory.strip_prefix(path.trim_end_matches('/'))?;
        (rest.is_empty() || rest.starts_with('/')).then(|| rest.to_owned())
    };
    mounts
        .iter()
        .filter(|mount| mounts.hider(mount).is_none())
        .filter_map(|mount| Some((mount, below(&mount.path)?)))
        .min_by_key(|(_, rest)| rest.len())
        .map(|(mount, rest)| (mount.device.to_owned(), format!("{}{rest}", mount.root.trim_end_matches('/'))))
        .ok_or_else(|| format!("{table} has no mount for {directory}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const ROOT: &str = "1 0 253:0 / / rw - ext4 /dev/vda rw\n";
    const RUN: &str = "2 1 0:25 / /run rw - tmpfs tmpfs rw\n";

    fn checked(namespace: &str, ours: &str, hosts: &str) -> Result<(), String> {
        let tree = tempfile::tempdir().unwrap();
        for (process, table) in [("self", ours), ("1", hosts)] {
            let process = tree.path().join("proc").join(process);
            std::fs::create_dir_all(process.join("ns")).unwrap();
            std::fs::write(process.join("mountinfo"), table).unwrap();
            symlink(namespace, process.join("ns/pid")).unwrap();
        }
        check(&HostRoot::new(tree.path()), "/run")
    }

    #[test]
    fn the_host_is_told_from_containers() {
        let both = [ROOT, RUN].concat();
        let own_run = [ROOT, "9 1 0:77 / /run rw - tmpfs tmpfs rw\n"].concat();
        let covered = [&both, "9 2 0:77 / /run rw - tmpfs tmpfs rw\n"].concat();
        for (case, ours, hosts, problem) in [
            ("a host", both.as_str(), both.as_str(), None),
            ("a host whose /run is on the root file system", ROOT, ROOT, None),
            ("a chroot with the host's /run", RUN, &both, None),
            ("a chroot with a bind mount of it", "7 6 253:0 /run /run rw - ext4 /dev/vda rw\n", ROOT, None),
            ("a container with a /run of its own", &own_run, &both, Some("not the host's")),
            ("a mount namespace where /run is covered", &covered, &both, Some("not the host's")),
            (
                "a chroot without /run",
                "7 6 253:0 /tmp /tmp rw - ext4 /dev/vda rw\n",
                ROOT,
                Some("has no mount"),
            ),
            (
                "a bind mount of another directory",
                "7 6 253:0 /r /run rw - ext4 /dev/vda rw\n",
                ROOT,
                Some("not the host's"),
            ),
            ("/runs is not /run", "7 6 0:25 / /runs rw - tmpfs none rw\n", &both, Some("has no mount")),
            ("an unreadable table", "x", ROOT, Some("mountinfo")),
        ] {
            let result = checked(INIT_PID_NAMESPACE, ours, hosts);
            match problem {
                None => assert_eq!(result, Ok(()), "{case}"),
                Some(part) => assert!(result.unwrap_err().contains(part), "{case}"),
            }
        }
        let error = checked("pid:[4026532701]", &both, &both).unwrap_err();
        assert!(error.contains("in a PID namespace"), "{error}");
    }

    #[test]
    fn without_proc_it_cannot_be_determined() {
        let tree = tempfile::tempdir().unwrap();
        let error = check(&HostRoot::new(tree.path()), "/run").unwrap_err();
        assert!(error.contains("/proc/self/ns/pid"), "{error}");
    }
}
