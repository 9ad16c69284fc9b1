//! HP605, HP610 and HP611 made to fail: by a limit that the frontend reaches first, and by backends that fail late.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use hugeprobe::domain::catalogue::{HP604, HP610, HP611};
use hugeprobe::domain::check::{CheckId, Finding, Outcome};
use hugeprobe::domain::part::WorkerOutput;
use hugeprobe::domain::plan::Role;
use hugeprobe::domain::sharing::Session;
use hugeprobe::domain::size::HugeLen;
use hugeprobe::exchange::backend::{Backend, FEATURES, Options, PROTOCOL_FEATURES, Traffic, Watch, Work};
use hugeprobe::exchange::channel::Channel;
use hugeprobe::exchange::message::protocol;
use hugeprobe::exchange::role::Cgroups;
use hugeprobe::exchange::table::{Pages, Table};
use hugeprobe::exchange::{self, SessionTask, Source};
use hugeprobe::linux::map::{Fill, Mapping, Sharing};
use hugeprobe::linux::pattern;
use vm_memory::VolatileSlice;

use crate::Case;
use crate::context::{HANGS, Machine, Missing, SMALL, child};

pub(crate) const CASES: &[Case] = &[
    ("spoilt: HP605 fails when the frontend's first touch is SIGBUS", first_touch),
    ("spoilt: HP610 fails when frames of the second region come back altered", second_region),
    ("spoilt: HP611 fails when the bytes of a new region are not shared", new_region),
];

/// Exceeds the fault limit on a kernel that cannot populate, so that the touch itself kills the worker.
fn first_touch(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let group = machine.cgroup("first-touch")?;
    group.set("hugetlb.2MB.max", 0);
    let arguments = ["check", "-o", "json", "--size", "2Mi", "--only", "HP6"];
    let run = child::under_in_cgroup(group.path(), child::Filter::OldKernel, &arguments);
    let entry = run.expect("HP605", "fail");
    assert!(entry["seen"].as_str().unwrap().contains("SIGBUS"), "{entry:#}");
    Ok(())
}

/// How a backend spoils the second region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spoils {
    /// It never writes the bytes that the frontend expects there.
    Bytes,
    /// It writes them, but after the first run of frames it keeps altering a byte of each frame there.
    Frames,
}

/// A backend that writes the bytes that the frontend expects, and then spoils the second region.
struct Spoiler {
    spoils: Spoils,
    seed: u64,
    met: usize,
    second: Option<File>,
    over: Arc<AtomicBool>,
}

impl Watch for Spoiler {
    fn table(&mut self, table: &Table, _: &Traffic) -> Result<(), String> {
        for region in table.regions().iter().skip(self.met) {
            self.met += 1;
            if self.met == 2 {
                let first = region.mapping().address();
                let name = format!("/proc/self/map_files/{first:x}-{:x}", first + SMALL.bytes());
                self.second = Some(File::options().read(true).write(true).open(name).unwrap());
                if self.spoils == Spoils::Bytes {
                    continue;
                }
            }
            pattern::write(&region.volatile().unwrap(), 2 << 20, !self.seed).unwrap();
        }
        Ok(())
    }

    fn stopping(&mut self, _: u32, _: &Traffic) {
        if let (Spoils::Frames, Some(file)) = (self.spoils, self.second.take()) {
            let over = Arc::clone(&self.over);
            thread::spawn(move || {
                let len = HugeLen::new(SMALL, 1).unwrap();
                let mapping = Mapping::file(file.as_fd(), len, 0, Sharing::Shared, Fill::OnTouch).unwrap();
                let memory = mapping.volatile();
                while !over.load(Ordering::Relaxed) {
                    let frames = places_of_frames(&memory);
                    for place in std::iter::repeat_n(&frames, 100).flatten() {
                        memory.subslice(place + IN_THE_FILLING, 1).unwrap().copy_from(&[0xff_u8]);
                    }
                }
            });
        }
    }
}

/// The offset of a byte of a frame that belongs neither to its type nor to its number nor to its digest.
const IN_THE_FILLING: usize = 45;

/// Returns the offsets of our frames, which are found by destination and type. All of them are even.
fn places_of_frames(memory: &VolatileSlice<'_>) -> Vec<usize> {
    let mut bytes = vec![0_u8; memory.len()];
    memory.copy_to(&mut bytes);
    let is_ours = |place: &usize| bytes[*place] == 0x02 && bytes[place + 12..place + 14] == [0x88, 0xB5];
    (0..bytes.len() - 64).step_by(2).filter(is_ours).collect()
}

#[derive(Default)]
struct Collected(Vec<Finding>);

impl WorkerOutput for Collected {
    fn step(&mut self, _: CheckId, _: &str) -> std::io::Result<()> {
        Ok(())
    }

    fn found(&mut self, finding: Finding) -> std::io::Result<()> {
        self.0.push(finding);
        Ok(())
    }
}

/// Returns the findings of our frontend with such a backend.
fn findings(spoils: Spoils) -> Vec<Finding> {
    let role = Role::Frontend(Session::FrontendFirst);
    let task = SessionTask {
        role,
        size: SMALL,
        pages: 2,
        memory: Source::Unattached,
        seed: 42,
        frames: 1 << 15,
        cgroups: Cgroups::default(),
        no_deadline: false,
    };
    let (ours, theirs) = UnixStream::pair().unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let mut spoiler = Spoiler { spoils, seed: task.seed, met: 0, second: None, over: Arc::clone(&over) };
    let backend = thread::spawn(move || {
        let options = Options {
            pages: Pages::Huge,
            work: Work::Echo,
            features: FEATURES,
            protocol_features: PROTOCOL_FEATURES & !protocol::STATUS,
        };
        let _ =
            Backend::new(Channel::new(theirs.into()), options, &mut spoiler).serve(Instant::now() + HANGS);
    });
    let mut heard = Collected::default();
    exchange::run(&task, ours.into(), &mut heard).unwrap();
    over.store(true, Ordering::Relaxed);
    backend.join().unwrap();
    heard.0
}

fn outcome(findings: &[Finding], id: CheckId) -> Outcome {
    findings.iter().find(|finding| finding.id == id).unwrap_or_else(|| panic!("{id}: {findings:#?}")).outcome
}

fn second_region(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let findings = findings(Spoils::Frames);
    for (id, expected) in [(HP604, Outcome::Pass), (HP611, Outcome::Pass), (HP610, Outcome::Fail)] {
        assert_eq!(outcome(&findings, id), expected, "{id}: {findings:#?}");
    }
    Ok(())
}

fn new_region(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let findings = findings(Spoils::Bytes);
    for (id, expected) in [(HP604, Outcome::Pass), (HP611, Outcome::Fail)] {
        assert_eq!(outcome(&findings, id), expected, "{id}: {findings:#?}");
    }
    Ok(())
}
