//! The split ring.

use super::super::split::{Descriptor, Split};
use super::*;

fn put_descriptor(table: &Table, index: u16, address: u64, bytes: u32, flags: u16, next: u16) {
    let ring = Split { parts: parts(table, Layout::Split, SIZE), size: SIZE };
    ring.set_descriptor(index, Descriptor { address, bytes, flags, next }).unwrap();
}

fn take(table: &Table) -> Result<(Vec<usize>, Vec<usize>), RingError> {
    let mut chain = Chain::default();
    device(table, Layout::Split, SIZE).take(&mut Cursor::new(0), &mut chain)?;
    Ok((lengths(&chain.readable), lengths(&chain.writable)))
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
        let mut driver = driver(&table, Layout::Split, SIZE);
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
    let mut driver = driver(&table, Layout::Split, SIZE);
    for _ in 0..2 {
        let id = driver.free_id().unwrap();
        driver.offer(id, GUEST, 64, true).unwrap();
    }
    driver.publish().unwrap();
    put(&table, AT.used + 2, 2_u16.to_le_bytes());
    assert_eq!(driver.take_used().unwrap(), Some(Used { id: 0, bytes: 0 }));
    assert_eq!(driver.take_used(), Err(RingError::NeverOffered(0)));
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
        let device = device(&table, Layout::Split, SIZE);
        let mut chain = Chain::default();
        if device.take(&mut Cursor::new(slot), &mut chain).is_ok() {
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
        put(&table, AT.available + 2, 1_u16.to_le_bytes());
        put(&table, AT.available + 4, head.to_le_bytes());
        let _ = take(&table);
    }

    #[test]
    fn no_used_ring_panics(index: u16, entries in any::<[u64; 8]>(), offered in 0..=SIZE) {
        let table = table();
        let mut driver = driver(&table, Layout::Split, SIZE);
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
