//! `hugeprobe bundle`: what it holds gives the findings of the machine, nothing personal is in it, and a hostile file
//! does no harm.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // clippy.toml exempts #[test] functions alone

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use hugeprobe::domain::catalogue::{HP105, HP306, HP307, HP407, HP409, HP411};
use hugeprobe::domain::report::{Entry, Report};
use hugeprobe::domain::request::Request;
use hugeprobe::domain::reserve::Replayed;
use hugeprobe::linux::root::HostRoot;
use hugeprobe::probe::bundle::{self, Redactor};
use hugeprobe::probe::check::{self, Progress};
use tar::{Builder, EntryType, Header};

struct Silent;

impl Progress for Silent {
    fn step(&mut self, _: &str) {}
    fn tick(&mut self) {}
    fn replayed(&mut self, _: &Replayed) {}
}

/// The fixtures of nodes, and those of limits, unpacked below `scratch`.
fn trees(scratch: &Path) -> Vec<(String, PathBuf)> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let nodes = fs::read_dir(fixtures.join("nodes")).unwrap().map(|entry| entry.unwrap().path());
    let mut trees: Vec<_> = nodes.map(|path| (name_of(&path), path)).collect();
    for entry in fs::read_dir(fixtures.join("limits")).unwrap() {
        let path = entry.unwrap().path();
        let tree = scratch.join(name_of(&path));
        for file in fs::read_to_string(&path).unwrap().split("--- ").skip(1) {
            let (head, body) = file.split_once('\n').unwrap();
            let (path, body) = head.split_once(" =").map_or((head, body), |(path, line)| (path, line.trim()));
            let full = tree.join(path.trim_start_matches('/'));
            if path.ends_with('/') {
                fs::create_dir_all(full).unwrap();
            } else {
                fs::create_dir_all(full.parent().unwrap()).unwrap();
                fs::write(full, body).unwrap();
            }
        }
        trees.push((name_of(&path), tree));
    }
    assert!(trees.len() > 20, "{trees:?}");
    trees
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

fn judged(root: &Path, request: &Request) -> Report {
    check::run(&HostRoot::new(root), request, &mut Silent).unwrap()
}

/// The findings of inspections: HP1xx, HP3xx and HP4xx, as text. Worker processes try the three that are left out.
fn inspected(checks: &[Entry]) -> Vec<String> {
    let is_inspected = |entry: &&Entry| {
        [1, 3, 4].contains(&(entry.id.number() / 100))
            && ![HP306, HP307, HP407, HP409, HP411].contains(&entry.id)
    };
    let text = |entry: &Entry| {
        let Entry { id, size, outcome, summary, expected, seen, remedy, .. } = entry;
        format!("{id} {size:?} {outcome} {summary} | {expected} | {seen} | {remedy}")
    };
    checks.iter().filter(is_inspected).map(text).collect()
}

/// Bundles the tree below `root` into the file at `path`.
fn bundle(root: &Path, request: &Request, path: &Path) -> (bundle::Contents, Redactor) {
    let mut redactor = Redactor::new("host-of-tests");
    let recording = bundle::record(root, request);
    let file = fs::File::create(path).unwrap();
    let contents = bundle::write("bundle", &recording, &[], &mut redactor, file).unwrap();
    (contents, redactor)
}

#[test]
fn a_bundle_of_a_tree_gives_the_findings_of_the_tree() {
    let scratch = tempfile::tempdir().unwrap();
    let need = ["2Mi=4", "1Gi=2@numa1"].map(|need| need.parse().unwrap()).into();
    let request = Request { need, ..Request::default() };
    for (name, tree) in trees(scratch.path()) {
        let file = scratch.path().join("bundle.tar");
        let (_, mut redactor) = bundle(&tree, &request, &file);
        let unpacked = bundle::open(&file).unwrap();
        let [ours, theirs] = [&tree, &unpacked.root()].map(|root| inspected(&judged(root, &request).checks));
        let ours: Vec<_> = ours.iter().map(|text| redactor.text(text)).collect();
        // A directory in place of a file is unreadable here, and a link to itself there.
        let alike = |text: &str| {
            text.replace("Is a directory (os error 21)", "E")
                .replace("Too many levels of symbolic links (os error 40)", "E")
        };
        let [ours, theirs] = [ours, theirs].map(|all| all.iter().map(|text| alike(text)).collect::<Vec<_>>());
        assert_eq!(ours, theirs, "{name}");
    }
}

