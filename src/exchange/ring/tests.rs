//! Tests of rings in which the other side writes arbitrary values, and of both sides with each other.

mod indirect;
mod packed;
mod split;

use std::os::fd::OwnedFd;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::ftruncate;
use proptest::prelude::*;
use vm_memory::Bytes as _;

use super::super::message::{MemoryRegion, VringAddresses, feature};
use super::super::table::{Pages, Table};
use super::packed::Place;
use super::*;

const SIZE: u16 = 8;
const GUEST: u64 = 0x10_0000;
const USER: u64 = 0x7000_0000_0000;
const BYTES: u64 = 0x1_0000;
const AT: VringAddresses = VringAddresses {
    index: 0,
    flags: 0,
    descriptors: USER,
    available: USER + 0x1000,
    used: USER + 0x2000,
    log: 0,
};
/// The layouts, each with sizes that are legal for it.
const RINGS: [(Layout, &[u16]); 2] =
    [(Layout::Split, &[1, 2, 8, 64]), (Layout::Packed, &[1, 2, 3, 7, 8, 64, 100])];

fn table() -> Table {
    let fd: OwnedFd = memfd_create(c"test", MFdFlags::MFD_CLOEXEC).unwrap();
    ftruncate(&fd, BYTES.cast_signed()).unwrap();
    let region = MemoryRegion { guest: GUEST, bytes: BYTES, user: USER, offset: 0 };
    Table::new(&[region], vec![fd], Pages::Any).unwrap()
}

fn parts(table: &Table, layout: Layout, size: u16) -> Parts<'_> {
    Parts {
        descriptors: table.user(AT.descriptors, 16 * usize::from(size)).unwrap(),
        available: table.user(AT.available, layout.available_bytes(size)).unwrap(),
        used: table.user(AT.used, layout.used_bytes(size)).unwrap(),
    }
}

const fn features(layout: Layout) -> u64 {
    match layout {
        Layout::Split => 0,
        Layout::Packed => feature::RING_PACKED,
    }
}

fn driver(table: &Table, layout: Layout, size: u16) -> Driver<'_> {
    Driver::new(parts(table, layout, size), size, layout).unwrap()
}

fn device(table: &Table, layout: Layout, size: u16) -> Device<'_> {
    Device::new(table, size, &AT, features(layout)).unwrap()
}

fn put<const N: usize>(table: &Table, at: u64, bytes: [u8; N]) {
    table.user(at, N).unwrap().write_slice(&bytes, 0).unwrap();
}

fn lengths(pieces: &[VolatileSlice<'_>]) -> Vec<usize> {
    pieces.iter().map(VolatileSlice::len).collect()
}

/// The device's side as a backend uses it: positions that it keeps, and chains that it returns later.
struct Side<'m> {
    device: Device<'m>,
    taken: Cursor,
    given: u16,
}

impl<'m> Side<'m> {
    fn new(table: &'m Table, layout: Layout, size: u16) -> Self {
        let start = layout.start();
        Self { device: device(table, layout, size), taken: Cursor::new(start), given: start }
    }

    /// Takes the next chain: what identifies it, and its readable and writable bytes.
    fn take(&mut self) -> Result<Option<(Taken, usize, usize)>, RingError> {
        let mut chain = Chain::default();
        let taken = self.device.take(&mut self.taken, &mut chain)?;
        Ok(taken.map(|taken| (taken, chain.readable_bytes(), chain.writable_bytes())))
    }

    fn publish(&mut self, used: &[(Taken, u32)]) -> bool {
        let (given, wants) = self.device.publish(self.given, used).unwrap();
        self.given = given;
        wants
    }
}

#[test]
fn what_is_offered_is_taken_and_comes_back() {
    for (layout, sizes) in RINGS {
        for size in sizes {
            let table = table();
            let mut driver = driver(&table, layout, *size);
            let mut device = Side::new(&table, layout, *size);
            // Enough rounds to make the indices of a split ring wrap around at 16 bits.
            for round in 0..70_000_u32 {
                let (id, is_write) = (driver.free_id().unwrap(), round % 2 == 0);
                driver.offer(id, GUEST + 0x4000, 64, is_write).unwrap();
                assert!(driver.publish().unwrap());
                let (taken, readable, writable) = device.take().unwrap().unwrap();
                assert_eq!((readable, writable), if is_write { (0, 64) } else { (64, 0) });
                assert_eq!(device.take(), Ok(None));
                assert!(!driver.has_used().unwrap());
                let bytes = if is_write { round % 65 } else { 0 };
                assert!(device.publish(&[(taken, bytes)]));
                assert!(driver.has_used().unwrap());
                assert_eq!(driver.take_used().unwrap(), Some(Used { id, bytes }));
                driver.give_back(id);
                assert_eq!(driver.take_used().unwrap(), None);
            }
        }
    }
}

#[test]
fn each_side_can_ask_the_other_to_be_quiet() {
    for (layout, _) in RINGS {
        let table = table();
        let driver = driver(&table, layout, SIZE);
        let device = device(&table, layout, SIZE);
        for quiet in [true, false] {
            device.suppress_notifications(quiet).unwrap();
            driver.suppress_notifications(quiet).unwrap();
            let (_, wants) = device.publish(layout.start(), &[]).unwrap();
            assert_eq!((driver.publish().unwrap(), wants), (!quiet, !quiet), "{layout:?}");
            assert_eq!(driver.is_written_to().unwrap(), quiet);
        }
    }
}

