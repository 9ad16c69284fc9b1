//! `hugeprobe frontend` and `hugeprobe backend` with testpmd and with each other on real pages: the command line, the
//! output and the exit code. The tests in `peers` cover the roles themselves.

use std::path::Path;
use std::process::Command;

use crate::Case;
use crate::context::program::{PROGRAM, Run, run};
use crate::context::testpmd::Testpmd;
use crate::context::{HANGS, Machine, Missing, SMALL};

pub(crate) const CASES: &[Case] = &[
    ("testpmd: net_vhost sends back a million frames of `frontend`", vhost),
    ("testpmd: net_vhost sends back a million frames of `frontend --packed`", vhost_packed),
    ("testpmd: `backend` takes a million frames of net_virtio_user", virtio_user_sends),
    ("testpmd: net_virtio_user sends back a million frames of `backend`", virtio_user_echoes),
    ("testpmd: net_virtio_user with packed_vq=1 does so through packed rings", virtio_user_packed),
    (
        "testpmd: `frontend` and `backend` do without it, whoever listens, and --dir is where the pages are",
        both,
    ),
    ("testpmd: `frontend` sends back what `backend` sends, without it", bounce),
    ("testpmd: `frontend` without pages cannot tell, and the peer is not waited for", no_pages),
];

const FRAMES: &str = "1000000";

fn hugeprobe(verb: &str, socket: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg(verb).arg("--socket").arg(socket).args(["--deadline", "50"]).args(arguments);
    command
}

#[track_caller]
fn assert_says(run: &Run, facts: &[&str], log: &str) {
    assert_eq!(run.code, Some(0), "{run:?}\n{log}");
    for fact in facts {
        assert!(run.stdout.contains(fact), "{fact} is not said: {run:?}");
    }
}

fn vhost(machine: &Machine) -> Result<(), Missing> {
    vhost_with(machine, &[], "split rings")
}

fn vhost_packed(machine: &Machine) -> Result<(), Missing> {
    vhost_with(machine, &["--packed"], "packed rings")
}

fn vhost_with(machine: &Machine, arguments: &[&str], rings: &str) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 32)?;
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let device = format!("net_vhost0,iface={},queues=1", socket.display());
    let testpmd = Testpmd::start(directory.path(), &device, &["--forward-mode=io"])?;
    let mut frontend = hugeprobe("frontend", &socket, &["--size", "2Mi", "--frames", FRAMES]);
    let run = run(frontend.args(arguments));
    let facts =
        [rings, "protocol MQ REPLY_ACK", "region 1    1 x 2Mi, hugetlbfs", "on node", ": 1000000 intact;"];
    assert_says(&run, &facts, &testpmd.log());
    Ok(())
}

fn virtio_user_sends(machine: &Machine) -> Result<(), Missing> {
    let run = with_virtio_user(machine, "", "txonly", &["--mode", "sink"])?;
    assert_says(&run, &["0 intact, ", "frames received"], "");
    Ok(())
}

fn virtio_user_echoes(machine: &Machine) -> Result<(), Missing> {
    let run = with_virtio_user(machine, "", "io", &["--mode", "bounce"])?;
    let facts = [": 1000000 intact;", "✔ 1000000 frames sent and received back", "split rings"];
    assert_says(&run, &facts, "");
    Ok(())
}

fn virtio_user_packed(machine: &Machine) -> Result<(), Missing> {
    let run = with_virtio_user(machine, ",packed_vq=1", "io", &["--mode", "bounce"])?;
    assert_says(&run, &[": 1000000 intact;", "RING_PACKED", "packed rings"], "");
    Ok(())
}

