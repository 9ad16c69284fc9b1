//! What the kernel shows, and its settings: hidden files of /proc, /sys and /run, namespaces, sysctls, and what a process
//! inherits.

use std::os::unix::fs::PermissionsExt as _;

use hugeprobe::domain::catalogue::{HP101, HP307, HP405, HP407, HP414};

use super::super::facts::Need;
use super::super::fault::{ANY_TESTPMD_DIR, ANY_TESTPMD_MEMFD, OVS, QEMU, Spec, TESTPMD, applied};
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
    applied("masked /proc and /sys", "hidden-from-qemu", |scene, path| word(scene, "hide", path))
        .kinds(QEMU)
        .harmless(&["/sys/kernel/mm/hugepages", "/sys"]),
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
    // A tmpfs without a free block. With --in-memory DPDK creates no file there.
    applied("the runtime directory", "full-run", |scene, path| word(scene, "full", path))
        .kinds(ANY_TESTPMD_DIR)
        .harmful(&["/run"])
        .causes(&[HP307]),
    applied("the runtime directory", "full-run-memory", |scene, path| word(scene, "full", path))
        .kinds(ANY_TESTPMD_MEMFD)
        .harmless(&["/run"]),
    // The length of the directory's name: a Unix socket is created below it.
    applied("the runtime directory", "long-run", |scene, length| {
        let directory = scene.run.with_file_name("a".repeat(length.parse().unwrap()));
        std::fs::create_dir(&directory).unwrap();
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o777)).unwrap();
        word(scene, "by", &format!("env+RUNTIME_DIRECTORY={}", directory.display()))
    })
    .kinds(TESTPMD)
    .harmless(&["20"])
    .harmful(&["100"])
    .causes(&[HP307]),
    applied("masked /proc and /sys", "hidden-cpus", |scene, path| word(scene, "hide", path))
        .kinds(TESTPMD)
        .harmful(&["/sys/devices", "/sys/devices/system/cpu"])
        .causes(&[HP414]),
    applied("masked /proc and /sys", "hidden-cpus-ovs", |scene, path| word(scene, "hide", path))
        .kinds(OVS)
        .harmful(&["/sys/devices", "/sys/devices/system/cpu"])
        .causes(&[HP414]),
    applied("masked /proc and /sys", "hidden-cpus-qemu", |scene, path| word(scene, "hide", path))
        .kinds(QEMU)
        .harmless(&["/sys/devices", "/sys/devices/system/cpu"]),
    applied("masked /proc and /sys", "hidden-nodes", |scene, path| word(scene, "hide", path))
        .kinds(TESTPMD)
        .harmless(&["/sys/devices/system/node"]),
    // The options of proc(5). Without /proc/meminfo, DPDK aborts.
    applied("masked /proc and /sys", "proc", |scene, options| word(scene, "procfs", options))
        .harmless(&["hidepid=invisible"]),
    applied("masked /proc and /sys", "proc-dpdk", |scene, options| word(scene, "procfs", options))
        .kinds(TESTPMD)
        .harmful(&["subset=pid"])
        .causes(&[HP101]),
    applied("masked /proc and /sys", "proc-qemu", |scene, options| word(scene, "procfs", options))
        .kinds(QEMU)
        .harmless(&["subset=pid"]),
    // A user without rights cannot enter a directory that it has created with the second one.
    applied("how it is started", "umask", |scene, mask| word(scene, "umask", mask))
        .harmless(&["0077", "0177"])
        .causes(&[HP307]),
    // Programs that change something and execute what they are given.
    applied("how it is started", "by", |scene, command| word(scene, "by", command)).harmless(&[
        "env+--block-signal",
        "env+--ignore-signal",
        "setarch+--addr-no-randomize",
        "setarch+--addr-compat-layout",
        "setarch+--read-implies-exec",
        "setpriv+--no-new-privs",
        "choom+-n+1000+--",
        "unshare+--net",
        "unshare+--ipc",
        "unshare+--cgroup",
    ]),
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
    // How many MiB of private memory all programs together may have more than now. With 1024, QEMU has no room for TCG.
    applied("sysctls", "commit", |scene, more| {
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
        let committed = meminfo.lines().find_map(|line| line.strip_prefix("Committed_AS:")).unwrap();
        let committed: u64 = committed.trim().trim_end_matches(" kB").parse().unwrap();
        scene.at_last("echo 0 > /proc/sys/vm/overcommit_memory; echo 50 > /proc/sys/vm/overcommit_ratio");
        let most = committed + more.parse::<u64>().unwrap() * 1024;
        std::fs::write("/proc/sys/vm/overcommit_kbytes", most.to_string()).unwrap();
        std::fs::write("/proc/sys/vm/overcommit_memory", "2").unwrap();
        Ok(())
    })
    .needs(&[Need::Alone])
    .kinds(TESTPMD)
    .harmless(&["1024"])
    .harmful(&["32"])
    .causes(&[HP405]),
];

fn word(scene: &mut Scene, name: &str, value: &str) -> Result<(), Missing> {
    scene.place.add(format!("{name}={value}"));
    Ok(())
}
