//! `check --peer` with real daemons that serve other devices, over pages of 4 KiB. This runs on any machine that has
//! the daemons installed. `tests/real/peers/matrix.rs` does the same with huge pages.

#[path = "../real/peers/daemon.rs"]
#[allow(dead_code, reason = "the table of peers uses the rest")]
mod daemon;

use std::time::Instant;

use hugeprobe::domain::check::Outcome;
use hugeprobe::exchange::socket::connect;

use super::*;
use daemon::{ROWS, When};

#[test]
fn a_daemon_of_another_device_serves_its_own_clients_afterwards() {
    let _one = one_at_a_time();
    for row in ROWS {
        for transmit in [0, 8] {
            let directory = tempfile::tempdir().unwrap();
            let Some(mut daemon) = (row.start)(directory.path()) else {
                let is_required = std::env::var_os("HUGEPROBE_REQUIRE").is_some_and(|value| value == "1");
                assert!(!is_required, "{} is not installed, and HUGEPROBE_REQUIRE=1", row.name);
                println!("{}: not installed", row.name);
                continue;
            };
            (row.serves)(&mut daemon, When::Before);
            let socket = connect(&daemon.socket, Instant::now() + LATEST).unwrap();
            let (outcomes, text) = super::peer::in_short(&super::peer::ask(transmit, socket));
            let expected = [Outcome::Pass, Outcome::Pass, Outcome::Skip, Outcome::Skip];
            assert_eq!(outcomes, expected, "{}:\n{text}\n{}", row.name, daemon.log());
            assert!(text.contains("not a network device"), "{}:\n{text}", row.name);
            (row.serves)(&mut daemon, When::After);
        }
    }
}
