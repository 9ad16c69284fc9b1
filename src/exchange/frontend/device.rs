//! Whether a backend is a network device, as far as its features tell.
//!
//! vhost-user has no request for the device type, and bits 0 to 23 of the virtio features mean something else for each
//! type (virtio 1.2, 2.2 "Feature Bits" and the "Feature bits" of each device in 5). Starting a queue of a device of
//! another type can end the process that serves it, so a backend counts as a network device only where no other type
//! has the bits that it offers. The protocol features tell nothing: DPDK's library offers NET_MTU and RARP for any type.

use crate::exchange::message::feature;

/// Bits that virtio 1.2 defines for network devices alone: GUEST_TSO6 (8), and CTRL_RX (18) to CTRL_MAC_ADDR (23).
const NETWORK_ONLY: u64 = 1 << 8 | 0x3f << 18;
/// Bits that block devices have beside LIFETIME, which has the number of MRG_RXBUF: SEG_MAX, GEOMETRY, BLK_SIZE.
const BLOCK: u64 = 1 << 2 | 1 << 4 | 1 << 6;

/// Whether these features can be a network device's and no other's.
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
        // LIFETIME of a block device, which has to say more of itself.
        assert!(is_network(feature::MRG_RXBUF) && !is_network(feature::MRG_RXBUF | 1 << 6));
    }
}
