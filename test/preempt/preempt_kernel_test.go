//go:build kernel

// Package preempt has two processes race for one processor under a policy.
package preempt

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/internal/kerneltest"
)

//vmtest:timeout 10m

const (
	opens   = 500_000 // of each process, half of them allowed
	allowed = "/p/a/rather/long/path/so/that/it/takes/a/while/to/build/allowed"
	denied  = "/p/a/rather/long/path/so/that/it/takes/a/while/to/build/denied0"
	role    = "SNAPPY_TEST_PREEMPT"
)

func TestMain(m *testing.M) {
	if os.Getenv(role) == "" {
		os.Exit(m.Run())
	}
	if err := hammer(); err != nil {
		fmt.Println("hammer:", err)
		os.Exit(1)
	}
}

// hammer waits for a line and opens the two files in turn, without the Go
// runtime in between, counting what is not as the policy wants it.
func hammer() error {
	a, err := unix.BytePtrFromString(allowed)
	if err != nil {
		return err
	}
	d, err := unix.BytePtrFromString(denied)
	if err != nil {
		return err
	}
	var set unix.CPUSet
	set.Set(0)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return err
	}
	fmt.Println("ready")
	var line string
	if _, err := fmt.Scanln(&line); err != nil {
		return err
	}
	wrongly, wrong := 0, 0
	at := unix.AT_FDCWD
	for range opens / 2 {
		fd, _, e := unix.RawSyscall6(unix.SYS_OPENAT, uintptr(at), uintptr(unsafe.Pointer(a)), unix.O_RDONLY|unix.O_CLOEXEC, 0, 0, 0)
		if e != 0 {
			wrongly++
		} else {
			unix.RawSyscall(unix.SYS_CLOSE, fd, 0, 0)
		}
		fd, _, e = unix.RawSyscall6(unix.SYS_OPENAT, uintptr(at), uintptr(unsafe.Pointer(d)), unix.O_RDONLY|unix.O_CLOEXEC, 0, 0, 0)
		if e == 0 {
			unix.RawSyscall(unix.SYS_CLOSE, fd, 0, 0)
		}
		if e != unix.EACCES {
			wrong++
		}
	}
	fmt.Printf("%d %d\n", wrongly, wrong)
	return nil
}

// preemptFully makes the kernel preemptible, as preempt=full on its command
// line does (kernel/sched/core.c, sched_dynamic_update), until the test ends.
func preemptFully(t *testing.T) {
	const dir = "/tmp/debug"
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, unix.Mount("debugfs", dir, "debugfs", 0, ""))
	mode := dir + "/sched/preempt"
	before, err := os.ReadFile(mode)
	require.NoError(t, err)
	_, present, ok := strings.Cut(string(before), "(")
	require.True(t, ok, "%s", before)
	present, _, _ = strings.Cut(present, ")")
	require.NoError(t, os.WriteFile(mode, []byte("full"), 0o644))
	now, err := os.ReadFile(mode)
	require.NoError(t, err)
	require.Contains(t, string(now), "(full)")
	t.Cleanup(func() {
		require.NoError(t, os.WriteFile(mode, []byte(present), 0o644))
		require.NoError(t, unix.Unmount(dir, 0))
	})
}

func TestPreempt(t *testing.T) {
	preemptFully(t)
	require.NoError(t, os.MkdirAll("/p/a/rather/long/path/so/that/it/takes/a/while/to/build", 0o755))
	require.NoError(t, os.WriteFile(allowed, nil, 0o644))
	require.NoError(t, os.WriteFile(denied, nil, 0o644))
	h := kerneltest.Open(t)
	space, err := h.Space(fmt.Sprintf("policy p\ndeny file.open when path == %q\n", denied))
	require.NoError(t, err)
	start := time.Now()
	type process struct {
		*exec.Cmd
		out *strings.Builder
	}
	var all []process
	for range 2 {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), role+"=1", "GOMAXPROCS=1")
		in, err := cmd.StdinPipe()
		require.NoError(t, err)
		p := process{cmd, &strings.Builder{}}
		cmd.Stdout = p.out
		require.NoError(t, cmd.Start())
		require.NoError(t, space.Enter(cmd.Process.Pid))
		_, err = fmt.Fprintln(in, "go")
		require.NoError(t, err)
		all = append(all, p)
	}
	for _, p := range all {
		require.NoError(t, p.Wait(), p.out.String())
		var spurious, escaped int
		_, err := fmt.Sscanf(p.out.String(), "ready\n%d %d\n", &spurious, &escaped)
		require.NoError(t, err, p.out.String())
		require.Zero(t, escaped, "denied, but opened")
		require.Zero(t, spurious, "allowed, but denied")
		t.Logf("%d opens: %d that are denied worked, %d that are allowed failed", opens, escaped, spurious)
	}
	t.Logf("%d opens by two processes on one processor with preempt=full, %.0f s", 2*opens, time.Since(start).Seconds())
	require.NoError(t, space.Close())
}
