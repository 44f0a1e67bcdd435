# make without arguments says what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/.tools/bin:$(PATH)

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.7.0
# Tests of real nodes run by the clock, on machines that do other things too: a test that fails is run again when all others have ended, and both are said (docs/decisions/0038). Not after a
# panic or a data race, nor when more than three fail.
GOTEST := go run gotest.tools/gotestsum@v1.13.0 --format pkgname --hide-summary=skipped --rerun-fails=1 --rerun-fails-max-failures=3 --rerun-fails-run-root-test --rerun-fails-abort-on-data-race
PLATFORMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
# Packages whose tests run with the race detector: those with goroutines of their own, and small enough to afford it.
RACE := . ./internal/... ./wire/... ./blob/... ./transfer/... ./network/... ./overlay/kaddht/... ./overlay/live/... ./overlay/ledger/... ./rendezvous/... ./bridge/... ./search/index ./search/talk ./search/spread ./search/shard ./search/ask ./api/... ./cli/... ./node/... ./apps/... ./lab/...

.PHONY: help
help: ## say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

.PHONY: build
build: ## build bin/kith for this machine
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/kith ./cmd/kith

.PHONY: test
test: install check ## everything a change must pass; installs what it needs
	@# Ten minutes of what a fresh node says are listened to beside the rest, which takes longer.
	@said=$$(mktemp); set -m; $(MAKE) --no-print-directory quiet >"$$said" 2>&1 & quiet=$$!; \
	trap 'kill -- -$$quiet 2>/dev/null || true; rm -f "$$said"' EXIT; \
	$(MAKE) --no-print-directory unit race page cross; \
	wait $$quiet || { cat "$$said"; exit 1; }; grep -E '^(---|ok)' "$$said"

.PHONY: quiet
quiet: ## what a fresh node says in ten minutes, packet by packet (QUIET=1m for less; Linux, root)
	KITH_QUIET=$(or $(QUIET),10m) go test ./cmd/kith -run TestQuietByDefault -count 1 -timeout 20m -v

.PHONY: install
install: ## install what the tests need
	@.ci/install

.PHONY: check
check: ## gofmt, vet, staticcheck, tidy go.mod
	@bad=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$bad" ] || { echo "not gofmt-ed: $$bad"; exit 1; }
	go vet ./...
	$(STATICCHECK) ./...
	go mod tidy -diff

.PHONY: unit
unit: ## Go tests
	$(GOTEST) --packages ./... -- -timeout 30m

.PHONY: race
race: ## Go tests with the race detector
	$(GOTEST) --packages "$(RACE)" -- -race -short -timeout 20m
	go test -race -timeout 20m -run TestSameOnTwoCores ./overlay/sim

.PHONY: page
page: build ## the page: types, unit tests, the committed build is the built source, and a real browser on real nodes
	@bin/kith openapi | diff -q - web/ui/openapi.json || { echo "an operation changed: run make web and commit it"; exit 1; }
	cd web/ui && npm run check && npm run build
	@[ -z "$$(git status --porcelain -- web/dist)" ] || { echo "web/dist is not what web/ui builds: run make web and commit it"; exit 1; }
	cd web/ui && KITH_BIN=$(CURDIR)/bin/kith npm test

.PHONY: web
web: install ## build the page into web/dist, its types from the operations
	go run ./cmd/kith openapi > web/ui/openapi.json
	cd web/ui && npm run types && npm run build

.PHONY: cross
cross: ## build for every platform, and with Go alone, with gcc only, with gcc and g++
	@for p in $(PLATFORMS); do echo "build $$p"; GOOS=$${p%/*} GOARCH=$${p#*/} CGO_ENABLED=0 go build -o /dev/null ./cmd/kith; done
	@echo "build with gcc and no g++"; CGO_ENABLED=1 CXX=/bin/false go build -o /dev/null ./cmd/kith
	@echo "build with gcc and g++"; CGO_ENABLED=1 go build -o /dev/null ./cmd/kith

.PHONY: release
release: ## static binaries for every platform in dist/
	@mkdir -p dist
	@for p in $(PLATFORMS); do \
		out=dist/kith-$(VERSION)-$${p%/*}-$${p#*/}; [ $${p%/*} != windows ] || out=$$out.exe; echo $$out; \
		GOOS=$${p%/*} GOARCH=$${p#*/} CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o $$out ./cmd/kith; done
	@cd dist && sha256sum kith-$(VERSION)-* > kith-$(VERSION)-SHA256SUMS

.PHONY: bench
bench: build ## the numbers, each as a ratio in one run (half an hour; BENCH=pair for one)
	KITH_BIN=$(CURDIR)/bin/kith go run ./bench $(BENCH)

.PHONY: bench-net
bench-net: ## who reaches whom behind which router, and how fast: every pair (five minutes; Linux, root; PAIRS=cone:double for one, JSON=FILE)
	KITH_NAT_MATRIX=$(or $(PAIRS),all) KITH_NAT_JSON=$(abspath $(JSON)) go test ./cmd/kith -run TestMatrix -count 1 -timeout 20m -v

.PHONY: sim-full
sim-full: ## the published tables of overlays and searches in full length, in the simulator, 100 nodes of it over libp2p, and cost against latency (hours; what is done of that is kept in bin/hulls)
	KITH_SIM_FULL=1 go test ./overlay/sim -run "Table|Path|Sessions|Kademlia|Pastry|Hostile" -count 1 -timeout 30m -v
	KITH_SEARCH_FULL=1 go test ./search/sim -run "Table|Rare" -count 1 -timeout 90m -v
	KITH_SIM_FULL=1 go test -p 1 ./overlay/live ./overlay/kaddht -run 'TestCross|TestControl' -count 1 -timeout 90m -v
	mkdir -p bin/hulls
	go run ./cmd/kith sim --scenario hulls --keep bin/hulls --csv bin/hulls/hulls.csv --html bin/hulls/hulls.html

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (10s)
	@for pkg in $$(go list ./...); do for f in $$(go test -list '^Fuzz' $$pkg | grep ^Fuzz || true); do \
		echo "$$pkg $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $${FUZZTIME:-10s} $$pkg | tail -1; done; done

.PHONY: soak
soak: ## longer runs: fuzzing a minute each, tests ten times
	$(MAKE) fuzz FUZZTIME=1m
	go test -race -count 10 -timeout 2h $(RACE)
