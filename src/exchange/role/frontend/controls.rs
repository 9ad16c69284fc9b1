//! The negative controls at the frontend: memory that must not be shared, and memory that must be refused.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::ftruncate;
use serde_json::json;

use super::{Stop, begin, ended, identities, no_pages, populate, region_of, take_memory, write};
use crate::channel::Channel;
use crate::frontend::{FrontendError, Memory};
use crate::role::SessionTask;
use crate::role::recorder::{Bad, Good, Recorder};
use hugeprobe_domain::catalogue::{HP608, HP609};
use hugeprobe_domain::sharing::Session;
use hugeprobe_domain::size::{HugeLen, PageSize};
use hugeprobe_linux::errno::named;
use hugeprobe_linux::map::Sharing;
use hugeprobe_linux::pattern;

/// Runs HP608 with a private mapping: what one side writes must not reach the other.
pub(super) fn private(
    task: &SessionTask,
    session: Session,
    channel: Channel,
    recorder: &mut Recorder<'_>,
) -> Result<(), Stop> {
    let deadline = task.deadline();
    let memory = take_memory(task, session, Sharing::Private, recorder)?;
    recorder.step(HP608, "take the pages and write to them")?;
    memory.mappings().try_for_each(populate).map_err(|error| no_pages(&error))?;
    write(&memory, 0, task)?;
    let mut frontend = begin(channel, deadline).map_err(|error| ended(HP608, error))?;
    recorder.step(HP608, "send a table of 1 region(s)")?;
    let (table, fds) = memory.table(1);
    frontend.set_memory(&table, &fds).map_err(|error| match error {
        // The backend sees bytes that it must not see, or it has no page to read. Its own report says which.
        FrontendError::Refused { .. } => {
            let expected = "it accepts the table and sees no written bytes";
            Stop::Bad(HP608, Bad::unknown("the backend refuses the table", expected, error.to_string()))
        }
        error => ended(HP608, error),
    })?;
    let (ours, _) = task.seeds();
    if pattern::compare(&region_of(&memory, 0)?, task.page_bytes(), ours).is_err() {
        let seen = "the private mapping changed after the backend wrote to the file";
        return Err(Stop::Bad(
            HP608,
            Bad::fail("a private mapping is shared", "its own bytes, unchanged", seen),
        ));
    }
    let agreed = json!({ "files": identities(&memory)? });
    let summary = Session::Private.in_short().to_owned();
    Ok(recorder.good(HP608, Good { summary, agreed, evidence: json!({}) })?)
}

/// Runs HP609 with ordinary pages, which the backend must refuse.
pub(super) fn small(task: &SessionTask, channel: Channel, recorder: &mut Recorder<'_>) -> Result<(), Stop> {
    const BYTES: u64 = 1 << 20;
    let deadline = task.deadline();
    let no_memory = |call: &str, error: io::Error| {
        let seen = format!("{call}: {}", named(&error));
        Stop::Bad(HP609, Bad::unknown("no memory of small pages is available", "a memfd of 1 MiB", seen))
    };
    recorder.step(HP609, "send a memfd of 4 KiB pages")?;
    let file = memfd_create(c"hugeprobe-small", MFdFlags::MFD_CLOEXEC);
    let file: OwnedFd = file.map_err(|errno| no_memory("memfd_create", errno.into()))?;
    ftruncate(&file, 1 << 20).map_err(|errno| no_memory("ftruncate", errno.into()))?;
    // 8 KiB is the smallest `PageSize`. Ordinary memory can be mapped in any unit.
    let len = PageSize::from_bytes(8 << 10).and_then(|unit| HugeLen::new(unit, BYTES / unit.bytes()));
    let len = len.ok_or_else(|| no_memory("mmap", io::ErrorKind::InvalidInput.into()))?;
    let mut memory = Memory::default();
    memory.add(file.as_fd(), len, Sharing::Shared, 1).map_err(|error| no_memory("mmap", error))?;
    let mut frontend = begin(channel, deadline).map_err(|error| ended(HP609, error))?;
    let (table, fds) = memory.table(1);
    match frontend.set_memory(&table, &fds) {
        Err(error @ (FrontendError::Refused { .. } | FrontendError::HungUp(_))) => {
            let summary = Session::Small.in_short().to_owned();
            let evidence = json!({ "answer": error.to_string() });
            Ok(recorder.good(HP609, Good { summary, agreed: json!({ "refused": true }), evidence })?)
        }
        Err(error) => Err(ended(HP609, error)),
        Ok(()) => {
            let bad = Bad::fail(
                "the backend accepts memory of 4 KiB pages",
                "the backend refuses it",
                "it acknowledges the table",
            );
            Err(Stop::Bad(HP609, bad))
        }
    }
}
