package types

import (
	"fmt"
	"strings"
	"sync"
)

// MaxPath is the longest path that a policy can judge, in bytes: PATH_MAX of
// include/uapi/linux/limits.h without the final NUL.
const MaxPath = 4095

// MaxComm is the longest comm in bytes: TASK_COMM_LEN of include/linux/sched.h without the NUL.
const MaxComm = 15

// MaxString is the longest value of any other field of kind String, in bytes.
const MaxString = 255

// Language is the schema of the language on amd64: built once, shared, not to
// be changed. Other architectures differ in the numbers of some open flags;
// see LanguageFor.
func Language() *Schema { return language[AMD64]() }

// LanguageFor is the schema for an architecture, AMD64 or ARM64; built once,
// shared, not to be changed. Any other name is an error.
func LanguageFor(arch string) (*Schema, error) {
	if build, ok := language[arch]; ok {
		return build(), nil
	}
	return nil, fmt.Errorf("unknown architecture %q: the language knows %s and %s", arch, AMD64, ARM64)
}

var language = map[string]func() *Schema{
	AMD64: sync.OnceValue(func() *Schema { return newSchema(AMD64) }),
	ARM64: sync.OnceValue(func() *Schema { return newSchema(ARM64) }),
}

// Reasons for what the language names and this version refuses.
const (
	notMediated = "this version does not mediate it"
	notRead     = "this version does not read it"
)

// maxID is the largest user or group id: kernel ids are unsigned 32-bit.
const maxID = 1<<32 - 1

// maxPID is the largest process id: PID_MAX_LIMIT of include/linux/threads.h.
const maxPID = 4 << 20

// schemaBuilder holds what several operations share while the schema is built.
type schemaBuilder struct {
	s    *Schema
	enum map[string]*Enum
}

func newSchema(arch string) *Schema {
	b := &schemaBuilder{s: &Schema{Enums: enums(arch), Errnos: &Enum{Name: "errno", Values: errnos}}, enum: map[string]*Enum{}}
	for _, e := range b.s.Enums {
		b.enum[e.Name] = e
	}
	b.subject()
	b.fileOps()
	b.netOps()
	b.processOps()
	b.otherOps()
	b.groups()
	return b.s
}

// op adds an operation. The default errno follows its name (docs/language.md, verdicts).
func (b *schemaBuilder) op(name, doc string, fields ...*Field) *Operation {
	o := &Operation{Name: name, Doc: doc, Fields: fields, Errno: "EPERM"}
	switch family, _, _ := strings.Cut(name, "."); family {
	case "exec", "file", "fs", "net", "unix":
		o.Errno = "EACCES"
	}
	for _, f := range fields {
		if f.Kind == Path && !f.Verbatim && (f.Name == "path" || f.Name == "to") {
			o.Paths = append(o.Paths, f.Name)
		}
	}
	b.s.Operations = append(b.s.Operations, o)
	return o
}

// later adds an operation that this version refuses.
func (b *schemaBuilder) later(name, doc string, fields ...*Field) {
	b.op(name, doc, fields...).Unsupported = notMediated
}

func (f Field) later() *Field {
	f.Unsupported = notRead
	return &f
}

func boolean(name, doc string) *Field { return &Field{Name: name, Kind: Bool, Doc: doc} }

func integer(name, doc string, low, high int64) *Field {
	return &Field{Name: name, Kind: Int, Doc: doc, Min: low, Max: high}
}

func id(name, doc string) *Field { return integer(name, doc, 0, maxID) }

func text(name, doc string, longest int) *Field {
	return &Field{Name: name, Kind: String, Doc: doc, MaxLen: longest}
}

func path(name, doc string) *Field {
	return &Field{Name: name, Kind: Path, Doc: doc, MaxLen: MaxPath, Unresolvable: true}
}

// named is an integer or a flag set whose values have names.
func (b *schemaBuilder) named(k Kind, name, enum, doc string, low, high int64) *Field {
	e := b.enum[enum]
	if e == nil {
		panic("types: no enum " + enum)
	}
	return &Field{Name: name, Kind: k, Enum: e, Doc: doc, Min: low, Max: high}
}

func (b *schemaBuilder) subject() {
	b.s.Subject = []*Field{
		id("uid", "real user id of the caller, as the initial user namespace sees it"),
		id("euid", "effective user id"),
		id("gid", "real group id"),
		id("egid", "effective group id"),
		integer("pid", "process id in the initial pid namespace; equal to tgid", 0, maxPID),
		integer("tid", "thread id in the initial pid namespace", 0, maxPID),
		integer("tgid", "thread group id: the process id", 0, maxPID),
		integer("ppid", "process id of the parent", 0, maxPID),
		text("comm", "name of the calling thread; any process can change its own, so it identifies nothing", MaxComm),
		b.named(Flags, "caps", "caps", "effective capability set: bit 1<<CAP", 0, 0),
		path("exe", "path of the program that the process runs, as of its last exec").later(),
		text("parent.comm", "comm of the parent process", MaxComm).later(),
		path("parent.exe", "exe of the parent process").later(),
		path("cgroup", "path of the process's cgroup, from the root of the hierarchy").later(),
		integer("ns.pid", "inode number of the pid namespace", 0, 0).later(),
		integer("ns.mnt", "inode number of the mount namespace", 0, 0).later(),
		integer("ns.net", "inode number of the network namespace", 0, 0).later(),
		integer("ns.user", "inode number of the user namespace", 0, 0).later(),
		integer("depth", "number of policies in the namespace's stack", 1, 16).later(),
	}
}

// groups adds NAME.* for every first part of an operation's name that more
// than one operation has, then the two groups that cut across.
func (b *schemaBuilder) groups() {
	members := map[string][]*Operation{}
	var order []string
	for _, o := range b.s.Operations {
		family, _, dotted := strings.Cut(o.Name, ".")
		if !dotted {
			continue
		}
		if members[family] == nil {
			order = append(order, family)
		}
		members[family] = append(members[family], o)
	}
	for _, family := range order {
		b.s.Groups = append(b.s.Groups, &Group{Name: family + ".*", Ops: members[family],
			Doc: "every operation whose name starts with " + family + "."})
	}
	pick := func(name, doc, short string) {
		g := &Group{Name: name, Doc: doc}
		want := map[string]bool{}
		for _, s := range strings.Fields(short) {
			want["file."+s] = true
		}
		for _, o := range b.s.Operations {
			if want[o.Name] {
				g.Ops = append(g.Ops, o)
			}
		}
		b.s.Groups = append(b.s.Groups, g)
	}
	pick("file.see", "everything that shows a file's contents: open and read", "open read")
	pick("file.change", "everything that changes a file, its name or its attributes",
		"write create mkdir mknod symlink unlink rmdir rename link truncate chmod chown")
}
