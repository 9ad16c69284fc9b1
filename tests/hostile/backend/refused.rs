//! What the backend cannot accept: memory without huge pages, and descriptors beyond its limit.

use hugeprobe::domain::size::PageSize;
use hugeprobe::exchange::message::{Payload, Request};
use hugeprobe::exchange::table::Pages;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::super::script::Frontend;
use super::super::*;
use super::against;

#[test]
fn the_backend_takes_huge_pages_alone() {
    let _one = one_at_a_time();
    let two = PageSize::from_bytes(2 << 20).unwrap();
    for pages in [Pages::Huge, Pages::Of(two)] {
        row("4 KiB pages", "its file is not on hugetlbfs, its pages are of 4096 bytes", |time| {
            against(pages, Frontend::memory, time)
        });
    }
}

#[test]
fn descriptors_that_cannot_be_had_are_an_error_and_none_is_lost() {
    let _one = one_at_a_time();
    row("no descriptors left", "this process has reached its RLIMIT_NOFILE", |time| {
        against(
            Pages::Any,
            |f| {
                let fds = Vec::from_iter((0..8).map(|_| eventfd()));
                let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
                let room = open_fds() as u64 + 2;
                setrlimit(Resource::RLIMIT_NOFILE, room, hard).unwrap();
                f.send(Request::SetOwner, Payload::None, &fds);
                // The limit applies to all threads, so it stays until the backend has reached it.
                f.stay();
                setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
            },
            time,
        )
    });
}
