// Package types holds the types of the policy language and the Schema: the
// operations, fields and constants that a policy can name, as data. The schema
// is part of the language; how the kernel delivers a field is the business of
// kernel/hook, and compiler/target checks that the two tables agree.
package types

// Kind is the type of a value in a policy.
type Kind uint8

// The kinds. The zero value is invalid.
const (
	Bool   Kind = iota + 1
	Int         // signed 64-bit, wraps; kernel values are zero- or sign-extended
	String      // bytes, at most 255 of them (comm: 15)
	Path        // canonical path (docs/language.md, paths), "" when unnamed, at most 4,095 bytes
	Addr        // IPv4 or IPv6 address; IPv4-mapped IPv6 is IPv4; or none
	Flags       // set of named bits; `has` tests them
)

func (k Kind) String() string {
	switch k {
	case Bool:
		return "bool"
	case Int:
		return "int"
	case String:
		return "string"
	case Path:
		return "path"
	case Addr:
		return "addr"
	case Flags:
		return "flags"
	}
	return "invalid"
}

// Enum names constants: capabilities, signals, errnos, socket families, flags.
// Names are unique within the enum.
type Enum struct {
	Name   string // "cap", "signal", "family", "socktype", "access", "openflags", …
	Values []EnumValue
}

// EnumValue is one constant. For Flags kinds Value is a bit mask.
type EnumValue struct {
	Name  string
	Value int64
}

// Lookup finds a constant by name.
func (e *Enum) Lookup(name string) (int64, bool) {
	if e != nil {
		for _, v := range e.Values {
			if v.Name == name {
				return v.Value, true
			}
		}
	}
	return 0, false
}

// Field is a value that an event has.
type Field struct {
	Name string // as written in policies: "path", "new.uid", "target.comm"
	Kind Kind
	Enum *Enum // constants that may be compared with it; nil for plain values
	Doc  string
	// Unresolvable tells that the kernel may fail to give the value; then every
	// condition that needs it is unresolved (docs/language.md, fail closed).
	Unresolvable bool
	// Min and Max bound what the kernel can deliver, for kinds Int and Flags; both
	// 0: no bound is known. They serve warnings about conditions that never hold.
	Min, Max int64
	// MaxLen is the longest value in bytes, for kinds String and Path.
	MaxLen int
	// Verbatim marks a Path that is text as the process wrote it: it may be
	// relative and hold "..", "//" or a final "/".
	Verbatim bool
	// Unsupported, when not empty, tells why the field parses but is refused.
	Unsupported string
}

// Operation is something that a policy can allow or deny.
type Operation struct {
	Name   string // "file.open"
	Fields []*Field
	Doc    string
	// Paths names the fields that `path` stands for in a rule over a group:
	// {"path"} or {"path", "to"}; empty if the operation has no path.
	Paths []string
	// Errno is the name of the default errno of a denial: "EACCES" or "EPERM".
	Errno string
	// Unsupported, when not empty, tells why the operation is refused.
	Unsupported string
}

// Field finds a field of the operation, not of the subject.
func (o *Operation) Field(name string) *Field {
	for _, f := range o.Fields {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// Group names several operations: "file.*", "file.change".
type Group struct {
	Name string
	Ops  []*Operation
	Doc  string
}

// Group finds a group by name; nil if there is none.
func (s *Schema) Group(name string) *Group {
	for _, g := range s.Groups {
		if g.Name == name {
			return g
		}
	}
	return nil
}

// Enum finds an enum by name; nil if there is none.
func (s *Schema) Enum(name string) *Enum {
	for _, e := range s.Enums {
		if e.Name == name {
			return e
		}
	}
	return nil
}

// Unsupported lists the operations of the group that are refused, in schema order.
func (g *Group) Unsupported() []*Operation {
	var ops []*Operation
	for _, o := range g.Ops {
		if o.Unsupported != "" {
			ops = append(ops, o)
		}
	}
	return ops
}

// Schema is everything that policies can name. Slices are in a fixed order,
// which generated documents and ids follow.
type Schema struct {
	Operations []*Operation
	Groups     []*Group
	Subject    []*Field // fields that every operation has
	Enums      []*Enum
	Errnos     *Enum
}

// Operation finds an operation by name; nil if there is none.
func (s *Schema) Operation(name string) *Operation {
	for _, o := range s.Operations {
		if o.Name == name {
			return o
		}
	}
	return nil
}

// SubjectField finds a field of the subject by name; nil if there is none.
func (s *Schema) SubjectField(name string) *Field {
	for _, f := range s.Subject {
		if f.Name == name {
			return f
		}
	}
	return nil
}
