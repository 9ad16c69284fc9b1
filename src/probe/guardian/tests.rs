//! A guardian's life in a captured tree, where a pool gives whatever it is asked for; the real kernel's part is in
//! `tests/real`.

use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

use super::message::{Assignment, Message, Replayed, Restored};
use super::process::serve;
use super::{Guardian, Options, replay_dead};
use crate::linux::root::HostRoot;
use crate::linux::run_directory::RunDirectory;

/// Two nodes with 32 and 10 pages of 2Mi.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        machine.write("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "42");
        machine.write("sys/kernel/mm/hugepages/hugepages-2048kB/surplus_hugepages", "0");
        machine.write("proc/sys/kernel/random/boot_id", "this-boot\n");
        for (node, total, surplus) in [(0, "32\n", "0\n"), (1, "10\n", "0\n")] {
            machine.write(&format!("{}/nr_hugepages", Self::pool(node)), total);
            machine.write(&format!("{}/surplus_hugepages", Self::pool(node)), surplus);
        }
        std::fs::create_dir(machine.path("run")).unwrap();
        machine
    }

    fn pool(node: u32) -> String {
        format!("sys/devices/system/node/node{node}/hugepages/hugepages-2048kB")
    }

    fn path(&self, path: impl AsRef<Path>) -> std::path::PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        std::fs::write(self.path(path), text).unwrap();
    }

    /// What was last written to, or read from, `nr_hugepages` of both nodes.
    fn totals(&self) -> [u64; 2] {
        [0, 1].map(|node| {
            let text = std::fs::read_to_string(self.path(Self::pool(node)).join("nr_hugepages")).unwrap();
            text.trim().parse().unwrap()
        })
    }

    fn journal(&self, name: &str, text: &str) {
        let directory = self.path("run/hugeprobe");
        let _ = rustix::fs::mkdir(&directory, rustix::fs::Mode::RWXU);
        std::fs::write(directory.join(name), text).unwrap();
    }

    fn replay(&self) -> Vec<Replayed> {
        replay_dead(&self.root(), &self.run_directory(), Duration::ZERO).unwrap()
    }

    fn root(&self) -> HostRoot {
        HostRoot::new(self.0.path())
    }

    fn run_directory(&self) -> RunDirectory {
        RunDirectory::new(self.path("run/hugeprobe"))
    }

    /// Runs a guardian for `counts`; `during` is what happens while its pages are held.
    fn reserve(&self, counts: &[&str], during: impl FnOnce()) -> Vec<Message> {
        let assignment = Assignment {
            root: self.0.path().to_owned(),
            run_directory: self.path("run/hugeprobe"),
            nonce: counts.concat(),
            counts: counts.iter().map(|count| count.parse().unwrap()).collect(),
        };
        let (input, hold) = io::pipe().unwrap();
        let (mut heard, mut output) = io::pipe().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                serve(&assignment, input, &mut output);
                drop(output);
            });
            let mut text = Vec::new();
            while !text.ends_with(b"\n") {
                let mut byte = [0];
                heard.read_exact(&mut byte).unwrap();
                text.push(byte[0]);
            }
            during();
            drop(hold);
            heard.read_to_end(&mut text).unwrap();
            let text = String::from_utf8(text).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        })
    }
}

fn restored(messages: &[Message]) -> &Restored {
    match messages.last() {
        Some(Message::Restored(restored)) => restored,
        other => panic!("{other:?}"),
    }
}

const BOOT: &str = "{\"run\":{\"boot_id\":\"this-boot\"}}\n";
const GREW: &str = "{\"grew\":{\"pool\":{\"size\":\"2Mi\",\"node\":0},\"got\":6}}\n";

#[test]
fn pools_grow_for_the_run_and_shrink_after_it() {
    let machine = Machine::new();
    let messages = machine.reserve(&["2Mi=5", "2Mi=4@numa1"], || assert_eq!(machine.totals(), [35, 16]));
    let Message::Granted { granted, replayed } = &messages[0] else { panic!("{messages:?}") };
    let got: Vec<Vec<_>> =
        granted.iter().map(|one| one.pools.iter().map(|gain| (gain.pool.node, gain.got)).collect()).collect();
    assert_eq!(got, [vec![(Some(0), 3), (Some(1), 2)], vec![(Some(1), 4)]]);
    assert!(granted.iter().all(|granted| !granted.is_short() && granted.shortfall.is_empty()), "{granted:?}");
    assert!(replayed.is_empty());
    assert!(restored(&messages).is_complete());
    assert_eq!(restored(&messages).pages(), 9);
    assert_eq!(machine.totals(), [32, 10]);
    assert!(!machine.path("run/hugeprobe").exists());
}

