# The page or the MCP server on a CPU, for any policy that is a server elsewhere; see docs/deployment.md.
FROM python:3.11.14-slim-bookworm AS build
ARG EXTRAS=models,chat,ui,serve,medical,postgres
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY tools tools
COPY agent agent
COPY evals evals
COPY training training
COPY ui ui
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --constraint constraints.txt \
        --extra-index-url "$TORCH_INDEX" ".[${EXTRAS}]"

FROM python:3.11.14-slim-bookworm
RUN useradd --create-home --uid 10001 ibisagent && install --directory --owner=ibisagent /data
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PORT=7860 HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /data
USER 10001
EXPOSE 7860 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=4); c.request('GET', '/'); sys.exit(c.getresponse().status >= 500)"]
ENTRYPOINT ["ibisagent"]
CMD ["web", "--host", "0.0.0.0", "--port", "7860", "--auth", "/run/secrets/auth", "--db", "/data/web.db"]
