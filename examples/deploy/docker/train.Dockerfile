# Everything else that a project runs: ingest, materialize, train, promote, monitor. Build context:
# the project's folder, with the wheels of the framework in dist/ (see README.md).
FROM python:3.11-slim-bookworm AS build
WORKDIR /build
COPY dist/ dist/
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --find-links dist \
    framework-core framework-files 'framework-sql[postgresql]' 'framework-mlflow[postgresql,s3]' \
    'framework-feast[redis]' framework-preprocessing framework-xgboost framework-baselines \
    framework-statsforecast framework-report

FROM python:3.11-slim-bookworm
RUN useradd --create-home --uid 10001 forecast
COPY --from=build /venv /venv
WORKDIR /home/forecast/project
COPY conf/ conf/
USER 10001
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
ENTRYPOINT ["python", "-m", "framework"]
CMD ["--help"]
