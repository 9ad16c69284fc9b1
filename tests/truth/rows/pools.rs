//! Faults of the pool: it has no pages, or other processes use them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hugeprobe::domain::catalogue::{HP101, HP102, HP105, HP106, HP509};
use hugeprobe::domain::size::PageSize;

use super::{DIR, Row, SMALL, TESTPMD, THREE, healthy, other, row};
use crate::context::child::How;
use crate::context::{Missing, pools};
use crate::place::Place;
use crate::process::{Process, Waited};
use crate::scene::Scene;

pub(super) const ROWS: &[Row] = &[
    row("the pool is empty", THREE, &[HP101, HP102, HP509], |scene| with_pages(scene, 0)),
    row("the pool is one page too small", THREE, &[HP509], |scene| with_pages(scene, scene.need() - 1)),
    row("another process holds every page", THREE, &[HP509], |scene| {
        healthy(scene)?;
        scene.hold(scene.need(), How::Touched);
        Ok(())
    }),
    row("another process has reserved every free page", THREE, &[HP509], |scene| {
        healthy(scene)?;
        scene.hold(scene.need(), How::Reserved);
        Ok(())
    }),
    row("another process has reserved one of the pages", THREE, &[HP509], |scene| {
        healthy(scene)?;
        scene.hold(1, How::Reserved);
        Ok(())
    }),
    // Overcommit never provides pages of 1Gi.
    Row {
        fault: "all pages have to come by overcommit",
        kinds: THREE,
        sizes: &[SMALL],
        causes: &[HP101, HP509],
        state: |scene| {
            with_pages(scene, 0)?;
            overcommit(scene, scene.need());
            Ok(())
        },
    },
    Row {
        fault: "one page is free, and the others have to come by overcommit",
        kinds: THREE,
        sizes: &[SMALL],
        causes: &[HP106],
        state: |scene| {
            with_pages(scene, 1)?;
            overcommit(scene, scene.need());
            Ok(())
        },
    },
    Row {
        fault: "half of the pages have to come by overcommit",
        kinds: THREE,
        sizes: &[SMALL],
        causes: &[HP509],
        state: |scene| {
            with_pages(scene, scene.need() / 2)?;
            overcommit(scene, scene.need() - scene.need() / 2);
            Ok(())
        },
    },
    row("pages of the other size only", THREE, &[HP101, HP509], |scene| {
        with_pages(scene, 0)?;
        let other = other(scene.size);
        scene.pool_of(other, (2 << 30) / other.bytes())
    }),
    row(
        "the pool was shrunk under a process that holds every page",
        THREE,
        &[HP101, HP102, HP509],
        |scene| {
            healthy(scene)?;
            scene.hold(scene.need(), How::Touched);
            scene.keep(Shrunk::by(scene.size, scene.need()));
            Ok(())
        },
    ),
    Row {
        fault: "the pool shrinks and grows all the time, by pages that are not needed",
        kinds: THREE,
        sizes: &[SMALL],
        causes: &[],
        state: |scene| {
            with_pages(scene, scene.need() + SPARE)?;
            scene.restless = true;
            scene.keep(Restless::start(scene.size));
            Ok(())
        },
    },
    row("leaked files of DPDK hold every page", THREE, &[HP105], |scene| {
        // testpmd removes these files when it starts.
        scene.restless = true;
        leaked(scene, "rtemap_0", scene.need())
    }),
    row(
        "leaked files of DPDK, on a mount that it does not see, hold every page",
        TESTPMD,
        &[HP105],
        |scene| {
            healthy(scene)?;
            let there = elsewhere(scene);
            let script = format!(
                "mount -t hugetlbfs -o pagesize={} none '{there}' && fallocate -l {} '{there}/rtemap_0' && echo held && \
             exec sleep 1000",
                scene.size.bytes(),
                scene.bytes(scene.need()),
            );
            holder(scene, &["unshare", "--mount", "sh", "-c", &script]);
            Ok(())
        },
    ),
    row("leaked files of no DPDK process hold every page", THREE, &[HP105], |scene| {
        leaked(scene, "ram.img", scene.need())
    }),
    row("leaked files hold as many pages as are free beside them", THREE, &[], |scene| {
        with_pages(scene, scene.need())?;
        scene.pool(2 * scene.need())?;
        leak(scene, "ram.img", scene.need());
        Ok(())
    }),
    row("a deleted file that a process has open holds every page", TESTPMD, &[HP509], deleted),
    row("min_size= of another mount has reserved every page", THREE, &[HP509], |scene| {
        healthy(scene)?;
        let there = elsewhere(scene);
        let size = scene.size.bytes();
        let min = scene.bytes(scene.need());
        scene.sh(&format!("mount -t hugetlbfs -o pagesize={size},min_size={min} none '{there}'"));
        scene.at_last(&format!("umount '{there}'"));
        Ok(())
    }),
    row("min_size= of the mount has reserved every page for it", DIR, &[HP102, HP509], |scene| {
        scene.pool(scene.need())?;
        scene.mount(&format!("min_size={}", scene.bytes(scene.need())));
        Ok(())
    }),
];

