//! Leaves out of a recording what the inspections do not use: other processes, other mounts, other boot parameters.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{Contents, LONGEST, MOST_BYTES, MOST_FILES};
use hugeprobe_linux::mountinfo::{Mount, parse_mountinfo};
use hugeprobe_linux::recording::Recorded;
use hugeprobe_linux::smaps::{Entry, entries};
use hugeprobe_linux::status;

/// The lines of `/proc/PID/status` that are kept.
const STATUS: [&str; 11] = [
    "Name",
    "State",
    "Threads",
    "VmSize",
    "HugetlbPages",
    "Uid",
    "Gid",
    "CapEff",
    "Cpus_allowed_list",
    "Mems_allowed_list",
    "Seccomp",
];
/// The beginnings of the boot parameters that are kept, with `_` for `-`.
const BOOT: [&str; 9] = [
    "hugepages",
    "hugetlb",
    "default_hugepagesz",
    "transparent_hugepage",
    "numa",
    "cgroup",
    "swapaccount",
    "systemd.unified_cgroup_hierarchy",
    "movable_node",
];
/// The files of a cgroup that are not read, and whose presence tells the root of a hierarchy from other cgroups.
const CGROUP: [&str; 3] = ["cgroup.controllers", "cgroup.events", "release_agent"];

type Tree = BTreeMap<PathBuf, Recorded>;

/// Returns what is kept of a recording. Notes in `contents` what could not be read and what is left out for its size.
pub(super) fn reduce(recording: Tree, contents: &mut Contents) -> Tree {
    let others: BTreeSet<PathBuf> = recording
        .iter()
        .filter_map(|(path, recorded)| Some((process_of(path)?, path, recorded)))
        .filter(|(_, path, recorded)| path.ends_with("status") && !has_huge_pages(recorded))
        .map(|(process, ..)| process)
        .collect();
    let mut tree = Tree::new();
    for (path, recorded) in recording {
        // A process whose status is gone or unreadable has nothing that could be attributed to it.
        if process_of(&path).is_some_and(|process| others.contains(&process)) {
            continue;
        }
        match recorded {
            Recorded::Names(names) => {
                for name in names.iter().filter(|name| CGROUP.contains(&name.as_str())) {
                    tree.entry(path.join(name)).or_insert(Recorded::Text(Vec::new()));
                }
                tree.insert(path, Recorded::Names(Vec::new()));
            }
            Recorded::Text(bytes) => {
                let text = reduced(&path, &String::from_utf8_lossy(&bytes));
                tree.insert(path, Recorded::Text(text.into_bytes()));
            }
            Recorded::Unreadable(why) => {
                contents.unreadable.insert(path.clone(), why.clone());
                tree.insert(path, Recorded::Unreadable(why));
            }
            link @ Recorded::Link(_) => {
                tree.insert(path, link);
            }
        }
    }
    bounded(tree, contents)
}

/// Marks what does not fit as unreadable: left out, it would look like a file that does not exist.
fn bounded(tree: Tree, contents: &mut Contents) -> Tree {
    let (mut files, mut bytes) = (0, 0);
    let kept = tree.into_iter().map(|(path, recorded)| {
        let length = match &recorded {
            Recorded::Text(text) => text.len() as u64,
            _ => 0,
        };
        if length <= LONGEST && bytes + length <= MOST_BYTES && files < MOST_FILES {
            (files, bytes) = (files + 1, bytes + length);
            return (path, recorded);
        }
        contents.left_out.push(path.clone());
        (path, Recorded::Unreadable("left out for its size".to_owned()))
    });
    kept.collect()
}

/// Returns the directory of the process that a path belongs to: `/proc/12` of `/proc/12/smaps`.
fn process_of(path: &Path) -> Option<PathBuf> {
    let below = path.strip_prefix("/proc").ok()?;
    let pid = below.iter().next()?.to_str()?;
    pid.bytes().all(|byte| byte.is_ascii_digit()).then(|| Path::new("/proc").join(pid))
}

/// Returns whether a status shows huge pages, or may do so.
fn has_huge_pages(status: &Recorded) -> bool {
    match status {
        Recorded::Text(bytes) => {
            let status = status::parse("status", &String::from_utf8_lossy(bytes));
            status.has_memory && status.huge_bytes != Some(0)
        }
        _ => true,
    }
}

