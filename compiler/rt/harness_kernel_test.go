//go:build kernel

//vmtest:module overlay
//vmtest:timeout 6m

package rt

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/compiler/emit"
	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/kernel/abi"
	"github.com/snappy-policy/snappy/kernel/core"
	"github.com/snappy-policy/snappy/kernel/hook"
)

// The tests load small driver programs, one for each hook: for events of this
// process and its children they call routines and send what those left in the scratch memory to
// the map t_results. They allow everything.

const (
	resultBytes = abi.ScratchSize // the lengths, some values, and the paths
	valuesAt    = 8               // where a driver stores values in the scratch memory, 4 bytes each
	maxValues   = 12
	hookAt      = valuesAt + 4*maxValues
)

// driver is a program for a hook.
type driver struct {
	hook *hook.Hook
	// calls are routines to call; their results become the values. Those
	// with scratch take it as the second argument.
	calls []call
	funcs []object.Func
	quiet bool // sends nothing
}

type call struct {
	name    string
	scratch bool
}

func (d *driver) program(t *testing.T) object.Program {
	r := begin("t_"+d.hook.Name, typeS32, "driver", paramCtx)
	out := r.NewLabel()
	r.Move(emit.R6, emit.R1)
	ours := r.NewLabel()
	r.currentTask()
	r.LoadField(emit.W, emit.R1, emit.R0, emit.Field("task_struct", "tgid"))
	r.JumpImm(emit.JEq, emit.R1, int64(os.Getpid()), ours)
	r.LoadField(emit.DW, emit.R1, emit.R0, emit.Field("task_struct", "real_parent"))
	r.LoadField(emit.W, emit.R1, emit.R1, emit.Field("task_struct", "tgid"))
	r.JumpImm(emit.JNe, emit.R1, int64(os.Getpid()), out)
	r.Bind(ours)
	r.scratch(emit.R7, out)
	for off := 0; off < 64; off += 8 {
		r.StoreImm(emit.DW, emit.R7, off, 0)
	}
	r.StoreImm(emit.W, emit.R7, hookAt, int64(d.hook.Number))
	require.LessOrEqual(t, len(d.calls), maxValues)
	for i, c := range d.calls {
		r.Move(emit.R1, emit.R6)
		if c.scratch {
			r.Move(emit.R2, emit.R7)
		}
		r.CallFunc(c.name)
		r.Store(emit.W, emit.R7, valuesAt+4*i, emit.R0)
	}
	if !d.quiet {
		r.MapAddr(emit.R1, "t_results")
		r.Move(emit.R2, emit.R7)
		r.Const(emit.R3, resultBytes)
		r.Const(emit.R4, 0)
		r.Call(130) // ringbuf_output
	}
	r.release(t, emit.R7)
	r.returns(out, 0)
	f, err := r.Build()
	require.NoError(t, err)
	return object.Program{Func: f, Hook: d.hook.Name}
}

func hookNamed(t *testing.T, name string) *hook.Hook {
	for _, h := range hook.Hooks() {
		if h.Name == name {
			return h
		}
	}
	require.FailNow(t, "no hook "+name)
	return nil
}

// textDriver builds the paths and strings of a hook.
func textDriver(t *testing.T, name string) *driver {
	d := &driver{hook: hookNamed(t, name)}
	for _, f := range reported(d.hook) {
		fns, err := path(d.hook, f)
		require.NoError(t, err)
		d.funcs = append(d.funcs, fns...)
		d.calls = append(d.calls, call{pathFunc(d.hook, f), true})
	}
	return d
}

// config is the table that the loader fills for policies.
type config struct{ rename, mount, pool uint64 }

func (c config) table() object.Table {
	data := make([]byte, abi.ConfigSize)
	binary.LittleEndian.PutUint64(data[abi.ConfigPolicyID:], 0x1122334455667788)
	binary.LittleEndian.PutUint64(data[abi.ConfigRenameLock:], c.rename)
	binary.LittleEndian.PutUint64(data[abi.ConfigMountLock:], c.mount)
	binary.LittleEndian.PutUint64(data[abi.ConfigPool:], c.pool)
	return object.Table{Name: abi.TableConfig, Data: data}
}