#[test]
fn more_than_one_step_is_one_grant() {
    let machine = Machine::new();
    let messages = machine.reserve(&["2Mi=10000@numa0"], || assert_eq!(machine.totals(), [10032, 10]));
    assert!(matches!(&messages[0], Message::Granted { granted, .. } if granted[0].got == 10000));
    assert_eq!(machine.totals(), [32, 10]);
}

#[test]
fn no_more_is_asked_than_the_memory_has_room_for() {
    let machine = Machine::new();
    machine.write("proc/meminfo", "MemTotal: 16384 kB\nMemAvailable: 9216 kB\n");
    let messages = machine.reserve(&["2Mi=100"], || assert_eq!(machine.totals(), [34, 12]));
    let Message::Granted { granted, .. } = &messages[0] else { panic!("{messages:?}") };
    assert!(granted[0].is_short());
    assert!(granted[0].shortfall[0].contains("room for 4 pages of 2Mi"), "{granted:?}");
}

#[test]
fn two_runs_and_an_administrator_keep_what_is_theirs() {
    let machine = Machine::new();
    machine.reserve(&["2Mi=8"], || {
        let messages = machine.reserve(&["2Mi=6@numa0"], || {
            assert_eq!(machine.totals(), [42, 14]);
            machine.write(&format!("{}/nr_hugepages", Machine::pool(0)), "142\n");
            machine.write(&format!("{}/nr_hugepages", Machine::pool(1)), "3\n");
        });
        assert!(matches!(&messages[0], Message::Granted { replayed, .. } if replayed.is_empty()));
        assert_eq!(machine.totals(), [136, 3]);
        assert!(machine.path("run/hugeprobe").exists());
    });
    assert_eq!(machine.totals(), [132, 0]);
    assert!(!machine.path("run/hugeprobe").exists());
}

#[test]
fn the_dead_are_replayed_before_anything_is_grown() {
    let machine = Machine::new();
    machine.journal("7-dead.journal", &format!("{BOOT}{GREW}"));
    let messages = machine.reserve(&["2Mi=2@numa0"], || assert_eq!(machine.totals(), [28, 10]));
    let Message::Granted { replayed, .. } = &messages[0] else { panic!("{messages:?}") };
    assert_eq!((replayed[0].run.as_str(), replayed[0].restored.pages()), ("7-dead", 6));
    assert_eq!(machine.totals(), [26, 10]);
}

#[test]
fn one_who_dies_while_another_runs_is_replayed_by_that_one() {
    let machine = Machine::new();
    machine.reserve(&["2Mi=2@numa0"], || machine.journal("7-dead.journal", &format!("{BOOT}{GREW}")));
    assert_eq!(machine.totals(), [26, 10]);
    assert!(!machine.path("run/hugeprobe").exists());
}

#[test]
fn a_dead_run_costs_its_pages_once() {
    let machine = Machine::new();
    assert!(machine.replay().is_empty());
    machine.journal("7-dead.journal", &format!("{BOOT}{GREW}"));
    assert_eq!(machine.replay()[0].restored.pages(), 6);
    assert!(machine.replay().is_empty());
    assert_eq!(machine.totals(), [26, 10]);
    assert!(!machine.path("run/hugeprobe").exists());
}

#[test]
fn a_journal_that_does_not_count_is_removed_and_costs_nothing() {
    let machine = Machine::new();
    for (text, why) in [
        (String::new(), "which boot"),
        ("{\"run\":{\"boot".to_owned(), "which boot"),
        (GREW.to_owned(), "which boot"),
        (format!("{}{GREW}", BOOT.replace("this", "that")), "another boot"),
        ("\0\u{fffd}[[[[".repeat(100_000), "which boot"),
    ] {
        machine.journal("7-dead.journal", &text);
        let replayed = machine.replay();
        assert!(replayed[0].void.as_ref().is_some_and(|void| void.contains(why)), "{replayed:?}");
        assert!(!machine.path("run/hugeprobe").exists());
    }
    assert_eq!(machine.totals(), [32, 10]);
}

#[test]
fn what_is_readable_of_a_journal_counts() {
    let machine = Machine::new();
    machine.journal("7-dead.journal", &format!("{BOOT}garbage\n{GREW}{{\"gave\":{{\"po"));
    assert_eq!(machine.replay()[0].restored.pages(), 6);
    machine
        .journal("7-dead.journal", &format!("{BOOT}{}", GREW.replace("Mi\",\"node\":0", "Mi\",\"node\":9")));
    assert!(machine.replay()[0].restored.is_complete(), "a node that is gone is owed nothing");
    assert!(!machine.path("run/hugeprobe").exists());
}

