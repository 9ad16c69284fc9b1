//! `hugeprobe explain --log`: what it finds in logs of failures, and that it finds nothing in ordinary ones.
#![allow(clippy::unwrap_used, clippy::panic)] // clippy.toml exempts functions marked #[test], not their helpers

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use hugeprobe::domain::troubleshooting::{Kind, search};

/// The logs of tests/fixtures/logs, and what is found in each.
#[rustfmt::skip] // a table
const LOGS: &[(&str, &[&str])] = &[
    ("dpdk-address-space", &["dpdk-address-space", "dpdk-init-memory", "dpdk-init-enomem", "dpdk-no-mount", "dpdk-none-free"]),
    ("dpdk-cgroup", &["dpdk-init-memory", "dpdk-init-enomem", "dpdk-no-mount", "dpdk-none-free"]),
    ("dpdk-cgroup-rsvd", &["dpdk-init-memory", "dpdk-init-enomem", "dpdk-no-mount", "dpdk-none-free"]),
    ("dpdk-inodes", &["dpdk-open-inodes", "dpdk-fd", "dpdk-init-memory", "dpdk-init-enomem"]),
    ("dpdk-leaked", &["dpdk-init-memory", "dpdk-init-enomem"]),
    ("dpdk-mlockall", &["dpdk-mlockall", "dpdk-no-mount", "dpdk-none-free"]),
    ("dpdk-mount-lock", &["dpdk-mount-lock", "dpdk-no-information", "dpdk-init-failed"]),
    ("dpdk-nack", &["virtio-user-nack", "virtio-user-hung-up", "dpdk-no-mount", "dpdk-none-free"]),
    ("dpdk-no-such-dir", &["dpdk-no-information", "dpdk-init-failed", "dpdk-no-mount"]),
    ("dpdk-no-listener", &["virtio-user-connect", "dpdk-no-mount", "dpdk-none-free"]),
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
    ("ovs-no-listener", &["dpdk-none-free", "vhost-reconnect"]),
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
    ("kubelet-resize", &["kubelet-resize"]),
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

/// The ordinary lines of each program, by its name. `## NAME` begins a program.
fn corpus() -> Vec<(String, Vec<String>)> {
    let packed = path("").with_file_name("ordinary/corpus.log.gz");
    let output = Command::new("gzip").arg("-dc").arg(packed).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut programs: Vec<(String, Vec<String>)> = Vec::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        match line.strip_prefix("## ") {
            Some(name) => programs.push((name.to_owned(), Vec::new())),
            None => programs.last_mut().unwrap().1.push(line.to_owned()),
        }
    }
    programs
}

/// What is found in lines, each with its line.
fn found(lines: &[String]) -> Vec<String> {
    let log = lines.join("\n");
    search(&log).iter().map(|one| format!("{}: {}", one.failure.name, one.line)).collect()
}

#[test]
fn nothing_is_found_in_ordinary_logs() {
    let programs = corpus();
    let lines: Vec<String> = programs.into_iter().flat_map(|(_, lines)| lines).collect();
    let answers = found(&lines);
    println!("{} ordinary lines, {} answers", lines.len(), answers.len());
    assert!(lines.len() > 20_000, "{} lines", lines.len());
    assert!(answers.is_empty(), "{answers:#?}");
}

/// Lines that have the words of a known failure and are about something else, each a log of its own.
#[test]
fn nothing_is_found_in_lines_that_come_near() {
    let lines = std::fs::read_to_string(path("").with_file_name("ordinary/near-misses.log")).unwrap();
    let answers: Vec<_> = lines.lines().flat_map(|line| found(&[line.to_owned()])).collect();
    assert!(lines.lines().count() > 130);
    assert!(answers.is_empty(), "{answers:#?}");
}

/// The sources of each log, as tests/fixtures/logs/README.md has them: `| log, log | source |`.
fn sources() -> Vec<(String, String)> {
    let readme = std::fs::read_to_string(path("").with_file_name("README.md")).unwrap();
    let rows =
        readme.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "));
    rows.flat_map(|(logs, source)| logs.split(", ").map(|log| (log.to_owned(), source.to_owned()))).collect()
}

/// docs/internals/explain-log.md.
fn page() -> String {
    let mut page = String::from(
        "# Tests of `explain --log`\n\n\
         <!-- Generated by tests/troubleshooting.rs: `make docs` renews it. -->\n\n\
         `hugeprobe explain --log` has to find the cause in the log of a failure, and nothing in any other\n\
         log.\n\n\
         ## Failures\n\n\
         For each log: its source, the answers that point to a cause, and the answers that are shown as a\n\
         consequence or as often harmless. [Troubleshooting](../reference/troubleshooting.md) explains each\n\
         answer.\n\n\
         | log | source | causes | beside them |\n|---|---|---|---|\n",
    );
    let sources = sources();
    for (name, _) in LOGS {
        let log = std::fs::read_to_string(path(name)).unwrap();
        let (mut causes, mut others) = (Vec::new(), Vec::new());
        for one in search(&log) {
            let is_cause = one.follows.is_none() && one.failure.kind != Kind::Harmless;
            let link = format!("[{0}](../reference/troubleshooting.md#{0})", one.failure.name);
            if is_cause { causes.push(link) } else { others.push(one.failure.name) }
        }
        let source = sources.iter().find(|(log, _)| log == name).map_or("", |(_, source)| source);
        page += &format!("| {name} | {source} | {} | {} |\n", causes.join(", "), others.join(", "));
    }
    page += "\n## Ordinary logs\n\n\
             Lines that programs of healthy machines printed, with times, addresses and names replaced. Of\n\
             lines that differ in numbers alone a few are kept. Nothing may be found in any of them.\n\n\
             | program | lines | answers |\n|---|---|---|\n";
    let (mut total, mut wrong) = (0, 0);
    for (name, lines) in corpus() {
        let answers = found(&lines).len();
        page += &format!("| {name} | {} | {answers} |\n", lines.len());
        total += lines.len();
        wrong += answers;
    }
    page + &format!("| all | {total} | {wrong} |\n")
}

#[test]
fn the_page_about_these_tests_is_what_they_find() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/internals/explain-log.md");
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&kept, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&kept).unwrap_or_default(), page, "renew it with `make docs`");
    let sources = sources();
    for (name, _) in LOGS {
        assert!(sources.iter().any(|(log, _)| log == name), "{name} has no source in README.md");
    }
}
