//! Tests of the guardian in a captured tree, where a pool always grows as requested. `tests/real` tests it with the
//! real kernel.

use std::io::{self, BufRead as _, BufReader};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

use super::process::{Grown, Guarded};
use super::{Guardian, Options, replay_dead};
use hugeprobe_domain::request::PageCount;
use hugeprobe_domain::reserve::Replayed;
use hugeprobe_linux::root::HostRoot;
use hugeprobe_linux::run_directory::RunDirectory;

/// The boot id of the machine.
const BOOT: &str = "6a1d2c3e-0000-4fff-8abc-0123456789ab";

/// A machine with two nodes that have 32 and 10 pages of 2Mi.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        machine.write("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "42");
        machine.write("sys/kernel/mm/hugepages/hugepages-2048kB/surplus_hugepages", "0");
        machine.write("proc/sys/kernel/random/boot_id", BOOT);
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

    /// Returns the last value of `nr_hugepages` of both nodes.
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

    /// Runs a guardian for `counts`, and `during` while the pages are held. Returns the guardian's line and its result.
    fn reserve(&self, counts: &[&str], during: impl FnOnce()) -> (Grown, Result<(), String>) {
        let (root, run_directory) = (self.root(), self.run_directory());
        let run = format!("1-{}", counts.concat());
        let counts: Vec<PageCount> = counts.iter().map(|count| count.parse().unwrap()).collect();
        let guarded = Guarded { root: &root, run_directory: &run_directory, run, counts: &counts };
        let (input, hold) = io::pipe().unwrap();
        let (reader, mut output) = io::pipe().unwrap();
        std::thread::scope(|scope| {
            let guardian = scope.spawn(move || guarded.serve(input, &mut output));
            let mut line = String::new();
            BufReader::new(reader).read_line(&mut line).unwrap();
            during();
            drop(hold);
            (serde_json::from_str(&line).unwrap(), guardian.join().unwrap())
        })
    }
}

/// Returns the journal line of a run that added `got` pages to node 0, which had `before`.
fn record(before: u64, got: u64) -> String {
    let pool = r#"{"size":"2Mi","node":0}"#;
    format!("{{\"boot_id\":\"{BOOT}\",\"pools\":[{{\"pool\":{pool},\"before\":{before},\"got\":{got}}}]}}\n")
}

fn pages(replayed: &Replayed) -> u64 {
    replayed.given.iter().map(|given| given.pages).sum()
}

#[test]
fn pools_grow_for_the_run_and_shrink_after_it() {
    let machine = Machine::new();
    let (grown, ended) =
        machine.reserve(&["2Mi=5", "2Mi=4@numa1"], || assert_eq!(machine.totals(), [35, 16]));
    let granted = grown.granted.unwrap();
    let got: Vec<Vec<_>> =
        granted.iter().map(|one| one.pools.iter().map(|gain| (gain.pool.node, gain.got)).collect()).collect();
    assert_eq!(got, [vec![(Some(0), 3), (Some(1), 2)], vec![(Some(1), 4)]]);
    assert!(granted.iter().all(|granted| !granted.is_short() && granted.shortfall.is_empty()), "{granted:?}");
    assert!(grown.replayed.is_empty());
    assert_eq!(ended, Ok(()));
    assert_eq!(machine.totals(), [32, 10]);
    assert!(!machine.path("run/hugeprobe").exists());
}

#[test]
fn more_than_one_step_is_one_grant() {
    let machine = Machine::new();
    let (grown, _) = machine.reserve(&["2Mi=10000@numa0"], || assert_eq!(machine.totals(), [10032, 10]));
    assert_eq!(grown.granted.unwrap()[0].got, 10000);
    assert_eq!(machine.totals(), [32, 10]);
}

#[test]
fn no_more_is_asked_than_the_memory_has_room_for() {
    let machine = Machine::new();
    machine.write("proc/meminfo", "MemTotal: 16384 kB\nMemAvailable: 9216 kB\n");
    let (grown, _) = machine.reserve(&["2Mi=100"], || assert_eq!(machine.totals(), [34, 12]));
    let granted = grown.granted.unwrap();
    assert!(granted[0].is_short());
    assert!(granted[0].shortfall[0].contains("room for 4 pages of 2Mi"), "{granted:?}");
}

