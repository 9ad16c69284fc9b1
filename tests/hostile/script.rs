//! A frontend that follows a script, over memory that both sides see.

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use hugeprobe::exchange::backend::{FEATURES, PROTOCOL_FEATURES};
use hugeprobe::exchange::channel::Channel;
use hugeprobe::exchange::message::{
    MemoryRegion, Message, Payload, Request, VringAddresses, VringState, feature, protocol, vring_fd,
};

use super::*;

/// A frontend that follows a script, over memory that both sides see.
pub(crate) struct Frontend {
    pub(crate) raw: UnixStream,
    pub(crate) channel: Channel,
    pub(crate) memory: OwnedFd,
}

pub(crate) type Script = fn(&mut Frontend);

impl Frontend {
    /// Does nothing until the backend hangs up.
    pub(crate) fn stay(&mut self) {
        while matches!(self.raw.read(&mut [0; 4096]), Ok(1..)) {}
    }

    pub(crate) fn send(&mut self, request: Request, payload: Payload, fds: &[OwnedFd]) {
        let message = Message::request(request, payload);
        // The backend may already have hung up. The row tests for that, so the error is ignored.
        let _ = self.channel.send(&message, &borrowed(fds), Instant::now() + LATEST);
    }

    /// Sends a request that asks for an acknowledgement, and returns the acknowledgement.
    pub(crate) fn ask(&mut self, request: Request, payload: Payload, fds: &[OwnedFd]) -> Option<Payload> {
        let message = Message { needs_reply: true, ..Message::request(request, payload) };
        self.channel.ask(&message, &borrowed(fds), Instant::now() + LATEST).ok()
    }

    /// Negotiates split rings without indirect tables.
    pub(crate) fn negotiate(&mut self) {
        self.negotiate_with(0);
    }

    /// Negotiates what [`Frontend::negotiate`] does, and these features.
    pub(crate) fn negotiate_with(&mut self, more: u64) {
        self.send(Request::SetOwner, Payload::None, &[]);
        self.send(Request::SetProtocolFeatures, Payload::U64(PROTOCOL_FEATURES & !protocol::STATUS), &[]);
        self.send(Request::SetFeatures, Payload::U64(SPLIT | more), &[]);
    }

    pub(crate) fn table(&mut self, regions: Vec<MemoryRegion>, fds: &[OwnedFd]) {
        self.send(Request::SetMemTable, Payload::Regions(regions), fds);
    }

    pub(crate) fn memory(&mut self) {
        self.negotiate();
        self.one_region();
    }

    fn one_region(&mut self) {
        let fd = self.memory.try_clone().unwrap();
        self.table(vec![region()], &[fd]);
    }

    pub(crate) fn vring(&mut self, request: Request, index: u32, num: u32) {
        self.send(request, Payload::Vring(VringState { index, num }), &[]);
    }

    pub(crate) fn event(&mut self, request: Request, index: u8, fd: Option<OwnedFd>) {
        self.send(request, vring_fd(index, fd.is_some()), &Vec::from_iter(fd));
    }

    pub(crate) fn addresses(&mut self, index: u32, user: u64) {
        let at = VringAddresses {
            index,
            flags: 0,
            descriptors: user,
            available: user + 0x1000,
            used: user + 0x2000,
            log: 0,
        };
        self.send(Request::SetVringAddr, Payload::Addresses(at), &[]);
    }

    /// Sets up both vrings, polled and with 8 descriptors each. The script fills the transmit ring.
    pub(crate) fn rings(&mut self) {
        self.rings_with(0, 8, 0);
    }

    /// Sets up both vrings as packed rings, with more features.
    pub(crate) fn packed_rings(&mut self, more: u64) {
        self.rings_with(feature::RING_PACKED | more, 8, 0x8000_8000);
    }

