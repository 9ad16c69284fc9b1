//! The binary: see the library of the same name.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("guardian"), Some(assignment)) => hugeprobe::probe::guardian::main(&assignment),
        _ => ExitCode::from(2),
    }
}
