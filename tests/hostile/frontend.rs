//! The frontend with backends that misbehave.

use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use hugeprobe::domain::size::{HugeLen, PageSize};
use hugeprobe::exchange::backend::FEATURES;
use hugeprobe::exchange::channel::{Channel, Envelope};
use hugeprobe::exchange::frontend::{Frontend, Job, Memory, Pair, Waiting};
use hugeprobe::exchange::message::{Message, Payload, Request, VringAddresses, VringState, protocol};
use hugeprobe::exchange::ring::Layout;
use hugeprobe::exchange::table::{Pages, Table};
use hugeprobe::linux::map::Sharing;
use vm_memory::Bytes as _;

use super::*;

/// A backend that behaves correctly until a script takes over.
pub(crate) struct Backend {
    raw: UnixStream,
    pub(crate) channel: Channel,
    table: Table,
    rings: Vec<VringAddresses>,
    /// The features that it offers.
    pub(crate) features: u64,
    pub(crate) protocol_features: u64,
    /// Its replies to GET_QUEUE_NUM and GET_MAX_MEM_SLOTS.
    pub(crate) queues: u64,
    pub(crate) memory_slots: u64,
    /// How long it waits before each reply.
    pub(crate) delay: Duration,
    /// The requests that it has received.
    pub(crate) requests: Vec<Request>,
}

pub(crate) type Script = fn(&mut Backend);

impl Backend {
    pub(crate) fn new(stream: UnixStream) -> Self {
        let raw = stream.try_clone().unwrap();
        Self {
            raw,
            channel: Channel::new(stream.into()),
            table: Table::default(),
            rings: Vec::new(),
            features: FEATURES,
            protocol_features: protocol::REPLY_ACK,
            queues: 1,
            memory_slots: 8,
            delay: Duration::ZERO,
            requests: Vec::new(),
        }
    }

    pub(crate) fn answer(&mut self, request: Request, payload: Payload, fds: &[OwnedFd]) {
        let _ = self.channel.send(&Message::reply(request, payload), &borrowed(fds), Instant::now() + LATEST);
    }

    /// Answers all requests until `last` has arrived, which it does not answer.
    pub(crate) fn obey_until(&mut self, last: Request) {
        while let Ok(Envelope { message, fds }) = self.channel.receive("", Instant::now() + LATEST) {
            let request = message.request;
            self.requests.push(request);
            std::thread::sleep(self.delay);
            match &message.payload {
                Payload::Regions(regions) => self.table = Table::new(regions, fds, Pages::Any).unwrap(),
                Payload::Addresses(addresses) => self.rings.push(*addresses),
                _ => {}
            }
            if request == last {
                return;
            }
            match (request, message.payload) {
                (Request::GetFeatures, _) => self.answer(request, Payload::U64(self.features), &[]),
                (Request::GetProtocolFeatures, _) => {
                    self.answer(request, Payload::U64(self.protocol_features), &[]);
                }
                (Request::GetQueueNum, _) => self.answer(request, Payload::U64(self.queues), &[]),
                (Request::GetMaxMemSlots, _) => self.answer(request, Payload::U64(self.memory_slots), &[]),
                (Request::GetVringBase, payload) => self.answer(request, payload, &[]),
                _ if message.needs_reply => self.answer(request, Payload::U64(0), &[]),
                _ => {}
            }
        }
    }

    /// Continues until everything is set up and enabled, and the frontend sends frames.
    pub(crate) fn started(&mut self) {
        self.obey_until(Request::SetVringEnable);
        self.answer(Request::SetVringEnable, Payload::U64(0), &[]);
        self.obey_until(Request::SetVringEnable);
        self.answer(Request::SetVringEnable, Payload::U64(0), &[]);
    }

    /// Returns the first buffer of a packed ring, with flags (VIRTQ_DESC_F_AVAIL and VIRTQ_DESC_F_USED, and whether it
    /// was written) that the device chooses.
    pub(crate) fn use_up_packed(&mut self, ring: usize, id: u16, bytes: u32, flags: u16) {
        let first = self.table.user(self.rings[ring].descriptors, 16).unwrap();
        first.write_slice(&[&bytes.to_le_bytes()[..], &id.to_le_bytes()].concat(), 8).unwrap();
        first.write_slice(&flags.to_le_bytes(), 14).unwrap();
    }