    pub(crate) fn rings_with(&mut self, features: u64, size: u32, base: u32) {
        self.negotiate_with(features);
        self.one_region();
        for index in [0, 1] {
            self.vring(Request::SetVringNum, index, size);
            self.vring(Request::SetVringBase, index, base);
            self.addresses(index, USER + u64::from(index) * 0x4000);
            self.event(Request::SetVringKick, u8::try_from(index).unwrap(), None);
            self.event(Request::SetVringCall, u8::try_from(index).unwrap(), None);
            self.vring(Request::SetVringEnable, index, 1);
        }
    }

    /// Writes into the memory as a driver would, through the file.
    pub(crate) fn put(&mut self, at: u64, bytes: &[u8]) {
        let file = std::fs::File::from(self.memory.try_clone().unwrap());
        std::os::unix::fs::FileExt::write_all_at(&file, bytes, at).unwrap();
    }

    /// Writes a descriptor of a ring.
    pub(crate) fn descriptor(
        &mut self,
        ring: u64,
        index: u64,
        address: u64,
        bytes: u32,
        flags: u16,
        next: u16,
    ) {
        let fields =
            [&address.to_le_bytes()[..], &bytes.to_le_bytes(), &flags.to_le_bytes(), &next.to_le_bytes()]
                .concat();
        self.put(ring * 0x4000 + index * 16, &fields);
    }

    /// Writes a descriptor of a packed ring, its flags last.
    pub(crate) fn packed(&mut self, ring: u64, index: u64, address: u64, bytes: u32, id: u16, flags: u16) {
        let fields = [&address.to_le_bytes()[..], &bytes.to_le_bytes(), &id.to_le_bytes()].concat();
        self.put(ring * 0x4000 + index * 16, &fields);
        self.put(ring * 0x4000 + index * 16 + 14, &flags.to_le_bytes());
    }

    pub(crate) fn available(&mut self, ring: u64, index: u16, first: u16) {
        self.put(ring * 0x4000 + 0x1004, &first.to_le_bytes());
        self.put(ring * 0x4000 + 0x1002, &index.to_le_bytes());
    }
}

/// The features that scripts negotiate unless they say otherwise.
pub(crate) const SPLIT: u64 = FEATURES & !(feature::RING_PACKED | feature::INDIRECT_DESC | feature::IN_ORDER);
/// VIRTQ_DESC_F_AVAIL, with which a driver makes a descriptor available in the first round of a packed ring.
pub(crate) const AVAILABLE: u16 = 1 << 7;

/// Sends one frame through packed rings and waits until it has come back.
pub(crate) fn one_packed_frame(f: &mut Frontend) {
    f.packed(0, 0, GUEST + 0x8000, 2048, 0, AVAILABLE | 2);
    f.put(0xa000, &[7; 76]);
    f.packed(1, 0, GUEST + 0xa000, 76, 0, AVAILABLE);
    wait_for_the_frame(f);
}

/// Sends one frame through the rings and waits until it has come back.
pub(crate) fn one_frame(f: &mut Frontend) {
    f.descriptor(0, 0, GUEST + 0x8000, 2048, 2, 0);
    f.available(0, 1, 0);
    f.put(0xa000, &[7; 76]);
    f.descriptor(1, 0, GUEST + 0xa000, 76, 0, 0);
    f.available(1, 1, 0);
    wait_for_the_frame(f);
}

pub(crate) fn wait_for_the_frame(f: &Frontend) {
    let file = std::fs::File::from(f.memory.try_clone().unwrap());
    let until = Instant::now() + LATEST;
    let mut seen = [0; 88];
    while Instant::now() < until {
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut seen, 0x8000).unwrap();
        if seen[12..76] == [7; 64] {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("the frame did not come back");
}

/// Starts the rings, sends a frame through them, and truncates the file while the backend polls for the next frame.
pub(crate) fn run_rings_and_cut(stream: UnixStream) {
    let raw = stream.try_clone().unwrap();
    let mut f = Frontend { raw, channel: Channel::new(stream.into()), memory: memfd(BYTES) };
    f.rings();
    one_frame(&mut f);
    ftruncate(&f.memory, 0).unwrap();
    // Stays connected until the backend has ended.
    f.stay();
}
