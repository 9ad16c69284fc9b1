//! The packed ring: chains, the end of the ring, and contents that a hostile peer writes.

use super::super::packed::{AVAILABLE, Packed, USED, available_flags, used_flags};
use super::*;
use hugeprobe_linux::map::Access;

const LAYOUT: Layout = Layout::Packed;

fn ring(table: &Table, size: u16) -> Packed<'_> {
    Packed { parts: parts(table, LAYOUT, size), size }
}

/// Writes a descriptor with exactly these flags.
fn put_descriptor(table: &Table, size: u16, place: Place, address: u64, bytes: u32, id: u16, flags: u16) {
    let ring = ring(table, size);
    ring.set_address(place, address).unwrap();
    ring.set_rest(place, bytes, id).unwrap();
    ring.set_flags(place, flags).unwrap();
}

/// Makes a chain available at `place`, one descriptor for each of `pieces` (length and flags). Returns the place after
/// it. As a driver does, it writes the flags of the first descriptor last.
fn put_chain(table: &Table, size: u16, place: Place, id: u16, pieces: &[(u32, u16)]) -> Place {
    let after = (1..=pieces.len()).fold(place, |place, _| place.advanced(1, size));
    let mut places: Vec<_> = std::iter::successors(Some(place), |place| Some(place.advanced(1, size)))
        .zip(pieces)
        .enumerate()
        .collect();
    places.reverse();
    for (number, (place, (bytes, flags))) in places {
        let next = if number + 1 < pieces.len() { NEXT } else { 0 };
        // Only the last descriptor of a chain has the id.
        let id = if next == 0 { id } else { 0xdead };
        let flags = flags | next | available_flags(place);
        put_descriptor(table, size, place, GUEST + 64 * number as u64, *bytes, id, flags);
    }
    after
}

fn take(table: &Table) -> Result<Option<Taken>, RingError> {
    device(table, LAYOUT, SIZE).take(&mut Cursor::new(LAYOUT.start()), &mut Chain::default())
}

#[test]
fn a_place_counts_to_the_end_of_the_ring_and_turns_its_wrap_counter() {
    for size in [1, 3, 8, 100, 32768] {
        let mut place = Place::START;
        for step in 0..3 * u32::from(size) {
            assert_eq!(u32::from(place.index()), step % u32::from(size));
            assert_eq!(place.wrap(), step / u32::from(size) % 2 == 0);
            place = place.advanced(1, size);
        }
        let last = Place::START.advanced(size - 1, size);
        assert_eq!(last.advanced(size, size), Place(size - 1));
    }
}

#[test]
fn the_flags_are_those_of_the_specification() {
    // virtio 1.2, 2.8.1 "Driver and Device Ring Wrap Counters".
    assert_eq!((AVAILABLE, USED), (1 << 7, 1 << 15));
    assert_eq!(available_flags(Place::START), AVAILABLE);
    assert_eq!(available_flags(Place(0)), USED);
    assert_eq!((used_flags(Place::START), used_flags(Place(0))), (AVAILABLE | USED, 0));
}

