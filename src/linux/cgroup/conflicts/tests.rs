use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;
use crate::recording::{Recorded, Recording};

const POD: &str = "kubepods/burstable/pod4fb5ca06-9dd5-496f-ba80-53309ce5fc88";
const V1: &str = "/sys/fs/cgroup/hugetlb";
const V2: &str = "/sys/fs/cgroup";

/// A machine with one hierarchy that has the hugetlb controller.
struct Machine {
    tree: tempfile::TempDir,
    version: CgroupVersion,
    mount: &'static str,
}

// === impl Machine ===

impl Machine {
    /// Returns a machine with an empty hierarchy, mounted for this process and for process 1.
    fn new(version: CgroupVersion) -> Self {
        let tree = tempfile::tempdir().unwrap();
        let (membership, mount, line, root_file) = match version {
            CgroupVersion::V1 => ("4:hugetlb:/\n", V1, "cgroup none rw,hugetlb", "release_agent"),
            CgroupVersion::V2 => ("0::/\n", V2, "cgroup2 none rw", "cgroup.controllers"),
        };
        let machine = Self { tree, version, mount };
        machine.write("/proc/self/cgroup", membership);
        machine.write("/proc/cgroups", "hugetlb\t0\t3\t1\n");
        for process in ["self", "1"] {
            let table = format!("1 0 8:1 / / rw - ext4 none rw\n2 1 0:9 / {mount} rw - {line}\n");
            machine.write(&format!("/proc/{process}/mountinfo"), &table);
        }
        machine.write(&format!("{mount}/{root_file}"), "");
        machine
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.tree.path().join(path.trim_start_matches('/'))
    }

    fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
    }

    /// Creates a cgroup with the same limit of pages of 2Mi for both counters.
    fn cgroup(&self, name: &str, limit: &str) {
        let size = size("2Mi");
        for kind in KINDS {
            let file = |file| format!("{}/{name}/{file}", self.mount);
            self.write(&file(self.version.limit_file(size, kind)), &format!("{limit}\n"));
            self.write(&file(self.version.usage_file(size, kind)), "2097152\n");
        }
        if self.version == CgroupVersion::V2 {
            self.write(&format!("{}/{name}/cgroup.controllers", self.mount), "hugetlb\n");
            self.write(&format!("{}/{name}/cgroup.events", self.mount), "populated 1\n");
        }
    }

    /// Creates the cgroups of a pod that was resized, as the kubelet and containerd do.
    fn resized(&self) {
        self.cgroup("kubepods", "16777216");
        self.cgroup("kubepods/burstable", "4611686018427387904");
        self.cgroup(POD, "0");
        self.cgroup(&format!("{POD}/container"), "8388608");
        self.cgroup(&format!("{POD}/sandbox"), "max");
        self.cgroup(&format!("{POD}/other"), "0");
        self.cgroup("user.slice", "max");
    }

    fn root(&self) -> HostRoot {
        HostRoot::new(self.tree.path())
    }

    fn read(&self) -> LimitConflicts {
        known(read_conflicts(&self.root(), &[size("2Mi")]))
    }

    /// Moves the mount from this mount namespace to that of process 1, as an agent in a container sees it.
    fn into_container(self) -> Self {
        let host = self.path("/proc/1/root/sys/fs");
        fs::create_dir_all(&host).unwrap();
        fs::rename(self.path("/sys/fs/cgroup"), host.join("cgroup")).unwrap();
        self.write("/proc/self/mountinfo", "1 0 8:1 / / rw - ext4 none rw\n");
        self
    }
}

fn size(text: &str) -> PageSize {
    text.parse().unwrap()
}

