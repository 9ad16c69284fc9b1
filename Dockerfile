# One static binary on scratch. The builder is an argument, for mirrors and for toolchains of one's own: it needs cargo,
# a linker and a C compiler, of the image's own architecture.
ARG BUILDER=docker.io/library/rust:1.95-bookworm

FROM ${BUILDER} AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock build.rs ./
COPY docs/reference/report.schema.json docs/reference/
COPY src src
# There is no .git here: build.rs takes the commit from the environment.
ARG REVISION=unknown
# Cargo wants every declared target to exist, tests included, which stand last: without them a change of a test builds nothing anew.
RUN sed -i '/^\[\[test\]\]/,$d' Cargo.toml \
    && HUGEPROBE_COMMIT="${REVISION}" cargo rustc --profile image --locked --bin hugeprobe -- -C target-feature=+crt-static \
        -C link-arg=-Wl,-z,pack-relative-relocs \
    && install -D --strip target/image/hugeprobe /out/hugeprobe

FROM scratch
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="hugeprobe" \
      org.opencontainers.image.description="Tells whether a node's hugepages will carry a vhost-user workload, by doing what the workload does" \
      org.opencontainers.image.source="https://github.com/hugeprobe/hugeprobe" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /out/hugeprobe /hugeprobe
# An id that no system has a user of. A number, so that `runAsNonRoot` can be checked without /etc/passwd.
USER 65532:65532
ENTRYPOINT ["/hugeprobe"]
