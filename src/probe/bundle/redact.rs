//! Replaces what identifies people and machines. The same value always becomes the same placeholder, so that two
//! places that name the same pod still do.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use regex::{Captures, Regex};

/// What is looked for, in this order: UUIDs (pods, boots; systemd writes `_` or `\x2d` for `-`), ids of containers and
/// machines, MAC and IP addresses, and home directories.
const PATTERN: &str = r"(?x)
    (?P<uuid> [0-9a-fA-F]{8} (?P<dash> - | _ | \\x2d) [0-9a-fA-F]{4} (?:-|_|\\x2d) [0-9a-fA-F]{4} (?:-|_|\\x2d)
              [0-9a-fA-F]{4} (?:-|_|\\x2d) [0-9a-fA-F]{12})
  | (?P<id> [0-9a-f]{64} | [0-9a-f]{32})
  | (?P<mac> (?:[0-9a-fA-F]{2}:){5} [0-9a-fA-F]{2})
  | (?P<v4> (?:[0-9]{1,3}\.){3} [0-9]{1,3})
  | (?P<v6> [0-9a-fA-F]{0,4} (?: : [0-9a-fA-F]{0,4}){2,7} (?: (?:\.[0-9]{1,3}){3} )?)
  | /home/ (?P<user> [^/\x20\t\r\n,:\x22\x27\\]+)";

/// Replaces values, and remembers which.
#[derive(Debug)]
pub struct Redactor {
    pattern: Option<Regex>,
    host: Option<String>,
    /// The placeholder of each value, by kind and value.
    known: BTreeMap<(&'static str, String), String>,
}

// === impl Redactor ===

impl Redactor {
    /// The name that replaces the host's.
    pub const HOST: &str = "host-1";

    /// Returns a redactor for a machine with this name.
    ///
    /// The name is replaced wherever it occurs, if it has a digit, a hyphen or a dot. Another one (`vm`, `node`) may as
    /// well be an ordinary word, and is replaced only where it is known to be the host's.
    #[must_use]
    pub fn new(host: &str) -> Self {
        let is_distinct =
            host.len() > 3 && host.contains(|c: char| c.is_ascii_digit() || matches!(c, '-' | '.'));
        Self {
            pattern: Regex::new(PATTERN).ok(),
            host: is_distinct.then(|| host.to_owned()),
            known: BTreeMap::new(),
        }
    }

    /// Returns the text with placeholders. Nothing is kept of it if the pattern is not valid.
    pub fn text(&mut self, text: &str) -> String {
        let Some(pattern) = self.pattern.clone() else { return String::new() };
        let text = pattern.replace_all(text, |found: &Captures<'_>| self.replacement(found));
        match self.host.clone() {
            Some(host) if text.contains(&host) => {
                self.known.insert(("host name", host.clone()), Self::HOST.to_owned());
                text.replace(&host, Self::HOST)
            }
            _ => text.into_owned(),
        }
    }

    /// Returns a path with placeholders.
    pub(super) fn path(&mut self, path: &Path) -> PathBuf {
        PathBuf::from(self.text(&path.to_string_lossy()))
    }

    /// Returns how many different values of each kind were replaced.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for (kind, _) in self.known.keys() {
            *counts.entry(*kind).or_default() += 1;
        }
        counts
    }

    fn replacement(&mut self, found: &Captures<'_>) -> String {
        let named = |name| found.name(name).map(|value| value.as_str());
        let whole = found.get(0).map_or("", |value| value.as_str());
        if let Some(uuid) = named("uuid") {
            let dash = named("dash").unwrap_or("-");
            let uuid = uuid.replace(dash, "-").to_lowercase();
            return self
                .placeholder("UUID", uuid, |n| format!("00000000-0000-4000-8000-{n:012}"))
                .replace('-', dash);
        }
        if let Some(id) = named("id") {
            let width = id.len();
            return self.placeholder("container or machine id", id.to_owned(), |n| format!("{n:0width$}"));
        }
        if let Some(mac) = named("mac") {
            return self
                .placeholder("MAC address", mac.to_lowercase(), |n| format!("02:00:00:00:00:{n:02x}"));
        }
        if let Some(address) = named("v4").filter(|text| is_personal_v4(text)) {
            // 192.0.2.0/24 is for documentation (RFC 5737).
            return self.placeholder("IP address", address.to_owned(), |n| format!("192.0.2.{n}"));
        }
        if let Some(address) = named("v6").filter(|text| is_personal_v6(text)) {
            // 2001:db8::/32 is for documentation (RFC 3849).
            return self.placeholder("IP address", address.to_lowercase(), |n| format!("2001:db8::{n:x}"));
        }
        if let Some(user) = named("user") {
            return format!(
                "/home/{}",
                self.placeholder("user name", user.to_owned(), |n| format!("user-{n}"))
            );
        }
        whole.to_owned()
    }

