//! `hugeprobe walk`.

use std::io::{self, Write};

use crate::domain::check::Outcome;
use crate::probe::walk::{self, Walk, WalkError};
use crate::render::walk as show;

use super::args;
use super::check::trouble;
use super::exit::Exit;
use super::{Trouble, print, terminal};

/// Goes through the steps and shows each as it is done.
pub(super) fn run(options: &args::Walk) -> Result<Exit, Trouble> {
    let args::Walk { size, pages, dir, pause, reserve } = options;
    let asked =
        Walk { size: *size, pages: *pages, directory: dir.clone(), pause: *pause, reserve: reserve.clone() };
    let style = terminal::style();
    let (mut steps, mut astray) = (0, 0);
    // A reader that went away stops nothing: the pages are given back in any case.
    let walked = walk::run(
        &asked,
        &mut |pool| {
            let nodes = pool.numa.iter().map(|node| node.node).collect();
            let opening = show::Walk { size: pool.size, pages: *pages, nodes, pid: None };
            ignore(show::opening(&opening, &mut io::stdout().lock(), style));
        },
        &mut |movement| {
            steps += 1;
            astray += usize::from(!show::as_documented(movement));
            let mut out = io::stdout().lock();
            ignore(show::step(steps, movement, &mut out, style));
            if *pause {
                ignore(write!(out, "\n    Return goes on ").and_then(|()| out.flush()));
            }
        },
    )
    .map_err(|error| match error {
        WalkError::Check(error) => trouble(error),
        error @ WalkError::NoPage(_) => Trouble { exit: Exit::Fail, text: error.to_string() },
    })?;
    print(|out| show::closing(steps, astray, out, style))?;
    let worst = walked.part.findings.iter().map(|finding| finding.outcome).max();
    for finding in walked.part.findings.iter().filter(|finding| finding.outcome > Outcome::Pass) {
        let text = format!(
            "{} {}: {}: expected {}; seen {}",
            finding.id, finding.outcome, finding.summary, finding.expected, finding.seen
        );
        print(|out| writeln!(out, "{}", text.escape_debug()))?;
    }
    if let Some(why) = walked.stopped.into_iter().chain(walked.owed).next() {
        return Err(Trouble::unknown(&format!("the walk did not end as it should: {why}")));
    }
    Ok(match worst {
        Some(Outcome::Fail) => Exit::Fail,
        Some(Outcome::Pass | Outcome::Warn) => Exit::Pass,
        Some(Outcome::Skip | Outcome::Unknown) | None => Exit::Unknown,
    })
}

fn ignore<T>(_: io::Result<T>) {}
