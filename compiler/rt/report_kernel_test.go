//go:build kernel

package rt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/compiler/emit"
	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/kernel/abi"
	"github.com/snappy-policy/snappy/kernel/hook"
)

const testSpace = 0x1234567890

// reporter is a program that reports every event of this process with a leaf.
// With built it builds the paths itself before.
func reporter(t *testing.T, h *hook.Hook, leaf int64, built bool) (object.Program, []object.Func) {
	fns, err := Report(h, 3)
	require.NoError(t, err)
	r := begin("t_"+h.Name, typeS32, "reporter", paramCtx)
	out := r.NewLabel()
	r.Move(emit.R6, emit.R1)
	r.Call(fnGetCurrentPidTgid)
	r.OpImm(emit.Rsh, emit.R0, 32)
	r.JumpImm(emit.JNe, emit.R0, int64(os.Getpid()), out)
	r.storage(abi.MapTasks, storageCreate)
	r.JumpImm(emit.JEq, emit.R0, 0, out)
	r.Const(emit.R1, testSpace)
	r.Store(emit.DW, emit.R0, abi.TaskID, emit.R1)
	r.StoreImm(emit.W, emit.R0, abi.TaskLayer, 5)
	mask := uint32(0)
	if built {
		for _, f := range reported(h) {
			r.scratch(emit.R7, out)
			r.Move(emit.R1, emit.R6)
			r.Move(emit.R2, emit.R7)
			r.CallFunc(pathFunc(h, f))
			mask |= Built(h, f.Name)
		}
	}
	r.Move(emit.R1, emit.R6)
	r.Const(emit.R2, leaf)
	r.Const(emit.R3, int64(mask))
	r.CallFunc(ReportFunc(h))
	if len(reported(h)) > 0 {
		r.scratch(emit.R7, out)
		r.release(t, emit.R7)
	}
	r.returns(out, 0)
	f, err := r.Build()
	require.NoError(t, err)
	return object.Program{Func: f, Hook: h.Name}, fns
}

type events struct {
	t    *testing.T
	rd   *ringbuf.Reader
	coll *ebpf.Collection
}

func (e *events) all() []abi.Event {
	var out []abi.Event
	for {
		e.rd.SetDeadline(time.Now().Add(-time.Second))
		rec, err := e.rd.Read()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return out
		}
		require.NoError(e.t, err)
		var ev abi.Event
		require.Contains(e.t, []int{abi.EventHeader, abi.EventMax}, len(rec.RawSample))
		raw := append(rec.RawSample, make([]byte, abi.EventMax-len(rec.RawSample))...)
		require.NoError(e.t, binary.Read(bytes.NewReader(raw), binary.LittleEndian, &ev))
		require.EqualValues(e.t, len(rec.RawSample), ev.Size)
		out = append(out, ev)
	}
}

func (e *events) of(h string, f func()) abi.Event {
	e.t.Helper()
	e.all()
	f()
	var out []abi.Event
	for _, ev := range e.all() {
		if hook.Hooks()[ev.Hook].Name == h {
			out = append(out, ev)
		}
	}
	require.Len(e.t, out, 1, h)
	return out[0]
}

func eventText(ev abi.Event, i int) string {
	n := []uint16{ev.Path0Len, ev.Path1Len}[i]
	data := ev.Data[i*abi.EventPathBytes:][:abi.EventPathBytes]
	switch {
	case n == abi.EventUnresolved:
		return "<unresolved>"
	case n&abi.EventTruncated != 0:
		return "…" + string(data[:n&^abi.EventTruncated])
	}
	return string(data[:n])
}

func TestReports(t *testing.T) {
	for _, built := range []bool{false, true} {
		t.Run("built "+strconv.FormatBool(built), func(t *testing.T) { testReports(t, built) })
	}
}

