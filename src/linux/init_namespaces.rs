//! Checks whether this process is in the initial namespaces, which are the host's, and sees the host's `/run`.

use std::path::Path;

use super::mountinfo::{self, MountTable};
use super::root::{HostRoot, THIS_PROCESS};
use hugeprobe_domain::reading::Reading;

/// The link to a namespace of this process, and its target in the initial namespace: `PROC_PID_INIT_INO`,
/// `PROC_USER_INIT_INO` and `PROC_CGROUP_INIT_INO` in `include/linux/proc_ns.h`.
const PID_NAMESPACE: [&str; 2] = ["/proc/self/ns/pid", "pid:[4026531836]"];
const USER_NAMESPACE: [&str; 2] = ["/proc/self/ns/user", "user:[4026531837]"];
const CGROUP_NAMESPACE: [&str; 2] = ["/proc/self/ns/cgroup", "cgroup:[4026531835]"];

/// A directory, identified by the device of its file system and its path there, which are the same in every mount
/// namespace.
type Directory = (String, String);

/// Returns whether this process is in the initial PID namespace.
#[must_use]
pub fn is_initial_pid(root: &HostRoot) -> Reading<bool> {
    is_initial(root, PID_NAMESPACE)
}

/// Returns whether this process is in the initial user namespace.
#[must_use]
pub fn is_initial_user(root: &HostRoot) -> Reading<bool> {
    is_initial(root, USER_NAMESPACE)
}

/// Returns whether this process is in the initial cgroup namespace, where the path `/` is the root of a hierarchy.
#[must_use]
pub fn is_initial_cgroup(root: &HostRoot) -> Reading<bool> {
    is_initial(root, CGROUP_NAMESPACE)
}

fn is_initial(root: &HostRoot, [link, initial]: [&str; 2]) -> Reading<bool> {
    match root.link(link) {
        Ok(target) => Reading::Known(target == Path::new(initial)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Reading::Absent,
        Err(error) => Reading::Unreadable(format!("cannot read the link {link}: {error}")),
    }
}

/// Checks that this process is in the host's PID namespace, and that it sees the same directory at the path `directory`
/// as process 1 of the host.
///
/// # Errors
///
/// A sentence that says which of the two is not the case, or why that cannot be determined.
pub fn check(root: &HostRoot, directory: &str) -> Result<(), String> {
    match is_initial_pid(root) {
        Reading::Known(true) => {}
        Reading::Known(false) => {
            return Err("this process is in a PID namespace, as in a container".to_owned());
        }
        Reading::Absent => return Err("/proc/self/ns/pid does not exist".to_owned()),
        Reading::Unreadable(why) | Reading::Malformed(why) => return Err(why),
    }
    // Even root may not be allowed to open /proc/1/root, but mountinfo of process 1 is always readable.
    let [ours, hosts] = [THIS_PROCESS, "/proc/1"].map(|process| {
        match mountinfo::read(root, process, |table| Reading::Known(locate(table, directory))) {
            Reading::Known(Some(location)) => Ok(location),
            Reading::Known(None) => Err(format!("{process}/mountinfo has no mount for {directory}")),
            other => Err(other
                .required(&format!("{process}/mountinfo"))
                .why_unknown()
                .unwrap_or_default()
                .to_owned()),
        }
    });
    if ours? == hosts? { Ok(()) } else { Err(format!("{directory} is not the host's, as in a container")) }
}

/// Returns the location of `directory`; `None` if no mount has it.
fn locate(mounts: &MountTable<'_>, directory: &str) -> Option<Directory> {
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
            let result = checked(PID_NAMESPACE[1], ours, hosts);
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
