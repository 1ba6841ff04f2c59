//go:build !kernel

package object

import (
	"bytes"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/stretchr/testify/require"
)

func sockDefs() []Struct {
	return []Struct{
		{Name: "sock", Members: []Member{{Name: "__sk_common", Type: Embedded("sock_common")}, {Name: "sk_type", Type: Enum(4)}}},
		{Name: "sock_common", Members: []Member{
			{Name: "skc_family", Type: Uint(2)},
			{Name: "skc_v6_daddr", Type: Embedded("in6_addr")},
			{Name: "skc_sk", Type: PointerTo("sock")},
			{Name: "skc_any", Type: PointerTo("")},
		}},
		{Name: "in6_addr", Members: []Member{{Name: "in6_u", Type: Embedded("in6_words")}}},
		{Name: "in6_words", Union: true, Members: []Member{
			{Name: "u6_addr8", Type: ArrayOf(Uint(1), 16)},
			{Name: "u6_addr32", Type: ArrayOf(Uint(4), 4)},
		}},
		{Name: "table", Members: []Member{{Name: "first", Type: Sint(1)}, {Name: "rows", Type: ArrayOf(Embedded("row"), 3)}}},
		{Name: "row", Members: []Member{{Name: "a", Type: Uint(1)}, {Name: "b", Type: Sint(8)}}},
		{Name: "empty___old"},
	}
}

func TestLayout(t *testing.T) {
	l, err := newLayouts(sockDefs())
	require.NoError(t, err)
	for _, c := range []struct {
		strct  string
		path   []string
		access string
		offset uint32
		size   uint32
	}{
		{"sock", nil, "0", 0, 48},
		{"sock", []string{"sk_type"}, "0:1", 40, 4},
		{"sock", []string{"__sk_common", "skc_v6_daddr", "in6_u", "u6_addr32", "3"}, "0:0:1:0:1:3", 4 + 12, 4},
		{"sock", []string{"__sk_common", "skc_v6_daddr", "in6_u", "u6_addr8", "15"}, "0:0:1:0:0:15", 4 + 15, 1},
		{"sock_common", []string{"skc_sk"}, "0:2", 24, 8},
		{"table", []string{"rows"}, "0:1", 8, 48},
		{"table", []string{"rows", "2", "b"}, "0:1:2:1", 8 + 32 + 8, 8},
		{"empty___old", nil, "0", 0, 0},
	} {
		access, at, err := l.find(c.strct, c.path)
		require.NoError(t, err)
		require.Equal(t, c.access, access)
		require.Equal(t, c.offset, at.offset, "%s %v", c.strct, c.path)
		require.Equal(t, c.size, at.size, "%s %v", c.strct, c.path)
	}
}

