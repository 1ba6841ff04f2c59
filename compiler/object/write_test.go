//go:build !kernel

package object

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/stretchr/testify/require"
)

func TestWriteIsReadByTheLoader(t *testing.T) {
	raw, err := Write(sample())
	require.NoError(t, err)
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(raw))
	require.NoError(t, err)

	require.Len(t, spec.Programs, 1)
	p := spec.Programs["sample_file_open"]
	require.NotNil(t, p)
	require.Equal(t, ebpf.LSM, p.Type)
	require.Equal(t, ebpf.AttachLSMMac, p.AttachType)
	require.Equal(t, "file_open", p.AttachTo)
	require.Equal(t, "GPL", p.License)
	require.Zero(t, p.Flags)

	require.Len(t, spec.Maps, 3)
	events := spec.Maps["events"]
	require.Equal(t, ebpf.RingBuf, events.Type)
	require.EqualValues(t, 4096, events.MaxEntries)
	require.Zero(t, events.KeySize+events.ValueSize)
	hits := spec.Maps["hits"]
	require.Equal(t, ebpf.TaskStorage, hits.Type)
	require.EqualValues(t, []uint32{4, 8, 0, 1}, []uint32{hits.KeySize, hits.ValueSize, hits.MaxEntries, hits.Flags})
	require.Equal(t, "hit_record", hits.Value.TypeName())
	require.IsType(t, &btf.Int{}, hits.Key)
	weights := spec.Maps[".rodata.weights"]
	require.Equal(t, ebpf.Array, weights.Type)
	require.Equal(t, sample().Tables[0].Data, weights.Contents[0].Value)
	require.EqualValues(t, 0x80, weights.Flags, "BPF_F_RDONLY_PROG")
	require.IsType(t, &btf.Datasec{}, weights.Value)

	listing := strings.Join(strings.Fields(p.Instructions.String()), " ")
	for _, want := range []string{
		"; policy sample 0: Call FnGetCurrentTaskBtf",
		"; " + ruleText + " 2: LdXMemDW dst: r1 src: r7 off: 8",
		"Call -1 <is_nobody>",
		"LoadMapPtr dst: r1 fd: 0 <hits>",
		"LoadMapPtr dst: r1 fd: 0 <events>",
		"StXAtomicFetchAddDW dst: r0 src: r1 off: 0",
		"LdImmDW dst: r2 imm: -1 <add_weight>",
		"LoadMapValue dst: r3, fd: 0 off: 4 <.rodata.weights>",
		"add_weight: ; " + ruleText,
		"is_nobody: ; " + ruleText,
	} {
		require.Contains(t, listing, want)
	}

	var relos, funcs []string
	lines := map[asm.RawInstructionOffset][2]uint32{}
	iter := p.Instructions.Iterate()
	for iter.Next() {
		if r := btf.CORERelocationMetadata(iter.Ins); r != nil {
			relos = append(relos, r.String())
		}
		if f := btf.FuncMetadata(iter.Ins); f != nil {
			funcs = append(funcs, f.Name+" "+f.Linkage.String())
		}
		if l, ok := iter.Ins.Source().(*btf.Line); ok {
			require.Equal(t, "sample.snp", l.FileName())
			lines[iter.Offset] = [2]uint32{l.LineNumber(), l.LineColumn()}
		}
	}
	require.Len(t, relos, 2)
	require.Contains(t, relos[0], `CORERelocation(byte_off, Struct:"task_struct"[0:1]`)
	require.Contains(t, relos[1], `CORERelocation(byte_off, Struct:"cred"[0:0:0]`)
	require.Equal(t, []string{"sample_file_open global", "add_weight static", "is_nobody static"}, funcs)
	require.Equal(t, map[asm.RawInstructionOffset][2]uint32{
		0: {1, 1}, 2: {3, 31}, 6: {3, 1}, 32: {1, 1}, 34: {3, 1}, 44: {3, 31},
	}, lines)
}

