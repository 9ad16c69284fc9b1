//! Frontend and backend one thing at a time, each when it is told to: for `walk`, which looks at the counters in between.
//!
//! Standard input is the director's socket. Its first byte brings this role's end of the vhost-user connection; each line
//! after that is an [`Act`], and each is answered on standard output once it is done. At the end of the lines everything
//! is given back.

use std::io::{self, BufRead as _, BufReader};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::PollFlags;
use serde::{Deserialize, Serialize};
use vm_memory::{Bytes as _, VolatileSlice};

use super::backend::{Backend, End, FEATURES, Nobody, Options, PROTOCOL_FEATURES, Work};
use super::channel::{Channel, wait};
use super::frontend::{Frontend, Memory};
use super::message::protocol;
use super::role::Source;
use super::table::{Pages, Region};
use crate::domain::sharing::Session;
use crate::domain::size::{HugeLen, PageSize};
use crate::linux::cgroup::Group;
use crate::linux::errno::{is_not_offered, named};
use crate::linux::hugefile::HugeFile;
use crate::linux::map::{Mapping, Sharing};
use crate::linux::rights;

/// What one worker is told. Travels to it as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Which of the two it is.
    pub side: Side,
    /// The page size.
    pub size: PageSize,
    /// How many pages are shared.
    pub pages: u64,
    /// Where the frontend takes them from.
    pub memory: Source,
    /// The cgroup that it joins first.
    #[serde(default)]
    pub cgroup: Option<String>,
    /// How long the backend waits for the memory, and the frontend for each answer, milliseconds.
    pub millis: u64,
}

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Owns the memory.
    Frontend,
    /// Is handed it.
    Backend,
}

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Joins its cgroup, if it has one.
    Join,
    /// The frontend makes a file and maps it.
    Map,
    /// The frontend hands it over in SET_MEM_TABLE; done when the backend has said that it has it.
    HandOver,
    /// The backend serves the connection until it has mapped what it was handed.
    TakeOver,
    /// Takes every page and writes one byte to each.
    Touch,
    /// Reads what [`Act::Touch`] of the other has written to each page.
    Read,
    /// Unmaps and closes.
    Release,
}

/// What is said when an act is done, or could not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Who says it.
    pub side: Side,
    /// Its process.
    pub pid: u32,
    /// Why it could not be done.
    pub problem: Option<String>,
}

/// What is written to each page.
const MARK: u8 = 0xa5;
/// Between two looks at whether the memory is there.
const SLICE: Duration = Duration::from_millis(10);

/// Does what it is told over `director` until that hangs up.
///
/// # Errors
///
/// Whoever listens is gone, or what comes are no acts. Nothing is held any more.
pub fn play(
    task: &Task,
    director: OwnedFd,
    say: &mut dyn FnMut(&Answer) -> io::Result<()>,
) -> io::Result<()> {
    let channel = Channel::new(connection(&director, Duration::from_millis(task.millis))?);
    let mut acts = BufReader::new(UnixStream::from(director))
        .lines()
        .map(|line| serde_json::from_str::<Act>(&line?).map_err(io::Error::other));
    let mut answer = |done: Result<(), String>| {
        say(&Answer { side: task.side, pid: std::process::id(), problem: done.err() })
    };
    match task.side {
        Side::Frontend => {
            let mut frontend =
                Owner { task, channel: Some(channel), frontend: None, memory: Memory::default() };
            acts.try_for_each(|act| answer(frontend.act(act?)))
        }
        Side::Backend => {
            let mut watch = Nobody;
            let options = Options {
                pages: Pages::Of(task.size),
                work: Work::Sink(None),
                features: FEATURES,
                protocol_features: PROTOCOL_FEATURES & !protocol::STATUS,
            };
            let mut backend = Some(Backend::new(channel, options, &mut watch));
            acts.try_for_each(|act| answer(act_of_backend(task, &mut backend, act?)))
        }
    }
}

/// The frontend and its memory.
struct Owner<'t> {
    task: &'t Task,
    /// Until the memory is handed over.
    channel: Option<Channel>,
    frontend: Option<Frontend>,
    memory: Memory,
}

impl Owner<'_> {
    fn act(&mut self, act: Act) -> Result<(), String> {
        match act {
            Act::Join => join(self.task),
            Act::Map => self.map(),
            Act::HandOver => self.hand_over(),
            Act::Touch => touch(self.memory.mappings(), self.task.size),
            Act::Read => read(self.memory.mappings(), self.task.size),
            Act::Release => {
                self.frontend = None;
                self.memory = Memory::default();
                Ok(())
            }
            Act::TakeOver => Err("the frontend is handed nothing".to_owned()),
        }
    }

    fn map(&mut self) -> Result<(), String> {
        let Task { size, pages, memory, .. } = self.task;
        let len = HugeLen::new(*size, *pages).ok_or_else(|| format!("{pages} pages of {size}"))?;
        let file =
            HugeFile::new(memory.place(Session::FrontendFirst), len).map_err(|error| error.to_string())?;
        let added = self.memory.add(file.as_fd(), len, Sharing::Shared, 1);
        added.map_err(|error| format!("mmap: {}", named(&error)))
    }

    fn hand_over(&mut self) -> Result<(), String> {
        let channel = self.channel.take().ok_or("the memory was handed over before")?;
        let patience = Duration::from_millis(self.task.millis);
        let mut frontend = Frontend::new(channel, patience).map_err(|error| error.to_string())?;
        let (regions, fds) = self.memory.table(1);
        frontend.set_memory(&regions, &fds).map_err(|error| error.to_string())?;
        self.frontend = Some(frontend);
        Ok(())
    }
}

