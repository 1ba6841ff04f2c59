package object

import (
	"debug/elf"
	"fmt"
	"math"
	"strings"

	"github.com/cilium/ebpf/btf"
)

// Write returns the bytes of the object file. Equal files give equal bytes. It
// does not modify f.
//
// The error names the function and instruction that it is about: an encoding
// that does not exist or does not fit, an unknown reference or field, a jump to
// nowhere, a missing line, a name used twice, a Meta beyond its limits.
func Write(f *File) ([]byte, error) {
	meta, err := encodeMeta(&f.Meta)
	if err != nil {
		return nil, fmt.Errorf("object: %w", err)
	}
	if err := f.checkNames(); err != nil {
		return nil, fmt.Errorf("object: %w", err)
	}
	w := &writer{file: f, elf: newELF(), targets: make(map[string]target)}
	if err := w.run(meta); err != nil {
		return nil, fmt.Errorf("object: %w", err)
	}
	out, err := w.elf.bytes()
	if err != nil {
		return nil, fmt.Errorf("object: %w", err)
	}
	return out, nil
}

// target is what a name means for a relocation.
type target struct {
	kind   RefKind
	symbol symbolID
	addend int64 // byte offset from the symbol; functions: within .text
	static bool  // functions: only a static one may be a callback
	size   int   // tables: bytes
}

// unit is one code section with its functions.
type unit struct {
	name  string
	funcs []*Func
	id    sectionID
	info  extInfo
}

type writer struct {
	file    *File
	elf     *elfFile
	types   *types
	layouts *layouts
	targets map[string]target
	units   []*unit
}

func (w *writer) run(meta []byte) error {
	var err error
	if w.types, err = newTypes(); err != nil {
		return err
	}
	if w.layouts, err = newLayouts(w.file.Structs); err != nil {
		return err
	}
	w.groupUnits()
	if err := w.placeFuncs(); err != nil {
		return err
	}
	w.elf.add(elfSection{
		name: "license", typ: elf.SHT_PROGBITS, flags: elf.SHF_ALLOC | elf.SHF_WRITE, align: 1,
		data: append([]byte(w.file.License), 0),
	})
	if err := w.placeMaps(); err != nil {
		return err
	}
	if err := w.placeTables(); err != nil {
		return err
	}
	if err := w.placeKfuncs(); err != nil {
		return err
	}
	for _, u := range w.units {
		if err := w.encode(u); err != nil {
			return err
		}
	}
	if err := w.file.checkSizes(); err != nil {
		return err
	}
	blob, err := w.types.blob()
	if err != nil {
		return err
	}
	infos := make([]extInfo, len(w.units))
	for i, u := range w.units {
		infos[i] = u.info
	}
	ext := appendExt(blob, infos)
	raw, err := blob.bytes()
	if err != nil {
		return err
	}
	w.elf.add(elfSection{name: ".BTF", typ: elf.SHT_PROGBITS, align: 4, data: raw})
	w.elf.add(elfSection{name: ".BTF.ext", typ: elf.SHT_PROGBITS, align: 4, data: ext})
	w.elf.add(elfSection{name: SectionName, typ: elf.SHT_PROGBITS, align: 1, data: meta})
	return nil
}

// groupUnits assigns functions to code sections: subprograms to .text, programs
// by hook.
func (w *writer) groupUnits() {
	if len(w.file.Subprograms) > 0 {
		text := &unit{name: ".text"}
		for i := range w.file.Subprograms {
			text.funcs = append(text.funcs, &w.file.Subprograms[i])
		}
		w.units = append(w.units, text)
	}
	byName := make(map[string]*unit)
	for i := range w.file.Programs {
		p := &w.file.Programs[i]
		name := "lsm/" + p.Hook
		if p.Sleepable {
			name = "lsm.s/" + p.Hook
		}
		u := byName[name]
		if u == nil {
			u = &unit{name: name}
			byName[name] = u
			w.units = append(w.units, u)
		}
		u.funcs = append(u.funcs, &p.Func)
	}
}

// placeFuncs makes the code sections, still empty, and the symbols and BTF of
// the functions in them.
func (w *writer) placeFuncs() error {
	for _, u := range w.units {
		text := u.name == ".text"
		u.info.section = u.name
		u.id = w.elf.add(elfSection{
			name: u.name, typ: elf.SHT_PROGBITS, flags: elf.SHF_ALLOC | elf.SHF_EXECINSTR, align: insnSize,
		})
		var section symbolID
		if text {
			section = w.elf.symbol(elfSymbol{bind: elf.STB_LOCAL, typ: elf.STT_SECTION, section: u.id})
		}
		offset := uint64(0)
		for _, fn := range u.funcs {
			if err := checkFlow(fn.Code); err != nil {
				return fmt.Errorf("function %q: %w", fn.Name, err)
			}
			slots := 0
			for i := range fn.Code {
				slots += fn.Code[i].slots()
			}
			bind, linkage := elf.STB_GLOBAL, btf.GlobalFunc
			if text && fn.Linkage == btf.StaticFunc {
				bind, linkage = elf.STB_LOCAL, btf.StaticFunc
			}
			size := uint64(slots) * insnSize
			if offset+size > math.MaxInt32 {
				return fmt.Errorf("section %s is larger than 2 GiB", u.name)
			}
			sym := w.elf.symbol(elfSymbol{name: fn.Name, bind: bind, typ: elf.STT_FUNC, section: u.id, value: offset, size: size})
			if text {
				t := target{kind: RefFunc, symbol: sym}
				if linkage == btf.StaticFunc {
					// Compilers refer to static functions through the section,
					// and that is the form that loaders know.
					t = target{kind: RefFunc, symbol: section, addend: int64(offset), static: true}
				}
				w.targets[fn.Name] = t
			}
			proto, err := function(fn.Name, linkage, fn.Params, fn.Return)
			if err != nil {
				return fmt.Errorf("function %q: %w", fn.Name, err)
			}
			id, err := w.types.add(proto)
			if err != nil {
				return fmt.Errorf("function %q: %w", fn.Name, err)
			}
			u.info.funcs = append(u.info.funcs, funcRecord{offset: uint32(offset), typ: id})
			offset += size
		}
	}
	return nil
}

