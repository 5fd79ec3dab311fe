# The one entry point: people and CI call the same targets.

.DEFAULT_GOAL := help
.PHONY: help run test check bench chaos

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

run: ## Build the release and start it with conf/falconer.yaml before two sample applications
	@scripts/run

test: ## Install what is missing, build, and run every test
	@scripts/test

chaos: ## Reloads, upgrades and failing endpoints under full load, in large numbers, with figures
	@scripts/chaos

check: ## Formatting, clippy, documentation and dependency bans, warnings denied
	@scripts/check

bench: ## The figures of docs/performance.md, beside nginx, HAProxy and bare Pingora; QUICK=1 is short
	@scripts/bench $(if $(QUICK),--quick)
