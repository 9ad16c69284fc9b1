//! Detects whether another program used or changed the pools while a test ran. The counters belong to the whole
//! machine, so such a test proves nothing. It runs again, and reports the disturbance if it never has the machine to
//! itself.
//!
//! A change is attributed to others only if it can be distinguished from a change of the tests. Otherwise a leak of the
//! program would be excused. Two kinds of change can be distinguished:
//!
//! - The huge pages mapped by a process that was not started by the tests differ from those at the start of the test.
//!   Every process of the tests has [`MARK`] in its environment, even if its parent has ended.
//! - Counters change while no process of the tests runs except this one, which does nothing.
//!
//! Pages that another process holds all the time are not a disturbance. A test that passes was not disturbed either.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::context::HANGS;
use crate::context::pools::snapshot;

/// The variable that every process of the tests has in its environment. Its value is the pid of the first process.
const MARK: &str = "HUGEPROBE_TESTS_OF";
/// How often a test runs at most.
const TRIES: usize = 3;
/// The time between two scans of all processes.
const LOOK: Duration = Duration::from_millis(50);
/// How long the pools are watched after a failure, once no process of the tests runs.
const WATCH: Duration = Duration::from_secs(5);
/// How long the processes of a failed test may take to end.
const ENDS: Duration = Duration::from_secs(15);

/// The huge pages that other processes have mapped: name and kB, by pid.
type Holders = BTreeMap<i32, (String, u64)>;

/// The result of a test that may have been disturbed.
pub(crate) enum Ran<T, E> {
    /// The test was not disturbed, or it passed in spite of that.
    Ended(Result<T, E>),
    /// The test failed and was disturbed each time. The text says by whom.
    Disturbed(String),
}

/// Starts this program again with the mark, unless it has it. /proc/PID/environ shows only the environment with which a
/// process was started.
pub(crate) fn mark() {
    if std::env::var_os(MARK).is_none() {
        let error = Command::new("/proc/self/exe")
            .args(std::env::args_os().skip(1))
            .env(MARK, std::process::id().to_string())
            .exec();
        panic!("cannot start again: {error}");
    }
}

/// Runs a test, and repeats it if it failed while it was disturbed.
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

/// Returns `Ok` if the pools are as before. If other programs keep changing them while no process of the tests runs, it
/// is enough that they are as before at one moment. Otherwise the error describes the change, or is `None` if the pools
/// do not change.
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

/// Describes a change of the counters while no process of the tests runs. Returns `None` if there is none.
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
            // Checked again, because a process of the tests that was just starting would show up now.
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

/// Describes the first process whose pages have changed.
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

/// Returns the processes that have huge pages mapped and were not started by the tests.
fn holders() -> Holders {
    let mut holders = Holders::new();
    for pid in processes() {
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let pages = field("HugetlbPages:").and_then(|text| text.strip_suffix(" kB")?.trim().parse().ok());
        // An exiting process has no environment any more, and may belong to the tests.
        if let Some(pages @ 1..) = pages
            && is_ours(pid) == Some(false)
        {
            holders.insert(pid, (field("Name:").unwrap_or_default().to_owned(), pages));
        }
    }
    holders
}

/// Returns the processes of the tests, except this one.
fn ours() -> Vec<i32> {
    let own = i32::try_from(std::process::id()).unwrap();
    processes().filter(|pid| *pid != own && is_ours(*pid) == Some(true)).collect()
}

fn processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Returns whether a process has the mark, or `None` if it has no environment.
fn is_ours(pid: i32) -> Option<bool> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    if environment.is_empty() {
        return None;
    }
    let mark = format!("{MARK}={}", std::env::var(MARK).unwrap_or_default());
    Some(environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes()))
}