func (w *writer) placeMaps() error {
	if len(w.file.Maps) == 0 {
		return nil
	}
	id := w.elf.add(elfSection{name: ".maps", typ: elf.SHT_PROGBITS, flags: elf.SHF_ALLOC | elf.SHF_WRITE, align: 8})
	ds := &btf.Datasec{Name: ".maps"}
	for i := range w.file.Maps {
		m := &w.file.Maps[i]
		v, def, err := mapVar(m)
		if err != nil {
			return fmt.Errorf("map %q: %w", m.Name, err)
		}
		sym := w.elf.symbol(elfSymbol{
			name: m.Name, bind: elf.STB_GLOBAL, typ: elf.STT_OBJECT, section: id,
			value: uint64(ds.Size), size: uint64(def.Size),
		})
		w.targets[m.Name] = target{kind: RefMap, symbol: sym}
		ds.Vars = append(ds.Vars, btf.VarSecinfo{Type: v, Offset: ds.Size, Size: def.Size})
		ds.Size += def.Size
	}
	w.elf.sections[id].data = make([]byte, ds.Size)
	_, err := w.types.add(ds)
	return err
}

func (w *writer) placeTables() error {
	for i := range w.file.Tables {
		t := &w.file.Tables[i]
		name := ".rodata." + t.Name
		id := w.elf.add(elfSection{name: name, typ: elf.SHT_PROGBITS, flags: elf.SHF_ALLOC, align: 8, data: t.Data})
		// References go through the section with the offset in the instruction:
		// the one form in which every loader adds an offset.
		section := w.elf.symbol(elfSymbol{bind: elf.STB_LOCAL, typ: elf.STT_SECTION, section: id})
		w.elf.symbol(elfSymbol{name: t.Name, bind: elf.STB_GLOBAL, typ: elf.STT_OBJECT, section: id, size: uint64(len(t.Data))})
		w.targets[t.Name] = target{kind: RefTable, symbol: section, size: len(t.Data)}
		size := uint32(len(t.Data))
		ds := &btf.Datasec{Name: name, Size: size, Vars: []btf.VarSecinfo{{Type: tableVar(t), Size: size}}}
		if _, err := w.types.add(ds); err != nil {
			return fmt.Errorf("table %q: %w", t.Name, err)
		}
	}
	return nil
}

// placeKfuncs declares kernel functions as compilers do: undefined symbols, and
// a section .ksyms that exists in BTF only.
func (w *writer) placeKfuncs() error {
	if len(w.file.Kfuncs) == 0 {
		return nil
	}
	ds := &btf.Datasec{Name: ".ksyms"}
	for i := range w.file.Kfuncs {
		k := &w.file.Kfuncs[i]
		bind := elf.STB_GLOBAL
		if k.Weak {
			bind = elf.STB_WEAK
		}
		w.targets[k.Name] = target{kind: RefKfunc, symbol: w.elf.symbol(elfSymbol{name: k.Name, bind: bind, typ: elf.STT_NOTYPE})}
		fn, err := function(k.Name, btf.ExternFunc, k.Params, k.Return)
		if err != nil {
			return fmt.Errorf("kernel function %q: %w", k.Name, err)
		}
		ds.Vars = append(ds.Vars, btf.VarSecinfo{Type: fn})
	}
	_, err := w.types.add(ds)
	return err
}

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
	name := strings.Join(append([]string{c.Struct}, c.Path...), ".")
	if in.Ref != (Ref{}) {
		return fmt.Errorf("kernel field %s beside a reference", name)
	}
	if c.Kind.onField() != (len(c.Path) > 0) {
		return fmt.Errorf("kernel field %s: the path does not go with the kind", name)
	}
	access, at, err := w.layouts.find(c.Struct, c.Path)
	if err != nil {
		return fmt.Errorf("kernel field %s: %w", name, err)
	}
	id, err := w.types.add(w.layouts.done[c.Struct].typ)
	if err != nil {
		return fmt.Errorf("kernel field %s: %w", name, err)
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
		return fmt.Errorf("kernel field %s: %w", name, err)
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
		scalar := at.field.Kind == KindInt || at.field.Kind == KindEnum || at.field.Kind == KindPointer
		if n := accessBytes(in.Op); scalar && n != at.size || n > at.size {
			return fmt.Errorf("access of %d bytes to a field of %d bytes", n, at.size)
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
