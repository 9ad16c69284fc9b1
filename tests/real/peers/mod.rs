//! Both roles against the real peers, with pages of 2Mi and of 1Gi: what the library does; what the program shows of it
//! is in `testpmd` and `peer`.

mod daemon;
mod matrix;
mod ovs;
mod qemu;
mod vhost;
mod virtio_user;

use std::os::fd::AsFd as _;
use std::time::Duration;

use hugeprobe::domain::size::{HugeLen, PageSize};
use hugeprobe::exchange::frontend::Memory;
use hugeprobe::linux::hugefile::{FileSource, HugeFile};
use hugeprobe::linux::map::Sharing;

use crate::Case;

/// A busy machine takes its time.
const LONG: Duration = Duration::from_secs(300);

pub(crate) fn cases() -> Vec<Case> {
    [vhost::CASES, virtio_user::CASES, ovs::CASES, qemu::CASES, matrix::CASES].concat()
}

/// `files` memfds of a page each.
fn memory(size: PageSize, files: u64) -> Memory {
    let mut memory = Memory::default();
    for _ in 0..files {
        let file = HugeFile::new(FileSource::Memfd, HugeLen::new(size, 1).unwrap()).unwrap();
        memory.add(file.as_fd(), file.len(), Sharing::Shared, 1).unwrap();
    }
    memory
}
