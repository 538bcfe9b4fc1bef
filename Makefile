# make demo [IMAGE=photo.jpg]   a photo goes in, a textured model comes out
# make test                     what CI runs
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
IMAGE ?= examples/coffee.png
export U2NET_HOME ?= $(CURDIR)/build/u2net

.PHONY: demo test check format clean bench setup page-pictures

demo: setup
	@$(BIN)/python examples/demo.py "$(IMAGE)"

test: setup
	@$(BIN)/python -m pytest -q

# The screenshots in the documents, made by the browser tests.
page-pictures: setup
	@PROTOSCALE_TEST_PICTURES=docs/images $(BIN)/python -m pytest -q tests/page/test_page.py

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

setup: $(VENV)/.installed build/u2net/.pulled httpd/page/three/VERSION

# The stamp is made again only when what is to be installed changed.
$(VENV)/.installed: setup.cfg setup.py pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing ProtoScale and what it needs into $(VENV) (about a minute the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@

# The page's 3D viewer; without a network the page works without it, and the next `make` tries again.
httpd/page/three/VERSION: $(VENV)/.installed httpd/viewer.py
	@$(BIN)/python -m httpd.viewer --optional
	@! test -e $@ || touch $@

build/u2net/.pulled: $(VENV)/.installed
	@mkdir -p build/u2net
	@$(BIN)/protoscale models pull u2netp
	@touch $@

clean:
	rm -rf $(VENV) build httpd/page/three *.egg-info