#[test]
fn two_runs_and_an_administrator_keep_what_is_theirs() {
    let machine = Machine::new();
    let (_, ended) = machine.reserve(&["2Mi=8"], || {
        let (grown, ended) = machine.reserve(&["2Mi=6@numa0"], || {
            assert_eq!(machine.totals(), [42, 14]);
            machine.write(&format!("{}/nr_hugepages", Machine::pool(0)), "142\n");
            machine.write(&format!("{}/nr_hugepages", Machine::pool(1)), "3\n");
        });
        assert!(grown.replayed.is_empty() && ended.is_ok(), "{grown:?} {ended:?}");
        assert_eq!(machine.totals(), [136, 3]);
        assert!(machine.path("run/hugeprobe").exists());
    });
    assert_eq!(ended, Ok(()));
    assert_eq!(machine.totals(), [132, 3], "the administrator's 3 pages are fewer than the 10 before");
    assert!(!machine.path("run/hugeprobe").exists());
}

#[test]
fn two_runs_that_overlap_leave_the_pool_as_it_was() {
    let machine = Machine::new();
    let (_, ended) = machine.reserve(&["2Mi=16@numa0"], || {
        // This run was killed. Its journal is replayed while the first run still has its pages.
        machine.write(&format!("{}/nr_hugepages", Machine::pool(0)), "56\n");
        machine.journal("7-dead.journal", &record(32, 8));
        let (_, ended) = machine.reserve(&["2Mi=4@numa0"], || assert_eq!(machine.totals(), [52, 10]));
        assert_eq!((machine.totals(), ended), ([48, 10], Ok(())));
    });
    assert_eq!(ended, Ok(()));
    assert_eq!(machine.totals(), [32, 10]);
    // A run that is killed while the last one runs is left to the next run.
    let (_, ended) = machine.reserve(&["2Mi=2@numa0"], || {
        machine.write(&format!("{}/nr_hugepages", Machine::pool(0)), "42\n");
        machine.journal("7-dead.journal", &record(32, 8));
    });
    assert_eq!((machine.totals(), ended), ([40, 10], Ok(())));
    assert_eq!(pages(&machine.replay()[0]), 8);
    assert_eq!(machine.totals(), [32, 10]);
}

#[test]
fn the_dead_are_replayed_before_anything_is_grown() {
    let machine = Machine::new();
    machine.journal("7-dead.journal", &record(26, 6));
    let (grown, _) = machine.reserve(&["2Mi=2@numa0"], || assert_eq!(machine.totals(), [28, 10]));
    assert_eq!((grown.replayed[0].run.as_str(), pages(&grown.replayed[0])), ("7-dead", 6));
    assert_eq!(machine.totals(), [26, 10]);
}

#[test]
fn a_dead_run_costs_its_pages_once() {
    let machine = Machine::new();
    assert!(machine.replay().is_empty());
    machine.journal("7-dead.journal", &record(26, 6));
    assert_eq!(pages(&machine.replay()[0]), 6);
    assert!(machine.replay().is_empty());
    assert_eq!(machine.totals(), [26, 10]);
    assert!(!machine.path("run/hugeprobe").exists());
}

#[test]
fn a_pool_is_not_shrunk_below_what_it_had_before_the_dead_run() {
    let machine = Machine::new();
    // The run was killed, and an administrator set the pool to 32 pages again.
    machine.journal("7-dead.journal", &record(32, 6));
    let replayed = machine.replay();
    assert_eq!(replayed, [Replayed { run: "7-dead".to_owned(), given: vec![], problems: vec![] }]);
    assert_eq!(machine.totals(), [32, 10]);
    assert!(!machine.path("run/hugeprobe").exists());
}

#[test]
fn a_run_that_added_nothing_in_this_boot_is_not_replayed() {
    let machine = Machine::new();
    for text in [
        String::new(),
        "{\"boot_id\":\"6a1d".to_owned(),
        record(26, 6).replace("6a1d", "7b2e"),
        "\0\u{fffd}[[[[".repeat(100_000),
    ] {
        machine.journal("7-dead.journal", &text);
        assert!(machine.replay().is_empty());
        assert!(!machine.path("run/hugeprobe").exists());
    }
    assert_eq!(machine.totals(), [32, 10]);
}

#[test]
fn a_torn_line_and_a_node_that_is_gone_are_no_matter() {
    let machine = Machine::new();
    machine.journal("7-dead.journal", &format!("garbage\n{}{{\"boot_id\":\"{BOOT}\",\"po", record(26, 6)));
    assert_eq!(pages(&machine.replay()[0]), 6);
    machine.journal("7-dead.journal", &record(26, 6).replace("\"node\":0", "\"node\":9"));
    assert!(machine.replay()[0].problems.is_empty());
    assert_eq!(machine.totals(), [26, 10]);
    assert!(!machine.path("run/hugeprobe").exists());
}

