//! Tests of memory tables from a hostile peer, and of addresses in valid ones.

use std::fs::File;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::ftruncate;
use proptest::prelude::*;
use vm_memory::Bytes as _;

use super::*;

const MIB: u64 = 1 << 20;

fn memfd(bytes: u64) -> OwnedFd {
    let fd = memfd_create(c"test", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap();
    ftruncate(&fd, bytes.try_into().unwrap()).unwrap();
    fd
}

fn region(guest: u64, bytes: u64, user: u64, offset: u64) -> MemoryRegion {
    MemoryRegion { guest, bytes, user, offset }
}

fn good() -> MemoryRegion {
    region(0x1000_0000, MIB, 0x7000_0000_0000, 0)
}

fn refuse(given: &[MemoryRegion], fds: Vec<OwnedFd>, pages: Pages) -> String {
    Table::new(given, fds, pages).unwrap_err().to_string()
}

#[test]
fn what_is_wrong_with_a_table_is_named() {
    let far = region(0x2000_0000, MIB, 0x7100_0000_0000, 0);
    let many: Vec<_> = (0..9).map(|n| region(n * MIB, MIB, n * MIB, 0)).collect();
    let rows: Vec<(&str, Vec<MemoryRegion>)> = vec![
        ("region 0 is empty", vec![MemoryRegion { bytes: 0, ..good() }]),
        ("more than 8 regions", many),
        (
            "its guest address 0x10000001 is not a multiple",
            vec![MemoryRegion { guest: 0x1000_0001, ..good() }],
        ),
        ("its user address 0x5 is not a multiple", vec![MemoryRegion { user: 5, ..good() }]),
        ("its offset 0x800 is not a multiple", vec![MemoryRegion { offset: 0x800, ..good() }]),
        ("its length 0xfff is not a multiple", vec![MemoryRegion { bytes: 0xfff, ..good() }]),
        (
            "its guest address 0xfffffffffffff000 and",
            vec![MemoryRegion { guest: u64::MAX - 0xfff, ..good() }],
        ),
        ("its user address 0xfffffffffffff000 and", vec![MemoryRegion { user: u64::MAX - 0xfff, ..good() }]),
        ("its offset 0xfffffffffffff000 and", vec![MemoryRegion { offset: u64::MAX - 0xfff, ..good() }]),
        (
            "regions 0 and 1 overlap in guest",
            vec![good(), MemoryRegion { guest: good().guest + MIB - 4096, ..far }],
        ),
        (
            "regions 0 and 1 overlap in guest",
            vec![good(), MemoryRegion { guest: good().guest - MIB + 4096, ..far }],
        ),
        ("regions 0 and 1 overlap in user", vec![good(), MemoryRegion { user: good().user, ..far }]),
        (
            "it ends at 0x101000 of its file, which has 0x100000",
            vec![MemoryRegion { offset: 4096, ..good() }],
        ),
        ("which has 0x100000 bytes", vec![MemoryRegion { bytes: 1 << 47, ..good() }]),
    ];
    for (why, given) in rows {
        let fds = given.iter().map(|_| memfd(MIB)).collect();
        let error = refuse(&given, fds, Pages::Any);
        assert!(error.contains(why), "{error}, not {why}");
    }
    assert!(refuse(&[good()], vec![], Pages::Any).contains("1 regions with 0 descriptors"));
    assert!(refuse(&[good()], vec![memfd(MIB), memfd(MIB)], Pages::Any).contains("1 regions with 2"));
}

#[test]
fn a_descriptor_that_is_no_file_of_huge_pages_is_refused() {
    let two = PageSize::from_bytes(2 << 20).unwrap();
    let null = || OwnedFd::from(File::options().read(true).write(true).open("/dev/null").unwrap());
    let pipe = || OwnedFd::from(std::io::pipe().unwrap().0);
    for pages in [Pages::Any, Pages::Huge, Pages::Of(two)] {
        assert!(refuse(&[good()], vec![null()], pages).contains("not a regular file"));
        assert!(refuse(&[good()], vec![pipe()], pages).contains("not a regular file"));
    }
    for pages in [Pages::Huge, Pages::Of(two)] {
        let error = refuse(&[good()], vec![memfd(MIB)], pages);
        assert_eq!(error, "region 0: its file is not on hugetlbfs, its pages are of 4096 bytes");
    }
}

#[test]
fn a_file_that_may_not_be_written_is_refused_by_mmap() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(MIB).unwrap();
    let read_only = OwnedFd::from(File::open(file.path()).unwrap());
    assert!(refuse(&[good()], vec![read_only], Pages::Any).contains("mmap: EACCES"));
}

