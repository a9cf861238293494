# `make` alone says what there is.
.PHONY: help build install uninstall deb test demo readme bench bench-parts oracle reliability torture mutants kills scale fmt clippy deny doc sweep
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

build: ## the program, in target/release/watchkeeper
	cargo build --release --locked

# As for most programs: PREFIX is where it will be, DESTDIR a root to put it under.
export DESTDIR ?=
export PREFIX ?= /usr/local
export SYSCONFDIR ?= /etc

install: ## the program, units, manual and completions under PREFIX (/usr/local), below DESTDIR; starts nothing
	@scripts/install.sh

uninstall: ## remove what `make install` has put there; configuration, state and backups stay
	@scripts/install.sh --remove

deb: build ## a Debian package, in target/debian
	@scripts/deb.sh

test: ## install what is needed, then dependencies, format, lints, documentation and all tests
	@scripts/test.sh

demo: ## a real Prometheus and an application lose their data and get them back; leaves nothing behind
	@scripts/demo.sh

readme: ## make the output in README.md and docs/RUNBOOK.md anew, by running what they say
	@scripts/readme.sh

bench: ## measure against the runbook's script, restic, borg, pigz and zstd; writes docs/BENCHMARKS.md (ARGS=--quick: to try it)
	@scripts/bench.sh $(ARGS)

bench-parts: ## measure the parts: archive writer, block check, retention, schedules, history
	cargo bench --locked --benches

oracle: ## a thousand schedules in thirty zones against a walker that tries every minute of ten years
	WATCHKEEPER_ORACLE_PATTERNS=1000 cargo test --release --locked --test it calendar:: -- --nocapture

kills: ## kill the restore of a Grafana, and its undo, at every write and not only at some
	WATCHKEEPER_SWEEP=all cargo test --release --locked --test it grafana_cut:: -- --nocapture

reliability: ## take the figures of the scheduler, for docs/RELIABILITY.md
	@scripts/reliability.sh $(ARGS)

torture: ## kill every operation at each of its steps, and let its calls fail, for docs/RELIABILITY.md (under 30 minutes)
	@scripts/torture.sh $(ARGS)

mutants: ## change schedules, retention, store and restores in one place at a time: do their tests notice? (hours; SAMPLE=20: some)
	@scripts/mutants.sh $(ARGS)

scale: ## measure many blocks and large ones, for docs/SCALE.md
	@scripts/scale.sh $(ARGS)

fmt: ## format the code
	cargo fmt

clippy: ## the lints
	cargo clippy --locked --all-targets -- -D warnings

deny: ## licences, sources and known faults of what is built in, as deny.toml allows them
	@scripts/deny.sh

doc: ## the documentation, in target/doc/watchkeeper
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

sweep: ## remove what killed test runs have left behind
	@scripts/sweep.sh
