//! HP7xx: measured, for information.

checks! {
    HP701 = 701 {
        reason: "Bandwidth",
        title: "how fast huge pages are populated, written and read",
        why: "For information: a tenth of what the machine's memory does points at a virtual machine without backing, or a \
              remote NUMA node.",
        how: "with --measure only: populate, write and read, one thread and several.",
        remedy: "nothing, if the other checks of the size pass: it is for information; else see HP502",
        per_size: true,
        mandatory: false,
    }
    HP702 = 702 {
        reason: "RandomReads",
        title: "what huge pages buy",
        why: "For information: the TLB misses that 4 KiB pages cost.",
        how: "with --measure only: dependent random reads over at least 128 MiB, on 4 KiB and on huge pages, in one run.",
        remedy: "nothing, if the other checks of the size pass: it is for information; else see HP502",
        per_size: true,
        mandatory: false,
    }
}
