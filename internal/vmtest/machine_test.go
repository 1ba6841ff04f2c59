package vmtest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/internal/vmtest/guest"
)

// fakeQEMU is a shell script in place of QEMU. It finds the console and the
// result file in $con and $out.
func fakeQEMU(t *testing.T, script string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "qemu")
	const head = `#!/bin/sh
con= out=
for a in "$@"; do
	case $a in file:*console) con=${a#file:};; file:*results) out=${a#file:};; esac
done
`
	require.NoError(t, os.WriteFile(name, []byte(head+script), 0o755))
	return name
}

func bootFake(t *testing.T, ctx context.Context, script string, cfg Config, payloads ...Payload) (*Result, error) {
	t.Helper()
	cfg.QEMU = fakeQEMU(t, script)
	require.NoError(t, cfg.complete())
	m := machine{cfg: cfg, kernel: &Kernel{Alias: "fake", Image: os.DevNull}, dir: t.TempDir(), payloads: payloads}
	return m.run(ctx)
}

func TestBootResult(t *testing.T) {
	var out, errs, log bytes.Buffer
	res, err := bootFake(t, t.Context(), `
printf 'RIG-LOG "hi"\nRIG-OUT 0 1 3\nabc\nRIG-OUT 0 2 2\nE\n\n' >>$out
printf 'RIG-END 0 0 10 ""\nRIG-OUT 1 1 1\nx\nRIG-END 1 7 20 ""\nRIG-RC 7\n' >>$out
`, Config{Log: &log}, Payload{Stdout: &out, Stderr: &errs}, Payload{})
	require.NoError(t, err)
	require.Equal(t, []Exit{{0, 10 * time.Millisecond, ""}, {7, 20 * time.Millisecond, ""}}, res.Exits)
	require.Equal(t, 7, res.Code())
	require.Equal(t, "abc", out.String())
	require.Equal(t, "E\n", errs.String())
	require.Equal(t, "vmtest: hi\n", log.String())
	require.Empty(t, res.Warnings)
}

// notify passes on what is written.
type notify chan string

func (n notify) Write(p []byte) (int, error) { n <- string(p); return len(p), nil }

func TestOutputIsLive(t *testing.T) {
	got := make(notify, 1)
	go func() {
		_, err := bootFake(t, t.Context(), `
printf 'RIG-OUT 0 1 1\nx\n' >>$out
exec sleep 1000
`, Config{Timeout: 20 * time.Second}, Payload{Stdout: got})
		if err == nil {
			panic("a killed machine is no success")
		}
	}()
	select {
	case s := <-got:
		require.Equal(t, "x", s)
	case <-time.After(10 * time.Second):
		require.Fail(t, "no output while the machine runs")
	}
}

func TestBootFailures(t *testing.T) {
	for _, tc := range []struct {
		name, script string
		want         error
		text         []string
	}{
		{"crash", `echo 'Kernel panic - not syncing' >>$con; printf 'RIG-OUT 0 1 3\nabc\n' >>$out`,
			guest.ErrNoTrailer, []string{"Kernel panic - not syncing"}},
		{"nothing", `exit 0`, guest.ErrNoTrailer, []string{"(empty)"}},
		{"qemu fails", `echo 'no such machine' >&2; exit 1`, guest.ErrNoTrailer, []string{"no such machine", "exit status 1"}},
		{"missing payload", `echo 'RIG-RC 0' >>$out`, nil, []string{"after 0 of 1 payloads"}},
		{"init gives up", `printf 'RIG-RC 125\n' >>$out`, nil, []string{"gave up with code 125"}},
		{"two codes", `printf 'RIG-END 0 1 0 ""\nRIG-RC 0\n' >>$out`, nil, []string{"trailer says 0, but the payloads say 1"}},
		{"wrong order", `printf 'RIG-END 1 0 0 ""\nRIG-RC 0\n' >>$out`, nil, []string{"end of payload 1 while 0 runs"}},
		{"unknown payload", `printf 'RIG-END 0 0 0 ""\nRIG-OUT 1 1 1\nx\n' >>$out`, nil, []string{"output of payload 1"}},
		{"unknown start", `printf 'RIG-RUN 1\n' >>$out`, nil, []string{"start of payload 1 while 0 runs"}},
		{"garbage", `echo garbage >>$out; exec sleep 1000`, nil, []string{"malformed frame"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := bootFake(t, t.Context(), tc.script, Config{}, Payload{})
			require.Error(t, err)
			if tc.want != nil {
				require.ErrorIs(t, err, tc.want)
			}
			for _, s := range tc.text {
				require.ErrorContains(t, err, s)
			}
		})
	}
}

