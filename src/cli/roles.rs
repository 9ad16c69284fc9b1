//! `hugeprobe frontend` and `hugeprobe backend`.

use std::io;
use std::time::Duration;

use crate::domain::check::Outcome;
use crate::exchange::alone as task;
use crate::exchange::role::Source;
use crate::probe::alone::{self, Alone, News};
use crate::render::alone::Teller;

use super::args::{Backend, Frontend, Meeting, Mode, Wait};
use super::exit::Exit;
use super::{Trouble, terminal};

/// Owns the memory.
pub(super) fn frontend(options: &Frontend) -> Result<Exit, Trouble> {
    let Frontend { meeting, size, pages, dir, frames, frame_size, peer, window, wait } = options;
    // Sooner than the peer is met: it need not come for nothing.
    let size = alone::choose(*size, *pages).map_err(|error| Trouble::unknown(&error))?;
    play(
        meeting,
        task::Task::Frontend(task::Frontend {
            size,
            pages: *pages,
            memory: dir.clone().map_or(Source::Memfd, Source::Directory),
            frames: *frames,
            frame_bytes: usize::from(*frame_size),
            peer: (*peer).into(),
            window: *window,
            wait: (*wait).into(),
            millis: None,
        }),
    )
}

/// Is handed the memory.
pub(super) fn backend(options: &Backend) -> Result<Exit, Trouble> {
    let Backend { meeting, mode, size, frames, frame_size, wait } = options;
    if frames.is_none() && matches!(mode, Mode::Source | Mode::Bounce) {
        return Err(Trouble::usage(&"--mode source and --mode bounce need --frames"));
    }
    play(
        meeting,
        task::Task::Backend(task::Backend {
            mode: (*mode).into(),
            size: *size,
            frames: *frames,
            frame_bytes: usize::from(*frame_size),
            wait: (*wait).into(),
            millis: None,
        }),
    )
}

/// Plays a role and shows each thing as it happens. A reader that went away stops nothing: the exit code still tells.
fn play(meeting: &Meeting, task: task::Task) -> Result<Exit, Trouble> {
    let Meeting { socket, listen, deadline } = meeting;
    let deadline = (*deadline != 0).then(|| Duration::from_secs(*deadline));
    let alone = Alone { socket: socket.clone(), listen: *listen, deadline, task };
    let mut teller = Teller::new(io::stdout(), terminal::style());
    let end = alone::run(&alone, &mut |news| {
        ignore(match news {
            News::Listening(path) => teller.line("listening", &format!("on {}", path.display())),
            News::Connecting(path) => teller.line("connecting", &format!("to {}", path.display())),
            News::Met => teller.line("connected", ""),
            News::Said(said) => teller.said(&said),
        });
    });
    ignore(teller.end(end.outcome, &end.text));
    Ok(match end.outcome {
        Outcome::Pass | Outcome::Warn => Exit::Pass,
        Outcome::Fail => Exit::Fail,
        Outcome::Unknown | Outcome::Skip => Exit::Unknown,
    })
}

impl From<Wait> for task::Wait {
    fn from(wait: Wait) -> Self {
        match wait {
            Wait::Both => Self::Both,
            Wait::Poll => Self::Poll,
            Wait::Sleep => Self::Sleep,
        }
    }
}

impl From<Mode> for task::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Echo => Self::Echo,
            Mode::Sink => Self::Sink,
            Mode::Source => Self::Source,
            Mode::Bounce => Self::Bounce,
        }
    }
}

fn ignore<T>(_: io::Result<T>) {}