func testReports(t *testing.T, built bool) {
	leaves := make([]byte, 3*abi.LeafSize)
	leaf := abi.Leaf{Rule: 77, Errno: 13, Op: 9, Verdict: abi.VerdictDeny, Reason: abi.ReasonUnresolved}
	leaf.Put(leaves[abi.LeafSize:])
	var progs []object.Program
	var funcs [][]object.Func
	for _, h := range hook.Hooks() {
		number := int64(1)
		if h.Name == "path_rmdir" {
			number = 3 // out of range
		}
		p, fns := reporter(t, h, number, built)
		progs = append(progs, p)
		funcs = append(funcs, fns)
	}
	coll := load(t, file(t, kernelConfig(t), []object.Table{{Name: abi.TableLeaves, Data: leaves}}, progs, funcs...))
	attach(t, coll)
	rd, err := ringbuf.NewReader(coll.Maps[abi.MapEvents])
	require.NoError(t, err)
	t.Cleanup(func() { rd.Close() })
	e := &events{t, rd, coll}
	dir := t.TempDir()
	f := dir + "/f"

	onThread(func() {
		setComm("reporting")
		var before unix.Timespec
		require.NoError(t, unix.ClockGettime(unix.CLOCK_BOOTTIME, &before))
		ev := e.of("path_mkdir", func() { require.NoError(t, unix.Mkdir(dir+"/d", 0o751)) })
		require.GreaterOrEqual(t, ev.Time, uint64(before.Nano()))
		require.Less(t, ev.Time, uint64(before.Nano())+uint64(time.Minute))
		want := abi.Event{Size: abi.EventMax, Version: 1, Verdict: leaf.Verdict, Reason: leaf.Reason, Layer: 5, Errno: 13, Time: ev.Time,
			Namespace: testSpace, Policy: 0x1122334455667788, Rule: 77, Hook: hookNamed(t, "path_mkdir").Number, Op: 9,
			PID: uint32(os.Getpid()), TID: uint32(unix.Gettid()), PPID: uint32(os.Getppid()), UID: 0,
			Args: [4]uint64{0o751 &^ umask()}, Path0Len: uint16(len(dir + "/d"))}
		copy(want.Comm[:], "reporting")
		copy(want.Data[:], dir+"/d")
		require.Equal(t, want, ev)
	})
	ev := e.of("file_open", func() { openAt(t, unix.AT_FDCWD, f, unix.O_CREAT|unix.O_RDWR|unix.O_APPEND) })
	require.Equal(t, f, eventText(ev, 0))
	require.Equal(t, [4]uint64{7, unix.O_CREAT | unix.O_RDWR | unix.O_APPEND | 0o100000}, ev.Args)
	ev = e.of("path_rename", func() { require.NoError(t, os.Rename(f, dir+"/g")) })
	require.Equal(t, []string{f, dir + "/g"}, []string{eventText(ev, 0), eventText(ev, 1)})
	ev = e.of("path_symlink", func() { require.NoError(t, os.Symlink("the/target", dir+"/s")) })
	require.Equal(t, []string{dir + "/s", "the/target"}, []string{eventText(ev, 0), eventText(ev, 1)})
	ev = e.of("path_chown", func() { require.NoError(t, os.Chown(dir+"/g", 5, -1)) })
	require.Equal(t, [4]uint64{5, 1<<32 - 1}, ev.Args)
	require.Equal(t, dir+"/g", eventText(ev, 0))

	long := dir + "/" + strings.Repeat("l", 250)
	ev = e.of("path_mkdir", func() { require.NoError(t, os.Mkdir(long, 0o700)) })
	require.Equal(t, "…"+strings.Repeat("l", 200), eventText(ev, 0))
	exact := dir + "/" + strings.Repeat("e", abi.EventPathBytes-1-len(dir))
	ev = e.of("path_mkdir", func() { require.NoError(t, os.Mkdir(exact, 0o700)) })
	require.Equal(t, exact, eventText(ev, 0))
	tree, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE)
	require.NoError(t, err)
	ev = e.of("path_mkdir", func() { require.NoError(t, unix.Mkdirat(tree, "x", 0o700)) })
	require.Equal(t, "<unresolved>", eventText(ev, 0))

	ev = e.of("socket_create", func() {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		require.NoError(t, err)
		unix.Close(fd)
	})
	require.EqualValues(t, abi.EventHeader, ev.Size)
	require.Equal(t, [4]uint64{unix.AF_UNIX, unix.SOCK_DGRAM, 0}, ev.Args)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	require.NoError(t, err)
	defer unix.Close(fd)
	ev = e.of("socket_bind", func() { unix.Bind(fd, &unix.SockaddrInet4{Port: 4711, Addr: [4]byte{127, 0, 0, 1}}) })
	require.Equal(t, [4]uint64{unix.AF_INET, unix.SOCK_STREAM, 4711}, ev.Args)
	ev = e.of("task_kill", func() { require.NoError(t, unix.Kill(os.Getpid(), 0)) })
	require.Equal(t, [4]uint64{0, uint64(os.Getpid()), 0}, ev.Args)
	ev = e.of("capable", func() { unix.Sethostname([]byte("guest")) })
	require.Equal(t, [4]uint64{unix.CAP_SYS_ADMIN}, ev.Args)

	// A leaf that does not exist is not reported.
	e.all()
	require.NoError(t, unix.Rmdir(dir+"/d"))
	for _, ev := range e.all() {
		require.NotEqual(t, "path_rmdir", hook.Hooks()[ev.Hook].Name)
	}
	// Events that do not fit are counted.
	lost := counter(t, coll, abi.CounterEventsLost)
	for range abi.EventsBytes/abi.EventMax + 100 {
		unix.Mknod(dir+"/n", unix.S_IFREG|0o600, 0)
		unix.Unlink(dir + "/n")
	}
	require.Greater(t, counter(t, coll, abi.CounterEventsLost), lost)
	require.Zero(t, counter(t, coll, abi.CounterNoScratch))
	require.NotEmpty(t, e.all())
	ev = e.of("path_unlink", func() { require.NoError(t, unix.Unlink(dir+"/s")) })
	require.Equal(t, dir+"/s", eventText(ev, 0))
}

func umask() uint64 {
	old := unix.Umask(0)
	unix.Umask(old)
	return uint64(old)
}
