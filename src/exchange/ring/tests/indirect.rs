//! Indirect tables, in both layouts.

use super::super::packed::AVAILABLE;
use super::*;

const TABLE: u64 = 0x4000;

/// Makes one descriptor available, at the start of the ring, which refers to a table at [`TABLE`].
fn refer(table: &Table, layout: Layout, bytes: u32, flags: u16) {
    let flags = flags | INDIRECT;
    let (third, fourth) = match layout {
        Layout::Split => (flags, 0_u16),
        Layout::Packed => (7, flags | AVAILABLE),
    };
    put_entry(table, USER, (GUEST + TABLE, bytes, third, fourth));
    if layout == Layout::Split {
        put(table, AT.available + 2, 1_u16.to_le_bytes());
    }
}

/// Writes a descriptor with the four fields that both layouts have.
fn put_entry(table: &Table, at: u64, (address, bytes, third, fourth): (u64, u32, u16, u16)) {
    put(table, at, address.to_le_bytes());
    put(table, at + 8, bytes.to_le_bytes());
    put(table, at + 12, third.to_le_bytes());
    put(table, at + 14, fourth.to_le_bytes());
}

/// Writes entry `index` of the table.
fn put_indirect(table: &Table, layout: Layout, index: u16, bytes: u32, flags: u16, next: u16) {
    let (third, fourth) = if layout == Layout::Split { (flags, next) } else { (next, flags) };
    put_entry(table, USER + TABLE + 16 * u64::from(index), (GUEST, bytes, third, fourth));
}

fn take(table: &Table, layout: Layout) -> Result<(Taken, Vec<usize>, Vec<usize>), RingError> {
    let device = Device::new(table, SIZE, &AT, features(layout) | feature::INDIRECT_DESC).unwrap();
    let mut chain = Chain::default();
    let taken = device.take(&mut Cursor::new(layout.start()), &mut chain)?.unwrap();
    assert_eq!(chain.descriptors, 1, "a table takes one descriptor of the ring");
    Ok((taken, lengths(&chain.readable), lengths(&chain.writable)))
}

#[test]
fn the_buffers_of_a_table_are_those_of_the_chain() {
    for (layout, _) in RINGS {
        let table = table();
        // WRITE of the descriptor that refers to the table has no meaning.
        refer(&table, layout, 3 * 16, WRITE);
        put_indirect(&table, layout, 0, 1, NEXT, 1);
        put_indirect(&table, layout, 1, 2, NEXT | WRITE, 2);
        put_indirect(&table, layout, 2, 3, WRITE, 0);
        let (taken, readable, writable) = take(&table, layout).unwrap();
        assert_eq!((readable, writable), (vec![1], vec![2, 3]), "{layout:?}");
        assert_eq!(taken.id, if layout == Layout::Split { 0 } else { 7 });
    }
}

#[test]
fn what_is_wrong_with_a_table_has_its_own_error() {
    type Script = fn(&Table, Layout);
    let both = &[Layout::Split, Layout::Packed][..];
    let split = &[Layout::Split][..];
    let rows: &[(&str, &[Layout], Script)] = &[
        ("table of descriptor 0 has 0 bytes", both, |t, l| refer(t, l, 0, 0)),
        ("table of descriptor 0 has 17 bytes", both, |t, l| refer(t, l, 17, 0)),
        ("table of descriptor 0 has 16400 bytes: not 1 to 1024 descriptors", both, |t, l| {
            refer(t, l, 1025 * 16, 0);
        }),
        ("has 4294967280 bytes", both, |t, l| refer(t, l, u32::MAX - 15, 0)),
        ("descriptor 0 refers to an indirect table, and the chain continues", both, |t, l| {
            refer(t, l, 16, NEXT);
        }),
        ("a readable buffer after a writable one", both, |t, l| {
            refer(t, l, 32, 0);
            put_indirect(t, l, 0, 1, WRITE | NEXT, 1);
            put_indirect(t, l, 1, 1, 0, 0);
        }),
        ("bytes at guest address", both, |t, l| {
            refer(t, l, 16, 0);
            put_indirect(t, l, 0, u32::MAX, 0, 0);
        }),
        ("does not end in the table", split, |t, l| {
            refer(t, l, 16, 0);
            put_indirect(t, l, 0, 1, INDIRECT, 0);
        }),
        ("does not end in the table", split, |t, l| {
            refer(t, l, 32, 0);
            put_indirect(t, l, 0, 1, NEXT, 2);
        }),
        ("does not end in the table", split, |t, l| {
            refer(t, l, 32, 0);
            put_indirect(t, l, 0, 0, NEXT, 1);
            put_indirect(t, l, 1, 0, NEXT, 0);
        }),
    ];
    for (why, layouts, script) in rows {
        for layout in *layouts {
            let table = table();
            script(&table, *layout);
            let error = take(&table, *layout).unwrap_err().to_string();
            assert!(error.contains(why), "{error}, not {why}");
        }
    }
}

#[test]
fn a_table_that_leaves_the_memory_is_an_error() {
    for (layout, _) in RINGS {
        for address in [GUEST + BYTES - 24, GUEST + BYTES - 8, GUEST + BYTES, u64::MAX - 3] {
            let table = table();
            refer(&table, layout, 1024 * 16, 0);
            put(&table, USER, address.to_le_bytes());
            // The first descriptor of the first table is in the memory. In a split ring, it continues at the second.
            if layout == Layout::Split {
                put(&table, USER + BYTES - 12, NEXT.to_le_bytes());
                put(&table, USER + BYTES - 10, 1_u16.to_le_bytes());
            }
            let error = take(&table, layout).unwrap_err().to_string();
            assert!(error.contains("bytes at guest address") && error.contains("not within"), "{error}");
        }
    }
}

proptest! {
    /// Any table: there is no panic, and no more than its descriptors are read.
    #[test]
    fn no_table_is_followed_for_ever(
        entries in prop::collection::vec((0..300_u32, 0..8_u16, 0..10_u16), 1..9), is_packed: bool, bytes in 0..200_u32,
    ) {
        let layout = if is_packed { Layout::Packed } else { Layout::Split };
        let table = table();
        refer(&table, layout, bytes, 0);
        for (index, (bytes, flags, next)) in (0..).zip(&entries) {
            put_indirect(&table, layout, index, *bytes, *flags, *next);
        }
        if let Ok((_, readable, writable)) = take(&table, layout) {
            prop_assert!(readable.len() + writable.len() <= usize::try_from(bytes / 16).unwrap());
        }
    }
}
