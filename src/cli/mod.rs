//! The command line: parsing, dispatch, and the exit code.
//!
//! There is one file for each verb. [`args`] declares the verbs and their options; [`exit`] defines the exit codes.

pub mod args;
#[cfg(feature = "support")]
mod bundle;
mod check;
#[cfg(feature = "cluster")]
mod cluster;
pub mod container;
pub mod exit;
mod explain;
#[cfg(any(feature = "kubectl", feature = "support"))]
mod input;
#[cfg(feature = "kubectl")]
mod kubectl;
mod plugin;
mod roles;
#[cfg(feature = "kubectl")]
mod sort;
mod terminal;
mod walk;

use std::io::{self, Write};
use std::process::ExitCode;

use args::Verb;
use exit::Exit;
use hugeprobe_linux::signals::default_sigchld;
use hugeprobe_probe::{guardian, worker};
use hugeprobe_render::json::SCHEMA;

/// Parses the command line, runs the verb and returns the exit code.
#[must_use]
pub fn main() -> ExitCode {
    // If this fails, the end of a worker is still noticed, but not its exit status.
    let _ = default_sigchld();
    let command_line: Vec<_> = std::env::args_os().collect();
    if let Some(code) = worker::main(&command_line) {
        return code;
    }
    match plugin::parse(command_line).verb {
        Verb::Check(options) => finish(check::run(&options)),
        #[cfg(feature = "support")]
        Verb::Bundle(options) => finish(bundle::run(&options)),
        Verb::Walk(options) => finish(walk::run(&options)),
        Verb::Frontend(options) => finish(roles::frontend(&options)),
        Verb::Backend(options) => finish(roles::backend(&options)),
        #[cfg(feature = "cluster")]
        Verb::Agent(options) => finish(cluster::agent(&options)),
        #[cfg(feature = "cluster")]
        Verb::Pages(options) => finish(cluster::pages(&options)),
        #[cfg(feature = "kubectl")]
        Verb::Nodes(options) if options.watch => finish(kubectl::watch(&options)),
        #[cfg(feature = "cluster")]
        Verb::Nodes(options) => finish(cluster::nodes(&options)),
        #[cfg(feature = "kubectl")]
        Verb::Node(options) => finish(kubectl::node(&options)),
        #[cfg(feature = "kubectl")]
        Verb::Who(options) => finish(kubectl::who(&options)),
        #[cfg(feature = "kubectl")]
        Verb::Recheck(options) => finish(kubectl::recheck(&options)),
        #[cfg(feature = "kubectl")]
        Verb::Fits(options) => finish(kubectl::fits(&options)),
        #[cfg(feature = "kubectl")]
        Verb::Why(options) => finish(kubectl::why(&options)),
        #[cfg(feature = "cluster")]
        Verb::Cleanup(options) => finish(cluster::cleanup(&options)),
        #[cfg(feature = "cluster")]
        Verb::Policies(options) => finish(cluster::policies(&options)),
        Verb::Explain(options) => finish(explain::run(&options)),
        Verb::Schema => finish(print(|out| out.write_all(SCHEMA.as_bytes())).map(|()| Exit::Pass)),
        Verb::Container(options) => finish(container::run(&options)),
        Verb::Guardian { id, counts } => guardian::main(&id, &counts),
    }
}

/// Prints the error of a verb, if any, and returns the exit code.
fn finish(outcome: Result<Exit, Trouble>) -> ExitCode {
    match outcome {
        Ok(exit) => exit.into(),
        Err(trouble) => {
            // Standard error may be closed; the exit code still reports the failure.
            let _ = writeln!(io::stderr(), "hugeprobe: {}", trouble.text);
            trouble.exit.into()
        }
    }
}

/// The error of a verb: one sentence and the exit code.
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

/// Calls `show` to write to standard output.
///
/// The reader may close the pipe at any line (`| head`). That is not an error, and the exit code does not change.
fn print(show: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Trouble> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match show(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Trouble::unknown(&format!("cannot write to standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
