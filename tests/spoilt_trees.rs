//! Captured trees, spoilt: files missing, cut off, empty, full of garbage or of numbers that no machine has.
//!
//! `check --root` reads them as a machine would be. Whatever stands in them: no panic, every form can be written, and
//! never a pass: in a tree nothing was tried.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // clippy.toml exempts #[test] functions alone

use std::fs;
use std::path::{Path, PathBuf};

use hugeprobe::domain::check::Outcome;
use hugeprobe::domain::request::{Request, Workload};
use hugeprobe::domain::reserve::Replayed;
use hugeprobe::linux::root::HostRoot;
use hugeprobe::probe::check::{self, Progress};
use hugeprobe::render::{Format, Style, render};
use proptest::prelude::*;
use proptest::sample::Index;

/// Nobody follows these runs.
struct Silent;

impl Progress for Silent {
    fn step(&mut self, _: &str) {}
    fn tick(&mut self) {}
    fn replayed(&mut self, _: &Replayed) {}
}

/// What is done to one file.
#[derive(Debug, Clone)]
enum Spoil {
    Remove,
    Cut(Index),
    /// In place of all that it holds.
    Write(Vec<u8>),
    /// In place of every number in it.
    Numbers(String),
    /// Every line twice, and the first again at the end.
    Repeat,
    /// The file is a directory.
    Directory,
    /// The file is a link to itself.
    Loop,
}

fn fixtures() -> Vec<PathBuf> {
    let nodes = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/nodes");
    let mut trees: Vec<_> = fs::read_dir(nodes).unwrap().map(|entry| entry.unwrap().path()).collect();
    trees.retain(|tree| tree.join("proc").is_dir());
    trees.sort();
    assert!(trees.len() >= 3, "{trees:?}");
    trees
}

/// Copies a tree; every file of the copy.
fn copy(from: &Path, to: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    fs::create_dir_all(to).unwrap();
    let mut entries: Vec<_> = fs::read_dir(from).unwrap().map(|entry| entry.unwrap()).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            files.extend(copy(&entry.path(), &to));
        } else {
            fs::copy(entry.path(), &to).unwrap();
            files.push(to);
        }
    }
    files
}

fn spoil(file: &Path, how: &Spoil) {
    // A file that was removed or replaced by an earlier one stays as it is.
    let Ok(text) = fs::read(file) else { return };
    let write = |bytes: &[u8]| {
        fs::remove_file(file).unwrap();
        fs::write(file, bytes).unwrap();
    };
    match how {
        Spoil::Remove => fs::remove_file(file).unwrap(),
        Spoil::Cut(at) => write(&text[..if text.is_empty() { 0 } else { at.index(text.len()) }]),
        Spoil::Write(bytes) => write(bytes),
        Spoil::Numbers(number) => {
            let (mut out, mut was_digit) = (Vec::new(), false);
            for byte in text {
                if !byte.is_ascii_digit() {
                    out.push(byte);
                } else if !was_digit {
                    out.extend(number.bytes());
                }
                was_digit = byte.is_ascii_digit();
            }
            write(&out);
        }
        Spoil::Repeat => {
            let mut out: Vec<u8> =
                text.split_inclusive(|byte| *byte == b'\n').flat_map(|line| [line, line].concat()).collect();
            out.extend(text.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default());
            write(&out);
        }
        Spoil::Directory => {
            fs::remove_file(file).unwrap();
            fs::create_dir(file).unwrap();
        }
        Spoil::Loop => {
            fs::remove_file(file).unwrap();
            std::os::unix::fs::symlink(file, file).unwrap();
        }
    }
}