/// Runs `backend --listen` until it has received a million frames from a testpmd that forwards in `mode`. `options` are
/// further options of the device.
fn with_virtio_user(
    machine: &Machine,
    options: &str,
    mode: &str,
    arguments: &[&str],
) -> Result<Run, Missing> {
    let _pages = machine.small_pages_alone(32)?;
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let mut backend = hugeprobe("backend", &socket, &["--listen", "--size", "2Mi", "--frames", FRAMES]);
    backend.args(arguments).env("LC_ALL", "C.UTF-8");
    let backend = std::thread::spawn(move || run(&mut backend));
    // testpmd tries to connect once and ends if it cannot, so wait for the socket.
    let until = std::time::Instant::now() + HANGS;
    while !socket.exists() && std::time::Instant::now() < until {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let device = format!("net_virtio_user0,path={},queues=1,queue_size=256{options}", socket.display());
    let testpmd = Testpmd::start(directory.path(), &device, &["--forward-mode", mode]);
    let run = backend.join().unwrap();
    let testpmd = testpmd?;
    assert_eq!(run.code, Some(0), "{run:?}\n{}", testpmd.log());
    // testpmd sends its memory table again after its memory has grown.
    for fact in
        ["STATUS", "table 1", "x 2Mi, hugetlbfs", "pages touched by this process: ", "vring 1     runs"]
    {
        assert!(run.stdout.contains(fact), "{fact} is not said: {run:?}");
    }
    assert!(!socket.exists(), "the path is gone when the peer is there");
    Ok(run)
}

fn both(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 32)?;
    for (frontend_listens, pages, mount) in [(true, "2", false), (false, "1", false), (true, "3", true)] {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        let [of_frontend, of_backend]: [&[&str]; 2] =
            if frontend_listens { [&["--listen"], &[]] } else { [&[], &["--listen"]] };
        let mut backend = hugeprobe("backend", &socket, of_backend);
        let backend = std::thread::spawn(move || run(&mut backend));
        let arguments = ["--size", "2Mi", "--frames", "100000", "--frame-size", "1514", "--pages", pages];
        let mut frontend = hugeprobe("frontend", &socket, &[&arguments[..], of_frontend].concat());
        let frontend = if mount {
            let mounted = directory.path().join("huge");
            std::fs::create_dir(&mounted).unwrap();
            frontend.arg("--dir").arg(&mounted);
            let mut command = Command::new("unshare");
            let script = "mount -t hugetlbfs -o pagesize=2M none \"$0\" && exec \"$@\"";
            command.args(["--mount", "sh", "-c", script]).arg(&mounted).arg(PROGRAM);
            run(command.args(frontend.get_args()))
        } else {
            run(&mut frontend)
        };
        let backend = backend.join().unwrap();
        assert_says(&frontend, &[": 100000 intact"], &backend.stdout);
        assert_says(&backend, &["x 2Mi, hugetlbfs", "100000 frames sent back: the frontend stopped"], "");
        assert_eq!(backend.stdout.contains("region 1"), pages != "1", "{backend:?}");
        let inode =
            |run: &Run| run.stdout.split("inode ").nth(1).unwrap().split(',').next().unwrap().to_owned();
        assert_eq!(inode(&frontend), inode(&backend), "the same file on both sides");
    }
    Ok(())
}

fn bounce(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 32)?;
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let mut backend = hugeprobe("backend", &socket, &["--listen", "--mode", "bounce", "--frames", "100000"]);
    let backend = std::thread::spawn(move || run(&mut backend));
    let arguments = ["--size", "2Mi", "--peer", "bounce", "--frames", "100000"];
    let frontend = run(&mut hugeprobe("frontend", &socket, &arguments));
    let backend = backend.join().unwrap();
    assert_says(&frontend, &[": 100000 intact"], &backend.stdout);
    assert_says(&backend, &[": 100000 intact", "100000 frames sent and received back"], "");
    Ok(())
}

fn no_pages(_: &Machine) -> Result<(), Missing> {
    let directory = tempfile::tempdir().unwrap();
    // No machine has a pool of this size.
    let run = run(&mut hugeprobe("frontend", &directory.path().join("socket"), &["--size", "512Gi"]));
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(run.stderr.contains("no pool of 512Gi"), "{run:?}");
    Ok(())
}
