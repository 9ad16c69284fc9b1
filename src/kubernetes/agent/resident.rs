//! Resident mode: probe rounds that are served by the two role containers of the agent's own pod.
//!
//! The agent and the containers exchange files in a directory on a memory-backed emptyDir. Files are created and
//! replaced by rename. Their contents come from another container and are not trusted.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::libc::{O_NOFOLLOW, O_NONBLOCK};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::log::say;
use crate::reconcile::Observation;
use hugeprobe_domain::compact::{CompactError, Container, Message, Run};
use hugeprobe_domain::size::PageSize;

/// The maximum length of a part that is read, in bytes. Valid parts are shorter.
const LONGEST: u64 = 4096;
/// The interval at which the parts are polled.
const LOOK: Duration = Duration::from_millis(250);
/// The time that is added to the duration of a round. The role containers poll every half second.
const SLACK: Duration = Duration::from_secs(5);

/// A round that the agent requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// The page size.
    pub size: PageSize,
    /// The nonce of the round.
    pub run: String,
    /// The maximum number of pages.
    pub pages: u64,
    /// The maximum duration, in seconds.
    pub seconds: u64,
}

/// Requests a round and waits for both parts.
pub async fn hold(directory: &Path, round: Round) -> Observation {
    let directory = directory.join(round.size.to_string());
    let (mut frontend, mut backend) = (None, None);
    match ask(&directory, &round) {
        Ok(()) => {
            let end = Instant::now() + Duration::from_secs(round.seconds) + SLACK;
            while (frontend.is_none() || backend.is_none()) && Instant::now() < end {
                sleep(LOOK).await;
                frontend = frontend.or_else(|| part(&directory, Container::Frontend, &round));
                backend = backend.or_else(|| part(&directory, Container::Backend, &round));
            }
        }
        Err(error) => say(format_args!("cannot request a round in {}: {error}", directory.display())),
    }
    Observation::Round { size: round.size, run: round.run, frontend, backend }
}

/// Writes the request for a round, atomically, where both role containers look for it.
fn ask(directory: &Path, round: &Round) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let (draft, place) = (directory.join(".round"), directory.join("round"));
    // An agent that was killed may have left a draft.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options().write(true).create_new(true).mode(0o644).open(&draft)?;
    writeln!(file, "{}", json!({"nonce": round.run, "pages": round.pages}))?;
    drop(file);
    fs::rename(draft, place)
}

/// Returns the part of one role if it belongs to this round. A part that cannot be parsed is returned too, so that the
/// reconciler reports what is wrong with it.
fn part(directory: &Path, container: Container, round: &Round) -> Option<String> {
    let text = read(&directory.join(format!("{container}.part"))).ok()?;
    let run: Run = round.run.parse().ok()?;
    match Message::parse(&text, container, round.size, &run) {
        // The part is from an earlier round.
        Err(CompactError::OtherRun) => None,
        _ => Some(text),
    }
}

/// Reads at most [`LONGEST`] bytes of a regular file. Symbolic links are not followed.
fn read(path: &PathBuf) -> io::Result<String> {
    let file = File::options().read(true).custom_flags(O_NOFOLLOW | O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut text = Vec::new();
    file.take(LONGEST).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn round() -> Round {
        Round { size: "2Mi".parse().unwrap(), run: "nonce-2".into(), pages: 2, seconds: 1 }
    }

    #[test]
    fn a_round_is_asked_for_by_rename_and_anew() {
        let directory = tempfile::tempdir().unwrap();
        let of_size = directory.path().join("2Mi");
        ask(&of_size, &round()).unwrap();
        symlink("/nowhere", of_size.join(".round")).unwrap();
        ask(&of_size, &round()).unwrap();
        let text = fs::read_to_string(of_size.join("round")).unwrap();
        assert_eq!(text, "{\"nonce\":\"nonce-2\",\"pages\":2}\n");
    }

    #[test]
    fn links_fifos_and_directories_are_no_parts_and_a_long_one_is_cut() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("long"), "x".repeat(10_000)).unwrap();
        symlink(path("long"), path("link")).unwrap();
        nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        fs::create_dir(path("directory")).unwrap();
        assert_eq!(read(&path("long")).unwrap().len(), 4096);
        for name in ["link", "fifo", "directory", "none"] {
            assert!(read(&path(name)).is_err(), "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_that_nobody_serves_ends_without_parts() {
        let directory = tempfile::tempdir().unwrap();
        let Observation::Round { run, frontend, backend, .. } = hold(directory.path(), round()).await else {
            panic!("no round");
        };
        assert_eq!((run.as_str(), frontend, backend), ("nonce-2", None, None));
    }
}