// TestWriteResolvesFields relocates the sample against another layout of the
// same kernel types, as a load on another kernel does.
func TestWriteResolvesFields(t *testing.T) {
	raw, err := Write(sample())
	require.NoError(t, err)
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(raw))
	require.NoError(t, err)

	u32 := &btf.Int{Name: "unsigned int", Size: 4}
	kuid := &btf.Struct{Name: "kuid", Size: 4, Members: []btf.Member{{Name: "val", Type: u32}}}
	cred := &btf.Struct{Name: "cred", Size: 16, Members: []btf.Member{
		{Name: "usage", Type: u32}, {Name: "uid", Type: &btf.Typedef{Name: "kuid_t", Type: kuid}, Offset: 12 * 8},
	}}
	task := &btf.Struct{Name: "task_struct", Size: 2048, Members: []btf.Member{
		{Name: "cred", Type: &btf.Pointer{Target: &btf.Const{Type: cred}}, Offset: 1992 * 8},
	}}
	b, err := btf.NewBuilder([]btf.Type{task, cred}, nil)
	require.NoError(t, err)
	kernel, err := b.Spec()
	require.NoError(t, err)

	ins := spec.Programs["sample_file_open"].Instructions
	var relos []*btf.CORERelocation
	var at []int
	for i := range ins {
		if r := btf.CORERelocationMetadata(&ins[i]); r != nil {
			relos, at = append(relos, r), append(at, i)
		}
	}
	fixups, err := btf.CORERelocate(relos, []*btf.Spec{kernel}, binary.LittleEndian, b.Add)
	require.NoError(t, err)
	for i, f := range fixups {
		require.NoError(t, f.Apply(&ins[at[i]]))
	}
	require.EqualValues(t, 1992, ins[at[0]].Offset)
	require.EqualValues(t, 12, ins[at[1]].Offset)
}

func TestWriteIsDeterministic(t *testing.T) {
	first, err := Write(sample())
	require.NoError(t, err)
	f := sample()
	for range 20 {
		again, err := Write(f)
		require.NoError(t, err)
		require.Equal(t, first, again)
	}
	require.Equal(t, sample(), f, "Write must not modify its input")
}

// TestWriteLeavesTypesAlone: the types of the caller, which may be shared, keep
// pointing to what they pointed to although equal ones are merged in the file.
func TestWriteLeavesTypesAlone(t *testing.T) {
	one, two, three := intType(8, false), intType(8, false), intType(8, false)
	first, second := &btf.Pointer{Target: one}, &btf.Pointer{Target: two}
	value := &btf.Struct{Name: "hit_record", Size: 8, Members: []btf.Member{{Name: "count", Type: three}}}
	f := sample()
	f.Programs[0].Params = []btf.FuncParam{{Name: "ctx", Type: first}}
	f.Subprograms[0].Params = []btf.FuncParam{{Name: "ctx", Type: second}}
	f.Maps[1].Value = value
	_, err := Write(f)
	require.NoError(t, err)
	require.Same(t, one, first.Target)
	require.Same(t, two, second.Target)
	require.Same(t, second, f.Subprograms[0].Params[0].Type)
	require.Same(t, three, value.Members[0].Type)
}

func TestWriteSections(t *testing.T) {
	f := sample()
	second := f.Programs[0]
	second.Name = "second_file_open"
	sleepable := Program{Hook: "file_open", Sleepable: true, Func: Func{
		Name: "sleepy", Return: intType(4, true), Code: at(1, 1, "policy sample", alu(OpMov, 0, 0), exit()),
	}}
	other := sleepable
	other.Hook, other.Sleepable, other.Name = "bprm_check_security", false, "exec"
	f.Programs = append(f.Programs, sleepable, second, other)
	raw, err := Write(f)
	require.NoError(t, err)
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(raw))
	require.NoError(t, err)
	require.Len(t, spec.Programs, 4)
	require.Equal(t, "lsm/file_open", spec.Programs["second_file_open"].SectionName)
	require.Contains(t, spec.Programs["second_file_open"].Instructions.String(), "<add_weight>")
	require.Equal(t, "lsm.s/file_open", spec.Programs["sleepy"].SectionName)
	require.EqualValues(t, 0x10, spec.Programs["sleepy"].Flags, "BPF_F_SLEEPABLE")
	require.Equal(t, "bprm_check_security", spec.Programs["exec"].AttachTo)
}

