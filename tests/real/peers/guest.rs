//! A client of a virtio device, as a guest is: queues with one chain of descriptors each, in memory of 4 KiB pages.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use hugeprobe::exchange::channel::Channel;
use hugeprobe::exchange::message::{
    MemoryRegion, Message, Payload, Request, VringAddresses, VringState, feature, vring_fd,
};
use hugeprobe::exchange::socket::connect;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::memfd::{MFdFlags, memfd_create};

const BYTES: u64 = 1 << 20;
const USER: u64 = 0x7000_0000_0000;
/// The memory of a queue: descriptors, available ring, used ring, and a page for each buffer.
const QUEUE: u64 = 0x1_0000;
const AVAILABLE: u64 = 0x1000;
const USED: u64 = 0x2000;
const BUFFERS: u64 = 0x3000;

/// A buffer of a chain.
pub(super) enum Buffer<'a> {
    /// The device reads these bytes.
    Read(&'a [u8]),
    /// The device writes at most this number of bytes.
    Write(u32),
}

/// A session with a device.
pub(super) struct Guest {
    channel: Channel,
    file: File,
    deadline: Instant,
    queues: Vec<(u32, EventFd, EventFd)>,
}

// === impl Guest ===

impl Guest {
    /// Connects, and shares the memory.
    pub(super) fn connect(socket: &Path, deadline: Instant) -> Self {
        let channel = Channel::new(connect(socket, deadline).unwrap());
        let memory = memfd_create(c"guest", MFdFlags::MFD_CLOEXEC).unwrap();
        let file = File::from(memory.try_clone().unwrap());
        file.set_len(BYTES).unwrap();
        let mut this = Self { channel, file, deadline, queues: Vec::new() };
        this.tell(Request::SetOwner, Payload::None, &[]);
        this.ask(Request::GetFeatures, Payload::None);
        this.ask(Request::GetProtocolFeatures, Payload::None);
        this.tell(Request::SetProtocolFeatures, Payload::U64(0), &[]);
        let features = feature::VERSION_1 | feature::PROTOCOL_FEATURES;
        this.tell(Request::SetFeatures, Payload::U64(features), &[]);
        let region = MemoryRegion { guest: 0, bytes: BYTES, user: USER, offset: 0 };
        this.tell(Request::SetMemTable, Payload::Regions(vec![region]), &[&memory]);
        this
    }

    /// Makes a chain of these buffers available in a queue and starts the queue.
    pub(super) fn start(&mut self, queue: u32, chain: &[Buffer<'_>]) {
        let begin = u64::from(queue) * QUEUE;
        for (index, buffer) in chain.iter().enumerate() {
            let address = buffer_address(queue, index);
            let (bytes, mut flags) = match buffer {
                Buffer::Read(bytes) => {
                    self.put(address, bytes);
                    (u32::try_from(bytes.len()).unwrap(), 0_u16)
                }
                Buffer::Write(bytes) => (*bytes, 2),
            };
            if index + 1 < chain.len() {
                flags |= 1;
            }
            let next = u16::try_from(index + 1).unwrap();
            let fields =
                [&address.to_le_bytes()[..], &bytes.to_le_bytes(), &flags.to_le_bytes(), &next.to_le_bytes()];
            self.put(begin + u64::try_from(index).unwrap() * 16, &fields.concat());
        }
        self.put(begin + AVAILABLE + 2, &1_u16.to_le_bytes());
        let vring = |num| Payload::Vring(VringState { index: queue, num });
        self.tell(Request::SetVringNum, vring(8), &[]);
        self.tell(Request::SetVringBase, vring(0), &[]);
        let [descriptors, available, used] = [0, AVAILABLE, USED].map(|part| USER + begin + part);
        let at = VringAddresses { index: queue, flags: 0, descriptors, available, used, log: 0 };
        self.tell(Request::SetVringAddr, Payload::Addresses(at), &[]);
        let [kick, call] = [(); 2].map(|()| EventFd::from_flags(EfdFlags::EFD_CLOEXEC).unwrap());
        for (request, event) in [(Request::SetVringCall, &call), (Request::SetVringKick, &kick)] {
            let event = event.as_fd().try_clone_to_owned().unwrap();
            self.tell(request, vring_fd(u8::try_from(queue).unwrap(), true), &[&event]);
        }
        self.tell(Request::SetVringEnable, vring(1), &[]);
        // The reply shows that the ring has been set up.
        self.ask(Request::GetFeatures, Payload::None);
        kick.write(1).unwrap();
        self.queues.push((queue, kick, call));
    }

    /// Waits until the device has used the chain of a queue.
    pub(super) fn wait(&self, queue: u32) {
        let mut index = [0; 2];
        while index == [0; 2] {
            assert!(Instant::now() < self.deadline, "the device does not use queue {queue}");
            std::thread::sleep(Duration::from_millis(1));
            self.file.read_exact_at(&mut index, u64::from(queue) * QUEUE + USED + 2).unwrap();
        }
    }

    /// Returns the contents of a buffer.
    pub(super) fn read<const N: usize>(&self, queue: u32, buffer: usize) -> [u8; N] {
        let mut bytes = [0; N];
        self.file.read_exact_at(&mut bytes, buffer_address(queue, buffer)).unwrap();
        bytes
    }

    /// Stops the queues.
    pub(super) fn stop(mut self) {
        for (index, ..) in std::mem::take(&mut self.queues) {
            self.ask(Request::GetVringBase, Payload::Vring(VringState { index, num: 0 }));
        }
    }

    fn put(&self, at: u64, bytes: &[u8]) {
        self.file.write_all_at(bytes, at).unwrap();
    }

    fn ask(&mut self, request: Request, payload: Payload) {
        self.channel.ask(&Message::request(request, payload), &[], self.deadline).unwrap();
    }

    fn tell(&self, request: Request, payload: Payload, fds: &[&OwnedFd]) {
        let fds: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
        self.channel.send(&Message::request(request, payload), &fds, self.deadline).unwrap();
    }
}

fn buffer_address(queue: u32, buffer: usize) -> u64 {
    u64::from(queue) * QUEUE + BUFFERS + u64::try_from(buffer).unwrap() * 0x1000
}
