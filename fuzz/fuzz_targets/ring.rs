//! A ring with the content of a hostile driver, read by the device's side, and one with the content of a hostile
//! device, read by the driver's side, in both layouts. The ring is overwritten repeatedly, so that indices jump and
//! descriptors change.
#![no_main]

use std::os::fd::OwnedFd;

use hugeprobe::exchange::message::{MemoryRegion, VringAddresses, feature};
use hugeprobe::exchange::ring::{Chain, Cursor, Device, Driver, Layout, Parts};
use hugeprobe::exchange::table::{Pages, Table};
use hugeprobe::linux::map::Access;
use libfuzzer_sys::fuzz_target;

const GUEST: u64 = 0x1000;
const USER: u64 = 0x7000_0000_0000;
const BYTES: u64 = 0x8000;
const AT: VringAddresses = VringAddresses {
    index: 0,
    flags: 0,
    descriptors: USER,
    available: USER + 0x1000,
    used: USER + 0x2000,
    log: 0,
};
/// A layout, a size that is legal for it, and the features of the device's side.
const RINGS: [(Layout, u16, u64); 3] = [
    (Layout::Split, 8, feature::INDIRECT_DESC),
    (Layout::Packed, 8, feature::RING_PACKED),
    (Layout::Packed, 7, feature::RING_PACKED | feature::INDIRECT_DESC),
];

thread_local! {
    static TABLE: Option<Table> = table();
}

fn table() -> Option<Table> {
    let fd: OwnedFd = nix::sys::memfd::memfd_create(c"ring", nix::sys::memfd::MFdFlags::MFD_CLOEXEC).ok()?;
    nix::unistd::ftruncate(&fd, BYTES.cast_signed()).ok()?;
    Table::new(&[MemoryRegion { guest: GUEST, bytes: BYTES, user: USER, offset: 0 }], vec![fd], Pages::Any)
        .ok()
}

fn parts(table: &Table, layout: Layout, size: u16) -> Option<Parts<'_>> {
    Some(Parts {
        descriptors: table.user(AT.descriptors, 16 * usize::from(size)).ok()?,
        available: table.user(AT.available, layout.available_bytes(size)).ok()?,
        used: table.user(AT.used, layout.used_bytes(size)).ok()?,
    })
}

/// Writes `bytes` over the three parts of the ring, as far as they reach.
fn overwrite(parts: &Parts<'_>, bytes: &[u8]) {
    let mut rest = bytes;
    for part in [&parts.descriptors, &parts.available, &parts.used] {
        let (bytes, after) = rest.split_at(rest.len().min(part.len()));
        part.copy_from(bytes);
        rest = after;
    }
}

/// Returns the number of bytes that a side writes at once.
fn bytes_of(parts: &Parts<'_>) -> usize {
    parts.descriptors.len() + parts.available.len() + parts.used.len()
}

/// The device's side: reads, writes and returns every chain that can be taken.
fn device(table: &Table, (layout, size, features): (Layout, u16, u64), bytes: &[u8]) -> Option<()> {
    let parts = parts(table, layout, size)?;
    for part in [&parts.descriptors, &parts.available, &parts.used] {
        part.copy_from(&vec![0_u8; part.len()]);
    }
    let device = Device::new(table, size, &AT, features).ok()?;
    let (mut cursor, mut given) = (Cursor::new(layout.start()), layout.start());
    let (mut chain, mut frame) = (Chain::default(), [0_u8; 2048]);
    for round in bytes.chunks(bytes_of(&parts)) {
        overwrite(&parts, round);
        device.fetch(cursor, size, if round[0] & 1 == 0 { Access::Read } else { Access::Write });
        for _ in 0..size {
            let Some(taken) = device.take(&mut cursor, &mut chain).ok()? else { break };
            assert!(taken.head < size && (1..=size).contains(&taken.descriptors));
            assert!(chain.read(0, &mut frame) <= chain.readable_bytes());
            // This may overwrite the ring itself, if the driver points there.
            let written = chain.write(1, round);
            assert!(written <= chain.writable_bytes());
            let used = [(taken, u32::try_from(written).ok()?)];
            (given, _) = device.publish(given, &used).expect("the position is in the ring");
        }
    }
    Some(())
}

/// The driver's side: no buffer may be returned that was not offered, or with a length greater than its own.
fn driver(table: &Table, (layout, size, _): (Layout, u16, u64), bytes: &[u8]) -> Option<()> {
    const LENGTH: u32 = 64;
    let parts = parts(table, layout, size)?;
    let mut driver = Driver::new(parts, size, layout).ok()?;
    for round in bytes.chunks(bytes_of(&parts)) {
        while let Some(id) = driver.free_id() {
            driver.offer(id, GUEST + 0x4000, LENGTH, true).ok()?;
        }
        driver.publish().ok()?;
        overwrite(&parts, round);
        for _ in 0..=size {
            let Some(used) = driver.take_used().ok()? else { break };
            assert!(used.id < size && used.bytes <= LENGTH);
            driver.give_back(used.id);
        }
        assert!(driver.in_flight() <= size);
    }
    Some(())
}

fuzz_target!(|bytes: &[u8]| {
    TABLE.with(|table| {
        let table = table.as_ref().expect("a memfd, mapped");
        for ring in RINGS {
            let _ = device(table, ring, bytes);
            let _ = driver(table, ring, bytes);
        }
    });
});
