package object

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/cilium/ebpf/btf"
)

// types collects the BTF of a file. Types are copied before they are added: the
// builder merges equal types by rewriting the references in what it is given.
type types struct {
	builder *btf.Builder
}

func newTypes() (*types, error) {
	b, err := btf.NewBuilder(nil, &btf.BuilderOptions{Deduplicate: true})
	if err != nil {
		return nil, err
	}
	return &types{builder: b}, nil
}

func (t *types) add(typ btf.Type) (btf.TypeID, error) {
	return t.builder.Add(typ)
}

// function builds FUNC and FUNC_PROTO.
func function(name string, linkage btf.FuncLinkage, params []btf.FuncParam, ret btf.Type) (*btf.Func, error) {
	if ret == nil {
		return nil, fmt.Errorf("no return type")
	}
	proto := &btf.FuncProto{Return: ret, Params: params}
	for _, p := range params {
		if p.Type == nil {
			return nil, fmt.Errorf("parameter %q has no type", p.Name)
		}
		if !isIdentifier(p.Name) {
			return nil, fmt.Errorf("parameter %q: the name is no C identifier", p.Name)
		}
	}
	return &btf.Func{Name: name, Type: btf.Copy(proto), Linkage: linkage}, nil
}

// mapVar builds the variable that defines a map the way libbpf reads it: a
// struct whose numbers are the lengths of arrays and whose types are pointers.
func mapVar(m *Map) (*btf.Var, *btf.Struct, error) {
	def := &btf.Struct{}
	member := func(name string, typ btf.Type) {
		def.Members = append(def.Members, btf.Member{
			Name: name, Type: &btf.Pointer{Target: typ}, Offset: btf.Bits(def.Size * 8),
		})
		def.Size += 8
	}
	number := func(name string, n uint32) {
		member(name, &btf.Array{Index: intType(4, false), Type: intType(4, true), Nelems: n})
	}
	// A size of zero is left out, because that is how C writes it (ring
	// buffers, and bloom filters without a key).
	sized := func(name string, typ btf.Type, size uint32) error {
		if typ == nil {
			if size != 0 {
				number(name+"_size", size)
			}
			return nil
		}
		if size != 0 {
			return fmt.Errorf("both %s type and %s size are set", name, name)
		}
		n, err := btf.Sizeof(typ)
		if err != nil {
			return fmt.Errorf("%s type: %w", name, err)
		}
		if n <= 0 || int64(n) > math.MaxInt32 {
			return fmt.Errorf("%s type has %d bytes", name, n)
		}
		member(name, btf.Copy(typ))
		return nil
	}
	number("type", uint32(m.Type))
	if err := sized("key", m.Key, m.KeySize); err != nil {
		return nil, nil, err
	}
	if err := sized("value", m.Value, m.ValueSize); err != nil {
		return nil, nil, err
	}
	if m.MaxEntries != 0 {
		number("max_entries", m.MaxEntries)
	}
	if m.Flags != 0 {
		number("map_flags", m.Flags)
	}
	return &btf.Var{Name: m.Name, Type: def, Linkage: btf.GlobalVar}, def, nil
}

// tableVar builds the variable of a table: const unsigned char NAME[len].
func tableVar(t *Table) *btf.Var {
	return &btf.Var{
		Name: t.Name,
		Type: &btf.Const{Type: &btf.Array{
			Index: intType(4, false), Type: intType(1, false), Nelems: uint32(len(t.Data)),
		}},
		Linkage: btf.GlobalVar,
	}
}

// btfHeaderSize is the size of struct btf_header: magic, version, flags, header
// length, then offset and length of types and of strings.
const btfHeaderSize = 24

const btfMagic = 0xeb9f

// blob is marshalled BTF whose string table still grows: .BTF.ext keeps its
// section names, file names and source lines there.
type blob struct {
	head    []byte // header and types
	strings []byte
	index   map[string]uint32
}

