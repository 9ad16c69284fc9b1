//! Both roles with peers that misbehave in packed rings and in indirect tables.

use hugeprobe::exchange::message::{Payload, Request, VringState, feature};
use hugeprobe::exchange::ring::Layout;
use hugeprobe::exchange::table::Pages;

use super::backend::{against, hang_up};
use super::frontend::{self, against_with};
use super::script::{AVAILABLE, Frontend, Script, one_packed_frame};
use super::*;

/// VIRTQ_DESC_F_NEXT, VIRTQ_DESC_F_WRITE, VIRTQ_DESC_F_INDIRECT and VIRTQ_DESC_F_USED.
const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;
const USED: u16 = 1 << 15;

/// Makes a receive buffer available, so that the backend looks at the transmit queue.
fn receive_buffer(f: &mut Frontend) {
    f.packed(0, 0, GUEST + 0x8000, 2048, 0, AVAILABLE | WRITE);
}

#[test]
fn the_backend_has_an_outcome_for_every_packed_ring() {
    let _one = one_at_a_time();
    let rows: &[(&str, &str, Script)] = &[
        ("a frame", "Closed", |f| {
            f.packed_rings(0);
            one_packed_frame(f);
            for index in [0, 1] {
                let state = VringState { index, num: 0 };
                let base = f.ask(Request::GetVringBase, Payload::Vring(state), &[]);
                assert_eq!(base, Some(Payload::Vring(VringState { index, num: 0x8001_8001 })));
            }
            hang_up(f);
        }),
        ("the base of virtio_user, whose upper half is 0", "Abandoned", |f| {
            f.rings_with(feature::RING_PACKED, 8, 0x8000);
            one_packed_frame(f);
            hang_up(f);
        }),
        ("a ring of 7", "Abandoned", |f| {
            f.rings_with(feature::RING_PACKED, 7, 0x8000_8000);
            one_packed_frame(f);
            hang_up(f);
        }),
        ("a ring of 65536", "a packed vring of 65536 descriptors", |f| {
            f.negotiate_with(feature::RING_PACKED);
            f.vring(Request::SetVringNum, 0, 65536);
        }),
        ("a base that is not in the ring", "vring 1: the base of the vring is descriptor 8 of 8", |f| {
            f.rings_with(feature::RING_PACKED, 8, 0x8008_8008);
        }),
        ("a base to return at that is not in the ring", "the base of the vring is descriptor 8 of 8", |f| {
            f.rings_with(feature::RING_PACKED, 8, 0x8008_8000);
            receive_buffer(f);
            f.packed(1, 0, GUEST + 0xa000, 76, 0, AVAILABLE);
        }),
        ("packed features under a split ring of 3", "vring 0: a vring of 3 descriptors", |f| {
            f.rings_with(feature::RING_PACKED, 3, 0x8000_8000);
            f.send(Request::SetFeatures, Payload::U64(super::script::SPLIT), &[]);
        }),
        ("a chain that never ends", "vring 1: the chain at descriptor 0 does not end within the ring", |f| {
            f.packed_rings(0);
            receive_buffer(f);
            for index in (0..8).rev() {
                f.packed(1, index, GUEST, 0, 0, AVAILABLE | NEXT);
            }
        }),
        ("a buffer anywhere", "vring 1: 64 bytes at guest address 0xdead are not within", |f| {
            f.packed_rings(0);
            receive_buffer(f);
            f.packed(1, 0, 0xdead, 64, 0, AVAILABLE);
        }),
        ("a buffer of 4 GiB", "bytes at guest address 0x40100000 are not within", |f| {
            f.packed_rings(0);
            receive_buffer(f);
            f.packed(1, 0, GUEST, u32::MAX, 0, AVAILABLE);
        }),
        ("a buffer of no bytes", "vring 1: the chain at descriptor 0 has 0 bytes, fewer than 12", |f| {
            f.packed_rings(0);
            receive_buffer(f);
            f.packed(1, 0, GUEST, 0, 0, AVAILABLE);
        }),
        ("a frame of a megabyte", "has 1048576 bytes, more than 65562", |f| {
            f.packed_rings(0);
            receive_buffer(f);
            f.packed(1, 0, GUEST, 1 << 20, 0, AVAILABLE);
        }),
        (
            "a readable buffer after a writable one",
            "vring 1: the chain at descriptor 0 has a readable",
            |f| {
                f.packed_rings(0);
                receive_buffer(f);
                f.packed(1, 1, GUEST, 64, 0, AVAILABLE);
                f.packed(1, 0, GUEST, 64, 0, AVAILABLE | NEXT | WRITE);
            },
        ),
        ("a receive buffer without room", "vring 0: the chain at descriptor 0 has 4 bytes", |f| {
            f.packed_rings(0);
            f.packed(0, 0, GUEST + 0x8000, 4, 0, AVAILABLE | WRITE);
            f.packed(1, 0, GUEST, 64, 0, AVAILABLE);
        }),
        ("flags of the wrong round", "Deadline", |f| {
            f.packed_rings(0);
            receive_buffer(f);
            f.packed(1, 0, 0xdead, 64, 0, USED);
        }),
        ("flags of both sides at once", "Deadline", |f| {
            f.packed_rings(0);
            receive_buffer(f);
            f.packed(1, 0, 0xdead, 64, 0, AVAILABLE | USED);
        }),
        ("event suppression with a descriptor, which was not offered", "Abandoned", |f| {
            f.packed_rings(0);
            for ring in [0, 1] {
                f.put(ring * 0x4000 + 0x1000, &[0xff, 0x7f, 2, 0]);
            }
            one_packed_frame(f);
            hang_up(f);
        }),
        ("a ring at an address of 8 and an event area at one of 2", "is not aligned to 4", |f| {
            f.negotiate_with(feature::RING_PACKED);
            let fd = f.memory.try_clone().unwrap();
            f.table(vec![region()], &[fd]);
            f.vring(Request::SetVringNum, 0, 8);
            let at = hugeprobe::exchange::message::VringAddresses {
                index: 0,
                flags: 0,
                descriptors: USER,
                available: USER + 0x1002,
                used: USER + 0x2000,
                log: 0,
            };
            f.send(Request::SetVringAddr, Payload::Addresses(at), &[]);
        }),
        ("memory replaced by some without the rings", "vring 0: 128 bytes at user address", |f| {
            f.packed_rings(0);
            f.table(vec![MemoryRegion { user: 0, ..region() }], &[memfd(BYTES)]);
        }),
        // Indirect tables.
        ("an indirect table that was not negotiated", "flags 0x84, which were not offered", |f| {
            f.packed_rings(0);
            receive_buffer(f);
            f.packed(1, 0, GUEST + 0xb000, 16, 0, AVAILABLE | INDIRECT);
        }),
        ("an indirect table of one frame", "Abandoned", |f| {
            f.packed_rings(feature::INDIRECT_DESC);
            f.packed(1, 0, 0, 0, 0, 0);
            // The table lies at 0xb000: a header of 12 bytes, and the frame after it.
            for (entry, (at, bytes)) in [(0xa000_u64, 12_u32), (0xa00c, 64)].into_iter().enumerate() {
                let fields = [&(GUEST + at).to_le_bytes()[..], &bytes.to_le_bytes(), &[0; 4]].concat();
                f.put(0xb000 + 16 * entry as u64, &fields);
            }
            f.put(0xa000, &[7; 76]);
            receive_buffer(f);
            f.packed(1, 0, GUEST + 0xb000, 32, 0, AVAILABLE | INDIRECT);
            super::script::wait_for_the_frame(f);
            hang_up(f);
        }),
        ("an indirect table of a part of a descriptor", "table of descriptor 0 has 17 bytes", |f| {
            f.packed_rings(feature::INDIRECT_DESC);
            receive_buffer(f);
            f.packed(1, 0, GUEST + 0xb000, 17, 0, AVAILABLE | INDIRECT);
        }),
        ("an indirect table of 4 GiB", "table of descriptor 0 has 4294967280 bytes", |f| {
            f.packed_rings(feature::INDIRECT_DESC);
            receive_buffer(f);
            f.packed(1, 0, GUEST, u32::MAX - 15, 0, AVAILABLE | INDIRECT);
        }),
        (
            "long indirect tables of one byte under one frame",
            "vring 0: the chains up to the one at descriptor 64",
            |f| {
                f.rings_with(feature::RING_PACKED | feature::INDIRECT_DESC, 128, 0x8000_8000);
                // 1024 descriptors of no bytes, except the last, which has one byte more than the header.
                for entry in 0..1024_u64 {
                    let bytes = if entry == 1023 { 13_u32 } else { 0 };
                    let fields = [
                        &(GUEST + 0x8000).to_le_bytes()[..],
                        &bytes.to_le_bytes(),
                        &[0; 2],
                        &WRITE.to_le_bytes(),
                    ]
                    .concat();
                    f.put(0xb000 + 16 * entry, &fields);
                }
                f.packed(1, 0, GUEST + 0x2_0000, 1400, 0, AVAILABLE);
                for index in (0..128).rev() {
                    f.packed(0, index, GUEST + 0xb000, 16 * 1024, 0, AVAILABLE | INDIRECT);
                }
            },
        ),
        ("an indirect table in a split ring with a loop", "a chain that does not end in the table", |f| {
            f.rings_with(feature::INDIRECT_DESC, 8, 0);
            f.available(0, 1, 0);
            let fields =
                [&GUEST.to_le_bytes()[..], &0_u32.to_le_bytes(), &NEXT.to_le_bytes(), &[0; 2]].concat();
            f.put(0xb000, &fields);
            f.descriptor(1, 0, GUEST + 0xb000, 16, INDIRECT, 0);
            f.available(1, 1, 0);
        }),
    ];
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|(name, expected, script)| {
            try_row(name, expected, |time| against(Pages::Any, *script, time)).err()
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_frontend_has_an_outcome_for_every_packed_ring() {
    let _one = one_at_a_time();
    let rows: &[(&str, &str, frontend::Script)] = &[
        ("offers no packed ring", "does not offer packed rings (VIRTIO_F_RING_PACKED)", |b| {
            b.features &= !feature::RING_PACKED;
            b.obey_until(Request::ResetOwner);
        }),
        ("never moves a frame", "0 of 0, [2147516416, 2147516416]", |b| {
            b.started();
            b.obey_until(Request::GetVringBase);
            for index in [0, 1] {
                let base = VringState { index, num: 0x8000_8000 };
                b.answer(Request::GetVringBase, Payload::Vring(base), &[]);
                b.obey_until(Request::GetVringBase);
            }
        }),
        ("a buffer that it never had", "vring 0: the used ring returns buffer 8", |b| {
            b.started();
            b.use_up_packed(0, 8, 64, AVAILABLE | USED | WRITE);
            b.stay();
        }),
        ("more bytes than the buffer has", "claims 2049 bytes in buffer 0 of 2048", |b| {
            b.started();
            b.use_up_packed(0, 0, 2049, AVAILABLE | USED | WRITE);
            b.stay();
        }),
        ("a frame without a header", "vring 0: the chain at descriptor 0 has 3 bytes, fewer than 12", |b| {
            b.started();
            b.use_up_packed(0, 0, 3, AVAILABLE | USED | WRITE);
            b.stay();
        }),
        ("a buffer that it has not written", "vring 0: the chain at descriptor 0 has 0 bytes, fewer", |b| {
            b.started();
            b.use_up_packed(0, 0, 2048, AVAILABLE | USED);
            b.stay();
        }),
        ("dies while frames are under way", "the peer closed the connection", |b| {
            b.started();
            b.hang_up();
        }),
    ];
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|(name, expected, script)| {
            try_row(name, expected, |time| against_with(Layout::Packed, *script, time)).err()
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
