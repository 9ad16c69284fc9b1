//! The two workers of a session: HP6xx.
//!
//! They agree on nothing beforehand but the task, and talk to each other in vhost-user alone: the answer to a memory
//! table is the sign that the other side has done its part with the memory. Each reports every check of the session as
//! it saw it; `domain::sharing` holds the two against each other.
//!
//! Order of a session. The table has one region: the first side takes the pages and writes, the other reads and writes
//! its bytes. Then frames; then a table of two regions while the rings run, and frames again; then rings again, with
//! buffers in both regions.

mod backend;
mod frontend;
mod payers;
mod recorder;

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::channel::Channel;
use crate::domain::catalogue::HP601;
use crate::domain::part::WorkerOutput;
use crate::domain::plan::{Role, time_for_steps};
use crate::domain::sharing::Session;
use crate::domain::size::PageSize;
use crate::linux::hugefile::FileSource;

use recorder::Recorder;

/// What one worker is to do. Travels to it as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionTask {
    /// [`Role::Frontend`] or [`Role::Backend`], of a session.
    pub role: Role,
    /// The page size.
    pub size: PageSize,
    /// How many pages are shared: one at least. From two on, two files.
    pub pages: u64,
    /// Where the frontend takes them from.
    pub memory: Source,
    /// Seed of all that is written and sent: the same for both workers.
    pub seed: u64,
    /// Frames of each of the three runs.
    pub frames: u64,
    /// The cgroups that frontend and backend join before they do anything.
    #[serde(default)]
    pub cgroups: Cgroups,
    /// Whether it may take as long as it likes: a person may wait between two steps of `walk`.
    #[serde(default)]
    pub no_deadline: bool,
}

/// Directories of cgroups; `None` for where the process is started.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cgroups {
    /// The frontend's.
    pub frontend: Option<String>,
    /// The backend's.
    pub backend: Option<String>,
}

/// Where the frontend takes its pages from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A memfd.
    Memfd,
    /// A hugetlbfs that is attached nowhere.
    Unattached,
    /// A directory of a mounted hugetlbfs.
    Directory(String),
}

/// The time of a phase that is kept for a worker to report that its deadline passed.
const MARGIN: Duration = Duration::from_secs(1);
/// What a session without a deadline gets.
const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Does the work of `task` over `socket` and tells every finding of its session, each once.
///
/// # Errors
///
/// The reader of `output` is gone, or the task is none. Nothing is held any more.
pub fn run(task: &SessionTask, socket: OwnedFd, output: &mut dyn WorkerOutput) -> io::Result<()> {
    let (Role::Frontend(session) | Role::Backend(session)) = task.role else {
        let why = format!("{} is not a role of a session", task.role);
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    };
    let mut recorder = Recorder::new(session, task.size, output);
    let channel = Channel::new(socket);
    match (payers::join(task), task.role) {
        (Err(bad), _) => recorder.bad(HP601, bad)?,
        (Ok(()), Role::Frontend(_)) => frontend::run(task, session, channel, &mut recorder)?,
        (Ok(()), _) => backend::run(task, session, channel, &mut recorder)?,
    }
    recorder.close()
}

// === impl SessionTask ===

impl SessionTask {
    /// When everything has to be over: a moment before the phase is, so that a worker whose time is up still says so.
    fn deadline(&self) -> Instant {
        let now = Instant::now();
        let time = match self.no_deadline {
            true => A_YEAR,
            false => time_for_steps(self.size, self.pages).saturating_sub(MARGIN),
        };
        now.checked_add(time).unwrap_or(now)
    }

    /// Seeds of what the frontend and the backend write to memory.
    const fn seeds(&self) -> (u64, u64) {
        (self.seed, !self.seed)
    }

    /// The directory of the cgroup that this role joins.
    fn own_cgroup(&self) -> Option<&str> {
        match self.role {
            Role::Frontend(_) => self.cgroups.frontend.as_deref(),
            _ => self.cgroups.backend.as_deref(),
        }
    }

    fn page_bytes(&self) -> usize {
        usize::try_from(self.size.bytes()).unwrap_or(usize::MAX)
    }

    /// Pages that a mount with `min_size=` may have reserved beforehand.
    const fn held_by_mount(&self) -> u64 {
        match self.memory {
            Source::Directory(_) => self.pages,
            Source::Memfd | Source::Unattached => 0,
        }
    }

    /// The files that the frontend makes: pages, and regions of each. Two regions in all.
    fn files(&self, session: Session) -> Vec<(u64, u64)> {
        match (session, self.pages) {
            (Session::Private | Session::Small, _) => vec![(1, 1)],
            (_, 0 | 1) => vec![(1, 2)],
            (_, pages) => vec![(pages / 2, 1), (pages - pages / 2, 1)],
        }
    }
}

impl Source {
    pub(super) fn place(&self, session: Session) -> FileSource<'_> {
        match (session, self) {
            (Session::MemfdFrontendFirst | Session::MemfdBackendFirst, _) | (_, Self::Memfd) => {
                FileSource::Memfd
            }
            (_, Self::Unattached) => FileSource::Unattached,
            (_, Self::Directory(path)) => FileSource::Directory(Path::new(path)),
        }
    }
}
