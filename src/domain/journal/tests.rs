use super::*;
use proptest::prelude::*;

const POOL: &str = r#"{"size":"2Mi","node":0}"#;

fn pool() -> PoolId {
    serde_json::from_str(POOL).unwrap()
}

fn entry(before: u64, got: u64) -> PoolRecord {
    PoolRecord { pool: pool(), before, got }
}

fn record(entries: &[PoolRecord]) -> Record {
    Record { boot_id: "this".to_owned(), pools: entries.to_vec() }
}

#[test]
fn wherever_a_run_is_killed_the_pool_gets_back_to_32() {
    for (moment, before, got, persistent) in [
        ("before the write to sysfs", 32, 16, 32),
        ("in the middle of the growth", 32, 16, 41),
        ("after it", 32, 16, 48),
        ("after the kernel stopped short, and the record says so", 32, 9, 41),
        ("in the second of two growths", 32, 16, 43),
        ("in the middle of shrinking", 32, 16, 40),
        ("after shrinking", 32, 16, 32),
        ("after shrinking, with the journal of a replay", 32, 0, 32),
    ] {
        assert_eq!(entry(before, got).target(persistent, 0), 32, "{moment}");
    }
}

#[test]
fn what_others_did_meanwhile_is_kept() {
    let grown = entry(32, 16);
    assert_eq!(grown.target(100, 0), 84, "an administrator added 52 pages");
    assert_eq!(grown.target(32, 0), 32, "an administrator set the pool as it was before");
    assert_eq!(grown.target(20, 0), 20, "an administrator took 28 pages away");
    assert_eq!(grown.target(0, 0), 0);
    assert_eq!(grown.target(56, 8), 40, "another run has 8 pages");
    assert_eq!(grown.target(40, 8), 40, "another run has 8 pages, and this one's are gone");
}

#[test]
fn two_runs_that_overlap_end_at_32_in_any_order() {
    let (first, second) = (entry(32, 16), entry(32, 8)); // 32 -> 48 -> 56
    assert_eq!(second.target(first.target(56, second.got), 0), 32);
    assert_eq!(first.target(second.target(56, first.got), 0), 32);
    // The first run was killed after the kernel had given it 5 of 16 pages: 45.
    assert_eq!(second.target(first.target(45, second.got), 0), 32);
    assert_eq!(first.target(second.target(45, first.got), 0), 32);
}

#[test]
fn the_last_whole_line_counts() {
    let records = [record(&[entry(32, 16)]), record(&[entry(32, 9)]), record(&[entry(32, 9), entry(1, 2)])];
    let mut text = String::new();
    let mut last = None;
    for record in records {
        let line = record.line().unwrap();
        for cut in 0..line.trim_end().len() {
            assert_eq!(Record::parse(&format!("{text}{}", &line[..cut])), last, "{line}");
            // An incomplete line does not affect the line after it.
            assert_eq!(Record::parse(&format!("{text}{}{line}", &line[..cut])), Some(record.clone()));
        }
        text.push_str(&line);
        last = Some(record);
    }
    assert_eq!(Record::parse(""), None);
    assert_eq!(Record::parse("\0{}\n[1]\nnull\n"), None);
}

#[test]
fn an_entry_is_set_once_per_pool() {
    let mut record = Record::default();
    record.set(entry(32, 16));
    record.set(PoolRecord { pool: PoolId { node: None, ..pool() }, before: 1, got: 2 });
    record.set(entry(32, 9));
    assert_eq!(record.pools.len(), 2);
    assert_eq!(record.get(pool()), Some(entry(32, 9)));
    assert_eq!(added(&[record.clone(), Record::default(), record], pool()), 18);
}

#[test]
fn the_format_is_this() {
    assert_eq!(
        record(&[entry(32, 16)]).line().unwrap(),
        format!("\n{{\"boot_id\":\"this\",\"pools\":[{{\"pool\":{POOL},\"before\":32,\"got\":16}}]}}\n")
    );
}

