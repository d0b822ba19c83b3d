package main

import (
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"

	"clientes/auth/authtest"
)

func TestTuneMemory(t *testing.T) {
	root := t.TempDir() // of a container with 256 MiB
	for name, text := range map[string]string{
		"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "268435456\n",
	} {
		file := filepath.Join(root, name)
		authtest.Must(t, os.MkdirAll(filepath.Dir(file), 0o700))
		authtest.Must(t, os.WriteFile(file, []byte(text), 0o600))
	}
	const goPercent, goLimit = 77, int64(math.MaxInt64) // as Go's runtime has found them
	for _, test := range []struct {
		name    string
		vars    map[string]string
		root    string
		percent int
		limit   int64
	}{
		{"a container", nil, root, gcPercent, 128 << 20},
		{"no container", nil, t.TempDir(), gcPercent, goLimit},
		{"an operator's percent", map[string]string{"GOGC": "77"}, root, goPercent, 128 << 20},
		{"an operator's limit", map[string]string{"GOMEMLIMIT": "off"}, root, gcPercent, goLimit},
		{"empty settings", map[string]string{"GOGC": "", "GOMEMLIMIT": ""}, root, gcPercent,
			128 << 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			percent, limit := debug.SetGCPercent(goPercent), debug.SetMemoryLimit(goLimit)
			defer debug.SetMemoryLimit(limit)
			defer debug.SetGCPercent(percent)
			tuneMemory(environment(test.vars), test.root)
			if got := debug.SetGCPercent(100); got != test.percent {
				t.Errorf("GOGC is %d, want %d", got, test.percent)
			}
			if got := debug.SetMemoryLimit(-1); got != test.limit {
				t.Errorf("GOMEMLIMIT is %d, want %d", got, test.limit)
			}
		})
	}
}
