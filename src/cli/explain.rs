//! `hugeprobe explain`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use hugeprobe_domain::{catalogue, troubleshooting};
use hugeprobe_linux::errno::named;
use hugeprobe_render::{explain, troubleshooting as show};

use super::args::Explain;
use super::exit::Exit;
use super::{Trouble, print, terminal};

/// The maximum number of bytes read from a log.
const LOG_LIMIT: u64 = 32 << 20;

/// Prints the known failures in a log, one check, or the list of checks.
pub(super) fn run(options: &Explain) -> Result<Exit, Trouble> {
    let style = terminal::style();
    if let Some(path) = &options.log {
        return log(path);
    }
    print(|out| match options.check.and_then(catalogue::find) {
        Some(check) => explain::explain(check, out, style),
        None => explain::list(out, style),
    })?;
    Ok(Exit::Pass)
}

fn log(path: &Path) -> Result<Exit, Trouble> {
    let mut bytes = Vec::new();
    let outcome = if path == Path::new("-") {
        io::stdin().lock().take(LOG_LIMIT).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(LOG_LIMIT).read_to_end(&mut bytes))
    };
    outcome.map_err(|error| Trouble::usage(&format!("cannot read {}: {}", path.display(), named(&error))))?;
    // A log may contain bytes that are not UTF-8.
    let text = String::from_utf8_lossy(&bytes);
    let found = troubleshooting::search(&text);
    print(|out| show::found(&found, out, terminal::style()))?;
    if found.is_empty() {
        let limit = LOG_LIMIT >> 20;
        let text = format!(
            "no known message in the first {limit} MiB of the log; run `hugeprobe check` where the program ran"
        );
        return Err(Trouble::unknown(&text));
    }
    Ok(Exit::Pass)
}
