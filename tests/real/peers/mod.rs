//! Both roles with the real peers, with pages of 2Mi and 1Gi. These are tests of the library; `testpmd` and `peer` test
//! what the program shows.

mod daemon;
mod matrix;
mod ovs;
mod qemu;
mod reconnect;
mod service;
mod vhost;
mod virtio_user;

use std::os::fd::AsFd as _;
use std::time::Duration;

use hugeprobe::domain::size::{HugeLen, PageSize};
use hugeprobe::exchange::frontend::Memory;
use hugeprobe::linux::hugefile::{FileSource, HugeFile};
use hugeprobe::linux::map::Sharing;

use crate::Case;

pub(crate) use matrix::NOT_BUILT;

/// A time limit for a busy machine.
const LONG: Duration = Duration::from_secs(300);

pub(crate) fn cases() -> Vec<Case> {
    [
        vhost::CASES,
        virtio_user::CASES,
        ovs::CASES,
        qemu::CASES,
        matrix::CASES,
        reconnect::CASES,
        service::CASES,
    ]
    .concat()
}

/// Returns memory of `files` memfds with a page each.
fn memory(size: PageSize, files: u64) -> Memory {
    let mut memory = Memory::default();
    for _ in 0..files {
        let file = HugeFile::new(FileSource::Memfd, HugeLen::new(size, 1).unwrap()).unwrap();
        memory.add(file.as_fd(), file.len(), Sharing::Shared, 1).unwrap();
    }
    memory
}
