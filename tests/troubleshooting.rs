//! `hugeprobe explain --log` on logs of real runs that were made to fail, as a shell sees it.
#![allow(clippy::unwrap_used, clippy::panic)] // clippy.toml exempts functions marked #[test], not their helpers

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use hugeprobe::domain::troubleshooting::search;

/// The logs of tests/fixtures/logs, how each was made, and what is found in it.
#[rustfmt::skip] // a table
const LOGS: &[(&str, &[&str])] = &[
    ("dpdk-address-space", &["dpdk-address-space", "dpdk-init-memory", "dpdk-init-enomem", "dpdk-no-mount", "dpdk-none-free"]),
    ("dpdk-cgroup", &["dpdk-init-memory", "dpdk-init-enomem", "dpdk-no-mount", "dpdk-none-free"]),
    ("dpdk-cgroup-rsvd", &["dpdk-init-memory", "dpdk-init-enomem", "dpdk-no-mount", "dpdk-none-free"]),
    ("dpdk-inodes", &["dpdk-open-inodes", "dpdk-fd", "dpdk-init-memory", "dpdk-init-enomem"]),
    ("dpdk-leaked", &["dpdk-init-memory", "dpdk-init-enomem"]),
    ("dpdk-mlockall", &["dpdk-mlockall", "dpdk-no-mount", "dpdk-none-free"]),
    ("dpdk-nack", &["virtio-user-nack", "virtio-user-hung-up", "dpdk-no-mount", "dpdk-none-free"]),
    ("dpdk-no-such-dir", &["dpdk-no-information", "dpdk-no-mount"]),
    ("dpdk-nobody-listens", &["virtio-user-connect", "dpdk-no-mount", "dpdk-none-free"]),
    ("dpdk-nofile", &["dpdk-fd", "dpdk-init-enomem", "dpdk-no-mount", "dpdk-none-free"]),
    ("dpdk-not-enough", &["dpdk-not-enough", "dpdk-init-memory", "dpdk-init-enomem", "dpdk-no-mount", "dpdk-none-free"]),
    ("dpdk-other-uid", &["dpdk-open-denied", "dpdk-fd", "dpdk-init-memory", "dpdk-init-enomem"]),
    ("dpdk-read-only", &["dpdk-open-denied", "dpdk-fd", "dpdk-init-memory", "dpdk-init-enomem"]),
    ("dpdk-size-option", &["dpdk-init-memory", "dpdk-init-enomem"]),
    ("dpdk-socket-mem", &["dpdk-not-enough", "dpdk-init-memory", "dpdk-init-enomem", "dpdk-no-mount", "dpdk-none-free"]),
    ("dpdk-tmpfs", &["dpdk-no-information", "dpdk-no-mount"]),
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
    // Whoever reads a file leaves this unread.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

#[test]
fn real_logs_are_understood() {
    for (name, expected) in LOGS {
        let log = std::fs::read_to_string(path(name)).unwrap();
        let found: Vec<_> = search(&log).iter().map(|found| found.trouble.name).collect();
        assert_eq!(found, *expected, "{name}");
    }
    let kept = std::fs::read_dir(path("").parent().unwrap()).unwrap();
    let logs =
        kept.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|its| its == "log"));
    assert_eq!(logs.count(), LOGS.len(), "a log that nothing is expected of");
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
fn what_is_no_log_is_not_understood_and_what_is_not_there_is_named() {
    for nothing in [&b""[..], b"all is well\n", b"\xff\xfe\0\0"] {
        let output = explain(Path::new("-"), nothing);
        assert_eq!(output.status.code(), Some(3), "{output:?}");
    }
    let output = explain(Path::new("/nowhere.log"), b"");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8(output.stderr).unwrap().contains("/nowhere.log"));
}
