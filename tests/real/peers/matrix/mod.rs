//! The table of peers, docs/reference/peers.md: the program under test with every peer, and a check that the peer still
//! serves a client of its own kind afterwards.
//!
//! With `UPDATE=1` each case writes its section of the page. Otherwise it compares it.

mod backends;
mod daemons;
mod frontends;
mod page;

use crate::Case;

pub(super) const CASES: &[Case] = &[
    ("peers: the table: testpmd as a backend", backends::testpmd),
    ("peers: the table: Open vSwitch as a backend", backends::ovs),
    ("peers: the table: testpmd as a frontend", frontends::testpmd),
    ("peers: the table: QEMU as a frontend", frontends::qemu),
    ("peers: the table: daemons of the distribution that serve other devices", daemons::of_the_distribution),
    ("peers: the table: daemons of crates.io that serve other devices", daemons::of_crates_io),
];

pub(crate) use daemons::NOT_BUILT;
