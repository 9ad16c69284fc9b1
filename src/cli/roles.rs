//! `hugeprobe frontend` and `hugeprobe backend`.

use std::io;
use std::time::Duration;

use hugeprobe_domain::check::Outcome;
use hugeprobe_exchange::frame::Content;
use hugeprobe_exchange::role::Source;
use hugeprobe_exchange::standalone as task;
use hugeprobe_probe::standalone::{self, RoleEvent, StandaloneRole};
use hugeprobe_render::standalone::EventPrinter;

use super::args::{Backend, Frontend, Meeting, Mode, Wait};
use super::exit::Exit;
use super::{Trouble, terminal};

/// Runs the vhost-user frontend, which allocates the memory and shares it.
pub(super) fn frontend(options: &Frontend) -> Result<Exit, Trouble> {
    let Frontend { meeting, size, pages, dir, frames, frame_size, plain, peer, packed, window, wait } =
        options;
    // Before connecting to the peer, so that the peer does not see a connection that cannot be used.
    let size = standalone::choose(*size, *pages).map_err(|error| Trouble::unknown(&error))?;
    play(
        meeting,
        task::StandaloneTask::Frontend(task::FrontendTask {
            size,
            pages: *pages,
            memory: dir.clone().map_or(Source::Memfd, Source::Directory),
            frames: *frames,
            frame_bytes: usize::from(*frame_size),
            content: content(*plain),
            peer: (*peer).into(),
            packed: *packed,
            window: *window,
            wait: (*wait).into(),
            millis: None,
        }),
    )
}

/// Runs the vhost-user backend, which receives the memory from the frontend.
pub(super) fn backend(options: &Backend) -> Result<Exit, Trouble> {
    let Backend { meeting, mode, size, frames, frame_size, plain, wait } = options;
    if frames.is_none() && matches!(mode, Mode::Source | Mode::Bounce) {
        return Err(Trouble::usage(&"--mode source and --mode bounce need --frames"));
    }
    play(
        meeting,
        task::StandaloneTask::Backend(task::BackendTask {
            mode: (*mode).into(),
            size: *size,
            frames: *frames,
            frame_bytes: usize::from(*frame_size),
            content: content(*plain),
            wait: (*wait).into(),
            millis: None,
        }),
    )
}

/// Runs a role and prints each event when it happens.
///
/// The role continues if the reader closes the pipe; the exit code still gives the result.
fn play(meeting: &Meeting, task: task::StandaloneTask) -> Result<Exit, Trouble> {
    let Meeting { socket, listen, deadline } = meeting;
    let deadline = (*deadline != 0).then(|| Duration::from_secs(*deadline));
    let role = StandaloneRole { socket: socket.clone(), listen: *listen, deadline, task };
    let mut printer = EventPrinter::new(io::stdout(), terminal::style());
    let end = standalone::run(&role, &mut |event| {
        ignore(match event {
            RoleEvent::Listening(path) => printer.line("listening", &format!("on {}", path.display())),
            RoleEvent::Connecting(path) => printer.line("connecting", &format!("to {}", path.display())),
            RoleEvent::Connected => printer.line("connected", ""),
            RoleEvent::Session(said) => printer.event(&said),
        });
    });
    ignore(printer.end(end.outcome, &end.text));
    Ok(match end.outcome {
        Outcome::Pass | Outcome::Warn => Exit::Pass,
        Outcome::Fail => Exit::Fail,
        Outcome::Unknown | Outcome::Skip => Exit::Unknown,
    })
}

fn content(plain: bool) -> Content {
    if plain { Content::Plain } else { Content::Checked }
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

impl From<Mode> for task::BackendMode {
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
