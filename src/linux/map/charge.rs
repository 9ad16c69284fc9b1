//! Tries how much ordinary memory the memory cgroup lets this process have, without the risk of an OOM kill.
//!
//! A process that touches a page beyond the limit of its memory cgroup is killed. A block of the size of a transparent huge
//! page is not charged in this way: its order is above PAGE_ALLOC_COSTLY_ORDER, so the charge fails instead
//! (`mem_cgroup_oom()` in mm/memcontrol.c), and MADV_COLLAPSE returns EBUSY. Limits of parents that this process does
//! not see count as well.
//!
//! Source: madvise(2), MADV_COLLAPSE (Linux 6.1, whatever /sys/kernel/mm/transparent_hugepage says).

use std::io;
use std::ops::Range;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::{SysconfVar, sysconf};

use super::{Mapping, SMALL};

/// The unit of a mapping of ordinary memory, in bytes.
const PAGE: u64 = SMALL as u64;
/// The most bytes that are tried: the other programs of the machine need memory too.
const MOST: u64 = 2 << 30;
/// How often a block is tried again after EAGAIN: a page was locked or isolated for a moment.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(2);

/// Charges about `bytes` of ordinary memory to the memory cgroup of this process, and gives it back.
///
/// Returns `None` if all of it could be charged, otherwise the bytes that could. `bytes` is rounded down to whole blocks
/// (2 MiB with pages of 4 KiB).
///
/// # Errors
///
/// It could not be tried: EINVAL if the kernel is older than 6.1 or has no transparent huge pages, ENOMEM if it has no free
/// block or RLIMIT_AS or RLIMIT_DATA is too low, EPERM where a seccomp filter forbids madvise. An error without an errno means
/// that `bytes` is more than 2 GiB, of which nothing is tried.
pub fn charge(bytes: u64) -> io::Result<Option<u64>> {
    if bytes > MOST {
        return Err(io::Error::other(format!("no more than {MOST} bytes are tried")));
    }
    let block = pages_of_a_block()?;
    let blocks = bytes / PAGE / block;
    // One block more, because the start of a mapping is not aligned.
    let room = (blocks + 1).saturating_mul(block * PAGE);
    let memory = Mapping::ordinary(usize::try_from(room).map_err(|_| Errno::EOVERFLOW)?)?;
    let first = (memory.address() / PAGE).next_multiple_of(block) - memory.address() / PAGE;
    for index in 0..blocks {
        let at = first + index * block;
        // MADV_COLLAPSE refuses a block without any page.
        memory.populate_write(at..at + 1)?;
        match collapse(&memory, at..at + block) {
            Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => {
                return Ok(Some(index * block * PAGE));
            }
            other => other?,
        }
    }
    Ok(None)
}

/// Returns the size of a transparent huge page, in [`PAGE`]s: what one page of page table entries maps.
fn pages_of_a_block() -> io::Result<u64> {
    const ENTRY: u64 = 8;
    let page = sysconf(SysconfVar::PAGE_SIZE)?.and_then(|bytes| u64::try_from(bytes).ok());
    page.map(|page| page / ENTRY * (page / PAGE))
        .filter(|block| *block > 0)
        .ok_or_else(|| Errno::EINVAL.into())
}

fn collapse(memory: &Mapping, block: Range<u64>) -> io::Result<()> {
    for _ in 0..TRIES {
        match memory.collapse(block.clone()) {
            Err(error) if error.raw_os_error() == Some(Errno::EAGAIN as i32) => thread::sleep(PAUSE),
            other => return other,
        }
    }
    Err(Errno::EAGAIN.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_without_a_limit_can_be_charged() {
        // Where the kernel cannot try it, it says so.
        match charge(8 << 20) {
            Ok(charged) => assert_eq!(charged, None),
            Err(error) => assert_ne!(error.raw_os_error(), Some(Errno::EBUSY as i32), "{error}"),
        }
    }

    #[test]
    fn no_more_is_tried_than_a_machine_can_spare() {
        for bytes in [MOST + 1, u64::MAX] {
            assert!(charge(bytes).unwrap_err().to_string().contains("no more than"), "{bytes}");
        }
    }
}
