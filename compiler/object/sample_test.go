package object

// Tests that need no kernel have the build constraint !kernel: in an emulated
// machine they would take a minute and say nothing new.

import "github.com/cilium/ebpf/btf"

// The sample: a file_open program that denies opens by uid 4242, counts them in
// task storage, and reports the sum of a table through a ring buffer. It uses
// each kind of reference and loads on every supported kernel.

const (
	sampleUID     = 4242
	sampleSum     = 1 + 2 + 3 + 4 + 5 + 6 + 7 + 8
	sampleSource  = "policy sample\n\ndeny file.open as nobody when uid == 4242\n"
	helperLoop    = 181
	helperRingOut = 130
	helperTaskBTF = 158
	helperStorage = 156
)

func alu(op uint8, dst uint8, imm int64) Insn {
	return Insn{Op: ClassALU64 | SourceK | op, Dst: dst, Imm: imm}
}

func aluReg(op uint8, dst, src uint8) Insn {
	return Insn{Op: ClassALU64 | SourceX | op, Dst: dst, Src: src}
}

func load(size, dst, src uint8, off int32) Insn {
	return Insn{Op: ClassLDX | ModeMEM | size, Dst: dst, Src: src, Off: off}
}

func loadField(size, dst, src uint8, strct string, path ...string) Insn {
	in := load(size, dst, src, 0)
	in.Core = &CoreField{Kind: FieldOffset, Struct: strct, Path: path}
	return in
}

func store(size, dst, src uint8, off int32) Insn {
	return Insn{Op: ClassSTX | ModeMEM | size, Dst: dst, Src: src, Off: off}
}

func storeImm(size, dst uint8, off int32, imm int64) Insn {
	return Insn{Op: ClassST | ModeMEM | size, Dst: dst, Off: off, Imm: imm}
}

func jump(op, dst uint8, imm int64, off int32) Insn {
	return Insn{Op: ClassJMP | SourceK | op, Dst: dst, Imm: imm, Off: off}
}

func helper(id int64) Insn { return Insn{Op: ClassJMP | OpCall, Imm: id} }

func callFunc(name string) Insn {
	return Insn{Op: ClassJMP | OpCall, Ref: Ref{Kind: RefFunc, Name: name}}
}

func address(dst uint8, ref Ref) Insn { return Insn{Op: OpLddw, Dst: dst, Ref: ref} }

func exit() Insn { return Insn{Op: ClassJMP | OpExit} }

// at puts a source line on the first of some instructions.
func at(line, col uint32, text string, code ...Insn) []Insn {
	code[0].Line = Line{Line: line, Col: col, Text: text}
	return code
}

func join(parts ...[]Insn) []Insn {
	var code []Insn
	for _, p := range parts {
		code = append(code, p...)
	}
	return code
}

// slotsOf is the jump distance over some instructions.
func slotsOf(code []Insn) int32 {
	n := int32(0)
	for i := range code {
		n += int32(code[i].slots())
	}
	return n
}

const ruleText = "deny file.open as nobody when uid == 4242"

