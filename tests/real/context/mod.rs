//! What a test on real pages stands on: pools that are given back, cgroups, mounts, and runs of the program.

pub(crate) mod cgroup;
pub(crate) mod child;
pub(crate) mod ovs;
pub(crate) mod pod;
pub(crate) mod pools;
pub(crate) mod program;
pub(crate) mod qemu;
pub(crate) mod random;
pub(crate) mod testpmd;

use hugeprobe::domain::size::PageSize;

/// 2Mi, the size that every test machine has.
pub(crate) const SMALL: PageSize = match PageSize::from_bytes(2 << 20) {
    Some(size) => size,
    None => panic!("2Mi is a size"),
};

/// 1Gi.
pub(crate) const LARGE: PageSize = match PageSize::from_bytes(1 << 30) {
    Some(size) => size,
    None => panic!("1Gi is a size"),
};

/// Longer than any deadline of the product: what takes this long hangs, whatever else the machine does. No test measures
/// speed: how something ended is read from what it says.
pub(crate) const HANGS: std::time::Duration = std::time::Duration::from_secs(90);

/// This machine, as a test finds it.
#[derive(Debug)]
pub(crate) struct Machine(());

/// Something that a test needs and this machine does not have.
#[derive(Debug)]
pub(crate) struct Missing(pub(crate) String);

/// Needs a program, by name or by path.
pub(crate) fn program_or_missing(program: &str) -> Result<(), Missing> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|directory| directory.join(program).is_file());
    if is_there { Ok(()) } else { Err(Missing(program.to_owned())) }
}

/// Ends a process that was started here: politely, and by force when that takes too long.
pub(crate) fn end(child: &mut std::process::Child) {
    use std::time::{Duration, Instant};
    let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
    let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(Duration::from_millis(20));
    }
    // It has ended, or is not going to by itself.
    let _ = child.kill();
    let _ = child.wait();
}

// === impl Machine ===

impl Machine {
    /// The machine that this runs on.
    pub(crate) fn new() -> Self {
        Self(())
    }

    /// Needs root.
    pub(crate) fn root(&self) -> Result<(), Missing> {
        if nix::unistd::geteuid().is_root() { Ok(()) } else { Err(Missing("root".to_owned())) }
    }

    /// Needs root and `pages` pages of `size` that nobody else has, for as long as the guard lives.
    pub(crate) fn pages(&self, size: PageSize, pages: u64) -> Result<pools::Extra, Missing> {
        self.root()?;
        // Of 1Gi a kernel may have no more than what is in the pool, of the machine's own or by `tests/hold-1gi`.
        let there = if size == LARGE { pools::available_if_any(size) } else { 0 };
        pools::Extra::add(size, pages.saturating_sub(there))
    }

    /// [`Machine::pages`], and none of 1Gi is to be had: a DPDK process without a mount takes pages of the largest size.
    pub(crate) fn small_pages_alone(
        &self,
        pages: u64,
    ) -> Result<(pools::Extra, Option<child::Holder>), Missing> {
        let extra = self.pages(SMALL, pages)?;
        let others = pools::available_if_any(LARGE);
        Ok((extra, (others > 0).then(|| child::hold(LARGE, others, child::How::Reserved))))
    }

    /// Needs root and a pool of `size` without a page, for as long as the guard lives.
    pub(crate) fn empty_pool(&self, size: PageSize) -> Result<pools::Removed, Missing> {
        self.root()?;
        pools::Removed::all(size)
    }

    /// Needs a hugetlb cgroup of its own on the v2 hierarchy.
    pub(crate) fn cgroup(&self, name: &str) -> Result<cgroup::Group, Missing> {
        self.root()?;
        cgroup::Group::new(name)
    }
}
