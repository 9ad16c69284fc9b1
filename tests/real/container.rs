//! The two containers of a probe pod, each in a separate hugetlb cgroup, as an unprivileged user.

use std::time::{Duration, Instant};

use hugeprobe::domain::check::{Outcome, Verdict};
use hugeprobe::domain::compact::{Container, MESSAGE_LIMIT, Message, Run};
use hugeprobe::domain::merge::Ending;
use hugeprobe::domain::size::PageSize;
use nix::sys::signal::Signal;

use crate::Case;
use crate::context::child::Filter;
use crate::context::pod::{Groups, Pod, WITH_FS_GROUP, WITHOUT_FS_GROUP, expect, wait_for};
use crate::context::pools::available;
use crate::context::{HANGS, LARGE, Machine, Missing, SMALL};

pub(crate) const CASES: &[Case] = &[
    ("container: a healthy node passes, 2Mi", healthy),
    ("container: a healthy node passes, 1Gi, with two pages and limits of two", healthy_large),
    ("container: one page of 1Gi is enough for a pass", one_page),
    ("container: the same with cgroup v1, and a limit of 0 there fails", v1),
    ("container: HP401 and HP606 fail when the backend's limit is 0", backend_limited),
    ("container: HP401 and HP502 fail when the frontend's limit is 0", frontend_limited),
    ("container: HP302 fails without fsGroup", no_fs_group),
    ("container: SIGBUS in a worker is a failure of its step", sigbus),
    ("container: a frontend that is killed is told of by the backend", frontend_killed),
    ("container: a backend that is killed in mid-session is told of by the frontend", backend_killed),
    ("container: who waits in vain says so at --seconds", nobody_came),
    ("container: SIGTERM leaves what is known", terminated),
    ("container: --need takes all of it, and fails beyond the frontend's limit", need),
    ("container: after one session without a peer there are no others", missed),
    ("container: --judge-syscalls judges what the container may call", syscalls),
    ("container: when everything fails the message still fits", everything_fails),
    ("container: rounds are answered once each, and again by one that was restarted", rounds),
];

fn pod(machine: &Machine, size: PageSize, pages: u64) -> Result<Pod, Missing> {
    Pod::new(size, pages, WITH_FS_GROUP, Groups::new(machine)?)
}

/// Asserts that every planned check passes, and that no page is held afterwards.
fn passes(pod: &Pod) {
    let size = pod.probe.size;
    let before = available(size);
    let findings = pod.play();
    assert_eq!(pod.verdict(&findings), Verdict::Pass, "{findings:#?}");
    assert!(findings.iter().all(|finding| finding.outcome <= Outcome::Pass), "{findings:#?}");
    for id in
        ["HP302", "HP401", "HP501", "HP505", "HP601", "HP604", "HP605", "HP606", "HP607", "HP609", "HP611"]
    {
        expect(&findings, id, Outcome::Pass);
    }
    expect(&findings, "HP407", Outcome::Skip);
    expect(&findings, "HP508", Outcome::Skip);
    for id in ["HP503", "HP608"] {
        expect(&findings, id, if pod.probe.pages == 1 { Outcome::Skip } else { Outcome::Pass });
    }
    assert_eq!(available(size), before);
    pod.left_nothing();
}

fn healthy(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    passes(&pod(machine, SMALL, 4)?);
    passes(&pod(machine, SMALL, 2)?);
    Ok(())
}

fn healthy_large(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(LARGE, 2)?;
    passes(&pod(machine, LARGE, 2)?);
    Ok(())
}

fn one_page(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(LARGE, 1)?;
    passes(&pod(machine, LARGE, 1)?);
    Ok(())
}

fn v1(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    passes(&Pod::new(SMALL, 2, WITH_FS_GROUP, Groups::v1(machine)?)?);
    let pod = Pod::new(SMALL, 2, WITH_FS_GROUP, Groups::v1(machine)?)?;
    pod.group(Container::Backend).limit(SMALL, 0);
    let findings = pod.play();
    expect(&findings, "HP606", Outcome::Fail);
    assert_eq!(pod.verdict(&findings), Verdict::Fail);
    Ok(())
}

fn backend_limited(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let pod = pod(machine, SMALL, 4)?;
    pod.group(Container::Backend).limit(SMALL, 0);
    let findings = pod.play();
    let finding = expect(&findings, "HP401", Outcome::Fail);
    assert!(finding.summary.contains("backend: this cgroup may use 0 of the 2 pages"), "{finding:?}");
    expect(&findings, "HP606", Outcome::Fail);
    for id in ["HP501", "HP505", "HP601", "HP604", "HP605"] {
        expect(&findings, id, Outcome::Pass);
    }
    assert_eq!(pod.verdict(&findings), Verdict::Fail);
    pod.left_nothing();
    Ok(())
}