    /// Writes an entry into a used ring and sets the index of the ring.
    fn use_up(&mut self, ring: usize, index: u16, id: u32, bytes: u32) {
        let used = self.table.user(self.rings[ring].used, 64).unwrap();
        used.write_slice(&[id.to_le_bytes(), bytes.to_le_bytes()].concat(), 4).unwrap();
        used.write_slice(&index.to_le_bytes(), 2).unwrap();
    }

    /// Does nothing until the frontend hangs up.
    pub(crate) fn stay(&mut self) {
        while matches!(self.raw.read(&mut [0; 4096]), Ok(1..)) {}
    }

    pub(crate) fn hang_up(&mut self) {
        self.raw.shutdown(std::net::Shutdown::Both).unwrap();
    }
}

/// Runs a whole session of the frontend and returns its outcome.
pub(crate) fn session(socket: OwnedFd, file: &OwnedFd, time: Duration) -> String {
    session_with(Layout::Split, socket, file, time)
}

/// Runs a whole session with rings of a layout.
pub(crate) fn session_with(layout: Layout, socket: OwnedFd, file: &OwnedFd, time: Duration) -> String {
    let deadline = Instant::now() + time;
    let run = || {
        let len = HugeLen::new(PageSize::from_bytes(64 << 10).unwrap(), BYTES >> 16).unwrap();
        let mut memory = Memory::default();
        memory.add(file.as_fd(), len, Sharing::Shared, 2).unwrap();
        let mut frontend = Frontend::with_rings(layout, Channel::new(socket), time)?;
        let (regions, fds) = memory.table(2);
        frontend.set_memory(&regions, &fds)?;
        let mut pair = Pair::new(&mut memory.areas(2), 8, frontend.negotiated().features)?;
        frontend.start(&pair)?;
        let job = Job { frames: 1_000_000, window: 8, waiting: Waiting::Looking, ..Job::default() };
        let outcome = pair.run(&job, frontend.channel(), deadline)?;
        let bases = frontend.stop(&pair)?;
        Ok(format!("{} of {}, {bases:?}", outcome.tally.intact, outcome.sent))
    };
    run().unwrap_or_else(|error: hugeprobe::exchange::frontend::FrontendError| error.to_string())
}

fn against(script: Script, time: Duration) -> String {
    against_with(Layout::Split, script, time)
}

pub(crate) fn against_with(layout: Layout, script: Script, time: Duration) -> String {
    let (theirs, ours) = UnixStream::pair().unwrap();
    let backend = std::thread::spawn(move || {
        let mut backend = Backend::new(theirs);
        script(&mut backend);
        backend
    });
    let outcome = session_with(layout, ours.into(), &memfd(BYTES), time);
    drop(backend.join().unwrap());
    outcome
}

