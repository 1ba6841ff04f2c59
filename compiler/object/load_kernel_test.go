//go:build kernel

package object

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

//vmtest:program /usr/sbin/bpftool

// bpftoolPath is where the rig puts bpftool.
const bpftoolPath = "/usr/sbin/bpftool"

// nobodyEnv makes the test binary act as the process that the sample denies.
const nobodyEnv = "OBJECT_TEST_NOBODY"

// Task storage belongs to a thread, and a pidfd names the first one of a process:
// nobody must open its file there and nowhere else.
func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) {
	if file := os.Getenv(nobodyEnv); file != "" {
		os.Exit(nobody(file))
	}
	os.Exit(m.Run())
}

// nobody opens the file for each line on standard input, with real uid
// sampleUID, and prints the error number.
func nobody(file string) int {
	if err := syscall.Setresuid(sampleUID, 0, 0); err != nil {
		fmt.Println(err)
		return 1
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		fd, err := syscall.Open(file, syscall.O_RDONLY, 0)
		if err == nil {
			syscall.Close(fd)
		}
		errno, _ := err.(syscall.Errno)
		fmt.Println(int(errno))
	}
	return 0
}

// confined is a running nobody.
type confined struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func startNobody(t *testing.T) *confined {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, []byte("x"), 0o644))
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), nobodyEnv+"="+file)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	return &confined{t: t, cmd: cmd, in: in, out: bufio.NewScanner(out)}
}

// open returns the error number of one open.
func (c *confined) open() syscall.Errno {
	_, err := io.WriteString(c.in, "\n")
	require.NoError(c.t, err)
	require.True(c.t, c.out.Scan(), "the child ended: %v", c.out.Err())
	n, err := strconv.Atoi(c.out.Text())
	require.NoError(c.t, err, "the child says %q", c.out.Text())
	return syscall.Errno(n)
}

func parse(t *testing.T, f *File) *ebpf.CollectionSpec {
	raw, err := Write(f)
	require.NoError(t, err)
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(raw))
	require.NoError(t, err)
	return spec
}

func loadInto(t *testing.T, spec *ebpf.CollectionSpec) *ebpf.Collection {
	coll, err := ebpf.NewCollection(spec)
	var ve *ebpf.VerifierError
	if errors.As(err, &ve) {
		t.Fatalf("%+v", ve)
	}
	require.NoError(t, err)
	t.Cleanup(coll.Close)
	return coll
}

func attach(t *testing.T, p *ebpf.Program) link.Link {
	l, err := link.AttachLSM(link.LSMOptions{Program: p})
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

// TestLoadedByLibrary: the sample verifies, and after its attachment does what
// it says: fields of the running kernel, subprogram, callback, table, task
// storage, ring buffer and verdict.
func TestLoadedByLibrary(t *testing.T) {
	coll := loadInto(t, parse(t, sample()))
	p := coll.Programs["sample_file_open"]

	info, err := p.Info()
	require.NoError(t, err)
	lines, err := info.LineInfos()
	require.NoError(t, err)
	require.NotEmpty(t, lines)
	require.Equal(t, "sample.snp", lines[0].Line.FileName())
	require.Equal(t, ruleText, lines[1].Line.Line())
	require.EqualValues(t, 3, lines[1].Line.LineNumber())
	require.EqualValues(t, 31, lines[1].Line.LineColumn())

	rd, err := ringbuf.NewReader(coll.Maps["events"])
	require.NoError(t, err)
	defer rd.Close()

	child := startNobody(t)
	require.Zero(t, child.open(), "before the program is attached")
	l := attach(t, p)
	for range 3 {
		require.Equal(t, syscall.EPERM, child.open())
		rd.SetDeadline(time.Now().Add(10 * time.Second))
		rec, err := rd.Read()
		require.NoError(t, err)
		require.EqualValues(t, sampleSum, binary.LittleEndian.Uint64(rec.RawSample))
	}
	_, err = os.ReadFile("/proc/self/status")
	require.NoError(t, err, "another user")

	fd, err := unix.PidfdOpen(child.cmd.Process.Pid, 0)
	require.NoError(t, err)
	defer unix.Close(fd)
	var hits uint64
	require.NoError(t, coll.Maps["hits"].Lookup(uint32(fd), &hits))
	require.EqualValues(t, 3, hits)

	require.NoError(t, l.Close())
	require.Zero(t, child.open(), "after the program is detached")
}

func pinName(t *testing.T) string { return strings.ToLower(strings.ReplaceAll(t.Name(), "/", "_")) }

// bpftoolLoad loads the only program of a file through libbpf and returns where
// it is pinned.
func bpftoolLoad(t *testing.T, f *File) (pin string) {
	out, err := bpftool(t, f)
	require.NoError(t, err, "%s", out)
	return pinOf(t)
}

func pinOf(t *testing.T) string { return "/sys/fs/bpf/object_" + pinName(t) }

// bpftool loads the only program of a file, or tries to, and gives what it says.
func bpftool(t *testing.T, f *File) (string, error) {
	raw, err := Write(f)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "sample.bpf.o")
	require.NoError(t, os.WriteFile(path, raw, 0o644))
	t.Cleanup(func() { os.Remove(pinOf(t)) })
	out, err := exec.Command(bpftoolPath, "prog", "load", path, pinOf(t)).CombinedOutput()
	return string(out), err
}