fn frontend_limited(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let pod = pod(machine, SMALL, 4)?;
    pod.group(Container::Frontend).limit(SMALL, 0);
    let findings = pod.play();
    let finding = expect(&findings, "HP401", Outcome::Fail);
    assert!(finding.summary.starts_with("frontend: "), "{finding:?}");
    expect(&findings, "HP501", Outcome::Pass);
    expect(&findings, "HP502", Outcome::Fail);
    // The limit of the backend's cgroup allows pages, so the session in which it touches first passes.
    expect(&findings, "HP606", Outcome::Pass);
    assert_eq!(pod.verdict(&findings), Verdict::Fail);
    Ok(())
}

fn no_fs_group(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let pod = Pod::new(SMALL, 4, WITHOUT_FS_GROUP, Groups::new(machine)?)?;
    let findings = pod.play();
    let finding = expect(&findings, "HP302", Outcome::Fail);
    assert!(finding.seen.contains("EACCES"), "{finding:?}");
    assert!(expect(&findings, "HP501", Outcome::Fail).seen.contains("EACCES"));
    expect(&findings, "HP607", Outcome::Pass);
    assert_eq!(pod.verdict(&findings), Verdict::Fail);
    Ok(())
}

/// Without MADV_POPULATE_WRITE, a write touches the pages, and the kernel raises SIGBUS at the limit.
fn sigbus(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let mut pod = pod(machine, SMALL, 4)?;
    pod.filter = Filter::ContainerOfOldKernel;
    pod.group(Container::Backend).limit(SMALL, 0);
    let findings = pod.play();
    let finding = expect(&findings, "HP606", Outcome::Fail);
    assert!(finding.summary.contains("SIGBUS at the step 'take the pages of a region"), "{finding:?}");
    for id in ["HP601", "HP604", "HP605", "HP609"] {
        expect(&findings, id, Outcome::Pass);
    }
    pod.left_nothing();
    Ok(())
}

fn frontend_killed(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let before = available(SMALL);
    for role in ["hugetlbfs", "frontend:frontend-first", "frontend:private"] {
        let pod = pod(machine, SMALL, 4)?;
        let [frontend, backend] = Container::ALL.map(|container| pod.start(container, false));
        frontend.wait_for_worker(role);
        frontend.signal(Signal::SIGKILL);
        assert!(!frontend.end().success());
        let killed = Instant::now();
        assert_eq!(backend.end().code(), Some(0));
        assert!(killed.elapsed() < HANGS, "the backend waited {:?}", killed.elapsed());
        let text = pod.message(Container::Backend);
        assert!(
            text.contains("the frontend container has ended") || text.contains("the frontend disconnected"),
            "{text}"
        );
        // It had written a message before its first worker and after each one, so the latest of these is there.
        let workers = pod.parsed(Container::Frontend).workers;
        assert!(workers.iter().any(|worker| matches!(worker.ending, Ending::BrokenOff(_))));
        let findings = pod.conclude();
        assert_eq!(pod.verdict(&findings), Verdict::Unknown, "{findings:#?}");
    }
    assert_eq!(available(SMALL), before);
    Ok(())
}

fn backend_killed(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let before = available(SMALL);
    let pod = pod(machine, SMALL, 4)?;
    let [frontend, backend] = Container::ALL.map(|container| pod.start(container, false));
    backend.wait_for_worker("backend:frontend-first");
    backend.signal(Signal::SIGKILL);
    let killed = Instant::now();
    assert_eq!(frontend.end().code(), Some(0));
    assert!(killed.elapsed() < HANGS, "the frontend waited {:?}", killed.elapsed());
    let text = pod.message(Container::Frontend);
    assert!(text.contains("the backend container has ended"), "{text}");
    let findings = pod.conclude();
    expect(&findings, "HP501", Outcome::Pass);
    assert_eq!(pod.verdict(&findings), Verdict::Unknown, "{findings:#?}");
    drop(backend);
    assert_eq!(available(SMALL), before);
    Ok(())
}

fn nobody_came(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    for container in Container::ALL {
        let mut pod = pod(machine, SMALL, 4)?;
        pod.seconds = 3;
        let begin = Instant::now();
        assert_eq!(pod.start(container, false).end().code(), Some(0));
        assert!(begin.elapsed() < HANGS, "{:?}", begin.elapsed());
        let message = pod.parsed(container);
        let sessions: Vec<_> =
            message.workers.iter().filter(|worker| worker.role.to_string().contains(':')).collect();
        assert_eq!(sessions.len(), 6);
        assert!(sessions.iter().all(|worker| matches!(worker.ending, Ending::NotStarted(_))), "{message:#?}");
        pod.left_nothing();
    }
    Ok(())
}