/// Chains of all lengths, so that they begin and end everywhere, over the end of the ring too; returned in reverse.
#[test]
fn chains_are_taken_over_the_end_of_the_ring_and_returned_out_of_order() {
    for size in [4, 5, 7, 8] {
        let table = table();
        driver(&table, LAYOUT, size);
        let mut side = Side::new(&table, LAYOUT, size);
        let (mut available, mut used) = (Place::START, Place::START);
        for round in 0..60_u16 {
            let (first, second) = (1 + round % 3, (size - 3).min(1 + round % 2));
            let pieces = [(3_u32, 0_u16), (4, WRITE), (5, WRITE)];
            let after = put_chain(&table, size, available, 2 * round, &pieces[..usize::from(first)]);
            available = put_chain(&table, size, after, 2 * round + 1, &pieces[..usize::from(second)]);
            let (one, readable, writable) = side.take().unwrap().unwrap();
            assert_eq!((readable, writable), (3, [0, 4, 9][usize::from(first) - 1]));
            let (two, ..) = side.take().unwrap().unwrap();
            assert_eq!((one.id, one.descriptors), (2 * round, first));
            assert_eq!((two.id, two.descriptors), (2 * round + 1, second));
            assert_eq!(side.take(), Ok(None));
            side.publish(&[(two, 9), (one, 0)]);
            // The driver sees each where the chain before it ends, by that chain's number of descriptors.
            for (taken, bytes) in [(two, 9), (one, 0)] {
                let ring = ring(&table, size);
                assert!(ring.is_used(used).unwrap(), "{size} {round}");
                let seen = ring.descriptor(used).unwrap();
                assert_eq!((seen.id, seen.bytes, seen.flags & WRITE != 0), (taken.id, bytes, bytes > 0));
                used = used.advanced(taken.descriptors, size);
            }
            assert_eq!((side.taken.at(), side.given), (available.0, used.0));
        }
    }
}

#[test]
fn a_descriptor_with_other_flags_is_not_taken() {
    // With wrap counter 1, only AVAILABLE without USED means that the descriptor is available.
    for flags in [0, USED, USED | AVAILABLE, NEXT, INDIRECT | USED] {
        let table = table();
        put_descriptor(&table, SIZE, Place::START, GUEST, 16, 0, flags);
        assert_eq!(take(&table), Ok(None), "{flags:#x}");
        // With wrap counter 0, only USED without AVAILABLE does.
        let mut second = Cursor::new(0);
        let taken = device(&table, LAYOUT, SIZE).take(&mut second, &mut Chain::default());
        let is_available = flags & (USED | AVAILABLE) == USED && flags & INDIRECT == 0;
        assert_eq!(taken.is_ok_and(|taken| taken.is_some()), is_available, "{flags:#x}");
    }
}

#[test]
fn what_a_hostile_driver_puts_into_a_ring_has_its_own_error() {
    type Script = fn(&Table);
    let rows: &[(&str, Script)] = &[
        ("the chain at descriptor 0 does not end within the ring", |t| {
            put_chain(t, SIZE, Place::START, 0, &[(1, NEXT); 8]);
        }),
        ("flags 0x84, which were not offered", |t| {
            put_descriptor(t, SIZE, Place::START, GUEST, 16, 0, INDIRECT | AVAILABLE);
        }),
        ("a readable buffer after a writable one", |t| {
            put_chain(t, SIZE, Place::START, 0, &[(1, WRITE), (1, 0)]);
        }),
        ("guest address 0x0 are not within", |t| put_descriptor(t, SIZE, Place::START, 0, 1, 0, AVAILABLE)),
        ("guest address 0x110000 are not within", |t| {
            put_descriptor(t, SIZE, Place::START, GUEST, u32::MAX, 0, AVAILABLE);
        }),
        ("guest address 0xffffffffffffffff are not within", |t| {
            put_descriptor(t, SIZE, Place::START, u64::MAX, u32::MAX, 0, AVAILABLE);
        }),
    ];
    for (why, script) in rows {
        let table = table();
        script(&table);
        let error = take(&table).unwrap_err().to_string();
        assert!(error.contains(why), "{error}, not {why}");
    }
}

#[test]
fn a_base_outside_of_the_ring_is_an_error() {
    let table = table();
    let device = device(&table, LAYOUT, SIZE);
    for at in [8, 0x7fff, 0x8008, 0xffff] {
        let base = RingError::Base { index: at & 0x7fff, size: SIZE };
        assert_eq!(device.take(&mut Cursor::new(at), &mut Chain::default()), Err(base.clone()));
        let taken = Taken { head: 0, id: 0, descriptors: 1 };
        assert_eq!(device.publish(at, &[(taken, 0)]), Err(base));
        device.fetch(Cursor::new(at), 64, Access::Read);
    }
}

