# The server of a project: what loads and serves a pair, nothing that trains one. Build context: the
# project's folder, with the wheels of the framework in dist/ (see README.md).
FROM python:3.11-slim-bookworm AS build
WORKDIR /build
COPY dist/ dist/
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --find-links dist \
    'framework-core[serving]' framework-fastapi 'framework-mlflow[postgresql,s3]' \
    'framework-sql[postgresql]' 'framework-feast[redis]' framework-preprocessing framework-xgboost

FROM python:3.11-slim-bookworm
RUN useradd --create-home --uid 10001 forecast
COPY --from=build /venv /venv
WORKDIR /home/forecast/project
COPY conf/ conf/
USER 10001
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
EXPOSE 8000
# the server answers 503 here until the pair is proven
HEALTHCHECK --start-period=60s --interval=10s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health/ready', timeout=2)"]
ENTRYPOINT ["python", "-m", "framework"]
CMD ["run=serve", "serving.host=0.0.0.0"]
