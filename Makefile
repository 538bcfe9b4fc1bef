# make demo [IMAGE=photo.jpg]   a photo goes in, a textured model comes out
# make test                     what CI runs
# make soak, make orphans       the long forms of the reliability tests (docs/reliability.md)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
IMAGE ?= examples/coffee.png
export U2NET_HOME ?= $(CURDIR)/build/u2net

.PHONY: demo test check format clean bench setup soak orphans

demo: setup
	@$(BIN)/python examples/demo.py "$(IMAGE)"

test: setup
	@$(BIN)/python -m pytest -q

# The long forms of what tests/test_soak.py does in a minute; each prints one line of figures.
soak: setup
	@nice $(BIN)/python -m tests.soak.run --jobs 10000 --fork

orphans: setup
	@nice $(BIN)/python -m tests.soak.orphans --times 500

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

clean:
	rm -rf $(VENV) build *.egg-info
