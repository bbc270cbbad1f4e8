# What there is to do here. CI runs `make lint test` and knows nothing else.

CARGO ?= cargo
CONFIG ?= examples/quickstart.yaml
FUZZ_SECONDS ?= 60

.PHONY: help run test test-long lint e2e bench fuzz

help: ## Shows this list.
	@awk -F ': ## ' '/^[a-z0-9-]+:.*## / {sub(/:.*/, "", $$1); printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## Runs watershed with CONFIG (default: examples/quickstart.yaml).
	$(CARGO) run --release --bin watershed -- run --config $(CONFIG)

test: ## Runs all tests.
	$(CARGO) test --workspace

test-long: ## Runs all tests with ten times the cases for each property, 100 kills, a backlog of 2 GiB and a soak of 10 minutes.
	PROPTEST_CASES=2560 KILL_CYCLES=100 BACKLOG_MIB=2048 SOAK_SECONDS=600 $(CARGO) test --workspace

lint: ## Checks the form, the lints and the documentation; the dependencies too where cargo-deny is installed.
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --workspace --no-deps
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check; fi

e2e: ## Runs only the tests that drive the built program.
	$(CARGO) test --package watershed --test '*'

bench: ## Measures the whole process, the data model, the queue on disk, processors and the exporters' encoders.
	$(CARGO) bench --bench end_to_end
	$(CARGO) bench --package watershed-pipeline --benches
	$(CARGO) bench --package watershed-processors --benches
	$(CARGO) bench --package watershed-exporters --benches

fuzz: ## Fuzzes each decoder for FUZZ_SECONDS; needs cargo-fuzz (`cargo install cargo-fuzz`).
	cd receivers && for target in $$($(CARGO) fuzz list); do \
	  RUSTC_BOOTSTRAP=1 ASAN_OPTIONS=detect_odr_violation=0 \
	    $(CARGO) fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS) || exit 1; done