// newKernel is what the core knows of this kernel. It takes long to find out.
var newKernel = sync.OnceValues(func() (*core.Kernel, error) {
	types, err := btf.LoadKernelSpec()
	if err != nil {
		return nil, err
	}
	return core.NewKernel(types)
})

// needsPool tells whether this kernel's task storage may fail.
func needsPool(t *testing.T) bool {
	k, err := newKernel()
	require.NoError(t, err)
	return k.Pool()
}

// release sets the slot of the pool free whose scratch memory is in reg.
func (r *routine) release(t *testing.T, reg emit.Reg) {
	if needsPool(t) {
		r.Const(emit.R1, 0)
		r.Atomic(object.AtomicXchg, emit.DW, reg, abi.PoolOwner-abi.PoolScratch, emit.R1)
	}
}

func kernelConfig(t *testing.T) config {
	f, err := os.Open("/proc/kallsyms")
	require.NoError(t, err)
	defer f.Close()
	var c config
	for in := bufio.NewScanner(f); in.Scan(); {
		part := strings.Fields(in.Text())
		if len(part) != 3 {
			continue
		}
		addr, err := strconv.ParseUint(part[0], 16, 64)
		require.NoError(t, err)
		switch part[2] {
		case "rename_lock":
			c.rename = addr
		case "mount_lock":
			c.mount = addr
		}
	}
	require.NotZero(t, c.rename)
	require.NotZero(t, c.mount)
	if needsPool(t) {
		c.pool = 1
	}
	return c
}

func file(t *testing.T, cfg config, tables []object.Table, progs []object.Program, funcs ...[]object.Func) *object.File {
	sources := []object.Source{{Name: "driver", Text: "driver\n"}}
	f := &object.File{
		Programs: progs, Subprograms: Merge(append(funcs, []object.Func{poolSlot()})...), License: "GPL",
		Maps:    append(Maps(), object.Map{Name: "t_results", Type: object.MapRingBuf, MaxEntries: 1 << 22}),
		Tables:  append([]object.Table{cfg.table()}, tables...),
		Structs: Structs(),
		Meta:    object.Meta{Compiler: "test", Policy: "driver", Digest: object.SourceDigest(sources), Sources: sources},
	}
	return f
}

// load loads an object and leaves out programs for hooks that the kernel lacks,
// which the hook's table must know of.
func load(t *testing.T, f *object.File) *ebpf.Collection {
	raw, err := object.Write(f)
	require.NoError(t, err)
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(raw))
	require.NoError(t, err)
	kernel, err := btf.LoadKernelSpec()
	require.NoError(t, err)
	for _, p := range f.Programs {
		var fn *btf.Func
		if kernel.TypeByName("bpf_lsm_"+p.Hook, &fn) != nil {
			require.NotEmpty(t, hookNamed(t, p.Hook).Absent, p.Hook)
			delete(spec.Programs, p.Name)
		}
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{Programs: ebpf.ProgramOptions{KernelTypes: kernel}})
	var ve *ebpf.VerifierError
	if errors.As(err, &ve) {
		log := ve.Log
		if len(log) > 400 {
			log = log[len(log)-400:]
		}
		t.Fatalf("%v\n%s", ve.Cause, strings.Join(log, "\n"))
	}
	require.NoError(t, err)
	t.Cleanup(coll.Close)
	for name, p := range coll.Programs {
		info, err := p.Info()
		require.NoError(t, err)
		n, _ := info.VerifiedInstructions()
		t.Logf("%s: %d instructions verified", name, n)
	}
	return coll
}

// attach attaches all programs until the test's end, or until the function that
// it returns is called.
func attach(t *testing.T, coll *ebpf.Collection) (detach func()) {
	var links []link.Link
	detach = func() {
		for _, l := range links {
			l.Close()
		}
	}
	t.Cleanup(detach)
	for _, p := range coll.Programs {
		l, err := link.AttachLSM(link.LSMOptions{Program: p})
		require.NoError(t, err)
		links = append(links, l)
	}
	return detach
}

