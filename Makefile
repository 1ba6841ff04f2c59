# Build, test and show SNAPPY. `make help` lists the targets.

SHELL   := /bin/bash
.SHELLFLAGS := -euo pipefail -c
GO      ?= go
KERNELS ?= 6.12,6.1
KERNEL  ?= $(firstword $(subst $(comma), ,$(KERNELS)))
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)
RESULTS := .cache/test
comma   := ,

# No version-control data in binaries: it would need a repository that git
# trusts, and the version comes from LDFLAGS.
export GOFLAGS := $(GOFLAGS) -buildvcs=false

# Debian packages: the emulator, what runs inside it, independent readers of our
# objects, and what unpacks kernels and their modules.
PACKAGES := qemu-system-x86 busybox-static bpftool llvm binutils xz-utils kmod

.PHONY: help build deps test test-host test-vm fuzz-short bench demo docs clean

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

build: ## build the commands and tools into bin/, statically
	@mkdir -p bin
	@for dir in cmd/* tools/*; do \
		if compgen -G "$$dir/main.go" >/dev/null; then \
			CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o "bin/$${dir##*/}" "./$$dir"; \
		fi; \
	done

deps: ## install the Debian packages that are missing
	@missing=(); \
	for p in $(PACKAGES); do \
		[ "$$(dpkg-query -W -f '$${db:Status-Status}' "$$p" 2>/dev/null || true)" = installed ] || missing+=("$$p"); \
	done; \
	if [ $${#missing[@]} -gt 0 ]; then \
		sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
		$$sudo apt-get -qq update; \
		DEBIAN_FRONTEND=noninteractive $$sudo apt-get -qq install -y --no-install-recommends "$${missing[@]}"; \
	fi

# The emulator keeps one processor busy; the host's tests have the others meanwhile.
test: ## all tests, on the host and in both kernels, with one summary
	@rm -rf $(RESULTS); mkdir -p $(RESULTS); code=0; \
	$(MAKE) --no-print-directory test-host & host=$$!; \
	$(MAKE) --no-print-directory test-vm || code=1; \
	wait $$host || code=1; \
	echo; echo "== summary"; \
	$(GO) run ./tools/testsum -no-skips=$(KERNELS) host=$(RESULTS)/host.json rig=$(RESULTS)/rig.json $(RESULTS)/vm.json \
		| tee $(RESULTS)/summary || code=1; \
	exit $$code

test-host: ## formatting, go vet, and the tests that need no kernel of ours
	@mkdir -p $(RESULTS); : >$(RESULTS)/host.json; code=0; \
	echo "== host"; \
	check() { $(GO) run ./tools/ascase "$$@" >>$(RESULTS)/host.json || code=1; }; \
	check gofmt bash -c 'out=$$(gofmt -l .) || exit; echo -n "$$out"; [ -z "$$out" ]'; \
	check vet $(GO) vet ./...; \
	check vet-kernel $(GO) vet -tags kernel,rig ./...; \
	$(GO) test -json ./... | tee -a $(RESULTS)/host.json | $(GO) run ./tools/testsum -progress || code=1; \
	exit $$code

test-vm: ## the tests of the rig itself, and the kernel tests in each kernel
	@mkdir -p $(RESULTS); code=0; \
	echo "== rig"; \
	$(GO) test -count=1 -json -tags rig -run '^TestMachine' ./internal/vmtest ./cmd/snappyc \
		| tee $(RESULTS)/rig.json | $(GO) run ./tools/testsum -progress -no-skips || code=1; \
	echo "== kernels $(KERNELS)"; \
	$(GO) run ./tools/vmtest -kernel $(KERNELS) -no-skips -json $(RESULTS)/vm.json ./... || code=1; \
	exit $$code

fuzz-short: ## every fuzz target for a while
	@.ci/fuzz $(or $(FUZZTIME),5s)

bench: build ## what compiling costs here, and what opening a file costs in a 6.12 kernel (instructions)
	bin/bench compile
	bin/vmrun -kernel 6.12 -icount -timeout 900s -file bin/bench=/bin/bench -- /bin/bench open

demo: deps build ## show a policy at work: on this kernel if it can and you are root, else in a virtual machine
	@mkdir -p bin; CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o bin/webd ./examples/webserver
	@code=75; \
	if [ "$$(id -u)" = 0 ] && bin/snappyc doctor --quiet; then \
		code=0; /bin/sh examples/webserver/host.sh bin || code=$$?; \
	fi; \
	if [ $$code = 75 ]; then \
		echo "This host cannot enforce policies, or lets nobody do so now ('bin/snappyc doctor' tells why): starting a virtual machine."; \
		bin/vmrun -kernel $(KERNEL) -busybox -file bin/snappyc=/usr/bin/snappyc -file bin/webd=/usr/bin/webd \
			-file examples/webserver/web.snp=/usr/share/snappy/web.snp -file examples/webserver/demo.sh=/demo.sh -- /bin/sh /demo.sh; \
	else \
		exit $$code; \
	fi

docs: ## regenerate what is generated in docs/
	$(GO) test -count=1 ./cmd/snappyc -run '^TestReference$$' -update

clean: ## remove what the other targets made
	rm -rf bin .cache