/// Makes a run and looks at all that it says.
fn assert_never_passes(tree: &Path, request: &Request) {
    let report = check::run(&HostRoot::new(tree), request, &mut Silent).unwrap();
    assert!(!check::is_good(report.verdict), "{:?}", report.verdict);
    assert!(report.sizes.iter().all(|size| !check::is_good(size.verdict)), "{:?}", report.sizes);
    let tried = |number: u16| (500..700).contains(&number);
    for entry in report.checks.iter().filter(|entry| tried(entry.id.number())) {
        assert!(entry.outcome != Outcome::Pass, "{} was not tried", entry.id);
    }
    for format in [Format::Table, Format::Short, Format::Json, Format::Junit] {
        let mut out = Vec::new();
        render(&report, format, &mut out, Style::default()).unwrap();
        String::from_utf8(out).unwrap();
    }
}

fn any_number() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("18446744073709551615"),
        Just("18446744073709551616"),
        Just("9223372036854775808"),
        Just("99999999999999999999999999999999999999999999999999"),
        Just("4294967296"),
        Just("0"),
        Just("-1"),
        Just("0x7fffffff"),
        Just("1e99"),
        Just("٣"),
        Just(""),
    ]
    .prop_map(str::to_owned)
}

fn any_spoil() -> impl Strategy<Value = Spoil> {
    prop_oneof![
        2 => Just(Spoil::Remove),
        3 => any::<Index>().prop_map(Spoil::Cut),
        2 => prop::collection::vec(any::<u8>(), 0..200).prop_map(Spoil::Write),
        2 => "[ -~\n\t]{0,200}".prop_map(|text| Spoil::Write(text.into_bytes())),
        1 => any_number().prop_map(|text| Spoil::Write(text.into_bytes())),
        1 => Just(Spoil::Write(vec![b'7'; 1 << 20])),
        5 => any_number().prop_map(Spoil::Numbers),
        1 => Just(Spoil::Repeat),
        1 => Just(Spoil::Directory),
        1 => Just(Spoil::Loop),
    ]
}

fn any_request() -> impl Strategy<Value = Request> {
    let sizes = prop::collection::vec(prop_oneof![Just("2Mi"), Just("1Gi"), Just("512Gi")], 0..2);
    let expect = prop::option::of(prop_oneof![Just("2Mi>=1"), Just("1Gi@numa0>=0"), Just("1Gi=16")]);
    let need = prop::option::of(prop_oneof![Just("2Mi=1"), Just("1Gi=16@numa1")]);
    (sizes, expect, need, any::<bool>()).prop_map(|(sizes, expect, need, is_qemu)| Request {
        sizes: sizes.iter().map(|size| size.parse().unwrap()).collect(),
        expect: expect.iter().map(|expect| expect.parse().unwrap()).collect(),
        need: need.iter().map(|need| need.parse().unwrap()).collect(),
        workload: if is_qemu { Workload::Qemu } else { Workload::Dpdk },
        ..Request::default()
    })
}

#[test]
fn a_captured_tree_as_it_is_never_passes() {
    for tree in fixtures() {
        assert_never_passes(&tree, &Request::default());
    }
}

#[test]
fn a_tree_without_one_of_its_files_never_passes() {
    for tree in fixtures() {
        let directory = tempfile::tempdir().unwrap();
        for file in copy(&tree, directory.path()) {
            let text = fs::read(&file).unwrap();
            fs::remove_file(&file).unwrap();
            assert_never_passes(directory.path(), &Request::default());
            fs::write(&file, text).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_spoilt_tree_never_panics_and_never_passes(
        tree: Index,
        spoils in prop::collection::vec((any::<Index>(), any_spoil()), 1..8),
        request in any_request(),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let files = copy(&fixtures()[tree.index(fixtures().len())], directory.path());
        for (file, how) in &spoils {
            spoil(&files[file.index(files.len())], how);
        }
        assert_never_passes(directory.path(), &request);
    }

    /// The same thing everywhere at once.
    #[test]
    fn a_tree_of_nothing_but_one_number_never_passes(tree: Index, number in any_number(), request in any_request()) {
        let directory = tempfile::tempdir().unwrap();
        for file in copy(&fixtures()[tree.index(fixtures().len())], directory.path()) {
            spoil(&file, &Spoil::Numbers(number.clone()));
        }
        assert_never_passes(directory.path(), &request);
    }
}
