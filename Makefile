# make demo [IMAGE=photo.jpg]   a photo goes in, a textured model comes out
# make test                     what CI runs
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
IMAGE ?= examples/coffee.png
export U2NET_HOME ?= $(CURDIR)/build/u2net

.PHONY: demo test check fuzz-http format clean bench setup

demo: setup
	@$(BIN)/python examples/demo.py "$(IMAGE)"

test: setup
	@$(BIN)/python -m pytest -q

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@.ci/audit $(BIN)

# schemathesis with many more invented requests than `make test` takes (a few minutes)
fuzz-http: setup
	@PROTOSCALE_TEST_FUZZ=200 $(BIN)/python -m pytest -q tests/http/test_openapi.py

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
