# Every target sets up what it needs in .venv, on a machine with Python >= 3.11, make and a package index.
# `make test-slow` also needs npm, for real pictures from a package, and Debian's Chromium, which it installs if it may.
# `make e2e` needs root, Go and Debian's apt; `make slurm` root and apt, or an installed Slurm.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up

.PHONY: setup check docs test test-slow test-gpu demo e2e slurm images forecast-experiment bench-client bench-eval bench-forecast bench-open bench-peers bench-plan bench-read bench-report bench-score bench-score-on-gpu bench-select bench-start bench-train lr-transfer lock clean

setup: $(STAMP)

# Hash-checked, by uv; uv itself comes from PATH, or else from the index into .venv.
$(STAMP): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	command -v uv >/dev/null || test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/install_locked $(BIN)/python
	PATH="$(CURDIR)/$(BIN):$$PATH" uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	touch $@

check: setup
	scripts/check

# The pages in docs/ as a site, and the reference that is generated from the code. A warning or a dead link is an error.
docs: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" uv pip install --quiet --python $(BIN)/python --require-hashes -r docs/requirements.lock
	$(BIN)/sphinx-build --fail-on-warning --keep-going --fresh-env --quiet docs docs/build
	@echo "docs/build/index.html"

# Whole files go to one of two processes, so that a file's servers and pools are made once.
test: setup
	scripts/test -n 2 --dist loadfile --no-loadscope-reorder

test-slow: setup
	@command -v npm >/dev/null || { echo "make test-slow needs npm, which is not on PATH"; exit 1; }
	scripts/test -m slow --timeout=1800

# On a machine whose accelerator torch sees.
test-gpu: setup
	scripts/test -m gpu

demo: setup
	$(BIN)/datascaler demo --output-dir demo-output

# On a Kubernetes of this machine's own, or on one that DATASCALER_E2E_KUBECONFIG names (tests/e2e/site.py).
e2e: setup
	scripts/test tests/e2e -m e2e --timeout=1800

# On a Slurm of this machine's own: two nodes, started by the tests, which print their figures as JSON at the end.
slurm: setup
	scripts/test tests/slurm -m slurm --timeout=1800

images: setup
	scripts/build_images launcher

# By hand: a ladder of real runs, and whether the forecast of its largest ones comes true. Needs npm; begun again, it goes on.
forecast-experiment: setup
	$(BIN)/python -m benchmarks.forecast_experiment --output-dir forecast-output

# benchmarks/README.md says what they prove.
bench-client: setup
	$(BIN)/python -m benchmarks.client

bench-eval: setup
	$(BIN)/python -m benchmarks.evaluate

bench-forecast: setup
	$(BIN)/python -m benchmarks.forecast

bench-open: setup
	$(BIN)/python -m benchmarks.open_pool

# Other loaders for `make bench-read`, 6 GB: each in an environment of its own, for they disagree on what they need.
bench-peers: setup
	for peer in mosaic litdata; do \
	  PATH="$(CURDIR)/$(BIN):$$PATH" uv venv --quiet --allow-existing --python $(BIN)/python .peers/$$peer && \
	  PATH="$(CURDIR)/$(BIN):$$PATH" uv pip install --quiet --python .peers/$$peer/bin/python -r benchmarks/peers/$$peer.txt || exit 1; \
	done

bench-plan: setup
	$(BIN)/python -m benchmarks.plan

bench-read: setup
	$(BIN)/python -m benchmarks.read

bench-report: setup
	$(BIN)/python -m benchmarks.report

bench-score: setup
	$(BIN)/python -m benchmarks.score

bench-score-on-gpu: setup
	$(BIN)/python -m benchmarks.score_on_gpu

bench-select: setup
	$(BIN)/python -m benchmarks.select

bench-start: setup
	$(BIN)/python -m benchmarks.start

bench-train: setup
	$(BIN)/python -m benchmarks.train

# About an hour on two cores; what is complete is kept, so it may be stopped and started again.
lr-transfer: setup
	$(BIN)/python -m benchmarks.lr_transfer

# After a change of dependencies. The lock names no index.
lock: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" uv pip compile pyproject.toml --extra worker --extra captions --group dev --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --universal --python-version 3.11 --no-header --quiet -o requirements.lock
	PATH="$(CURDIR)/$(BIN):$$PATH" uv pip compile --group docs --constraint requirements.lock --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --universal --python-version 3.11 --no-header --quiet -o docs/requirements.lock
	scripts/lock_images

clean:
	rm -rf demo-output forecast-output lr-transfer dist build docs/build docs/reference .mypy_cache .ruff_cache .pytest_cache
