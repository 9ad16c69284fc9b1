//! `--reserve` on the kernel's own pools: what is granted, what is given back, and which processes may be killed
//! meanwhile.
//!
//! The processes are re-executions of this test binary, and [`play`] runs them. The tests compare the pools before and
//! after, so no other program may change them meanwhile.
mod processes;
mod refused;

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use hugeprobe::domain::pool_id::PoolId;
use hugeprobe::domain::request::PageCount;
use hugeprobe::domain::reserve::PoolCount;
use hugeprobe::domain::size::PageSize;
use hugeprobe::linux::nr_hugepages;
use hugeprobe::linux::root::HostRoot;
use hugeprobe::linux::run_directory::RunDirectory;
use hugeprobe::probe::guardian::replay_dead;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
pub(crate) use processes::play;
use processes::{Held, Run};

use crate::Case;
use crate::context::program::PROGRAM;
use crate::context::random::Random;
use crate::context::{Machine, Missing};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// How long restoring may take after a kill. After this time it counts as failed. No test measures how fast it is.
const RESTORED_WITHIN: Duration = Duration::from_secs(30);

/// Returns all scenarios. One of them needs a second NUMA node and is left out where there is none.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = vec![
        ("reserve: pools grow for a run and are as before after it", |machine| {
            run(machine, grows_and_gives_back)
        }),
        ("reserve: two runs at once each give back their own", |machine| run(machine, two_at_once)),
        ("reserve: what an administrator changes meanwhile stays", |machine| {
            run(machine, an_administrators_change_stays)
        }),
        ("reserve: surplus pages turned persistent become surplus again", |machine| {
            run(machine, surplus_becomes_surplus_again)
        }),
        ("reserve: pages in use when the pool shrinks go with their user", |machine| {
            run(machine, pages_in_use_go_with_their_user)
        }),
        ("reserve: without root it is refused", |machine| run(machine, refused::without_root)),
        ("reserve: a read-only sysfs or run directory is reported", |machine| {
            run(machine, refused::read_only)
        }),
        ("reserve: in a container it is refused", |machine| run(machine, refused::in_a_container)),
        (
            "reserve: a pool that was put right after a kill is left alone, and every replay is reported",
            |machine| run(machine, an_administrators_repair_stays),
        ),
        ("reserve: a guardian that hangs is killed and its journal replayed", |machine| {
            run(machine, a_guardian_that_hangs)
        }),
        ("reserve: kill -9 of the guardian at any moment", |machine| {
            run(machine, || killed(&[Victim::Guardian]))
        }),
        ("reserve: kill -9 of the orchestrator at any moment", |machine| {
            run(machine, || killed(&[Victim::Orchestrator]))
        }),
        ("reserve: kill -9 of both at any moment", |machine| {
            run(machine, || killed(&[Victim::Orchestrator, Victim::Guardian]))
        }),
    ];
    if pools().len() > 1 {
        cases.push(("reserve: surplus pages of another node are in nobody's way", |machine| {
            run(machine, surplus_of_another_node)
        }));
    }
    cases
}

fn run(machine: &Machine, scenario: fn() -> Outcome) -> Result<(), Missing> {
    machine.root()?;
    let settable =
        pools().iter().all(|pool| nr_hugepages::check_writable(&HostRoot::default(), *pool).is_ok());
    if !settable || pools().is_empty() {
        return Err(Missing("a pool of 2Mi that can be set".to_owned()));
    }
    if let Err(error) = scenario() {
        panic!("{error}");
    }
    Ok(())
}

// === the pools ===

fn size() -> PageSize {
    "2Mi".parse().unwrap()
}

fn pools() -> Vec<PoolId> {
    let any = PageCount { size: size(), pages: 1, node: None };
    nr_hugepages::pools_for(&HostRoot::default(), &any).unwrap_or_default()
}

fn now() -> Vec<PoolCount> {
    pools().into_iter().map(|pool| nr_hugepages::count(&HostRoot::default(), pool).unwrap()).collect()
}

fn persistent(pool: PoolId) -> u64 {
    nr_hugepages::count(&HostRoot::default(), pool).unwrap().persistent()
}

fn change(pool: PoolId, by: i64) {
    let now = persistent(pool);
    nr_hugepages::set(&HostRoot::default(), pool, now, now.saturating_add_signed(by)).unwrap();
}

