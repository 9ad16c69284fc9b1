# Reads the output of `cargo test --no-fail-fast`, including standard error. Prints one record per line, with fields separated by tabs:
#   count    BINARY  PASSED  FAILED  IGNORED
#   failed   BINARY  TEST
#   ignored  BINARY  TEST    REASON
#   broken   BINARY  WHY     no result, an exit status that contradicts the result, or a binary that cargo could not build
# The last result of each binary counts: a failing test may print the log of another run.

function finish(    name, i) {
    if (binary == "") return
    if (result == "") {
        print "broken", binary, "ended without a test result" (why == "" ? "" : " " why)
    } else {
        split(result, number, /[^0-9]+/)
        print "count", binary, number[2], number[3], number[4]
        for (i = 1; i <= failures; i++) print "failed", binary, failure[i]
        if (number[3] > 0 && failures == 0) print "broken", binary, number[3] " tests failed and none was named"
        if (number[3] == 0 && bad) print "broken", binary, "failed though no test did" (why == "" ? "" : " " why)
    }
    for (i = 1; i <= left; i++) print "ignored", binary, left_test[i], left_reason[i]
}

function start(name) {
    finish()
    binary = name; result = ""; why = ""; test = ""
    bad = failures = left = listing = 0
}

function leave_out(reason) {
    left++
    left_test[left] = test
    left_reason[left] = reason == "" ? "no reason given" : reason
}

BEGIN { OFS = "\t" }

{ gsub(/\033\[[0-9;]*m/, ""); sub(/\r$/, ""); gsub(/\t/, " ") }

/^ +Running .*\(.*\)$/ {
    name = $0; sub(/\)$/, "", name); sub(/.*\//, "", name); sub(/-[0-9a-f]+$/, "", name)
    start(name)
    next
}
/^ +Doc-tests / { start("doc-tests"); next }

/^error: could not compile / { broken[++breaks] = substr($0, 8); next }
/^error: / && binary == "" { broken[++breaks] = substr($0, 8); next }
/^error: (test|doctest) failed, to rerun pass/ { bad = 1; next }
/^ +process didn't exit successfully: / { why = $0; sub(/.*\(/, "(", why); next }

# The first list of failures has what each test printed, the second has the names.
/^failures:$/ { failures = 0; listing = 1; next }
listing && /^    [^ ]/ { failure[++failures] = substr($0, 5); next }
listing && /[^ ]/ { listing = 0 }

# libtest-mimic prints the name before the test runs, so the output of the test may be between the two.
/^test .* \.\.\./ { test = $0; sub(/^test /, "", test); sub(/ +\.\.\. ?.*/, "", test) }
/(^|\.\.\. )ignored \(.*\)$/ { reason = $0; sub(/^.*\.\.\. ignored \(|^ignored \(/, "", reason); sub(/\)$/, "", reason); leave_out(reason); next }
/^test .* \.\.\. ignored(, .*)?$/ { reason = $0; sub(/^.* \.\.\. ignored(, )?/, "", reason); leave_out(reason); next }

/^test result: / { result = substr($0, 14); sub(/^[A-Za-z]+\./, ".", result) }

END {
    finish()
    for (i = 1; i <= breaks; i++) print "broken", "cargo", broken[i]
    if (binary == "" && breaks == 0) print "broken", "cargo", "no test binary was run"
}
