//! `hugeprobe walk`.

use std::io::{self, Write as _};

use hugeprobe_domain::check::Outcome;
use hugeprobe_probe::walk::{self, Shown, Walk, WalkError};
use hugeprobe_render::walk as show;

use super::args;
use super::check::trouble;
use super::exit::Exit;
use super::{Trouble, print, terminal};

/// Runs the steps and shows each one when it is done.
pub(super) fn run(options: &args::Walk) -> Result<Exit, Trouble> {
    let args::Walk { size, pages, dir, pause, reserve, reserve_over_half, frontend_cgroup, backend_cgroup } =
        options;
    let asked = Walk {
        size: *size,
        pages: *pages,
        directory: dir.clone(),
        pause: *pause,
        reserve: reserve.clone(),
        reserve_over_half: *reserve_over_half,
        frontend_cgroup: frontend_cgroup.clone(),
        backend_cgroup: backend_cgroup.clone(),
    };
    let style = terminal::style();
    let (mut steps, mut astray) = (0, 0);
    let walked = walk::run(&asked, &mut |shown| {
        let out = &mut io::stdout().lock();
        // If the reader closed the pipe, the walk continues: it has to give the pages back in any case.
        ignore(match shown {
            Shown::Replayed(replayed) => writeln!(io::stderr(), "hugeprobe: {replayed}"),
            Shown::Pool(pool) => {
                let nodes = pool.numa.iter().map(|node| node.node).collect();
                show::opening(&show::Walk { size: pool.size, pages: *pages, nodes }, out, style)
            }
            Shown::Step(movement, figures) => {
                steps += 1;
                astray += usize::from(!movement.is_as_expected());
                show::step(steps, movement, figures, out, style)
            }
            Shown::Pause => show::pause(out),
            Shown::Sharing { backend_first } => {
                show::sharing(if *backend_first { "backend" } else { "frontend" }, out, style)
            }
            Shown::Process(name, pid) => show::process(name, *pid, out),
        });
    })
    .map_err(|error| match error {
        WalkError::Check(error) => trouble(error),
        error @ WalkError::NoPage(_) => Trouble { exit: Exit::Fail, text: error.to_string() },
    })?;
    print(|out| show::closing(steps, astray, walked.stopped.is_some(), out, style))?;
    let worst = walked.findings.iter().map(|finding| finding.outcome).max();
    for finding in walked.findings.iter().filter(|finding| finding.outcome > Outcome::Pass) {
        let text = format!(
            "{} {}: {}: expected: {}; actual: {}",
            finding.id, finding.outcome, finding.summary, finding.expected, finding.seen
        );
        print(|out| writeln!(out, "{}", text.escape_debug()))?;
    }
    if let Some(why) = walked.stopped.into_iter().chain(walked.owed).next() {
        return Err(Trouble::unknown(&format!("the walk failed: {why}")));
    }
    // The counters are those of the whole machine, so another process may have changed them.
    if astray > 0 && worst != Some(Outcome::Fail) {
        return Ok(Exit::Unknown);
    }
    Ok(match worst {
        Some(Outcome::Fail) => Exit::Fail,
        Some(Outcome::Pass | Outcome::Warn) => Exit::Pass,
        Some(Outcome::Skip | Outcome::Unknown) | None => Exit::Unknown,
    })
}

fn ignore<T>(_: io::Result<T>) {}
