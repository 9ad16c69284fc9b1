//! Decides from the features of a backend whether it is a network device.
//!
//! vhost-user has no request for the device type, and bits 0 to 23 of the virtio features have a different meaning for
//! each type (virtio 1.2, 2.2 "Feature Bits" and the "Feature bits" of each device in 5). Starting a queue of a device
//! of another type can end the process that serves it. So a backend counts as a network device only if no other device
//! type has the bits that it offers. The protocol features do not help: DPDK's library offers NET_MTU and RARP for any
//! type.

use crate::message::feature;

/// The bits that virtio 1.2 defines only for network devices: GUEST_TSO6 (8), and CTRL_RX (18) to CTRL_MAC_ADDR (23).
const NETWORK_ONLY: u64 = 1 << 8 | 0x3f << 18;
/// Bits of block devices: SEG_MAX, GEOMETRY, BLK_SIZE. A block device may also offer LIFETIME, which has the same
/// number as MRG_RXBUF.
const BLOCK: u64 = 1 << 2 | 1 << 4 | 1 << 6;

/// Returns whether only a network device can offer these features.
pub(super) const fn is_network(offered: u64) -> bool {
    let has_only_merged_buffers = offered & feature::MRG_RXBUF != 0 && offered & BLOCK == 0;
    offered & NETWORK_ONLY != 0 || has_only_merged_buffers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_that_another_device_type_has_leaves_it_open() {
        for bit in (0..64).filter(|bit| ![8, 15, 18, 19, 20, 21, 22, 23].contains(bit)) {
            assert!(!is_network(1 << bit), "bit {bit}");
        }
        // Bit 15 is LIFETIME on a block device, but a block device also offers at least one bit of `BLOCK`.
        assert!(is_network(feature::MRG_RXBUF) && !is_network(feature::MRG_RXBUF | 1 << 6));
    }
}
