//! Legal conversations: the backend serves messages in every order that the specification allows.

use hugeprobe::exchange::message::{MemoryRegion, Payload, Request, VringState, feature, protocol};
use hugeprobe::exchange::table::Pages;

use super::super::script::{SPLIT, one_frame, wait_for_the_frame};
use super::super::*;
use super::{against, hang_up};

#[test]
fn legal_orders_of_messages_are_served() {
    let _one = one_at_a_time();
    // The order of QEMU: vrings enabled before features, call before kick, and kick without a descriptor. Then one
    // frame.
    row("QEMU's order", "Closed", |time| {
        against(
            Pages::Any,
            |f| {
                for index in [0, 1] {
                    f.event(Request::SetVringCall, index, Some(eventfd()));
                    f.event(Request::SetVringErr, index, Some(eventfd()));
                    f.vring(Request::SetVringEnable, index.into(), 1);
                }
                f.send(Request::SetFeatures, Payload::U64(SPLIT), &[]);
                f.send(Request::SetProtocolFeatures, Payload::U64(protocol::REPLY_ACK), &[]);
                for index in [0, 1] {
                    f.addresses(index, USER + u64::from(index) * 0x4000);
                    f.vring(Request::SetVringBase, index, 0);
                    f.event(Request::SetVringKick, u8::try_from(index).unwrap(), None);
                    f.vring(Request::SetVringNum, index, 8);
                }
                let fd = f.memory.try_clone().unwrap();
                f.table(vec![region()], &[fd]);
                one_frame(f);
                for index in [0, 1] {
                    let state = VringState { index, num: 0 };
                    let base = f.ask(Request::GetVringBase, Payload::Vring(state), &[]);
                    assert_eq!(base, Some(Payload::Vring(VringState { index, num: 1 })));
                }
                hang_up(f);
            },
            time,
        )
    });
    row("regions in descending order", "Abandoned", |time| {
        against(
            Pages::Any,
            |f| {
                f.rings();
                let below = MemoryRegion { guest: 0, user: 0, bytes: 4096, offset: 0 };
                let fds = [f.memory.try_clone().unwrap(), memfd(4096)];
                f.table(vec![region(), below], &fds);
                one_frame(f);
                hang_up(f);
            },
            time,
        )
    });
    row("virtio_user's base of 0 after a reconnect", "Closed", |time| {
        against(
            Pages::Any,
            |f| {
                // Five chains were returned before, and the sixth is available.
                for ring in [0, 0x4000] {
                    f.put(ring + 0x2002, &5_u16.to_le_bytes());
                    f.put(ring + 0x1002, &6_u16.to_le_bytes());
                }
                f.descriptor(0, 0, GUEST + 0x8000, 2048, 2, 0);
                f.put(0xa000, &[7; 76]);
                f.descriptor(1, 0, GUEST + 0xa000, 76, 0, 0);
                f.rings();
                wait_for_the_frame(f);
                for index in [0, 1] {
                    let state = VringState { index, num: 0 };
                    let base = f.ask(Request::GetVringBase, Payload::Vring(state), &[]);
                    assert_eq!(base, Some(Payload::Vring(VringState { index, num: 6 })));
                }
                hang_up(f);
            },
            time,
        )
    });
    row("the device status", "Closed", |time| {
        against(
            Pages::Any,
            |f| {
                f.rings();
                f.send(
                    Request::SetProtocolFeatures,
                    Payload::U64(protocol::REPLY_ACK | protocol::STATUS),
                    &[],
                );
                f.send(Request::SetStatus, Payload::U64(0xb), &[]);
                assert_eq!(f.ask(Request::GetStatus, Payload::None, &[]), Some(Payload::U64(0xb)));
                f.send(Request::SetStatus, Payload::U64(0xf), &[]);
                one_frame(f);
                // Status 0 is a reset: every vring is stopped.
                f.send(Request::SetStatus, Payload::U64(0), &[]);
                hang_up(f);
            },
            time,
        )
    });
    row("no protocol features at all", "Abandoned", |time| {
        against(
            Pages::Any,
            |f| {
                f.rings();
                for index in [0, 1] {
                    f.vring(Request::SetVringEnable, index, 1);
                }
                f.send(Request::SetFeatures, Payload::U64(feature::VERSION_1), &[]);
                one_frame(f);
                hang_up(f);
            },
            time,
        )
    });
}
