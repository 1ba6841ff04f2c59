package loader

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/kernel/abi"
	"github.com/snappy-policy/snappy/kernel/probe"
)

const source = "policy sample\n\ndeny file.open\n\ndeny file.mkdir\n"

// Instructions of the samples.
func move(dst uint8, imm int64) object.Insn {
	return object.Insn{Op: object.ClassALU64 | object.SourceK | object.OpMov, Dst: dst, Imm: imm}
}

func load(dst, src uint8, off int32) object.Insn {
	return object.Insn{Op: object.ClassLDX | object.ModeMEM | object.SizeDW, Dst: dst, Src: src, Off: off}
}

func exit() object.Insn { return object.Insn{Op: object.ClassJMP | object.OpExit} }

// on gives instructions a source line.
func on(line uint32, code ...object.Insn) []object.Insn {
	code[0].Line = object.Line{Line: line, Col: 1, Text: fmt.Sprintf("line %d", line)}
	return code
}

// program is an entry point.
func program(hook string, code []object.Insn) object.Program {
	return object.Program{Hook: hook, Func: object.Func{Name: "p_" + hook, Code: code,
		Params: []btf.FuncParam{{Name: "ctx", Type: &btf.Pointer{Target: &btf.Int{Name: "unsigned long long", Size: 8}}}},
		Return: &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}}}
}

// sample is an object of some programs. Its first rule is about file.open, the
// second about file.mkdir.
func sample(programs ...object.Program) *object.File {
	sources := []object.Source{{Name: "sample.snp", Text: source}}
	f := &object.File{License: "GPL", Programs: programs, Meta: object.Meta{
		Compiler: "test", Policy: "sample", Sources: sources, Digest: object.SourceDigest(sources),
		Rules: []object.Rule{
			{ID: 1, Verb: "deny", Ops: []string{"file.open"}, Line: 3, Col: 1},
			{ID: 2, Verb: "deny", Ops: []string{"file.mkdir"}, Line: 5, Col: 1},
			{ID: 3, Verb: "deny", Ops: []string{"file.read", "file.mkdir"}, Line: 7, Col: 3},
		}}}
	for _, p := range programs {
		f.Meta.Hooks = append(f.Meta.Hooks, object.Hook{Name: p.Hook, Sleepable: p.Sleepable, Program: p.Name})
	}
	return f
}

func write(t *testing.T, f *object.File) []byte {
	t.Helper()
	b, err := object.Write(f)
	require.NoError(t, err)
	return b
}

func read(t *testing.T, f *object.File) *Object {
	t.Helper()
	o, err := Read(write(t, f))
	require.NoError(t, err)
	return o
}

func TestRead(t *testing.T) {
	allow := func() []object.Insn { return on(1, move(0, 0), exit()) }
	f := sample(program("file_open", allow()), program("path_mkdir", allow()), program("task_kill", allow()))
	o := read(t, f)
	require.Equal(t, []Need{
		{Hook: "file_open", Rules: []string{"sample.snp:3:1", "sample.snp:7:3"}},
		{Hook: "path_mkdir", Rules: []string{"sample.snp:5:1", "sample.snp:7:3"}},
		{Hook: "task_kill"},
	}, o.Needs)
	require.Equal(t, "sample", o.Meta.Policy)
	require.Equal(t, o.Digest, read(t, f).Digest)
	f.Meta.Rules[0].Because = "otherwise"
	require.NotEqual(t, o.Digest, read(t, f).Digest)

	_, err := Read([]byte("no object"))
	require.ErrorIs(t, err, object.ErrNotObject)
	_, err = Read(nil)
	require.ErrorIs(t, err, object.ErrNotObject)
}

func TestReadRefuses(t *testing.T) {
	allow := func() []object.Insn { return on(1, move(0, 0), exit()) }
	for name, change := range map[string]func(*object.File){
		"sleepable":         func(f *object.File) { f.Programs[0].Sleepable, f.Meta.Hooks[0].Sleepable = true, true },
		"sleepable, hidden": func(f *object.File) { f.Programs[0].Sleepable = true },
		"not listed":        func(f *object.File) { f.Meta.Hooks = nil },
		"listed, not there": func(f *object.File) {
			f.Meta.Hooks = append(f.Meta.Hooks, object.Hook{Name: "task_kill", Program: "task_kill"})
		},
		"listed twice": func(f *object.File) { f.Meta.Hooks = append(f.Meta.Hooks, f.Meta.Hooks[0]) },
		"two programs": func(f *object.File) {
			f.Programs = append(f.Programs, program("file_open", allow()))
			f.Programs[1].Name = "other"
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := sample(program("file_open", allow()))
			change(f)
			b, err := object.Write(f)
			require.NoError(t, err)
			_, err = Read(b)
			require.ErrorIs(t, err, ErrObject)
		})
	}
}

