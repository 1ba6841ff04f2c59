//go:build kernel

package rt

import (
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/compiler/emit"
	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/kernel/hook"
)

func TestComputedOfFiles(t *testing.T) {
	d := newClassDriver(t, "file_open")
	for _, name := range []hook.ComputedName{hook.ComputedAccess, hook.ComputedDeleted, hook.ComputedMemfd, hook.ComputedDev} {
		d.computed(t, name)
	}
	e := newClassDriver(t, "bprm_check_security")
	for _, name := range []hook.ComputedName{hook.ComputedSetid, hook.ComputedExecAnon} {
		e.computed(t, name)
	}
	r := startClasses(t, d, e)
	dir := t.TempDir()
	f := dir + "/f"
	require.NoError(t, os.WriteFile(f, []byte("x"), 0o600))
	dev := func(name string) uint32 {
		var st unix.Stat_t
		require.NoError(t, unix.Stat(name, &st))
		return uint32(st.Dev)
	}
	open := func(what, name string, flags int, access, deleted, memfd, dev uint32) int {
		fd := -1
		res := r.one("file_open", func() { fd = openAt(t, unix.AT_FDCWD, name, flags) })
		require.Equal(t, [4]uint32{access, deleted, memfd, dev}, [4]uint32(res.values[:4]), what)
		return fd
	}
	tmpfs := dev(f)
	for what, c := range map[string]struct {
		flags  int
		access uint32
	}{
		"read":              {unix.O_RDONLY, 1},
		"write":             {unix.O_WRONLY, 2},
		"both":              {unix.O_RDWR, 3},
		"append":            {unix.O_WRONLY | unix.O_APPEND, 6},
		"append, read":      {unix.O_RDWR | unix.O_APPEND, 7},
		"append of nothing": {unix.O_RDONLY | unix.O_APPEND, 1},
		"truncate":          {unix.O_RDONLY | unix.O_TRUNC, 3},
		"truncate, write":   {unix.O_WRONLY | unix.O_TRUNC, 2},
		"for ioctl":         {unix.O_WRONLY | unix.O_RDWR, 0},
	} {
		open(what, f, c.flags, c.access, 0, 0, tmpfs)
	}
	open("proc", "/proc/version", unix.O_RDONLY, 1, 0, 0, dev("/proc/version"))
	open("dev", "/dev/null", unix.O_RDWR, 3, 0, 0, dev("/dev/null"))
	fd := open("read", f, unix.O_RDONLY, 1, 0, 0, tmpfs)
	require.NoError(t, os.Remove(f))
	open("deleted", procFD(fd), unix.O_RDONLY, 1, 1, 0, tmpfs)
	fd = open("O_TMPFILE", dir, unix.O_TMPFILE|unix.O_RDWR, 3, 1, 1, tmpfs)
	open("O_TMPFILE again", procFD(fd), unix.O_RDONLY, 1, 1, 1, tmpfs)
	fd, err := unix.MemfdCreate("m", 0)
	require.NoError(t, err)
	open("memfd", procFD(fd), unix.O_RDONLY, 1, 0, 1, dev(procFD(fd)))

	self, err := os.ReadFile("/proc/self/exe")
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(dir+"/nosuid", 0o755))
	require.NoError(t, unix.Mount("t", dir+"/nosuid", "tmpfs", unix.MS_NOSUID, ""))
	t.Cleanup(func() { unix.Unmount(dir+"/nosuid", unix.MNT_DETACH) })
	run := func(name string) []uint32 {
		out := r.of("bprm_check_security", func() { exec.Command(name, "-test.run=NONE").Run() })
		require.Len(t, out, 1)
		return out[0].values[:2]
	}
	for _, c := range []struct {
		dir   string
		mode  uint32
		setid uint32
	}{{dir, 0o755, 0}, {dir, 0o4755, 1}, {dir, 0o2755, 1}, {dir, 0o2745, 0}, {dir, 0o6755, 1}, {dir + "/nosuid", 0o6755, 0}} {
		name := c.dir + "/prog" + strconv.FormatUint(uint64(c.mode), 8)
		require.NoError(t, os.WriteFile(name, self, 0o755))
		require.NoError(t, unix.Chmod(name, c.mode))
		require.Equal(t, []uint32{c.setid, 0}, run(name), name)
	}
	_, err = unix.Write(fd, self)
	require.NoError(t, err)
	require.Equal(t, []uint32{0, 1}, run("/proc/"+strconv.Itoa(os.Getpid())+"/fd/"+strconv.Itoa(fd)))

	// What the kernel opens to run it, it does not open for the process to read.
	name := dir + "/prog755"
	access := map[uint32]int{}
	for _, res := range r.of("file_open", func() { exec.Command(name, "-test.run=NONE").Run() }) {
		access[res.values[0]]++
	}
	require.Positive(t, access[8], "%v", access)
}

