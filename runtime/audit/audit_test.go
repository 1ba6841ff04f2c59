package audit

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/kernel/abi"
	"github.com/snappy-policy/snappy/kernel/hook"
)

func hookNumber(t *testing.T, name string) uint16 {
	for _, h := range hook.Hooks() {
		if h.Name == name {
			return h.Number
		}
	}
	t.Fatal(name)
	return 0
}

func record(t *testing.T, e abi.Event, path, to string) []byte {
	e.Version = 1
	copy(e.Data[:], path)
	copy(e.Data[abi.EventPathBytes:], to)
	if e.Path0Len == 0 {
		e.Path0Len = uint16(len(path))
	}
	if e.Path1Len == 0 {
		e.Path1Len = uint16(len(to))
	}
	var b bytes.Buffer
	require.NoError(t, binary.Write(&b, binary.LittleEndian, e))
	require.Equal(t, abi.EventMax, b.Len())
	return b.Bytes()
}

var nginx = &object.Meta{Policy: "nginx", Sources: []object.Source{{Name: "nginx.snp"}, {Name: "lib/odd name.snp"}},
	Rules: []object.Rule{{ID: 3, Verb: "deny", Name: "secrets", Line: 31, Text: "deny file.open as secrets …"}, {ID: 9, Verb: "default", File: 1, Line: 2}}}

func policies(id uint64) *object.Meta {
	if id == 7 {
		return nginx
	}
	return nil
}

func comm(s string) (c [16]byte) { copy(c[:], s); return }

