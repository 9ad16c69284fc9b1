//! The backend with frontends that misbehave.

mod refused;
mod served;

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use hugeprobe::exchange::backend::{Backend, FEATURES, Nobody, Options, PROTOCOL_FEATURES, Work};
use hugeprobe::exchange::channel::Channel;
use hugeprobe::exchange::message::{MemoryRegion, Message, Payload, Request, vring_fd};
use hugeprobe::exchange::table::Pages;

use super::script::{Frontend, Script, one_frame};
use super::*;

/// Runs the backend against a script and returns its outcome. The frontend stays connected until the backend has ended,
/// unless the script hangs up.
pub(crate) fn against(pages: Pages, script: Script, time: Duration) -> String {
    let (theirs, ours) = UnixStream::pair().unwrap();
    let backend = std::thread::spawn(move || {
        let options =
            Options { pages, work: Work::Echo, features: FEATURES, protocol_features: PROTOCOL_FEATURES };
        let mut watch = Nobody;
        let mut backend = Backend::new(Channel::new(ours.into()), options, &mut watch);
        match backend.serve(Instant::now() + time) {
            Ok(end) => format!("{end:?}"),
            Err(error) => error.to_string(),
        }
    });
    let raw = theirs.try_clone().unwrap();
    let mut frontend = Frontend { raw, channel: Channel::new(theirs.into()), memory: memfd(BYTES) };
    script(&mut frontend);
    let outcome = backend.join().unwrap();
    drop(frontend);
    outcome
}

pub(crate) fn hang_up(frontend: &mut Frontend) {
    frontend.raw.shutdown(std::net::Shutdown::Both).unwrap();
}

