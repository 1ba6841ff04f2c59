package summary

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// read adds recorded streams, given as label=file.
func read(t *testing.T, streams ...string) *Summary {
	t.Helper()
	s := &Summary{Trim: "example.org/m/"}
	for _, arg := range streams {
		label, name, _ := strings.Cut(arg, "=")
		f, err := os.Open("testdata/" + name)
		require.NoError(t, err)
		defer f.Close()
		require.NoError(t, s.Read(label, f))
	}
	return s
}

func report(t *testing.T, s *Summary) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, s.Print(&b))
	return b.String()
}

func TestMixedStream(t *testing.T) {
	s := read(t, "host=mix.json")
	require.False(t, s.Good(NoSkips{}))
	require.Equal(t, `FAILED host: mix TestTree/bad
    === RUN   TestTree/bad
        mix_test.go:13: wrong answer
    --- FAIL: TestTree/bad (0.00s)

FAILED host: mix TestParentOnly
    === RUN   TestParentOnly
        mix_test.go:19: after the subtest
    --- FAIL: TestParentOnly (0.00s)

skipped host: mix TestSkip: mix_test.go:7: needs a kernel >= 6.9
skipped host: mix TestBare: no reason given
skipped host: mix TestTree/later: mix_test.go:14: not here

  where  passed  failed  skipped
   host       3       2        3

3 passed, 2 failed, 3 skipped
`, report(t, s))
}

func TestPanickingTestFails(t *testing.T) {
	s := read(t, "6.12=panic.json")
	out := report(t, s)
	require.Contains(t, out, "FAILED 6.12: boom TestPanic\n")
	require.Contains(t, out, "panic: boom")
	require.True(t, strings.HasSuffix(out, "\n1 passed, 1 failed, 0 skipped\n"), out)
}

func TestBuildFailureAndSilentExit(t *testing.T) {
	s := read(t, "host=broken.json")
	out := report(t, s)
	require.Contains(t, out, "FAILED host: broken\n")
	require.Contains(t, out, "broken_test.go:5:28: undefined: undefined")
	require.Contains(t, out, "FAILED host: none\n    exit status 3\n")
	require.NotContains(t, out, "empty")
	require.True(t, strings.HasSuffix(out, "\n0 passed, 2 failed, 0 skipped\n"), out)
}

func TestSeveralLabels(t *testing.T) {
	s := read(t, "host=mix.json", "6.12=panic.json")
	require.Contains(t, report(t, s), `
  where  passed  failed  skipped
   host       3       2        3
   6.12       1       1        0

4 passed, 3 failed, 3 skipped
`)
}

// A stream that is cut at any line must not look good.
func TestCutStreamIsNotGood(t *testing.T) {
	var lines []string
	for _, a := range []string{"start", "run T", "pass T", "run U/x", "pass U/x", "pass"} {
		action, test, _ := strings.Cut(a, " ")
		lines = append(lines, fmt.Sprintf(`{"Action":%q,"Package":"p","Test":%q}`, action, test))
	}
	for n := range lines {
		s := new(Summary)
		s.Expect("host")
		require.NoError(t, s.Read("host", strings.NewReader(strings.Join(lines[:n], "\n"))))
		require.False(t, s.Good(NoSkips{}), "%d lines", n)
	}
	s := new(Summary)
	require.NoError(t, s.Read("host", strings.NewReader(strings.Join(lines, "\n"))))
	require.True(t, s.Good(NoSkips{}))
}

func TestNothingIsNotGood(t *testing.T) {
	require.False(t, new(Summary).Good(NoSkips{}))
	s := new(Summary)
	s.Expect("6.1")
	require.False(t, s.Good(NoSkips{}))
	require.Contains(t, report(t, s), "FAILED 6.1: (all)\n    no test case ran\n")
}

// One label without cases is a failure, however well the others went.
func TestLabelWithoutCasesFails(t *testing.T) {
	s := new(Summary)
	for _, label := range []string{"a", "b"} {
		s.Add(Event{Label: label, Package: "p", Action: "pass"})
	}
	s.Add(Event{Label: "a", Package: "p", Test: "T", Action: "pass"})
	require.False(t, s.Good(NoSkips{}))
	s.Add(Event{Label: "b", Package: "p", Test: "T", Action: "pass"})
	require.True(t, s.Good(NoSkips{}))
}

func TestUnreadableStream(t *testing.T) {
	err := new(Summary).Read("host", strings.NewReader("{\"Action\":\"start\",\"Package\":\"p\"}\nhello\n"))
	require.ErrorContains(t, err, `host: line 2 is no test event`)
}

func TestNoSkips(t *testing.T) {
	skipped := new(Summary)
	skipped.Add(Event{Label: "6.1", Package: "p", Test: "T", Action: "skip"})
	skipped.Add(Event{Label: "6.1", Package: "p", Action: "pass"})
	for value, good := range map[string]bool{"false": true, "true": false, "6.1": false, "6.12,6.1": false, "6.12": true} {
		var n NoSkips
		require.NoError(t, n.Set(value))
		require.Equal(t, good, skipped.Good(n), value)
	}
	require.Error(t, new(NoSkips).Set("a,,b"))
	require.Equal(t, "a,b", (&NoSkips{labels: []string{"a", "b"}}).String())
}

// A test that failed in one of several rounds leaves the package failed.
func TestLaterRoundDoesNotHideFailure(t *testing.T) {
	s := new(Summary)
	for _, a := range []string{"run", "fail", "run", "pass"} {
		s.Add(Event{Label: "h", Package: "p", Test: "T", Action: a})
	}
	s.Add(Event{Label: "h", Package: "p", Action: "fail"})
	require.False(t, s.Good(NoSkips{}))
}