// result is what a driver saw of an event.
type result struct {
	hook   int
	values [maxValues]uint32
	paths  [2]string
	state  [2]string // "", or "unresolved"
}

// results reads what drivers sent.
type results struct {
	t     *testing.T
	rd    *ringbuf.Reader
	hooks map[int]*hook.Hook
	coll  *ebpf.Collection
	// ordered: the walk has only its second way.
	ordered bool
}

func newResults(t *testing.T, coll *ebpf.Collection, drivers ...*driver) *results {
	rd, err := ringbuf.NewReader(coll.Maps["t_results"])
	require.NoError(t, err)
	t.Cleanup(func() { rd.Close() })
	hooks := map[int]*hook.Hook{}
	for _, d := range drivers {
		hooks[int(d.hook.Number)] = d.hook
	}
	return &results{t: t, rd: rd, hooks: hooks, coll: coll}
}

// with is r for a subtest.
func (r *results) with(t *testing.T) *results {
	sub := *r
	sub.t = t
	return &sub
}

// all returns the results so far. All must be well-formed.
func (r *results) all() []result {
	var out []result
	for {
		r.rd.SetDeadline(time.Now().Add(-time.Second))
		rec, err := r.rd.Read()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return out
		}
		require.NoError(r.t, err)
		require.Len(r.t, rec.RawSample, resultBytes)
		le := binary.LittleEndian
		res := result{hook: int(le.Uint32(rec.RawSample[hookAt:]))}
		for i := range res.values {
			res.values[i] = le.Uint32(rec.RawSample[valuesAt+4*i:])
		}
		for _, f := range reported(r.hooks[res.hook]) {
			i := pathIndex(f.Name)
			n := le.Uint32(rec.RawSample[scratchPathLen(i):])
			if n == abi.PathUnresolved {
				res.state[i] = "unresolved"
				continue
			}
			require.Less(r.t, n, uint32(abi.PathMax))
			buf := rec.RawSample[scratchPath(i):]
			require.Equal(r.t, make([]byte, 1+abi.PathPad), buf[n:n+1+abi.PathPad], "zeros behind the path")
			require.NotContains(r.t, string(buf[:n]), "\x00")
			res.paths[i] = string(buf[:n])
		}
		out = append(out, res)
	}
}

// of returns the results of a hook while f runs.
func (r *results) of(name string, f func()) []result {
	r.all()
	f()
	var out []result
	for _, res := range r.all() {
		if r.hooks[res.hook].Name == name {
			out = append(out, res)
		}
	}
	return out
}

// one returns the only result of a hook while f runs.
func (r *results) one(name string, f func()) result {
	r.t.Helper()
	out := r.of(name, f)
	require.Len(r.t, out, 1, name)
	return out[0]
}

// start loads and attaches drivers.
func start(t *testing.T, cfg config, drivers ...*driver) *results {
	var progs []object.Program
	var funcs [][]object.Func
	for _, d := range drivers {
		progs = append(progs, d.program(t))
		funcs = append(funcs, d.funcs)
	}
	coll := load(t, file(t, cfg, nil, progs, funcs...))
	attach(t, coll)
	r := newResults(t, coll, drivers...)
	r.ordered = cfg.rename == 0
	return r
}

// counter is the sum of a counter over all CPUs.
func counter(t *testing.T, coll *ebpf.Collection, n uint32) (sum uint64) {
	var v []uint64
	require.NoError(t, coll.Maps[abi.MapCounters].Lookup(n, &v))
	for _, x := range v {
		sum += x
	}
	return sum
}

// show is how a path is compared: with its state.
func (res result) show(i int) string {
	if res.state[i] != "" {
		return "<" + res.state[i] + ">"
	}
	return fmt.Sprintf("%q", res.paths[i])
}

func kernelHas(t *testing.T, function string) bool {
	kernel, err := btf.LoadKernelSpec()
	require.NoError(t, err)
	var fn *btf.Func
	return kernel.TypeByName(function, &fn) == nil
}
