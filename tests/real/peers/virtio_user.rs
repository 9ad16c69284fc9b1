//! Our backend with testpmd's net_virtio_user.

use std::time::{Duration, Instant};

use hugeprobe::domain::size::PageSize;
use hugeprobe::exchange::backend::{
    Backend, End, FEATURES, Options, PROTOCOL_FEATURES, Traffic, Watch, Work,
};
use hugeprobe::exchange::channel::Channel;
use hugeprobe::exchange::frame::{Source, Tracker};
use hugeprobe::exchange::ring::Layout;
use hugeprobe::exchange::socket::Listener;
use hugeprobe::exchange::table::{Pages, Table};

use super::LONG;
use crate::Case;
use crate::context::testpmd::{ONE_FILE, Testpmd, Told};
use crate::context::{LARGE, Machine, Missing, SMALL};

pub(super) const CASES: &[Case] = &[
    ("peers: testpmd's virtio_user sends back a million frames of our backend's", one_file),
    ("peers: testpmd's virtio_user that sent a burst of its own does so too", busy),
    ("peers: testpmd's virtio_user with two queue pairs does so too", two_pairs),
    ("peers: testpmd's virtio_user with packed rings does so too, in each of its ring paths", packed),
    (
        "peers: testpmd's virtio_user does so with a file for each page, within the limit of regions",
        many_files,
    ),
    ("peers: testpmd's virtio_user does so with a page of 1Gi from a mount", large),
];

const FRAMES: u64 = 1_000_000;
const SEED: u64 = 0xfeed;

/// Records the number of regions of each memory table.
#[derive(Default)]
struct Tables(Vec<usize>);

impl Watch for Tables {
    fn table(&mut self, table: &Table, _: &Traffic) -> Result<(), String> {
        self.0.push(table.regions().len());
        Ok(())
    }
}

fn one_file(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.small_pages_alone(32)?;
    bounce(SMALL, Told { memory: ONE_FILE, ..Told::default() }).map(drop)
}

/// Tests several queue pairs. DPDK sets up the queues that its application requests; virtio_user announces all it has.
fn two_pairs(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.small_pages_alone(32)?;
    for arguments in [&["--forward-mode=io"][..], &["--forward-mode=io", "--rxq=2", "--txq=2"]] {
        bounce_over(SMALL, "queues=2", Told { memory: ONE_FILE, arguments, ..Told::default() })?;
    }
    Ok(())
}

/// Tests the paths that DPDK has for packed rings. The vectorized one requires AVX512; without it, DPDK uses another.
fn packed(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.small_pages_alone(32)?;
    for options in [
        "packed_vq=1",
        "packed_vq=1,mrg_rxbuf=0",
        "packed_vq=1,in_order=1",
        "packed_vq=1,in_order=1,mrg_rxbuf=0,vectorized=1",
    ] {
        bounce_over(SMALL, options, Told { memory: ONE_FILE, ..Told::default() })?;
    }
    Ok(())
}

/// Tests with a burst that testpmd sends first and that circulates together with our frames.
fn busy(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.small_pages_alone(32)?;
    bounce(SMALL, Told { arguments: &["--forward-mode=io", "--tx-first"], ..Told::default() }).map(drop)
}

fn many_files(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.small_pages_alone(32)?;
    let tables = bounce(
        SMALL,
        Told { memory: &["--in-memory", "-m", "4", "--socket-limit", "16"], ..Told::default() },
    )?;
    // DPDK places its pages next to each other where it can, but each page is a separate file.
    assert!(
        tables.iter().any(|regions| *regions >= 4) && tables.iter().all(|regions| *regions <= 8),
        "{tables:?}"
    );
    Ok(())
}

fn large(machine: &Machine) -> Result<(), Missing> {
    let _page = machine.pages(LARGE, 1)?;
    let told = Told {
        preamble: "mkdir \"$DIR\"/huge && mount -t hugetlbfs -o pagesize=1G none \"$DIR\"/huge",
        memory: &["--single-file-segments", "-m", "1024", "--huge-dir", "$DIR/huge"],
        ..Told::default()
    };
    bounce(LARGE, told).map(drop)
}

/// Sends a million frames to a testpmd that sends each one back. Returns the sizes of the tables that it sent.
fn bounce(size: PageSize, told: Told<'_>) -> Result<Vec<usize>, Missing> {
    bounce_over(size, "queues=1", told)
}

/// Does the same with a device that has these options, and verifies that it uses the ring layout that they ask for.
fn bounce_over(size: PageSize, options: &str, told: Told<'_>) -> Result<Vec<usize>, Missing> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = Listener::new(&path).unwrap();
    let device = format!("net_virtio_user0,path={},{options},queue_size=256", path.display());
    let mut testpmd = Some(Testpmd::told(directory.path(), &device, told)?);
    let deadline = Instant::now() + LONG;
    let channel = Channel::new(listener.accept(deadline).unwrap());
    let (source, returns) = (Source::new(SEED, 64), Some(Tracker::new(SEED)));
    let work = Work::Source { source, frames: FRAMES, returns };
    let (features, protocol_features) = (FEATURES, PROTOCOL_FEATURES);
    let settings = Options { pages: Pages::Of(size), work, features, protocol_features };
    let mut tables = Tables::default();
    let mut backend = Backend::new(channel, settings, &mut tables);
    // In short slices, to notice when all frames are back.
    while !backend.report().tally.unwrap().is_whole(FRAMES) && Instant::now() < deadline {
        let end = backend.serve(Instant::now() + Duration::from_millis(100)).unwrap();
        assert_eq!(end, End::Deadline, "testpmd is gone: {:?}", backend.report());
    }
    let report = backend.report();
    assert!(report.tally.unwrap().is_whole(FRAMES), "{report:?}");
    let layout = if options.contains("packed_vq=1") { Layout::Packed } else { Layout::Split };
    assert_eq!(Layout::of(report.features), layout, "{report:?}");
    // testpmd sends its table again whenever its memory grows. It grows at the start, unless one page is large enough.
    assert!(report.tables >= if size == SMALL { 2 } else { 1 }, "{report:?}");
    let ending = std::thread::spawn(move || drop(testpmd.take()));
    assert_eq!(backend.serve(Instant::now() + LONG).unwrap(), End::Closed);
    ending.join().unwrap();
    Ok(tables.0)
}
