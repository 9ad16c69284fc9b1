//! The real workloads, each with the same flags in every row, and their observed outcomes: the truth.
//!
//! A workload works if it starts, if both sides have mapped as many pages of the row's size as they should have, and if
//! frames arrive. With pages of another size it fails, whatever it prints. `dpdk-test` works if its tests pass.

mod dpdk_test;
mod ovs;
pub(crate) mod qemu;
pub(crate) mod testpmd;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use hugeprobe::domain::size::PageSize;

use crate::context::LARGE;
use crate::process::{Process, Waited};
use crate::scene::Scene;

/// A workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// testpmd to testpmd, memory from memfd (`--in-memory`).
    TestpmdMemfd,
    /// testpmd to testpmd, memory from files on a hugetlbfs (`--huge-dir`).
    TestpmdDir,
    /// As [`Kind::TestpmdMemfd`], with a file for each page: without `--single-file-segments`.
    TestpmdMemfdPages,
    /// As [`Kind::TestpmdDir`], with a file for each page.
    TestpmdDirPages,
    /// As [`Kind::TestpmdDir`], with all memory allocated at start and a file for each page (`--legacy-mem`).
    TestpmdLegacy,
    /// QEMU, memory from memfd, preallocated and bound to NUMA node 0.
    QemuMemfd,
    /// QEMU, memory from a file on a hugetlbfs, preallocated and bound to NUMA node 0.
    QemuDir,
    /// QEMU, memory from memfd, bound to NUMA node 0 and taken as the guest touches it (`prealloc=off`).
    QemuLazy,
    /// OVS-DPDK between two ports of a testpmd.
    Ovs,
    /// DPDK's own tests of its memory and rings, memory from memfd (`--in-memory`). It has one side.
    DpdkTest,
    /// The same, memory from files on a hugetlbfs (`--huge-dir`).
    DpdkTestDir,
}

/// The outcome of a run of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) works: bool,
    /// The line of its log that shows the outcome.
    pub(crate) words: String,
    /// The whole log, for debugging.
    pub(crate) log: String,
}

/// How long a program may take until it forwards or gives up. On an idle machine it takes one or two seconds.
pub(crate) const START: Duration = Duration::from_secs(30);

/// Returns by how much this machine is slower than a real one, according to `HUGEPROBE_SLOWNESS`: an emulated machine.
pub(crate) fn slowness() -> u32 {
    std::env::var("HUGEPROBE_SLOWNESS").map_or(1, |text| text.parse().unwrap())
}

// === impl Kind ===

impl Kind {
    /// Returns the numbers of pages that frontend and backend take with the smallest memory that works.
    pub(crate) const fn of_sides(self, size: PageSize) -> [u64; 2] {
        match self {
            Self::TestpmdMemfd
            | Self::TestpmdDir
            | Self::TestpmdMemfdPages
            | Self::TestpmdDirPages
            | Self::TestpmdLegacy => [testpmd::pages(size); 2],
            Self::QemuMemfd | Self::QemuDir | Self::QemuLazy => [qemu::pages(size), 0],
            Self::Ovs => ovs::pages(size),
            Self::DpdkTest | Self::DpdkTestDir => [testpmd::pages(size), 0],
        }
    }

    pub(crate) fn uses_directory(self) -> bool {
        matches!(
            self,
            Self::TestpmdDir
                | Self::TestpmdDirPages
                | Self::TestpmdLegacy
                | Self::QemuDir
                | Self::DpdkTestDir
        )
    }

    /// Returns whether DPDK has a file for each page.
    pub(crate) fn has_file_per_page(self) -> bool {
        matches!(self, Self::TestpmdMemfdPages | Self::TestpmdDirPages | Self::TestpmdLegacy)
    }

    /// Returns the arguments with which hugeprobe is asked about the workload of a scene. They are the same in every row,
    /// except for the pages that frontend and backend need and the NUMA nodes that the workload's own options name.
    pub(crate) fn question(self, scene: &Scene) -> Vec<String> {
        let size = scene.size;
        let [frontend, backend] = scene.of_sides();
        let on: &[u32] = if scene.names_no_node { &[] } else { &scene.on };
        let need = |role: &str, pages: u64| match on {
            [] => format!("--{role}-need {size}={pages}"),
            on => {
                let part = pages / u64::try_from(on.len()).unwrap();
                let of_node = |node| format!("--{role}-need {size}={part}@numa{node}");
                on.iter().map(of_node).collect::<Vec<_>>().join(" ")
            }
        };
        let pair = || format!("{} {}", need("frontend", frontend), need("backend", backend));
        let words = match self {
            Self::Ovs => {
                // `0,64` are the megabytes for each NUMA node.
                let node = scene.ovs.socket_mem.matches(',').count();
                format!(
                    "--workload ovs --frontend-need {size}={frontend} --backend-need {size}={backend}@numa{node}"
                )
            }
            Self::TestpmdMemfdPages | Self::TestpmdDirPages => {
                format!("--workload dpdk:file-per-page {}", pair())
            }
            Self::TestpmdLegacy => format!("--workload dpdk:legacy-mem {}", pair()),
            Self::TestpmdMemfd | Self::TestpmdDir => format!("--workload dpdk {}", pair()),
            Self::DpdkTest | Self::DpdkTestDir => {
                format!("--workload dpdk {}", need("frontend", frontend))
            }
            Self::QemuMemfd | Self::QemuDir | Self::QemuLazy => {
                format!("--workload qemu --frontend-need {size}={frontend}@numa0")
            }
        };
        format!("--size {size} {words}").split(' ').map(str::to_owned).collect()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TestpmdMemfd => "testpmd, memfd",
            Self::TestpmdDir => "testpmd, --huge-dir",
            Self::TestpmdMemfdPages => "testpmd, memfd, a file per page",
            Self::TestpmdDirPages => "testpmd, --huge-dir, a file per page",
            Self::TestpmdLegacy => "testpmd, --legacy-mem",
            Self::QemuMemfd => "QEMU, memfd",
            Self::QemuDir => "QEMU, file",
            Self::QemuLazy => "QEMU, prealloc=off",
            Self::Ovs => "OVS-DPDK",
            Self::DpdkTest => "dpdk-test",
            Self::DpdkTestDir => "dpdk-test, --huge-dir",
        })
    }
}

