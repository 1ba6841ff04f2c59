package main

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/internal/vmtest"
	"github.com/snappy-policy/snappy/tools/internal/summary"
)

// play lets a stream see output and an end, as of a package with the tests
// TestA and TestB. A nil exit stands for a machine that died.
func play(t *testing.T, exit *vmtest.Exit, chunks ...string) (good bool, report, progress string) {
	t.Helper()
	sum := summary.Summary{Trim: modulePath + "/"}
	var out strings.Builder
	b := bench{kernel: "6.1", out: &out, emit: func(e summary.Event) error {
		require.Equal(t, "6.1", e.Label)
		sum.Add(e)
		return nil
	}}
	s := stream{bench: &b, pkg: &testPackage{ImportPath: modulePath + "/p", tests: []string{"TestA", "TestB"}}}
	for _, c := range chunks {
		if c == "" {
			continue
		}
		_, err := s.Write([]byte(c))
		require.NoError(t, err)
	}
	if exit != nil {
		s.ended(*exit)
	}
	s.abandon()
	var text strings.Builder
	require.NoError(t, sum.Print(&text))
	return sum.Good(summary.NoSkips{}), text.String(), out.String()
}

const (
	passA = "\x16=== RUN   TestA\n\x16--- PASS: TestA (0.10s)\n"
	passB = "\x16=== RUN   TestB\n\x16=== RUN   TestB/sub\nprinted\n\x16--- PASS: TestB (0.10s)\n    \x16--- PASS: TestB/sub (0.10s)\n"
	failB = "\x16=== RUN   TestB\n    b_test.go:1: wrong\n\x16--- FAIL: TestB (0.10s)\n"
	skipB = "\x16=== RUN   TestB\n    b_test.go:1: no such hook\n\x16--- SKIP: TestB (0.10s)\n"
	open  = "\x16=== RUN   TestB\nworking\n"
)

func TestStream(t *testing.T) {
	ok := &vmtest.Exit{Elapsed: 1500 * time.Millisecond}
	for _, tc := range []struct {
		name   string
		exit   *vmtest.Exit
		output string
		good   bool
		want   []string
	}{
		{"good", ok, passA + passB + "\x16PASS\n", true, []string{"\n2 passed, 0 failed, 0 skipped\n"}},
		{"failure", &vmtest.Exit{Code: 1}, passA + failB + "\x16FAIL\n", false, []string{"FAILED 6.1: p TestB\n", "b_test.go:1: wrong", "\n1 passed, 1 failed, 0 skipped\n"}},
		{"skip", ok, passA + skipB + "\x16PASS\n", true, []string{"skipped 6.1: p TestB: b_test.go:1: no such hook", "\n1 passed, 0 failed, 1 skipped\n"}},
		{"early exit", ok, passA, false, []string{"exit code 0, and no result of TestA TestB"}},
		{"silent", ok, "", false, []string{"no result of TestA TestB"}},
		{"exit in a test", ok, passA + open, false, []string{"FAILED 6.1: p TestB"}},
		{"failure with code 0", ok, passA + failB + "\x16PASS\n", false, []string{"FAILED 6.1: p TestB"}},
		{"code without failure", &vmtest.Exit{Code: 3}, passA + passB + "\x16PASS\n", false, []string{"exit code 3"}},
		{"rig's reason", &vmtest.Exit{Code: 125, Reason: "2 BPF links left behind"}, passA + passB + "\x16PASS\n", false, []string{"2 BPF links left behind"}},
		{"died in a test", nil, passA + open, false, []string{"FAILED 6.1: p TestB", "working"}},
		{"died before", nil, "", false, []string{"did not run: the machine ended before"}},
		{"died at the end", nil, passA + passB + "\x16PASS\n", false, []string{"did not end: the machine ended before"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			// Frames cut the output anywhere.
			half := len(tc.output) / 2
			good, report, progress := play(t, tc.exit, tc.output[:half], tc.output[half:])
			require.Equal(t, tc.good, good, report)
			for _, s := range tc.want {
				require.Contains(t, report, s)
			}
			require.Equal(t, tc.good, strings.Contains(progress, "6.1   ok   p (2 tests, 1.5s)\n"), progress)
			require.Equal(t, !tc.good, strings.Contains(progress, "6.1   FAIL p"), progress)
		})
	}
}

func TestBrokenPackagesFailAlone(t *testing.T) {
	var sum summary.Summary
	var out strings.Builder
	b := bench{kernel: "6.1", out: &out, emit: func(e summary.Event) error { sum.Add(e); return nil }}
	err := b.runOn(t.Context(), &options{limit: time.Second}, []*testPackage{{ImportPath: "p", broken: errors.New("no such import")}}, t.TempDir())
	require.NoError(t, err)
	require.False(t, sum.Good(summary.NoSkips{}))
	require.Contains(t, out.String(), "FAIL p: no such import")
}

func TestEmitErrorIsReturned(t *testing.T) {
	full := errors.New("disk full")
	b := bench{kernel: "6.1", out: new(strings.Builder), emit: func(summary.Event) error { return full }}
	err := b.runOn(t.Context(), &options{limit: time.Second}, []*testPackage{{ImportPath: "p", broken: full}}, t.TempDir())
	require.ErrorIs(t, err, full)
}

func TestParse(t *testing.T) {
	o, err := parse(io.Discard, []string{"-kernel", "6.1", "-run", "X", "-no-skips", "-limit", "5s", "-busybox", "-file", "a=/b", "./p"})
	require.NoError(t, err)
	require.Equal(t, []string{"6.1"}, o.kernels)
	require.Equal(t, []string{"./p"}, o.patterns)
	require.True(t, o.cfg.Busybox)
	require.Equal(t, []vmtest.File{{Host: "a", Guest: "/b"}}, o.cfg.Files)
	o, err = parse(io.Discard, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"6.12", "6.1"}, o.kernels)
	require.Equal(t, []string{"./..."}, o.patterns)
	_, err = parse(io.Discard, []string{"-limit", "0s"})
	require.Error(t, err)
	_, err = parse(io.Discard, []string{"-file", "a=b"})
	require.Error(t, err)
}
