//! A ring with the content of a hostile driver, read by the device's side, and one with the content of a hostile
//! device, read by the driver's side. The ring is overwritten repeatedly, so that indices jump and descriptors change.
#![no_main]

use std::os::fd::OwnedFd;

use hugeprobe::exchange::message::{MemoryRegion, VringAddresses};
use hugeprobe::exchange::ring::{Chain, Device, Driver, Parts, available_bytes, used_bytes};
use hugeprobe::exchange::table::{Pages, Table};
use libfuzzer_sys::fuzz_target;

const SIZE: u16 = 8;
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
const DESCRIPTORS: usize = 16 * SIZE as usize;
/// The number of bytes that a side writes at once.
const RING: usize = DESCRIPTORS + available_bytes(SIZE) + used_bytes(SIZE);

thread_local! {
    static TABLE: Option<Table> = table();
}

fn table() -> Option<Table> {
    let fd: OwnedFd = nix::sys::memfd::memfd_create(c"ring", nix::sys::memfd::MFdFlags::MFD_CLOEXEC).ok()?;
    nix::unistd::ftruncate(&fd, BYTES.cast_signed()).ok()?;
    Table::new(&[MemoryRegion { guest: GUEST, bytes: BYTES, user: USER, offset: 0 }], vec![fd], Pages::Any)
        .ok()
}

fn parts(table: &Table) -> Option<Parts<'_>> {
    Some(Parts {
        descriptors: table.user(AT.descriptors, DESCRIPTORS).ok()?,
        available: table.user(AT.available, available_bytes(SIZE)).ok()?,
        used: table.user(AT.used, used_bytes(SIZE)).ok()?,
    })
}

/// Writes `bytes` over the three parts of the ring, as far as they reach.
fn overwrite(parts: &Parts<'_>, bytes: &[u8]) {
    let (descriptors, rest) = bytes.split_at(bytes.len().min(DESCRIPTORS));
    let (available, used) = rest.split_at(rest.len().min(available_bytes(SIZE)));
    for (part, bytes) in
        [(&parts.descriptors, descriptors), (&parts.available, available), (&parts.used, used)]
    {
        part.copy_from(bytes);
    }
}

/// The device's side: reads, writes and returns every chain that can be taken.
fn device(table: &Table, bytes: &[u8]) -> Option<()> {
    let parts = parts(table)?;
    for part in [&parts.descriptors, &parts.available, &parts.used] {
        part.copy_from(&vec![0_u8; part.len()]);
    }
    let device = Device::new(table, SIZE, &AT).ok()?;
    let (mut slot, mut chain, mut frame) = (0_u16, Chain::default(), [0_u8; 2048]);
    for round in bytes.chunks(RING) {
        overwrite(&parts, round);
        let waiting = device.waiting(slot).ok()?;
        assert!(waiting <= SIZE);
        for _ in 0..waiting {
            let head = device.chain(slot, &mut chain).ok()?;
            assert!(head < SIZE);
            assert!(chain.read(0, &mut frame) <= chain.readable_bytes());
            // This may overwrite the ring itself, if the driver points there.
            let written = chain.write(1, round);
            assert!(written <= chain.writable_bytes());
            device.put_used(slot, head, u32::try_from(written).ok()?).ok()?;
            slot = slot.wrapping_add(1);
        }
        device.publish(slot).ok()?;
    }
    Some(())
}

/// The driver's side: no buffer may be returned that was not offered, or with a length greater than its own.
fn driver(table: &Table, bytes: &[u8]) -> Option<()> {
    const LENGTH: u32 = 64;
    let parts = parts(table)?;
    let mut driver = Driver::new(parts, SIZE).ok()?;
    for round in bytes.chunks(RING) {
        while let Some(id) = driver.free_id() {
            driver.offer(id, GUEST + 0x4000, LENGTH, true).ok()?;
        }
        driver.publish().ok()?;
        overwrite(&parts, round);
        for _ in 0..=SIZE {
            let Some(used) = driver.take_used().ok()? else { break };
            assert!(used.id < SIZE && used.bytes <= LENGTH);
            driver.give_back(used.id);
        }
        assert!(driver.in_flight() <= SIZE);
    }
    Some(())
}

fuzz_target!(|bytes: &[u8]| {
    TABLE.with(|table| {
        let table = table.as_ref().expect("a memfd, mapped");
        let _ = device(table, bytes);
        let _ = driver(table, bytes);
    });
});
