//! Pages of 1Gi, of which a machine that ran for long has none to give: the cases of `tests/real` that need some, in a
//! machine that was booted for them.

use std::path::Path;

use crate::Case;
use crate::machine::Shape;

pub(crate) const CASES: &[Case] = &[("1Gi: the cases on real pages that need some", cases)];

fn cases(prepared: &Path) {
    let shape = Shape { processors: 2, brings: &["real.gz"], ..Shape::of("bookworm", &[12288]) };
    // QEMU and OVS were not brought along.
    let log = shape.run(
        prepared,
        r"
export HUGEPROBE_REQUIRE=1
run real real --color never 1Gi --skip QEMU --skip OVS
",
    );
    let said = log.said("real");
    print!("{}", said.out);
    assert_eq!(said.code, 0, "{}{}", said.out, said.errors);
    let passed = said.out.lines().filter(|line| line.starts_with("test ") && line.ends_with(" ok")).count();
    // None of them was left out or ignored.
    assert!(passed >= LEAST, "{passed} passed:\n{}", said.out);
    assert!(!said.out.contains("ignored ("), "{}", said.out);
}

/// How many there were when this was written: there may be more, and no fewer.
const LEAST: usize = 11;
