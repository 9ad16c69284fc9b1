//! The result for each NUMA node, and the findings of HP506 and HP507 for it.

use super::*;
use hugeprobe_domain::check::CheckId;

fn size() -> PageSize {
    PageSize::from_bytes(2 << 20).unwrap()
}

fn nodes(list: &[(u64, Landing)]) -> Vec<Node> {
    (0..)
        .zip(list)
        .map(|(node, (total, landing))| Node {
            counters: NodeCounters { node, total: *total, free: *total, surplus: 0 },
            has_no_cpu: false,
            landing: landing.clone(),
        })
        .collect()
}

#[test]
fn each_way_a_page_can_land_has_its_outcome() {
    let there = || Landing::There("mbind");
    for (list, asked, gives) in [
        (vec![(4, there()), (4, there())], Outcome::Pass, Outcome::Pass),
        (vec![(4, there()), (4, Landing::Elsewhere(0))], Outcome::Fail, Outcome::Pass),
        (vec![(4, there()), (4, Landing::Taken)], Outcome::Pass, Outcome::Warn),
        (vec![(4, there()), (4, Landing::Empty)], Outcome::Pass, Outcome::Warn),
        (vec![(4, there()), (0, Landing::Empty)], Outcome::Pass, Outcome::Pass),
        (vec![(4, Landing::Refused("EFAULT".into())), (4, there())], Outcome::Pass, Outcome::Warn),
        (vec![(4, Landing::HeldBack), (4, Landing::HeldBack)], Outcome::Skip, Outcome::Skip),
        (vec![(4, there()), (4, Landing::HeldBack)], Outcome::Skip, Outcome::Skip),
        (vec![(4, there()), (4, Landing::NotAsked("mbind".into()))], Outcome::Skip, Outcome::Skip),
        (vec![(4, Landing::NotAsked("mbind".into())), (0, Landing::Empty)], Outcome::Skip, Outcome::Skip),
        (vec![(4, there()), (4, Landing::Unknown("EINVAL".into()))], Outcome::Unknown, Outcome::Unknown),
        (vec![(4, Landing::Empty), (4, Landing::Unknown("".into()))], Outcome::Unknown, Outcome::Unknown),
        (vec![(4, Landing::Elsewhere(1)), (4, Landing::Unknown("".into()))], Outcome::Fail, Outcome::Unknown),
        (vec![(4, there()), (4, Landing::NotAllowed("".into()))], Outcome::Pass, Outcome::Pass),
        (vec![(4, Landing::NotAllowed("".into())), (4, Landing::Empty)], Outcome::Skip, Outcome::Warn),
    ] {
        let nodes = nodes(&list);
        assert_eq!(where_asked(size(), &nodes, "").outcome, asked, "{list:?}");
        assert_eq!(each_gives(size(), &nodes).outcome, gives, "{list:?}");
    }
}

#[test]
fn pages_on_a_node_without_cpus_get_a_word() {
    let mut far =
        nodes(&[(4, Landing::There("mbind")), (4, Landing::There("mbind")), (4, Landing::There("mbind"))]);
    far[1].has_no_cpu = true;
    far[2].has_no_cpu = true;
    let finding = each_gives(size(), &far);
    assert_eq!(finding.outcome, Outcome::Pass);
    assert!(finding.summary.contains("node1-2 have pages and no CPU"), "{}", finding.summary);
    far[2].counters.total = 0;
    let summary = each_gives(size(), &far).summary;
    assert!(summary.contains("node1 has pages and no CPU"), "{summary}");
}

#[test]
fn a_node_without_cpus_is_told_from_one_whose_cpus_are_not_known() {
    let tree = two_nodes([0, 0], &[("sys/devices/system/node/node1/cpulist", "\n")]);
    let root = HostRoot::new(tree.path());
    assert!(has_no_cpu(&root, 1) && !has_no_cpu(&root, 0));
}

/// A worker output that keeps the steps and findings.
#[derive(Default)]
struct Told {
    steps: Vec<String>,
    findings: Vec<Finding>,
}

impl WorkerOutput for Told {
    fn step(&mut self, _id: CheckId, step: &str) -> io::Result<()> {
        self.steps.push(step.to_owned());
        Ok(())
    }

    fn found(&mut self, finding: Finding) -> io::Result<()> {
        self.findings.push(finding);
        Ok(())
    }
}

/// Creates a tree with two NUMA nodes that have 4 pages each, of which `free` are free.
fn two_nodes(free: [u64; 2], files: &[(&str, &str)]) -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = tree.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let pool = |parent: &str, counters: &[(&str, u64)]| {
        for (name, value) in counters {
            let path = format!("{parent}/hugepages/hugepages-2048kB/{name}_hugepages");
            write(&path, &format!("{value}\n"));
        }
    };
    for (node, free) in free.iter().enumerate() {
        let parent = format!("sys/devices/system/node/node{node}");
        pool(&parent, &[("nr", 4), ("free", *free), ("surplus", 0)]);
    }
    let free = free.iter().sum();
    pool("sys/kernel/mm", &[("nr", 8), ("free", free), ("resv", 0), ("surplus", 0), ("nr_overcommit", 0)]);
    files.iter().for_each(|(path, text)| write(path, text));
    tree
}

fn told(tree: &tempfile::TempDir) -> Told {
    let task = json!({"role": "placement", "size": "2Mi", "pages": 1, "root": tree.path()});
    let mut told = Told::default();
    run(&serde_json::from_value(task).unwrap(), size(), &mut told).unwrap();
    told
}

#[test]
fn a_node_outside_mems_allowed_list_is_not_asked_and_not_judged() {
    let status = ("proc/self/status", "Name:\tx\nMems_allowed_list:\t0\n");
    let told = told(&two_nodes([0, 4], &[status]));
    assert!(told.steps.iter().all(|step| !step.contains("node1")), "{:?}", told.steps);
    for finding in &told.findings {
        assert!(finding.summary.contains("Mems_allowed_list"), "{finding:?}");
    }
    let outcomes: Vec<_> = told.findings.iter().map(|finding| finding.outcome).collect();
    // node0 has no free page, which HP507 reports.
    assert_eq!(outcomes, [Outcome::Skip, Outcome::Warn]);
}