// Subject and other scalars, as LoadScalar reads them.
func TestScalars(t *testing.T) {
	d := &driver{hook: hookNamed(t, "task_kill")}
	var want []uint32
	add := func(f hook.Field, value uint32) {
		r := begin("t_scalar_"+strconv.Itoa(len(want)), typeU64, f.Name, paramCtx)
		scalarRoutine(r, f.Read.(hook.Scalar))
		fn, err := r.Build()
		require.NoError(t, err)
		d.funcs = append(d.funcs, fn)
		d.calls = append(d.calls, call{fn.Name, false})
		want = append(want, value)
	}
	pid := uint32(os.Getpid())
	subject := map[string]uint32{"uid": 0, "egid": 7, "pid": pid, "tgid": pid, "ppid": uint32(os.Getppid()), "caps": 0xffffffff}
	for _, f := range hook.Subject() {
		if v, ok := subject[f.Name]; ok {
			add(f, v)
		}
	}
	for name, v := range map[string]uint32{"signal": 0, "target.uid": 0, "target.pid": pid} {
		f, err := field(d.hook, name)
		require.NoError(t, err)
		add(f, v)
	}
	d.hook.Fields = nil
	r := start(t, kernelConfig(t), d)
	onThread(func() {
		_, _, e := unix.RawSyscall(unix.SYS_SETRESGID, ^uintptr(0), 7, ^uintptr(0)) // of this thread only
		require.Zero(t, e)
		got := r.one("task_kill", func() { require.NoError(t, unix.Kill(os.Getpid(), 0)) })
		require.Equal(t, want, got.values[:len(want)])
	})
}

func scalarRoutine(r *routine, s hook.Scalar) {
	r.Move(emit.R6, emit.R1)
	LoadScalar(r.Builder, emit.R7, emit.R6, s)
	r.Move(emit.R0, emit.R7)
	r.Exit()
}

// Every routine of every hook passes the verifier. The report routine is called
// with a leaf and a mask that the verifier does not know.
func TestVerifier(t *testing.T) {
	var progs []object.Program
	var funcs [][]object.Func
	tables := map[string]object.Table{}
	var names []string
	for _, h := range hook.Hooks() {
		fns, tabs := everything(t, h)
		funcs = append(funcs, fns)
		for _, tab := range tabs {
			if _, ok := tables[tab.Name]; !ok && tab.Name != "config" {
				names = append(names, tab.Name)
			}
			tables[tab.Name] = tab
		}
		r := begin("t_"+h.Name, typeS32, "all routines of "+h.Name, paramCtx)
		r.Move(emit.R6, emit.R1)
		for _, f := range fns {
			if len(f.Params) != 1 || f.Params[0].Name != "ctx" || f.Name == ReportFunc(h) {
				continue
			}
			r.Move(emit.R1, emit.R6)
			r.CallFunc(f.Name)
		}
		r.Call(fnKtimeGetBootNs)
		r.Move(emit.R1, emit.R6)
		r.Move(emit.R2, emit.R0)
		r.Move(emit.R3, emit.R0)
		r.CallFunc(ReportFunc(h))
		r.returns(r.NewLabel(), 0)
		f, err := r.Build()
		require.NoError(t, err)
		progs = append(progs, object.Program{Func: f, Hook: h.Name})
	}
	var list []object.Table
	for _, n := range names {
		list = append(list, tables[n])
	}
	load(t, file(t, kernelConfig(t), list, progs, funcs...))
}
