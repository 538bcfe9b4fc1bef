# make demo [IMAGE=photo.jpg]   a photo goes in, a textured model comes out
# make test                     what CI runs
# make bench [FULL=1]           what it costs, and beside other systems (docs/performance.md)
# make soak, make orphans       the long forms of the reliability tests (docs/reliability.md)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
IMAGE ?= examples/coffee.png
export U2NET_HOME ?= $(CURDIR)/build/u2net

.PHONY: demo test test-gpu check format clean bench bench-check setup install-systemd uninstall-systemd test-systemd crash crash-ext4 kill faults mutate fuzz soak orphans cluster-kills page-pictures fuzz-http

demo: setup
	@$(BIN)/python examples/demo.py "$(IMAGE)"

test: setup build/hunyuan/.installed build/gltf-validator/.installed
	@$(BIN)/python -m pytest -q

# The long forms of what tests/test_soak.py does in a minute; each prints one line of figures.
soak: setup
	@nice $(BIN)/python -m tests.soak.run --jobs 10000 --fork

# Random kills of actors, machines, networks and supervisors of a Ray cluster on this machine; best as root.
cluster-kills: setup
	@nice $(BIN)/python -m tests.cluster.kills --jobs 2000 --kills 200

orphans: setup
	@nice $(BIN)/python -m tests.soak.orphans --times 500

# The screenshots in the documents, made by the browser tests.
page-pictures: setup
	@PROTOSCALE_TEST_PICTURES=docs/images $(BIN)/python -m pytest -q tests/page/test_model.py tests/page/test_uploads.py

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

# PyTorch for the CPU, and the real code of Hunyuan3D-2.1; where they cannot be had, its tests say so and skip.
build/hunyuan/.installed: $(VENV)/.installed tests/hunyuan/install.py
	@echo "installing what the tests of the engine hunyuan need (about a minute and a half the first time)"
	@$(BIN)/python tests/hunyuan/install.py build/hunyuan
	@touch $@

# As root. PREFIX (/usr/local) and DESTDIR as usual; the units run the environment in VENV.
install-systemd: setup
	@PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)" $(BIN)/protoscale install-systemd

uninstall-systemd: setup
	@PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)" $(BIN)/protoscale install-systemd --uninstall

# The units under a real systemd in namespaces of its own; as root.
test-systemd: setup
	@$(BIN)/python -m pytest -q -rs tests/systemd

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

# The benchmark suite: JSON, a table and plots in build/bench (docs/performance.md). FULL=1 for as many samples as the
# documents show, BENCH="overhead reads" for some of them. Redis, of the systems it is compared with, comes by apt.
bench: setup $(VENV)/.bench build/hunyuan/.installed
	@command -v redis-server >/dev/null || test "$$(id -u)" != 0 || ! command -v apt-get >/dev/null || \
		{ apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
		redis-server >/dev/null; } || true
	@$(BIN)/python -m benchmarks $(if $(FULL),--full) $(BENCH)

# Counts that do not depend on the machine's mood, against benchmarks/bounds.json.
bench-check: setup
	@$(BIN)/python -m benchmarks.counts

$(VENV)/.bench: $(VENV)/.installed
	@echo "installing what the benchmarks compare with, and matplotlib"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	@touch $@

fuzz: setup
	$(BIN)/python -m tests.fuzz.run --full

clean:
	rm -rf $(VENV) build httpd/page/three *.egg-info