#[test]
fn the_backend_has_an_outcome_for_every_conversation() {
    let _one = one_at_a_time();
    let rows: &[(&str, &str, Script)] = &[
        // Connections.
        ("says nothing", "Deadline", |_| ()),
        ("hangs up at once", "Closed", hang_up),
        ("hangs up after its memory", "Closed", |f| {
            f.memory();
            hang_up(f);
        }),
        ("dies while rings run", "Abandoned", |f| {
            f.rings();
            hang_up(f);
        }),
        ("stops within a header", "stopped after 5 bytes", |f| f.raw.write_all(&[1, 0, 0, 0, 1]).unwrap()),
        ("sends a header byte by byte", "sent only", |f| {
            for byte in Message::request(Request::SetOwner, Payload::None).to_bytes() {
                std::thread::sleep(Duration::from_millis(150));
                if f.raw.write_all(&[byte]).is_err() {
                    return;
                }
            }
        }),
        ("hangs up within a header", "closed the connection after 5 bytes", |f| {
            f.raw.write_all(&[1, 0, 0, 0, 1]).unwrap();
            hang_up(f);
        }),
        ("stops within a payload", "stopped after 13 bytes", |f| {
            f.raw.write_all(&[2, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 7]).unwrap();
        }),
        ("garbage", "version", |f| f.raw.write_all(&[0xff; 64]).unwrap()),
        ("zeroes", "version 0", |f| f.raw.write_all(&[0; 64]).unwrap()),
        ("announces 4 GiB", "announces 4294967295 bytes", |f| {
            f.raw.write_all(&[5, 0, 0, 0, 1, 0, 0, 0, 255, 255, 255, 255]).unwrap();
        }),
        ("asks for ever", "Deadline", |f| {
            let owner = Message::request(Request::SetOwner, Payload::None).to_bytes();
            while f.raw.write_all(&owner).is_ok() {}
        }),
        ("asks and never reads", "read no byte of GET_FEATURES", |f| {
            let get = Message::request(Request::GetFeatures, Payload::None).to_bytes();
            // Until the backend gives up.
            while f.raw.write_all(&get).is_ok() {}
        }),
        ("answers", "an answer without a request", |f| {
            let answer = Message::reply(Request::GetFeatures, Payload::U64(0));
            f.channel.send(&answer, &[], Instant::now() + LATEST).unwrap();
        }),
        // Sizes and descriptors.
        ("a payload where none belongs", "GET_FEATURES with 8 bytes instead of 0", |f| {
            f.raw.write_all(&[1, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        }),
        ("nine descriptors", "9 descriptors in one message", |f| {
            f.send(Request::SetOwner, Payload::None, &Vec::from_iter((0..9).map(|_| eventfd())));
        }),
        ("two hundred descriptors", "200 descriptors in one message", |f| {
            f.send(Request::SetOwner, Payload::None, &Vec::from_iter((0..200).map(|_| eventfd())));
        }),
        ("a descriptor where none belongs", "SET_OWNER: 1 descriptors, not 0", |f| {
            f.send(Request::SetOwner, Payload::None, &[eventfd()]);
        }),
        ("a kick without its descriptor", "SET_VRING_KICK: 0 descriptors, not 1", |f| {
            f.send(Request::SetVringKick, vring_fd(0, true), &[]);
        }),
        ("a kick with two", "SET_VRING_KICK: 2 descriptors, not 1", |f| {
            f.send(Request::SetVringKick, vring_fd(0, true), &[eventfd(), eventfd()]);
        }),
        ("a kick that has none and brings one", "SET_VRING_KICK: 1 descriptors, not 0", |f| {
            f.send(Request::SetVringKick, vring_fd(0, false), &[eventfd()]);
        }),
        ("a file for a kick", "SET_VRING_KICK: the descriptor is a file", |f| {
            f.event(Request::SetVringKick, 0, Some(memfd(8)));
        }),
        ("a kick with odd bits", "SET_VRING_KICK: 0x10000", |f| {
            f.send(Request::SetVringKick, Payload::U64(0x1_0000), &[]);
        }),
        // Features.
        ("features not offered", "SET_FEATURES: 0x4000000, which was not offered", |f| {
            f.send(Request::SetFeatures, Payload::U64(FEATURES | 1 << 26), &[]);
        }),
        ("protocol features not offered", "SET_PROTOCOL_FEATURES: 0x2, which", |f| {
            f.send(Request::SetProtocolFeatures, Payload::U64(2), &[]);
        }),
        ("a log", "SET_LOG_BASE: not offered", |f| {
            f.send(Request::SetLogBase, Payload::Log { size: 4096, offset: 0 }, &[memfd(4096)]);
        }),
        ("a request from the future", "request 99: not offered", |f| {
            f.send(Request::Unknown(99), Payload::Raw(vec![1; 100]), &[eventfd()]);
        }),
        ("a request from the future that can do without", "Deadline", |f| {
            f.negotiate();
            let no = Payload::Raw(1_u64.to_le_bytes().to_vec());
            assert_eq!(f.ask(Request::Unknown(99), Payload::Raw(vec![]), &[]), Some(no));
            assert_eq!(f.ask(Request::SetOwner, Payload::None, &[]), Some(Payload::U64(0)));
        }),
        ("a configuration space that is not there", "Deadline", |f| {
            let config = hugeprobe::exchange::message::Config { offset: 0, flags: 0, bytes: vec![0; 6] };
            let answer = f.channel.ask(
                &Message::request(Request::GetConfig, Payload::Config(config)),
                &[],
                Instant::now() + LATEST,
            );
            assert!(matches!(answer, Ok(Payload::Config(config)) if config.bytes.is_empty()));
        }),
        // Memory.
        ("too few descriptors", "SET_MEM_TABLE: 1 regions with 0 descriptors", |f| {
            f.table(vec![region()], &[]);
        }),
        ("too many descriptors", "1 regions with 2 descriptors", |f| {
            f.table(vec![region()], &[memfd(BYTES), memfd(BYTES)]);
        }),
        ("an eventfd for memory", "region 0: its descriptor is not a regular file", |f| {
            f.table(vec![region()], &[eventfd()]);
        }),
        ("a file that is too short", "ends at 0x100000 of its file, which has 0x1000", |f| {
            f.table(vec![region()], &[memfd(4096)]);
        }),
        ("an empty region", "region 0 is empty", |f| {
            f.table(vec![MemoryRegion { bytes: 0, ..region() }], &[memfd(BYTES)]);
        }),
        ("a region that wraps", "exceed 64 bits", |f| {
            f.table(vec![MemoryRegion { user: u64::MAX - 0xfff, ..region() }], &[memfd(BYTES)]);
        }),
        ("regions that overlap", "regions 0 and 1 overlap", |f| {
            f.table(vec![region(), region()], &[memfd(BYTES), memfd(BYTES)]);
        }),
        ("a region of the whole address space", "which has 0x100000 bytes", |f| {
            f.table(vec![MemoryRegion { guest: 0, user: 0, bytes: !0xfff, offset: 0 }], &[memfd(BYTES)]);
        }),
        ("nine regions one by one", "ADD_MEM_REG: more than 8 regions", |f| {
            f.negotiate();
            for index in 0..9 {
                let at = index * BYTES;
                let region = MemoryRegion { guest: at, user: at, bytes: BYTES, offset: 0 };
                f.send(Request::AddMemReg, Payload::Region(region), &[memfd(BYTES)]);
            }
        }),
        ("a region to remove that is not there", "REM_MEM_REG: no region with guest", |f| {
            f.negotiate();
            f.send(Request::RemMemReg, Payload::Region(region()), &[memfd(BYTES)]);
        }),
        ("a refusal is acknowledged as one", "SET_MEM_TABLE: region 0 is empty", |f| {
            f.negotiate();
            let table = Payload::Regions(vec![MemoryRegion { bytes: 0, ..region() }]);
            assert_eq!(f.ask(Request::SetMemTable, table, &[memfd(BYTES)]), Some(Payload::U64(1)));
        }),
        // Vrings.
        ("a vring that there is not", "SET_VRING_NUM: vring 16 of 16", |f| {
            f.vring(Request::SetVringNum, 16, 8);
        }),
        ("vring 2^32-1", "vring 4294967295 of 16", |f| f.vring(Request::GetVringBase, u32::MAX, 0)),
        // virtio_user sends this for a queue that its driver has not set up.
        ("a vring of 0", "Deadline", |f| {
            f.rings();
            f.vring(Request::SetVringNum, 2, 0);
            f.vring(Request::SetVringBase, 2, 0);
            f.addresses(2, 0);
            f.event(Request::SetVringKick, 2, Some(eventfd()));
            f.vring(Request::SetVringEnable, 2, 1);
            one_frame(f);
        }),
        ("a vring of 3", "vring 0: a vring of 3 descriptors", |f| f.vring(Request::SetVringNum, 0, 3)),
        ("a vring of 65536", "a vring of 65536 descriptors", |f| f.vring(Request::SetVringNum, 0, 65536)),
        ("a base beyond 16 bits", "base 65536, beyond", |f| f.vring(Request::SetVringBase, 0, 65536)),
        ("enabled twice over", "2, which is neither 0 nor 1", |f| f.vring(Request::SetVringEnable, 0, 2)),
        ("big-endian", "SET_VRING_ENDIAN: not offered", |f| f.vring(Request::SetVringEndian, 0, 1)),
        ("a ring outside of memory", "vring 0: 128 bytes at user address 0x1000 are not within", |f| {
            f.memory();
            f.vring(Request::SetVringNum, 0, 8);
            f.addresses(0, 0x1000);
        }),
        ("a ring that ends outside of memory", "at user address 0x700000100000 are not within", |f| {
            f.memory();
            f.vring(Request::SetVringNum, 0, 8);
            f.addresses(0, USER + BYTES - 0x1000);
        }),
        ("a ring at an odd address", "is not aligned to 16", |f| {
            f.memory();
            f.vring(Request::SetVringNum, 0, 8);
            f.addresses(0, USER + 8);
        }),
        ("memory replaced by some without the rings", "vring 0: 128 bytes at user address", |f| {
            f.rings();
            f.table(vec![MemoryRegion { user: 0, ..region() }], &[memfd(BYTES)]);
        }),
        ("no memory under rings that run", "vring 0: the memory table has no region", |f| {
            f.rings();
            one_frame(f);
            f.table(vec![], &[]);
        }),
        ("the memory of rings that run removed", "vring 0: the memory table has no region", |f| {
            f.rings();
            one_frame(f);
            f.send(Request::RemMemReg, Payload::Region(region()), &[]);
        }),
        ("vrings without memory", "Deadline", |f| {
            f.negotiate();
            f.vring(Request::SetVringNum, 1, 8);
            f.addresses(1, USER);
            f.event(Request::SetVringKick, 1, Some(eventfd()));
            f.vring(Request::SetVringEnable, 1, 1);
        }),
        // The contents of the rings.
        ("an index that jumps", "vring 1: the index of the available ring jumped to 9", |f| {
            f.rings();
            f.available(1, 9, 0);
        }),
        (
            "a used index far from the available one",
            "vring 1: the index of the available ring jumped to 0",
            |f| {
                f.put(0x4000 + 0x2002, &1000_u16.to_le_bytes());
                f.rings();
            },
        ),
        ("a head that there is not", "vring 1: the available ring names descriptor 8 of 8", |f| {
            f.rings();
            f.descriptor(0, 0, GUEST + 0x8000, 2048, 2, 0);
            f.available(0, 1, 0);
            f.available(1, 1, 8);
        }),
        ("a loop", "vring 1: the chain at descriptor 0 has a loop", |f| {
            f.rings();
            f.available(0, 1, 0);
            f.descriptor(1, 0, GUEST, 0, 1, 0);
            f.available(1, 1, 0);
        }),
        ("chains that share descriptors", "more descriptors than the 8 of the queue", |f| {
            f.rings();
            for index in 0..2 {
                f.descriptor(0, index, GUEST + 0x8000 + index * 0x1000, 2048, 2, 0);
            }
            f.put(0x1006, &1_u16.to_le_bytes());
            f.available(0, 2, 0);
            for (index, next) in (0..8).zip(1..) {
                f.descriptor(1, index, GUEST, 16, if index == 7 { 0 } else { 1 }, next);
            }
            f.put(0x5006, &0_u16.to_le_bytes());
            f.available(1, 2, 0);
        }),
        ("receive chains that share descriptors", "more descriptors than the 8 of the queue", |f| {
            f.rings();
            for (index, next) in (0..8).zip(1..) {
                f.descriptor(0, index, GUEST + 0x8000, 16, if index == 7 { 2 } else { 3 }, next);
            }
            f.available(0, 8, 0);
            f.descriptor(1, 0, GUEST, 1400, 0, 0);
            f.available(1, 1, 0);
        }),
        ("a buffer anywhere", "vring 1: 64 bytes at guest address 0xdead are not within", |f| {
            f.rings();
            f.available(0, 1, 0);
            f.descriptor(1, 0, 0xdead, 64, 0, 0);
            f.available(1, 1, 0);
        }),
        ("a buffer at a user address", "bytes at guest address 0x700000008000 are not within", |f| {
            f.rings();
            f.available(0, 1, 0);
            f.descriptor(1, 0, USER + 0x8000, 64, 0, 0);
            f.available(1, 1, 0);
        }),
        ("a frame without a header", "vring 1: the chain at descriptor 0 has 11 bytes, fewer than 12", |f| {
            f.rings();
            f.available(0, 1, 0);
            f.descriptor(1, 0, GUEST, 11, 0, 0);
            f.available(1, 1, 0);
        }),
        ("a frame of a megabyte", "has 1048576 bytes, more than 65562", |f| {
            f.rings();
            f.available(0, 1, 0);
            f.descriptor(1, 0, GUEST, 1 << 20, 0, 0);
            f.available(1, 1, 0);
        }),
        ("an indirect table", "flags 0x4, which were not offered", |f| {
            f.rings();
            f.available(0, 1, 0);
            f.descriptor(1, 0, GUEST, 16, 4, 0);
            f.available(1, 1, 0);
        }),
        ("a receive buffer without room", "vring 0: the chain at descriptor 0 has 4 bytes", |f| {
            f.rings();
            f.descriptor(0, 0, GUEST + 0x8000, 4, 2, 0);
            f.available(0, 1, 0);
            f.descriptor(1, 0, GUEST, 64, 0, 0);
            f.available(1, 1, 0);
        }),
        ("a receive buffer that may not be written", "vring 0: the chain at descriptor 0 has 0 bytes", |f| {
            f.rings();
            f.descriptor(0, 0, GUEST + 0x8000, 2048, 0, 0);
            f.available(0, 1, 0);
            f.descriptor(1, 0, GUEST, 64, 0, 0);
            f.available(1, 1, 0);
        }),
        ("a file that shrinks", "the memory became inaccessible: region 0", |f| {
            f.memory();
            assert_eq!(f.ask(Request::SetOwner, Payload::None, &[]), Some(Payload::U64(0)));
            ftruncate(&f.memory, 4096).unwrap();
            f.send(Request::SetOwner, Payload::None, &[]);
        }),
        ("a call that is full", "Deadline", |f| {
            f.rings();
            let call = eventfd();
            nix::unistd::write(&call, &(u64::MAX - 1).to_ne_bytes()).unwrap();
            f.event(Request::SetVringCall, 0, Some(call));
            f.descriptor(0, 0, GUEST + 0x8000, 2048, 2, 0);
            f.available(0, 1, 0);
            f.descriptor(1, 0, GUEST, 64, 0, 0);
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