func (t *types) blob() (*blob, error) {
	raw, err := t.builder.Marshal(nil, &btf.MarshalOptions{Order: binary.LittleEndian})
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	if len(raw) < btfHeaderSize || le.Uint16(raw) != btfMagic || le.Uint32(raw[4:]) != btfHeaderSize {
		return nil, fmt.Errorf("the BTF library changed its header")
	}
	start := btfHeaderSize + le.Uint32(raw[16:])
	if uint64(start)+uint64(le.Uint32(raw[20:])) != uint64(len(raw)) {
		return nil, fmt.Errorf("the BTF library no longer puts the strings last")
	}
	b := &blob{head: raw[:start:start], strings: raw[start:], index: make(map[string]uint32)}
	for off := 0; off < len(b.strings); {
		n := bytes.IndexByte(b.strings[off:], 0)
		if n < 0 {
			return nil, fmt.Errorf("the BTF library left a string open")
		}
		b.index[string(b.strings[off:off+n])] = uint32(off)
		off += n + 1
	}
	return b, nil
}

// str returns the offset of a string, adding it if it is new.
func (b *blob) str(s string) uint32 {
	off, ok := b.index[s]
	if !ok {
		off = uint32(len(b.strings))
		b.index[s] = off
		b.strings = append(append(b.strings, s...), 0)
	}
	return off
}

func (b *blob) bytes() ([]byte, error) {
	if len(b.strings) > maxBTFStrings {
		return nil, fmt.Errorf("names and source lines have %d bytes, more than the %d of a BTF string table", len(b.strings), maxBTFStrings)
	}
	binary.LittleEndian.PutUint32(b.head[20:], uint32(len(b.strings)))
	return append(b.head, b.strings...), nil
}

// funcRecord, lineRecord and coreRecord are the entries of .BTF.ext; offsets are
// in bytes within the section.
type funcRecord struct {
	offset uint32
	typ    btf.TypeID
}

type lineRecord struct {
	offset     uint32
	file, text string
	line, col  uint32
}

type coreRecord struct {
	offset uint32
	typ    btf.TypeID
	access string
	kind   uint32
}

// extInfo holds the records of one code section, offsets ascending.
type extInfo struct {
	section string
	funcs   []funcRecord
	lines   []lineRecord
	cores   []coreRecord
}

// appendExt encodes .BTF.ext: a header of 32 bytes, then per kind the record
// size and, per section, its name, number of records and records.
func appendExt(b *blob, infos []extInfo) []byte {
	le := binary.LittleEndian
	var parts [3][]byte
	sizes := [3]uint32{8, 16, 16}
	for kind := range parts {
		p := le.AppendUint32(nil, sizes[kind])
		for _, info := range infos {
			n := [3]int{len(info.funcs), len(info.lines), len(info.cores)}[kind]
			if n == 0 {
				continue
			}
			p = le.AppendUint32(p, b.str(info.section))
			p = le.AppendUint32(p, uint32(n))
			switch kind {
			case 0:
				for _, r := range info.funcs {
					p = le.AppendUint32(p, r.offset)
					p = le.AppendUint32(p, uint32(r.typ))
				}
			case 1:
				for _, r := range info.lines {
					p = le.AppendUint32(p, r.offset)
					p = le.AppendUint32(p, b.str(r.file))
					p = le.AppendUint32(p, b.str(r.text))
					p = le.AppendUint32(p, r.line<<10|r.col)
				}
			case 2:
				for _, r := range info.cores {
					p = le.AppendUint32(p, r.offset)
					p = le.AppendUint32(p, uint32(r.typ))
					p = le.AppendUint32(p, b.str(r.access))
					p = le.AppendUint32(p, r.kind)
				}
			}
		}
		parts[kind] = p
	}
	if len(parts[2]) == 4 {
		parts[2] = nil // a record size without records is malformed there
	}
	out := le.AppendUint16(nil, btfMagic)
	out = append(out, 1, 0)          // version, flags
	out = le.AppendUint32(out, 8+24) // header length
	off := uint32(0)
	for _, p := range parts {
		out = le.AppendUint32(out, off)
		out = le.AppendUint32(out, uint32(len(p)))
		off += uint32(len(p))
	}
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}
