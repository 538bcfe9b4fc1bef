# make demo [IMAGE=photo.jpg]   a photo goes in, a textured model comes out
# make test                     what CI runs
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
IMAGE ?= examples/coffee.png
export U2NET_HOME ?= $(CURDIR)/build/u2net

.PHONY: demo test check format clean bench setup crash crash-ext4 kill faults mutate fuzz

demo: setup
	@$(BIN)/python examples/demo.py "$(IMAGE)"

test: setup
	@$(BIN)/python -m pytest -q

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

setup: $(VENV)/.installed build/u2net/.pulled

# The stamp is made again only when what is to be installed changed.
$(VENV)/.installed: setup.cfg pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing ProtoScale and what it needs into $(VENV) (about a minute the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@

build/u2net/.pulled: $(VENV)/.installed
	@mkdir -p build/u2net
	@$(BIN)/protoscale models pull u2netp
	@touch $@

# What docs/reliability.md tells of, at length; `make test` runs the quick form of each. Figures in the last line.
crash: setup
	$(BIN)/python -m tests.crash.explore --full
	$(BIN)/python -m tests.crash.trace --full

crash-ext4: setup   # as root: it mounts a file
	$(BIN)/python -m tests.crash.ext4 --full

kill: setup
	$(BIN)/python -m tests.crash.kill --full

faults: setup
	$(BIN)/python -m tests.crash.faults --full

mutate: setup
	$(BIN)/python -m tests.crash.mutate

fuzz: setup
	$(BIN)/python -m tests.fuzz.run --full

clean:
	rm -rf $(VENV) build *.egg-info
