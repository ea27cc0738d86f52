# Controller and gateway in one image: Debian's Python and the locked dependencies; no pip, no compiler, nothing of the
# simulator. `make image` builds it. Where packages come by other ways than pip's own, its settings are given as a secret:
#   docker build --secret id=pip,src=$HOME/.config/pip/pip.conf --tag inflight-autoscaler .

# By tag and digest: the tag tells which one it is, the digest that it is that one. Another one: --build-arg BASE=...
ARG BASE=debian:bookworm-20260824-slim@sha256:88200866dfff7ea7f5cbcb6ec7c8a701889efe6fe859fe64d6990e4b07ea4171
FROM ${BASE} AS python
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/*

FROM python AS build
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends python3-venv
RUN python3 -m venv /build && python3 -m venv --without-pip /opt/inflight
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# Dependencies first: they change less often than the code. Wheels only, so that nothing is compiled or run.
COPY requirements/build.txt requirements/controller.txt requirements/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/run/secrets/ca.crt \
    /build/bin/pip install --quiet --only-binary :all: --require-hashes -r requirements/build.txt \
    && /build/bin/pip --python /opt/inflight/bin/python install --quiet --only-binary :all: --require-hashes \
        -r requirements/controller.txt
COPY pyproject.toml README.md LICENSE ./
COPY algorithms algorithms
COPY autoscaler autoscaler
COPY simulations simulations
RUN test -f autoscaler/page/assets/vendor/uPlot.iife.min.js || { echo "run make web first: the page lacks uPlot" >&2; exit 1; }
RUN /build/bin/pip wheel --quiet --no-index --no-deps --no-build-isolation --wheel-dir /build/wheel . \
    && /build/bin/pip --python /opt/inflight/bin/python install --quiet --no-index --no-deps /build/wheel/*.whl

FROM python
COPY --from=build /opt/inflight /opt/inflight
# Compiled files came with the packages; with a read-only root none can be added. A user without a name has no home of its own.
ENV PATH=/opt/inflight/bin:$PATH HOME=/ PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
ENTRYPOINT ["autoscaler"]
CMD ["--help"]