// A kernel that dies before any payload has started is booted again; after
// that, its death is a result.
func TestBootAgain(t *testing.T) {
	for _, tc := range []struct {
		name, script string
		boots        int
		good         bool
	}{
		{"good in the end", `[ $n = 3 ] && printf 'RIG-RUN 0\nRIG-END 0 0 0 ""\nRIG-RC 0\n' >>$out`, 3, true},
		{"never good", `printf 'RIG-LOG "x"\n' >>$out`, 3, false},
		{"payload started", `printf 'RIG-RUN 0\n' >>$out`, 1, false},
		{"qemu fails", `exit 1`, 1, false},
		{"init gives up", `printf 'RIG-RC 125\n' >>$out`, 1, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			count := filepath.Join(t.TempDir(), "count")
			script := "echo x >>" + count + "\nn=$(wc -l <" + count + ")\n" + tc.script + "\ntrue\n"
			var log bytes.Buffer
			_, err := bootFake(t, t.Context(), script, Config{Log: &log}, Payload{})
			require.Equal(t, tc.good, err == nil, "%v", err)
			boots, readErr := os.ReadFile(count)
			require.NoError(t, readErr)
			require.Len(t, boots, 2*tc.boots)
			require.Equal(t, tc.boots-1, strings.Count(log.String(), "died in booting"))
		})
	}
}

func TestBootTimeout(t *testing.T) {
	start := time.Now()
	_, err := bootFake(t, t.Context(), `echo booting >>$con; printf 'RIG-END 0 0 0 ""\n' >>$out; exec sleep 1000`,
		Config{Timeout: 300 * time.Millisecond}, Payload{}, Payload{})
	require.ErrorIs(t, err, ErrTimeout)
	require.ErrorIs(t, err, guest.ErrNoTrailer)
	require.ErrorContains(t, err, "booting")
	require.Less(t, time.Since(start), 20*time.Second)
	var failure *NoTrailerError
	require.ErrorAs(t, err, &failure)
	require.Len(t, failure.Exits, 1, "what had ended is kept")
}

func TestBootCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(200*time.Millisecond, cancel)
	_, err := bootFake(t, ctx, `exec sleep 1000`, Config{}, Payload{})
	require.ErrorIs(t, err, context.Canceled)
}

func TestMissingQEMU(t *testing.T) {
	cfg := Config{QEMU: "/does/not/exist/qemu"}
	require.NoError(t, cfg.complete())
	m := machine{cfg: cfg, kernel: &Kernel{Image: os.DevNull}, dir: t.TempDir(), payloads: []Payload{{}}}
	_, err := m.boot(t.Context())
	require.ErrorContains(t, err, "/does/not/exist/qemu")
}

func TestKernelWarningsAreReported(t *testing.T) {
	res, err := bootFake(t, t.Context(), `
echo '[ 1.0] WARNING: CPU: 0 PID: 1 at kernel/bpf/verifier.c:1' >>$con
echo '[ 2.0] watchdog: BUG: soft lockup - CPU#0 stuck' >>$con
echo '[ 3.0] an ordinary line' >>$con
printf 'RIG-END 0 0 0 ""\nRIG-RC 0\n' >>$out
`, Config{}, Payload{})
	require.NoError(t, err)
	require.Equal(t, []string{"[ 1.0] WARNING: CPU: 0 PID: 1 at kernel/bpf/verifier.c:1"}, res.Warnings)
	require.Equal(t, ExitRig, Report("test", res, nil), "no success with a kernel that complains")
}

