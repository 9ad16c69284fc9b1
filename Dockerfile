# One static binary on scratch. The builder image is an argument, so that a mirror or another toolchain can be used. It
# needs cargo, a linker and a C compiler for the architecture of the image.
ARG BUILDER=docker.io/library/rust:1.95-bookworm

FROM ${BUILDER} AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock build.rs ./
COPY docs/reference/report.schema.json docs/reference/
COPY src src
# .git is not in the build context, so build.rs takes the commit from the environment.
ARG REVISION=unknown
# Cargo requires every declared target to exist. The tests are declared last and removed here, so that a change of a test does
# not cause a rebuild. packaging/binary has the same features.
RUN sed -i '/^\[\[test\]\]/,$d' Cargo.toml \
    && HUGEPROBE_COMMIT="${REVISION}" cargo rustc --profile image --no-default-features --features cluster --locked --bin hugeprobe -- -C target-feature=+crt-static \
        -C link-arg=-Wl,-z,pack-relative-relocs $(uname -m | sed -n 's/^x86_64$/-C link-arg=-Wl,--icf=all/p') \
    && install -D --strip target/image/hugeprobe /out/hugeprobe

FROM scratch
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="hugeprobe" \
      org.opencontainers.image.description="Checks whether the huge pages of a node work for vhost-user workloads, by doing what the workload does" \
      org.opencontainers.image.source="https://github.com/hugeprobe/hugeprobe" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /out/hugeprobe /hugeprobe
# A user id that no system assigns. It is a number, so that `runAsNonRoot` can be checked without /etc/passwd.
USER 65532:65532
ENTRYPOINT ["/hugeprobe"]
