//go:build !kernel

package object

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/stretchr/testify/require"
)

// dice makes choices from fuzzer input; when that is used up, all are 0.
type dice struct{ data []byte }

func (d *dice) roll(n int) int {
	if len(d.data) == 0 {
		return 0
	}
	v := int(d.data[0])
	d.data = d.data[1:]
	if n > 256 && len(d.data) > 0 {
		v |= int(d.data[0]) << 8
		d.data = d.data[1:]
	}
	return v % n
}

// text is printable but where two bytes 0xff meet.
func (d *dice) text(n int) string {
	n = min(d.roll(n), len(d.data))
	s := bytes.Clone(d.data[:n])
	for i, c := range s {
		if c == 0xff && i+1 < n && s[i+1] == 0xff {
			continue
		}
		s[i] = ' ' + c%0x5f
	}
	d.data = d.data[n:]
	return string(s)
}

// file makes a File that is mostly right: names fit together, while code,
// structs and texts are what the dice say.
func (d *dice) file() *File {
	f := &File{License: "GPL", Meta: d.meta()}
	for i := range d.roll(4) {
		f.Tables = append(f.Tables, Table{Name: fmt.Sprint("table", i), Data: bytes.Repeat([]byte{byte(i)}, 1+d.roll(300))})
	}
	for i := range d.roll(4) {
		f.Maps = append(f.Maps, d.mapOf(fmt.Sprint("map", i)))
	}
	for i := range d.roll(3) {
		f.Kfuncs = append(f.Kfuncs, Kfunc{Name: fmt.Sprint("kfunc", i), Return: d.btfType(2), Weak: d.roll(2) == 1})
	}
	for i := range d.roll(4) {
		s := Struct{Name: fmt.Sprint("struct", i), Union: d.roll(4) == 1}
		for j := range d.roll(5) {
			s.Members = append(s.Members, Member{Name: fmt.Sprint("member", j), Type: d.fieldType()})
		}
		f.Structs = append(f.Structs, s)
	}
	for i := range d.roll(4) {
		f.Subprograms = append(f.Subprograms, d.function(fmt.Sprint("sub", i)))
	}
	for i := range 1 + d.roll(3) {
		f.Programs = append(f.Programs, Program{
			Func: d.function(fmt.Sprint("prog", i)), Hook: fmt.Sprint("hook", d.roll(2)), Sleepable: d.roll(3) == 1,
		})
	}
	return f
}

func (d *dice) meta() Meta {
	m := Meta{Compiler: "fuzz", Policy: "p" + d.text(20)}
	for i := range 1 + d.roll(3) {
		m.Sources = append(m.Sources, Source{Name: fmt.Sprint("s", i, ".snp"), Text: d.text(300)})
	}
	m.Digest = SourceDigest(m.Sources)
	for i := range d.roll(4) {
		r := Rule{ID: uint32(i*300 + d.roll(300)), Verb: "deny", Name: d.text(10), File: uint32(d.roll(len(m.Sources))), Line: uint32(1 + d.roll(300)), Col: 1, Because: d.text(30), Text: d.text(30)}
		for range d.roll(3) {
			r.Ops = append(r.Ops, "file.open")
		}
		m.Rules = append(m.Rules, r)
	}
	for range d.roll(3) {
		m.Helpers = append(m.Helpers, "h"+d.text(5))
	}
	m.Used.Instructions = uint64(d.roll(70000))
	return m
}

func (d *dice) mapOf(name string) Map {
	m := Map{Name: name, Type: MapType(d.roll(32)), MaxEntries: uint32(d.roll(5000)), Flags: uint32(d.roll(3))}
	if d.roll(2) == 1 {
		m.Key, m.Value = d.btfType(2), d.btfType(2)
	} else {
		m.KeySize, m.ValueSize = uint32(d.roll(20)), uint32(d.roll(2000))
	}
	return m
}

func (d *dice) btfType(depth int) btf.Type {
	if depth == 0 {
		return intType(1<<d.roll(4), d.roll(2) == 1)
	}
	switch d.roll(6) {
	case 0:
		return &btf.Void{}
	case 1:
		return &btf.Pointer{Target: d.btfType(depth - 1)}
	case 2:
		return &btf.Array{Index: intType(4, false), Type: intType(1<<d.roll(4), false), Nelems: uint32(d.roll(9))}
	case 3:
		return &btf.Struct{Name: fmt.Sprint("record", d.roll(3)), Size: 8, Members: []btf.Member{{Name: "x", Type: intType(8, false)}}}
	default:
		return d.btfType(0)
	}
}