// TestLoadedByLibbpf: bpftool, and so libbpf, loads the same file, and the
// program that it made denies the same.
func TestLoadedByLibbpf(t *testing.T) {
	pin := bpftoolLoad(t, sample())
	out, err := exec.Command(bpftoolPath, "prog", "dump", "xlated", "pinned", pin, "linum").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "; "+ruleText+" [file:sample.snp line_num:3 line_col:31]")
	require.Contains(t, string(out), "add_weight")

	p, err := ebpf.LoadPinnedProgram(pin, nil)
	require.NoError(t, err)
	defer p.Close()
	child := startNobody(t)
	require.Zero(t, child.open(), "before the program is attached")
	attach(t, p)
	require.Equal(t, syscall.EPERM, child.open())
}

// TestAtomicsRun runs each atomic operation in both sizes and compares memory
// and register with what the instruction set document says.
func TestAtomicsRun(t *testing.T) {
	const initial, operand = 0x00ff00ff0f0f0f0f, 0x0123456700ff00ff
	type result struct{ mem, reg uint64 }
	ops := []struct {
		name string
		imm  int64
		calc func(old, src uint64) uint64
	}{
		{"add", AtomicAdd, func(a, b uint64) uint64 { return a + b }},
		{"or", AtomicOr, func(a, b uint64) uint64 { return a | b }},
		{"and", AtomicAnd, func(a, b uint64) uint64 { return a & b }},
		{"xor", AtomicXor, func(a, b uint64) uint64 { return a ^ b }},
		{"fetch add", AtomicFetchAdd, func(a, b uint64) uint64 { return a + b }},
		{"fetch or", AtomicFetchOr, func(a, b uint64) uint64 { return a | b }},
		{"fetch and", AtomicFetchAnd, func(a, b uint64) uint64 { return a & b }},
		{"fetch xor", AtomicFetchXor, func(a, b uint64) uint64 { return a ^ b }},
		{"xchg", AtomicXchg, func(_, b uint64) uint64 { return b }},
		{"cmpxchg", AtomicCmpXchg, func(_, b uint64) uint64 { return b }},
	}
	var names []string
	var want []result
	var body []Insn
	buffer := -8 - int32(len(ops))*2*16
	at16 := buffer
	for _, size := range []uint8{SizeW, SizeDW} {
		for _, op := range ops {
			body = append(body,
				Insn{Op: OpLddw, Dst: 0, Imm: initial},
				store(SizeDW, 10, 0, -8),
				Insn{Op: OpLddw, Dst: 1, Imm: operand},
			)
			if size == SizeW { // compare-and-exchange of 4 bytes compares 4 bytes
				body = append(body, Insn{Op: ClassALU | OpMov | SourceX, Dst: 0, Src: 0})
			}
			reg := uint8(1)
			if op.imm == AtomicCmpXchg {
				reg = 0
			}
			body = append(body,
				Insn{Op: ClassSTX | ModeATOMIC | size, Dst: 10, Src: 1, Off: -8, Imm: op.imm},
				load(SizeDW, 2, 10, -8),
				store(SizeDW, 10, 2, at16),
				store(SizeDW, 10, reg, at16+8),
			)
			at16 += 16
			const low = 1<<32 - 1
			w := result{mem: op.calc(initial, operand), reg: operand}
			if op.imm&AtomicFetch != 0 {
				w.reg = initial
			}
			if size == SizeW {
				w.mem = initial&^low | w.mem&low
				if op.imm&AtomicFetch != 0 {
					w.reg &= low
				}
			}
			names, want = append(names, fmt.Sprintf("%s, size %d", op.name, accessBytes(size))), append(want, w)
		}
	}
	f := sample()
	f.Programs[0].Code = join(at(1, 1, "policy sample", body...), []Insn{
		address(1, Ref{Kind: RefMap, Name: "events"}),
		aluReg(OpMov, 2, 10),
		alu(OpAdd, 2, int64(buffer)),
		alu(OpMov, 3, int64(len(want)*16)),
		alu(OpMov, 4, 0),
		helper(helperRingOut),
		alu(OpMov, 0, 0),
		exit(),
	})
	coll := loadInto(t, parse(t, f))
	got := words(t, coll.Programs["sample_file_open"], coll.Maps["events"])
	require.Len(t, got, len(want)*2)
	for i, w := range want {
		require.Equal(t, w, result{mem: got[2*i], reg: got[2*i+1]}, names[i])
	}
}

