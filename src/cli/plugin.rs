//! The kubectl plugin: if this program is installed as `kubectl-hugeprobe`, kubectl runs it as `kubectl hugeprobe`. The
//! default verb is then `nodes`.

use std::ffi::OsString;
use std::path::Path;

use clap::{CommandFactory as _, FromArgMatches as _};

use super::args::Args;

/// The file name that kubectl looks for in PATH.
const NAME: &str = "kubectl-hugeprobe";

/// Parses the command line. Exits the process on a usage error, `--help` or `--version`.
pub(super) fn parse(mut typed: Vec<OsString>) -> Args {
    let mut command = Args::command();
    if typed.first().and_then(|program| Path::new(program).file_name()).is_some_and(|name| name == NAME) {
        command = command.bin_name("kubectl hugeprobe");
        if means_nodes(&typed) {
            typed.insert(1, "nodes".into());
        }
    }
    let mut matches = command.get_matches_from(typed);
    match Args::from_arg_matches_mut(&mut matches) {
        Ok(args) => args,
        Err(error) => error.format(&mut Args::command()).exit(),
    }
}

/// Returns whether the command line has no verb: it is empty, or it starts with an option other than help or version.
fn means_nodes(typed: &[OsString]) -> bool {
    let first = typed.get(1).and_then(|word| word.to_str());
    match first {
        Some("-h" | "--help" | "-V" | "--version") => false,
        Some(word) => word.starts_with('-'),
        None => typed.len() < 2,
    }
}

#[cfg(all(test, feature = "cluster"))]
mod tests {
    use super::*;
    use crate::cli::args::Verb;

    fn typed(words: &[&str]) -> Verb {
        parse(words.iter().map(OsString::from).collect()).verb
    }

    #[test]
    fn as_a_plugin_of_kubectl_it_is_about_nodes_unless_a_verb_is_typed() {
        for words in [
            &["/usr/local/bin/kubectl-hugeprobe"][..],
            &["kubectl-hugeprobe", "-l", "pool=nfv", "--context", "a"],
            &["kubectl-hugeprobe", "-o", "name", "--failing"],
            &["kubectl-hugeprobe", "nodes", "--wait"],
            &["hugeprobe", "nodes"],
        ] {
            assert!(matches!(typed(words), Verb::Nodes(_)), "{words:?}");
        }
        assert!(matches!(typed(&["kubectl-hugeprobe", "explain", "HP105"]), Verb::Explain(_)));
        assert!(matches!(typed(&["hugeprobe", "check"]), Verb::Check(_)));
    }
}
