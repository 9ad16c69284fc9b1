//! Tests of rings in which the other side writes arbitrary values.

use std::os::fd::OwnedFd;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::ftruncate;
use proptest::prelude::*;
use vm_memory::Bytes as _;

use super::super::message::{MemoryRegion, VringAddresses};
use super::super::table::{Pages, Table};
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

fn table() -> Table {
    let fd: OwnedFd = memfd_create(c"test", MFdFlags::MFD_CLOEXEC).unwrap();
    ftruncate(&fd, BYTES.cast_signed()).unwrap();
    let region = MemoryRegion { guest: GUEST, bytes: BYTES, user: USER, offset: 0 };
    Table::new(&[region], vec![fd], Pages::Any).unwrap()
}

fn parts(table: &Table) -> Parts<'_> {
    Parts {
        descriptors: table.user(AT.descriptors, 16 * 8).unwrap(),
        available: table.user(AT.available, available_bytes(SIZE)).unwrap(),
        used: table.user(AT.used, used_bytes(SIZE)).unwrap(),
    }
}

fn put<const N: usize>(table: &Table, at: u64, bytes: [u8; N]) {
    table.user(at, N).unwrap().write_slice(&bytes, 0).unwrap();
}

fn put_descriptor(table: &Table, index: u16, address: u64, bytes: u32, flags: u16, next: u16) {
    parts(table).set_descriptor(index, Descriptor { address, bytes, flags, next }).unwrap();
}