func TestLayoutRefuses(t *testing.T) {
	one := func(t FieldType) []Struct { return []Struct{{Name: "s", Members: []Member{{Name: "m", Type: t}}}} }
	for _, c := range []struct {
		name, want string
		defs       []Struct
	}{
		{"name", "no C identifier", []Struct{{Name: "struct x"}}},
		{"twice", "described twice", []Struct{{Name: "s"}, {Name: "s"}}},
		{"member name", "no C identifier", []Struct{{Name: "s", Members: []Member{{Type: Uint(1)}}}}},
		{"member twice", "stands twice", []Struct{{Name: "s", Members: []Member{{Name: "m", Type: Uint(1)}, {Name: "m", Type: Uint(1)}}}}},
		{"integer", "integer of 3 bytes", one(Uint(3))},
		{"zero kind", "invalid kind", one(FieldType{})},
		{"embedded", "not described", one(Embedded("x"))},
		{"itself", "contains itself", one(Embedded("s"))},
		{"itself in an array", "contains itself", one(ArrayOf(Embedded("s"), 2))},
		{"array of nothing", "element type", one(FieldType{Kind: KindArray, Len: 2})},
		{"array of arrays", "element type", one(ArrayOf(ArrayOf(Uint(1), 2), 2))},
		{"array", "too large", one(ArrayOf(Uint(8), 1<<31))},
		{"sum", "too large", []Struct{{Name: "s", Members: []Member{
			{Name: "a", Type: ArrayOf(Uint(8), 1<<25)}, {Name: "b", Type: ArrayOf(Uint(8), 1<<25)},
		}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := newLayouts(c.defs)
			require.ErrorContains(t, err, c.want)
		})
	}
	l, err := newLayouts(sockDefs())
	require.NoError(t, err)
	for _, path := range [][]string{{"rows", "3"}, {"rows", "x"}, {"rows", "-1"}, {"rows", "0", "c"}, {"first", "0"}} {
		_, _, err := l.find("table", path)
		require.Error(t, err, "%v", path)
	}
}

// TestEveryCoreKind: each kind arrives as the loader's kind of that meaning,
// with the immediate or offset that the loader verifies.
func TestEveryCoreKind(t *testing.T) {
	f := sample()
	f.Structs = sockDefs()
	field := func(op uint8, kind CoreKind, strct string, path ...string) Insn {
		return Insn{Op: op, Core: &CoreField{Kind: kind, Struct: strct, Path: path}}
	}
	const mov = ClassALU64 | OpMov
	f.Programs[0].Code = join(at(1, 1, "policy sample",
		field(mov, FieldOffset, "sock", "sk_type"),
		field(mov, FieldSize, "sock_common", "skc_family"),
		field(ClassALU|OpMov, FieldExists, "sock", "__sk_common", "skc_v6_daddr"),
		field(OpLddw, TypeExists, "empty___old"),
		field(ClassALU64|OpAdd, TypeSize, "sock"),
		field(OpLddw, TypeID, "sock_common"),
		field(ClassSTX|ModeMEM|SizeW, FieldOffset, "sock", "sk_type"),
		field(ClassST|ModeMEM|SizeH, FieldOffset, "sock", "__sk_common", "skc_family"),
		field(ClassLDX|ModeMEMSX|SizeB, FieldOffset, "table", "first"),
	), []Insn{exit()})
	raw, err := Write(f)
	require.NoError(t, err)
	judge(t, raw)
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(raw))
	require.NoError(t, err)
	want := []struct {
		relo  string
		value int64
	}{
		{`byte_off, Struct:"sock"[0:1]`, 40},
		{`byte_sz, Struct:"sock_common"[0:0]`, 2},
		{`field_exists, Struct:"sock"[0:0:1]`, 1},
		{`type_exists, Struct:"empty___old"[0]`, 1},
		{`type_size, Struct:"sock"[0]`, 48},
		{`target_type_id, Struct:"sock_common"[0]`, -1},
		{`byte_off, Struct:"sock"[0:1]`, 40},
		{`byte_off, Struct:"sock"[0:0:0]`, 0},
		{`byte_off, Struct:"table"[0:0]`, 0},
	}
	for i, in := range spec.Programs["sample_file_open"].Instructions[:len(want)] {
		relo := btf.CORERelocationMetadata(&in)
		require.NotNil(t, relo)
		require.Contains(t, relo.String(), want[i].relo)
		value := in.Constant
		if in.OpCode.Class().IsLoad() || in.OpCode.Class().IsStore() {
			if !in.OpCode.IsDWordLoad() {
				value = int64(in.Offset)
			}
		}
		if want[i].value < 0 {
			id, err := spec.Types.TypeID(mustType(t, spec.Types, "sock_common"))
			require.NoError(t, err)
			require.EqualValues(t, id, value)
			continue
		}
		require.Equal(t, want[i].value, value, "instruction %d", i)
	}
}

func mustType(t *testing.T, spec *btf.Spec, name string) btf.Type {
	typ, err := spec.AnyTypeByName(name)
	require.NoError(t, err)
	return typ
}
