# make demo [IMAGE=photo.jpg]   a photo goes in, a textured model comes out
# make test                     what CI runs
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
IMAGE ?= examples/coffee.png
export U2NET_HOME ?= $(CURDIR)/build/u2net

.PHONY: demo test test-gpu check format clean bench setup

demo: setup
	@$(BIN)/python examples/demo.py "$(IMAGE)"

test: setup build/hunyuan/.installed build/gltf-validator/.installed
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

# PyTorch for the CPU, and the real code of Hunyuan3D-2.1; where they cannot be had, its tests say so and skip.
build/hunyuan/.installed: $(VENV)/.installed tests/hunyuan/install.py
	@echo "installing what the tests of the engine hunyuan need (about a minute and a half the first time)"
	@$(BIN)/python tests/hunyuan/install.py build/hunyuan
	@touch $@

# For machines with a GPU: the engine on it with tiny weights, and `doctor --gpu` with the real ones if they are here.
test-gpu: setup build/hunyuan/.installed
	$(BIN)/python -m pytest -v -m gpu tests/hunyuan
	$(BIN)/protoscale doctor --gpu

# Khronos' validator of GLB files; the tests that use it skip where there is no node.
build/gltf-validator/.installed: Makefile
	@mkdir -p build/gltf-validator
	@if command -v npm >/dev/null; then \
		npm install --silent --no-audit --no-fund --prefix build/gltf-validator gltf-validator@2.0.0-dev.3.10 || true; \
	fi
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info
