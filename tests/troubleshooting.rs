//! `hugeprobe explain --log`: what it finds in logs of failures, and that it finds nothing in ordinary ones.
#![allow(clippy::unwrap_used, clippy::panic)] // clippy.toml exempts functions marked #[test], not their helpers

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use hugeprobe::domain::troubleshooting::search;

/// The logs of tests/fixtures/logs, and what is found in each.
#[rustfmt::skip] // a table
const LOGS: &[(&str, &[&str])] = &[
    ("dpdk-address-space", &["dpdk-address-space", "dpdk-init-memory", "dpdk-init-enomem", "dpdk-no-mount", "dpdk-none-free"]),
    ("dpdk-cgroup", &["dpdk-init-memory", "dpdk-init-enomem", "dpdk-no-mount", "dpdk-none-free"]),
    ("dpdk-cgroup-rsvd", &["dpdk-init-memory", "dpdk-init-enomem", "dpdk-no-mount", "dpdk-none-free"]),
    ("dpdk-inodes", &["dpdk-open-inodes", "dpdk-fd", "dpdk-init-memory", "dpdk-init-enomem"]),
    ("dpdk-leaked", &["dpdk-init-memory", "dpdk-init-enomem"]),
    ("dpdk-mlockall", &["dpdk-mlockall", "dpdk-no-mount", "dpdk-none-free"]),
    ("dpdk-nack", &["virtio-user-nack", "virtio-user-hung-up", "dpdk-no-mount", "dpdk-none-free"]),
    ("dpdk-no-such-dir", &["dpdk-no-information", "dpdk-init-failed", "dpdk-no-mount"]),
    ("dpdk-nobody-listens", &["virtio-user-connect", "dpdk-no-mount", "dpdk-none-free"]),
    ("dpdk-nofile", &["dpdk-fd", "dpdk-mbuf-pool", "dpdk-no-mount", "dpdk-none-free"]),
    ("dpdk-not-enough", &["dpdk-not-enough", "dpdk-init-memory", "dpdk-init-enomem", "dpdk-no-mount", "dpdk-none-free"]),
    ("dpdk-other-uid", &["dpdk-open-denied", "dpdk-fd", "dpdk-init-memory", "dpdk-init-enomem"]),
    ("dpdk-read-only", &["dpdk-open-denied", "dpdk-fd", "dpdk-init-memory", "dpdk-init-enomem"]),
    ("dpdk-size-option", &["dpdk-init-memory", "dpdk-init-enomem"]),
    ("dpdk-socket-mem", &["dpdk-not-enough", "dpdk-init-memory", "dpdk-init-enomem", "dpdk-no-mount", "dpdk-none-free"]),
    ("dpdk-tmpfs", &["dpdk-no-information", "dpdk-init-failed", "dpdk-no-mount"]),
    ("dpdk-too-many-regions", &["virtio-user-regions", "virtio-user-table", "dpdk-no-mount", "dpdk-none-free"]),
    ("dpdk-vhost-path-taken", &["vhost-bind", "dpdk-no-mount", "dpdk-none-free"]),
    ("mount-bad-size", &["mount-option"]),
    ("mount-min-size", &["mount-min-size"]),
    ("ovs-nobody-listens", &["dpdk-none-free", "vhost-reconnect"]),
    ("ovs-too-much", &["dpdk-not-enough", "dpdk-init-memory", "ovs-dpdk-init", "dpdk-init-enomem", "dpdk-none-free"]),
    ("python-cgroup", &["bus-error"]),
    ("qemu-bind", &["qemu-bind-invalid"]),
    ("qemu-cgroup", &["qemu-prealloc"]),
    ("qemu-cgroup-rsvd", &["qemu-backing-enomem"]),
    ("qemu-no-path", &["qemu-store-missing"]),
    ("qemu-no-peer", &["qemu-connect"]),
    ("qemu-other-uid", &["qemu-store-denied"]),
    ("qemu-pool", &["qemu-backing-enomem"]),
    ("qemu-refused", &["qemu-table-refused", "qemu-fallback"]),
    ("qemu-reserve", &["qemu-reserve-off"]),
    ("qemu-share-off", &["qemu-rings"]),
    ("qemu-size-option", &["qemu-backing-enomem"]),
    ("qemu-small", &["qemu-below-page"]),
    ("qemu-waiting", &["qemu-waiting"]),
    ("apparmor-json", &["apparmor-lock"]),
    ("cloud-hypervisor-share", &["cloud-hypervisor-share"]),
    ("dpdk-32-bit", &["dpdk-address-space", "dpdk-init-memory"]),
    ("dpdk-iova-pa", &["dpdk-iova-pa"]),
    ("dpdk-mbuf-pool", &["dpdk-mbuf-pool"]),
    ("dpdk-mempolicy", &["dpdk-numa-invalid", "dpdk-mbuf-pool", "dpdk-none-free"]),
    ("dpdk-memseg-lists", &["dpdk-memseg-lists", "dpdk-init-memory", "dpdk-none-free"]),
    ("dpdk-memseg-space", &["dpdk-memseg-lists", "dpdk-init-memory"]),
    ("jvm", &["jvm-shm-denied", "jvm-shm-no-pages", "jvm-large-pages"]),
    ("kata-backing-store", &["qemu-backing-enomem"]),
    ("kernel-arm64-no-1g", &["kernel-boot-option", "kernel-boot-order"]),
    ("kernel-hugetlb-cma", &["kernel-cma"]),
    ("kernel-memory-accounting", &["kernel-memory-accounting"]),
    ("kubectl-describe-135", &["bus-error"]),
    ("kubelet-allocatable-zero", &["kubelet-stale"]),
    ("kubelet-memory-manager", &["kubelet-memory-manager"]),
    ("kubelet-memory-manager-state", &["kubelet-memory-manager-state"]),
    ("kubelet-reserved-memory", &["kubelet-reserved-memory"]),
    ("kubelet-topology", &["kubelet-topology"]),
    ("libvirt-no-usable-mount", &["libvirt-mount"]),
    ("ovs-unsupported-cpu", &["dpdk-cpu", "ovs-dpdk-init-failed", "dpdk-init-failed"]),
    ("postgres-json", &["bus-error"]),
    ("postgres-try", &["postgres-try"]),
    ("qemu-backend-missing", &["qemu-backend-missing"]),
    ("qemu-region-rounded", &["qemu-region-rounded"]),
    ("qemu-s390x-numa", &["qemu-numa-machine"]),
    ("runtime-no-hugetlb-controller", &["runtime-no-controller"]),
    ("selinux-anonymous", &["selinux"]),
    ("spdk-dma-remapping", &["dpdk-dma-remapping"]),
    ("spdk-setup", &["spdk-setup"]),
    ("vpp-locked", &["vpp-locked"]),
    ("vpp-mmap", &["vpp-no-pages"]),
    ("vpp-no-pages", &["vpp-no-pages", "vpp-small-pages"]),
    ("vpp-old", &["vpp-no-pages", "vpp-memfd"]),
];

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/logs").join(format!("{name}.log"))
}

