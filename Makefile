# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
TORCH  ?= torch==2.13.0
BIN    := $(VENV)/bin
# The documents that quote recorded figures.
QUOTING := README.md docs/images.md docs/tables.md docs/video.md docs/voxels.md docs/points.md $(wildcard docs/methods/*.md)
# Small networks on a busy machine are fastest on one thread a process.
export OMP_NUM_THREADS ?= 1

.PHONY: demo test docs walk coverage test-slow torture mutants lint bench figures pictures clean

demo: $(VENV)/installed
	$(BIN)/absynth demo --out runs/demo

# pytest-xdist spreads the tests over the cores.
test: $(VENV)/installed-dev
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/absynth results --check $(QUOTING)
	$(BIN)/absynth results --folder results/bench --check docs/speed.md docs/growth.md docs/samplers.md docs/scale.md docs/studio.md
	$(BIN)/python -m pytest -n auto -m "not slow"
	@echo "Branch coverage of src: make coverage"

# The site in site/, its checks, and every snippet and notebook of the documents.
docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	$(BIN)/python -m pytest -n auto README.md CONTRIBUTING.md docs tests/test_pages.py tests/test_site.py tests/test_notebooks.py

# Every printed command and snippet of README, site and notebooks; WALK=full trains as long as the pages say: hours.
walk: $(VENV)/installed-docs
	$(BIN)/python -m pytest -n auto $(if $(PAGES),-k "$(PAGES)") tests/test_walk.py tests/test_notebooks.py README.md CONTRIBUTING.md docs

# The same tests, half as slow again, with the branches of src that they reach. Not part of make test, because
# sys.monitoring, which costs little, knows branches from Python 3.14 on only.
coverage: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n auto -m "not slow" --cov --cov-report=term:skip-covered

test-slow: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m slow

# Kills runs, fills disks and feeds nonsense to every command: 15 minutes on two cores; MINUTES=1 for a short one.
torture: $(VENV)/installed-dev
	$(BIN)/python tests/torture.py --minutes $(or $(MINUTES),15)

# Plants faults in the code, one after another, and says which of them the tests miss.
mutants: $(VENV)/installed-dev
	$(BIN)/python tests/mutants.py

lint: $(VENV)/installed-dev
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/pyright

bench: $(VENV)/installed-dev
	for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

# Writes every recorded figure into the documents that quote them.
figures: $(VENV)/installed
	$(BIN)/absynth results --write $(QUOTING)
	$(BIN)/absynth results --folder results/bench --write docs/speed.md docs/growth.md docs/samplers.md docs/scale.md docs/studio.md
	$(BIN)/python benchmarks/charts.py

# Trains the presets whose pictures docs/methods lacks, and draws what pretrained models show.
pictures: $(VENV)/installed-dev
	$(BIN)/python docs/make_pictures.py
	$(BIN)/python docs/make_arguments.py

# torch first and by its own version: a looser requirement may fetch a build with gigabytes of GPU packages.
$(VENV)/torch:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check "$(TORCH)"
	touch $@

$(VENV)/installed: $(VENV)/torch pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[demo]"
	touch $@

$(VENV)/installed-dev: $(VENV)/torch pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@ $(VENV)/installed

$(VENV)/installed-docs: $(VENV)/installed-dev
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) runs site .pytest_cache .ruff_cache