/// How many pages are removed and added in a pool that keeps changing.
pub(crate) const SPARE: u64 = 4;

/// Makes a healthy scene, with another number of pages.
pub(super) fn with_pages(scene: &mut Scene, pages: u64) -> Result<(), Missing> {
    scene.pool(pages)?;
    if scene.directory().is_some() {
        scene.mount("");
    }
    Ok(())
}

/// Allows the pool to grow by `pages` pages.
fn overcommit(scene: &mut Scene, pages: u64) {
    let surplus = pools::counter(scene.size, "surplus_hugepages");
    scene.set("nr_overcommit_hugepages", surplus + pages);
}

/// Creates a directory next to the workload's and returns its path.
fn elsewhere(scene: &Scene) -> String {
    let there = scene.huge.with_file_name("elsewhere");
    std::fs::create_dir(&there).unwrap();
    there.display().to_string()
}

/// Creates a file that no process has open. It holds `pages` pages of a pool that has just enough. The file is in the
/// workload's directory, or in another one if the workload uses none.
fn leaked(scene: &mut Scene, name: &str, pages: u64) -> Result<(), Missing> {
    healthy(scene)?;
    leak(scene, name, pages);
    Ok(())
}

fn leak(scene: &mut Scene, name: &str, pages: u64) {
    if scene.directory().is_none() {
        scene.mount("");
    }
    scene.sh(&format!("fallocate -l {} \"$DIR/{name}\"", scene.bytes(pages)));
}

fn deleted(scene: &mut Scene) -> Result<(), Missing> {
    healthy(scene)?;
    if scene.directory().is_none() {
        scene.mount("");
    }
    let script = format!(
        "exec 9<>'{0}/gone' && fallocate -l {1} '{0}/gone' && rm '{0}/gone' && echo held && exec sleep 1000",
        scene.huge.display(),
        scene.bytes(scene.need())
    );
    holder(scene, &["sh", "-c", &script]);
    Ok(())
}

/// Starts a process and waits until it reports that it holds its pages.
fn holder(scene: &mut Scene, command: &[&str]) {
    let mut holder = Process::start(Place::default().command(command[0]).args(&command[1..]));
    let waited = holder.wait_for(|said| said.contains("held"), Duration::from_secs(10));
    assert_eq!(waited, Waited::Printed, "{}", holder.words());
    scene.keep(holder);
}

/// Persistent pages removed from a pool, although they may be in use; added again when dropped.
struct Shrunk {
    size: PageSize,
    pages: u64,
}

impl Shrunk {
    fn by(size: PageSize, pages: u64) -> Self {
        pools::set(size, "nr_hugepages", pools::persistent(size) - pages);
        Self { size, pages }
    }
}

impl Drop for Shrunk {
    fn drop(&mut self) {
        pools::set(self.size, "nr_hugepages", pools::persistent(self.size) + self.pages);
    }
}

/// A thread that removes pages from a pool and adds them again, until dropped.
pub(crate) struct Restless {
    enough: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Restless {
    pub(crate) fn start(size: PageSize) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&enough);
        let thread = thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                let shrunk = Shrunk::by(size, SPARE);
                thread::sleep(Duration::from_millis(20));
                drop(shrunk);
                thread::sleep(Duration::from_millis(20));
            }
        });
        Self { enough, thread: Some(thread) }
    }
}

impl Drop for Restless {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}