#[test]
fn addresses_are_translated_within_regions_alone() {
    let next = region(good().guest + MIB, MIB, 0x7200_0000_0000, MIB);
    // The regions of a table may come in any order.
    let table = Table::new(&[next, good()], vec![memfd(2 * MIB), memfd(MIB)], Pages::Any).unwrap();
    let at = |address, bytes| table.user(address, bytes).map(|slice| slice.len());
    assert_eq!(at(good().user, 16), Ok(16));
    assert_eq!(at(good().user + MIB - 16, 16), Ok(16));
    for (address, bytes) in [
        (good().user + MIB - 15, 16),
        (good().user - 1, 16),
        (good().user + MIB, 1),
        (0, 1),
        (u64::MAX, 2),
        (good().user, usize::MAX),
    ] {
        assert_eq!(at(address, bytes).unwrap_err(), Outside { space: "user", address, bytes: bytes as u64 });
    }
    let guest = |address, bytes| table.guest(address, bytes).map(|slice| slice.len());
    assert_eq!(guest(good().guest + MIB - 8, 16), Ok(8), "the rest is in the next region");
    assert_eq!(guest(good().guest + MIB, 8), Ok(8));
    assert!(guest(good().guest + 2 * MIB, 1).is_err() && guest(good().guest - 1, 1).is_err());
    assert!(guest(u64::MAX, usize::MAX).is_err());
}

#[test]
fn a_region_within_its_file_sees_the_bytes_at_its_offset() {
    let fd = memfd(4 * MIB);
    let file = File::from(fd.try_clone().unwrap());
    std::os::unix::fs::FileExt::write_all_at(&file, b"here", MIB + 4096).unwrap();
    let table = Table::new(&[MemoryRegion { offset: MIB + 4096, ..good() }], vec![fd], Pages::Any).unwrap();
    let mut seen = [0; 4];
    table.guest(good().guest, 4).unwrap().read_slice(&mut seen, 0).unwrap();
    assert_eq!(&seen, b"here");
}

#[test]
fn regions_come_and_go() {
    let mut table = Table::default();
    table.add(good(), vec![memfd(MIB)], Pages::Any).unwrap();
    assert!(table.add(good(), vec![memfd(MIB)], Pages::Any).unwrap_err().to_string().contains("overlap"));
    let far = region(0x2000_0000, MIB, 0x7100_0000_0000, 0);
    assert!(table.add(far, vec![], Pages::Any).unwrap_err().to_string().contains("0 descriptors"));
    table.add(far, vec![memfd(MIB)], Pages::Any).unwrap();
    assert!(table.user(far.user, 1).is_ok());
    assert!(table.remove(&MemoryRegion { bytes: 2 * MIB, ..far }).is_err());
    table.remove(&MemoryRegion { offset: 4096, ..far }).unwrap();
    assert!(table.user(far.user, 1).is_err() && table.user(good().user, 1).is_ok());
}

#[test]
fn a_file_that_shrinks_is_noticed_and_a_sealed_one_cannot() {
    let fd = memfd(MIB);
    let table = Table::new(&[good()], vec![fd.try_clone().unwrap()], Pages::Any).unwrap();
    table.check_files().unwrap();
    ftruncate(&fd, 4096).unwrap();
    assert!(table.check_files().unwrap_err().to_string().contains("which has 0x1000 bytes"));
    let fd = memfd(MIB);
    fcntl(&fd, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK)).unwrap();
    let table = Table::new(&[good()], vec![fd.try_clone().unwrap()], Pages::Any).unwrap();
    assert!(table.regions()[0].facts().is_sealed && ftruncate(&fd, 0).is_err());
}

proptest! {
    #[test]
    fn no_table_panics_and_what_is_taken_is_disjoint(
        given in prop::collection::vec((0..5_u64, 0..3_u64, 0..5_u64, 0..3_u64), 0..10),
    ) {
        let given: Vec<_> = given
            .into_iter()
            .map(|(guest, bytes, user, offset)| region(guest * 4096, bytes * 4096, user * 4096, offset * 4096))
            .collect();
        let fds = given.iter().map(|_| memfd(4 * 4096)).collect();
        if let Ok(table) = Table::new(&given, fds, Pages::Any) {
            for page in 0..16 {
                let of = |base: fn(&MemoryRegion) -> u64| {
                    given.iter().filter(|region| (base(region)..base(region) + region.bytes).contains(&(page * 4096))).count()
                };
                prop_assert_eq!(of(|region| region.user), usize::from(table.user(page * 4096, 4096).is_ok()));
                prop_assert_eq!(of(|region| region.guest), usize::from(table.guest(page * 4096, 4096).is_ok()));
            }
        }
    }

    #[test]
    fn no_numbers_panic(given in any::<[u64; 4]>(), address: u64, bytes: usize) {
        let [guest, length, user, offset] = given;
        let _ = Table::new(&[region(guest, length, user, offset)], vec![memfd(4096)], Pages::Any);
        let table = Table::new(&[good()], vec![memfd(MIB)], Pages::Any).unwrap();
        if let Ok(slice) = table.user(address, bytes) {
            prop_assert_eq!(slice.len(), bytes);
        }
        let _ = table.guest(address, bytes);
    }
}
