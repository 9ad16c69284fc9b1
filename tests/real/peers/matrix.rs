//! `check --peer` with daemons that serve devices other than network cards, and with testpmd with several queues: the
//! results, and that the daemon still serves its own clients afterwards.

use super::daemon::{ROWS, When};
use crate::Case;
use crate::context::program::check;
use crate::context::{Machine, Missing, SMALL};

pub(super) const CASES: &[Case] = &[
    ("peers: a block device with 1 queue takes the pages, and serves its disk before and after", row::<0>),
    ("peers: a block device with 2 queues takes the pages, and serves its disk before and after", row::<1>),
    ("peers: virtiofsd takes the pages, and ends with its client as ever", row::<2>),
];

fn row<const ROW: usize>(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let row = &ROWS[ROW];
    for (arguments, frames) in [(&[][..], "skip"), (&["--peer-transmit", "8"], "unknown")] {
        let directory = tempfile::tempdir().unwrap();
        let daemon = (row.start)(directory.path());
        let mut daemon = daemon.ok_or_else(|| Missing(row.name.to_owned()))?;
        (row.serves)(&mut daemon, When::Before);
        let socket = daemon.socket.to_str().unwrap().to_owned();
        let only = ["--only", "HP612", "--only", "HP613", "--only", "HP614", "--only", "HP615"];
        let run = check(&[&["--size", "2Mi", "--peer", &socket], &only[..], arguments].concat());
        assert_eq!(run.code, Some(3), "{run:?}\n{}", daemon.log());
        run.expect("HP612", "pass");
        assert_eq!(run.expect("HP613", "pass")["evidence"]["proof"], "acknowledged");
        for (id, outcome) in [("HP614", "unknown"), ("HP615", frames)] {
            let entry = run.expect(id, outcome);
            assert!(entry["summary"].as_str().unwrap().contains("not a network device"), "{entry:#}");
        }
        (row.serves)(&mut daemon, When::After);
    }
    Ok(())
}
