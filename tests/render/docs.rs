//! The pages that are made from the source: docs/reference/checks.md from the catalogue, troubleshooting.md from the
//! rows of `explain --log`, cli.md from the help; and the help that is in no page.

use clap::CommandFactory as _;
use hugeprobe::cli::args::Args;

#[test]
fn the_page_about_the_checks_is_the_catalogue() {
    super::compare("docs/reference/checks.md", &hugeprobe::render::explain::catalogue_markdown());
}

#[test]
fn the_page_about_failures_is_the_table() {
    super::compare("docs/reference/troubleshooting.md", &hugeprobe::render::troubleshooting::page());
}

#[test]
fn the_page_about_the_command_line_is_the_help() {
    super::compare("docs/reference/cli.md", &command_line());
}

#[test]
fn the_help_of_the_program_and_of_hidden_verbs_reads_as_kept() {
    let mut program = Args::command().term_width(98);
    let mut text = format!("# hugeprobe\n\n{}", program.render_long_help());
    program.build();
    for command in program.get_subcommands().filter(|command| command.is_hide_set()) {
        let help = command.clone().term_width(98).render_long_help();
        text += &format!("\n# hugeprobe {}\n\n{help}", command.get_name());
    }
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    super::compare("tests/render/expected/help.txt", &format!("{}\n", lines.join("\n")));
}

/// docs/reference/cli.md.
fn command_line() -> String {
    let mut page = String::from(
        "# Command line\n\n\
         <!-- Generated from src/cli/args.rs by `make docs`: do not edit. -->\n\n\
         `hugeprobe COMMAND --help` prints the same text.\n",
    );
    let mut program = Args::command().term_width(98);
    program.build();
    for command in
        program.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help")
    {
        let help = command.clone().term_width(98).render_long_help().to_string();
        let lines: Vec<_> = help.lines().map(str::trim_end).collect();
        page +=
            &format!("\n## hugeprobe {}\n\n```text\n{}\n```\n", command.get_name(), lines.join("\n").trim());
    }
    page
}