func TestConfigure(t *testing.T) {
	f := sample(program("file_open", on(1, move(0, 0), exit())))
	f.Tables = []object.Table{{Name: abi.TableConfig, Data: make([]byte, abi.ConfigSize)}}
	spec := read(t, f).Spec
	require.Contains(t, spec.Maps, configMap)
	require.NoError(t, configure(spec, 42, true))
	var c abi.Config
	require.NoError(t, binary.Read(bytes.NewReader(spec.Variables[abi.TableConfig].Value), binary.LittleEndian, &c))
	require.Equal(t, uint64(42), c.PolicyID)
	require.Equal(t, uint64(1), c.Pool)
	symbols, err := probe.Symbols()
	require.NoError(t, err)
	require.Equal(t, symbols.RenameLock, c.RenameLock)
	require.Equal(t, symbols.MountLock, c.MountLock)

	f.Tables[0].Data = make([]byte, abi.ConfigSize+8)
	require.ErrorIs(t, configure(read(t, f).Spec, 42, false), ErrObject)
	require.NoError(t, configure(read(t, sample()).Spec, 42, false), "a policy without events")
}

// logs are as kernels print them: 6.12 with positions, 6.1 without.
var logs = map[string][]string{
	"6.12": {"0: R1=ctx() R10=fp0", "; line 3 @ sample.snp:3", "0: (b7) r0 = 0                        ; R0_w=0",
		"; line 5 @ sample.snp:5", "1: (79) r0 = *(u64 *)(r1 +8)", "func 'bpf_lsm_file_open' doesn't have 2-th argument",
		"invalid bpf_context access off=8 size=8", "processed 2 insns (limit 1000000)"},
	"6.1": {"reg type unsupported for arg#0 function p_file_open#7", "0: R1=ctx(off=0,imm=0) R10=fp0", "; line 3",
		"0: (b7) r0 = 0                        ; R0_w=0", "; line 5", "1: (79) r0 = *(u64 *)(r1 +8)",
		"invalid bpf_context access off=8 size=8", "processed 2 insns (limit 1000000)"},
}

func TestExplain(t *testing.T) {
	code := append(on(3, move(0, 0)), on(5, load(0, 1, 8), exit())...)
	spec := read(t, sample(program("file_open", code), program("path_mkdir", on(1, move(0, 0), exit())))).Spec
	for name, log := range logs {
		t.Run(name, func(t *testing.T) {
			cause := &ebpf.VerifierError{Cause: errors.New("permission denied"), Log: log}
			err := explain(fmt.Errorf("program p_file_open: load program: %w", cause), spec)
			var ve *VerifierError
			require.ErrorAs(t, err, &ve)
			require.Equal(t, "file_open", ve.Hook)
			require.Equal(t, "sample.snp", ve.File)
			require.Equal(t, uint32(5), ve.Line)
			require.ErrorIs(t, err, cause)
			require.Contains(t, err.Error(), "sample.snp:5: the kernel refuses the program for file_open")
			require.NotContains(t, fmt.Sprintf("%v", err), "R10=fp0")
			require.Contains(t, fmt.Sprintf("%+v", err), "R10=fp0")
		})
	}
	plain := errors.New("something else")
	require.Equal(t, plain, explain(plain, spec))
	empty := explain(fmt.Errorf("program p_path_mkdir: %w", &ebpf.VerifierError{Cause: errors.New("x")}), spec)
	var ve *VerifierError
	require.ErrorAs(t, empty, &ve)
	require.Empty(t, ve.File)
	require.Equal(t, "path_mkdir", ve.Hook)
}

func TestHookError(t *testing.T) {
	e := &HookError{Need: Need{Hook: "h", Rules: []string{"a.snp:1:2", "a.snp:3:4", "b.snp:5:6"}}, Err: probe.ErrHookMissing}
	require.Equal(t, "LSM hook h: the kernel has no such LSM hook; needed by the rule at a.snp:1:2 and 2 more", e.Error())
	require.ErrorIs(t, e, probe.ErrHookMissing)
	require.Contains(t, (&HookError{Need: Need{Hook: "h"}, Err: probe.ErrHookArgs}).Error(), "needed by a default")
}
