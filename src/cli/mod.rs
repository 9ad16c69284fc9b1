//! The command line: parsing, dispatch, and the exit code.
//!
//! One file per verb; [`args`] declares them all, [`exit`] holds what a script relies on.

pub mod args;
mod check;
#[cfg(feature = "cluster")]
mod cluster;
pub mod container;
pub mod exit;
mod explain;
mod plugin;
mod roles;
mod terminal;
mod walk;

use std::io::{self, Write};
use std::process::ExitCode;

use crate::linux::signals::default_sigchld;
use crate::probe::{guardian, worker};
use crate::render::json::SCHEMA;
use args::Verb;
use exit::Exit;

/// Runs what the command line asks for.
#[must_use]
pub fn main() -> ExitCode {
    // Where it is refused, a worker's end is still noticed, only not how it ended.
    let _ = default_sigchld();
    match plugin::parse(std::env::args_os()).verb {
        Verb::Check(options) => finish(check::run(&options)),
        Verb::Walk(options) => finish(walk::run(&options)),
        Verb::Frontend(options) => finish(roles::frontend(&options)),
        Verb::Backend(options) => finish(roles::backend(&options)),
        #[cfg(feature = "cluster")]
        Verb::Agent(options) => finish(cluster::agent(&options)),
        #[cfg(feature = "cluster")]
        Verb::Nodes(options) => finish(cluster::nodes(&options)),
        #[cfg(feature = "cluster")]
        Verb::Cleanup(options) => finish(cluster::cleanup(&options)),
        Verb::Explain(options) => finish(explain::run(&options)),
        Verb::Schema => finish(print(|out| out.write_all(SCHEMA.as_bytes())).map(|()| Exit::Pass)),
        Verb::Worker { assignment } => worker::main(&assignment),
        Verb::Role { assignment } => worker::role(&assignment),
        Verb::Container(options) => finish(container::run(&options)),
        Verb::Guardian { id, counts } => guardian::main(&id, &counts),
    }
}

/// Turns the result of a verb into an exit code, and prints the error.
fn finish(outcome: Result<Exit, Trouble>) -> ExitCode {
    match outcome {
        Ok(exit) => exit.into(),
        Err(trouble) => {
            // Standard error may be closed; the exit code still tells.
            let _ = writeln!(io::stderr(), "hugeprobe: {}", trouble.text);
            trouble.exit.into()
        }
    }
}

/// Why a verb did not do what it was asked for, in one sentence.
struct Trouble {
    exit: Exit,
    text: String,
}

impl Trouble {
    fn usage(text: &impl ToString) -> Self {
        Self { exit: Exit::Usage, text: text.to_string() }
    }

    fn unknown(text: &impl ToString) -> Self {
        Self { exit: Exit::Unknown, text: text.to_string() }
    }
}

/// Writes through `show` to standard output. The reader may stop at any line (`| head`): that is not an error of hugeprobe,
/// and the verdict remains.
fn print(show: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Trouble> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match show(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Trouble::unknown(&format!("cannot write to standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