fn known(reading: Reading<LimitConflicts>) -> LimitConflicts {
    match reading {
        Reading::Known(conflicts) => conflicts,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_container_of_a_resized_pod_is_found_on_both_versions() {
    for version in [CgroupVersion::V1, CgroupVersion::V2] {
        let machine = Machine::new(version);
        machine.resized();
        let conflicts = machine.read();
        assert_eq!(conflicts.not_read, Vec::<String>::new());
        let expected = KINDS.map(|kind| LimitConflict {
            size: size("2Mi"),
            version,
            kind,
            parent: format!("{}/{POD}", machine.mount),
            directory: format!("{}/{POD}/container", machine.mount),
            limit: 8 << 20,
            usage: Reading::Known(2 << 20),
        });
        assert_eq!(conflicts.found, expected, "{version:?}");
    }
}

#[test]
fn sound_limits_and_sizes_without_pages_give_no_conflict() {
    for version in [CgroupVersion::V1, CgroupVersion::V2] {
        let machine = Machine::new(version);
        machine.resized();
        let other = known(read_conflicts(&machine.root(), &[size("1Gi")]));
        assert_eq!(other, LimitConflicts::default(), "{version:?}");
        machine.cgroup(POD, "8388608");
        assert_eq!(machine.read(), LimitConflicts::default(), "{version:?}");
    }
}

#[test]
fn a_node_without_pages_at_the_start_of_its_kubelet_has_no_conflict() {
    let machine = Machine::new(CgroupVersion::V1);
    machine.cgroup("kubepods", "0");
    machine.cgroup("kubepods/burstable", "4611686018427387904");
    assert_eq!(machine.read(), LimitConflicts::default());
}

#[test]
fn an_agent_reads_the_hierarchy_of_process_1_and_not_its_own() {
    for version in [CgroupVersion::V1, CgroupVersion::V2] {
        let machine = Machine::new(version);
        machine.resized();
        let machine = machine.into_container();
        let conflicts = known(read_conflicts_of_host(&machine.root(), &[size("2Mi")]));
        assert_eq!(conflicts.found.len(), 2, "{conflicts:?}");
        assert_eq!(conflicts.found[0].parent, format!("{}/{POD}", machine.mount));
        let own = read_conflicts(&machine.root(), &[size("2Mi")]);
        assert!(matches!(own, Reading::Unreadable(why) if why.contains("not mounted here")), "{version:?}");
    }
}

#[test]
fn a_hierarchy_that_only_another_mount_namespace_has_is_found_there() {
    let machine = Machine::new(CgroupVersion::V1);
    machine.resized();
    let machine = machine.into_container();
    for (pid, namespace) in [(1, "mnt:[1]"), (20, "mnt:[2]"), (21, "mnt:[2]"), (30, "mnt:[3]")] {
        fs::create_dir_all(machine.path(&format!("/proc/{pid}/ns"))).unwrap();
        symlink(namespace, machine.path(&format!("/proc/{pid}/ns/mnt"))).unwrap();
    }
    fs::rename(machine.path("/proc/1/mountinfo"), machine.path("/proc/30/mountinfo")).unwrap();
    fs::rename(machine.path("/proc/1/root"), machine.path("/proc/30/root")).unwrap();
    machine.write("/proc/1/mountinfo", "1 0 8:1 / / rw - ext4 none rw\n");
    // A container, whose mount shows only its own cgroup.
    machine
        .write("/proc/20/mountinfo", &format!("2 1 0:9 /{POD}/container {V1} ro - cgroup none rw,hugetlb\n"));
    machine.write(&format!("/proc/20/root{V1}/hugetlb.2MB.limit_in_bytes"), "8388608\n");
    let read = || read_conflicts_of_host(&machine.root(), &[size("2Mi")]);
    assert_eq!(known(read()).found.len(), 2);
    fs::remove_dir_all(machine.path("/proc/30")).unwrap();
    assert!(matches!(read(), Reading::Unreadable(why) if why.contains("not mounted here")));
}

#[test]
fn a_part_of_a_hierarchy_is_not_taken_for_the_whole() {
    for (version, is_root) in
        [(CgroupVersion::V1, "release_agent"), (CgroupVersion::V2, "cgroup.controllers")]
    {
        let machine = Machine::new(version);
        machine.cgroup("", "max");
        fs::remove_file(machine.path(&format!("{}/{is_root}", machine.mount))).unwrap();
        let conflicts = machine.read();
        assert!(conflicts.not_read[0].contains("above"), "{conflicts:?}");
        // What is visible is read all the same.
        machine.cgroup("pod", "0");
        machine.cgroup("pod/container", "2097152");
        assert_eq!(machine.read().found.len(), 2);
    }
}

#[test]
fn what_cannot_be_read_is_named_and_does_not_hide_the_rest() {
    let machine = Machine::new(CgroupVersion::V2);
    machine.resized();
    machine.cgroup("garbage", "many");
    let directory = machine.path(&format!("{V2}/user.slice/hugetlb.2MB.max"));
    fs::remove_file(&directory).unwrap();
    fs::create_dir(&directory).unwrap();
    let conflicts = machine.read();
    assert_eq!(conflicts.found.len(), 2);
    assert!(conflicts.not_read.iter().any(|why| why.contains("garbage/hugetlb.2MB.max holds 'many'")));
    assert!(conflicts.not_read.iter().any(|why| why.contains("user.slice/hugetlb.2MB.max")), "{conflicts:?}");
    machine.write("/proc/self/mountinfo", "x\n");
    assert!(read_conflicts(&machine.root(), &[size("2Mi")]).is_trouble());
    fs::remove_file(machine.path("/proc/self/mountinfo")).unwrap();
    assert!(read_conflicts(&machine.root(), &[size("2Mi")]).is_trouble());
}

#[test]
fn cgroups_without_the_controller_are_not_entered_and_links_are_not_followed() {
    let machine = Machine::new(CgroupVersion::V2);
    machine.resized();
    machine.write(&format!("{V2}/system.slice/cgroup.controllers"), "cpu\n");
    machine.cgroup("system.slice/below", "many");
    symlink(machine.path(V2), machine.path(&format!("{V2}/kubepods/loop"))).unwrap();
    let conflicts = machine.read();
    assert_eq!((conflicts.found.len(), conflicts.not_read.len()), (2, 0), "{conflicts:?}");
}

#[test]
fn a_tree_without_end_is_read_as_far_as_the_bounds() {
    let machine = Machine::new(CgroupVersion::V1);
    machine.cgroup(&vec!["d"; DEEPEST + 2].join("/"), "0");
    (1..=DEEPEST + 1).for_each(|depth| machine.cgroup(&vec!["d"; depth].join("/"), "max"));
    let conflicts = machine.read();
    assert!(conflicts.not_read[0].contains("too deep"), "{conflicts:?}");

    let machine = Machine::new(CgroupVersion::V1);
    (0..=MOST_CGROUPS).for_each(|number| fs::create_dir(machine.path(&format!("{V1}/{number}"))).unwrap());
    let conflicts = machine.read();
    assert!(conflicts.not_read[0].contains("more than 4096 cgroups"), "{conflicts:?}");
}

#[test]
fn a_kernel_without_the_controller_has_no_conflict() {
    let machine = Machine::new(CgroupVersion::V2);
    machine.write("/proc/cgroups", "hugetlb\t0\t3\t0\n");
    assert_eq!(read_conflicts(&machine.root(), &[size("2Mi")]), Reading::Absent);
}

#[test]
fn a_recording_has_the_cgroups_of_a_conflict_and_no_others() {
    let machine = Machine::new(CgroupVersion::V2);
    machine.resized();
    let recording = Recording::default();
    let root = HostRoot::recorded(machine.tree.path(), &recording);
    let conflicts = known(read_conflicts(&root, &[size("2Mi")]));
    assert_eq!(conflicts.found.len(), 2);
    let recorded = recording.to_map();
    let cgroups: Vec<_> = recorded.keys().filter(|path| path.starts_with(V2)).collect();
    let is_recorded = |path: &str| cgroups.contains(&&Path::new(V2).join(path));
    for path in ["hugetlb.2MB.max", "container/hugetlb.2MB.max", "container/hugetlb.2MB.current"] {
        assert!(is_recorded(&format!("{POD}/{path}")), "{path}: {cgroups:?}");
    }
    assert!(matches!(recorded.get(Path::new(V2)), Some(Recorded::Names(_))));
    for path in ["user.slice", "sandbox", "other"] {
        assert!(!cgroups.iter().any(|read| read.iter().any(|name| name == path)), "{path}: {cgroups:?}");
    }
}
