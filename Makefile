# Every job of the project, one target each; `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV ?= .venv
BIN := $(VENV)/bin
SAMPLE := build/sample
# Named with whatever is installed later: pip keeps the bounds of what it is told about only.
INSTALLED := "resnet50-pynq-triton[server]" "resnet50-client[pixels]"
NATIVE := $(wildcard backend/CMakeLists.txt backend/resnet50_triton/network/native/* backend/resnet50_triton/triton/*.cpp)

.PHONY: help
help: ## this list
	@echo "make TARGET, with one of:"
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 18 | sed 's/^/  /'
	@echo "PYTHON=/path/to/python3.12 chooses the Python, TRITONSERVER=/path/to/tritonserver the server."

$(BIN)/python:
	python=$$(scripts/setup-machine) && "$$python" -m venv $(VENV)

$(VENV)/.packages: $(BIN)/python backend/pyproject.toml client/pyproject.toml $(NATIVE)
	@scripts/setup-packages $(BIN)/python -e "backend[server]" -e "client[pixels]"
	@touch $@

$(VENV)/.tools: $(VENV)/.packages pyproject.toml
	@scripts/setup-packages $(BIN)/python --group dev $(INSTALLED)
	@touch $@

$(VENV)/.docs: $(VENV)/.packages pyproject.toml
	@scripts/setup-packages $(BIN)/python --group docs $(INSTALLED)
	@touch $@

$(VENV)/.notebook: $(VENV)/.packages
	@scripts/setup-packages $(BIN)/python "resnet50-pynq-triton[notebook]" $(INSTALLED)
	@touch $@

# An environment of its own: Ray Data's pyarrow wants NumPy 2, Triton's stub NumPy 1.
build/ray/.packages: $(VENV)/.packages client/pyproject.toml
	@$(BIN)/python -m venv build/ray
	@scripts/setup-packages build/ray/bin/python "ray[data]>=2.40" -e client
	@touch $@

.PHONY: setup
setup: $(VENV)/.packages ## the virtual environment with both packages

.PHONY: sample
sample: setup ## the sample network, its weights and images (built once)
	@$(BIN)/resnet50-pynq build-sample -o $(SAMPLE)

.PHONY: run
run: sample ## start the server on the software card, classify the sample images, print the accuracy, exit
	@$(BIN)/resnet50-pynq serve --sample $(SAMPLE) --free-ports -- \
		$(BIN)/resnet50-client accuracy $(SAMPLE)/images --labels $(SAMPLE)/images/labels.txt --url {grpc}

.PHONY: serve
serve: sample ## start the server and keep it up; PRESET=latency|throughput; ARGS="--card xrt:0 --xclbin X --fcweights F" serves something else
	@$(BIN)/resnet50-pynq serve $(if $(PRESET),--preset $(PRESET)) $(or $(ARGS),--sample $(SAMPLE))

.PHONY: test
test: $(VENV)/.tools sample ## set up all and run every test
	@$(MAKE) -s perf-analyzer || echo "the tests of perf_analyzer will be skipped, for the reason above"
	@$(MAKE) -s kubernetes-tools || echo "the tests of deploy/ will be skipped, for the reason above"
	$(BIN)/python -m pytest $(ARGS)

.PHONY: browser
browser: $(VENV)/.tools ## chromium and what drives it, for the tests of the page (as root, installs Debian's chromium)
	@scripts/setup-browser
	@scripts/setup-packages $(BIN)/python --group browser $(INSTALLED)

.PHONY: test-xrt
test-xrt: $(VENV)/.tools sample ## the card xrt:0 under the genuine XRT, in emulation (as root, installs libxrt-dev)
	scripts/setup-xrt
	$(BIN)/python -m pytest tests/xrt $(ARGS)

.PHONY: test-long
test-long: $(VENV)/.tools build/ray/.packages sample ## the tests that take minutes
	$(BIN)/python -m pytest -m long $(ARGS)

.PHONY: test-machines
test-machines: ## both commands of the README on a bare Debian 13 and a bare 12 (as root; MACHINES=trixie, COMMANDS="make run")
	@scripts/test-machines $(MACHINES)

.PHONY: check
check: $(VENV)/.tools ## ruff, mypy (strict), layer rules, prose
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/check-prose

.PHONY: docs
docs: $(VENV)/.docs ## build the documentation as a site, build/site/index.html; `mkdocs serve` shows it with search
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict && echo "build/site/index.html"

.PHONY: notebook
notebook: $(VENV)/.notebook sample ## the notebook in JupyterLab: images with their names, live plots of rate and power
	RESNET50_FILES=$(CURDIR)/$(SAMPLE) $(BIN)/jupyter lab $(ARGS) backend/resnet50_triton/notebooks/resnet50.ipynb

.PHONY: wheels
wheels: setup ## a wheel of each package, in build/wheels
	$(BIN)/python -m pip wheel -q --no-deps -w build/wheels ./backend ./client
	@ls build/wheels/*.whl

.PHONY: perf-analyzer
perf-analyzer: setup ## NVIDIA's load generator, ready to run: build/perf_analyzer/perf_analyzer
	@scripts/setup-perf-analyzer $(BIN)/python

.PHONY: bench
bench: $(VENV)/.tools sample perf-analyzer ## load on the whole server by perf_analyzer, each stage's ceiling and the bottleneck: JSON and tables, in 8 minutes (BENCH_S=1800 for longer)
	@$(BIN)/python -m benchmarks.perf $(if $(BENCH_S),--budget-s $(BENCH_S)) $(ARGS)

.PHONY: bench-compare
bench-compare: $(VENV)/.tools ## what changed beyond noise between two results of make bench: OLD=a.json NEW=b.json (default: the committed and the last)
	@$(BIN)/python -m benchmarks.perf.compare $(ARGS) $(or $(OLD),benchmarks/results/load.json) $(or $(NEW),build/bench/load.json)

.PHONY: performance
performance: $(VENV)/.tools ## the measured pages and plots of docs/, and benchmarks/results, from what the programs last wrote
	@$(BIN)/python -m benchmarks.perf.document

.PHONY: bench-all
bench-all: bench bench-serving bench-engine bench-baselines loadgen performance ## measure everything that docs/performance.md shows, and write it

.PHONY: kubernetes-tools
kubernetes-tools: setup ## helm, hadolint and schemas, for the tests of deploy/: build/kubernetes/bin
	@scripts/setup-kubernetes-tools $(BIN)/python

.PHONY: images
images: ## the container images of deploy/docker whose base can be had here (as root, with buildah)
	@scripts/build-images

.PHONY: test-images
test-images: $(VENV)/.tools sample images kubernetes-tools ## runs the image locked down, and the pods of the chart (each file of values) and of KServe, with podman
	@[ -x build/containers/s3/bin/moto_server ] || { $(BIN)/python -m venv build/containers/s3 && \
		scripts/setup-packages build/containers/s3/bin/python "moto[server]>=5"; }
	@rm -f build/containers/report.txt
	$(BIN)/python -m pytest -m long tests/deploy/test_container_images.py tests/deploy/test_pods.py $(ARGS)
	@cat build/containers/report.txt

.PHONY: bench-engine
bench-engine: setup ## the software card's engine against onnxruntime and OpenVINO, and what a second thread brings
	$(BIN)/python -m benchmarks.engine $(ARGS)

.PHONY: bench-decode
bench-decode: $(VENV)/.tools sample ## preprocessing against Pillow, OpenCV and DALI, and classify at saturation
	$(BIN)/python benchmarks/decode/speed.py --dali build/bench-decode-venv
	$(BIN)/python benchmarks/decode/saturation.py

.PHONY: bench-serving
bench-serving: $(VENV)/.tools sample perf-analyzer ## what Triton costs: images a second and latency, against kernel.py in a loop
	@$(BIN)/python -m benchmarks.serving.overhead $(ARGS)

.PHONY: bench-pairs
bench-pairs: $(VENV)/.tools sample ## two requests together to an idle server, with the queue's timeouts and without
	@$(BIN)/python -m benchmarks.serving.pairs $(ARGS)

.PHONY: bench-baselines
bench-baselines: $(VENV)/.tools sample perf-analyzer ## resnet50 on the software card against OpenVINO and onnxruntime INT8 in Triton, same load
	@$(BIN)/python -m benchmarks.baselines $(ARGS)

.PHONY: loadgen
loadgen: $(VENV)/.tools sample ## MLPerf LoadGen's scenarios, unofficial (LOADGEN_S=60: seconds of each test)
	@$(BIN)/python -m benchmarks.loadgen --seconds $(or $(LOADGEN_S),3) $(ARGS)

.PHONY: fault-report
fault-report: $(VENV)/.tools sample ## every fault of a card through the real server under load, as a table
	@PYTHONPATH=tests $(BIN)/python -m chaos.fault_report $(ARGS)

.PHONY: soak
soak: $(VENV)/.tools sample ## soak test: load with faults and reloads; memory, files and threads must not grow (SOAK_S=1800 for half an hour)
	@PYTHONPATH=tests $(BIN)/python -m chaos.soak $(ARGS)

.PHONY: storm
storm: $(VENV)/.tools sample ## hostile senders of every kind beside good clients: nothing lost, wrong or refused (ten minutes; STORM_S=20 for less)
	@PYTHONPATH=tests $(BIN)/python -m chaos.storm $(ARGS)

.PHONY: simulate
simulate: $(VENV)/.tools ## scheduler, queues, workers and leases under random schedules and faults, in virtual time (SEED=1, STEPS=1000000)
	@$(BIN)/python tests/runtime/simulation.py --seed $(or $(SEED),1) --steps $(or $(STEPS),1000000)

.PHONY: fleet
fleet: $(VENV)/.tools sample ## N=3 servers behind HAProxy under load, killed and upgraded: nothing lost, nothing wrong (ARGS=--namespaces: a network with faults)
	@scripts/setup-haproxy
	PYTHONPATH=tests:deploy/haproxy $(BIN)/python -m chaos.fleet --replicas $(or $(N),3) $(ARGS)

.PHONY: bench-capacity
bench-capacity: $(VENV)/.tools sample perf-analyzer ## the capacity model against a server with the timing card
	@$(BIN)/python -m benchmarks.capacity.validate $(ARGS)

.PHONY: capacity-table
capacity-table: $(VENV)/.tools ## how a card's batches and latencies follow its load, by the simulation
	@$(BIN)/python -m benchmarks.capacity.table $(ARGS)

.PHONY: clean
clean: ## remove the virtual environment and everything built
	rm -rf $(VENV) build