#[test]
fn a_debt_that_cannot_be_paid_now_is_kept_for_the_next_run() {
    let machine = Machine::new();
    let total = format!("{}/nr_hugepages", Machine::pool(0));
    machine.journal("7-dead.journal", &format!("{BOOT}{GREW}"));
    for garbage in ["", "many", "-1"] {
        machine.write(&total, garbage);
        let replayed = machine.replay();
        assert!(replayed[0].restored.problems[0].contains("node0"), "{replayed:?}");
    }
    std::fs::remove_file(machine.path("proc/sys/kernel/random/boot_id")).unwrap();
    machine.write(&total, "32");
    assert!(!machine.replay()[0].restored.is_complete());
    machine.write("proc/sys/kernel/random/boot_id", "this-boot");
    assert_eq!(machine.replay()[0].restored.pages(), 6);
    assert_eq!(machine.totals(), [26, 10]);
}

#[test]
fn without_a_journal_nothing_is_grown() {
    for spoil in [
        |machine: &Machine| std::fs::remove_dir(machine.path("run")).unwrap(),
        |machine: &Machine| std::fs::remove_file(machine.path("proc/sys/kernel/random/boot_id")).unwrap(),
        |machine: &Machine| machine.write("run/hugeprobe", "a file"),
    ] {
        let machine = Machine::new();
        spoil(&machine);
        let messages = machine.reserve(&["2Mi=2"], || ());
        let [Message::Failed { why, restored }] = messages.as_slice() else { panic!("{messages:?}") };
        assert!(why.contains("cannot"), "{why}");
        assert!(restored.is_complete());
        assert_eq!(machine.totals(), [32, 10]);
    }
}

#[test]
fn one_pool_that_fails_takes_the_others_back() {
    let machine = Machine::new();
    machine.write(&format!("{}/surplus_hugepages", Machine::pool(1)), "garbage");
    let messages = machine.reserve(&["2Mi=4"], || ());
    let [Message::Failed { why, restored }] = messages.as_slice() else { panic!("{messages:?}") };
    assert!(why.contains("node1") && why.contains("garbage"), "{why}");
    assert_eq!(restored.pages(), 2);
    assert_eq!(machine.totals(), [32, 10]);
    assert!(!machine.path("run/hugeprobe").exists());
}

#[test]
fn a_run_that_is_over_before_it_began_gets_nothing() {
    let machine = Machine::new();
    let assignment = Assignment {
        root: machine.0.path().to_owned(),
        run_directory: machine.path("run/hugeprobe"),
        nonce: String::new(),
        counts: vec!["2Mi=4".parse().unwrap()],
    };
    let (input, hold) = io::pipe().unwrap();
    drop(hold);
    let mut said = Vec::new();
    assert!(serve(&assignment, input, &mut said));
    let text = String::from_utf8(said).unwrap();
    assert!(text.contains(r#""got":0"#), "{text}");
    assert_eq!(machine.totals(), [32, 10]);
}

/// Starts `program` in place of a guardian, with the same arguments, and says what came of it.
fn start(program: &str, options: Options<'_>) -> String {
    let machine = Machine::new();
    let (root, run_directory) = (machine.root(), machine.run_directory());
    let options = Options { root, run_directory, program: program.into(), ..options };
    let error = Guardian::start(&["2Mi=2".parse().unwrap()], &options).unwrap_err();
    assert!(!error.is_usage(), "{error}");
    error.to_string()
}

#[test]
fn a_guardian_that_fails_says_how() {
    for (program, why) in [
        ("true", "before it had said anything: exit status: 0"),
        ("echo", "before it had said anything: exit status: 0"), // what it says is no message
        ("cat", "exit status: 1 hugeprobe: guardian: "),
        ("/nowhere", "cannot start the guardian"),
    ] {
        let error = start(program, Options::default());
        assert!(error.contains(why) && !error.contains("not given back"), "{error}");
    }
}

#[test]
fn a_guardian_that_takes_too_long_is_ended() {
    let short = Duration::from_millis(50);
    let options = || Options { grow_within: short, restore_within: short, ..Options::default() };
    assert!(start("yes", options()).contains("had not grown within 50ms"));
    let (stop, stopped) = io::pipe().unwrap();
    drop(stopped);
    let patient = Options { grow_within: Duration::from_secs(60), stop: Some(stop.as_fd()), ..options() };
    assert!(start("yes", patient).contains("interrupted"));
}

#[test]
fn what_cannot_be_reserved_here_is_a_matter_of_usage() {
    let machine = Machine::new();
    let refused = |count: &str| {
        let options = Options { root: machine.root(), ..Options::default() };
        let error = Guardian::start(&[count.parse().unwrap()], &options).unwrap_err();
        assert!(error.is_usage(), "{error}");
        error.to_string()
    };
    assert!(refused("1Gi=1").contains("--reserve 1Gi=1: the kernel offers no huge pages of 1Gi"));
    assert!(refused("2Mi=1@numa7").contains("no NUMA node 7"));
    std::fs::remove_file(machine.path(Machine::pool(1)).join("nr_hugepages")).unwrap();
    std::fs::create_dir(machine.path(Machine::pool(1)).join("nr_hugepages")).unwrap();
    assert!(refused("2Mi=1@numa1").contains("for writing"));
}