/// Waits until the pools are as `before` and nothing is left in /run.
fn restored(before: &[PoolCount], within: Duration) -> Outcome {
    let deadline = Instant::now() + within;
    loop {
        let (now, left) = (now(), Path::new("/run/hugeprobe").exists());
        if now == before && !left {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("pools were {before:?} and are {now:?}, /run/hugeprobe there: {left}").into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn at_once(before: &[PoolCount]) -> Outcome {
    restored(before, Duration::ZERO)
}

// === the scenarios ===

fn grows_and_gives_back() -> Outcome {
    let before = now();
    let mut run = Run::new(&["2Mi=7"]);
    let granted = run.says("granted")?;
    run.says("holding")?;
    let grown: u64 =
        now().iter().zip(&before).map(|(now, before)| now.persistent() - before.persistent()).sum();
    assert_eq!(grown, 7, "{granted}");
    for (index, pool) in pools().iter().enumerate() {
        let share = 7 / pools().len() + usize::from(index < 7 % pools().len());
        assert_eq!(persistent(*pool) - before[index].persistent(), share as u64, "{granted}");
    }
    assert!(granted.contains(r#""got":7"#), "{granted}");
    assert_eq!(run.end()?, "released []\n");
    at_once(&before)
}

fn two_at_once() -> Outcome {
    let before = now();
    let first = Run::holding(&["2Mi=5"])?;
    let second = Run::holding(&["2Mi=6"])?;
    first.end()?;
    let grown: u64 =
        now().iter().zip(&before).map(|(now, before)| now.persistent() - before.persistent()).sum();
    assert_eq!(grown, 6);
    second.end()?;
    at_once(&before)
}

fn an_administrators_change_stays() -> Outcome {
    let (before, pool) = (now(), pools()[0]);
    let run = Run::holding(&["2Mi=4"])?;
    change(pool, 3);
    run.end()?;
    let stayed = persistent(pool) - before[0].persistent();
    change(pool, -3);
    assert_eq!(stayed, 3);
    at_once(&before)
}

/// Takes every free page and three more, which creates three surplus pages.
fn with_surplus() -> Result<(Held, Vec<PoolCount>), Box<dyn std::error::Error>> {
    let file = |name| format!("/sys/kernel/mm/hugepages/{}/{name}", size().sysfs_name());
    let allowed = std::fs::read_to_string(file("nr_overcommit_hugepages"))?;
    let pages = std::fs::read_to_string(file("free_hugepages"))?.trim().parse::<u64>()? + 3;
    std::fs::write(file("nr_overcommit_hugepages"), "3")?;
    let held = Held::new(PageCount { size: size(), pages, node: None });
    std::fs::write(file("nr_overcommit_hugepages"), allowed)?;
    let counts = now();
    assert_eq!(counts.iter().map(|count| count.surplus).sum::<u64>(), 3);
    Ok((held.ok_or("three pages more than are free are not to be had by overcommit")?, counts))
}

fn surplus_becomes_surplus_again() -> Outcome {
    let before = now();
    let (held, with_surplus) = with_surplus()?;
    // Enough pages that each node grows by more than its number of surplus pages.
    let mut run = Run::new(&[&format!("2Mi={}", 8 * pools().len())]);
    let granted = run.says("granted")?;
    let surplus: u64 = now().iter().map(|count| count.surplus).sum();
    run.says("holding")?;
    run.end()?;
    at_once(&with_surplus)?;
    assert_eq!(surplus, 0, "the kernel takes surplus pages first: {granted}");
    assert!(granted.contains(r#""from_surplus":3"#), "{granted}");
    drop(held);
    at_once(&before)
}

/// Tests a node without surplus pages. Kernels before 6.7 add the other nodes' surplus pages to any value written for a
/// node.
fn surplus_of_another_node() -> Outcome {
    let before = now();
    let (held, with_surplus) = with_surplus()?;
    for (pool, count) in pools().iter().zip(&with_surplus).filter(|(_, count)| count.surplus == 0) {
        let node = pool.node.ok_or("one pool of several has no node")?;
        for pages in [1, 5] {
            let run = Run::holding(&[&format!("2Mi={pages}@numa{node}")])?;
            assert_eq!(persistent(*pool), count.persistent() + pages);
            assert_eq!(run.end()?, "released []\n");
            at_once(&with_surplus)?;
        }
    }
    drop(held);
    at_once(&before)
}

fn pages_in_use_go_with_their_user() -> Outcome {
    let free = format!("/sys/kernel/mm/hugepages/{}/free_hugepages", size().sysfs_name());
    let before = now();
    let mut run = Run::new(&["2Mi=6"]);
    run.says("granted")?;
    run.says("holding")?;
    // The worker has six pages. This process takes all other free pages, so that no page can be freed by the shrink.
    let pages = std::fs::read_to_string(free)?.trim().parse::<u64>()?;
    let held = if pages > 0 { Held::new(PageCount { size: size(), pages, node: None }) } else { None };
    let guardian = run.children()[0];
    kill(Pid::from_raw(guardian), Signal::SIGKILL)?;
    run.says("released []")?;
    run.child.wait()?;
    let persistent: Vec<_> = now().iter().map(|count| count.persistent()).collect();
    assert_eq!(persistent, before.iter().map(|count| count.persistent()).collect::<Vec<_>>());
    drop(held);
    at_once(&before)
}

/// All processes of a run were killed, and an administrator has restored the pool. A check without --reserve must leave
/// the pool alone and say that there was a journal to replay.
fn an_administrators_repair_stays() -> Outcome {
    let (before, pool) = (now(), pools()[0]);
    let run = Run::holding(&["2Mi=4"])?;
    kill_whole(run)?;
    assert_ne!(now(), before);
    for (pool, count) in pools().iter().zip(&before) {
        nr_hugepages::set(&HostRoot::default(), *pool, persistent(*pool), count.persistent())?;
    }
    let (report, errors) = check()?;
    restored(&before, Duration::ZERO)?;
    assert!(errors.contains("none of its pages are left, the pools are unchanged"), "{errors}");
    assert_eq!(report["replayed"][0]["given"], serde_json::json!([]));

    // Without such a repair, the next check gives the pages back and says so.
    let run =
        Run::holding(&[&format!("2Mi=4{}", pool.node.map_or(String::new(), |node| format!("@numa{node}")))])?;
    kill_whole(run)?;
    let (report, errors) = check()?;
    restored(&before, Duration::ZERO)?;
    assert!(errors.contains("gave its pages back: 4 of 2Mi"), "{errors}");
    assert_eq!(report["replayed"][0]["given"][0]["pages"], 4);
    Ok(())
}

/// Kills the guardian and the orchestrator; the worker dies with the orchestrator.
fn kill_whole(mut run: Run) -> Outcome {
    let children = run.children();
    kill(Pid::from_raw(run.child.id().try_into()?), Signal::SIGSTOP)?;
    for &child in &children {
        let _ = kill(Pid::from_raw(child), Signal::SIGKILL);
    }
    run.child.kill()?;
    run.child.wait()?;
    children.into_iter().for_each(|child| gone(Some(child)));
    Ok(())
}

/// Runs a check that needs no page and no --reserve. Returns its report and its standard error.
fn check() -> Result<(serde_json::Value, String), Box<dyn std::error::Error>> {
    let output =
        Command::new(PROGRAM).args(["check", "--only", "HP101", "--size", "2Mi", "-o", "json"]).output()?;
    Ok((serde_json::from_slice(&output.stdout)?, String::from_utf8(output.stderr)?))
}

fn a_guardian_that_hangs() -> Outcome {
    let before = now();
    let run = Run::holding(&["2Mi=5"])?;
    kill(Pid::from_raw(run.children()[0]), Signal::SIGSTOP)?;
    assert_eq!(run.end()?, "released []\n");
    at_once(&before)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Victim {
    Guardian,
    Orchestrator,
}

/// Kills `victims` at random moments of a run, and compares the pools after each kill.
fn killed(victims: &[Victim]) -> Outcome {
    let rounds = std::env::var("HUGEPROBE_KILLS").map_or(Ok(50), |text| text.parse())?;
    let counts = std::env::var("HUGEPROBE_KILL_COUNTS").unwrap_or_else(|_| "2Mi=13 2Mi=4@numa0".into());
    let counts: Vec<_> = counts.split(' ').collect();
    let started = Instant::now();
    Run::holding(&counts)?.end()?;
    let life = started.elapsed();
    let mut random = Random::new();
    let mut grown = 0;
    for round in 0..rounds {
        let before = now();
        let moment = life.mul_f64(random.part());
        let mut run = Run::new(&counts);
        // Half of the runs are already ending when the victim is killed.
        if round % 2 == 0 {
            drop(run.input.take());
        }
        std::thread::sleep(moment);
        let guardian = run.children().first().copied();
        for victim in victims {
            match (victim, guardian) {
                (Victim::Orchestrator, _) => run.child.kill()?,
                (Victim::Guardian, Some(pid)) => {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
                (Victim::Guardian, None) => {}
            }
        }
        grown += u32::from(now() != before);
        drop(run.input.take());
        if victims.contains(&Victim::Orchestrator) {
            run.child.wait()?;
        }
        if victims.len() > 1 {
            gone(guardian);
            replay_dead(&HostRoot::default(), &RunDirectory::default(), RESTORED_WITHIN)?;
        }
        restored(&before, RESTORED_WITHIN).map_err(|why| format!("round {round}, {moment:?}: {why}"))?;
        run.child.wait()?;
    }
    let _ =
        writeln!(std::io::stderr(), "{grown} of {rounds} kills found the pools grown; a run takes {life:?}");
    Ok(())
}

/// Waits until a killed process has ended, because it holds the lock of its journal until then.
fn gone(pid: Option<i32>) {
    while pid.is_some_and(|pid| kill(Pid::from_raw(pid), None).is_ok() && !zombie(pid)) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn zombie(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z"))
}