/// Runs the workload of the scene.
pub(crate) fn run(scene: &Scene) -> Outcome {
    match scene.kind {
        Kind::TestpmdMemfd
        | Kind::TestpmdDir
        | Kind::TestpmdMemfdPages
        | Kind::TestpmdDirPages
        | Kind::TestpmdLegacy => testpmd::run(scene),
        Kind::QemuMemfd | Kind::QemuDir | Kind::QemuLazy => qemu::run(scene),
        Kind::Ovs => ovs::run(scene),
        Kind::DpdkTest | Kind::DpdkTestDir => dpdk_test::run(scene),
    }
}

/// Removes what a run left behind.
pub(crate) fn clean_up(scene: &Scene) {
    clear(&scene.run, |_| true);
    for directory in [&scene.huge, Path::new("/run/dpdk")] {
        clear(directory, |name| name.starts_with(&prefix(scene, "")));
    }
}

/// Returns the prefix of the names of files that a testpmd of this scene leaves behind.
fn prefix(scene: &Scene, side: &str) -> String {
    let row = scene.run.parent().unwrap().file_name().unwrap().to_str().unwrap();
    format!("{row}-{side}")
}

fn clear(directory: &Path, which: impl Fn(&str) -> bool) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if which(path.file_name().unwrap().to_str().unwrap()) {
            let _ = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        }
    }
}

/// Returns the outcome when frames arrive: the workload works, unless a side has too few pages of the row's size.
pub(crate) fn judge(
    scene: &Scene,
    backend: &mut Process,
    frontend: &mut Process,
    own: [u64; 2],
    tells: &[&str],
) -> Outcome {
    let size = scene.size;
    let has = [backend.pages(size), frontend.pages(size)];
    let log = [backend.words(), frontend.words()].join("\n---- frontend\n");
    if has[0] >= own[0] && has[1] >= own[1] {
        return Outcome { works: true, words: "frames arrive".to_owned(), log };
    }
    let other = if size == LARGE { "smaller" } else { "other" };
    let aside = telling(&log, tells).map(|line| format!(": {line}")).unwrap_or_default();
    Outcome { works: false, words: format!("frames arrive, on {other} pages{aside}"), log }
}

/// Returns the outcome when the workload does not work. `first` is the side that gave up, or the one with the more
/// specific log.
pub(crate) fn fails(
    scene: &Scene,
    first: &mut Process,
    other: Option<&mut Process>,
    tells: &[&str],
    waited: Waited,
) -> Outcome {
    let logs: Vec<String> = std::iter::once(first).chain(other).map(Process::words).collect();
    let told = logs.iter().find_map(|log| telling(log, tells)).map(|line| shown(scene, line));
    let words = match (told, waited) {
        (Some(told), Waited::TimeUp) => format!("no frame in time; {told}"),
        (Some(told), _) => told,
        (None, Waited::TimeUp) => "no frame in time, and no word of why".to_owned(),
        (None, _) => logs[0]
            .lines()
            .rfind(|line| !line.trim().is_empty())
            .map_or_else(|| "it ends, and no word of why".to_owned(), |line| shown(scene, line)),
    };
    Outcome { works: false, words, log: logs.join("\n---- the other side\n") }
}

/// Returns the first line with the most specific text.
fn telling<'a>(log: &'a str, tells: &[&str]) -> Option<&'a str> {
    tells.iter().find_map(|tell| log.lines().find(|line| line.contains(tell)))
}

/// Returns a line without what differs from run to run: the row's directory, times and large numbers.
pub(crate) fn shown(scene: &Scene, line: &str) -> String {
    let row = scene.run.parent().unwrap().to_str().unwrap();
    let line = line.trim().replace(row, "").replace(&prefix(scene, ""), "");
    // Open vSwitch writes lines such as `2026-11-23T09:07:30Z|00015|dpdk|EMER|...`.
    let line = line.split_once("Z|").map_or(line.as_str(), |(_, rest)| rest);
    let shown = |word: &str| {
        let digits = word.chars().filter(char::is_ascii_digit).count();
        let is_time = word.contains("µs") || word.contains("ms:");
        if !word.starts_with("0x") && (digits > 4 && digits == word.len() || is_time) { "N" } else { word }
            .to_owned()
    };
    line.split(' ').map(shown).collect::<Vec<_>>().join(" ")
}