fn terminated(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let pod = pod(machine, SMALL, 4)?;
    let frontend = pod.start(Container::Frontend, false);
    wait_for("the last step before the sessions", || {
        pod.message(Container::Frontend)
            .contains(r#""placement":{"ending":{"exited":0},"ended":true"#)
            .then_some(())
    });
    frontend.signal(Signal::SIGTERM);
    assert_eq!(frontend.end().code(), Some(0));
    let message = pod.parsed(Container::Frontend);
    assert_eq!(message.verdict(), Outcome::Unknown);
    assert!(message.workers.iter().any(|worker| worker.ending == Ending::BrokenOff("SIGTERM".to_owned())));
    assert!(message.workers.iter().any(|worker| worker.ending == Ending::Exited(0)));
    Ok(())
}

fn need(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 8)?;
    let mut pod = pod(machine, SMALL, 2)?;
    pod.probe.need = vec!["2Mi=8".parse().unwrap()];
    pod.group(Container::Frontend).limit(SMALL, pod.probe.pages_of(Container::Frontend));
    let findings = pod.play();
    expect(&findings, "HP509", Outcome::Pass);
    assert_eq!(pod.verdict(&findings), Verdict::Pass, "{findings:#?}");
    pod.group(Container::Frontend).limit(SMALL, 4);
    let findings = pod.play();
    expect(&findings, "HP509", Outcome::Fail);
    expect(&findings, "HP401", Outcome::Fail);
    assert_eq!(pod.verdict(&findings), Verdict::Fail);
    Ok(())
}

/// Tests a backend that is restarted while the frontend waits in another session: neither may wait for its deadline.
fn missed(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let pod = pod(machine, SMALL, 2)?;
    pod.play();
    // The lock file of the ended backend exists, and no process holds the lock.
    let frontend = pod.start(Container::Frontend, false);
    wait_for("the frontend to miss its first session", || {
        std::fs::read_to_string(pod.path("log/frontend")).ok()?.contains("container has ended").then_some(())
    });
    let began = Instant::now();
    let backend = pod.start(Container::Backend, false);
    for container in [frontend, backend] {
        assert_eq!(container.end().code(), Some(0));
    }
    let took = began.elapsed().as_secs();
    assert!(took < pod.seconds / 2, "{took} s of {}: one of them waited for the deadline", pod.seconds);
    assert_eq!(pod.verdict(&pod.conclude()), Verdict::Unknown);
    Ok(())
}

fn syscalls(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let mut pod = pod(machine, SMALL, 2)?;
    pod.probe.judge_syscalls = true;
    let findings = pod.play();
    let finding = expect(&findings, "HP407", Outcome::Fail);
    assert!(finding.summary.contains("get_mempolicy"), "{finding:?}");
    assert_eq!(finding.size, None);
    Ok(())
}

fn everything_fails(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    // There is no hugetlbfs in the directory, and neither cgroup allows a page.
    let mut pod = Pod::new(SMALL, 4, "", Groups::new(machine)?)?;
    pod.probe.need = vec!["2Mi=3".parse().unwrap()];
    pod.probe.judge_syscalls = true;
    Container::ALL.iter().for_each(|container| pod.group(*container).limit(SMALL, 0));
    let findings = pod.play();
    assert_eq!(pod.verdict(&findings), Verdict::Fail);
    let bad = findings.iter().filter(|finding| finding.outcome > Outcome::Pass).count();
    assert!(bad >= 18, "{bad} of {}: {findings:#?}", findings.len());
    for finding in findings.iter().filter(|finding| finding.outcome > Outcome::Pass) {
        assert!(
            ![&finding.summary, &finding.expected, &finding.seen, &finding.remedy]
                .iter()
                .any(|text| text.is_empty())
        );
    }
    for container in Container::ALL {
        let text = pod.message(container);
        assert!((500..=MESSAGE_LIMIT).contains(&text.len()), "{} bytes: {text}", text.len());
    }
    Ok(())
}

fn rounds(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let pod = pod(machine, SMALL, 4)?;
    let [frontend, backend] = Container::ALL.map(|container| pod.start(container, true));
    let ask = |nonce: &str, pages: u64| {
        std::fs::write(pod.path("rounds/next"), format!("{{\"nonce\":\"{nonce}\",\"pages\":{pages}}}\n"))
            .unwrap();
        std::fs::rename(pod.path("rounds/next"), pod.path("rounds/round")).unwrap();
    };
    let answer = |container: Container, nonce: &str| {
        let run: Run = nonce.parse().unwrap();
        wait_for("an answer", || {
            let text = std::fs::read_to_string(pod.path(&format!("rounds/{container}.part"))).ok()?;
            Message::parse(&text, container, SMALL, &run).ok()
        })
    };
    ask("first", 4);
    for container in Container::ALL {
        assert_eq!(answer(container, "first").verdict(), Outcome::Pass);
    }
    // A restarted container must not answer a round again that it has already answered.
    backend.signal(Signal::SIGTERM);
    assert_eq!(backend.end().code(), Some(0));
    let part = pod.path("rounds/backend.part");
    let answered = part.metadata().unwrap().modified().unwrap();
    let backend = pod.start(Container::Backend, true);
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(part.metadata().unwrap().modified().unwrap(), answered);
    ask("second", 1);
    for container in Container::ALL {
        let message = answer(container, "second");
        assert_eq!(message.verdict(), Outcome::Pass, "{message:#?}");
        assert!(message.workers.iter().all(|worker| !worker.role.to_string().ends_with(":private")));
    }
    for container in [frontend, backend] {
        container.signal(Signal::SIGTERM);
        assert_eq!(container.end().code(), Some(0));
    }
    Ok(())
}
