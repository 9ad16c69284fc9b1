//! Our backend with QEMU: iPXE requests an address, and its frames are read here.

use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use hugeprobe::domain::size::PageSize;
use hugeprobe::exchange::backend::{Backend, End, FEATURES, Nobody, Options, PROTOCOL_FEATURES, Work};
use hugeprobe::exchange::channel::Channel;
use hugeprobe::exchange::socket::Listener;
use hugeprobe::exchange::table::Pages;

use super::LONG;
use crate::Case;
use crate::context::qemu::{MAC, Qemu};
use crate::context::{LARGE, Machine, Missing, SMALL};

pub(super) const CASES: &[Case] = &[
    ("peers: QEMU's DHCP frames arrive, and again when it was killed and started anew", small),
    ("peers: QEMU's DHCP frames arrive from a page of 1Gi", large),
];

/// The guest memory that the option ROM needs to send its first frame, in bytes.
const BOOT: u64 = 64 << 20;

fn small(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, BOOT / SMALL.bytes())?;
    let directory = tempfile::tempdir().unwrap();
    let listener = Listener::new(&directory.path().join("socket")).unwrap();
    for _ in 0..2 {
        boot(directory.path(), &listener, SMALL, BOOT)?;
    }
    Ok(())
}

fn large(machine: &Machine) -> Result<(), Missing> {
    let _page = machine.pages(LARGE, 1)?;
    let directory = tempfile::tempdir().unwrap();
    let listener = Listener::new(&directory.path().join("socket")).unwrap();
    boot(directory.path(), &listener, LARGE, LARGE.bytes())
}

/// Serves a QEMU until it has requested an address, then kills it.
fn boot(directory: &Path, listener: &Listener, size: PageSize, bytes: u64) -> Result<(), Missing> {
    let mut qemu = Some(Qemu::start(directory, &directory.join("socket"), size, bytes)?);
    let deadline = Instant::now() + LONG;
    let channel = Channel::new(listener.accept(deadline).unwrap());
    let (to, frames) = sync_channel(64);
    let options = Options {
        pages: Pages::Of(size),
        work: Work::Hand(to),
        features: FEATURES,
        protocol_features: PROTOCOL_FEATURES,
    };
    let mut nobody = Nobody;
    let mut backend = Backend::new(channel, options, &mut nobody);
    while !asks_for_an_address(&frames) {
        assert!(Instant::now() < deadline, "no request: {:?}", backend.report());
        let end = backend.serve(Instant::now() + Duration::from_millis(100)).unwrap();
        assert_eq!(end, End::Deadline, "QEMU is gone: {:?}", backend.report());
    }
    let killing = std::thread::spawn(move || qemu.take().unwrap().kill());
    assert_eq!(backend.serve(deadline).unwrap(), End::Abandoned);
    killing.join().unwrap();
    Ok(())
}

/// Returns whether one of the frames is a DHCPDISCOVER of the guest, over Ethernet, IPv4 and UDP; RFC 2131 and 2132.
fn asks_for_an_address(frames: &Receiver<Vec<u8>>) -> bool {
    const COOKIE: [u8; 4] = [99, 130, 83, 99];
    let is_discover = |frame: &[u8]| {
        frame[..14] == [&[0xff; 6], &MAC[..], &[0x08, 0x00]].concat()
            && frame[14] == 0x45
            && frame[23] == 17
            && frame[34..38] == [0, 68, 0, 67]
            && frame[42] == 1
            && frame[70..76] == MAC
            && frame[278..282] == COOKIE
            && frame[282..].windows(3).any(|option| option == [53, 1, 1])
    };
    frames.try_iter().any(|frame| frame.len() > 285 && is_discover(&frame))
}
