# The verbs; `make help` lists them. Each is a line or two; what they run is in cargo, tests/ and .ci/.
.PHONY: help check test flaky bench fuzz static lint docs book machines arm64 image cluster cluster-kubectl cluster-down chart manifests \
	truth places peers bare scale fleet dist dist-test dist-twice pictures alerts numa nightly
.DEFAULT_GOAL := check

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

## List the verbs
help:
	@awk '/^## / { text = substr($$0, 4) } \
	    /^[a-z0-9-]+:/ && text { split($$0, verb, ":"); printf "  make %-16s %s\n", verb[1], text; text = "" }' Makefile

## Check this machine with 16 pages of 2Mi that are added for the run (asks for root by sudo)
# The build is not optimised and has no Kubernetes client: a third of the time until the verdict.
check:
	$(CARGO) build --package hugeprobe --profile quick --no-default-features --locked --quiet
	$(as_root) target/quick/hugeprobe check --reserve 2Mi=16

## Install what the tests need and run all of them, on real huge pages (root)
test:
	tests/needs tests
	HUGEPROBE_REQUIRE=1 tests/hold-1gi tests/run

# Every second run has a load beside it; ARGS are those of tests/flaky.
N ?= 20
## Run all tests N times, to find those that depend on luck (root)
flaky:
	tests/needs tests
	tests/hold-1gi tests/flaky $(N) $(ARGS)

## Compare the verdict with testpmd, QEMU and OVS, fault by fault: the truth table (root, idle machine)
truth:
	tests/needs tests
	HUGEPROBE_TRUTH=1 tests/hold-1gi $(CARGO) test --locked --quiet --test truth

# MADE=M goes on with an interrupted run of that seed, after M places.
## Compare the verdict with testpmd and QEMU in N random places; SEED draws the same ones again (root, idle machine)
places: N = 40
places:
	tests/needs tests
	HUGEPROBE_PLACES=$(N) $(if $(SEED),HUGEPROBE_SEED=$(SEED)) $(if $(MADE),HUGEPROBE_PLACES_MADE=$(MADE)) $(CARGO) test --locked --quiet --test truth

## Build the vhost-user daemons of crates.io, and run the table of peers with them (root; builds for five minutes)
peers:
	tests/needs tests peers
	tests/peers
	HUGEPROBE_REQUIRE=1 $(CARGO) test --locked --quiet --test real -- 'peers: the table'

## Check format, lints, links of the documentation, scripts and workflows
lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-A rustdoc::private-intra-doc-links -D warnings" $(CARGO) doc --locked --no-deps --document-private-items --quiet
	.github/lint
	$(CARGO) clippy --manifest-path fuzz/Cargo.toml --target-dir target --locked --quiet -- -D warnings

## Regenerate the pages, tables and lists of texts that are made from the source (docs/reference, tests/render, tests/docs, src)
docs:
	UPDATE=1 $(CARGO) test --locked --test render --test docs --test troubleshooting
	UPDATE=1 $(CARGO) test --locked --lib read_as_kept

mdbook := target/tools/mdbook/bin/mdbook
## Build the documentation as a book in target/book (builds mdBook first: about two minutes)
book: $(mdbook)
	$(mdbook) build

$(mdbook):
	$(CARGO) install mdbook --version 0.4.52 --locked --quiet --no-default-features --root target/tools/mdbook

## Measure what docs/internals/benchmarks.md reports (root, installs DPDK)
bench:
	benches/run
	packaging/binary bench target/image/bench-of-agent
	target/image/bench-of-agent

# About ten minutes for 100 nodes, hours for 5,000. One number after another: NODES="100 1000 5000".
## Count what the agents of NODES nodes cost an API server, from the first install on (root)
scale: NODES = 1000
scale:
	tests/cluster/build
	benches/scale/run $(NODES)

## Measure the verbs of the plugin on NODES Nodes of kwok and a real API server (root)
fleet: NODES = 5000
fleet:
	tests/cluster/build
	$(CARGO) build --release --locked
	FLEET=1 HUGEPROBE=$(CURDIR)/target/release/hugeprobe benches/scale/run $(NODES)

## Run each fuzz target for SECONDS_PER_TARGET
fuzz:
	fuzz/run $(SECONDS_PER_TARGET)

## Build dist/hugeprobe: one static binary, the one in the image
static:
	packaging/binary image dist/hugeprobe

