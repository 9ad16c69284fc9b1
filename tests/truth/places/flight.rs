//! A file of huge pages whose only reference is a message on a socket: no process has it open or mapped.
//!
//! The process is this test binary, started as `truth --as in-flight SIZE PAGES`.

use std::ffi::CStr;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use hugeprobe::domain::size::PageSize;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

/// Runs such a process, if the command line asks for it.
pub(crate) fn play(words: &[String]) -> Option<ExitCode> {
    let ["--as", "in-flight", size, pages] = words.iter().map(String::as_str).collect::<Vec<_>>()[..] else {
        return None;
    };
    let size: PageSize = size.parse().unwrap();
    let bytes = size.bytes() * pages.parse::<u64>().unwrap();
    let name: &CStr = c"in-flight";
    // These bits contain the logarithm of the page size: MFD_HUGE_SHIFT of memfd_create(2).
    let of_size = MFdFlags::from_bits_retain(size.bytes().trailing_zeros() << 26);
    let file = memfd_create(name, MFdFlags::MFD_HUGETLB | of_size).unwrap();
    fallocate(&file, FallocateFlags::empty(), 0, bytes.try_into().unwrap()).unwrap();
    let (sender, receiver) = UnixStream::pair().unwrap();
    let message = [ControlMessage::ScmRights(&[file.as_raw_fd()])];
    let bytes = [std::io::IoSlice::new(b"x")];
    sendmsg::<()>(sender.as_raw_fd(), &bytes, &message, MsgFlags::empty(), None).unwrap();
    drop(file);
    println!("held");
    std::thread::sleep(Duration::from_secs(1000));
    drop(receiver);
    Some(ExitCode::SUCCESS)
}
