//! HP612 where no worker asks the peer, because there is no page to offer it.

use super::super::catalogue::HP612;
use super::super::check::{Because, Finding, Outcome};
use super::super::inventory::Inventory;
use super::super::peer::PathKind;
use super::super::request::Request;
use super::super::size::PageSize;

/// HP612 if nothing at the path of `--peer` can be connected to.
#[must_use]
pub fn missing(inventory: &Inventory, request: &Request, size: PageSize) -> Option<Finding> {
    let (Some(PathKind::Other(what)), Some(peer)) = (&inventory.peer, &request.peer) else { return None };
    let because =
        Because::new(format!("a peer that listens on {}", peer.socket), format!("{what} at {}", peer.socket));
    let summary = format!("no process is at the other end of the socket: {what} at {}", peer.socket);
    Some(Finding::not_pass(HP612, size, Outcome::Fail, summary, because))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::Peer;

    #[test]
    fn only_a_path_without_a_socket_fails() {
        let size = "2Mi".parse().unwrap();
        let peer = Peer { socket: "/run/vhost".into(), listen: false, transmit: 0 };
        let request = Request { peer: Some(peer), ..Request::default() };
        let finding = |peer| missing(&Inventory { peer, ..Inventory::default() }, &request, size);
        assert_eq!(finding(None), None);
        assert_eq!(finding(Some(PathKind::Socket)), None);
        let found = finding(Some(PathKind::Other("a regular file".into()))).unwrap();
        assert_eq!((found.outcome, found.seen.as_str()), (Outcome::Fail, "a regular file at /run/vhost"));
    }
}
