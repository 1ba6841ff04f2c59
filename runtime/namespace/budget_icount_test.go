//go:build kernel && icount

package namespace

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Budgets, in guest instructions added to an open and close on 6.12. The machine's
// clock must count instructions:
//
//	CGO_ENABLED=0 go test -tags kernel,icount -exec "$PWD/bin/vmexec -icount" -run Budget -v ./runtime/namespace
const (
	budgetOutside   = 202 // in no namespace; a bare return 0 is 184, and being able to make tail calls costs 9
	budgetUnrelated = 330 // in a namespace without a policy for the operation
	budgetLayer     = 150 // each further layer
)

func init() {
	// cost: nanoseconds of opening and closing a file.
	commands["cost"] = func(args []string) string { return strconv.Itoa(int(cost(args[1]))) }
}

// cost is the least time of an open and close.
func cost(path string) time.Duration {
	name, err := unix.BytePtrFromString(path)
	if err != nil {
		return 0
	}
	best := time.Duration(1 << 62)
	var from, to unix.Timespec
	for round := range 40 {
		const n = 500
		_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &from)
		for range n {
			openClose(name)
		}
		_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &to)
		if took := time.Duration(to.Nano() - from.Nano()); round > 0 {
			best = min(best, took/n)
		}
	}
	return best
}

// openClose is open and close without the Go runtime in between.
func openClose(name *byte) {
	dir := unix.AT_FDCWD
	fd, _, _ := unix.RawSyscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(name)), unix.O_RDONLY, 0, 0, 0)
	_, _, _ = unix.RawSyscall(unix.SYS_CLOSE, fd, 0, 0)
}

func TestBudget(t *testing.T) {
	m := open(t)
	target := file(t, "target")
	measure := func(n *Namespace) time.Duration {
		t.Helper()
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = []string{agentEnv + "=once cost " + target}
		var out strings.Builder
		cmd.Stdout = &out
		if n == nil {
			require.NoError(t, cmd.Start())
		} else {
			require.NoError(t, n.Start(cmd))
		}
		require.NoError(t, cmd.Wait())
		ns, err := strconv.Atoi(strings.TrimSpace(out.String()))
		require.NoError(t, err)
		require.Positive(t, ns)
		return time.Duration(ns)
	}
	bare := measure(nil)
	report := func(what string, took time.Duration) time.Duration {
		t.Logf("%-40s %6d  +%d", what, took, took-bare)
		return took - bare
	}
	report("no program", bare)
	other := load(t, m, policy("other", programs{"path_mkdir": verdict(0)}))
	allow := load(t, m, policy("allow", programs{"file_open": verdict(0)}))
	elsewhere := create(t, m, nil, other)
	var stacks []*Namespace
	for _, layers := range []int{1, 2, 16} {
		var policies []*Policy
		for range layers {
			policies = append(policies, allow)
		}
		stacks = append(stacks, create(t, m, nil, policies...))
	}
	outside := report("in no namespace", measure(nil))
	unrelated := report("in a namespace, not mentioned", measure(elsewhere))
	one := report("one layer, return 0", measure(stacks[0]))
	two := report("two layers", measure(stacks[1]))
	sixteen := report("sixteen layers", measure(stacks[2]))
	if os.Getenv("SNAPPY_KERNEL") != "6.12" {
		return
	}
	require.LessOrEqual(t, outside, time.Duration(budgetOutside))
	require.LessOrEqual(t, unrelated, time.Duration(budgetUnrelated))
	require.LessOrEqual(t, two-one, time.Duration(budgetLayer))
	require.LessOrEqual(t, (sixteen-one)/15, time.Duration(budgetLayer))
}
