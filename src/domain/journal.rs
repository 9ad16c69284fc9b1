//! The journal of one `--reserve`: what a run did to the pools, so that another run can give back what it could not.
//!
//! One JSON object a line, each written before or after one write to sysfs. A run that was killed leaves at most one
//! line torn, the last one; and as every change is announced before it is made and confirmed after, reading the lines
//! that are whole is right in each case: a torn announcement was not acted upon, a torn confirmation leaves the
//! announcement standing, and the pool itself tells how far the kernel got.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::reserve::PoolId;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Record {
    /// The first line: whose journal this is.
    Run {
        /// The boot that the pools belong to: `/proc/sys/kernel/random/boot_id`.
        boot_id: String,
    },
    /// About to grow a pool.
    Grow {
        /// Which pool.
        pool: PoolId,
        /// Persistent pages now.
        before: u64,
        /// Pages asked for on top.
        asked: u64,
    },
    /// The pool was grown.
    Grew {
        /// Which pool.
        pool: PoolId,
        /// Persistent pages gained.
        got: u64,
    },
    /// About to shrink a pool.
    Give {
        /// Which pool.
        pool: PoolId,
        /// Persistent pages now.
        before: u64,
        /// Pages to go.
        pages: u64,
    },
    /// The pool was shrunk.
    Gave {
        /// Which pool.
        pool: PoolId,
        /// Persistent pages gone.
        pages: u64,
    },
}

/// What a run owes the pools, by its journal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ledger {
    boot_id: Option<String>,
    accounts: BTreeMap<PoolId, Account>,
}

/// Whether a journal counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Of this boot: what it owes is given back.
    ThisBoot,
    /// Of another boot: its pages went with that boot.
    OtherBoot,
    /// It does not say: its pages may not be of this boot, and a pool is never shrunk on a guess.
    Unknown,
}

/// What is owed to one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Account {
    /// Pages, for certain.
    owed: u64,
    /// Announced and not confirmed.
    pending: Option<Pending>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pending {
    Grow { before: u64, asked: u64 },
    Give { before: u64, pages: u64 },
}

// === impl Record ===

impl Record {
    /// The line, with its end. `None` only if the serialiser refuses, which it has no reason to.
    #[must_use]
    pub fn line(&self) -> Option<String> {
        serde_json::to_string(self).ok().map(|line| line + "\n")
    }
}

// === impl Ledger ===

impl Ledger {
    /// From the text of a journal. Lines that are no records are passed over.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut ledger = Self::default();
        for record in text.lines().filter_map(|line| serde_json::from_str(line).ok()) {
            ledger.apply(record);
        }
        ledger
    }

    /// Enters one record, after those before it.
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::Run { boot_id } => self.boot_id = Some(boot_id),
            Record::Grow { pool, before, asked } => {
                self.announce(pool, before, Pending::Grow { before, asked });
            }
            Record::Give { pool, before, pages } => {
                self.announce(pool, before, Pending::Give { before, pages });
            }
            Record::Grew { pool, got } => {
                let account = self.accounts.entry(pool).or_default();
                *account = Account { owed: account.owed.saturating_add(got), pending: None };
            }
            Record::Gave { pool, pages } => {
                let account = self.accounts.entry(pool).or_default();
                *account = Account { owed: account.owed.saturating_sub(pages), pending: None };
            }
        }
    }

    /// Whether it counts in the boot `now`.
    #[must_use]
    pub fn standing(&self, now: &str) -> Standing {
        match self.boot_id.as_deref() {
            None => Standing::Unknown,
            Some(boot_id) if boot_id == now => Standing::ThisBoot,
            Some(_) => Standing::OtherBoot,
        }
    }

    /// The pools that were touched, by size and node.
    pub fn pools(&self) -> impl Iterator<Item = PoolId> {
        self.accounts.keys().copied()
    }

    /// Pages owed to `pool`, which has `persistent` pages now: never more than that.
    ///
    /// What was announced and not confirmed was done as far as the pool shows it: the kernel stops growing at a
    /// signal, between two pages.
    #[must_use]
    pub fn owed(&self, pool: PoolId, persistent: u64) -> u64 {
        self.accounts.get(&pool).map_or(0, |account| account.at(persistent)).min(persistent)
    }

    /// An announcement tells the pool's count at that moment, which settles one before it that was never confirmed.
    fn announce(&mut self, pool: PoolId, before: u64, pending: Pending) {
        let account = self.accounts.entry(pool).or_default();
        *account = Account { owed: account.at(before), pending: Some(pending) };
    }
}

