//! Open vSwitch with DPDK, a real vswitch. Its database, sockets and logs are in a directory of the test; it uses
//! nothing of an Open vSwitch that is installed on the system.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Missing, end, program_or_missing};

/// How many pages of 2Mi it takes: `dpdk-socket-mem`, and what its control threads take in addition.
pub(crate) const PAGES: u64 = 36;
/// How many more it may take. DPDK adds pages when its heap is too small for a new session beside one that is still
/// being closed. Without a limit, Open vSwitch takes all that are free for the buffers of a port.
pub(crate) const SPARE: u64 = 8;

/// The path of the vswitch program.
pub(crate) const VSWITCHD: &str = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk";
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";
/// How long a daemon may take to create its socket.
const PATIENCE: Duration = super::HANGS;

/// A database and a vswitch, ended when dropped.
#[derive(Debug)]
pub(crate) struct Ovs {
    directory: PathBuf,
    vswitch: Option<Child>,
    _database: Database,
}

/// A database, ended when dropped.
#[derive(Debug)]
pub(crate) struct Database(Child);

/// Starts a database in `directory` with these settings of the vswitch (`other_config:NAME=VALUE`).
pub(crate) fn database(directory: &Path, settings: &[&str]) -> Database {
    let created =
        Command::new("ovsdb-tool").arg("create").arg(directory.join("conf.db")).arg(SCHEMA).output();
    let created = created.unwrap();
    assert!(created.status.success(), "{created:?}");
    let database = Database(daemon(directory, "ovsdb-server", "ovsdb", |command| {
        command
            .arg(directory.join("conf.db"))
            .arg(format!("--remote=punix:{}", directory.join("db.sock").display()));
    }));
    wait_for(&directory.join("db.sock"));
    for arguments in [&["init"][..], &[&["set", "Open_vSwitch", "."], settings].concat()] {
        let output = vsctl(directory).arg("--no-wait").args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
    database
}

/// Returns `ovs-vsctl`, connected to the database in `directory`.
pub(crate) fn vsctl(directory: &Path) -> Command {
    let mut command = Command::new("ovs-vsctl");
    in_directory(&mut command, directory)
        .arg(format!("--db=unix:{}", directory.join("db.sock").display()))
        .arg("--timeout=20");
    command
}

// === impl Ovs ===

impl Ovs {
    /// Starts a bridge whose ports connect to the sockets `ports` of `directory`. Each port is named after its socket.
    pub(crate) fn start(directory: &Path, ports: &[&str]) -> Result<Self, Missing> {
        program_or_missing("ovsdb-server")?;
        if !Path::new(VSWITCHD).is_file() {
            return Err(Missing(VSWITCHD.to_owned()));
        }
        let extra =
            format!("other_config:dpdk-extra=\"--no-pci --file-prefix=hugeprobe-{}\"", std::process::id());
        let limit = format!("other_config:dpdk-socket-limit={}", (PAGES + SPARE) * 2);
        let settings = [
            "other_config:dpdk-init=true",
            "other_config:dpdk-socket-mem=64",
            &limit,
            "other_config:dpdk-lcore-mask=0x1",
            "other_config:pmd-cpu-mask=0x2",
            &extra,
        ];
        let _database = database(directory, &settings);
        let mut ovs = Self { directory: directory.to_owned(), vswitch: None, _database };
        ovs.restart();
        ovs.set(&["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev"]);
        for port in ports {
            ovs.add_client(port);
        }
        Ok(ovs)
    }

    /// Adds a port that connects to the socket of this name.
    pub(crate) fn add_client(&self, port: &str) {
        let path = format!("options:vhost-server-path={}", self.directory.join(port).display());
        let (interface, kind) = ("Interface", "type=dpdkvhostuserclient");
        self.set(&["add-port", "br0", port, "--", "set", interface, port, kind, &path]);
    }

    /// Adds a port that listens on the socket of this name. Open vSwitch creates it in its directory for sockets.
    pub(crate) fn add_server(&self, port: &str) {
        self.set(&["add-port", "br0", port, "--", "set", "Interface", port, "type=dpdkvhostuser"]);
        wait_for(&self.directory.join(port));
    }

    /// Runs `ovs-ofctl` with a command about the bridge, and returns its output.
    pub(crate) fn ofctl(&self, command: &str, arguments: &[&str]) -> String {
        let bridge = format!("unix:{}", self.directory.join("br0.mgmt").display());
        let output = Command::new("ovs-ofctl").args([command, &bridge]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{command} {arguments:?}: {output:?}\n{}", self.log());
        String::from_utf8(output.stdout).unwrap()
    }

    /// Returns columns of a port's record in the database.
    pub(crate) fn interface(&self, port: &str, columns: &[&str]) -> String {
        let arguments = [&["get", "Interface", port], columns].concat();
        let output = vsctl(&self.directory).args(&arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}\n{}", self.log());
        String::from_utf8(output.stdout).unwrap()
    }

    /// Ends the vswitch if it runs, and starts another one. The database keeps running.
    pub(crate) fn restart(&mut self) {
        self.stop();
        let directory = &self.directory;
        self.vswitch = Some(daemon(directory, VSWITCHD, "vswitchd", |command| {
            command.arg(format!("unix:{}", directory.join("db.sock").display()));
        }));
    }

    /// Ends the vswitch.
    pub(crate) fn stop(&mut self) {
        if let Some(mut vswitch) = self.vswitch.take() {
            end(&mut vswitch);
        }
    }

    /// Returns the pid of the vswitch.
    pub(crate) fn pid(&self) -> u32 {
        self.vswitch.as_ref().unwrap().id()
    }

    /// Returns the vswitch's output, for the message of a failed test.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.directory.join("vswitchd.out")).unwrap_or_default())
            .into_owned()
    }

    fn set(&self, arguments: &[&str]) {
        let output = vsctl(&self.directory).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}\n{}", self.log());
    }
}

impl Drop for Ovs {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        end(&mut self.0);
    }
}

/// Starts a daemon in the foreground.
fn daemon(directory: &Path, program: &str, name: &str, tell: impl FnOnce(&mut Command)) -> Child {
    let log = File::create(directory.join(format!("{name}.out"))).unwrap();
    let mut command = Command::new(program);
    tell(in_directory(&mut command, directory));
    command
        .arg(format!("--unixctl={}", directory.join(format!("{name}.ctl")).display()))
        .arg(format!("--pidfile={}", directory.join(format!("{name}.pid")).display()))
        .stdin(Stdio::null())
        .stderr(log.try_clone().unwrap())
        .stdout(log)
        .spawn()
        .unwrap()
}

/// Makes a program of Open vSwitch keep its files in `directory`.
pub(crate) fn in_directory<'a>(command: &'a mut Command, directory: &Path) -> &'a mut Command {
    for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR", "RUNTIME_DIRECTORY"] {
        command.env(variable, directory);
    }
    command
}

#[track_caller]
fn wait_for(path: &Path) {
    let until = Instant::now() + PATIENCE;
    while !path.exists() {
        assert!(Instant::now() < until, "{} is not there", path.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}