// TestWriteKfunc: a call of a kernel function is a call of an extern.
func TestWriteKfunc(t *testing.T) {
	f := sample()
	f.Kfuncs = []Kfunc{
		{Name: "bpf_rcu_read_lock", Return: &btf.Void{}},
		{Name: "snappy_extra", Return: intType(4, true), Params: []btf.FuncParam{{Name: "n", Type: intType(4, true)}}, Weak: true},
	}
	f.Subprograms[0].Code = at(1, 1, "policy sample",
		Insn{Op: ClassJMP | OpCall, Ref: Ref{Kind: RefKfunc, Name: "bpf_rcu_read_lock"}},
		Insn{Op: ClassJMP | OpCall, Ref: Ref{Kind: RefKfunc, Name: "snappy_extra"}},
		exit(),
	)
	raw, err := Write(f)
	require.NoError(t, err)
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(raw))
	require.NoError(t, err)
	kfuncs := []string{}
	for _, in := range spec.Programs["sample_file_open"].Instructions {
		if in.IsKfuncCall() {
			kfuncs = append(kfuncs, in.Reference())
		}
	}
	require.Equal(t, []string{"bpf_rcu_read_lock", "snappy_extra"}, kfuncs)
	judge(t, raw)
}

// TestWriteIsReadByTools: independent readers accept the file without a word.
func TestWriteIsReadByTools(t *testing.T) {
	raw, err := Write(sample())
	require.NoError(t, err)
	out := judge(t, raw)
	if dump, ok := out["readelf"]; ok {
		require.Regexp(t, `\.rel\.text +REL +0+ [0-9a-f]+ [0-9a-f]+ 10 +I `, dump)
	}
	if dump, ok := out["llvm-objdump"]; ok {
		require.Contains(t, dump, "elf64-bpf")
		require.Contains(t, dump, "R_BPF_64_32\t.text")
		require.Contains(t, dump, "atomic_fetch_add((u64 *)(r0 + 0), r1)")
	}
	if dump, ok := out["bpftool btf"]; ok {
		require.Contains(t, dump, "FUNC 'add_weight' type_id=")
		require.Contains(t, dump, "DATASEC '.rodata.weights' size=12")
	}
	if dump, ok := out["bpftool gen"]; ok {
		require.Contains(t, dump, "sample_file_open")
	}
}

// judge runs the tools that are installed over an object and returns what they
// print. Each must succeed and complain about nothing.
func judge(t *testing.T, raw []byte) map[string]string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sample.bpf.o")
	require.NoError(t, os.WriteFile(path, raw, 0o644))
	results := map[string]string{}
	for _, c := range []struct {
		name string
		args []string
	}{
		{"readelf", []string{"readelf", "-a", "-W", path}},
		{"llvm-readelf", []string{"llvm-readelf", "-a", path}},
		{"llvm-objdump", []string{"llvm-objdump", "-S", "-d", "-r", path}},
		{"bpftool btf", []string{"bpftool", "btf", "dump", "file", path}},
		// Opens the object with libbpf: sections, symbols, relocations, maps.
		{"bpftool gen", []string{"bpftool", "gen", "skeleton", path, "name", "sample"}},
		// Links the object with libbpf's linker, the strictest reader there is.
		{"bpftool link", []string{"bpftool", "gen", "object", path + ".linked", path}},
	} {
		if _, err := exec.LookPath(c.args[0]); err != nil {
			t.Logf("SKIPPED: %s is not installed", c.args[0])
			continue
		}
		var stdout, stderr bytes.Buffer
		cmd := exec.Command(c.args[0], c.args[1:]...)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		require.NoError(t, cmd.Run(), "%s: %s", c.name, stderr.String())
		// libbpf mentions sections that are not for it; that is the only remark.
		complaints := strings.ReplaceAll(stderr.String(), "libbpf: elf: skipping unrecognized data section(", "")
		require.LessOrEqual(t, len(strings.Fields(complaints)), 2, "%s: %s", c.name, stderr.String())
		require.NotContains(t, strings.ToLower(stdout.String()), "warning", c.name)
		results[c.name] = stdout.String()
	}
	return results
}

