package target

import (
	"fmt"
	"strings"

	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/kernel/hook"
)

// Structs describes the kernel structs of the hook table as objects need them.
// A struct that only other structs embed, and none of whose members is read,
// has no members. It panics if the table names a type of unknown form.
func Structs() []object.Struct {
	var out []object.Struct
	known := map[string]bool{}
	var embedded []string
	for _, s := range hook.Structs() {
		known[s.Name] = true
		o := object.Struct{Name: s.Name}
		for _, m := range s.Members {
			t := fieldType(m.Type)
			if t.Kind == object.KindStruct {
				embedded = append(embedded, t.Name)
			}
			o.Members = append(o.Members, object.Member{Name: m.Name, Type: t})
		}
		out = append(out, o)
	}
	for _, name := range embedded {
		if !known[name] {
			known[name] = true
			out = append(out, object.Struct{Name: name})
		}
	}
	return out
}

// fieldType translates hook.Member.Type.
func fieldType(s string) object.FieldType {
	var n uint32
	switch kind, name, _ := strings.Cut(s, ":"); {
	case kind == "ptr" && name == "void":
		return object.PointerTo("")
	case kind == "ptr" && name != "":
		return object.PointerTo(name)
	case kind == "struct" && name != "":
		return object.Embedded(name)
	case scan(s, "char[%d]", &n):
		return object.ArrayOf(object.Uint(1), n)
	case scan(s, "u%d", &n):
		return object.Uint(n / 8)
	case scan(s, "s%d", &n):
		return object.Sint(n / 8)
	}
	panic("target: kernel member of unknown type " + s)
}

// scan reads the one number of a format; nothing may follow.
func scan(s, format string, n *uint32) bool {
	if _, err := fmt.Sscanf(s, format, n); err != nil {
		return false
	}
	return fmt.Sprintf(format, *n) == s && *n > 0
}
