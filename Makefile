# `make book` and `make test` start from nothing but Python 3.11.5 or newer and make; `make help` lists the rest.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
HTML := _build/html/index.html
SCRIPT_TOOLS := node_modules/.installed

.DEFAULT_GOAL := help
.PHONY: help install book test test-browser test-slow pdf epub card live notebooks weights map style lint lint-python lint-scripts other-processor benchmark adapters constraints hashes clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 18

# Every file is known by its hash but torch's and its CUDA libraries', whose builds depend on the index.
$(INSTALLED): requirements.txt constraints.txt hashes.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11, 5) or sys.exit("Python 3.11.5 or newer is needed, this is %d.%d.%d: call make PYTHON=python3.12, say" % v[:3])'
	@echo "Installing into .venv: a few minutes, once."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --require-hashes --requirement hashes.txt
	$(BIN)/python -m pip install --no-build-isolation --requirement requirements.txt --constraint constraints.txt --editable .
	@touch $@

install: $(INSTALLED)  ## install into .venv, nothing else

book: $(INSTALLED)  ## build the HTML, warnings as errors
	$(BIN)/jupyter-book build book -W -n --keep-going --quiet
	@echo "Open $(HTML) in a browser: no server and no network needed."

pdf: book  ## print the HTML as one PDF; needs Chromium
	$(BIN)/python press/pdf.py

epub: $(INSTALLED)  ## build an EPUB, its formulas as MathML; needs Chromium
	rm -rf _build/epub
	$(BIN)/jupyter-book build book --builder custom --custom-builder epub -W -n --keep-going --quiet
	$(BIN)/python press/epub.py

card: $(INSTALLED)  ## draw the favicon and the social card again
	$(BIN)/python press/card.py

test: $(INSTALLED)  ## run the unit tests, and every notebook against its stored outputs
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

test-browser: book  ## every built page in Chromium: mathematics, links, accessibility, printing
	$(BIN)/python -m pytest tests/browser --numprocesses 2

test-slow: book  ## tests that take minutes: processes killed and started again, training from five seeds, faults planted in the built book (needs Chromium)
	$(BIN)/python -m pytest -m slow tests --numprocesses 2 --dist loadfile

notebooks: $(INSTALLED)  ## execute all chapters in place; a second run changes no file
	$(BIN)/python tools/refresh_notebooks.py
	$(BIN)/ruff format --quiet book

weights: $(INSTALLED)  ## train the kept weights again; needed only when their recipe changes
	$(BIN)/python tools/make_weights.py

live: $(INSTALLED)  ## export what the live figures need: weights, and pictures for readers without scripts
	$(BIN)/python tools/export_live.py

map: $(INSTALLED)  ## write the tables and the contract on imports that follow from vae_tutorial/__init__.py
	$(BIN)/python tools/write_map.py

style: $(INSTALLED)  ## how long the cells, the paragraphs and the functions are; a report, not a test
	$(BIN)/python tools/style.py

lint: lint-python lint-scripts  ## ruff (code and notebooks), the layers contract, mypy, style and types of the live figures (needs node)

lint-python: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

$(SCRIPT_TOOLS): package.json package-lock.json .npmrc
	@command -v npm > /dev/null || { echo "The scripts of the live figures were not checked: that needs node and npm, and there is no npm here." >&2; exit 1; }
	npm ci --no-audit --no-fund
	@touch $@

lint-scripts: $(SCRIPT_TOOLS)
	npx --no-install biome check --error-on-warnings
	npx --no-install tsc --project .

other-processor: $(INSTALLED)  ## the notebooks again, on the oldest instruction set
	ATEN_CPU_CAPABILITY=default MKL_CBWR=COMPATIBLE $(BIN)/python -m pytest --numprocesses auto --dist loadfile book

.venv-benchmark/.installed: benchmarks/requirements.txt
	$(PYTHON) -m venv .venv-benchmark
	.venv-benchmark/bin/python -m pip install --requirement benchmarks/requirements.txt
	@touch $@

benchmark: $(INSTALLED) .venv-benchmark/.installed  ## time the standard jobs against other implementations; needs MNIST and a quiet machine
	$(BIN)/python benchmarks/run.py training
	$(BIN)/python benchmarks/run.py evaluation

.venv-adapters/.installed: benchmarks/requirements-adapters.txt
	$(PYTHON) -m venv .venv-adapters
	.venv-adapters/bin/python -m pip install --requirement benchmarks/requirements-adapters.txt
	@touch $@

adapters: .venv-adapters/.installed  ## audit models of pythae, scvi-tools, diffusers, Lightning and PyTorch's example; minutes
	PYTHONPATH=. .venv-adapters/bin/python benchmarks/adapters.py

constraints:  ## resolve requirements.txt afresh, pin the result in constraints.txt, and hash it
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.txt --editable .
	echo '# What requirements.txt brought along, made by `make constraints`; the same set on every machine.' > constraints.txt
	$(BIN)/python -m pip freeze --all --exclude pip --exclude-editable | grep -viE '^(torch|triton|nvidia-.*|cuda-.*)(==| @)' >> constraints.txt
	$(MAKE) hashes
	@touch constraints.txt hashes.txt $(INSTALLED)

hashes:  ## write down the hashes of every file of the versions in constraints.txt, for all platforms
	$(PYTHON) -m venv .venv-hashes
	.venv-hashes/bin/python -m pip install --quiet uv==0.13.9
	.venv-hashes/bin/uv pip compile constraints.txt --universal --python-version 3.11.5 --generate-hashes --no-annotate \
	    --no-emit-index-url --custom-compile-command 'make hashes' --quiet --output-file hashes.txt

clean:  ## remove what was built; the environment stays
	rm -rf _build
