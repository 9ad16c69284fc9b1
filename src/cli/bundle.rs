//! `hugeprobe bundle`.

use std::fs::File;
use std::io::{self, BufWriter};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use hugeprobe_domain::report::Report;
use hugeprobe_domain::request::Request;
use hugeprobe_domain::text::count;
use hugeprobe_linux::errno::named;
use hugeprobe_linux::root::HostRoot;
use hugeprobe_probe::bundle::{self, Redactor};
use hugeprobe_render::{Detail, Format, Style, render};

use super::args::Bundle;
use super::check::trouble;
use super::exit::Exit;
use super::{Trouble, print, terminal};

/// The directory in the archive.
const TOP: &str = "hugeprobe-bundle";

/// Records what a check reads, runs the check, and writes both to a file.
pub(super) fn run(options: &Bundle) -> Result<Exit, Trouble> {
    let Bundle { what, output } = options;
    let request = Request::from(what);
    request.validate().map_err(|error| Trouble::usage(&error))?;
    if !request.reserve.is_empty() {
        return Err(Trouble::usage(&"a bundle has the pools as they are: use it without --reserve"));
    }
    // Before the check runs, so that nothing is lost if the file cannot be written.
    let file = create(output)?;
    let recording = bundle::record(Path::new("/"), &request);
    let mut progress = terminal::progress();
    let report = check_machine(&request, &mut progress);
    progress.clear();
    let mut report = report?;
    let mut redactor = Redactor::new(&report.host.name);
    Redactor::HOST.clone_into(&mut report.host.name);
    let failed =
        |error: io::Error| Trouble::unknown(&format!("cannot write {}: {}", output.display(), named(&error)));
    let documents =
        [("report.json", Format::Json), ("report.html", Format::Html), ("report.txt", Format::Table)];
    let documents: Result<Vec<_>, _> = documents
        .into_iter()
        .map(|(name, format)| Ok((name, text(&report, format).map_err(failed)?)))
        .collect();
    let contents =
        bundle::write(TOP, &recording, &documents?, &mut redactor, BufWriter::new(file)).map_err(failed)?;
    print(|out| {
        writeln!(out, "verdict  {}", report.verdict)?;
        writeln!(out, "wrote    {} ({})", output.display(), count(contents.files, "file"))?;
        for (what, values) in [
            (
                "replaced",
                redactor.counts().iter().map(|(kind, number)| count(*number, kind)).collect::<Vec<_>>(),
            ),
            ("not read", contents.unreadable.keys().map(|path| path.display().to_string()).collect()),
            ("left out", contents.left_out.iter().map(|path| path.display().to_string()).collect()),
        ] {
            if !values.is_empty() {
                writeln!(out, "{what} {}", values.join(", "))?;
            }
        }
        writeln!(out, "Read it before you pass it on: tar xf {0} && grep -r . {TOP}", output.display())
    })?;
    Ok(Exit::Pass)
}

fn check_machine(request: &Request, progress: &mut terminal::Line) -> Result<Report, Trouble> {
    hugeprobe_probe::check::run(&HostRoot::default(), request, progress).map_err(trouble)
}

/// Creates the file, for its owner alone. Does not follow a link and does not replace a file: root may write it to /tmp.
fn create(path: &Path) -> Result<File, Trouble> {
    File::options().write(true).create_new(true).mode(0o600).open(path).map_err(|error| {
        let hint =
            if error.kind() == io::ErrorKind::AlreadyExists { "; use -o to name another file" } else { "" };
        Trouble::usage(&format!("cannot create {}: {}{hint}", path.display(), named(&error)))
    })
}

fn text(report: &Report, format: Format) -> io::Result<String> {
    let mut text = Vec::new();
    render(report, format, &mut text, Style { detail: Detail::Verbose, ..Style::default() })?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