func TestEventText(t *testing.T) {
	open, rename, connect := hookNumber(t, "file_open"), hookNumber(t, "path_rename"), hookNumber(t, "socket_connect")
	ops := hook.Operations()
	op := func(name string) uint16 { return uint16(slices.Index(ops, name)) }
	for _, c := range []struct {
		name     string
		raw      abi.Event
		path, to string
		want     string
	}{
		{"rule", abi.Event{Verdict: abi.VerdictDeny, Reason: abi.ReasonRule, Errno: 13, Policy: 7, Rule: 3, Hook: open, Op: op("file.open"), PID: 412, Comm: comm("cat")}, "/etc/shadow", "",
			"denied file.open /etc/shadow by nginx.snp:31 (secrets) pid 412 cat"},
		{"kill", abi.Event{Verdict: abi.VerdictKill, Reason: abi.ReasonRule, Policy: 7, Rule: 3, Hook: open, Op: op("file.write"), PID: 1, Comm: comm("a b")}, "/proc/sys/x", "",
			`killed file.write /proc/sys/x by nginx.snp:31 (secrets) pid 1 "a b"`},
		{"default, two paths", abi.Event{Verdict: abi.VerdictDeny, Reason: abi.ReasonDefault, Policy: 7, Rule: 9, Hook: rename, Op: op("file.rename"), PID: 2, Comm: comm("mv")}, "/a", "/b",
			`denied file.rename /a -> /b by "lib/odd name.snp":2 default pid 2 mv`},
		{"unresolved", abi.Event{Verdict: abi.VerdictDeny, Reason: abi.ReasonUnresolved, Policy: 7, Rule: 3, Hook: open, Op: op("file.open"), PID: 2, Comm: comm("sh"), Path0Len: abi.EventUnresolved}, "", "",
			"denied file.open - by nginx.snp:31 (secrets) unresolved pid 2 sh"},
		{"forged line", abi.Event{Verdict: abi.VerdictDeny, Reason: abi.ReasonRule, Policy: 7, Rule: 3, Hook: open, Op: op("file.open"), PID: 2, Comm: comm("x\ny")}, "/tmp/\nsnappy: denied \xff\u202e", "",
			`denied file.open "/tmp/\nsnappy: denied \xff\u202e" by nginx.snp:31 (secrets) pid 2 "x\ny"`},
		{"cut", abi.Event{Verdict: abi.VerdictAudit, Reason: abi.ReasonRule, Policy: 7, Rule: 3, Hook: open, Op: op("file.open"), PID: 2, Comm: comm("sh"), Path0Len: abi.EventTruncated | 4}, "/end", "",
			"audited file.open …/end by nginx.snp:31 (secrets) pid 2 sh"},
		{"numbers", abi.Event{Verdict: abi.VerdictDeny, Reason: abi.ReasonRule, Policy: 8, Rule: 3, Hook: connect, Op: op("net.connect"), PID: 2, Comm: comm("nc"), Args: [4]uint64{2, 1, 25, 99}}, "", "",
			"denied net.connect family=2 type=1 port=25 by policy 8 rule 3 pid 2 nc"},
		{"dispatcher", abi.Event{Verdict: abi.VerdictDeny, Reason: abi.ReasonNoPolicy, Hook: open, Op: 0xffff, PID: 2, Comm: comm("sh")}, "", "",
			"denied file_open by a policy that is not loaded pid 2 sh"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := Decode(record(t, c.raw, c.path, c.to), policies)
			require.NoError(t, err)
			require.Equal(t, c.want, e.String())
			data, err := json.Marshal(e)
			require.NoError(t, err)
			require.NotContains(t, string(data), "\n")
			var back Event
			require.NoError(t, json.Unmarshal(data, &back))
			require.Equal(t, e.Operation, back.Operation)
			require.Equal(t, e.Args, back.Args)
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := record(t, abi.Event{Verdict: abi.VerdictDeny, Reason: abi.ReasonRule}, "/x", "")
	for name, change := range map[string]func([]byte) []byte{
		"short":   func(b []byte) []byte { return b[:abi.EventHeader-1] },
		"version": func(b []byte) []byte { b[abi.EventVersion] = 2; return b },
		"verdict": func(b []byte) []byte { b[abi.EventVerdict] = 0; return b },
		"reason":  func(b []byte) []byte { b[abi.EventReason] = 200; return b },
		"hook":    func(b []byte) []byte { b[abi.EventHook] = 0xff; return b },
	} {
		_, err := Decode(change(slices.Clone(good)), nil)
		require.ErrorIs(t, err, ErrRecord, name)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(make([]byte, abi.EventMax))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Decode(b, policies)
		if err != nil {
			require.True(t, errors.Is(err, ErrRecord))
			return
		}
		for _, r := range e.String() {
			require.NotEqual(t, '\n', r)
		}
		_, err = json.Marshal(e)
		require.NoError(t, err)
	})
}

func TestJournalOneConsumerManyReaders(t *testing.T) {
	j := OpenJournal(t.TempDir())
	c, err := j.consume()
	require.NoError(t, err)
	_, err = j.consume()
	require.ErrorIs(t, err, errBusy)

	require.NoError(t, c.append(&Event{PID: 1}))
	late, err := j.Tail(true)
	require.NoError(t, err)
	defer late.Close()
	all, err := j.Tail(false)
	require.NoError(t, err)
	defer all.Close()
	require.NoError(t, c.append(&Event{PID: 2}))
	require.Equal(t, []uint32{2}, pids(t, late))
	require.Equal(t, []uint32{1, 2}, pids(t, all))

	c.close()
	again, err := j.consume()
	require.NoError(t, err)
	defer again.close()
	require.NoError(t, again.append(&Event{PID: 3}))
	require.Equal(t, []uint32{3}, pids(t, late))
}

func pids(t *testing.T, tail *Tail) (out []uint32) {
	for {
		e, err := tail.Next()
		require.NoError(t, err)
		if e == nil {
			return out
		}
		out = append(out, e.PID)
	}
}

// A reader loses nothing when the journal is replaced under it.
func TestJournalRotates(t *testing.T) {
	dir := t.TempDir()
	j := OpenJournal(dir)
	c, err := j.consume()
	require.NoError(t, err)
	defer c.close()
	tail, err := j.Tail(true)
	require.NoError(t, err)
	defer tail.Close()
	for i := range uint32(6) {
		require.NoError(t, c.append(&Event{PID: i}))
		if i == 3 {
			c.size = journalMax + 1
		}
	}
	require.FileExists(t, filepath.Join(dir, journalOld))
	require.Equal(t, []uint32{0, 1, 2, 3, 4, 5}, pids(t, tail))
	all, err := j.Tail(false)
	require.NoError(t, err)
	defer all.Close()
	require.Equal(t, []uint32{0, 1, 2, 3, 4, 5}, pids(t, all))
}

func TestJournalPartialAndCorruptLines(t *testing.T) {
	dir := t.TempDir()
	j := OpenJournal(dir)
	f, err := os.Create(filepath.Join(dir, journalName))
	require.NoError(t, err)
	defer f.Close()
	tail, err := j.Tail(false)
	require.NoError(t, err)
	defer tail.Close()
	fmt.Fprint(f, `{"pid":4`)
	require.Empty(t, pids(t, tail))
	fmt.Fprintln(f, `2}`)
	require.Equal(t, []uint32{42}, pids(t, tail))
	fmt.Fprintln(f, `nonsense`)
	_, err = tail.Next()
	require.Error(t, err)
}

func TestFollowEnds(t *testing.T) {
	j := OpenJournal(t.TempDir())
	c, err := j.consume()
	require.NoError(t, err)
	defer c.close()
	tail, err := j.Tail(true)
	require.NoError(t, err)
	defer tail.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	require.NoError(t, c.append(&Event{PID: 5}))
	n := 0
	require.NoError(t, tail.Follow(ctx, func(e *Event) error { n++; cancel(); return nil }))
	require.Equal(t, 1, n)
}
