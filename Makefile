# `make` lists the targets. `make run` and `make test` install what they need.

GOLANGCI_VERSION   := v2.15.0
ACTIONLINT_VERSION := v1.7.12

FUZZTIME ?= 20s
BENCH    ?= .

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# The version is part of a tool's file name, so a bump builds it anew.
TOOLS      := bin/tools
GOLANGCI   := $(TOOLS)/golangci-lint-$(GOLANGCI_VERSION)
ACTIONLINT := $(TOOLS)/actionlint-$(ACTIONLINT_VERSION)

# Every Go module of the checkout, as directories: the top level first.
MODULES := $(shell find . -name node_modules -prune -o -name go.mod -printf '%h\n' | sort)

# ALONE are the tests that run after all others, since they need the processors: an attack
# that gets too few of them shows nothing.
GOTEST := go test -race -shuffle=on -count=1 -timeout=10m
ALONE  := bench/attack

# Every shell script, whatever its name.
SCRIPTS := $(shell find . \( -name node_modules -o -name .git -o -name bin \) -prune -o -type f -perm -u+x \
	-exec grep -lE '^\#!/(usr/)?bin/(env )?(ba)?sh' {} +)

# In every module, one after the other: $(call each_module,go test ./...)
each_module = @set -e; for module in $(MODULES); do \
	echo "$$module: $(1)"; (cd "$$module" && $(1)); done

# The program is built without the paths of this machine. What only type-checks
# does the same, so that all of them share what is compiled.
build vet lint: export GOFLAGS := $(shell go env GOFLAGS) -trimpath

.DEFAULT_GOAL := help
.PHONY: help run build setup test check vet lint unit fuzz fuzz-short scripts generate fmt bench chaos storm frozen attack compat clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' Makefile

run: ## Install what it needs and run the demo server: make run ARGS='--http 127.0.0.1:8081'
	@deploy/setup.sh run
	@$(MAKE) --no-print-directory build
	bin/indranet dev $(ARGS)

build: ## Build bin/indranet
	go build -ldflags '-X main.version=$(VERSION)' -o bin/indranet ./cmd/indranet

# Two jobs at once: apt-get mostly waits, compiling the tools does not.
test: ## Install what the tests need, then run every check
	@deploy/setup.sh run
	@$(MAKE) --no-print-directory -j2 setup $(GOLANGCI) $(ACTIONLINT)
	@$(MAKE) --no-print-directory check

# In the order of what fails fastest.
check: scripts vet lint unit fuzz-short

setup: ## Install what the tests need
	@deploy/setup.sh

vet: ## Run go vet
	$(call each_module,go vet ./...)

lint: $(GOLANGCI) ## Run golangci-lint
	$(call each_module,$(CURDIR)/$(GOLANGCI) run ./...)

# -count=1: the end-to-end tests run programs that the test cache knows nothing of.
unit: ## Run the Go tests under the race detector, end-to-end tests included
	@set -e; for module in $(MODULES); do \
		echo "$$module: $(GOTEST) ./..."; (cd "$$module" && go list ./... | grep -v '/$(ALONE)$$' | xargs $(GOTEST)); done
	$(GOTEST) ./$(ALONE)

fuzz: ## Fuzz every target for FUZZTIME (20s)
	.ci/fuzz $(FUZZTIME)

# A count, not a time: the same amount of work on every machine.
fuzz-short: ## Fuzz every target for a moment
	.ci/fuzz 1000x

scripts: $(ACTIONLINT) ## Check the shell scripts and the workflows
	shellcheck $(SCRIPTS)
	$(ACTIONLINT) .github/workflows/*.yml

generate: ## Write the generated files anew
	go generate ./...

fmt: $(GOLANGCI) ## Format the Go files
	$(call each_module,$(CURDIR)/$(GOLANGCI) fmt ./...)

bench: ## Run the Go benchmarks: make bench BENCH=Fanout
	go test -run='^$$' -bench='$(BENCH)' -benchmem ./...

SEED     ?= 1
DURATION ?= 60s

chaos: ## Break a cluster and check that nothing is lost: make chaos SEED=1 DURATION=10m ARGS='-only paused'
	go run ./bench/chaos -seed $(SEED) -duration $(DURATION) $(ARGS)

storm: ## Kill an edge under 10,000 clients that go to another one
	go run ./bench/storm storm

attack: ## Attack an edge with everything at once, beside 1,000 good clients: make attack DURATION=10m
	go run ./bench/attack -seed $(SEED) -duration $(DURATION) $(ARGS)

frozen: ## Let 1,000 clients stop reading for a minute, again and again
	go run ./bench/storm frozen

compat: build ## Run the clients printed in the documents of SOURCE against bin/indranet
	edge/e2e/compat.sh '$(SOURCE)' bin/indranet

clean: ## Remove what was built
	rm -rf bin

$(GOLANGCI):
	$(call install_tool,github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION))

$(ACTIONLINT):
	$(call install_tool,github.com/rhysd/actionlint/cmd/actionlint@$(ACTIONLINT_VERSION))

# Builds a tool from its checksummed module. The folder of its own lets two be
# built at once; the rename makes a half-built one impossible.
define install_tool
	@echo "building $(@F)"
	@rm -rf $@.build && mkdir -p $@.build
	@GOBIN=$(CURDIR)/$@.build go install -trimpath -ldflags='-s -w' $(1)
	@mv $@.build/* $@ && rmdir $@.build
endef
