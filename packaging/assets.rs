//! Writes the man pages and the shell completions: `assets DIRECTORY DATE` makes `man` and `completions` in the directory.
//!
//! An example and not a verb of the program: the crates that write them are not part of what is shipped.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use hugeprobe::cli::args::Args;

fn main() -> io::Result<()> {
    let mut typed = env::args_os().skip(1);
    let (Some(directory), Some(date)) = (typed.next().map(PathBuf::from), typed.next()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "usage: assets DIRECTORY DATE"));
    };
    let date = date.to_string_lossy();
    let (man, completions) = (directory.join("man"), directory.join("completions"));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;

    let mut command = visible().disable_help_subcommand(true);
    command.build();
    page(&command, &date, &man)?;
    for verb in command.get_subcommands() {
        page(verb, &date, &man)?;
    }
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut visible(), "hugeprobe", &completions)?;
    }
    Ok(())
}

/// The command line without its hidden verbs, which clap_complete would offer.
fn visible() -> Command {
    let all = Args::command();
    let shown = all.get_subcommands().filter(|verb| !verb.is_hide_set());
    Command::new("hugeprobe")
        .version(env!("CARGO_PKG_VERSION"))
        .propagate_version(true)
        .about(all.get_about().cloned().unwrap_or_default())
        .args(all.get_arguments())
        .subcommands(shown)
}

/// Writes the man page of a verb. What follows its options in the long help is a table and examples: clap_mangen would
/// fill their lines up, so each paragraph becomes a section with its lines as they are.
fn page(command: &Command, date: &str, directory: &Path) -> io::Result<()> {
    let man = Man::new(command.clone())
        .date(date)
        .source(concat!("hugeprobe ", env!("CARGO_PKG_VERSION")))
        .manual("User Commands");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    let after = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    for paragraph in after.split("\n\n") {
        if let Some((heading, lines)) = paragraph.split_once('\n') {
            let mut section = Roff::default();
            section.control("SH", [heading.trim_end_matches(':').to_uppercase().as_str()]).control("nf", []);
            for line in lines.lines() {
                section.text([roman(line)]);
            }
            section.control("fi", []).to_writer(&mut text)?;
        }
    }
    fs::write(directory.join(man.get_filename()), text)
}
