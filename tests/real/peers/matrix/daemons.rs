//! Daemons that serve devices other than network cards. `check --peer` starts none of their queues.

use super::page::{Line, section, version};
use crate::context::program::check;
use crate::context::{Machine, Missing, SMALL};
use crate::peers::daemon::{CRATES, ROWS, Row, When};

/// What a case needs whose daemons have not been built. They take too long to build for every run of the tests.
pub(crate) const NOT_BUILT: &str = "the daemons that tests/peers builds";

pub(in crate::peers) fn of_the_distribution(machine: &Machine) -> Result<(), Missing> {
    table(machine, "Other devices: daemons of the distribution", ROWS, |row| row.name.to_owned())
}

pub(in crate::peers) fn of_crates_io(machine: &Machine) -> Result<(), Missing> {
    table(machine, "Other devices: daemons of crates.io", CRATES, |row| format!("{NOT_BUILT}: {}", row.name))
}

fn table(
    machine: &Machine,
    heading: &str,
    rows: &[Row],
    missing: impl Fn(&Row) -> String,
) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let mut lines = Vec::new();
    for row in rows {
        for (arguments, frames) in [(&["--peer-transmit", "8"][..], "unknown"), (&[], "skip")] {
            let directory = tempfile::tempdir().unwrap();
            let daemon = (row.start)(directory.path());
            let mut daemon = daemon.ok_or_else(|| Missing(missing(row)))?;
            (row.serves)(&mut daemon, When::Before);
            let socket = daemon.socket.to_str().unwrap().to_owned();
            let only = ["--only", "HP612", "--only", "HP613", "--only", "HP614", "--only", "HP615"];
            let run = check(&[&["--size", "2Mi", "--peer", &socket], &only[..], arguments].concat());
            assert_eq!(run.code, Some(3), "{run:?}\n{}", daemon.log());
            run.expect("HP612", "pass");
            for (id, outcome) in [("HP614", "unknown"), ("HP615", frames)] {
                let entry = run.expect(id, outcome);
                assert!(entry["summary"].as_str().unwrap().contains("not a network device"), "{entry:#}");
            }
            (row.serves)(&mut daemon, When::After);
            if frames == "skip" {
                let version = row.programs.iter().find_map(|program| version(program)).unwrap();
                lines.push(Line::of_check(row.name, version, &run, row.afterwards));
            }
        }
    }
    section(heading, &lines);
    Ok(())
}