/// Returns what is kept of the text of one file.
fn reduced(path: &Path, text: &str) -> String {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    match name {
        "status" => kept_lines(text, |line| STATUS.contains(&line.split(':').next().unwrap_or_default())),
        "smaps" => huge_mappings(text),
        "mountinfo" => mounts(text),
        "cmdline" => boot_parameters(text),
        "cpuinfo" => first_cpu(text),
        _ => text.to_owned(),
    }
}

fn kept_lines(text: &str, is_kept: impl FnMut(&&str) -> bool) -> String {
    text.lines().filter(is_kept).map(|line| format!("{line}\n")).collect()
}

/// Keeps the mappings of huge pages.
fn huge_mappings(text: &str) -> String {
    entries(text).filter(Entry::has_huge_pages).map(|entry| entry.text).collect()
}

/// Keeps the mounts of hugetlbfs and of cgroups, and those that may hide them: below them in the tree of mounts, or
/// above them in that of paths. Other file systems keep their place and lose their source and options.
///
/// A table that is malformed stays as it is, because its inspection says so.
fn mounts(text: &str) -> String {
    let Ok(table) = parse_mountinfo(text) else { return text.to_owned() };
    let matters = |mount: &&Mount<'_>| matches!(mount.filesystem, "hugetlbfs" | "cgroup" | "cgroup2");
    let places: Vec<&str> = table.iter().filter(matters).map(|mount| mount.path.as_ref()).collect();
    let is_above = |path: &str| {
        let path = path.trim_end_matches('/');
        places.iter().any(|place| {
            place.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    };
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let kept: String = (table.iter().zip(lines.clone()))
        .filter(|(mount, _)| matters(mount) || is_above(&mount.path))
        .map(|(mount, line)| if matters(&mount) { format!("{line}\n") } else { plain(line) })
        .collect();
    // An empty table would be malformed.
    if kept.is_empty() { lines.next().map(plain).unwrap_or_default() } else { kept }
}

/// Returns a line of mountinfo without the source and the options of the file system.
fn plain(line: &str) -> String {
    let (place, system) = line.split_once(" - ").unwrap_or((line, ""));
    let kind = system.split(' ').next().unwrap_or_default();
    format!("{place} - {kind} none rw\n")
}

fn boot_parameters(text: &str) -> String {
    let is_kept = |word: &&str| {
        let name = word.trim_start_matches('"').replace('-', "_");
        BOOT.iter().any(|begin| name.starts_with(begin))
    };
    let ours = text.split_ascii_whitespace().take_while(|word| *word != "--");
    format!("{}\n", ours.filter(is_kept).collect::<Vec<_>>().join(" "))
}

/// Keeps the number and the flags of the first CPU.
fn first_cpu(text: &str) -> String {
    let first = text.split("\n\n").next().unwrap_or_default();
    let is_kept = |line: &&str| {
        let key = line.split(':').next().unwrap_or_default().trim_end();
        ["processor", "flags", "Features"].contains(&key)
    };
    kept_lines(first, is_kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_command_line_only_what_is_about_pages_nodes_and_cgroups_stays() {
        let text = "BOOT_IMAGE=/boot/vmlinuz root=UUID=1 ip=10.0.0.1 default_hugepagesz=1G hugepagesz=1G hugepages=0:4,1:4 \
                    numa=off cgroup_no_v1=all password=x -- hugepages=9";
        let kept = "default_hugepagesz=1G hugepagesz=1G hugepages=0:4,1:4 numa=off cgroup_no_v1=all\n";
        assert_eq!(boot_parameters(text), kept);
    }

    #[test]
    fn mounts_that_may_hide_a_hugetlbfs_stay_without_their_sources() {
        let text = "1 0 8:1 / / rw - ext4 /dev/disk/by-uuid/x rw,data=ordered\n\
                    2 1 0:20 / /dev rw - devtmpfs udev rw\n\
                    3 2 0:30 / /dev/hugepages rw - hugetlbfs hugetlbfs rw,pagesize=2M\n\
                    4 1 0:40 / /home/alice rw - nfs4 10.0.0.9:/export/alice rw,addr=10.0.0.9\n\
                    5 3 0:50 / /dev/hugepages/cover rw - tmpfs t rw\n\
                    6 2 0:51 / /dev/huge rw - tmpfs t rw\n\
                    7 3 0:52 / /dev/hugepages rw - tmpfs t rw,size=1k\n";
        let kept = "1 0 8:1 / / rw - ext4 none rw\n\
                    2 1 0:20 / /dev rw - devtmpfs none rw\n\
                    3 2 0:30 / /dev/hugepages rw - hugetlbfs hugetlbfs rw,pagesize=2M\n\
                    7 3 0:52 / /dev/hugepages rw - tmpfs none rw\n";
        assert_eq!(mounts(text), kept);
        assert_eq!(
            mounts("2 1 0:20 / /dev rw - devtmpfs udev rw,size=1\n"),
            "2 1 0:20 / /dev rw - devtmpfs none rw\n"
        );
        assert_eq!(mounts("garbage\n"), "garbage\n");
    }

    #[test]
    fn processes_without_huge_pages_are_left_out() {
        let text = |text: &str| Recorded::Text(text.as_bytes().to_vec());
        let status =
            |pages: u64| format!("Name:\tvm\nUmask:\t0022\nVmSize:\t9 kB\nHugetlbPages:\t{pages} kB\n");
        let recording: Tree = [
            ("/proc/7/status", text(&status(0))),
            ("/proc/7/smaps", text("secret")),
            ("/proc/8/status", text(&status(2048))),
            ("/proc/8/smaps", Recorded::Unreadable("EACCES".to_owned())),
            ("/proc/self/status", text(&status(0))),
        ]
        .map(|(path, recorded)| (PathBuf::from(path), recorded))
        .into();
        let mut contents = Contents::default();
        let tree = reduce(recording, &mut contents);
        let paths: Vec<_> = tree.keys().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(paths, ["/proc/8/smaps", "/proc/8/status", "/proc/self/status"]);
        let kept = Recorded::Text(b"Name:\tvm\nVmSize:\t9 kB\nHugetlbPages:\t2048 kB\n".to_vec());
        assert_eq!(tree.get(Path::new("/proc/8/status")), Some(&kept));
        assert_eq!(contents.unreadable.len(), 1);
    }

    #[test]
    fn of_a_directory_only_the_names_of_cgroup_files_stay() {
        let names = |names: &[&str]| Recorded::Names(names.iter().map(|name| (*name).to_owned()).collect());
        let recording: Tree = [
            ("/proc", names(&["1", "cmdline"])),
            (
                "/sys/fs/cgroup/a",
                names(&["cgroup.procs", "cgroup.events", "hugetlb.2MB.max", "tenant.slice"]),
            ),
            ("/sys/fs/cgroup/a/hugetlb.2MB.max", Recorded::Text(b"0\n".to_vec())),
        ]
        .map(|(path, recorded)| (PathBuf::from(path), recorded))
        .into();
        let tree = reduce(recording, &mut Contents::default());
        let shown: Vec<_> = tree.iter().map(|(path, recorded)| (path.to_str().unwrap(), recorded)).collect();
        let text = |text: &str| Recorded::Text(text.as_bytes().to_vec());
        assert_eq!(
            shown,
            [
                ("/proc", &names(&[])),
                ("/sys/fs/cgroup/a", &names(&[])),
                ("/sys/fs/cgroup/a/cgroup.events", &text("")),
                ("/sys/fs/cgroup/a/hugetlb.2MB.max", &text("0\n")),
            ]
        );
    }

    #[test]
    fn what_is_too_large_is_unreadable_and_not_absent() {
        let path = PathBuf::from("/proc/sysvipc/shm");
        let long = Recorded::Text(vec![b'x'; usize::try_from(LONGEST).unwrap() + 1]);
        let mut contents = Contents::default();
        let tree = reduce([(path.clone(), long)].into(), &mut contents);
        assert!(matches!(tree.get(&path), Some(Recorded::Unreadable(_))));
        assert_eq!(contents.left_out, [path]);
    }
}