func TestWriteLines(t *testing.T) {
	f := sample()
	code := at(1, 1, "one", alu(OpMov, 0, 0))
	code = join(code, at(1, 1, "one", alu(OpMov, 0, 1)))              // as before: no record
	code = join(code, at(2, MaxColumn, "two", alu(OpMov, 0, 2)))      // largest column
	code = join(code, at(2, MaxColumn+1, "two", alu(OpMov, 0, 3)))    // unknown column
	code = join(code, []Insn{alu(OpMov, 0, 4)})                       // none: no record
	code = join(code, at(MaxLine, 1, "\tthree ", alu(OpMov, 0, 5)))   // largest line
	code = join(code, at(MaxLine, 1, "\tthree ", alu(OpMov, 0, 6)))   // as before
	code = join(code, at(1, 1, "", alu(OpMov, 0, 7)), []Insn{exit()}) // no text
	f.Programs[0].Code = code
	raw, err := Write(f)
	require.NoError(t, err)
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(raw))
	require.NoError(t, err)
	var got []any
	iter := spec.Programs["sample_file_open"].Instructions.Iterate()
	for iter.Next() {
		if l, ok := iter.Ins.Source().(*btf.Line); ok {
			got = append(got, int(iter.Offset), int(l.LineNumber()), int(l.LineColumn()), l.Line())
		}
	}
	require.Equal(t, []any{
		0, 1, 1, "one",
		2, 2, MaxColumn, "two",
		3, 2, 0, "two",
		5, MaxLine, 1, "\tthree ",
		7, 1, 1, "",
	}, got)
}

