package object

import (
	"fmt"
	"math"
	"strconv"

	"github.com/cilium/ebpf/btf"
)

// layouts turns the Structs of a file into BTF and answers where a field lies in
// the local description.
type layouts struct {
	defs  map[string]*Struct
	done  map[string]*layout
	types map[string]btf.Type // what a pointer to the name points to
	open  map[string]bool     // being laid out: meeting it again is infinite size
	byKey map[FieldType]btf.Type
}

// layout is a described struct in memory.
type layout struct {
	def         *Struct
	typ         btf.Type // *btf.Struct or *btf.Union
	size, align uint32
	members     []placed
}

// placed is a type at a byte offset of something larger.
type placed struct {
	field  FieldType
	offset uint32
	size   uint32
}

func newLayouts(defs []Struct) (*layouts, error) {
	l := &layouts{
		defs:  make(map[string]*Struct, len(defs)),
		done:  make(map[string]*layout, len(defs)),
		types: make(map[string]btf.Type, len(defs)),
		open:  make(map[string]bool),
		byKey: make(map[FieldType]btf.Type),
	}
	for i := range defs {
		d := &defs[i]
		if !isIdentifier(d.Name) {
			return nil, fmt.Errorf("struct %q: the name is no C identifier", d.Name)
		}
		if l.defs[d.Name] != nil {
			return nil, fmt.Errorf("struct %q is described twice", d.Name)
		}
		l.defs[d.Name] = d
		// Pointers may lead to a struct before it is laid out, so the type's
		// identity exists from the start and is filled in later.
		if d.Union {
			l.types[d.Name] = &btf.Union{Name: d.Name}
		} else {
			l.types[d.Name] = &btf.Struct{Name: d.Name}
		}
	}
	for i := range defs {
		if _, err := l.of(defs[i].Name); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// of lays out a described struct.
func (l *layouts) of(name string) (*layout, error) {
	if lay := l.done[name]; lay != nil {
		return lay, nil
	}
	def := l.defs[name]
	if def == nil {
		return nil, fmt.Errorf("struct %q is not described", name)
	}
	if l.open[name] {
		return nil, fmt.Errorf("struct %q contains itself", name)
	}
	l.open[name] = true
	defer delete(l.open, name)

	lay := &layout{def: def, typ: l.types[name], align: 1}
	var end uint64
	var members []btf.Member
	seen := make(map[string]bool, len(def.Members))
	for _, m := range def.Members {
		if !isIdentifier(m.Name) || seen[m.Name] {
			return nil, fmt.Errorf("struct %q: member %q is no C identifier or stands twice", name, m.Name)
		}
		seen[m.Name] = true
		typ, size, align, err := l.field(m.Type)
		if err != nil {
			return nil, fmt.Errorf("struct %q, member %q: %w", name, m.Name, err)
		}
		off := uint64(0)
		if !def.Union {
			off = alignUp(end, uint64(align))
		}
		end = max(end, off+uint64(size))
		// Offsets are stored in bits, in 32 of them; instruction offsets are
		// checked where they are used.
		if end > math.MaxUint32/8 {
			return nil, fmt.Errorf("struct %q is too large", name)
		}
		lay.align = max(lay.align, align)
		lay.members = append(lay.members, placed{field: m.Type, offset: uint32(off), size: size})
		members = append(members, btf.Member{Name: m.Name, Type: typ, Offset: btf.Bits(off * 8)})
	}
	lay.size = uint32(alignUp(end, uint64(lay.align)))
	switch t := lay.typ.(type) {
	case *btf.Struct:
		t.Size, t.Members = lay.size, members
	case *btf.Union:
		t.Size, t.Members = lay.size, members
	}
	l.done[name] = lay
	return lay, nil
}

// field returns the BTF, size and alignment of a member type.
func (l *layouts) field(f FieldType) (typ btf.Type, size, align uint32, err error) {
	switch f.Kind {
	case KindInt, KindEnum:
		if f.Size != 1 && f.Size != 2 && f.Size != 4 && f.Size != 8 {
			return nil, 0, 0, fmt.Errorf("integer of %d bytes", f.Size)
		}
		return l.scalar(f), f.Size, f.Size, nil
	case KindPointer:
		return l.pointer(f.Name), 8, 8, nil
	case KindStruct:
		lay, err := l.of(f.Name)
		if err != nil {
			return nil, 0, 0, err
		}
		return lay.typ, lay.size, lay.align, nil
	case KindArray:
		if f.Elem == nil || f.Elem.Kind == KindArray {
			return nil, 0, 0, fmt.Errorf("array without a one-dimensional element type")
		}
		elem, size, align, err := l.field(*f.Elem)
		if err != nil {
			return nil, 0, 0, err
		}
		if total := uint64(size) * uint64(f.Len); total > math.MaxUint32/8 {
			return nil, 0, 0, fmt.Errorf("array of %d bytes is too large", total)
		}
		arr := &btf.Array{Index: l.scalar(Uint(4)), Type: elem, Nelems: f.Len}
		return arr, size * f.Len, align, nil
	default:
		return nil, 0, 0, fmt.Errorf("invalid kind of type %d", f.Kind)
	}
}

func (l *layouts) scalar(f FieldType) btf.Type {
	key := FieldType{Kind: f.Kind, Size: f.Size, Signed: f.Signed}
	if t := l.byKey[key]; t != nil {
		return t
	}
	var t btf.Type
	if f.Kind == KindEnum {
		t = &btf.Enum{Size: f.Size}
	} else {
		t = intType(f.Size, f.Signed)
	}
	l.byKey[key] = t
	return t
}

func (l *layouts) pointer(name string) btf.Type {
	key := FieldType{Kind: KindPointer, Name: name}
	if t := l.byKey[key]; t != nil {
		return t
	}
	var target btf.Type = &btf.Void{}
	if name != "" {
		if target = l.types[name]; target == nil {
			target = &btf.Fwd{Name: name, Kind: btf.FwdStruct}
		}
	}
	t := &btf.Pointer{Target: target}
	l.byKey[key] = t
	return t
}

// find follows a path from a struct. It returns the access string of the
// relocation record and where the path ends.
func (l *layouts) find(name string, path []string) (access string, at placed, err error) {
	lay, err := l.of(name)
	if err != nil {
		return "", at, err
	}
	access = "0"
	at = placed{field: Embedded(name), size: lay.size}
	for _, step := range path {
		switch at.field.Kind {
		case KindStruct:
			i, ok := l.member(at.field.Name, step)
			if !ok {
				return "", at, fmt.Errorf("struct %q has no member %q in its description", at.field.Name, step)
			}
			m := l.done[at.field.Name].members[i]
			access += ":" + strconv.Itoa(i)
			at = placed{field: m.field, offset: at.offset + m.offset, size: m.size}
		case KindArray:
			i, err := strconv.ParseUint(step, 10, 31)
			if err != nil || i >= uint64(at.field.Len) {
				return "", at, fmt.Errorf("%q is no index of an array of %d elements", step, at.field.Len)
			}
			_, size, _, err := l.field(*at.field.Elem)
			if err != nil {
				return "", at, err
			}
			access += ":" + strconv.FormatUint(i, 10)
			at = placed{field: *at.field.Elem, offset: at.offset + uint32(i)*size, size: size}
		default:
			return "", at, fmt.Errorf("%q is neither a member nor an index: the path ends at a pointer or number before it", step)
		}
	}
	return access, at, nil
}

func (l *layouts) member(strct, name string) (int, bool) {
	for i, m := range l.defs[strct].Members {
		if m.Name == name {
			return i, true
		}
	}
	return 0, false
}

func alignUp(n, align uint64) uint64 { return (n + align - 1) &^ (align - 1) }

// intType names integers as C does, which is what bpftool prints.
func intType(size uint32, signed bool) *btf.Int {
	names := map[uint32][2]string{
		1: {"unsigned char", "signed char"},
		2: {"unsigned short", "short"},
		4: {"unsigned int", "int"},
		8: {"unsigned long long", "long long"},
	}[size]
	if signed {
		return &btf.Int{Name: names[1], Size: size, Encoding: btf.Signed}
	}
	return &btf.Int{Name: names[0], Size: size}
}

// isIdentifier says that s is a C identifier, which every name in BTF must be.
// The kernel keeps at most 127 bytes of a name (KSYM_NAME_LEN).
func isIdentifier(s string) bool {
	if s == "" || len(s) > 127 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return true
}
