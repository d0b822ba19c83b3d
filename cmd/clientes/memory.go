package main

import (
	"runtime/debug"

	"clientes/cmd/clientes/doctor"
)

// gcPercent is how much garbage a server gathers before it collects, as a part of what is alive.
// Few megabytes are, so with Go's 100 a busy server would collect many times a second. The limit of
// memory bounds the rest: Go collects earlier when it comes near. BenchmarkHTTP shows it, run once
// with GOGC=100 in the environment.
const gcPercent = 400

// tuneMemory tells Go's collector how much memory a server may use, unless the environment does, by
// GOGC and GOMEMLIMIT. Half of what the control group allows is for the server itself. The rest is
// for the process that hashes passwords, for SQLite's cache and for the pages of the program, of
// which the collector does not know. The root has /proc and /sys, "" for that of the machine.
func tuneMemory(lookupEnv func(string) (string, bool), root string) {
	if percent, _ := lookupEnv("GOGC"); percent == "" {
		debug.SetGCPercent(gcPercent)
	}
	limit, found := doctor.MemoryLimit(root)
	if own, _ := lookupEnv("GOMEMLIMIT"); own == "" && found {
		debug.SetMemoryLimit(limit / 2)
	}
}