/// A step of the property test below.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A run requests pages and gets some. If it is killed meanwhile, its record says what it requested.
    Grow { run: usize, asked: u64, got: u64, killed: bool },
    /// A run ends. If `partly` is less than what it gives back, it is killed after it has given back that many pages.
    End { run: usize, partly: Option<u64> },
    /// A run is killed while it holds its pages.
    Kill { run: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let run = 0..4_usize;
    prop_oneof![
        (run.clone(), 1..50_u64, 0..50_u64, any::<bool>()).prop_map(|(run, asked, got, killed)| Step::Grow {
            run,
            asked,
            got: got.min(asked),
            killed
        }),
        (run.clone(), prop::option::of(0..50_u64)).prop_map(|(run, partly)| Step::End { run, partly }),
        run.prop_map(|run| Step::Kill { run }),
    ]
}

/// A pool that only runs of hugeprobe change.
#[derive(Debug)]
struct Pool {
    persistent: u64,
    /// The record of each run, and whether the run is dead.
    runs: [Option<(Record, bool)>; 4],
}

impl Pool {
    fn others(&self, run: usize) -> u64 {
        let others = self.runs.iter().enumerate().filter(|(index, _)| *index != run);
        let records: Vec<Record> = others.filter_map(|(_, other)| Some(other.as_ref()?.0.clone())).collect();
        added(&records, pool())
    }

    /// Gives back the pages of dead runs. Every run does this when it starts, and the guardian before it grows a pool.
    fn replay(&mut self) {
        for run in 0..self.runs.len() {
            if self.runs[run].as_ref().is_some_and(|(_, dead)| *dead) {
                self.shrink(run, None);
            }
        }
    }

    fn grow(&mut self, run: usize, asked: u64, got: u64, killed: bool) {
        self.replay();
        let others = self.others(run);
        let mut own = self.runs[run].take().map_or_else(Record::default, |(record, _)| record);
        let was = own.get(pool()).unwrap_or_else(|| entry(self.persistent.saturating_sub(others), 0));
        self.persistent += got;
        own.set(PoolRecord { got: was.got + if killed { asked } else { got }, ..was });
        self.runs[run] = Some((own, killed));
    }

    fn shrink(&mut self, run: usize, partly: Option<u64>) {
        let others = self.others(run);
        let Some((mut own, _)) = self.runs[run].take() else { return };
        let was = own.get(pool()).unwrap();
        let target = was.target(self.persistent, others);
        let pages = self.persistent - target;
        own.set(PoolRecord { before: target - others.min(target), got: pages, ..was });
        if let Some(partly) = partly.filter(|partly| *partly < pages) {
            self.persistent -= partly;
            self.runs[run] = Some((own, true));
        } else {
            self.persistent = target;
        }
    }
}

proptest! {
    /// Runs overlap, and each of them may be killed at any moment.
    #[test]
    fn whatever_is_killed_the_pool_ends_as_it_began(
        start in 0_u64..100, steps in prop::collection::vec(step(), 0..40),
    ) {
        let mut pool = Pool { persistent: start, runs: [const { None }; 4] };
        for step in steps {
            match step {
                Step::Grow { run, asked, got, killed } => pool.grow(run, asked, got, killed),
                Step::End { run, partly } => pool.shrink(run, partly),
                Step::Kill { run } => {
                    pool.runs[run].iter_mut().for_each(|(_, dead)| *dead = true);
                }
            }
            prop_assert!(pool.persistent >= start, "{:?}", pool);
        }
        for run in 0..pool.runs.len() {
            pool.shrink(run, None);
        }
        prop_assert_eq!(pool.persistent, start);
    }

    #[test]
    fn a_pool_is_neither_grown_nor_shrunk_below_its_floor(
        before: u64, got: u64, persistent: u64, others: u64,
    ) {
        let target = entry(before, got).target(persistent, others);
        prop_assert!(target <= persistent && persistent - target <= got);
        prop_assert!(target >= before.min(persistent));
    }

    #[test]
    fn every_record_survives_its_line(boot_id in "\\PC*", before: u64, got: u64) {
        let record = Record { boot_id, pools: vec![entry(before, got)] };
        prop_assert_eq!(Record::parse(&record.line().unwrap()), Some(record));
    }

    #[test]
    fn no_text_panics(text in "(\\PC|\n|\\{\"boot_id\":)*") {
        let _ = Record::parse(&text);
    }
}
