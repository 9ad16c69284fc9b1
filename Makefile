# The few verbs people type. Each is a line or two; what they run is in cargo, tests/ and .ci/.
.PHONY: check test flaky bench fuzz static lint docs machines image cluster cluster-kubectl cluster-down chart manifests truth

CARGO ?= cargo
SECONDS_PER_TARGET ?= 60

## Run the main job: 16 pages of 2Mi for the run, a verdict, all given back (root)
check:
	$(CARGO) build --release --locked --quiet
	target/release/hugeprobe check --reserve 2Mi=16

## Install what the tests need, then pass them all, real huge pages included (root)
test:
	tests/install-needs
	env HUGEPROBE_REQUIRE=1 $$(tests/left-out) tests/run

## Find out which tests depend on luck: all of them N times, every second time beside a load; ARGS are of tests/flaky (root)
N ?= 20
flaky:
	tests/install-needs
	env $$(tests/left-out) tests/flaky $(N) $(ARGS)

## hugeprobe beside testpmd and QEMU, fault by fault: prints the table and how often they differ (root, nobody else about)
truth:
	tests/install-needs
	HUGEPROBE_TRUTH=1 $(CARGO) test --locked --quiet --test truth

## The tests that CI runs before the others: format, lints, dependencies
lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

## Regenerate docs/checks.md and docs/troubleshooting.md from their tables, and the tables that tests compare with
docs:
	UPDATE=1 $(CARGO) test --locked --test render

## Ratios from one run, for docs/benchmarks.md (root, installs DPDK)
bench:
	benches/run
	$(CARGO) bench --locked --bench agent

## Every fuzz target for SECONDS_PER_TARGET
fuzz:
	fuzz/run $(SECONDS_PER_TARGET)

## One static file, the one in the image: dist/hugeprobe; packed relocations take 0.8 MB off it (the Dockerfile has the same line)
static:
	$(CARGO) rustc --profile image --locked --bin hugeprobe -- -C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs
	install -D target/image/hugeprobe dist/hugeprobe

## Emulated machines: several NUMA nodes, the oldest and the newest kernel of Debian (installs QEMU; root)
machines: static
	tests/machines/prepare target/machines dist/hugeprobe "$$($(CARGO) test --locked --test real --no-run 2>&1 | sed -n 's/.*Executable .*(\(.*\))$$/\1/p')"
	HUGEPROBE_MACHINES=$(CURDIR)/target/machines $(CARGO) test --locked --test machines

## The image by the Dockerfile, without a registry of images: target/cluster/hugeprobe.tar, and its size (root)
image:
	tests/cluster/install-needs
	tests/cluster/image

## A real cluster of one node, pools of 2Mi and 1Gi, the chart installed, the verdict on the Node (root); PREBUILT= builds the
## image by the Dockerfile, else it is made of dist/hugeprobe
PREBUILT ?= dist/hugeprobe
cluster: $(if $(PREBUILT),static)
	tests/cluster/install-needs
	tests/cluster/build
	tests/cluster/image $(if $(PREBUILT),--prebuilt $(PREBUILT))
	tests/cluster/up
	tests/cluster/install

## One line: what to type before the arguments of kubectl against that cluster
cluster-kubectl:
	@echo $(CURDIR)/tests/cluster/kubectl

## Everything of it gone, pages included
cluster-down:
	tests/cluster/down

## The chart's tests that take no cluster
chart:
	charts/test

## Make charts/hugeprobe/README.md and manifests/ from the chart
manifests:
	charts/tools/install
	charts/render .
