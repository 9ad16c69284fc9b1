//! `hugeprobe explain`.

use crate::domain::catalogue;
use crate::render::explain;

use super::args::Explain;
use super::exit::Exit;
use super::{Trouble, print, terminal};

/// Prints one check, or the list of them.
pub(super) fn run(options: &Explain) -> Result<Exit, Trouble> {
    let style = terminal::style();
    print(|out| match options.check.and_then(catalogue::find) {
        Some(check) => explain::explain(check, out, style),
        None => explain::list(out, style),
    })?;
    Ok(Exit::Pass)
}
