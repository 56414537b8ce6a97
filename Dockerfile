# The service of planfold with all its extras: docs/howto/service.md says how to run it.

FROM python:3.13-slim AS build
WORKDIR /build
COPY requirements/runtime.txt ./
RUN python -m pip install --no-cache-dir --require-hashes --only-binary :all: -r runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN python -m pip wheel --no-build-isolation --no-deps --no-index --wheel-dir /wheels .

FROM python:3.13-slim
COPY requirements/image.txt /wheels/
RUN python -m pip install --no-cache-dir --require-hashes --only-binary :all: -r /wheels/image.txt
COPY --from=build /wheels /wheels
RUN python -m pip install --no-cache-dir --no-deps --no-index --find-links /wheels planfold
RUN useradd --uid 10001 --create-home --home-dir /data planfold

USER 10001:10001
WORKDIR /data
VOLUME /data
ENV PLANFOLD_DB=sqlite:////data/planfold.db
ENV XDG_STATE_HOME=/data/state
EXPOSE 7433
# 421: it answers, under other names than that of this machine.
HEALTHCHECK --start-period=10s CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 7433, timeout=5); c.request('GET', '/livez'); raise SystemExit(c.getresponse().status not in (200, 421))"]
ENTRYPOINT ["planfold"]
CMD ["serve", "--host", "0.0.0.0", "--behind-proxy", "--public-url", "http://localhost:7433", "--log-json"]