impl Account {
    fn at(self, persistent: u64) -> u64 {
        match self.pending {
            None => self.owed,
            Some(Pending::Grow { before, asked }) => {
                self.owed.saturating_add(asked.min(persistent.saturating_sub(before)))
            }
            Some(Pending::Give { before, pages }) => {
                self.owed.saturating_sub(pages.min(before.saturating_sub(persistent)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POOL: &str = r#"{"size":"2Mi","node":0}"#;

    fn pool() -> PoolId {
        serde_json::from_str(POOL).unwrap()
    }

    /// A journal written in short: `run`, `grow 32 16`, `grew 16`, `give 48 16`, `gave 16`.
    fn journal(lines: &[&str]) -> Vec<Record> {
        let number = |word: Option<&str>| word.unwrap().parse::<u64>().unwrap();
        let record = |line: &&str| {
            let mut words = line.split(' ');
            match words.next().unwrap() {
                "run" => Record::Run { boot_id: "this".into() },
                "grow" => {
                    Record::Grow { pool: pool(), before: number(words.next()), asked: number(words.next()) }
                }
                "grew" => Record::Grew { pool: pool(), got: number(words.next()) },
                "give" => {
                    Record::Give { pool: pool(), before: number(words.next()), pages: number(words.next()) }
                }
                _ => Record::Gave { pool: pool(), pages: number(words.next()) },
            }
        };
        lines.iter().map(record).collect()
    }

    fn text(records: &[Record]) -> String {
        records.iter().map(|record| record.line().unwrap()).collect()
    }

    fn owed(lines: &[&str], persistent: u64) -> u64 {
        Ledger::read(&text(&journal(lines))).owed(pool(), persistent)
    }

    #[test]
    fn wherever_a_run_was_killed_the_pool_gets_back_to_32() {
        for (lines, persistent, pages) in [
            (&["run"][..], 32, 0),
            (&["run", "grow 32 16"], 32, 0),  // before the kernel's write
            (&["run", "grow 32 16"], 41, 9),  // in the middle of it
            (&["run", "grow 32 16"], 48, 16), // after it
            (&["run", "grow 32 16", "grew 16"], 48, 16),
            (&["run", "grow 32 16", "grew 9"], 41, 9),
            (&["run", "grow 32 8", "grew 8", "grow 40 8"], 43, 11), // in the second of two steps
            (&["run", "grow 32 16", "grew 16", "give 48 16"], 48, 16), // before giving back
            (&["run", "grow 32 16", "grew 16", "give 48 16"], 40, 8), // in the middle of it
            (&["run", "grow 32 16", "grew 16", "give 48 16"], 32, 0), // given back, not confirmed
            (&["run", "grow 32 16", "grew 16", "give 48 16", "gave 16"], 32, 0),
            (&["run", "grow 32 16", "grew 16", "give 48 16", "gave 6"], 42, 10), // the kernel kept some
            (&["run", "grow 32 16", "give 48 16"], 32, 0), // no room for the result's line
            (&["run", "grow 32 8", "grow 40 8"], 48, 16),
        ] {
            assert_eq!(owed(lines, persistent), pages, "{lines:?}");
            assert_eq!(persistent - pages, 32, "{lines:?}");
        }
    }

    #[test]
    fn what_others_did_meanwhile_is_not_undone() {
        let grown = &["run", "grow 32 16", "grew 16"];
        assert_eq!(owed(grown, 100), 16); // an administrator added 52
        assert_eq!(owed(grown, 20), 16); // took 28 away
        assert_eq!(owed(grown, 10), 10); // took nearly all away: never below nothing
        assert_eq!(owed(&["run", "grow 32 16"], 100), 16);
        assert_eq!(owed(&["run", "grow 32 16"], 20), 0);
    }

    #[test]
    fn a_line_torn_anywhere_is_as_if_it_had_not_been_written() {
        let records = journal(&["run", "grow 32 16", "grew 16", "give 48 16", "gave 16"]);
        for (index, record) in records.iter().enumerate() {
            let whole = text(&records[..index]);
            let line = record.line().unwrap();
            for cut in 0..line.len() - 1 {
                assert_eq!(Ledger::read(&format!("{whole}{}", &line[..cut])), Ledger::read(&whole), "{line}");
            }
        }
    }

    #[test]
    fn only_a_journal_of_this_boot_counts() {
        let ledger = Ledger::read(&text(&journal(&["run", "grew 16"])));
        assert_eq!(ledger.standing("this"), Standing::ThisBoot);
        assert_eq!(ledger.standing("that"), Standing::OtherBoot);
        assert_eq!(Ledger::read(&text(&journal(&["grew 16"]))).standing("this"), Standing::Unknown);
        assert_eq!(Ledger::read("").standing(""), Standing::Unknown);
    }

    #[test]
    fn garbage_between_records_is_passed_over() {
        let records = text(&journal(&["run", "grow 32 16", "grew 16"]));
        let garbled =
            records.replace('\n', "\n\0{}\n[1]\nnull\n{\"grew\":{\"pool\":{\"size\":\"3Mi\"},\"got\":1}}\n");
        assert_eq!(Ledger::read(&garbled), Ledger::read(&records));
    }

    #[test]
    fn the_format_is_this() {
        assert_eq!(
            text(&journal(&["run", "grow 32 16", "grew 16", "give 48 16", "gave 16"])),
            format!(
                "{{\"run\":{{\"boot_id\":\"this\"}}}}\n\
                 {{\"grow\":{{\"pool\":{POOL},\"before\":32,\"asked\":16}}}}\n\
                 {{\"grew\":{{\"pool\":{POOL},\"got\":16}}}}\n\
                 {{\"give\":{{\"pool\":{POOL},\"before\":48,\"pages\":16}}}}\n\
                 {{\"gave\":{{\"pool\":{POOL},\"pages\":16}}}}\n"
            )
        );
    }

    fn any_record() -> impl Strategy<Value = Record> {
        let pool = (13_u32..=40, prop::option::of(0_u32..4)).prop_map(|(shift, node)| PoolId {
            size: crate::domain::size::PageSize::from_bytes(1 << shift).unwrap(),
            node,
        });
        (0..5, pool, any::<u64>(), any::<u64>(), "\\PC*").prop_map(|(kind, pool, a, b, text)| match kind {
            0 => Record::Run { boot_id: text },
            1 => Record::Grow { pool, before: a, asked: b },
            2 => Record::Grew { pool, got: a },
            3 => Record::Give { pool, before: a, pages: b },
            _ => Record::Gave { pool, pages: a },
        })
    }

    proptest! {
        #[test]
        fn every_record_survives_its_own_line(record in any_record()) {
            let line = record.line().unwrap();
            prop_assert_eq!(line.matches('\n').count(), 1);
            prop_assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record);
        }

        #[test]
        fn no_journal_panics_or_takes_more_than_there_is(records in prop::collection::vec(any_record(), 0..20), now: u64) {
            let ledger = Ledger::read(&text(&records));
            for pool in ledger.pools() {
                prop_assert!(ledger.owed(pool, now) <= now);
            }
        }

        #[test]
        fn no_text_panics(text in "(\\PC|\n|\\{\"gr(ow|ew)\":)*") {
            let _ = Ledger::read(&text);
        }

        /// The life of a run on a pool that nobody else touches, killed before or after any of its writes.
        #[test]
        fn a_kill_anywhere_is_made_good(
            start in 0_u64..100, steps in prop::collection::vec((1_u64..50, 0_u64..50), 1..5), killed in 0_usize..40, partly in 0_u64..50,
        ) {
            let (mut ledger, mut persistent, mut clock) = (Ledger::default(), start, 0_usize);
            let mut alive = || { clock += 1; clock <= killed };
            'life: {
                for (asked, got) in steps {
                    let got = got.min(asked);
                    if !alive() { break 'life; }
                    ledger.apply(Record::Grow { pool: pool(), before: persistent, asked });
                    if !alive() { persistent += partly.min(got); break 'life; }
                    persistent += got;
                    if !alive() { break 'life; }
                    ledger.apply(Record::Grew { pool: pool(), got });
                }
                let pages = ledger.owed(pool(), persistent);
                if !alive() { break 'life; }
                ledger.apply(Record::Give { pool: pool(), before: persistent, pages });
                if !alive() { persistent -= partly.min(pages); break 'life; }
                persistent -= pages;
                if !alive() { break 'life; }
                ledger.apply(Record::Gave { pool: pool(), pages });
            }
            prop_assert_eq!(persistent - ledger.owed(pool(), persistent), start);
        }
    }
}
