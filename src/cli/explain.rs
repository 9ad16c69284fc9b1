//! `hugeprobe explain`.

use hugeprobe_domain::catalogue;
use hugeprobe_render::explain;

use super::args::Explain;
use super::exit::Exit;
use super::{Trouble, print, terminal};

/// Prints the known failures in a log, one check, or the list of checks.
pub(super) fn run(options: &Explain) -> Result<Exit, Trouble> {
    let style = terminal::style();
    #[cfg(feature = "support")]
    if let Some(path) = &options.log {
        return log::explain(path);
    }
    print(|out| match options.check.and_then(catalogue::find) {
        Some(check) => explain::explain(check, out, style),
        None => explain::list(out, style),
    })?;
    Ok(Exit::Pass)
}

#[cfg(feature = "support")]
mod log {
    use std::path::Path;

    use super::super::input;
    use super::{Exit, Trouble, print, terminal};
    use hugeprobe_domain::troubleshooting::search;
    use hugeprobe_render::troubleshooting::found as show;

    /// The maximum number of bytes read from a log.
    const LIMIT: u64 = 32 << 20;

    pub(super) fn explain(path: &Path) -> Result<Exit, Trouble> {
        let bytes = input::read(path, LIMIT)?;
        // A log may contain bytes that are not UTF-8.
        let text = String::from_utf8_lossy(&bytes);
        let found = search(&text);
        print(|out| show(&found, out, terminal::style()))?;
        if found.is_empty() {
            let limit = LIMIT >> 20;
            let text = format!(
                "no known message in the first {limit} MiB of the log; run `hugeprobe check` where the program ran"
            );
            return Err(Trouble::unknown(&text));
        }
        Ok(Exit::Pass)
    }
}