func TestWriteRefuses(t *testing.T) {
	first := func(f *File, in Insn) {
		in.Line = f.Programs[0].Code[0].Line
		f.Programs[0].Code = append([]Insn{in}, f.Programs[0].Code...)
	}
	ref := func(op uint8, kind RefKind, name string) Insn {
		return Insn{Op: op, Ref: Ref{Kind: kind, Name: name}}
	}
	core := func(op uint8, kind CoreKind, strct string, path ...string) Insn {
		return Insn{Op: op, Core: &CoreField{Kind: kind, Struct: strct, Path: path}}
	}
	const mov, call, ldx = ClassALU64 | OpMov, ClassJMP | OpCall, ClassLDX | ModeMEM | SizeDW
	for _, c := range []struct {
		name, want string
		change     func(*File)
	}{
		{"no license", "no license", func(f *File) { f.License = "" }},
		{"license with zero byte", "printable", func(f *File) { f.License = "GPL\x00" }},
		{"name of a program", "no C identifier", func(f *File) { f.Programs[0].Name = "a-b" }},
		{"empty name", "no C identifier", func(f *File) { f.Subprograms[0].Name = "" }},
		{"hook", "no C identifier", func(f *File) { f.Programs[0].Hook = "file_open/x" }},
		{"name of a table", "no C identifier", func(f *File) { f.Tables[0].Name = "a.b" }},
		{"name twice", "already that of a map", func(f *File) { f.Tables[0].Name = "hits" }},
		{"program named as a subprogram", "already that of a program", func(f *File) { f.Subprograms[0].Name = "sample_file_open" }},
		{"linkage", "linkage", func(f *File) { f.Subprograms[0].Linkage = btf.ExternFunc }},
		{"six parameters", "more than 5", func(f *File) { f.Subprograms[0].Params = make([]btf.FuncParam, 6) }},
		{"parameter without type", "has no type", func(f *File) { f.Subprograms[0].Params[0].Type = nil }},
		{"parameter name", "no C identifier", func(f *File) { f.Subprograms[0].Params[0].Name = "" }},
		{"no return type", "no return type", func(f *File) { f.Programs[0].Return = nil }},
		{"map without type", "has no type", func(f *File) { f.Maps[0].Type = 0 }},
		{"key twice", "both key type and key size", func(f *File) { f.Maps[1].KeySize = 4 }},
		{"value without size", "value type", func(f *File) { f.Maps[1].Value = &btf.Void{} }},
		{"empty table", "has 0 bytes", func(f *File) { f.Tables[0].Data = nil }},
		{"no code", "no instructions", func(f *File) { f.Programs[0].Code = nil }},
		{"run past the end", "past the last instruction", func(f *File) { f.Programs[0].Code = f.Programs[0].Code[:2] }},
		{"jump out", "lands on no instruction", func(f *File) { first(f, jump(OpJeq, 0, 0, 1000)) }},
		{"jump to the end", "lands on no instruction", func(f *File) {
			f.Subprograms[0].Code = at(1, 1, "", jump(OpJeq, 1, 0, 1), exit())
		}},
		{"jump before the start", "lands on no instruction", func(f *File) { first(f, Insn{Op: ClassJMP | OpJa, Off: -2}) }},
		{"jump into an immediate load", "lands on no instruction", func(f *File) {
			f.Subprograms[0].Code = at(1, 1, "", jump(OpJeq, 1, 0, 1), Insn{Op: OpLddw}, exit())
		}},
		{"long jump out", "lands on no instruction", func(f *File) { first(f, Insn{Op: ClassJMP32 | OpJa, Imm: 70000}) }},
		{"encoding", `function "sample_file_open", instruction 0: opcode 0xb7: immediate`, func(f *File) { first(f, alu(OpMov, 0, 1<<32)) }},
		{"too many instructions", "more than the 1000000", func(f *File) {
			f.Subprograms[0].Code = join(at(1, 1, "", alu(OpMov, 0, 0)), make([]Insn, MaxInstructions))
		}},
		{"too many with subprograms", "with its subprograms", func(f *File) {
			long := make([]Insn, MaxInstructions/2-1)
			for i := range long {
				long[i] = Insn{Op: OpLddw} // two slots
			}
			f.Subprograms[0].Code = join(at(1, 1, "", long...), []Insn{exit()})
		}},
		{"first line missing", "has no source line", func(f *File) { f.Subprograms[1].Code[0].Line = Line{} }},
		{"line of unknown file", "source file number 3 of 1", func(f *File) { f.Programs[0].Code[0].Line.File = 3 }},
		{"line number", "beyond", func(f *File) { f.Programs[0].Code[0].Line.Line = MaxLine + 1 }},
		{"line text", "zero byte", func(f *File) { f.Programs[0].Code[0].Line.Text = "a\x00b" }},
		{"source text beyond BTF", "BTF string table", func(f *File) { f.Programs[0].Code[0].Line.Text = strings.Repeat("x", maxBTFStrings) }},
		{"unknown map", "unknown reference to map", func(f *File) { first(f, ref(OpLddw, RefMap, "nothing")) }},
		{"wrong kind", "unknown reference to table", func(f *File) { first(f, ref(OpLddw, RefTable, "hits")) }},
		{"invalid kind", "unknown reference to invalid kind 9", func(f *File) { first(f, ref(OpLddw, 9, "hits")) }},
		{"call of a map", "cannot refer to map", func(f *File) { first(f, ref(call, RefMap, "hits")) }},
		{"call of a program", "unknown reference", func(f *File) { first(f, ref(call, RefFunc, "sample_file_open")) }},
		{"map in a move", "cannot refer to map", func(f *File) { first(f, ref(mov, RefMap, "hits")) }},
		{"global callback", "static callbacks only", func(f *File) { f.Subprograms[1].Linkage = btf.GlobalFunc }},
		{"offset into a map", "with an offset", func(f *File) {
			first(f, Insn{Op: OpLddw, Ref: Ref{Kind: RefMap, Name: "hits", Offset: 8}})
		}},
		{"offset behind a table", "is outside", func(f *File) {
			first(f, Insn{Op: OpLddw, Ref: Ref{Kind: RefTable, Name: "weights", Offset: 12}})
		}},
		{"reference and immediate", "beside source register", func(f *File) {
			first(f, Insn{Op: OpLddw, Imm: 1, Ref: Ref{Kind: RefMap, Name: "hits"}})
		}},
		{"pseudo source by hand", "without a reference", func(f *File) { first(f, Insn{Op: OpLddw, Src: 1}) }},
		{"pseudo call by hand", "without a reference", func(f *File) { first(f, Insn{Op: call, Src: 1, Imm: -1}) }},
		{"kind of field", "invalid kind", func(f *File) { first(f, core(ldx, 0, "cred", "uid")) }},
		{"unknown struct", "not described", func(f *File) { first(f, core(ldx, FieldOffset, "inode", "i_ino")) }},
		{"unknown member", "no member", func(f *File) { first(f, core(ldx, FieldOffset, "cred", "gid")) }},
		{"path through a pointer", "ends at a pointer", func(f *File) { first(f, core(ldx, FieldOffset, "task_struct", "cred", "uid")) }},
		{"field without path", "does not go with", func(f *File) { first(f, core(ldx, FieldOffset, "cred")) }},
		{"type with path", "does not go with", func(f *File) { first(f, core(mov, TypeSize, "cred", "uid")) }},
		{"access too wide", "access of 8 bytes to a field that its description gives 4", func(f *File) { first(f, core(ldx, FieldOffset, "cred", "uid", "val")) }},
		{"access too narrow", "access of 4 bytes to a field that its description gives 8", func(f *File) {
			first(f, core(ClassLDX|ModeMEM|SizeW, FieldOffset, "cred", "user"))
		}},
		{"part of a struct", "access of 4 bytes to a field that its description gives 0", func(f *File) {
			f.Structs = append(f.Structs, Struct{Name: "hidden"})
			f.Structs[1].Members = append(f.Structs[1].Members, Member{Name: "caps", Type: Embedded("hidden")})
			first(f, core(ClassLDX|ModeMEM|SizeW, FieldOffset, "cred", "caps"))
		}},
		{"size in a load", "field offset only", func(f *File) { first(f, core(ldx, FieldSize, "cred", "user")) }},
		{"field in a jump", "cannot hold it", func(f *File) { first(f, core(ClassJMP|OpJa, FieldOffset, "cred", "user")) }},
		{"field in a register move", "cannot hold it", func(f *File) { first(f, core(mov|SourceX, FieldOffset, "cred", "user")) }},
		{"field and offset", "is set beside", func(f *File) {
			in := core(ldx, FieldOffset, "cred", "user")
			in.Off = 8
			first(f, in)
		}},
		{"field and immediate", "is set beside", func(f *File) {
			in := core(mov, FieldOffset, "cred", "user")
			in.Imm = 8
			first(f, in)
		}},
		{"field and reference", "beside a reference", func(f *File) {
			in := core(OpLddw, FieldOffset, "cred", "user")
			in.Ref = Ref{Kind: RefMap, Name: "hits"}
			first(f, in)
		}},
		{"field far inside the description", "does not fit in an instruction", func(f *File) {
			f.Structs[1].Members = append([]Member{{Name: "pad", Type: ArrayOf(Uint(8), 8192)}}, f.Structs[1].Members...)
		}},
		{"policy description", "digest", func(f *File) { f.Meta.Digest[0]++ }},
		{"limit of the description", "beyond the limit", func(f *File) { f.Meta.Compiler = strings.Repeat("x", MaxNameBytes+1) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := sample()
			c.change(f)
			raw, err := Write(f)
			require.ErrorContains(t, err, c.want)
			require.Nil(t, raw)
		})
	}
}
