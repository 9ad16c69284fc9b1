//! What the kernel shows, and its settings: hidden files of /proc and /sys, namespaces and sysctls.

use hugeprobe::domain::catalogue::{HP101, HP307, HP407};

use super::super::fault::{OVS, QEMU, Spec, TESTPMD, applied};
use crate::context::Missing;
use crate::scene::Scene;

pub(super) const SPECS: &[Spec] = &[
    // A PID namespace with this vm.memfd_noexec. With 2, no executable memfd can be created.
    applied("pid namespace", "pid-namespace", |scene, noexec| word(scene, "pidns", noexec))
        .harmless(&["0", "1", "2"])
        .causes(&[HP407]),
    // An empty directory replaces the path.
    applied("masked /proc and /sys", "hidden", |scene, path| word(scene, "hide", path)).harmless(&[
        "/sys/fs/cgroup",
        "/sys/devices/virtual",
        "/sys/class",
        "/proc/sys",
        "/proc/irq",
    ]),
    applied("masked /proc and /sys", "hidden-from-dpdk", |scene, path| word(scene, "hide", path))
        .kinds(TESTPMD)
        .harmful(&["/sys/kernel/mm/hugepages"])
        .causes(&[HP101]),
    // /dev/null replaces the file, as in container runtimes.
    applied("masked /proc and /sys", "masked", |scene, path| word(scene, "mask", path)).harmless(&[
        "/proc/cpuinfo",
        "/proc/swaps",
        "/proc/filesystems",
        "/proc/sys/vm/hugetlb_shm_group",
    ]),
    // EAL aborts if it cannot read the default page size.
    applied("masked /proc and /sys", "masked-meminfo", |scene, path| word(scene, "mask", path))
        .kinds(TESTPMD)
        .harmful(&["/proc/meminfo"])
        .causes(&[HP101]),
    applied("masked /proc and /sys", "masked-meminfo-qemu", |scene, path| word(scene, "mask", path))
        .kinds(QEMU)
        .harmless(&["/proc/meminfo"]),
    applied("masked /proc and /sys", "read-only", |scene, path| word(scene, "readonly", path))
        .harmless(&["/sys", "/proc/sys"]),
    // DPDK keeps files there.
    applied("masked /proc and /sys", "read-only-run", |scene, path| word(scene, "readonly", path))
        .kinds(TESTPMD)
        .harmful(&["/run"])
        .causes(&[HP307]),
    applied("masked /proc and /sys", "read-only-run-ovs", |scene, path| word(scene, "readonly", path))
        .kinds(OVS)
        .harmful(&["/run"])
        .causes(&[HP307]),
    applied("sysctls", "sysctl", |scene, setting| {
        let (name, value) = setting.split_once(':').unwrap();
        let file = format!("/proc/sys/{name}");
        let before = std::fs::read_to_string(&file).map_err(|error| Missing(format!("{file}: {error}")))?;
        scene.at_last(&format!("echo '{}' > {file}", before.trim()));
        std::fs::write(&file, value).unwrap();
        Ok(())
    })
    .harmless(&[
        "vm/hugetlb_shm_group:65534",
        "kernel/shmmax:4096",
        "kernel/shmmni:1",
        "kernel/randomize_va_space:0",
        "kernel/perf_event_paranoid:3",
    ]),
];

fn word(scene: &mut Scene, name: &str, value: &str) -> Result<(), Missing> {
    scene.place.add(format!("{name}={value}"));
    Ok(())
}
