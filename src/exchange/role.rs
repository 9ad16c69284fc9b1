//! The two workers of a session (HP6xx): the frontend and the backend.
//!
//! Both receive the same task, and then communicate only through vhost-user. The answer to a memory table shows that the
//! other side is done with the memory. Each worker reports every check of the session as it observed it, and
//! `domain::sharing` compares the two reports.
//!
//! A session has this order. The first table has one region. The side that touches the pages first allocates them and
//! writes its bytes; the other side reads these and writes its own. Frames follow. Then comes a table of two regions
//! while the rings run, and frames again. Last, the rings are set up again with buffers in both regions, for more
//! frames.

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
use hugeprobe_domain::catalogue::HP601;
use hugeprobe_domain::part::WorkerOutput;
use hugeprobe_domain::plan::{Role, time_for_steps};
use hugeprobe_domain::sharing::Session;
use hugeprobe_domain::size::PageSize;
use hugeprobe_linux::hugefile::FileSource;

use recorder::Recorder;

/// The task of one worker, passed to it as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionTask {
    /// [`Role::Frontend`] or [`Role::Backend`] of a session.
    pub role: Role,
    /// The page size.
    pub size: PageSize,
    /// The number of pages to share, at least 1. With 2 or more, they are in two files.
    pub pages: u64,
    /// Where the frontend's pages come from.
    pub memory: Source,
    /// The seed of everything that is written and sent. Both workers have the same one.
    pub seed: u64,
    /// The number of frames in each of the three runs.
    pub frames: u64,
    /// The cgroups that frontend and backend join before they do anything.
    #[serde(default)]
    pub cgroups: Cgroups,
    /// Whether the session has no deadline, because a user may pause between two steps of `walk`.
    #[serde(default)]
    pub no_deadline: bool,
}

/// The directories of the cgroups. `None` leaves a process in the cgroup in which it was started.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cgroups {
    /// The frontend's.
    pub frontend: Option<String>,
    /// The backend's.
    pub backend: Option<String>,
}

/// Where the frontend's pages come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A memfd.
    Memfd,
    /// A hugetlbfs that is not attached to a path.
    Unattached,
    /// A directory of a mounted hugetlbfs.
    Directory(String),
}

/// How long before the end of its phase a worker gives up, so that it can report that its deadline passed.
const MARGIN: Duration = Duration::from_secs(1);
/// The time for a session without a deadline.
const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Runs `task` over `socket` and reports each finding of its session once.
///
/// # Errors
///
/// The reader of `output` is gone, or the task's role is not a role of a session. All resources have been released.
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
    /// Returns the deadline. It is shortly before the end of the phase, so that a worker that runs out of time can
    /// report it.
    fn deadline(&self) -> Instant {
        let now = Instant::now();
        let time = match self.no_deadline {
            true => A_YEAR,
            false => time_for_steps(self.size, self.pages).saturating_sub(MARGIN),
        };
        now.checked_add(time).unwrap_or(now)
    }

    /// Returns the seeds of what the frontend and the backend write to memory.
    const fn seeds(&self) -> (u64, u64) {
        (self.seed, !self.seed)
    }

    /// Returns the directory of the cgroup that this role joins.
    fn own_cgroup(&self) -> Option<&str> {
        match self.role {
            Role::Frontend(_) => self.cgroups.frontend.as_deref(),
            _ => self.cgroups.backend.as_deref(),
        }
    }

    fn page_bytes(&self) -> usize {
        usize::try_from(self.size.bytes()).unwrap_or(usize::MAX)
    }

    /// Returns the number of pages that a mount with `min_size=` may have reserved in advance.
    const fn held_by_mount(&self) -> u64 {
        match self.memory {
            Source::Directory(_) => self.pages,
            Source::Memfd | Source::Unattached => 0,
        }
    }

    /// Returns the files that the frontend creates, each as the number of its pages and of its regions. There are two
    /// regions in total, or one in the negative controls.
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