// each runs a test once per loader. run returns the only program of the file and
// the ring buffer "events" that the loader made for it.
func each(t *testing.T, test func(t *testing.T, run func(*File) (*ebpf.Program, *ebpf.Map))) {
	t.Run("library", func(t *testing.T) {
		test(t, func(f *File) (*ebpf.Program, *ebpf.Map) {
			coll := loadInto(t, parse(t, f))
			return coll.Programs[f.Programs[0].Name], coll.Maps["events"]
		})
	})
	t.Run("libbpf", func(t *testing.T) {
		test(t, func(f *File) (*ebpf.Program, *ebpf.Map) {
			p, err := ebpf.LoadPinnedProgram(bpftoolLoad(t, f), nil)
			require.NoError(t, err)
			t.Cleanup(func() { p.Close() })
			info, err := p.Info()
			require.NoError(t, err)
			ids, _ := info.MapIDs()
			for _, id := range ids {
				m, err := ebpf.NewMapFromID(id)
				require.NoError(t, err)
				t.Cleanup(func() { m.Close() })
				if m.Type() == ebpf.RingBuf {
					return p, m
				}
			}
			t.Fatal("the program has no ring buffer")
			return nil, nil
		})
	})
}

// report makes a program of the sample that stores n words at the bottom of its
// stack, fills them by the code and sends them. words are what arrives when a
// file is opened.
func report(f *File, n int, code func(word int32) []Insn) *File {
	var body []Insn
	for i := range n {
		body = append(body, code(int32(i))...)
	}
	body[0].Line = Line{Line: 1, Col: 1, Text: "policy sample"}
	f.Programs[0].Code = join(body, []Insn{
		address(1, Ref{Kind: RefMap, Name: "events"}),
		aluReg(OpMov, 2, 10),
		alu(OpAdd, 2, int64(-8*n)),
		alu(OpMov, 3, int64(8*n)),
		alu(OpMov, 4, 0),
		helper(helperRingOut),
		alu(OpMov, 0, 0),
		exit(),
	})
	return f
}

func words(t *testing.T, p *ebpf.Program, events *ebpf.Map) (got []uint64) {
	rd, err := ringbuf.NewReader(events)
	require.NoError(t, err)
	defer rd.Close()
	l := attach(t, p)
	_, err = os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	rd.SetDeadline(time.Now().Add(10 * time.Second))
	rec, err := rd.Read()
	require.NoError(t, err)
	for b := rec.RawSample; len(b) >= 8; b = b[8:] {
		got = append(got, binary.LittleEndian.Uint64(b))
	}
	return got
}