    /// Returns the placeholder of a value: that of its first occurrence, or a new one with the next number. What is
    /// already a placeholder of this bundle stays.
    fn placeholder(&mut self, kind: &'static str, value: String, make: impl Fn(usize) -> String) -> String {
        let of_kind = || self.known.iter().filter(|((its, _), _)| *its == kind);
        if of_kind().any(|(_, placeholder)| *placeholder == value) {
            return value;
        }
        let next = of_kind().count() + 1;
        self.known.entry((kind, value)).or_insert_with(|| make(next)).clone()
    }
}

/// Returns whether the text is an address of a machine, and not of every machine.
fn is_personal_v4(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok_and(|address| !address.is_loopback() && !address.is_unspecified())
}

/// The same. `0::` begins each line of `/proc/PID/cgroup` that is about cgroup v2, so an address has two groups at least.
fn is_personal_v6(text: &str) -> bool {
    let groups = text.split(':').filter(|group| !group.is_empty()).count();
    groups > 1 && text.parse::<Ipv6Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(text: &str) -> String {
        Redactor::new("worker-3.example.com").text(text)
    }

    #[test]
    fn each_kind_is_replaced_and_the_same_value_alike() {
        let uuid = "5e3cbe4b-6f0c-4a8b-9ab4-0c8ad3b0a2f1";
        let id = "0123456789abcdef".repeat(4);
        let machine = "73407c672a99364598eff31afeeaef5b";
        for (text, expected) in [
            (format!("pod{uuid}"), "pod00000000-0000-4000-8000-000000000001".to_owned()),
            (
                format!("{uuid} kubepods-pod{}.slice", uuid.replace('-', "_")),
                "00000000-0000-4000-8000-000000000001 kubepods-pod00000000_0000_4000_8000_000000000001.slice"
                    .to_owned(),
            ),
            (
                format!("x{}", uuid.replace('-', r"\x2d")),
                r"x00000000\x2d0000\x2d4000\x2d8000\x2d000000000001".to_owned(),
            ),
            (format!("cri-containerd-{id}.scope/{id}"), format!("cri-containerd-{0:064}.scope/{0:064}", 1)),
            (format!("/api/{machine}"), format!("/api/{:032}", 1)),
            ("52:54:00:12:34:56".to_owned(), "02:00:00:00:00:01".to_owned()),
            ("10.1.2.3:/export addr=10.1.2.3".to_owned(), "192.0.2.1:/export addr=192.0.2.1".to_owned()),
            ("fe80::1 2001:470::ff".to_owned(), "2001:db8::1 2001:db8::2".to_owned()),
            ("[::ffff:10.0.0.7]".to_owned(), "[2001:db8::1]".to_owned()),
            ("/home/alice/huge /home/bob".to_owned(), "/home/user-1/huge /home/user-2".to_owned()),
            ("on worker-3.example.com".to_owned(), "on host-1".to_owned()),
        ] {
            assert_eq!(redacted(&text), expected);
        }
    }

    #[test]
    fn what_the_inspections_read_stays() {
        for text in [
            "0::/user.slice\n4:memory,hugetlb:/a\n",
            "72 65 0:53 / /mnt/huge rw,relatime - hugetlbfs none rw,pagesize=2M\n",
            "7ffba4200000-7ffba4600000 rw-p 00000000 00:28 1580402 /mnt/named\n",
            "CapEff:\t000001fffeffffff\nHugetlbPages:\t2048 kB\n",
            "6.18.44-fc-v595 5.14.0-427.13.1.el9_4.x86_64 2026-01-31T12:00:00Z",
            "127.0.0.1 0.0.0.0 999.1.1.1",
            "/proc/sys/vm/nr_hugepages pid:[4026531836]",
            "18446744073709551615 9223372036854771712",
        ] {
            assert_eq!(redacted(text), text);
        }
    }

    #[test]
    fn a_name_that_may_be_a_word_is_not_looked_for() {
        assert_eq!(Redactor::new("vm").text("/proc/sys/vm on vm"), "/proc/sys/vm on vm");
        assert_eq!(Redactor::new("node").text("NUMA node 0"), "NUMA node 0");
    }

    #[test]
    fn a_second_pass_changes_nothing_and_values_are_counted_once() {
        let mut redactor = Redactor::new("h");
        let text = "10.0.0.1 10.0.0.2 10.0.0.1 /home/x 5e3cbe4b-6f0c-4a8b-9ab4-0c8ad3b0a2f1";
        let once = redactor.text(text);
        assert_eq!(redactor.text(&once), once);
        assert_eq!(redactor.counts(), [("IP address", 2), ("UUID", 1), ("user name", 1)].into());
    }
}
