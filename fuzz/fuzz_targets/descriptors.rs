//! Messages with descriptors for the backend's loop: memory of any length, pipes, sockets and devices, too few or too
//! many of them. The loop must end, no descriptor may stay open, and no address may be touched that is not backed by
//! memory. Memory that is too short would raise SIGBUS.
#![no_main]

use std::fs::File;
use std::net::Shutdown;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use hugeprobe::exchange::backend::{Backend, End, FEATURES, Nobody, Options, PROTOCOL_FEATURES, Work};
use hugeprobe::exchange::channel::Channel;
use hugeprobe::exchange::table::Pages;
use hugeprobe::linux::rights;
use libfuzzer_sys::fuzz_target;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{ftruncate, pipe};

/// SET_MEM_TABLE, SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR, ADD_MEM_REG, REM_MEM_REG: most of the requests that
/// carry descriptors, and requests that follow them.
const REQUESTS: [u8; 12] = [5, 5, 5, 12, 13, 14, 37, 38, 8, 9, 11, 18];
const LENGTHS: [u64; 6] = [0, 1, 4096, 8192, 1 << 20, u64::MAX];

/// Takes the bytes of the input one after another, and zeros after its end.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn length(&mut self) -> u64 {
        LENGTHS[usize::from(self.next()) % LENGTHS.len()]
    }
}

fn descriptor(kind: u8) -> Option<OwnedFd> {
    let memory = |bytes: i64| {
        let fd = memfd_create(c"fuzz", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).ok()?;
        ftruncate(&fd, bytes).ok()?;
        Some(fd)
    };
    match kind % 8 {
        0..=2 => memory(1 << 20),
        3 => memory(8192),
        4 => memory(i64::from(kind)),
        5 => pipe().ok().map(|(read, _)| read),
        6 => File::open("/dev/null").ok().map(OwnedFd::from),
        _ => UnixStream::pair().ok().map(|(one, _)| one.into()),
    }
}

/// Returns a region. Its addresses usually do not overlap with others; its length and offset may be anything.
fn region(bytes: &mut Bytes<'_>, index: u64) -> Vec<u8> {
    let shift = u64::from(bytes.next()) << 12;
    let guest = index * 0x1000_0000 + shift;
    [guest, bytes.length(), 0x7000_0000_0000 + guest, bytes.length()]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect()
}

fn message(bytes: &mut Bytes<'_>) -> Vec<u8> {
    let choice = bytes.next();
    let request = REQUESTS[usize::from(choice) % REQUESTS.len()];
    let payload = match (request, choice & 0x80) {
        (5, 0) => {
            let count = bytes.next() % 9;
            let mut payload = u64::from(count).to_le_bytes().to_vec();
            (0..u64::from(count)).for_each(|index| payload.extend(region(bytes, index)));
            payload
        }
        (37 | 38, 0) => [vec![0; 8], region(bytes, u64::from(choice))].concat(),
        (9, 0) => {
            let mut payload = [u32::from(bytes.next() % 4), 0]
                .iter()
                .flat_map(|word| word.to_le_bytes())
                .collect::<Vec<_>>();
            for _ in 0..4 {
                let at = 0x7000_0000_0000 + (u64::from(bytes.next()) << 8);
                payload.extend(at.to_le_bytes());
            }
            payload
        }
        (12..=14, 0) => (u64::from(bytes.next()) << 4 | u64::from(choice % 4)).to_le_bytes().to_vec(),
        _ => (0..8).map(|_| bytes.next()).collect(),
    };
    let mut whole = u32::from(request).to_le_bytes().to_vec();
    // Version 1, and a random need_reply flag.
    whole.extend((1 | u32::from(bytes.next() & 1) << 3).to_le_bytes());
    whole.extend(u32::try_from(payload.len()).unwrap_or(0).to_le_bytes());
    whole.extend(payload);
    whole
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

fuzz_target!(|bytes: &[u8]| {
    let before = open_descriptors();
    let Ok((peer, socket)) = UnixStream::pair() else { return };
    let mut bytes = Bytes(bytes);
    // At most as many messages as fit into the socket's buffer. Each descriptor is closed here after it has been sent.
    for _ in 0..24 {
        if bytes.0.is_empty() {
            break;
        }
        let fds: Vec<OwnedFd> = (0..bytes.next() % 12).filter_map(|_| descriptor(bytes.next())).collect();
        let fds: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
        if rights::send(peer.as_fd(), &message(&mut bytes), &fds).is_err() {
            break;
        }
    }
    let options = Options {
        pages: Pages::Any,
        work: Work::Echo,
        features: FEATURES,
        protocol_features: PROTOCOL_FEATURES,
    };
    if peer.shutdown(Shutdown::Write).is_err() {
        return;
    }
    let mut nobody = Nobody;
    let mut backend = Backend::new(Channel::new(socket.into()), options, &mut nobody);
    let end = backend.serve(Instant::now() + Duration::from_secs(1));
    assert!(!matches!(end, Ok(End::Deadline)), "the stream is over, and the backend waits");
    drop((backend, peer));
    assert_eq!(open_descriptors(), before, "a descriptor is left open");
});
