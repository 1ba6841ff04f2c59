package object

import (
	"debug/elf"
	"fmt"
	"math"

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
