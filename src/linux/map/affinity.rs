//! The CPUs that a thread may run on: sched_getaffinity(2), sched_setaffinity(2).
//!
//! nix and rustix have wrappers for 1024 CPUs only. A kernel that supports more CPUs rejects such a small mask with
//! EINVAL.

use std::fmt;
use std::io;

use nix::errno::Errno;
use nix::libc::{self, c_ulong, pid_t};

use crate::errno::checked;

/// The maximum number of CPUs that Linux supports (`CONFIG_NR_CPUS` is at most 8192).
const CPUS: u32 = 8192;
const BITS: u32 = c_ulong::BITS;
const THIS_THREAD: pid_t = 0;

/// A set of CPUs.
#[derive(Clone, PartialEq, Eq)]
pub struct CpuMask([c_ulong; (CPUS / BITS) as usize]);

// === impl CpuMask ===

impl CpuMask {
    /// Returns the CPUs that this thread may run on.
    ///
    /// # Errors
    ///
    /// The errors of sched_getaffinity(2): EPERM or ENOSYS where the call is forbidden.
    pub fn of_thread() -> io::Result<Self> {
        let mut mask = Self([0; _]);
        // SAFETY: the kernel writes at most the declared number of bytes.
        let answer = unsafe {
            libc::syscall(libc::SYS_sched_getaffinity, THIS_THREAD, size_of_val(&mask.0), mask.0.as_mut_ptr())
        };
        checked(answer)?;
        Ok(mask)
    }

    /// Returns the number of CPUs of this set.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// Restricts this thread to these CPUs.
    ///
    /// # Errors
    ///
    /// The errors of sched_setaffinity(2): EPERM where the call is forbidden, EINVAL if this process may use none of
    /// the CPUs.
    pub fn set_for_thread(&self) -> io::Result<()> {
        // SAFETY: the kernel reads at most the declared number of bytes.
        checked(unsafe {
            libc::syscall(libc::SYS_sched_setaffinity, THIS_THREAD, size_of_val(&self.0), self.0.as_ptr())
        })
    }

    /// Returns the CPUs of this set that are also in `cpus`; `None` if there are none.
    #[must_use]
    pub fn only(&self, cpus: &[u32]) -> Option<Self> {
        let mut mask = Self([0; _]);
        for cpu in cpus.iter().filter(|cpu| self.has(**cpu)) {
            mask.add(*cpu).ok()?;
        }
        (mask != Self([0; _])).then_some(mask)
    }

    fn has(&self, cpu: u32) -> bool {
        self.0.get((cpu / BITS) as usize).is_some_and(|word| word >> (cpu % BITS) & 1 == 1)
    }

    fn add(&mut self, cpu: u32) -> Result<(), Errno> {
        let word = self.0.get_mut((cpu / BITS) as usize).ok_or(Errno::EINVAL)?;
        *word |= 1 << (cpu % BITS);
        Ok(())
    }
}

impl fmt::Debug for CpuMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries((0..CPUS).filter(|cpu| self.has(*cpu))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_cut_down_to_the_cpus_that_are_in_both() {
        let mut mask = CpuMask([0; _]);
        for cpu in [0, 63, 64, 1024, 8191] {
            mask.add(cpu).unwrap();
        }
        let both = mask.only(&[1, 64, 1024, 9000]).unwrap();
        assert_eq!(format!("{both:?}"), "[64, 1024]");
        assert_eq!(mask.only(&[1, 2, 9000]), None);
        assert!(mask.add(8192).is_err());
    }

    #[test]
    fn the_kernel_takes_back_what_it_gave() {
        let mask = CpuMask::of_thread().unwrap();
        mask.set_for_thread().unwrap();
        assert_eq!(CpuMask::of_thread().unwrap(), mask);
    }
}
