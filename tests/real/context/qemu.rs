//! QEMU, a real frontend. It needs no guest: iPXE in the option ROM of its network card requests an address.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use hugeprobe::domain::size::PageSize;

use super::{Missing, end, program_or_missing};

/// The MAC address of the network card.
pub(crate) const MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x68, 0x70, 0x01];

/// A QEMU process, ended when dropped.
#[derive(Debug)]
pub(crate) struct Qemu(Child);

// === impl Qemu ===

impl Qemu {
    /// Boots from the network over the vhost-user backend at `socket`. The guest has `bytes` of memory in pages of
    /// `size`.
    pub(crate) fn start(
        directory: &Path,
        socket: &Path,
        size: PageSize,
        bytes: u64,
    ) -> Result<Self, Missing> {
        Self::with(directory, socket, size, bytes, "")
    }

    /// Does the same, and connects again each second after the backend has gone.
    pub(crate) fn that_reconnects(
        directory: &Path,
        socket: &Path,
        size: PageSize,
        bytes: u64,
    ) -> Result<Self, Missing> {
        Self::with(directory, socket, size, bytes, ",reconnect=1")
    }

    fn with(
        directory: &Path,
        socket: &Path,
        size: PageSize,
        bytes: u64,
        chardev: &str,
    ) -> Result<Self, Missing> {
        program_or_missing("qemu-system-x86_64")?;
        let mib = bytes >> 20;
        let log = File::create(directory.join("qemu.log")).unwrap();
        let huge = format!("hugetlb=on,hugetlbsize={}M,prealloc=on,share=on", size.bytes() >> 20);
        let mac = MAC.map(|byte| format!("{byte:02x}")).join(":");
        let child = Command::new("qemu-system-x86_64")
            .args(["-M", "pc,accel=tcg", "-nodefaults", "-no-user-config", "-display", "none", "-boot", "n"])
            .args(["-m", &format!("{mib}M"), "-numa", "node,memdev=memory"])
            .args(["-object", &format!("memory-backend-memfd,id=memory,size={mib}M,{huge}")])
            .args(["-chardev", &format!("socket,id=vhost,path={}{chardev}", socket.display())])
            .args(["-netdev", "vhost-user,id=net,chardev=vhost"])
            .args(["-device", &format!("virtio-net-pci,netdev=net,mac={mac}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Ok(Self(child))
    }

    /// Kills the process.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        end(&mut self.0);
    }
}
