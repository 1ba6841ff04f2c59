package difftest

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/internal/attempt"
	"github.com/snappy-policy/snappy/lang/check"
)

func event(op, path string, access int64) attempt.Event {
	return attempt.Event{Op: op, Fields: map[string]attempt.Value{"path": {Text: &path}, "access": {Int: &access}}}
}

func TestPredict(t *testing.T) {
	outer := compileText(t, "policy outer\naudit file.open when path under \"/t\"\ndeny file.write when path == \"/t/b\" errno EIO\n").Policy
	inner := compileText(t, "policy inner\naudit file.read\ndeny file.truncate when path == \"/t/a\"\nkill capability\n").Policy
	stack := []*check.Policy{outer, inner}
	facts := attempt.Facts{PID: 7, Comm: "prober"}
	natural := attempt.Outcome{Errno: unix.EISDIR, Events: []attempt.Event{event("file.open", "/t/a", 3), event("file.truncate", "/t/a", 0)}}

	got := predict(stack, facts, natural, attempt.Outcome{}, 0)
	require.Equal(t, unix.EACCES, got.errno)
	require.False(t, got.killed)
	var lines []string
	for _, r := range got.reports {
		lines = append(lines, r.String())
	}
	require.Equal(t, []string{
		"audited file.open by layer 0 rule 1 (rule) ",
		"audited file.read by layer 1 rule 1 (rule) ",
		"denied file.truncate by layer 1 rule 2 (rule) EACCES",
	}, lines)

	// Layers behind the one that denies are not asked, nor later events.
	natural.Events[0] = event("file.open", "/t/b", 3)
	got = predict(stack, facts, natural, attempt.Outcome{}, 0)
	require.Equal(t, unix.EIO, got.errno)
	require.Len(t, got.reports, 2)
	require.Equal(t, 1, got.events)

	// Values are those of the confined attempt.
	got = predict(stack, facts, natural, attempt.Outcome{Events: []attempt.Event{event("file.open", "/x", 1)}}, 0)
	require.Equal(t, unix.EACCES, got.errno)
	require.Len(t, got.reports, 2)
	require.Equal(t, "/x", *got.reports[0].event.Fields["path"].Text)

	// The caller of a hook may choose the error.
	natural = attempt.Outcome{Events: []attempt.Event{{Op: "capability", Fields: map[string]attempt.Value{}, Errno: unix.ENOTTY}}}
	got = predict(stack, facts, natural, attempt.Outcome{}, 0)
	require.Equal(t, unix.ENOTTY, got.errno)
	require.True(t, got.killed)
	require.Equal(t, "EPERM", got.reports[0].errno)
}
