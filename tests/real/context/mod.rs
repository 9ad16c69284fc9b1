//! What tests on real pages need: pools that are restored, cgroups, mounts, and runs of the program.

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

/// 1Gi, in pages of which many machines have none.
pub(crate) const LARGE: PageSize = match PageSize::from_bytes(1 << 30) {
    Some(size) => size,
    None => panic!("1Gi is a size"),
};

/// A time longer than any deadline of the product. What takes this long hangs, however busy the machine is. No test
/// measures speed: how a run ended is read from its output.
pub(crate) const HANGS: std::time::Duration = std::time::Duration::from_secs(90);

/// The machine on which a test runs.
#[derive(Debug)]
pub(crate) struct Machine(());

/// Something that a test needs and this machine does not have.
#[derive(Debug)]
pub(crate) struct Missing(pub(crate) String);

/// Requires a program in PATH.
pub(crate) fn program_or_missing(program: &str) -> Result<(), Missing> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|directory| directory.join(program).is_file());
    if is_there { Ok(()) } else { Err(Missing(program.to_owned())) }
}

/// Ends a child process of the test: with SIGTERM, then with SIGKILL if that takes too long.
pub(crate) fn end(child: &mut std::process::Child) {
    use std::time::{Duration, Instant};
    let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
    let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(Duration::from_millis(20));
    }
    // Either it has ended, or it does not end by itself.
    let _ = child.kill();
    let _ = child.wait();
}

// === impl Machine ===

impl Machine {
    /// Returns the machine on which this runs.
    pub(crate) fn new() -> Self {
        Self(())
    }

    /// Requires root.
    pub(crate) fn root(&self) -> Result<(), Missing> {
        if nix::unistd::geteuid().is_root() { Ok(()) } else { Err(Missing("root".to_owned())) }
    }

    /// Requires root, and `pages` pages of `size` that no other process uses, for as long as the guard lives.
    pub(crate) fn pages(&self, size: PageSize, pages: u64) -> Result<pools::Extra, Missing> {
        self.root()?;
        // The kernel may have no pages of 1Gi to add to those in the pool: the machine's own, or those of
        // `tests/hold-1gi`.
        let there = if size == LARGE { pools::available_if_any(size) } else { 0 };
        pools::Extra::add(size, pages.saturating_sub(there))
    }

    /// Does the same as [`Machine::pages`] and holds all available pages of 1Gi, because a DPDK process without a mount
    /// takes pages of the largest size.
    pub(crate) fn small_pages_alone(
        &self,
        pages: u64,
    ) -> Result<(pools::Extra, Option<child::Holder>), Missing> {
        let extra = self.pages(SMALL, pages)?;
        let others = pools::available_if_any(LARGE);
        Ok((extra, (others > 0).then(|| child::hold(LARGE, others, child::How::Reserved))))
    }

    /// Requires root, and a pool of `size` without pages, for as long as the guard lives.
    pub(crate) fn empty_pool(&self, size: PageSize) -> Result<pools::Removed, Missing> {
        self.root()?;
        pools::Removed::all(size)
    }

    /// Requires root, and creates a hugetlb cgroup on the v2 hierarchy.
    pub(crate) fn cgroup(&self, name: &str) -> Result<cgroup::Group, Missing> {
        self.root()?;
        cgroup::Group::new(name)
    }
}
