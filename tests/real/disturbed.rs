//! Whether somebody else used or changed the pools while a test ran. The counters belong to the machine, so such a test has
//! shown nothing: it runs again, and says so if it never gets the machine to itself.
//!
//! A change is somebody else's only if it can be told from one of ours, or a leak of the program would be excused. Two
//! things can:
//!
//! - a process that was not started here and has huge pages mapped, other than at the start of the test; every process of
//!   the tests has [`MARK`] in its environment, whoever its parent is by now;
//! - counters that change while no process of the tests is left but this one, which does nothing.
//!
//! Pages that somebody holds all the time are no disturbance, and neither is anything while a test passes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::context::HANGS;
use crate::context::pools::snapshot;

/// In the environment of every process of the tests, with the pid of the first.
const MARK: &str = "HUGEPROBE_TESTS_OF";
/// How often a test runs at most.
const TRIES: usize = 3;
/// Between two looks at all processes.
const LOOK: Duration = Duration::from_millis(50);
/// How long the pools are watched after a failure, once nothing of ours runs.
const WATCH: Duration = Duration::from_secs(5);
/// How long what a failed test has started may take to end.
const ENDS: Duration = Duration::from_secs(15);

/// What others have mapped: pages by process.
type Holders = BTreeMap<i32, (String, u64)>;

/// How it went.
pub(crate) enum Ran<T, E> {
    /// With nobody about, or it passed all the same.
    Ended(Result<T, E>),
    /// It failed each time, and each time somebody was about: who.
    Disturbed(String),
}

/// Starts this program again with the mark, unless it has it: a process's own environment is what it was started with.
pub(crate) fn mark() {
    if std::env::var_os(MARK).is_none() {
        let error = Command::new("/proc/self/exe")
            .args(std::env::args_os().skip(1))
            .env(MARK, std::process::id().to_string())
            .exec();
        panic!("cannot start again: {error}");
    }
}

/// Runs a test, again if it failed beside somebody.
pub(crate) fn again<T, E>(name: &str, mut test: impl FnMut() -> Result<T, E>) -> Ran<T, E> {
    for left in (0..TRIES).rev() {
        let others = Watch::begin();
        let ended = test();
        let seen = others.end();
        if ended.is_ok() {
            return Ran::Ended(ended);
        }
        let Some(who) = seen.or_else(changes) else { return Ran::Ended(ended) };
        if left == 0 {
            return Ran::Disturbed(who);
        }
        eprintln!("'{name}' once more: {who}");
    }
    unreachable!("TRIES is not zero")
}

/// Whether the pools are as they were, at some moment at least, if somebody changes them while nothing of ours runs. If not:
/// how they are changed, or nothing if nobody changes them.
pub(crate) fn settled(is_as_before: impl Fn() -> bool) -> Result<(), Option<String>> {
    if is_as_before() {
        return Ok(());
    }
    let who = changes().ok_or(None)?;
    let until = Instant::now() + HANGS;
    while Instant::now() < until {
        if is_as_before() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Err(Some(who))
}

/// How the counters change while nothing of ours runs.
fn changes() -> Option<String> {
    let until = Instant::now() + ENDS;
    while !ours().is_empty() {
        if Instant::now() > until {
            return None;
        }
        thread::sleep(LOOK);
    }
    let (before, until) = (snapshot(), Instant::now() + WATCH);
    while Instant::now() < until {
        let now = snapshot();
        if let Some((path, value)) = now.iter().find(|(path, value)| before.get(*path) != Some(*value)) {
            // One of ours that was on its way would be seen now.
            return ours().is_empty().then(|| {
                let was = before.get(path).map_or("nothing".to_owned(), u64::to_string);
                format!("{} went from {was} to {value} while no test ran", path.display())
            });
        }
        thread::sleep(Duration::from_millis(1));
    }
    None
}

// === watching processes ===

struct Watch {
    stop: std::sync::Arc<AtomicBool>,
    thread: thread::JoinHandle<Option<String>>,
}

impl Watch {
    fn begin() -> Self {
        let stop = std::sync::Arc::new(AtomicBool::new(false));
        let before = holders();
        let thread = {
            let stop = std::sync::Arc::clone(&stop);
            thread::spawn(move || {
                let mut seen = None;
                while !stop.load(Ordering::Relaxed) {
                    seen = seen.or_else(|| against(&before, &holders()));
                    thread::sleep(LOOK);
                }
                seen.or_else(|| against(&before, &holders()))
            })
        };
        Self { stop, thread }
    }

    fn end(self) -> Option<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// The first whose pages are not what they were.
fn against(before: &Holders, now: &Holders) -> Option<String> {
    let pids: BTreeSet<_> = before.keys().chain(now.keys()).collect();
    let pid = pids.into_iter().find(|pid| before.get(pid) != now.get(pid))?;
    let (name, _) = now.get(pid).or_else(|| before.get(pid))?;
    let kilobytes = |holders: &Holders| holders.get(pid).map_or(0, |(_, kilobytes)| *kilobytes);
    Some(format!(
        "process {pid} ({name}) went from {} kB of huge pages to {} kB",
        kilobytes(before),
        kilobytes(now)
    ))
}

/// Who has huge pages mapped and was not started here.
fn holders() -> Holders {
    let mut holders = Holders::new();
    for pid in processes() {
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let pages = field("HugetlbPages:").and_then(|text| text.strip_suffix(" kB")?.trim().parse().ok());
        // Those who are just ending have no environment any more, and may be ours.
        if let Some(pages @ 1..) = pages
            && is_ours(pid) == Some(false)
        {
            holders.insert(pid, (field("Name:").unwrap_or_default().to_owned(), pages));
        }
    }
    holders
}

/// The processes of the tests, but for this one.
fn ours() -> Vec<i32> {
    let own = i32::try_from(std::process::id()).unwrap();
    processes().filter(|pid| *pid != own && is_ours(*pid) == Some(true)).collect()
}

fn processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Whether a process has the mark; none if it has no environment.
fn is_ours(pid: i32) -> Option<bool> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    if environment.is_empty() {
        return None;
    }
    let mark = format!("{MARK}={}", std::env::var(MARK).unwrap_or_default());
    Some(environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes()))
}
