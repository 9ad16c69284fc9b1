//! Loads of memory into the CPU's cache in advance.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use std::arch::asm;

use vm_memory::VolatileSlice;

/// What the CPU will do with the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read it. Other CPUs keep their copies.
    Read,
    /// Write to it. Other CPUs give up their copies.
    Write,
}

/// The size of a cache line in bytes. Some CPUs have longer ones, for which a line is then asked for twice.
const LINE: usize = 64;

/// Executes the instruction of this architecture for an address. On other architectures it does nothing.
macro_rules! hint {
    ($x86_64:literal, $aarch64:literal, $line:expr) => {{
        let line: *const u8 = $line;
        // SAFETY: these instructions are hints. They change neither registers nor memory and do not fault, whatever the
        // address is. An x86-64 CPU without `prefetchw` treats it as a no-op.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            asm!($x86_64, in(reg) line, options(readonly, nostack, preserves_flags));
        }
        // SAFETY: as above.
        #[cfg(target_arch = "aarch64")]
        unsafe {
            asm!($aarch64, in(reg) line, options(readonly, nostack, preserves_flags));
        }
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let _ = line;
    }};
}

/// Asks the CPU to load `memory` into its cache, and does not wait for it. Does nothing on architectures other than x86-64
/// and arm64.
#[inline]
pub fn prefetch(memory: &VolatileSlice<'_>, access: Access) {
    let guard = memory.ptr_guard();
    for at in (0..memory.len()).step_by(LINE) {
        let line = guard.as_ptr().wrapping_add(at);
        match access {
            Access::Read => hint!("prefetcht0 [{}]", "prfm pldl1keep, [{}]", line),
            Access::Write => hint!("prefetchw [{}]", "prfm pstl1keep, [{}]", line),
        }
    }
}