#[test]
fn processes_and_their_pages_come_along_and_their_secrets_do_not() {
    let scratch = tempfile::tempdir().unwrap();
    let tree = scratch.path().join("tree");
    let put = |path: &str, text: &str| {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let pod = "5e3cbe4b-6f0c-4a8b-9ab4-0c8ad3b0a2f1";
    let id = "0123456789abcdef".repeat(4);
    put("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "4\n");
    put("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "2\n");
    put("proc/sys/kernel/hostname", "host-of-tests\n");
    put("proc/cmdline", "ip=10.9.8.7 hugepages=4 password=hunter2\n");
    put("proc/self/cgroup", &format!("0::/kubepods/pod{pod}/{id}\n"));
    put(
        "proc/self/mountinfo",
        "1 0 8:1 / / rw - nfs4 10.9.8.7:/export rw\n2 1 0:9 / /home/alice/huge rw - hugetlbfs none rw,pagesize=2M\n",
    );
    put("proc/77/status", "Name:\tdpdk\nVmSize:\t9 kB\nHugetlbPages:\t4096 kB\n");
    put("proc/77/cmdline", "dpdk --token hunter2");
    put(
        "proc/77/smaps",
        "1000-2000 r--p 0 08:01 1 /home/alice/secret\nSize: 4 kB\nKernelPageSize: 4 kB\n\
         200000-600000 rw-s 0 00:28 7 /home/alice/huge/rtemap_0\nKernelPageSize: 2048 kB\nShared_Hugetlb: 0 kB\nPrivate_Hugetlb: 4096 kB\nVmFlags: ht\n",
    );
    put("proc/78/status", "Name:\tother\nVmSize:\t9 kB\nHugetlbPages:\t0 kB\n");
    let file = scratch.path().join("bundle.tar");
    let (contents, redactor) = bundle(&tree, &Request::default(), &file);
    assert!(contents.unreadable.is_empty() && contents.left_out.is_empty(), "{contents:?}");
    let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
    for secret in
        ["host-of-tests", "hunter2", "10.9.8.7", pod, id.as_str(), "alice", "secret", "other", "/export"]
    {
        assert!(!text.contains(secret), "{secret}");
    }
    let counts = redactor.counts();
    for kind in ["host name", "UUID", "container or machine id", "user name"] {
        assert_eq!(counts.get(kind), Some(&1), "{kind}: {counts:?}");
    }
    let report = judged(&bundle::open(&file).unwrap().root(), &Request::default());
    let owners = report.checks.iter().find(|entry| entry.id == HP105).unwrap();
    assert_eq!(owners.evidence["holders"], serde_json::json!([{"pid": 77, "command": "dpdk", "pages": 2}]));
}

fn hugeprobe(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hugeprobe")).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// The findings of inspections in the JSON of a report.
fn in_json(text: &[u8]) -> Vec<String> {
    let report: serde_json::Value = serde_json::from_slice(text).unwrap();
    let left_out = ["HP306", "HP307", "HP407", "HP409", "HP411"];
    let is_inspected =
        |id: &str| ["HP1", "HP3", "HP4"].iter().any(|group| id.starts_with(group)) && !left_out.contains(&id);
    let checks = report["checks"].as_array().unwrap().iter();
    let checks = checks.filter(|check| is_inspected(check["id"].as_str().unwrap()));
    checks
        .map(|check| {
            ["id", "size", "outcome", "summary", "expected", "seen"]
                .map(|key| check[key].to_string())
                .join(" ")
        })
        .collect()
}

/// Other programs may use the pools between the two readings, so this is tried a few times.
#[test]
fn a_bundle_of_this_machine_gives_its_findings() {
    let scratch = tempfile::tempdir().unwrap();
    let mut last = (Vec::new(), Vec::new());
    for n in 0..5 {
        let file = scratch.path().join(format!("{n}.tar"));
        let path = file.to_str().unwrap();
        let made = hugeprobe(&["bundle", "--size", "2Mi", "-o", path]);
        assert_eq!(made.status.code(), Some(0), "{made:?}");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let unpacked = bundle::open(&file).unwrap();
        let report = fs::read(unpacked.root().join("report.json")).unwrap();
        let replayed = hugeprobe(&["check", "--size", "2Mi", "--root", path, "-o", "json"]);
        last = (in_json(&report), in_json(&replayed.stdout));
        if last.0 == last.1 {
            let page = fs::read_to_string(unpacked.root().join("report.html")).unwrap();
            assert!(page.starts_with("<!DOCTYPE html>"), "{page}");
            let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
            assert!(!String::from_utf8_lossy(&fs::read(&file).unwrap()).contains(boot.trim()));
            return;
        }
    }
    assert_eq!(last.0, last.1);
}

#[test]
fn a_file_that_exists_is_kept() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("mine");
    fs::write(&file, "mine").unwrap();
    let output = hugeprobe(&["bundle", "-o", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("use -o"), "{output:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    let output = hugeprobe(&["bundle", "--reserve", "2Mi=1"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

/// One entry, with a name that the writer of tar would refuse.
fn entry(kind: EntryType, name: &str, target: &str, text: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(text.len() as u64);
    header.set_cksum();
    let mut builder = Builder::new(Vec::new());
    builder.append(&header, text).unwrap();
    builder.into_inner().unwrap()
}

#[test]
fn a_hostile_file_is_refused_and_writes_nothing_elsewhere() {
    let scratch = tempfile::tempdir().unwrap();
    let outside = scratch.path().join("outside");
    let link_out = [
        entry(EntryType::Symlink, "b/proc", "..", b""),
        entry(EntryType::Regular, "b/proc/outside", "", b"x"),
    ];
    // Without the zeros at its end, the first entry is not the last.
    let link_out = [&link_out[0][..512], &link_out[1][..]].concat();
    let through = [
        entry(EntryType::Symlink, "b/proc", "self", b""),
        entry(EntryType::Regular, "b/proc/outside", "", b"x"),
    ];
    let through = [&through[0][..512], &through[1][..]].concat();
    for (name, bytes) in [
        ("a path up", entry(EntryType::Regular, "b/../../outside", "", b"x")),
        ("an absolute path", entry(EntryType::Regular, outside.to_str().unwrap(), "", b"x")),
        ("a link up", link_out),
        ("a path through a link", through),
        ("a link elsewhere", entry(EntryType::Symlink, "b/x", "/etc/passwd", b"")),
        ("a hard link", entry(EntryType::Link, "b/x", "/etc/passwd", b"")),
        ("a device", entry(EntryType::Char, "b/x", "", b"")),
        ("a FIFO", entry(EntryType::Fifo, "b/x", "", b"")),
        ("nothing", vec![0; 1024]),
        ("no archive", b"hello\n".repeat(1000)),
        ("a long file", entry(EntryType::Regular, "b/x", "", &vec![b'x'; 9 << 20])),
    ] {
        let file = scratch.path().join("hostile.tar");
        fs::write(&file, bytes).unwrap();
        let output = hugeprobe(&["check", "--root", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2), "{name}: {output:?}");
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(message.starts_with("hugeprobe: --root: "), "{name}: {message}");
        assert!(!outside.exists(), "{name}");
    }
}
