//! HP7xx: measurements, for information only.

checks! {
    HP701 = 701 {
        reason: "Bandwidth",
        title: "how fast huge pages are populated, written and read",
        why: "For information: a tenth of the machine's memory bandwidth suggests a virtual machine without huge \
              page backing, or a remote NUMA node.",
        how: "with --measure only: populate, write and read, with one thread and with several.",
        remedy: "nothing, if the other checks of the size pass: this is for information only; otherwise see HP502",
        per_size: true,
        mandatory: false,
    }
    HP702 = 702 {
        reason: "RandomReads",
        title: "how much faster huge pages are than ordinary pages",
        why: "For information: the cost of TLB misses with 4 KiB pages.",
        how: "with --measure only: dependent random reads over at least 128 MiB, on 4 KiB pages and on huge pages, \
              in one run.",
        remedy: "nothing, if the other checks of the size pass: this is for information only; otherwise see HP502",
        per_size: true,
        mandatory: false,
    }
}
