# The few verbs people type. Each is a line or two; what they run is in cargo, tests/ and .ci/.
.PHONY: check test flaky bench fuzz static lint docs machines arm64 image cluster cluster-kubectl cluster-down chart manifests truth \
	bare dist dist-test dist-twice nightly

CARGO ?= cargo
SECONDS_PER_TARGET ?= 60
# What takes root, of a verb that builds as the user who typed it.
as_root = $(if $(filter 0,$(shell id -u)),,sudo)
# The PATH of sudo has no ~/.cargo/bin: the toolchain of the user who typed `sudo make`. Root's own ~/.cargo keeps the downloads.
ifdef SUDO_USER
home := $(shell getent passwd $(SUDO_USER) | cut -d : -f 6)
export PATH := $(PATH):$(home)/.cargo/bin
export RUSTUP_HOME ?= $(home)/.rustup
endif

## Run the main job: 16 pages of 2Mi for the run, a verdict, all given back (asks for root by sudo). A build without optimisation
## and without the Kubernetes client: a third of the time until the verdict
check:
	$(CARGO) build --profile quick --no-default-features --locked --quiet
	$(as_root) target/quick/hugeprobe check --reserve 2Mi=16

## Install what the tests need, then pass them all, real huge pages included (root)
test:
	tests/needs tests
	HUGEPROBE_REQUIRE=1 tests/hold-1gi tests/run

## Find out which tests depend on luck: all of them N times, every second time beside a load; ARGS are of tests/flaky (root)
N ?= 20
flaky:
	tests/needs tests
	tests/hold-1gi tests/flaky $(N) $(ARGS)

## hugeprobe beside testpmd and QEMU, fault by fault: prints the table and how often they differ (root, nobody else about)
truth:
	tests/needs tests
	HUGEPROBE_TRUTH=1 tests/hold-1gi $(CARGO) test --locked --quiet --test truth

## The tests that CI runs before the others: format, lints, scripts and workflows
lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	.github/lint

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

## One static file, the one in the image: dist/hugeprobe
static:
	packaging/binary image dist/hugeprobe

## What is released, in dist/release: archive, deb, rpm, image, chart, krew manifest, bill of materials, digests (root)
dist:
	packaging/dist

## Install what `make dist` left in bare roots, run it there, have every file read by another program (root)
dist-test:
	packaging/test

## Make it all again in another directory: every file has the same digest
dist-twice:
	packaging/twice

## Emulated machines: several NUMA nodes, the oldest and the newest kernel of Debian (installs QEMU; root)
machines: static
	tests/machines/prepare target/machines dist/hugeprobe "$$($(CARGO) test --locked --test real --no-run 2>&1 | sed -n 's/.*Executable .*(\(.*\))$$/\1/p')"
	HUGEPROBE_MACHINES=$(CURDIR)/target/machines $(CARGO) test --locked --test machines

## Cross-build for arm64, boot an emulated arm64 machine and run check there (installs a cross compiler and QEMU; root)
arm64:
	tests/arm64

## The image by the Dockerfile, without a registry of images: target/cluster/hugeprobe.tar, and its size (root)
image:
	tests/needs cluster
	tests/cluster/image

## A real cluster of one node, pools of 2Mi and 1Gi, the chart installed, the verdict on the Node (root); PREBUILT= builds the
## image by the Dockerfile, else it is made of dist/hugeprobe
PREBUILT ?= dist/hugeprobe
cluster: $(if $(PREBUILT),static)
	tests/needs cluster
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

## Both commands of the README and every install script, on bare Debian 12 and 13: root directories by debootstrap (root)
bare:
	tests/bare/run

## What takes too long for .ci/run, whole: hours (root)
nightly: dist dist-test dist-twice arm64
	$(MAKE) fuzz SECONDS_PER_TARGET=60
	$(MAKE) flaky N=20

## The chart's tests that take no cluster
chart:
	charts/test

## Make charts/hugeprobe/README.md and manifests/ from the chart
manifests:
	charts/tools/install
	charts/render .
