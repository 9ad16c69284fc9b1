//! What the plan shares between a frontend and a backend, and asks of a peer.

use super::*;

#[test]
fn sharing_takes_a_pair_for_each_session_and_one_page_leaves_out_what_takes_two() {
    let sessions = |inventory: &Inventory| {
        let (plan, jobs) = planned(inventory, &Request::default());
        let pairs: Vec<_> =
            jobs.iter().filter(|job| job.workers.len() == 2).map(|job| job.workers[0].role()).collect();
        (plan, pairs)
    };
    let (plan, pairs) = sessions(&machine(vec![pool("2Mi", 8, 8, 0, 0)]));
    assert_eq!(pairs, Session::ALL.map(Role::Frontend));
    for id in SHARING {
        let roles = &find(&plan, id).roles;
        assert!(
            roles.len() >= 2 && roles.len().is_multiple_of(2),
            "{id}: both sides of each session report it"
        );
    }
    let (plan, pairs) = sessions(&machine(vec![pool("2Mi", 8, 1, 0, 0)]));
    assert!(!pairs.contains(&Role::Frontend(Session::Private)));
    assert!(matches!(&find(&plan, HP608).roles[0].not_run, Some(NotRun::Skipped(_))));
}

#[test]
fn with_a_directory_sharing_uses_it_and_memfd_is_advice() {
    let inventory = with_directory(machine(vec![pool("2Mi", 8, 8, 0, 0)]), "2Mi");
    let (plan, jobs) = planned(&inventory, &request(&[("dir", "/dev/hugepages")]));
    let directory = |work: &Work| match work {
        Work::Exchange(task) => task.memory == Source::Directory("/dev/hugepages".to_owned()),
        Work::Allocation(_) | Work::Peer(_) => false,
    };
    assert!(jobs.iter().filter(|job| job.workers.len() == 2).flat_map(|job| &job.workers).all(directory));
    assert!(find(&plan, HP604).roles.iter().all(|duty| duty.weight == Weight::Full));
    assert!(find(&plan, HP607).roles.iter().all(|duty| duty.weight == Weight::Advisory));
    // A directory of another size cannot serve any session, and no other memory is shared instead.
    let both = with_directory(machine(vec![pool("2Mi", 8, 8, 0, 0), pool("1Gi", 2, 2, 0, 0)]), "2Mi");
    let (plan, _) = planned(&both, &request(&[("dir", "/dev/hugepages"), ("size", "1Gi")]));
    assert!(find(&plan, HP601).roles.iter().all(|duty| duty.not_run.is_some()));
}

#[test]
fn a_peer_is_asked_with_the_memory_that_was_named_and_its_word_counts() {
    let inventory = with_directory(machine(vec![pool("2Mi", 8, 8, 0, 0)]), "2Mi");
    let asked = |transmit| Request {
        peer: Some(Peer { socket: "/run/vhost".to_owned(), listen: false, transmit }),
        ..request(&[("dir", "/dev/hugepages")])
    };
    let (plan, jobs) = planned(&inventory, &asked(0));
    let memory: Vec<_> = jobs
        .iter()
        .filter_map(|job| match job.workers.as_slice() {
            [Work::Peer(task)] => Some((task.memory.clone(), task.pages)),
            _ => None,
        })
        .collect();
    assert_eq!(memory, [(Source::Directory("/dev/hugepages".to_owned()), 2)]);
    assert_eq!(PEER.map(|id| find(&plan, id).mandatory), [true, true, true, false]);
    let (plan, _) = planned(&inventory, &asked(64));
    assert_eq!(PEER.map(|id| find(&plan, id).mandatory), [true; 4]);
    let (plan, jobs) = planned(&inventory, &request(&[("dir", "/dev/hugepages")]));
    assert!(!plan.items.iter().any(|item| PEER.contains(&item.id)));
    assert!(!jobs.iter().flat_map(|job| &job.workers).any(|work| matches!(work, Work::Peer(_))));
}