#[test]
fn what_a_hostile_device_puts_into_a_ring_has_its_own_error() {
    for (why, id, bytes, flags) in [
        ("returns buffer 2, which", 2, 0, WRITE),
        ("returns buffer 8, which", 8, 0, 0),
        ("returns buffer 65535, which", u16::MAX, 0, 0),
        ("claims 65 bytes in buffer 1 of 64", 1, 65, WRITE),
        ("claims 4294967295 bytes", 1, u32::MAX, WRITE),
    ] {
        let table = table();
        let mut driver = driver(&table, LAYOUT, SIZE);
        for _ in 0..2 {
            let id = driver.free_id().unwrap();
            driver.offer(id, GUEST, 64, true).unwrap();
        }
        put_descriptor(&table, SIZE, Place::START, GUEST, bytes, id, flags | USED | AVAILABLE);
        let error = driver.take_used().unwrap_err().to_string();
        assert!(error.contains(why), "{error}, not {why}");
    }
}

#[test]
fn a_buffer_that_comes_back_twice_is_noticed() {
    let table = table();
    let mut driver = driver(&table, LAYOUT, SIZE);
    for _ in 0..2 {
        let id = driver.free_id().unwrap();
        driver.offer(id, GUEST, 64, true).unwrap();
    }
    for index in 0..2 {
        put_descriptor(&table, SIZE, Place::START.advanced(index, SIZE), GUEST, 9, 0, USED | AVAILABLE);
    }
    // Without WRITE, the length has no meaning.
    assert_eq!(driver.take_used().unwrap(), Some(Used { id: 0, bytes: 0 }));
    assert_eq!(driver.take_used(), Err(RingError::NeverOffered(0)));
}

proptest! {
    /// Any contents of a ring: there is no panic, the chain ends, and every piece is within the region.
    #[test]
    fn no_contents_of_a_ring_lead_outside_of_memory(
        bytes in prop::collection::vec(any::<u8>(), 16 * 8), at: u16, size in 1..=SIZE,
    ) {
        let table = table();
        table.user(AT.descriptors, 128).unwrap().write_slice(&bytes, 0).unwrap();
        let mut chain = Chain::default();
        let mut cursor = Cursor::new(at);
        if let Ok(Some(taken)) = device(&table, LAYOUT, size).take(&mut cursor, &mut chain) {
            prop_assert!(taken.descriptors <= size && Place(cursor.at()).index() < size);
            prop_assert!(chain.readable_bytes() + chain.writable_bytes() <= usize::from(size) * usize::try_from(BYTES).unwrap());
        }
    }

    /// Chains that are almost valid.
    #[test]
    fn no_chain_is_followed_for_ever(
        pieces in prop::collection::vec((0..200_u32, 0..4_u16), 1..12), start in 0..SIZE,
    ) {
        let table = table();
        let place = Place::START.advanced(start, SIZE);
        put_chain(&table, SIZE, place, 0, &pieces);
        let mut side = Side::new(&table, LAYOUT, SIZE);
        side.taken = Cursor::new(place.0);
        for _ in 0..=SIZE {
            if !matches!(side.take(), Ok(Some(_))) {
                break;
            }
        }
    }

    #[test]
    fn no_device_returns_more_than_it_has(bytes in prop::collection::vec(any::<u8>(), 16 * 8), offered in 0..=SIZE) {
        let table = table();
        let mut driver = driver(&table, LAYOUT, SIZE);
        for _ in 0..offered {
            let id = driver.free_id().unwrap();
            driver.offer(id, GUEST, 64, true).unwrap();
        }
        table.user(AT.descriptors, 128).unwrap().write_slice(&bytes, 0).unwrap();
        let mut taken = 0;
        while let Ok(Some(used)) = driver.take_used() {
            prop_assert!(used.bytes <= 64 && used.id < offered);
            taken += 1;
        }
        prop_assert!(taken <= offered);
    }
}
