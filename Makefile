# Thin on purpose: each target is one command that you could type yourself.

.PHONY: help run test race check bench profile fmt sbom release

help: ## list the targets
	@sed -n 's/^\([a-z]*\): ## \(.*\)/  \1	\2/p' Makefile

run: ## set up this folder if it is empty, and serve
	go run ./cmd/clientes quickstart

test: ## the test command of the README
	go test -shuffle=on -timeout 4h ./...

race: ## the same with the race detector, which needs a C compiler
	go test -race -shuffle=on -timeout 4h ./...

check: ## what a change must pass
	.ci/run

bench: ## compare the server with a bare handler, for a quarter of an hour (CONTRIBUTING.md names the other benchmarks)
	go test -run '^$$' -bench '^BenchmarkHTTP$$' -benchtime 9x -timeout 2h ./cmd/clientes

profile: ## measure what a release is compiled for, in cmd/clientes/release.pgo
	TEST_PROFILE=release.pgo go test -count=1 -run '^TestProfile$$' ./cmd/clientes

fmt: ## format the code
	gofmt -w .

sbom: ## list what the program is made of, in clientes.cdx.json (CycloneDX)
	GOFLAGS=-tags=nomsgpack go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.9.0 app -json -licenses -std \
		-main cmd/clientes -output clientes.cdx.json .

# The flags are those of the Dockerfile. Without -buildvcs, the state of a working folder is not in the bytes.
VERSION ?= $(shell git describe --tags --always)
release: ## build the program for six systems into dist/, with checksums
	rm -rf dist
	for os in linux darwin windows; do for arch in amd64 arm64; do \
		CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch go build -trimpath -buildvcs=false -tags nomsgpack \
			-pgo=cmd/clientes/release.pgo \
			-ldflags "-s -w -X main.version=$(VERSION) -X main.commit=$$(git rev-parse HEAD)" \
			-o dist/clientes-$$os-$$arch$$([ $$os = windows ] && echo .exe) ./cmd/clientes || exit 1; \
	done; done
	cd dist && sha256sum clientes-* > SHA256SUMS
