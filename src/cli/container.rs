//! `hugeprobe container`: one of the two containers of a probe pod. It is hidden from users: the agent puts this
//! command into the pods that it creates.

use std::io;
use std::time::Duration;

use super::Trouble;
use super::args::container::{Container, Role};
use super::exit::Exit;
use hugeprobe_domain::compact::Container as Which;
use hugeprobe_domain::peer::Peer;
use hugeprobe_probe::container::Probe;
use hugeprobe_probe::container::error::ServeError;
use hugeprobe_probe::container::serve::{Mode, Options, serve};

/// Runs this container's half of the probe and writes its termination message.
pub(super) fn run(options: &Container) -> Result<Exit, Trouble> {
    let options = container_options(options)?;
    let served = serve(&options, &mut io::stdout(), &mut io::stderr());
    served.map(|()| Exit::Pass).map_err(|error| match error {
        ServeError::Signals(_) | ServeError::Report { .. } => {
            Trouble { exit: Exit::Fail, text: error.to_string() }
        }
    })
}

fn container_options(options: &Container) -> Result<Options, Trouble> {
    let Container {
        role,
        size,
        pages,
        frontend_pays,
        dir,
        rendezvous,
        run,
        report,
        rounds,
        workload,
        seconds,
        need,
        peer,
        peer_listen,
        judge_syscalls,
    } = options;
    if let Some(other) = need.iter().find(|need| need.size != *size) {
        return Err(Trouble::usage(&format!("--need {other} names a size that --size {size} excludes")));
    }
    let mode = match (rounds, run, report) {
        (Some(directory), ..) => Mode::Rounds(directory.clone()),
        (None, Some(run), Some(report)) => Mode::Once { run: run.clone(), report: report.clone() },
        _ => return Err(Trouble::usage(&"missing option: use --run and --report, or --rounds")),
    };
    let probe = Probe {
        size: *size,
        pages: *pages,
        frontend_pays: *frontend_pays,
        need: need.clone(),
        workload: (*workload).into(),
        judge_syscalls: *judge_syscalls,
        directory: dir.clone(),
        peer: peer.as_ref().map(|socket| Peer { socket: socket.clone(), listen: *peer_listen, transmit: 0 }),
    };
    Ok(Options {
        container: match role {
            Role::Frontend => Which::Frontend,
            Role::Backend => Which::Backend,
        },
        probe,
        rendezvous: rendezvous.clone(),
        time: Duration::from_secs(*seconds),
        mode,
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use clap::Parser as _;

    use super::super::args::{Args, Verb};
    use super::*;
    use hugeprobe_domain::request::Workload;
    use hugeprobe_probe::container::Place;

    fn read(arguments: &[String]) -> Result<Options, String> {
        let args = Args::try_parse_from(["hugeprobe".to_owned()].iter().chain(arguments))
            .map_err(|error| error.to_string())?;
        match args.verb {
            Verb::Container(options) => container_options(&options).map_err(|trouble| trouble.text),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn what_the_agent_writes_into_a_pod_is_understood() {
        let probe = Probe {
            size: "1Gi".parse().unwrap(),
            pages: 2,
            frontend_pays: true,
            need: vec!["1Gi=4@numa1".parse().unwrap(), "1Gi=1".parse().unwrap()],
            workload: Workload::Qemu,
            judge_syscalls: true,
            directory: "/hugepages".to_owned(),
            peer: Some(Peer { socket: "/peer/vhu0".to_owned(), listen: true, transmit: 0 }),
        };
        for container in Which::ALL {
            let place = Place { run: "0b5e-1".to_owned(), ..Place::default() };
            let options = read(&probe.arguments(container, &place)).unwrap();
            assert_eq!((&options.probe, options.container), (&probe, container));
            assert_eq!(options.time, Duration::from_secs(55));
            let Mode::Once { run, report } = options.mode else { panic!("no rounds were asked for") };
            assert_eq!(
                (run.to_string(), report),
                ("0b5e-1".to_owned(), PathBuf::from("/dev/termination-log"))
            );
            let place = Place { rounds: Some("/run/hugeprobe".to_owned()), ..place };
            let options = read(&probe.arguments(container, &place)).unwrap();
            assert!(
                matches!(options.mode, Mode::Rounds(directory) if directory == std::path::Path::new("/run/hugeprobe"))
            );
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let probe = Probe {
            size: "2Mi".parse().unwrap(),
            pages: 2,
            frontend_pays: false,
            need: vec![],
            workload: Workload::Dpdk,
            judge_syscalls: false,
            directory: "/hugepages".to_owned(),
            peer: None,
        };
        let with = |place: Place, probe: &Probe| read(&probe.arguments(Which::Frontend, &place)).unwrap_err();
        // The kubelet leaves a variable reference as it is if it cannot expand it.
        assert!(with(Place::default(), &probe).contains("--run"));
        let fine = Place { run: "a".to_owned(), ..Place::default() };
        assert!(with(Place { seconds: 0, ..fine.clone() }, &probe).contains("--seconds"));
        assert!(with(fine.clone(), &Probe { pages: 0, ..probe.clone() }).contains("--pages"));
        let other = Probe { need: vec!["1Gi=1".parse().unwrap()], ..probe };
        assert!(with(fine, &other).contains("--need 1Gi=1"));
        assert!(
            read(&[
                "container".into(),
                "frontend".into(),
                "--size=2Mi".into(),
                "--pages=2".into(),
                "--dir=/h".into(),
                "--rendezvous=/r".into()
            ])
            .is_err()
        );
    }
}
