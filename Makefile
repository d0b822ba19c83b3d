# Thin on purpose: each target is one command that you could type yourself.

.PHONY: help run test race check bench fmt sbom

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

bench: ## run every benchmark
	go test -run '^$$' -bench . ./...

fmt: ## format the code
	gofmt -w .

sbom: ## list what the program is made of, in clientes.cdx.json (CycloneDX)
	GOFLAGS=-tags=nomsgpack go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.9.0 app -json -licenses -std \
		-main cmd/clientes -output clientes.cdx.json .