func (d *dice) fieldType() FieldType {
	switch d.roll(10) {
	case 0:
		return PointerTo(fmt.Sprint("struct", d.roll(4)))
	case 1:
		return Embedded(fmt.Sprint("struct", d.roll(4)))
	case 2:
		return ArrayOf(Uint(1<<d.roll(4)), uint32(d.roll(4)))
	case 3:
		return Enum(4)
	default:
		return Uint(1 << d.roll(4))
	}
}

func (d *dice) function(name string) Func {
	fn := Func{Name: name, Linkage: btf.FuncLinkage(d.roll(2)), Return: d.btfType(2)}
	for i := range d.roll(3) {
		fn.Params = append(fn.Params, btf.FuncParam{Name: fmt.Sprint("p", i), Type: d.btfType(2)})
	}
	for range d.roll(20) {
		fn.Code = append(fn.Code, d.insn())
	}
	fn.Code = append(fn.Code, exit())
	fn.Code[0].Line = Line{Line: 1, Col: 1}
	return fn
}

func (d *dice) insn() Insn {
	in := Insn{}
	switch d.roll(7) {
	case 0:
		in = alu(OpAdd, uint8(d.roll(11)), int64(d.roll(70000)))
	case 1:
		in = jump(OpJeq, 1, 0, int32(d.roll(3)))
	case 2:
		c := &CoreField{Kind: CoreKind(d.roll(8)), Struct: fmt.Sprint("struct", d.roll(4))}
		for range d.roll(4) {
			c.Path = append(c.Path, []string{"member0", "member1", "member2", "0", "1"}[d.roll(5)])
		}
		in = []Insn{load(uint8(d.roll(4)<<3), 1, 2, 0), alu(OpMov, 3, 0), {Op: OpLddw}}[d.roll(3)]
		in.Core = c
	case 3:
		in = address(1, Ref{Kind: RefTable, Name: fmt.Sprint("table", d.roll(4)), Offset: uint32(d.roll(300))})
	case 4:
		in = address(1, Ref{Kind: RefMap, Name: fmt.Sprint("map", d.roll(4))})
	case 5:
		in = []Insn{callFunc(fmt.Sprint("sub", d.roll(4))), address(2, Ref{Kind: RefFunc, Name: fmt.Sprint("sub", d.roll(4))}),
			{Op: ClassJMP | OpCall, Ref: Ref{Kind: RefKfunc, Name: fmt.Sprint("kfunc", d.roll(3))}}}[d.roll(3)]
	case 6:
		in = Insn{Op: uint8(d.roll(256)), Dst: uint8(d.roll(12)), Src: uint8(d.roll(12)), Off: int32(d.roll(40)) - 20, Imm: int64(d.roll(300))}
	}
	if d.roll(3) == 1 {
		in.Line = Line{File: uint32(d.roll(2)), Line: uint32(d.roll(9)), Col: uint32(d.roll(2000)), Text: d.text(20)}
	}
	return in
}

// checkRandom makes a file of the data and checks that it is either refused, or
// the library parses the result completely and Read returns the Meta; a second
// Write must give the same.
func checkRandom(t *testing.T, data []byte) (accepted bool) {
	file := (&dice{data}).file()
	raw, err := Write(file)
	again, errAgain := Write((&dice{data}).file())
	require.Equal(t, err, errAgain)
	require.Equal(t, raw, again)
	if err != nil {
		return false
	}
	m, err := Read(bytes.NewReader(raw))
	require.NoError(t, err)
	require.Equal(t, file.Meta, *m)
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(raw))
	require.NoError(t, err)
	require.Len(t, spec.Programs, len(file.Programs))
	for _, p := range file.Programs {
		got := spec.Programs[p.Name]
		require.NotNil(t, got)
		for i, in := range p.Code {
			require.Equal(t, in.Op, uint8(got.Instructions[i].OpCode), "instruction %d of %s", i, p.Name)
		}
	}
	for _, m := range file.Maps {
		require.EqualValues(t, m.Type, spec.Maps[m.Name].Type)
	}
	return true
}

func TestRandomFiles(t *testing.T) {
	accepted := 0
	for seed := range uint64(2000) {
		src := rand.New(rand.NewPCG(seed, 0))
		data := make([]byte, 100+src.IntN(900))
		for i := range data {
			if src.IntN(3) > 0 { // more small choices than large ones
				data[i] = byte(src.Uint32())
			}
		}
		if checkRandom(t, data) {
			accepted++
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	require.Greater(t, accepted, 400, "the generator makes too few files that are right")
}

func FuzzWriteRead(f *testing.F) {
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{1, 2, 3, 4, 5}, 60))
	f.Add([]byte(strings.Repeat("The quick brown fox jumps over the lazy dog. ", 9)))
	f.Fuzz(func(t *testing.T, data []byte) { checkRandom(t, data) })
}