fn act_of_backend(task: &Task, held: &mut Option<Backend<'_>>, act: Act) -> Result<(), String> {
    let Some(backend) = held else { return Err("the backend is gone".to_owned()) };
    match act {
        Act::Join => join(task),
        Act::TakeOver => {
            let deadline = Instant::now() + Duration::from_millis(task.millis);
            while backend.report().tables == 0 && Instant::now() < deadline {
                match backend.serve(Instant::now() + SLICE) {
                    Ok(End::Deadline) => {}
                    Ok(_) => return Err("the frontend hung up".to_owned()),
                    Err(error) => return Err(error.to_string()),
                }
            }
            if backend.report().tables == 0 { Err("no memory came".to_owned()) } else { Ok(()) }
        }
        Act::Touch => touch(mappings(backend), task.size),
        Act::Read => read(mappings(backend), task.size),
        Act::Release => {
            *held = None;
            Ok(())
        }
        Act::Map | Act::HandOver => Err("the backend has no memory of its own".to_owned()),
    }
}

fn join(task: &Task) -> Result<(), String> {
    let Some(directory) = &task.cgroup else { return Ok(()) };
    let group = Group::open(Path::new(directory)).map_err(|error| error.to_string())?;
    group.join().map_err(|error| format!("{directory}/cgroup.procs: {}", named(&error)))
}

fn mappings<'b>(backend: &'b Backend<'_>) -> impl Iterator<Item = &'b Mapping> {
    backend.table().regions().iter().map(Region::mapping)
}

/// Takes this role's end of the connection from the first byte.
fn connection(director: &OwnedFd, patience: Duration) -> io::Result<OwnedFd> {
    let deadline = Instant::now() + patience;
    wait(&[(director.as_fd(), PollFlags::POLLIN)], deadline).map_err(io::Error::other)?;
    let received = rights::receive(director.as_fd(), &mut [0])?;
    received.fds.into_iter().next().ok_or_else(|| io::Error::other("no connection came"))
}

/// One byte of each page, having made sure that the page is there: a touch that gets none would kill.
fn touch<'m>(mappings: impl IntoIterator<Item = &'m Mapping>, size: PageSize) -> Result<(), String> {
    for mapping in mappings {
        match mapping.populate_all() {
            Err(error) if !is_not_offered(&error) => {
                return Err(format!("MADV_POPULATE_WRITE: {}", named(&error)));
            }
            _ => each_page(&mapping.volatile(), size, |memory, at| {
                memory.write_obj(MARK, at).map_err(|error| error.to_string())
            })?,
        }
    }
    Ok(())
}

fn read<'m>(mappings: impl IntoIterator<Item = &'m Mapping>, size: PageSize) -> Result<(), String> {
    for mapping in mappings {
        each_page(&mapping.volatile(), size, |memory, at| match memory.read_obj::<u8>(at) {
            Ok(MARK) => Ok(()),
            Ok(other) => Err(format!("byte {at} is {other:#x}, and {MARK:#x} was written")),
            Err(error) => Err(error.to_string()),
        })?;
    }
    Ok(())
}

fn each_page(
    memory: &VolatileSlice<'_>,
    size: PageSize,
    mut act: impl FnMut(&VolatileSlice<'_>, usize) -> Result<(), String>,
) -> Result<(), String> {
    let page = usize::try_from(size.bytes()).unwrap_or(usize::MAX);
    (0..memory.len()).step_by(page).try_for_each(|at| act(memory, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_travels_survives_its_own_text() {
        let task = Task {
            side: Side::Backend,
            size: PageSize::from_bytes(2 << 20).unwrap(),
            pages: 2,
            memory: Source::Memfd,
            cgroup: Some("/sys/fs/cgroup/a b".to_owned()),
            millis: 1,
        };
        let text = serde_json::to_string(&task).unwrap();
        assert_eq!(serde_json::from_str::<Task>(&text).unwrap(), task);
        let all = [Act::Join, Act::Map, Act::HandOver, Act::TakeOver, Act::Touch, Act::Read, Act::Release];
        for act in all {
            let text = serde_json::to_string(&act).unwrap();
            assert_eq!(serde_json::from_str::<Act>(&text).unwrap(), act);
        }
    }
}