func TestArguments(t *testing.T) {
	args := func(cfg Config) string {
		require.NoError(t, cfg.complete())
		cfg.Memory = 1024
		m := machine{cfg: cfg, kernel: &Kernel{Image: "/k"}, dir: "/d"}
		return strings.Join(m.args(), " ")
	}
	t.Setenv("SNAPPY_VM_ACCEL", "")
	plain := args(Config{})
	require.Contains(t, plain, "-accel tcg,thread=single -cpu max -smp 2 -m 1024 ")
	require.Contains(t, plain, "lsm=lockdown,capability,landlock,yama,bpf")
	require.NotContains(t, plain, "icount")
	full := args(Config{ICount: true, CPUs: 4, LSM: "bpf", Append: []string{"preempt=full", "x=y"}, Drives: []string{"/a,b"}})
	require.Contains(t, full, "-smp 1 ")
	require.Contains(t, full, "-icount shift=0,sleep=off -rtc base=2026-01-01,clock=vm")
	require.True(t, strings.HasSuffix(full, "lsm=bpf nokaslr norandmaps preempt=full x=y"), full)
	require.Contains(t, full, "-drive file=/a,,b,if=none,id=d0,format=raw")
	t.Setenv("SNAPPY_VM_ACCEL", "kvm")
	require.Contains(t, args(Config{}), "-accel kvm")
	require.Error(t, (&Config{ICount: true}).complete())
}

func TestConfigDefaults(t *testing.T) {
	t.Setenv("SNAPPY_VM_TIMEOUT", "7s")
	var c Config
	require.NoError(t, c.complete())
	require.Equal(t, 7*time.Second, c.Timeout)
	t.Setenv("SNAPPY_VM_TIMEOUT", "soon")
	require.Error(t, (&Config{}).complete())
	require.Error(t, (&Config{CPUs: -1, Timeout: 1}).complete())

	env := c.environment([]string{"HOME=/x", "A=b"})
	require.Equal(t, []string{"HOME=/x", "A=b", guestPath, "TMPDIR=/tmp", "SNAPPY_KERNEL=6.12"}, env)
}

func TestHostEnv(t *testing.T) {
	for _, e := range os.Environ() {
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "SNAPPY_") {
			t.Setenv(name, "")
			os.Unsetenv(name)
		}
	}
	t.Setenv("SNAPPY_SEED", "1")
	t.Setenv("SNAPPY_VM_TIMEOUT", "1s")
	t.Setenv("SNAPPY_KERNEL", "6.1")
	require.Equal(t, []string{"SNAPPY_SEED=1"}, HostEnv())
	require.Equal(t, "6.1", HostKernel())
}

func TestExcerpt(t *testing.T) {
	lines := func(from, to int) string {
		var b strings.Builder
		for i := from; i < to; i++ {
			fmt.Fprintf(&b, "line %d\n", i)
		}
		return b.String()
	}
	trim := func(s string) string { return strings.TrimSuffix(s, "\n") }
	require.Equal(t, "", excerpt(""))
	require.Equal(t, "a\nb\nc", excerpt("a\r\nb\n\n \nc\n"))
	require.Equal(t, trim(lines(100-consoleTail, 100)), excerpt(lines(0, 100)))
	const panic = "Kernel panic - not syncing\n"
	require.Equal(t, trim(panic+lines(0, 50)), excerpt(lines(0, 9)+panic+lines(0, 50)))
	require.Equal(t, trim(lines(7, 20)+panic+"last"), excerpt(lines(0, 20)+panic+"last\n"))
	require.Equal(t, trim(panic+lines(0, consoleTrouble-1)+fmt.Sprintf("[%d lines left out]\n", 101-consoleTrouble-consoleTail)+lines(100-consoleTail, 100)),
		excerpt(lines(0, 9)+panic+lines(0, 100)))
}

func TestHostLock(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	unlock, err := lockHost(t.Context(), name, nil)
	require.NoError(t, err)

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = lockHost(ctx, name, nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)

	noticed := make(chan struct{})
	taken := make(chan error, 1)
	go func() {
		second, err := lockHost(t.Context(), name, func() { close(noticed) })
		if err == nil {
			second()
		}
		taken <- err
	}()
	select {
	case <-noticed:
	case err := <-taken:
		require.Fail(t, "two hold the lock", fmt.Sprint(err))
	case <-time.After(waitNotice + 10*time.Second):
		require.Fail(t, "no notice")
	}
	unlock()
	require.NoError(t, <-taken)
}

func TestReportCodes(t *testing.T) {
	require.Equal(t, ExitRig, Report("test", nil, context.Canceled))
	require.Equal(t, 0, Report("test", &Result{Exits: []Exit{{}}}, nil))
	require.Equal(t, 3, Report("test", &Result{Exits: []Exit{{}, {Code: 3}}, Warnings: []string{"w"}}, nil))
	require.True(t, slices.Contains(Kernels(), DefaultKernel))
}