// TestEveryCoreKindResolves compares what the loaders put into the code with the
// kernel's own BTF.
func TestEveryCoreKindResolves(t *testing.T) {
	kernel, err := btf.LoadKernelSpec()
	require.NoError(t, err)
	var task *btf.Struct
	require.NoError(t, kernel.TypeByName("task_struct", &task))
	id, err := kernel.TypeID(task)
	require.NoError(t, err)
	var cred btf.Member
	for _, m := range task.Members {
		if m.Name == "cred" {
			cred = m
		}
	}
	require.NotZero(t, cred.Offset)

	fields := []struct {
		core CoreField
		want uint64
	}{
		{CoreField{Kind: FieldOffset, Struct: "task_struct", Path: []string{"cred"}}, uint64(cred.Offset.Bytes())},
		{CoreField{Kind: FieldOffset, Struct: "task_struct", Path: []string{"comm", "3"}}, 3},
		{CoreField{Kind: FieldSize, Struct: "task_struct", Path: []string{"comm"}}, 16},
		{CoreField{Kind: FieldSize, Struct: "task_struct", Path: []string{"cred"}}, 8},
		{CoreField{Kind: FieldExists, Struct: "task_struct", Path: []string{"cred"}}, 1},
		{CoreField{Kind: FieldExists, Struct: "task_struct", Path: []string{"no_such_member"}}, 0},
		{CoreField{Kind: TypeExists, Struct: "task_struct"}, 1},
		{CoreField{Kind: TypeExists, Struct: "task_struct___old"}, 1},
		{CoreField{Kind: TypeExists, Struct: "no_such_struct"}, 0},
		{CoreField{Kind: TypeSize, Struct: "task_struct"}, uint64(task.Size)},
		{CoreField{Kind: TypeID, Struct: "task_struct"}, uint64(id)},
	}
	for _, m := range task.Members {
		if m.Name == "comm" {
			fields[1].want += uint64(m.Offset.Bytes())
		}
	}
	each(t, func(t *testing.T, run func(*File) (*ebpf.Program, *ebpf.Map)) {
		f := sample()
		f.Structs = []Struct{
			{Name: "task_struct", Members: []Member{
				{Name: "comm", Type: ArrayOf(Uint(1), 16)}, {Name: "cred", Type: PointerTo("cred")}, {Name: "no_such_member", Type: Uint(8)},
			}},
			{Name: "task_struct___old", Members: []Member{{Name: "cred", Type: PointerTo("cred")}}},
			{Name: "no_such_struct"},
		}
		// Each twice: in a move and in a 64-bit immediate load.
		n := 2 * len(fields)
		p, events := run(report(f, n, func(i int32) []Insn {
			in := []Insn{alu(OpMov, 1, 0), {Op: OpLddw, Dst: 1}}[i%2]
			in.Core = &fields[i/2].core
			return []Insn{in, store(SizeDW, 10, 1, int32(-8*n)+8*i)}
		}))
		got := words(t, p, events)
		require.Len(t, got, n)
		for i := range got {
			require.Equal(t, fields[i/2].want, got[i], "kind %d, %s", fields[i/2].core.Kind, &fields[i/2].core)
		}
	})
}

// TestStructReadAsWhole: kernel_cap_t is a struct with one member on 6.12 and
// with another on 6.1. A description of the same size serves both.
func TestStructReadAsWhole(t *testing.T) {
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	_, caps, ok := strings.Cut(string(status), "\nCapEff:\t")
	require.True(t, ok)
	want, err := strconv.ParseUint(caps[:16], 16, 64)
	require.NoError(t, err)
	require.NotZero(t, want)
	each(t, func(t *testing.T, run func(*File) (*ebpf.Program, *ebpf.Map)) {
		f := sample()
		f.Structs[1].Members = append(f.Structs[1].Members, Member{Name: "cap_effective", Type: Embedded("kernel_cap_t")})
		f.Structs = append(f.Structs, Struct{Name: "kernel_cap_t", Members: []Member{{Name: "val", Type: Uint(8)}}})
		p, events := run(report(f, 1, func(int32) []Insn {
			return []Insn{
				helper(helperTaskBTF),
				loadField(SizeDW, 1, 0, "task_struct", "cred"),
				loadField(SizeDW, 1, 1, "cred", "cap_effective"),
				store(SizeDW, 10, 1, -8),
			}
		}))
		require.Equal(t, []uint64{want}, words(t, p, events))
	})
}

