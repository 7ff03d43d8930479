# livecam. `make` lists the targets.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
PEERS := .peers
AXE := .axe/node_modules/axe-core
# One more than the two cores of a small machine, since some tests wait for processes and streams.
PARALLEL := --numprocesses 3 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help install demo test-long check test test-all axe lint bench gpu clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

install: $(INSTALLED) ## set up .venv with livecam and what its tests need (about 6 GB: torch)

demo: $(INSTALLED) ## explain a generated scene and write demo.mp4
	$(BIN)/livecam annotate 'demo:?size=1280x720&fps=30&seconds=10&seed=12' -o demo.mp4 --overwrite
	@echo "demo.mp4 is ready: open it in any player"

# `make check` leaves out the tests that mostly wait or compute: those that start processes, lose streams, compile,
# measure, or go through many models, methods and pictures. All others run, also new ones.
SLOWER := bench cli/test_demo.py cli/test_interrupt.py docs doctor engines explain/test_explainer.py \
	explain/test_methods.py explain/test_targets.py live/test_window.py models run/test_pictures.py \
	sources/test_reconnecting.py web/test_accessibility.py web/test_live_page.py web/test_page.py web/test_page_camera.py

check: lint ## check style and types, and run the quick tests: under a minute, to run while you work
	$(BIN)/pytest -q $(PARALLEL) $(SLOWER:%=--ignore=tests/%)

test: $(INSTALLED) ## run the tests
	$(BIN)/pytest -q $(PARALLEL)

test-long: $(INSTALLED) ## run the tests, also those that `make test` leaves out since they take long
	$(BIN)/pytest -q $(PARALLEL) -m 'not slow'

test-all: $(INSTALLED) $(PEERS) ## run all tests, also the slow ones and those against pytorch-grad-cam
	PYTHONPATH=$(PEERS) $(BIN)/pytest -q -m ''

axe: $(AXE) ## install, with npm, what the test of the page's accessibility needs

lint: $(INSTALLED) ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Beside .venv, and without what they depend on: pytorch-grad-cam wants an OpenCV that has no window in place of ours.
$(PEERS): $(INSTALLED)
	$(BIN)/pip install --quiet --disable-pip-version-check --target $@ --no-deps grad-cam ttach torchcam captum \
		scikit-learn scipy joblib cloudpickle threadpoolctl narwhals matplotlib contourpy cycler kiwisolver pyparsing \
		python-dateutil fonttools six tqdm
	touch $@

$(AXE):
	npm install --silent --no-audit --no-fund --prefix .axe axe-core@4

COMMA := ,
# The program livecam sets OMP_WAIT_POLICY itself; those that start programs leave it to them.
PASSIVE := OMP_WAIT_POLICY=PASSIVE
measure = @echo 'measuring: $(1) $(2)' && $(3) $(BIN)/python -m benchmarks.$(1) $(2) --json results/$(1).json > results/$(1).txt

# Models; the last one is not compiled.
CLIPS_MASKS_BOXES := r3d_18 mc3_18 swin3d_t \
	fcn_resnet50 deeplabv3_resnet50 deeplabv3_mobilenet_v3_large lraspp_mobilenet_v3_large \
	retinanet_resnet50_fpn fcos_resnet50_fpn ssd300_vgg16 ssdlite320_mobilenet_v3_large \
	fasterrcnn_mobilenet_v3_large_fpn
SPACE := $(subst ,, )

bench: export PYTHONPATH = $(PEERS)
bench: $(INSTALLED) $(PEERS) ## measure what the README claims (an hour), CLIP=FILE also on a video, into docs/
	mkdir -p results
	$(call measure,engine,$(addprefix --clip ,$(CLIP)),$(PASSIVE))
	$(PASSIVE) $(BIN)/python -m benchmarks.engine --models $(subst $(SPACE),$(COMMA),$(strip $(CLIPS_MASKS_BOXES))) --engine compiled --rounds 10 \
		--json results/clips_masks_boxes.json > results/clips_masks_boxes.txt
	$(call measure,speed)
	$(BIN)/livecam bench --model efficientnet_lite0 --json results/bench.json > results/bench.txt
	$(call measure,latency,--swap efficientnet_lite0$(COMMA)mobilenet_v3_small$(COMMA)resnet50)
	$(call measure,live,--seconds 60)
	$(call measure,browser)
	$(call measure,pipeline)
	$(call measure,stages,$(addprefix --clip ,$(CLIP)),$(PASSIVE))
	$(call measure,conversion)
	$(call measure,every,,$(PASSIVE))
	$(call measure,steady,,$(PASSIVE))
	$(call measure,soak,,$(PASSIVE))
	$(call measure,classes,,$(PASSIVE))
	$(call measure,pointing)
	$(call measure,motion)
	$(call measure,pasted)
	$(call measure,faithfulness,,$(PASSIVE))
	$(call measure,methods)
	$(call measure,startup)
	$(call measure,fleet)
	$(BIN)/python -m benchmarks.report results docs

# Needs no installation and no network where this Python has torch and the few packages that livecam builds on.
NEEDED := torch torchvision numpy cv2 av PIL click
GPU_PYTHON ?= $(shell $(PYTHON) -c 'import sys; from importlib.util import find_spec as f; \
	sys.exit(not all(map(f, sys.argv[1:])))' $(NEEDED) && echo $(PYTHON) || echo $(BIN)/python)

gpu: ## try and measure all of it on a GPU (nine minutes at most, no network); JSON into results/gpu/
	$(GPU_PYTHON) -m benchmarks.gpu

clean: ## remove .venv and what was built or measured
	rm -rf .venv $(PEERS) .axe build results *.egg-info demo.mp4

# Linked to pyproject.toml: a change of the dependencies installs again, anything else starts at once.
$(INSTALLED): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "livecam needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@
