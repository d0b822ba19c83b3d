package doctor

import (
	"context"
	"fmt"
	"math"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"clientes/store"
)

const (
	mib = 1 << 20

	// manyDescriptors are enough for 4096 connections of clients, and for the rest.
	manyDescriptors = 4096 + 128

	// fewDescriptors leave a hundred connections beside the rest.
	fewDescriptors = 256

	// leastMemory is what a server takes with its process that hashes, and with what clients may
	// make it keep at once: bodies of 80 MiB.
	leastMemory = 128 * mib

	// hashMemory is what hashing one password takes. As many are hashed at once as there are
	// processors.
	hashMemory = 19 * mib
)

// limits looks at what the system lets the process have.
func limits(_ context.Context, s Setup) []store.Finding {
	var r report
	switch n := s.Descriptors; {
	case n == 0:
	case n < fewDescriptors:
		r.fail("descriptors", fmt.Sprintf("the process may have %d files and connections "+
			"open: a hundred clients can fill that", n), raiseDescriptors)
	case n < manyDescriptors:
		r.warn("descriptors", fmt.Sprintf("the process may have %d files and connections "+
			"open: beyond some %d clients at once, one is closed for each more", n, n-min(n, 128)),
			raiseDescriptors)
	default:
		r.ok("descriptors", "the process may have %d files and connections open", n)
	}
	r = append(r, memory(s.Root, debug.SetMemoryLimit(-1), runtime.GOMAXPROCS(0))...)
	return append(r, processors(s.Root, runtime.GOMAXPROCS(0))...)
}

const raiseDescriptors = "raise it to 65536: LimitNOFILE in systemd, --ulimit nofile in Docker, " +
	"ulimit -n in a shell"

// MemoryLimit returns how many bytes of memory the control group of this process may use, and
// whether there is a limit. The root has /proc and /sys, "" for that of the machine.
func MemoryLimit(root string) (limit int64, found bool) {
	return groupValue(root, "memory", "memory.max", "memory.limit_in_bytes", parseBytes)
}

// memory compares the memory that the control group leaves with what the server needs.
func memory(root string, goLimit int64, procs int) []store.Finding {
	const id = "memory"
	var r report
	limit, found := MemoryLimit(root)
	need := int64(leastMemory + procs*hashMemory)
	switch {
	case !found && goLimit == math.MaxInt64:
		r.ok(id, "no limit of memory is set")
	case found && limit < need:
		r.fail(id, fmt.Sprintf("the control group may use %d MiB of memory, but with %d "+
			"processors the server needs %d MiB: the kernel will kill it",
			limit/mib, procs, need/mib),
			fmt.Sprintf("raise the limit to %d MiB or more", 2*need/mib))
	case found && goLimit >= limit && limit < 4*need:
		r.warn(id, fmt.Sprintf("the control group may use %d MiB of memory, and Go's "+
			"collector does not know: the kernel may kill the server although much of its "+
			"memory is garbage", limit/mib),
			fmt.Sprintf("set GOMEMLIMIT=%dMiB, or raise the limit above %d MiB",
				limit/2/mib, 4*need/mib))
	case goLimit < need/2:
		r.warn(id, fmt.Sprintf("GOMEMLIMIT is %d MiB, less than half of what the server "+
			"needs: it will spend its time on collecting garbage", goLimit/mib),
			fmt.Sprintf("set it to %d MiB", need/mib))
	case found:
		r.ok(id, "the control group may use %d MiB of memory, and Go's collector keeps the server "+
			"below %d MiB", limit/mib, goLimit/mib)
	default:
		r.ok(id, "GOMEMLIMIT is %d MiB", goLimit/mib)
	}
	return r
}

// processors compares the processors that the control group leaves with those that Go uses.
func processors(root string, procs int) []store.Finding {
	const id = "processors"
	var r report
	quota, found := groupValue(root, "cpu", "cpu.max", "cpu.cfs_quota_us", parseQuota)
	switch {
	case !found:
		r.ok(id, "GOMAXPROCS is %d, and no limit is set", procs)
	case quota < 1000:
		r.warn(id, fmt.Sprintf("the control group may use %.2f of a processor: a login takes "+
			"%.0f ms to hash its password, and everything else waits meanwhile",
			float64(quota)/1000, 30_000/float64(quota)),
			"leave it one processor or more")
	case int64(procs)*1000 > quota+1000:
		r.warn(id, fmt.Sprintf("GOMAXPROCS is %d, but the control group may use %.2f processors: "+
			"it is stopped for parts of a second when that is used up", procs, float64(quota)/1000),
			"unset GOMAXPROCS: Go then follows the limit")
	default:
		r.ok(id, "GOMAXPROCS is %d, and the control group may use %.2f processors",
			procs, float64(quota)/1000)
	}
	return r
}

// groupValue returns the least value that the control group of this process, or one above it, has
// in a file. The first name is that of version 2, the second that of version 1 under a controller.
func groupValue(
	root, controller, v2, v1 string, parse func(file string) (int64, bool),
) (least int64, found bool) {
	const groups = "/sys/fs/cgroup"
	text, err := os.ReadFile(filepath.Join(root, "/proc/self/cgroup"))
	if err != nil {
		return 0, false // another system
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		file, folder := v2, groups
		switch {
		case fields[1] == controller:
			file, folder = v1, path.Join(groups, controller)
		case fields[1] != "":
			continue
		}
		for at := path.Clean("/" + fields[2]); ; at = path.Dir(at) {
			value, ok := parse(filepath.Join(root, folder, at, file))
			if ok && (!found || value < least) {
				least, found = value, true
			}
			if at == "/" {
				break
			}
		}
	}
	return least, found
}

func parseBytes(file string) (int64, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil && n < 1<<60 // version 1 has a number for none
}

// parseQuota returns thousandths of a processor.
func parseQuota(file string) (int64, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	quota, period, both := strings.Cut(strings.TrimSpace(string(text)), " ")
	if !both {
		other, err := os.ReadFile(filepath.Join(filepath.Dir(file), "cpu.cfs_period_us"))
		if err != nil {
			return 0, false
		}
		period = strings.TrimSpace(string(other))
	}
	q, err := strconv.ParseInt(quota, 10, 64)
	p, errPeriod := strconv.ParseInt(period, 10, 64)
	if err != nil || errPeriod != nil || q <= 0 || p <= 0 {
		return 0, false // max, or -1
	}
	return q * 1000 / p, true
}
