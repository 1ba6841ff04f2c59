package object

import "strings"

// CoreKind says what a CO-RE relocation asks about the running kernel.
type CoreKind uint8

// The kinds of relocations. The zero value is invalid.
const (
	// FieldOffset is the position of a field in bytes. On a load or store, which
	// must be exactly as wide as the field, it becomes Off, else (mov, add …
	// immediate; 64-bit immediate load) Imm. If the kernel has no such field,
	// loaders put an invalid instruction there, which the verifier refuses unless
	// a test by FieldExists keeps it from being reached.
	FieldOffset CoreKind = iota + 1
	// FieldSize is the size of a field in bytes.
	FieldSize
	// FieldExists is 1 if the kernel's type has the field, else 0.
	FieldExists
	// TypeExists is 1 if the kernel has the type, else 0.
	TypeExists
	// TypeSize is the size of the kernel's type in bytes.
	TypeSize
	// TypeID is the BTF id of the kernel's type, as bpf_rdonly_cast wants it.
	TypeID
)

// wireKind maps to enum bpf_core_relo_kind (include/uapi/linux/bpf.h).
func (k CoreKind) wireKind() (uint32, bool) {
	switch k {
	case FieldOffset:
		return 0, true
	case FieldSize:
		return 1, true
	case FieldExists:
		return 2, true
	case TypeID:
		return 7, true
	case TypeExists:
		return 8, true
	case TypeSize:
		return 9, true
	default:
		return 0, false
	}
}

// onField says that the kind needs a path to a field.
func (k CoreKind) onField() bool {
	return k == FieldOffset || k == FieldSize || k == FieldExists
}

// CoreField names a kernel type or a field of it.
//
// Path leads from the type to the field: member names, and decimal indices where
// a member is an array, as in {"sock_common", ["skc_v6_daddr", "in6_u", "u6_addr32", "3"]}.
// It never crosses a pointer: that takes one load, and so one CoreField, each.
// Anonymous structs and unions of the kernel are left out of the path. For the
// Type kinds it is empty.
type CoreField struct {
	Kind   CoreKind
	Struct string // name of a Struct of the File
	Path   []string
}

// String is the type and path with dots, for messages.
func (c *CoreField) String() string {
	return strings.Join(append([]string{c.Struct}, c.Path...), ".")
}

// Struct is the local description of a kernel struct or union: its name and
// those members that the programs read. Order and offsets are free, for CO-RE
// finds each member in the running kernel by name; kind and size of a member
// must agree with the kernel's. A suffix "___x" of the name tells apart two
// descriptions of one kernel type, such as those of different kernel versions.
type Struct struct {
	Name    string
	Union   bool
	Members []Member
}

// Member is one member of a Struct.
type Member struct {
	Name string
	Type FieldType
}

// FieldKind is the kind of a member's type.
type FieldKind uint8

// The kinds of member types. The zero value is invalid.
const (
	KindInt FieldKind = iota + 1
	KindEnum
	KindPointer
	KindStruct
	KindArray
)

// FieldType is the type of a member. Build it with Uint, Sint, Enum, PointerTo,
// Embedded or ArrayOf.
type FieldType struct {
	Kind   FieldKind
	Size   uint32     // KindInt, KindEnum: bytes
	Signed bool       // KindInt
	Name   string     // KindStruct: a Struct of the File. KindPointer: a struct, described or not; "" for void
	Elem   *FieldType // KindArray
	Len    uint32     // KindArray: number of elements
}

// Uint is an unsigned integer, boolean or character of 1, 2, 4 or 8 bytes.
func Uint(size uint32) FieldType { return FieldType{Kind: KindInt, Size: size} }

// Sint is a signed integer of 1, 2, 4 or 8 bytes.
func Sint(size uint32) FieldType { return FieldType{Kind: KindInt, Size: size, Signed: true} }

// Enum is an enumeration of 1, 2, 4 or 8 bytes. CO-RE matches it only with an
// enumeration of the kernel, as it matches integers only with integers.
func Enum(size uint32) FieldType { return FieldType{Kind: KindEnum, Size: size} }

// PointerTo is a pointer to a struct, or to void if the name is empty.
func PointerTo(name string) FieldType { return FieldType{Kind: KindPointer, Name: name} }

// Embedded is a described struct as a member.
func Embedded(name string) FieldType { return FieldType{Kind: KindStruct, Name: name} }

// ArrayOf is an array of n elements.
func ArrayOf(elem FieldType, n uint32) FieldType {
	return FieldType{Kind: KindArray, Elem: &elem, Len: n}
}