#[test]
fn pages_that_cannot_be_given_back_now_are_left_to_the_next_run() {
    let machine = Machine::new();
    let total = format!("{}/nr_hugepages", Machine::pool(0));
    machine.journal("7-dead.journal", &record(26, 6));
    for garbage in ["", "many", "-1"] {
        machine.write(&total, garbage);
        let replayed = machine.replay();
        assert!(replayed[0].problems[0].contains("node0"), "{replayed:?}");
    }
    std::fs::remove_file(machine.path("proc/sys/kernel/random/boot_id")).unwrap();
    machine.write(&total, "32");
    assert!(machine.replay()[0].problems[0].contains("boot id"));
    machine.write("proc/sys/kernel/random/boot_id", BOOT);
    assert_eq!(pages(&machine.replay()[0]), 6);
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
        let (grown, ended) = machine.reserve(&["2Mi=2"], || ());
        let why = grown.granted.unwrap_err();
        assert!(why.contains("cannot") && ended.is_ok(), "{why}");
        assert_eq!(machine.totals(), [32, 10]);
    }
}

#[test]
fn one_pool_that_fails_takes_the_others_back() {
    let machine = Machine::new();
    machine.write(&format!("{}/surplus_hugepages", Machine::pool(1)), "garbage");
    let (grown, ended) = machine.reserve(&["2Mi=4"], || ());
    let why = grown.granted.unwrap_err();
    assert!(why.contains("node1") && why.contains("garbage") && !why.contains("not given back"), "{why}");
    assert_eq!(ended, Ok(()));
    assert_eq!(machine.totals(), [32, 10]);
    assert!(!machine.path("run/hugeprobe").exists());
}

#[test]
fn a_run_that_is_over_before_it_began_gets_nothing() {
    let machine = Machine::new();
    let (root, run_directory) = (machine.root(), machine.run_directory());
    let counts = ["2Mi=4".parse().unwrap()];
    let guarded =
        Guarded { root: &root, run_directory: &run_directory, run: "1-a".to_owned(), counts: &counts };
    let (input, hold) = io::pipe().unwrap();
    drop(hold);
    let mut output = Vec::new();
    assert_eq!(guarded.serve(input, &mut output), Ok(()));
    let grown: Grown = serde_json::from_slice(&output).unwrap();
    assert_eq!(grown.granted.unwrap()[0].got, 0);
    assert_eq!(machine.totals(), [32, 10]);
}

/// Starts `program` in place of a guardian, with the same arguments. Returns the error.
fn start(program: &str, options: Options<'_>) -> String {
    let machine = Machine::new();
    let (root, run_directory) = (machine.root(), machine.run_directory());
    let options = Options { root, run_directory, program: program.into(), ..options };
    let error = Guardian::start(&["2Mi=2".parse().unwrap()], &options, &mut |_| ()).unwrap_err();
    assert!(!error.is_usage(), "{error}");
    error.to_string()
}

#[test]
fn a_guardian_that_fails_says_how() {
    for (program, why) in [
        ("true", "before the pools had grown: exit status: 0"),
        ("echo", "before the pools had grown: exit status: 0"), // it writes another line
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
    assert!(start("yes", options()).contains("did not grow in time"));
    let (stop, stopped) = io::pipe().unwrap();
    drop(stopped);
    let patient = Options { grow_within: Duration::from_secs(60), stop: Some(stop.as_fd()), ..options() };
    assert!(start("yes", patient).contains("interrupted"));
}

#[test]
fn what_cannot_be_reserved_here_is_a_usage_error() {
    let machine = Machine::new();
    let refused = |count: &str| {
        let options = Options { root: machine.root(), ..Options::default() };
        let error = Guardian::start(&[count.parse().unwrap()], &options, &mut |_| ()).unwrap_err();
        assert!(error.is_usage(), "{error}");
        error.to_string()
    };
    assert!(refused("1Gi=1").contains("--reserve 1Gi=1: the kernel offers no huge pages of 1Gi"));
    assert!(refused("2Mi=1@numa7").contains("no NUMA node 7"));
    machine.write("proc/meminfo", "MemTotal: 65536 kB\nMemAvailable: 16384 kB\n");
    assert!(refused("2Mi=5").contains("10 MiB, which is more than half of the 16 MiB"));
    assert!(refused("2Mi=99999999").contains("--reserve-over-half"));
    let allowed = Options { root: machine.root(), program: "/nowhere".into(), ..Options::default() };
    let five = ["2Mi=5".parse().unwrap()];
    let start = |options: &Options<'_>| Guardian::start(&five, options, &mut |_| ()).unwrap_err();
    assert!(start(&allowed).is_usage());
    assert!(!start(&Options { over_half: true, ..allowed }).is_usage());
    std::fs::remove_file(machine.path(Machine::pool(1)).join("nr_hugepages")).unwrap();
    std::fs::create_dir(machine.path(Machine::pool(1)).join("nr_hugepages")).unwrap();
    assert!(refused("2Mi=1@numa1").contains("for writing"));
}