// TestLargeTableAndGlobalFunction: the last byte of a table of 8 MiB, read by a
// function that the verifier checks on its own.
func TestLargeTableAndGlobalFunction(t *testing.T) {
	each(t, func(t *testing.T, run func(*File) (*ebpf.Program, *ebpf.Map)) {
		f := sample()
		data := make([]byte, 8<<20)
		data[len(data)-1] = 77
		f.Tables = append(f.Tables, Table{Name: "large", Data: data})
		f.Subprograms = append(f.Subprograms, Func{
			Name: "last", Linkage: btf.GlobalFunc, Return: intType(4, true),
			Params: []btf.FuncParam{{Name: "plus", Type: intType(4, false)}},
			Code: at(1, 1, "policy sample",
				address(2, Ref{Kind: RefTable, Name: "large", Offset: 8<<20 - 1}),
				load(SizeB, 0, 2, 0),
				aluReg(OpAdd, 0, 1),
				exit(),
			),
		})
		p, events := run(report(f, 1, func(int32) []Insn {
			return []Insn{alu(OpMov, 1, 5), callFunc("last"), store(SizeDW, 10, 0, -8)}
		}))
		require.Equal(t, []uint64{82}, words(t, p, events))
	})
}

// TestWeakKfuncMayBeMissing: the program loads where the call is not reached.
func TestWeakKfuncMayBeMissing(t *testing.T) {
	each(t, func(t *testing.T, run func(*File) (*ebpf.Program, *ebpf.Map)) {
		f := sample()
		f.Kfuncs = []Kfunc{{Name: "snappy_no_such_kfunc", Return: intType(4, true), Weak: true}}
		p, events := run(report(f, 1, func(int32) []Insn {
			return []Insn{
				storeImm(SizeDW, 10, -8, 9),
				alu(OpMov, 0, 0),
				jump(OpJeq, 0, 0, 1),
				{Op: ClassJMP | OpCall, Ref: Ref{Kind: RefKfunc, Name: "snappy_no_such_kfunc"}},
			}
		}))
		require.Equal(t, []uint64{9}, words(t, p, events))
	})
}

// TestKfuncLoads: a declared kernel function is found and called; where the
// kernel lacks it, both loaders refuse the program.
func TestKfuncLoads(t *testing.T) {
	f := sample()
	f.Kfuncs = []Kfunc{
		{Name: "bpf_rcu_read_lock", Return: &btf.Void{}},
		{Name: "bpf_rcu_read_unlock", Return: &btf.Void{}},
	}
	f.Programs[0].Sleepable = true
	f.Programs[0].Code = at(1, 1, "policy sample",
		Insn{Op: ClassJMP | OpCall, Ref: Ref{Kind: RefKfunc, Name: "bpf_rcu_read_lock"}},
		Insn{Op: ClassJMP | OpCall, Ref: Ref{Kind: RefKfunc, Name: "bpf_rcu_read_unlock"}},
		alu(OpMov, 0, 0),
		exit(),
	)
	kernel, err := btf.LoadKernelSpec()
	require.NoError(t, err)
	var lock *btf.Func
	if err := kernel.TypeByName("bpf_rcu_read_lock", &lock); errors.Is(err, btf.ErrNotFound) {
		require.True(t, strings.HasPrefix(os.Getenv("SNAPPY_KERNEL"), "6.1"), "Linux 6.2 and later have it")
		_, err := ebpf.NewCollection(parse(t, f))
		require.ErrorContains(t, err, "bpf_rcu_read_lock")
		out, err := bpftool(t, f)
		require.Error(t, err)
		require.Contains(t, out, "bpf_rcu_read_lock")
		return
	}
	loadInto(t, parse(t, f))
	bpftoolLoad(t, f)
}