#[test]
fn the_frontend_has_an_outcome_for_every_conversation() {
    let _one = one_at_a_time();
    let rows: &[(&str, &str, Script)] = &[
        ("says nothing", "sent nothing for", Backend::stay),
        ("hangs up at once", "the backend hangs up on", Backend::hang_up),
        ("stops within an answer", "stopped after 4 bytes", |b| {
            b.obey_until(Request::GetFeatures);
            b.raw.write_all(&[1, 0, 0, 0]).unwrap();
        }),
        ("hangs up within an answer", "closed the connection after 4 bytes", |b| {
            b.obey_until(Request::GetFeatures);
            b.raw.write_all(&[1, 0, 0, 0]).unwrap();
            b.hang_up();
        }),
        ("sends an answer byte by byte", "sent only", |b| {
            b.obey_until(Request::GetFeatures);
            for byte in Message::reply(Request::GetFeatures, Payload::U64(FEATURES)).to_bytes() {
                std::thread::sleep(Duration::from_millis(150));
                if b.raw.write_all(&[byte]).is_err() {
                    return;
                }
            }
        }),
        ("has room for fewer regions", "accepts 1 memory regions; 2 are needed", |b| {
            (b.protocol_features, b.memory_slots) = (protocol::CONFIGURE_MEM_SLOTS | protocol::REPLY_ACK, 1);
            b.obey_until(Request::ResetOwner);
        }),
        ("has no queue", "offers no queue pair: it answers 0 to GET_QUEUE_NUM", |b| {
            (b.protocol_features, b.queues) = (protocol::MQ | protocol::REPLY_ACK, 0);
            b.obey_until(Request::ResetOwner);
        }),
        ("answers garbage", "version", |b| {
            b.obey_until(Request::GetFeatures);
            b.raw.write_all(&[0xff; 64]).unwrap();
        }),
        ("answers something else", "received the answer to GET_QUEUE_NUM", |b| {
            b.obey_until(Request::GetFeatures);
            b.answer(Request::GetQueueNum, Payload::U64(1), &[]);
        }),
        ("asks instead of answering", "received the request GET_FEATURES", |b| {
            b.obey_until(Request::GetFeatures);
            let request = Message::request(Request::GetFeatures, Payload::None);
            b.channel.send(&request, &[], Instant::now() + LATEST).unwrap();
        }),
        ("answers with a descriptor", "received that, with 1 descriptors", |b| {
            b.obey_until(Request::GetFeatures);
            b.answer(Request::GetFeatures, Payload::U64(FEATURES), &[eventfd()]);
        }),
        ("answers too short", "GET_FEATURES with 4 bytes instead of 8", |b| {
            b.obey_until(Request::GetFeatures);
            b.raw.write_all(&[1, 0, 0, 0, 5, 0, 0, 0, 4, 0, 0, 0, 1, 2, 3, 4]).unwrap();
        }),
        ("answers for ever", "received the answer to GET_FEATURES", |b| {
            b.obey_until(Request::GetFeatures);
            let answer = Message::reply(Request::GetFeatures, Payload::U64(FEATURES)).to_bytes();
            while b.raw.write_all(&answer).is_ok() {}
        }),
        ("refuses the memory", "the backend refuses SET_MEM_TABLE (it answers 1)", |b| {
            b.obey_until(Request::SetMemTable);
            b.answer(Request::SetMemTable, Payload::U64(1), &[]);
        }),
        ("hangs up on the memory", "the backend hangs up on SET_MEM_TABLE", |b| {
            b.obey_until(Request::SetMemTable);
            b.hang_up();
        }),
        ("goes silent on the memory", "sent nothing for 1.5", |b| {
            b.obey_until(Request::SetMemTable);
            b.stay();
        }),
        ("refuses a vring", "the backend refuses SET_VRING_ADDR", |b| {
            b.obey_until(Request::SetVringAddr);
            b.answer(Request::SetVringAddr, Payload::U64(7), &[]);
        }),
        ("never moves a frame", "0 of 0, [0, 0]", |b| {
            b.started();
            b.obey_until(Request::ResetOwner);
        }),
        ("dies while frames are under way", "the peer closed the connection", |b| {
            b.started();
            b.hang_up();
        }),
        ("speaks while frames are under way", "expected frames, received unexpected GET_FEATURES", |b| {
            b.started();
            b.answer(Request::GetFeatures, Payload::U64(0), &[]);
            b.stay();
        }),
        ("stops another vring", "the answer to GET_VRING_BASE is", |b| {
            b.started();
            b.obey_until(Request::GetVringBase);
            b.answer(Request::GetVringBase, Payload::Vring(VringState { index: 5, num: 0 }), &[]);
        }),
        ("an index that jumps", "vring 1: the index of the used ring jumped to 999", |b| {
            b.started();
            b.use_up(1, 999, 0, 0);
            b.stay();
        }),
        ("a buffer that it never had", "vring 0: the used ring returns buffer 8", |b| {
            b.started();
            b.use_up(0, 1, 8, 64);
            b.stay();
        }),
        ("more bytes than the buffer has", "claims 2049 bytes in buffer 0 of 2048", |b| {
            b.started();
            b.use_up(0, 1, 0, 2049);
            b.stay();
        }),
        ("a frame without a header", "vring 0: the chain at descriptor 0 has 3 bytes, fewer than 12", |b| {
            b.started();
            b.use_up(0, 1, 0, 3);
            b.stay();
        }),
        ("an empty frame", "0 of 0, [0, 0]", |b| {
            b.started();
            b.use_up(0, 1, 0, 12);
            b.obey_until(Request::ResetOwner);
        }),
    ];
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|(name, expected, script)| try_row(name, expected, |time| against(*script, time)).err())
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn regions_are_in_ascending_order_of_guest_addresses() {
    let _one = one_at_a_time();
    let len = HugeLen::new(PageSize::from_bytes(64 << 10).unwrap(), BYTES >> 16).unwrap();
    let mut memory = Memory::default();
    for _ in 0..3 {
        memory.add(memfd(BYTES).as_fd(), len, Sharing::Shared, 2).unwrap();
    }
    let (regions, _) = memory.table(memory.regions());
    assert!(regions.is_sorted_by(|one, next| one.guest + one.bytes <= next.guest), "{regions:#x?}");
}
