# Everything a developer or a first-time user needs; all of it happens in .venv.

# The first Python that is new enough; name another with `make install PYTHON=/path/to/python`.
ifndef PYTHON
PYTHON := $(firstword $(foreach python,python3 python3.13 python3.12 python3.11,$(shell \
    $(python) -c 'import sys; print("$(python)" if sys.version_info >= (3, 11) else "")' 2>/dev/null)))
endif

# One Faiss: by the CUDA that the driver supports, else for the CPU. `make install EXTRA=cpu` overrides.
ifndef EXTRA
CUDA := $(shell nvidia-smi 2>/dev/null | sed -n 's/.*CUDA[A-Za-z ]* Version: *\([0-9][0-9]*\)\..*/\1/p')
EXTRA := $(shell case "$$(uname -s) $$(uname -m) $(CUDA)" in \
    ("Linux x86_64 12") echo gpu ;; \
    ("Linux x86_64 1"[3-9] | "Linux x86_64 "[2-9][0-9]) echo gpu-cu13 ;; \
    (*) echo cpu ;; \
    esac)
endif

BIN := .venv/bin
STAMP := .venv/.install-$(EXTRA)
JOBS ?= 2
TORCH_CPU_INDEX := https://download.pytorch.org/whl/cpu

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help install demo test check schema encoder clean

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

install: $(STAMP) ## Install everything into .venv

demo: install ## Simulate, load, embed, search: the whole way in a few minutes
	$(BIN)/skylike demo $(DEMO)

test: install ## Run all tests (JOBS=2 at a time)
	$(BIN)/pytest -q -n $(JOBS) --dist loadfile $(TESTS)

check: install ## Format, lint, types, layers, spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

schema: install ## Generate sql/schema.sql and docs/data-model.md
	$(BIN)/python -m skylike.database.documents

# The encoder that ships.
DATA ?= ../shared/data
ENCODER_WORK := $(CURDIR)/build/encoder
ENCODER := src/skylike/embeddings/shipped/default.pt
ENCODER_PICTURES := $(DATA)/galaxy_zoo1/galaxy_zoo1.tar $(DATA)/decals_rings/decals_rings.tar

encoder: install ## Train the encoder that ships, from DATA=../shared/data
	@for file in $(ENCODER_PICTURES); do \
	    [ -f "$$file" ] || { echo "$$file is not there; name its folder: make encoder DATA=FOLDER" >&2; exit 1; }; \
	done
	SKYLIKE_HOME=$(ENCODER_WORK) $(BIN)/skylike encoder train --recipe default --half $(DEVICE:%=--device %) \
	    $(ENCODER_PICTURES:%=--images %) --output $(ENCODER)

clean: ## Remove .venv, builds and caches (no data)
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src cli tests benchmarks migrations -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/pip:
	@test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "skylike needs Python 3.11 or newer; install it, or name it: make install PYTHON=/path/to/python" >&2; \
	    exit 1; }
	$(PYTHON) -m venv .venv

# Two Faiss wheels share files and break each other, so a wrong one leaves before the right one comes.
# On Linux the package index has torch for CUDA only (3 GB); the CPU build (200 MB) has an index of its own.
$(STAMP): pyproject.toml | .venv/bin/pip
	@for other in .venv/.install-*; do \
	    if [ -e "$$other" ] && [ "$$other" != "$@" ]; then \
	        $(BIN)/pip uninstall --quiet --yes faiss-cpu faiss-gpu faiss-gpu-cuvs && rm -f "$$other"; \
	    fi; \
	done
	@if [ "$(EXTRA) $$(uname -s)" = "cpu Linux" ] && ! $(BIN)/pip show --quiet torch 2>/dev/null \
	    && $(BIN)/python -c 'import urllib.request as r; r.urlopen("$(TORCH_CPU_INDEX)/torch/", timeout=5)' 2>/dev/null; \
	then \
	    echo "Installing torch for the CPU from $(TORCH_CPU_INDEX)"; \
	    $(BIN)/pip install --quiet --index-url $(TORCH_CPU_INDEX) "torch>=2.6,<2.14"; \
	fi
	@echo "Installing skylike with Faiss for: $(EXTRA)"
	$(BIN)/pip install --quiet -e '.[$(EXTRA),simulation,dev]'
	@touch $@
