//! Runs on demand, called rounds, for a resident container: one file requests a round, another one answers it.
//!
//! Both files are renamed into place, so that a reader never sees a partial file. A container that was restarted does
//! not answer the same round twice.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Deserialize;

use super::super::supervisor::Supervisor;
use super::error::{ServeError, ignore};
use super::log;
use super::meeting::Meeting;
use super::probe::Probe;
use super::round::Round;
use hugeprobe_domain::compact::{Container, Message, Run};

/// The settings with which a container answers requests for rounds.
pub(super) struct Rounds<'a> {
    pub(super) container: Container,
    pub(super) probe: &'a Probe,
    pub(super) meeting: &'a Meeting,
    pub(super) time: Duration,
    pub(super) directory: &'a Path,
}

/// A request for a round: one line of JSON in the file `round`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// The name of the run.
    nonce: Run,
    /// How many pages to try with, if fewer are available than the containers may use.
    #[serde(default)]
    pages: Option<u64>,
}

/// How often the request file is read, in milliseconds. No cheaper way works on the file system of a pod.
const EVERY_MILLIS: u16 = 500;
/// The longest request that is accepted, in bytes.
const LONGEST: u64 = 4 << 10;

/// Answers requests for rounds until a signal arrives.
pub(super) fn serve(
    rounds: &Rounds<'_>,
    supervisor: &mut Supervisor<'_>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), ServeError> {
    let mut answered = None;
    let mut complained = String::new();
    while supervisor.look().is_none() {
        match asked(rounds.directory) {
            Ok(Some(asked)) if answered.as_ref() != Some(&asked.nonce) => {
                if !is_answered(rounds, &asked.nonce) {
                    answer(rounds, &asked, supervisor, out, err)?;
                }
                answered = Some(asked.nonce);
                complained.clear();
            }
            Ok(_) => wait(supervisor),
            Err(why) => {
                if why != complained {
                    ignore(writeln!(
                        err,
                        "hugeprobe: cannot read a request for a round from {}/round: {why}",
                        rounds.directory.display()
                    ));
                    complained = why;
                }
                wait(supervisor);
            }
        }
    }
    Ok(())
}

fn wait(supervisor: &Supervisor<'_>) {
    // The result does not matter: the caller checks everything again.
    let _ =
        poll(&mut [PollFd::new(supervisor.signals(), PollFlags::POLLIN)], PollTimeout::from(EVERY_MILLIS));
}

/// Returns the requested round, if any. Another container writes the file, so it is read up to a limit, without
/// following a symbolic link and without blocking.
fn asked(directory: &Path) -> Result<Option<Asked>, String> {
    match read(&directory.join("round")) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| error.to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads a regular file of at most [`LONGEST`] bytes.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = File::options().read(true).custom_flags(flags.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut text = Vec::new();
    if file.take(LONGEST + 1).read_to_end(&mut text)? as u64 > LONGEST {
        return Err(io::Error::other(format!("longer than {LONGEST} bytes")));
    }
    Ok(text)
}

/// Returns whether this container had already answered the round before it was restarted.
fn is_answered(rounds: &Rounds<'_>, run: &Run) -> bool {
    let part = read(&rounds.directory.join(part(rounds.container))).ok();
    let text = part.and_then(|part| String::from_utf8(part).ok()).unwrap_or_default();
    Message::parse(&text, rounds.container, rounds.probe.size, run).is_ok()
}

fn answer(
    rounds: &Rounds<'_>,
    asked: &Asked,
    supervisor: &mut Supervisor<'_>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), ServeError> {
    let Rounds { container, meeting, time, directory, .. } = *rounds;
    // Never more pages than the container's limit allows.
    let pages = asked.pages.unwrap_or(rounds.probe.pages).clamp(1, rounds.probe.pages.max(1));
    let probe = Probe { pages, ..rounds.probe.clone() };
    let round = Round { container, probe: &probe, run: &asked.nonce, meeting, time, missed: Cell::default() };
    let message = round.play(supervisor, &mut |_| ());
    ignore(log::write(&message, out, err));
    let path = directory.join(part(container));
    leave(&path, &directory.join(format!(".{}", part(container))), &message.write())
        .map_err(|source| ServeError::Report { path, source })
}

/// Writes a file by rename, so that a reader sees all of it or nothing.
fn leave(path: &Path, draft: &Path, text: &str) -> io::Result<()> {
    fs::write(draft, text)?;
    fs::rename(draft, path)
}

fn part(container: Container) -> String {
    format!("{container}.part")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_asked_for_by_a_line_of_json() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("round");
        assert_eq!(asked(directory.path()), Ok(None));
        for (text, expected) in [
            (r#"{"nonce":"a-1"}"#, Some(None)),
            ("{\"nonce\":\"a-1\",\"pages\":1}\n", Some(Some(1))),
            (r#"{"nonce":"a 1"}"#, None),
            (r#"{"nonce":"a-1","more":1}"#, None),
            (r#"{"nonce":"a-1","pages":-1}"#, None),
            ("", None),
        ] {
            fs::write(&path, text).unwrap();
            let found = asked(directory.path()).map(Option::unwrap);
            assert_eq!(found.ok().map(|asked| asked.pages), expected, "{text}");
        }
        fs::write(&path, " ".repeat(5000)).unwrap();
        assert!(asked(directory.path()).unwrap_err().contains("longer"));
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/proc/self/status", &path).unwrap();
        assert!(asked(directory.path()).is_err());
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(asked(directory.path()).unwrap_err().contains("regular"));
    }
}
