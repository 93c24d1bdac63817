# `make up` runs weft, `make test` tests it. Each does all the set-up it needs.
TARGET := $(or $(CARGO_TARGET_DIR),target)
WEFT := $(TARGET)/release/weft
CARGO ?= cargo

.PHONY: help up demo test build modules setup fmt lint bench

help:
	@echo 'make up [ARGS="--data DIR"]   build weft and run it: log, stream, tables and query APIs in one process'
	@echo 'make demo                     the same, with demo services sending real telemetry to it'
	@echo 'make test                     all tests'
	@echo 'make bench                    rows and bytes per CPU-second'
	@echo 'make lint                     fmt and clippy'

up: build
	$(WEFT) up --modules $(TARGET)/modules $(ARGS)

demo: build
	$(WEFT) demo --modules $(TARGET)/modules $(ARGS)

bench: build
	$(WEFT) bench ingest --modules $(TARGET)/modules
	$(WEFT) bench query --modules $(TARGET)/modules
	$(WEFT) bench wasm --modules $(TARGET)/modules

build: setup modules
	$(CARGO) build --release -p weft

modules:
	guest-sdk/build

setup:
	.ci/setup build

test:
	.ci/setup test
	guest-sdk/build
	$(CARGO) build --workspace --all-targets
	$(CARGO) test --workspace --no-fail-fast

fmt:
	$(CARGO) fmt --all

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