## Build a release in dist/release: archive, deb, rpm, image, chart, krew manifest, SBOM, digests (root)
dist:
	packaging/dist

## Open the page of `check -o html` and the dashboard in Chromium, and write docs/pictures (installs Chromium, builds Prometheus)
pictures:
	tests/needs pictures dashboard
	charts/alerts/install
	tests/pictures/dashboard/build
	$(CARGO) test --locked --quiet --test pictures -- --ignored

## Install and run the release of `make dist` in bare roots (root)
dist-test:
	packaging/test

## Build the release again in another directory and compare the digests
dist-twice:
	packaging/twice

## Boot emulated machines with several NUMA nodes and old and new kernels, and test there (root, installs QEMU)
# STATIC= names a static file that is there already. CASES= are arguments of the test, such as --skip NAME.
machines: $(if $(STATIC),,static)
	tests/machines/prepare target/machines $(or $(STATIC),dist/hugeprobe) \
	    $$($(CARGO) test --locked --test real --test truth --no-run 2>&1 | sed -n 's/.*Executable .*(\(.*\))$$/\1/p')
	HUGEPROBE_MACHINES=$(CURDIR)/target/machines $(CARGO) test --locked --test machines -- $(CASES)

## Cross-build for arm64, boot an emulated arm64 machine and run check there (root, installs QEMU)
arm64:
	tests/arm64

## Build the image by the Dockerfile: target/cluster/hugeprobe.tar (root)
image:
	tests/needs cluster
	tests/cluster/image

# The image is made of dist/hugeprobe; PREBUILT= builds it by the Dockerfile.
PREBUILT ?= dist/hugeprobe
## Start a real cluster of one node with pools of 2Mi and 1Gi, and install the chart (root)
cluster: $(if $(PREBUILT),static)
	tests/needs cluster $(if $(CONTAINERD_VERSION),containerd)
	tests/cluster/build
	tests/cluster/image $(if $(PREBUILT),--prebuilt $(PREBUILT))
	tests/cluster/up
	tests/cluster/install

## Test the alerts with the promtool of Prometheus 3, then let each fault raise its alert in that cluster (root; builds Prometheus)
alerts:
	tests/needs cluster
	charts/alerts/install
	PROMTOOL=$(CURDIR)/target/alerts/promtool charts/test
	HUGEPROBE_REQUIRE_CLUSTER=1 $(CARGO) test --locked --quiet --test cluster -- 'each alert fires'

## Let an emulated machine with two NUMA nodes and cgroup v2 join such a cluster, and run its cases (root, installs QEMU)
# STATIC= names a static file that is there already.
numa: $(if $(STATIC),,static)
	tests/cluster/machine/run $(or $(STATIC),dist/hugeprobe)

## Print the kubectl command for that cluster
cluster-kubectl:
	@echo $(CURDIR)/tests/cluster/kubectl

## Remove that cluster and its pages
cluster-down:
	tests/cluster/down

# SUITES=bookworm runs one of them.
## Run `make check` and every install script in bare Debian 12 and 13 (root)
bare:
	tests/bare/run $(SUITES)

## Run what takes too long for .ci/run: hours (root)
nightly: book dist dist-test dist-twice arm64 pictures
	.ci/image
	KUBERNETES_VERSION=1.37 tests/cluster/build
	NIGHTLY=1 charts/policies/run
	KUBERNETES_VERSION=1.37 CONTAINERD_VERSION=2 .ci/cluster
	KUBERNETES_VERSION=1.30 tests/cluster/build
	NIGHTLY=1 charts/policies/run
	KUBERNETES_VERSION=1.30 .ci/cluster
	tests/cluster/build
	NIGHTLY=1 charts/policies/run
	PROMTOOL=$(CURDIR)/target/alerts/promtool charts/test
	.ci/cluster
	$(MAKE) bare
	$(MAKE) numa
	$(MAKE) fuzz SECONDS_PER_TARGET=60
	$(MAKE) flaky N=20
	$(MAKE) truth
	$(MAKE) places N=200
	$(MAKE) peers
	HUGEPROBE_MACHINE_PLACES=40 HUGEPROBE_SEED=$$(od -An -N6 -tu8 /dev/urandom | tr -d ' ') $(MAKE) machines

## Run the chart's tests that need no cluster
chart:
	charts/test

## Generate charts/hugeprobe/README.md and manifests/ from the chart
manifests:
	charts/tools/install
	charts/render .