fn explain(log: &Path, input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_hugeprobe"))
        .args(["explain", "--log"])
        .arg(log)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The program leaves this unread if it reads a file.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

#[test]
fn failures_are_found_in_their_logs() {
    for (name, expected) in LOGS {
        let log = std::fs::read_to_string(path(name)).unwrap();
        let found: Vec<_> = search(&log).iter().map(|found| found.failure.name).collect();
        assert_eq!(found, *expected, "{name}");
    }
    let kept = std::fs::read_dir(path("").parent().unwrap()).unwrap();
    let logs =
        kept.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|its| its == "log"));
    assert_eq!(logs.count(), LOGS.len(), "a log that the table does not list");
}

#[test]
fn a_file_and_standard_input_are_explained_alike() {
    let file = explain(&path("qemu-cgroup"), b"");
    let input = explain(Path::new("-"), &std::fs::read(path("qemu-cgroup")).unwrap());
    assert_eq!(file.status.code(), Some(0), "{file:?}");
    assert_eq!(file.stdout, input.stdout);
    let text = String::from_utf8(file.stdout).unwrap();
    assert!(text.contains("line 1") && text.contains("HP401 CgroupFaultLimit"), "{text}");
}

#[test]
fn other_input_is_unknown_and_a_missing_file_is_named() {
    for nothing in [&b""[..], b"no error\n", b"\xff\xfe\0\0"] {
        let output = explain(Path::new("-"), nothing);
        assert_eq!(output.status.code(), Some(3), "{output:?}");
    }
    let output = explain(Path::new("/nowhere.log"), b"");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8(output.stderr).unwrap().contains("/nowhere.log"));
}

/// Ordinary lines with a number, an address or a name in each `#`, `@` or `~`.
fn varied(template: &str, seed: &mut u64) -> String {
    const NAMES: [&str; 6] = ["web-0", "coredns", "vm1", "eth0", "node-a", "nfv"];
    let mut next = |below: u64| {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        *seed % below
    };
    let mut line = String::new();
    for c in template.chars() {
        match c {
            '#' => line += &next(100_000).to_string(),
            '@' => line += &format!("{:#018x}", next(u64::MAX)),
            '~' => line += NAMES.get(usize::try_from(next(6)).unwrap()).unwrap(),
            c => line.push(c),
        }
    }
    line
}

#[test]
fn nothing_is_found_in_ordinary_logs() {
    const ROUNDS: usize = 200;
    let directory = path("").parent().unwrap().join("ordinary");
    let read = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    let templates = read("templates.txt");
    let templates: Vec<_> =
        templates.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")).collect();
    let mut lines: Vec<String> = ["kernel.log", "packages.log"]
        .iter()
        .flat_map(|name| read(name).lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    for _ in 0..ROUNDS {
        lines.extend(templates.iter().map(|template| varied(template, &mut seed)));
    }
    assert!(lines.len() > 20_000, "{} lines", lines.len());
    let log = lines.join("\n");
    let found: Vec<_> = search(&log).iter().map(|one| (one.failure.name, one.line)).collect();
    assert!(found.is_empty(), "{found:#?}");
}