fn take(table: &Table) -> Result<(Vec<usize>, Vec<usize>), RingError> {
    let device = Device::new(table, SIZE, &AT)?;
    let mut chain = Chain::default();
    device.waiting(0)?;
    device.chain(0, &mut chain)?;
    let lengths = |pieces: &[VolatileSlice<'_>]| pieces.iter().map(VolatileSlice::len).collect();
    Ok((lengths(&chain.readable), lengths(&chain.writable)))
}

#[test]
fn what_is_offered_is_taken_and_comes_back() {
    let table = table();
    let mut driver = Driver::new(parts(&table), SIZE).unwrap();
    let device = Device::new(&table, SIZE, &AT).unwrap();
    let mut chain = Chain::default();
    let (mut taken, mut given) = (0_u16, 0_u16);
    // Enough rounds to make the indices wrap around at 16 bits.
    for round in 0..70_000_u32 {
        let id = driver.free_id().unwrap();
        driver.offer(id, GUEST + 0x4000, 64, round % 2 == 0).unwrap();
        assert!(driver.publish().unwrap());
        assert_eq!(device.waiting(taken), Ok(1));
        let head = device.chain(taken, &mut chain).unwrap();
        taken = taken.wrapping_add(1);
        assert_eq!(
            (chain.writable_bytes(), chain.readable_bytes()),
            if round % 2 == 0 { (64, 0) } else { (0, 64) }
        );
        device.put_used(given, head, round % 65).unwrap();
        given = given.wrapping_add(1);
        assert!(device.publish(given).unwrap());
        assert!(driver.has_used().unwrap());
        assert_eq!(driver.take_used().unwrap(), Some(Used { id, bytes: round % 65 }));
        driver.give_back(id);
        assert_eq!(driver.take_used().unwrap(), None);
    }
}

#[test]
fn each_side_can_ask_the_other_to_be_quiet() {
    let table = table();
    let driver = Driver::new(parts(&table), SIZE).unwrap();
    let device = Device::new(&table, SIZE, &AT).unwrap();
    for quiet in [true, false] {
        device.suppress_notifications(quiet).unwrap();
        driver.suppress_notifications(quiet).unwrap();
        assert_eq!((driver.publish().unwrap(), device.publish(0).unwrap()), (!quiet, !quiet));
    }
}

#[test]
fn what_a_hostile_driver_puts_into_a_ring_has_its_own_error() {
    type Script = fn(&Table);
    let rows: &[(&str, Script)] = &[
        ("jumped to 9; from 0, at most 8 entries", |t| put(t, AT.available + 2, 9_u16.to_le_bytes())),
        ("jumped to 65535", |t| put(t, AT.available + 2, u16::MAX.to_le_bytes())),
        ("names descriptor 8 of 8", |t| put(t, AT.available + 4, 8_u16.to_le_bytes())),
        ("names descriptor 65535 of 8", |t| put(t, AT.available + 4, u16::MAX.to_le_bytes())),
        ("descriptor 0 continues at 8 of 8", |t| put_descriptor(t, 0, GUEST, 1, NEXT, 8)),
        ("descriptor 0 continues at 65535", |t| put_descriptor(t, 0, GUEST, 1, NEXT, u16::MAX)),
        ("the chain at descriptor 0 has a loop", |t| put_descriptor(t, 0, GUEST, 1, NEXT, 0)),
        ("the chain at descriptor 0 has a loop", |t| {
            for index in 0..SIZE {
                put_descriptor(t, index, GUEST, 0, NEXT, (index + 1) % SIZE);
            }
        }),
        ("flags 0x4, which were not offered", |t| put_descriptor(t, 0, GUEST, 16, INDIRECT, 0)),
        ("a readable buffer after a writable one", |t| {
            put_descriptor(t, 0, GUEST, 1, NEXT | WRITE, 1);
            put_descriptor(t, 1, GUEST, 1, 0, 0);
        }),
        ("guest address 0x0 are not within", |t| put_descriptor(t, 0, 0, 1, 0, 0)),
        ("guest address 0xfffff are not within", |t| put_descriptor(t, 0, GUEST - 1, 2, 0, 0)),
        ("guest address 0x110000 are not within", |t| put_descriptor(t, 0, GUEST + BYTES - 1, 2, 0, 0)),
        ("guest address 0x110000 are not within", |t| put_descriptor(t, 0, GUEST, u32::MAX, 0, 0)),
        ("guest address 0xffffffffffffffff are not within", |t| {
            put_descriptor(t, 0, u64::MAX, u32::MAX, 0, 0);
        }),
        ("guest address 0xffffffff00000001 are not", |t| {
            put_descriptor(t, 0, u64::MAX << 32 | 1, u32::MAX, 0, 0);
        }),
    ];
    for (why, script) in rows {
        let table = table();
        put(&table, AT.available + 2, 1_u16.to_le_bytes());
        script(&table);
        let error = take(&table).unwrap_err().to_string();
        assert!(error.contains(why), "{error}, not {why}");
    }
}

#[test]
fn a_chain_may_be_as_long_as_the_queue() {
    let table = table();
    put(&table, AT.available + 2, 1_u16.to_le_bytes());
    for index in 0..SIZE {
        let (flags, next) = if index + 1 < SIZE { (NEXT, index + 1) } else { (0, 0) };
        put_descriptor(
            &table,
            index,
            GUEST + u64::from(index) * 16,
            u32::from(index),
            flags | if index > 3 { WRITE } else { 0 },
            next,
        );
    }
    assert_eq!(take(&table).unwrap(), (vec![1, 2, 3], vec![4, 5, 6, 7]));
}

#[test]
fn a_ring_that_is_not_where_it_says_is_refused() {
    let table = table();
    let with = |change: fn(&mut VringAddresses)| {
        let mut at = AT;
        change(&mut at);
        Device::new(&table, SIZE, &at).unwrap_err().to_string()
    };
    for (why, error) in [
        ("descriptor table at 0x700000000008 is not aligned to 16", with(|at| at.descriptors += 8)),
        ("available ring at 0x700000001001 is not aligned to 2", with(|at| at.available += 1)),
        ("used ring at 0x700000002002 is not aligned to 4", with(|at| at.used += 2)),
        ("at user address 0x70000000fff0 are not within", with(|at| at.used = USER + BYTES - 16)),
        ("at user address 0x100000 are not within", with(|at| at.descriptors = GUEST)),
        ("at user address 0xfffffffffffffffc are not within", with(|at| at.available = u64::MAX - 3)),
    ] {
        assert!(error.contains(why), "{error}, not {why}");
    }
    for num in [0, 3, 65536, 32769, u32::MAX] {
        assert_eq!(checked_size(num), Err(RingError::Size(num)));
    }
    assert_eq!(checked_size(32768), Ok(32768));
}

#[test]
fn what_a_hostile_device_puts_into_a_ring_has_its_own_error() {
    let entry = |id: u32, bytes: u32| (u64::from(id) | u64::from(bytes) << 32).to_le_bytes();
    for (why, index, used) in [
        ("the used ring jumped to 3; from 0, at most 2 entries", 3_u16, entry(0, 0)),
        ("the used ring jumped to 65535", u16::MAX, entry(0, 0)),
        ("returns buffer 2, which", 1, entry(2, 0)),
        ("returns buffer 8, which", 1, entry(8, 0)),
        ("returns buffer 65536, which", 1, entry(65536, 0)),
        ("returns buffer 4294967295, which", 1, entry(u32::MAX, 0)),
        ("claims 65 bytes in buffer 1 of 64", 1, entry(1, 65)),
        ("claims 4294967295 bytes", 1, entry(1, u32::MAX)),
    ] {
        let table = table();
        let mut driver = Driver::new(parts(&table), SIZE).unwrap();
        for _ in 0..2 {
            let id = driver.free_id().unwrap();
            driver.offer(id, GUEST, 64, true).unwrap();
        }
        driver.publish().unwrap();
        put(&table, AT.used + 4, used);
        put(&table, AT.used + 2, index.to_le_bytes());
        let error = driver.take_used().unwrap_err().to_string();
        assert!(error.contains(why), "{error}, not {why}");
    }
}

#[test]
fn a_buffer_that_comes_back_twice_is_noticed() {
    let table = table();
    let mut driver = Driver::new(parts(&table), SIZE).unwrap();
    for _ in 0..2 {
        let id = driver.free_id().unwrap();
        driver.offer(id, GUEST, 64, true).unwrap();
    }
    driver.publish().unwrap();
    put(&table, AT.used + 2, 2_u16.to_le_bytes());
    assert_eq!(driver.take_used().unwrap(), Some(Used { id: 0, bytes: 0 }));
    assert_eq!(driver.take_used(), Err(RingError::NeverOffered(0)));
}

#[test]
fn bytes_go_through_the_pieces_of_a_chain_in_order() {
    let table = table();
    let piece = |at: u64, bytes| table.guest(GUEST + at, bytes).unwrap();
    let pieces = vec![piece(0, 3), piece(0x100, 1), piece(0x200, 8)];
    let chain = Chain { readable: pieces.clone(), writable: pieces, descriptors: 3 };
    assert_eq!(chain.write(2, b"abcdef"), 6);
    let mut out = [0; 16];
    assert_eq!(chain.read(2, &mut out), 10);
    assert_eq!(&out[..6], b"abcdef");
    assert_eq!(chain.read(1, &mut out[..2]), 2);
    assert_eq!(out[1], b'a');
    assert_eq!((chain.write(11, b"abcdef"), chain.write(12, b"a"), chain.read(99, &mut out)), (1, 0, 0));
}

proptest! {
    /// Any contents of a ring: there is no panic, the chain ends, and every piece is within the region.
    #[test]
    fn no_contents_of_a_ring_lead_outside_of_memory(
        bytes in prop::collection::vec(any::<u8>(), 16 * 8), ring in any::<[u8; 20]>(), slot: u16,
    ) {
        let table = table();
        table.user(AT.descriptors, 128).unwrap().write_slice(&bytes, 0).unwrap();
        table.user(AT.available, 20).unwrap().write_slice(&ring, 0).unwrap();
        let device = Device::new(&table, SIZE, &AT).unwrap();
        let _ = device.waiting(slot);
        let mut chain = Chain::default();
        if device.chain(slot, &mut chain).is_ok() {
            prop_assert!(chain.readable_bytes() + chain.writable_bytes() <= usize::from(SIZE) * usize::try_from(BYTES).unwrap());
        }
    }

    /// Chains that are almost valid.
    #[test]
    fn no_chain_is_followed_for_ever(
        chain in prop::collection::vec((0..BYTES + 64, 0..200_u32, 0..4_u16, 0..10_u16), 8), head in 0..9_u16,
    ) {
        let table = table();
        for (index, (at, bytes, flags, next)) in (0..).zip(&chain) {
            put_descriptor(&table, index, GUEST + at, *bytes, *flags, *next);
        }
        put(&table, AT.available + 4, head.to_le_bytes());
        let _ = take(&table);
    }

    #[test]
    fn no_used_ring_panics(index: u16, entries in any::<[u64; 8]>(), offered in 0..=SIZE) {
        let table = table();
        let mut driver = Driver::new(parts(&table), SIZE).unwrap();
        for _ in 0..offered {
            let id = driver.free_id().unwrap();
            driver.offer(id, GUEST, 64, true).unwrap();
        }
        driver.publish().unwrap();
        put(&table, AT.used + 2, index.to_le_bytes());
        for (slot, entry) in entries.iter().enumerate() {
            put(&table, AT.used + 4 + slot as u64 * 8, entry.to_le_bytes());
        }
        let mut taken = 0;
        while let Ok(Some(_)) = driver.take_used() {
            taken += 1;
        }
        prop_assert!(taken <= offered);
    }
}
