package object

import (
	"fmt"
	"math"
	"strings"
)

// encode writes the code of a section with its relocations and records.
func (w *writer) encode(u *unit) error {
	var code []byte
	for _, fn := range u.funcs {
		var last Line
		for i := range fn.Code {
			in := fn.Code[i]
			offset := uint32(len(code))
			err := w.refer(u, &in, offset)
			if err == nil {
				err = w.relocateCore(u, &in, offset)
			}
			if err == nil {
				err = w.line(u, in.Line, &last, i == 0, offset)
			}
			if err == nil {
				code, err = appendInsn(code, &in)
			}
			if err != nil {
				return fmt.Errorf("function %q, instruction %d: %w", fn.Name, i, err)
			}
		}
	}
	w.elf.sections[u.id].data = code
	return nil
}

// refer turns a reference into a relocation and the immediate that goes with it.
func (w *writer) refer(u *unit, in *Insn, offset uint32) error {
	r := in.Ref
	if r == (Ref{}) {
		if in.Src != 0 && (in.Op == OpLddw || in.isCall()) {
			return fmt.Errorf("source register r%d without a reference", in.Src)
		}
		return nil
	}
	if in.Src != 0 || in.Imm != 0 {
		return fmt.Errorf("reference to %q beside source register r%d, immediate %d", r.Name, in.Src, in.Imm)
	}
	t, ok := w.targets[r.Name]
	if !ok || t.kind != r.Kind {
		return fmt.Errorf("unknown reference to %s %q", r.Kind, r.Name)
	}
	if r.Kind != RefTable && r.Offset != 0 {
		return fmt.Errorf("reference to %s %q with an offset", r.Kind, r.Name)
	}
	reloc := elfReloc{offset: uint64(offset), symbol: t.symbol, typ: relocLddw}
	switch {
	case in.Op == OpLddw && r.Kind == RefMap:
	case in.Op == OpLddw && r.Kind == RefTable:
		if uint64(r.Offset) >= uint64(t.size) {
			return fmt.Errorf("offset %d is outside of table %q with %d bytes", r.Offset, r.Name, t.size)
		}
		in.Imm = int64(r.Offset)
	case in.Op == OpLddw && r.Kind == RefFunc:
		if !t.static {
			return fmt.Errorf("address of global function %q: the kernel takes static callbacks only", r.Name)
		}
		in.Imm = t.addend
	case in.isCall() && r.Kind == RefFunc:
		// The immediate of a call counts slots from the instruction after it.
		in.Src, in.Imm, reloc.typ = pseudoCall, t.addend/insnSize-1, relocCall
	case in.isCall() && r.Kind == RefKfunc:
		in.Src, in.Imm, reloc.typ = pseudoCall, -1, relocCall
	default:
		return fmt.Errorf("opcode %#02x cannot refer to %s %q", in.Op, r.Kind, r.Name)
	}
	w.elf.relocate(u.id, reloc)
	return nil
}

// relocateCore notes the CO-RE relocation of an instruction and gives it the
// value that holds for the local description, which loaders verify.
func (w *writer) relocateCore(u *unit, in *Insn, offset uint32) error {
	c := in.Core
	if c == nil {
		return nil
	}
	kind, ok := c.Kind.wireKind()
	if !ok {
		return fmt.Errorf("invalid kind of kernel field %d", c.Kind)
	}
	if in.Ref != (Ref{}) {
		return fmt.Errorf("kernel field %s beside a reference", c)
	}
	if c.Kind.onField() != (len(c.Path) > 0) {
		return fmt.Errorf("kernel field %s: the path does not go with the kind", c)
	}
	access, at, err := w.layouts.find(c.Struct, c.Path)
	if err != nil {
		return fmt.Errorf("kernel field %s: %w", c, err)
	}
	id, err := w.types.add(w.layouts.done[c.Struct].typ)
	if err != nil {
		return fmt.Errorf("kernel field %s: %w", c, err)
	}
	var value int64
	switch c.Kind {
	case FieldOffset:
		value = int64(at.offset)
	case FieldSize, TypeSize:
		value = int64(at.size)
	case FieldExists, TypeExists:
		value = 1
	case TypeID:
		value = int64(id)
	}
	if err := patch(in, c.Kind, at, value); err != nil {
		return fmt.Errorf("kernel field %s: %w", c, err)
	}
	u.info.cores = append(u.info.cores, coreRecord{offset: offset, typ: id, access: access, kind: kind})
	return nil
}

// patch puts a CO-RE value where loaders will replace it.
func patch(in *Insn, kind CoreKind, at placed, value int64) error {
	switch c := class(in.Op); {
	case c == ClassLDX || c == ClassST || c == ClassSTX && mode(in.Op) == ModeMEM:
		if kind != FieldOffset {
			return fmt.Errorf("opcode %#02x takes a field offset only", in.Op)
		}
		if in.Off != 0 {
			return fmt.Errorf("offset %d is set beside the field", in.Off)
		}
		// libbpf spoils the instruction if the sizes of the local field and the
		// kernel's differ. A part of a struct or array is reached through its
		// address: an addition that holds the offset, then a plain load.
		if n := accessBytes(in.Op); n != at.size {
			return fmt.Errorf("access of %d bytes to a field that its description gives %d bytes", n, at.size)
		}
		if value > math.MaxInt16 {
			return fmt.Errorf("offset %d in the description does not fit in an instruction", value)
		}
		in.Off = int32(value)
	case in.Op == OpLddw, (c == ClassALU || c == ClassALU64) && source(in.Op) == SourceK && opBits(in.Op) != OpEnd && opBits(in.Op) != OpNeg:
		if in.Imm != 0 {
			return fmt.Errorf("immediate %d is set beside the field", in.Imm)
		}
		in.Imm = value
	default:
		return fmt.Errorf("opcode %#02x cannot hold it", in.Op)
	}
	return nil
}

// line notes where an instruction comes from, unless that is as before.
func (w *writer) line(u *unit, l Line, last *Line, first bool, offset uint32) error {
	if l.Line == 0 {
		if first {
			return fmt.Errorf("the first instruction of a function has no source line")
		}
		return nil
	}
	if l == *last {
		return nil
	}
	*last = l
	if uint64(l.File) >= uint64(len(w.file.Meta.Sources)) {
		return fmt.Errorf("source file number %d of %d", l.File, len(w.file.Meta.Sources))
	}
	if l.Line > MaxLine {
		return fmt.Errorf("source line %d is beyond %d", l.Line, MaxLine)
	}
	if strings.IndexByte(l.Text, 0) >= 0 {
		return fmt.Errorf("the text of source line %d has a zero byte", l.Line)
	}
	col := l.Col
	if col > MaxColumn {
		col = 0
	}
	u.info.lines = append(u.info.lines, lineRecord{
		offset: offset, file: w.file.Meta.Sources[l.File].Name, text: l.Text, line: l.Line, col: col,
	})
	return nil
}

// String names the kind for error messages.
func (k RefKind) String() string {
	switch k {
	case RefMap:
		return "map"
	case RefTable:
		return "table"
	case RefFunc:
		return "subprogram"
	case RefKfunc:
		return "kernel function"
	default:
		return fmt.Sprintf("invalid kind %d", uint8(k))
	}
}
