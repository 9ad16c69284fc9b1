//! Random places (docs/internals/places.md) on machines that this one is not: several NUMA nodes, other kernels, and huge
//! pages that count against memory.max.
//!
//! `HUGEPROBE_MACHINE_PLACES` is the number of places on each machine, and `HUGEPROBE_SEED` the seed of the first one.
//! `make nightly` draws 40. Without the number they are left out: they take longer than all other machines together.

use std::path::Path;
use std::time::Duration;

use crate::Case;
use crate::machine::Shape;

pub(crate) const CASES: &[Case] = &[
    ("random places: two nodes of different size", |prepared| {
        draw(Shape::of("bookworm", &[1024, 640]), prepared, "");
    }),
    ("random places: four nodes, one without memory and one without CPUs", |prepared| {
        let shape = Shape::of("bookworm", &[1024, 512, 0, 512]);
        draw(Shape { without_processors: Some(3), ..shape }, prepared, "");
    }),
    ("random places: the oldest kernel", |prepared| draw(Shape::of("bullseye", &[1024, 640]), prepared, "")),
    ("random places: the newest kernel, huge pages count against memory.max", |prepared| {
        draw(Shape { processors: 2, ..Shape::of("sid", &[1536]) }, prepared, ACCOUNTING);
    }),
];

const ACCOUNTING: &str = "
umount /sys/fs/cgroup
mount -t cgroup2 -o memory_hugetlb_accounting none /sys/fs/cgroup
";

/// Why a run without a number leaves them out.
pub(crate) const LEFT_OUT: &str =
    "needs `make machines` with HUGEPROBE_MACHINE_PLACES=10, as in `make nightly`";

const NUMBER: &str = "HUGEPROBE_MACHINE_PLACES";

/// Returns whether a number of places is set.
pub(crate) fn are_wanted() -> bool {
    std::env::var_os(NUMBER).is_some()
}

/// A place takes some ten seconds here, and one that disagrees some minutes.
const PLACE: Duration = Duration::from_secs(60);

fn draw(shape: Shape, prepared: &Path, before: &str) {
    let number: u32 = std::env::var(NUMBER).unwrap().parse().unwrap();
    // The same places each time, unless others are asked for.
    let seed = std::env::var("HUGEPROBE_SEED").unwrap_or_else(|_| "6006".to_owned());
    let script = format!(
        "{before}
export PATH=/real:/bin HUGEPROBE_SLOWNESS=4 HUGEPROBE_ALONE=1
run places env HUGEPROBE_PLACES={number} HUGEPROBE_SEED={seed} truth
"
    );
    let deadline = Duration::from_secs(900) + PLACE * number;
    let log = Shape { brings: &["truth.gz"], deadline, ..shape }.run(prepared, &script);
    let said = log.said("places");
    println!("{}", said.out);
    assert_eq!(said.code, 0, "seed {seed}: {}\n{}", said.out, said.errors);
}