func sample() *File {
	u32, u64 := intType(4, false), intType(8, false)
	ctx := []btf.FuncParam{{Name: "ctx", Type: &btf.Pointer{Target: u64}}}

	deny := at(3, 1, ruleText,
		address(1, Ref{Kind: RefMap, Name: "hits"}),
		aluReg(OpMov, 2, 7),
		alu(OpMov, 3, 0),
		alu(OpMov, 4, 1), // BPF_LOCAL_STORAGE_GET_F_CREATE
		helper(helperStorage),
	)
	report := []Insn{
		alu(OpMov, 1, 1),
		{Op: ClassSTX | ModeATOMIC | SizeDW, Dst: 0, Src: 1, Imm: AtomicFetchAdd},
		storeImm(SizeDW, 10, -8, 0),
		alu(OpMov, 1, 8),
		address(2, Ref{Kind: RefFunc, Name: "add_weight"}),
		aluReg(OpMov, 3, 10),
		alu(OpAdd, 3, -8),
		alu(OpMov, 4, 0),
		helper(helperLoop),
		address(1, Ref{Kind: RefMap, Name: "events"}),
		aluReg(OpMov, 2, 10),
		alu(OpAdd, 2, -8),
		alu(OpMov, 3, 8),
		alu(OpMov, 4, 0),
		helper(helperRingOut),
		alu(OpMov, 0, -1),
		exit(),
	}
	deny = join(deny, []Insn{jump(OpJeq, 0, 0, slotsOf(report))}, report)

	return &File{
		License: "GPL",
		Programs: []Program{{Hook: "file_open", Func: Func{
			Name: "sample_file_open", Params: ctx, Return: intType(4, true),
			Code: join(
				at(1, 1, "policy sample", helper(helperTaskBTF), aluReg(OpMov, 7, 0)),
				at(3, 31, ruleText,
					loadField(SizeDW, 1, 7, "task_struct", "cred"),
					loadField(SizeW, 1, 1, "cred", "uid", "val"),
					callFunc("is_nobody"),
					jump(OpJeq, 0, 0, slotsOf(deny)),
				),
				deny,
				at(1, 1, "policy sample", alu(OpMov, 0, 0), exit()),
			),
		}}},
		Subprograms: []Func{
			{
				Name: "is_nobody", Linkage: btf.StaticFunc,
				Params: []btf.FuncParam{{Name: "uid", Type: u32}}, Return: intType(4, true),
				Code: at(3, 31, ruleText,
					alu(OpMov, 0, 0),
					jump(OpJne, 1, sampleUID, 1),
					alu(OpMov, 0, 1),
					exit(),
				),
			},
			{
				Name: "add_weight", Linkage: btf.StaticFunc,
				Params: []btf.FuncParam{{Name: "i", Type: u32}, {Name: "sum", Type: &btf.Pointer{Target: &btf.Void{}}}},
				Return: intType(8, true),
				Code: at(3, 1, ruleText,
					jump(OpJgt, 1, 7, 7),
					address(3, Ref{Kind: RefTable, Name: "weights", Offset: 4}),
					aluReg(OpAdd, 3, 1),
					load(SizeB, 3, 3, 0),
					load(SizeDW, 4, 2, 0),
					aluReg(OpAdd, 4, 3),
					store(SizeDW, 2, 4, 0),
					alu(OpMov, 0, 0),
					exit(),
				),
			},
		},
		Maps: []Map{
			{Name: "events", Type: MapRingBuf, MaxEntries: 4096},
			{Name: "hits", Type: MapTaskStorage, Flags: 1, Key: intType(4, true), Value: &btf.Struct{
				Name: "hit_record", Size: 8, Members: []btf.Member{{Name: "count", Type: u64}},
			}},
		},
		// The sum starts behind a header, so that offsets into tables matter.
		Tables: []Table{{Name: "weights", Data: []byte{0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5, 6, 7, 8}}},
		Structs: []Struct{
			{Name: "task_struct", Members: []Member{{Name: "flags", Type: Uint(4)}, {Name: "cred", Type: PointerTo("cred")}}},
			{Name: "cred", Members: []Member{{Name: "uid", Type: Embedded("kuid")}, {Name: "user", Type: PointerTo("user_struct")}}},
			{Name: "kuid", Members: []Member{{Name: "val", Type: Uint(4)}}},
		},
		Meta: sampleMeta(),
	}
}

func sampleMeta() Meta {
	sources := []Source{{Name: "sample.snp", Text: sampleSource}}
	return Meta{
		Compiler: "snappyc 0.1.0",
		Policy:   "sample",
		Digest:   SourceDigest(sources),
		Sources:  sources,
		Params:   []Param{{Name: "logs", Type: "path", Value: `"/var/log/nginx"`, Set: true}},
		Rules: []Rule{
			{ID: 1, Verb: "deny", Name: "nobody", Ops: []string{"file.open"}, Line: 3, Col: 1, Because: "not today", Errno: 1, Text: ruleText},
			{ID: 7, Verb: "audit", Ops: []string{"file.read", "file.write"}, Line: 3, Col: 2},
		},
		Defaults: []Default{{Verdict: "allow"}},
		Hooks:    []Hook{{Name: "file_open", Program: "sample_file_open"}},
		Helpers:  []string{"bpf_get_current_task_btf", "bpf_loop"},
		Features: []string{"task_storage"},
		Used:     Usage{TableBytes: 12, Instructions: 40},
	}
}