#[test]
fn a_ring_that_is_not_where_it_says_is_refused() {
    type Change = fn(&mut VringAddresses);
    let table = table();
    let with = |layout, change: Change| {
        let mut at = AT;
        change(&mut at);
        Device::new(&table, SIZE, &at, features(layout)).unwrap_err().to_string()
    };
    let (split, packed) = (Layout::Split, Layout::Packed);
    let rows: &[(&str, Layout, Change)] = &[
        ("descriptor table at 0x700000000008 is not aligned to 16", split, |at| at.descriptors += 8),
        ("available ring at 0x700000001001 is not aligned to 2", split, |at| at.available += 1),
        ("used ring at 0x700000002002 is not aligned to 4", split, |at| at.used += 2),
        ("available ring at 0x700000001002 is not aligned to 4", packed, |at| at.available += 2),
        ("at user address 0x70000000fff0 are not within", split, |at| at.used = USER + BYTES - 16),
        ("at user address 0x700000010000 are not within", packed, |at| at.used = USER + BYTES),
        ("at user address 0x100000 are not within", packed, |at| at.descriptors = GUEST),
        ("at user address 0xfffffffffffffffc are not within", split, |at| at.available = u64::MAX - 3),
    ];
    for (why, layout, change) in rows {
        let error = with(*layout, *change);
        assert!(error.contains(why), "{error}, not {why}");
    }
    for num in [0, 3, 65536, 32769, u32::MAX] {
        assert_eq!(Layout::Split.checked_size(num), Err(RingError::Size(num)));
    }
    for num in [0, 65536, 32769, u32::MAX] {
        assert_eq!(Layout::Packed.checked_size(num), Err(RingError::PackedSize(num)));
    }
    assert_eq!(Layout::Split.checked_size(32768), Ok(32768));
    assert_eq!((Layout::Packed.checked_size(3), Layout::Packed.checked_size(32768)), (Ok(3), Ok(32768)));
}

/// What vhost-user says about the numbers in SET_VRING_BASE and GET_VRING_BASE, and what DPDK sends.
#[test]
fn the_base_of_a_ring_has_the_form_of_the_specification() {
    for (layout, base, positions) in [
        (Layout::Split, 0, Some((0, 0))),
        (Layout::Split, 0xffff, Some((0xffff, 0xffff))),
        (Layout::Split, 0x1_0000, None),
        (Layout::Packed, 0x8000_8000, Some((0x8000, 0x8000))),
        (Layout::Packed, 0x8003_0005, Some((5, 0x8003))),
        // virtio_user and DPDK's vhost library leave the upper half 0.
        (Layout::Packed, 0x8000, Some((0x8000, 0x8000))),
        (Layout::Packed, 5, Some((5, 5))),
    ] {
        assert_eq!(layout.positions(base), positions, "{layout:?} {base:#x}");
    }
    assert_eq!(Layout::Split.base(7, 9), 7);
    assert_eq!(Layout::Packed.base(5, 0x8003), 0x8003_0005);
}

#[test]
fn bytes_go_through_the_pieces_of_a_chain_in_order() {
    let table = table();
    let piece = |at: u64, bytes| table.guest(GUEST + at, bytes).unwrap();
    let pieces = vec![piece(0, 3), piece(0x100, 1), piece(0x200, 8)];
    let chain = Chain { readable: pieces.clone(), writable: pieces, descriptors: 3, indirect: 0 };
    assert_eq!(chain.write(2, b"abcdef"), 6);
    let mut out = [0; 16];
    assert_eq!(chain.read(2, &mut out), 10);
    assert_eq!(&out[..6], b"abcdef");
    assert_eq!(chain.read(1, &mut out[..2]), 2);
    assert_eq!(out[1], b'a');
    assert_eq!((chain.write(11, b"abcdef"), chain.write(12, b"a"), chain.read(99, &mut out)), (1, 0, 0));
}

proptest! {
    /// Buffers are offered, taken and returned in any order that the specification allows, out of order too.
    #[test]
    fn every_buffer_comes_back_once_in_any_order(
        ring in (0..2_usize, any::<prop::sample::Index>()),
        steps in prop::collection::vec((0..3_u8, any::<prop::sample::Index>(), 1..64_u32), 0..400),
    ) {
        let (layout, sizes) = RINGS[ring.0];
        let size = *ring.1.get(sizes);
        let table = table();
        let mut driver = driver(&table, layout, size);
        let mut device = Side::new(&table, layout, size);
        let (mut offered, mut held, mut returned) = (Vec::new(), Vec::new(), Vec::new());
        for (step, choice, bytes) in steps {
            match step {
                0 => {
                    let Some(id) = driver.free_id() else { continue };
                    driver.offer(id, GUEST + u64::from(id), 64, true).unwrap();
                    driver.publish().unwrap();
                    offered.insert(0, id);
                }
                1 => {
                    let taken = device.take().unwrap();
                    prop_assert_eq!(taken.is_some(), !offered.is_empty());
                    if let Some((taken, 0, 64)) = taken {
                        prop_assert_eq!(Some(taken.id), offered.pop());
                        held.push(taken);
                    }
                }
                _ if held.is_empty() => {}
                _ => {
                    // Several at once, in an order that the driver did not choose.
                    let count = choice.index(held.len()) + 1;
                    let mut batch = Vec::new();
                    for _ in 0..count {
                        let taken = held.swap_remove(choice.index(held.len()));
                        returned.push((taken.id, bytes));
                        batch.push((taken, bytes));
                    }
                    device.publish(&batch);
                }
            }
            if step == 0 {
                for (id, bytes) in returned.drain(..) {
                    prop_assert_eq!(driver.take_used().unwrap(), Some(Used { id, bytes }));
                    driver.give_back(id);
                }
                prop_assert_eq!(driver.take_used().unwrap(), None);
                prop_assert_eq!(usize::from(driver.in_flight()), offered.len() + held.len());
            }
        }
    }
}
