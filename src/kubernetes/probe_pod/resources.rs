//! The requests and limits of the probe pod and of its containers.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ResourceClaim, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::{Asked, PageLimit, some};
use crate::config::Config;
use crate::quantity;
use hugeprobe_domain::compact::Container;

/// Returns the resources of a container. Requests equal limits for every resource, so the pod's QoS class is
/// Guaranteed, as it is for a workload with exclusive CPUs.
pub(super) fn of_container(config: &Config, asked: &Asked, side: Container) -> ResourceRequirements {
    let probe = &config.probe;
    let bytes = bytes_of(config, asked, side);
    let mut amounts = BTreeMap::from([
        ("cpu".to_owned(), Quantity(probe.cpu.clone())),
        ("memory".to_owned(), Quantity(memory(config, asked, side))),
    ]);
    if bytes > 0 && asked.limit != PageLimit::Pod {
        amounts.insert(asked.size.resource_name(), Quantity(mebibytes(bytes)));
    }
    // A vhost-user driver puts the directory of the socket into each container that has the claim.
    let claims =
        probe.resource_claims.iter().map(|claim| ResourceClaim { name: claim.name.clone(), request: None });
    ResourceRequirements { requests: Some(amounts.clone()), limits: Some(amounts), claims: some(claims) }
}

/// Returns the resources of the pod: the pages that both containers share, and what the containers have together, which
/// Kubernetes requires as well.
pub(super) fn of_pod(config: &Config, asked: &Asked) -> ResourceRequirements {
    // The frontend has at least as many pages as the backend.
    let frontend = Container::Frontend;
    let amounts = BTreeMap::from([
        ("cpu".to_owned(), Quantity(quantity::twice(&config.probe.cpu))),
        ("memory".to_owned(), Quantity(quantity::twice(&memory(config, asked, frontend)))),
        (asked.size.resource_name(), Quantity(mebibytes(bytes_of(config, asked, frontend)))),
    ]);
    ResourceRequirements { requests: Some(amounts.clone()), limits: Some(amounts), claims: None }
}

/// Returns the bytes of huge pages that a container may use.
fn bytes_of(config: &Config, asked: &Asked, side: Container) -> u64 {
    asked.size.bytes().saturating_mul(asked.probe(config).pages_of(side))
}

/// Returns the memory limit of a container.
fn memory(config: &Config, asked: &Asked, side: Container) -> String {
    let memory = &config.probe.memory;
    if asked.memory_pays { plus(memory, bytes_of(config, asked, side)) } else { memory.clone() }
}

/// Returns the quantity plus `more` bytes. The quantity is returned unchanged if it is not a whole number of bytes.
fn plus(quantity: &str, more: u64) -> String {
    match quantity::bytes(quantity).and_then(|bytes| bytes.checked_add(more)) {
        Some(sum) if more > 0 => mebibytes(sum),
        _ => quantity.to_owned(),
    }
}

/// Formats an amount in the API server's canonical form, with the largest unit that divides it.
fn mebibytes(bytes: u64) -> String {
    const UNITS: [(&str, u32); 3] = [("Gi", 30), ("Mi", 20), ("Ki", 10)];
    let unit = UNITS.iter().find(|(_, shift)| bytes.trailing_zeros() >= *shift && bytes >> shift > 0);
    unit.map_or_else(|| bytes.to_string(), |(name, shift)| format!("{}{name}", bytes >> shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_as_the_api_server_keeps_them() {
        for (bytes, text) in [(1 << 31, "2Gi"), (3 << 21, "6Mi"), (65536, "64Ki"), (1000, "1000"), (0, "0")] {
            assert_eq!(mebibytes(bytes), text);
        }
    }
}
