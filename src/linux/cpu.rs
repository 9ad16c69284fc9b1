//! The CPUs: whether an x86 CPU supports 1 GiB pages, and which ones DPDK and Open vSwitch find in sysfs.

use super::pools;
use super::root::HostRoot;
use super::status;
use hugeprobe_domain::inventory::CpusInSysfs;
use hugeprobe_domain::reading::Reading;

/// Returns whether DPDK and Open vSwitch find a CPU in sysfs that this process may use.
///
/// Source: `eal_cpu_detected()` in `lib/eal/linux/eal_lcore.c` of DPDK 22.11, `discover_numa_and_core()` in
/// `lib/ovs-numa.c` of Open vSwitch 3.1.
#[must_use]
pub fn in_sysfs(root: &HostRoot) -> CpusInSysfs {
    let core_id = |cpu: &u32| root.value(format!("/sys/devices/system/cpu/cpu{cpu}/topology/core_id"));
    let with_core_id = status::read(root, "/proc/self")
        .and_then(|status| status.cpus)
        .map(|cpus| cpus.iter().any(|cpu| core_id(cpu) != Reading::Absent));
    CpusInSysfs {
        // A captured tree contains only the files that were read.
        with_core_id: if root.is_live() || with_core_id == Reading::Known(true) {
            with_core_id
        } else {
            Reading::Absent
        },
        on_a_node: pools::node_directories(root).map(|nodes| {
            nodes.iter().any(|node| pools::cpus(root, *node).known().is_some_and(|cpus| !cpus.is_empty()))
        }),
    }
}

/// Returns whether the CPU supports 1 GiB pages (`pdpe1gb`); `Absent` on CPUs other than x86.
#[must_use]
pub fn has_1gi(root: &HostRoot) -> Reading<bool> {
    root.table("/proc/cpuinfo").and_then(|text| parse_cpuinfo(&text).map_or(Reading::Absent, Reading::Known))
}

/// Returns whether the flags of the first CPU contain `pdpe1gb`; `None` without a line of flags, which only x86 has
/// (arm64 has `Features`, RISC-V has `isa`).
#[must_use]
pub fn parse_cpuinfo(text: &str) -> Option<bool> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim_end() == "flags")
        .map(|(_, flags)| flags.split_ascii_whitespace().any(|flag| flag == "pdpe1gb"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_flag_is_a_question_on_x86_alone() {
        for (text, has) in [
            ("processor\t: 0\nflags\t\t: fpu vme pdpe1gb rdtscp\n", Some(true)),
            ("flags\t\t: fpu vme pdpe1gbx\n", Some(false)),
            ("flags\t\t:\n", Some(false)),
            ("flags : fpu\nflags : pdpe1gb", Some(false)),
            ("processor\t: 0\nFeatures\t: fp asimd\n", None),
            ("vmx flags\t: pdpe1gb\n", None),
            ("", None),
        ] {
            assert_eq!(parse_cpuinfo(text), has, "{text}");
        }
    }

    #[test]
    fn the_live_system_lists_its_cpus_and_a_captured_tree_only_those_that_it_contains() {
        let live = in_sysfs(&HostRoot::default());
        assert_eq!(live.with_core_id, Reading::Known(true));
        assert_ne!(live.on_a_node, Reading::Known(false));
        let scratch = tempfile::tempdir().unwrap();
        let root = HostRoot::new(scratch.path());
        assert_eq!(in_sysfs(&root), CpusInSysfs::default());
        for (file, text) in [
            ("proc/self/status", "Cpus_allowed_list:\t2-3\n"),
            ("sys/devices/system/cpu/cpu1/topology/core_id", "1"),
            ("sys/devices/system/node/node0/cpulist", "\n"),
        ] {
            let path = scratch.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        assert_eq!(in_sysfs(&root).with_core_id, Reading::Absent);
        assert_eq!(in_sysfs(&root).on_a_node, Reading::Known(false));
        std::fs::create_dir_all(scratch.path().join("sys/devices/system/cpu/cpu3/topology")).unwrap();
        std::fs::write(scratch.path().join("sys/devices/system/cpu/cpu3/topology/core_id"), "1").unwrap();
        assert_eq!(in_sysfs(&root).with_core_id, Reading::Known(true));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = parse_cpuinfo(&text);
        }
    }
}
