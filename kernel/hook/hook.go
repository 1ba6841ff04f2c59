// Package hook is the table of LSM hooks: which operations of the language
// each gives, which fields, and how each field is read. It is data: the
// compiler turns it into programs, the loader checks it against the running
// kernel's BTF, and the reference page is printed from it.
//
// Names of operations and fields equal those of the language's schema; a test
// in compiler/target compares the two tables.
package hook

// Hook is one LSM hook that a policy may need.
type Hook struct {
	Name   string // as in lsm/NAME and bpf_lsm_NAME
	Number uint16 // index into abi.Space.HookLayers; append-only
	Args   []Arg
	// Skip: events that are no concern of policies; such an event is allowed
	// before anything else is looked at.
	Skip []Guard
	// Instances are the operations of one event, in the order in which they are
	// judged; those whose guards hold are active.
	Instances []Instance
	Fields    []Field
	// Absent, when not empty, tells why a kernel may lack the hook without harm (its
	// operations then arrive at another hook of the table); the loader leaves it out.
	Absent string
	// Retried, when not 0, is a positive errno that makes the kernel ask again
	// for ever: no verdict may be this.
	Retried int32
	// EventArgs names up to four fields whose values travel in abi.Event.Args.
	EventArgs []string
	Doc       string
}

// Arg is an argument of the hook, as BTF describes it.
type Arg struct {
	Name string
	// Struct is the struct that a pointer argument points to; "" for a scalar.
	Struct string
	// Size in bytes and Signed describe a scalar. The hook's context has 8 bytes
	// per argument; the upper ones of a smaller scalar are not defined.
	Size   uint8
	Signed bool
}

// Instance is an operation that an event of this hook may be.
type Instance struct {
	Op     string
	Guards []Guard // all must hold; none: always
	// Swap exchanges the fields path and to (RENAME_EXCHANGE).
	Swap bool
}

// Guard holds if (field & Mask) is one of Values, or with Not if it is none of them.
type Guard struct {
	Field  string
	Mask   int64
	Values []int64
	Not    bool
}

// Cost orders fields by how much it takes to read them.
type Cost uint8

// The costs; the zero value is invalid.
const (
	CostArg    Cost = iota + 1 // an argument or a few loads from it
	CostTask                   // loads from the current task
	CostCall                   // a helper call
	CostBuffer                 // copies memory (sockaddr, comm)
	CostPath                   // builds a path
)

// Field tells how a value is read at one hook.
type Field struct {
	Name string
	// Read is the recipe.
	Read Read
	Cost Cost
	// Internal fields are for guards and have no name in the language.
	Internal bool
}

// Read is a recipe. Exactly one of the types below.
type Read interface{ read() }

type (
	// Scalar follows a chain of loads and yields an integer, after which
	// value = (value >> Shift) & Mask (Mask 0: all bits), sign-extended if Signed.
	Scalar struct {
		Base   Base
		Steps  []Step
		Size   uint8 // of the last load in bytes; for an argument, of the argument
		Signed bool
		Shift  uint8
		Mask   int64
	}
	// Computed is a value with code of its own in compiler/rt, by name; see Computed names.
	Computed struct{ Name ComputedName }
	// FilePath is the path of a struct file, d_path's result with the rules of
	// docs/language.md; Base and Steps lead to a pointer to struct file.
	FilePath struct {
		Base  Base
		Steps []Step
	}
	// PathPath is the path of a struct path argument.
	PathPath struct{ Arg int }
	// EntryPath is directory path + "/" + the dentry's name: Dir is a struct path
	// argument, Dentry a struct dentry argument. The entry may not exist yet.
	EntryPath struct{ Dir, Dentry int }
	// LinkPath is the path of the Dentry argument, on the mount of the struct path
	// argument Dir: what link(2) is given as the old name.
	LinkPath struct{ Dir, Dentry int }
	// ArgString is a NUL-terminated kernel string argument (symlink target),
	// kind Path or String; unresolved if longer than 4,095 bytes.
	ArgString struct{ Arg int }
	// Comm is the 16-byte comm of the current task, or of a task argument.
	Comm struct{ Base Base }
)

func (Scalar) read()    {}
func (Computed) read()  {}
func (FilePath) read()  {}
func (PathPath) read()  {}
func (EntryPath) read() {}
func (LinkPath) read()  {}
func (ArgString) read() {}
func (Comm) read()      {}

// Base is where a chain of loads starts.
type Base struct {
	Current bool // the current task, struct task_struct
	Arg     int  // else this argument
}

// Step is one load: at the member path Members of struct Struct. The next step
// starts from the pointer that it loads. Members may descend into embedded
// structs: {"linux_binprm", {"file"}}, {"inode", {"i_uid", "val"}}.
type Step struct {
	Struct  string
	Members []string
}

// ComputedName names a value with code of its own.
type ComputedName string

// Computed values. All yield an integer.
const (
	ComputedAccess   ComputedName = "access"     // file_open: read 1, write 2, append 4, exec 8 (docs/language.md)
	ComputedDeleted  ComputedName = "deleted"    // file_open: the dentry is unlinked
	ComputedMemfd    ComputedName = "memfd"      // file has no name in a filesystem: memfd, O_TMPFILE, pipe, anonymous inode
	ComputedExecAnon ComputedName = "exec.memfd" // the same for linux_binprm.file
	ComputedSetid    ComputedName = "setid"      // exec: S_ISUID, or S_ISGID with group execute, and the mount is not nosuid
	ComputedDev      ComputedName = "dev"        // file_open: st_dev as stat(2) gives it (new_encode_dev)
	ComputedSockPort ComputedName = "sock.port"  // listen: local port
	ComputedPort     ComputedName = "port"       // bind, connect: port of the sockaddr; unresolvable
	ComputedAddr     ComputedName = "addr"       // bind, connect: address of the sockaddr; unresolvable; kind Addr
	ComputedSockAddr ComputedName = "sock.addr"  // listen: local address; kind Addr
)

// Operations lists the operations that the table's hooks give, in the order of
// first mention. The index is the operation's number in events, which policies
// that are already loaded keep using: the order is append-only, like hook numbers.
func Operations() []string {
	var out []string
	seen := map[string]bool{}
	for _, h := range Hooks() {
		for _, in := range h.Instances {
			if !seen[in.Op] {
				seen[in.Op] = true
				out = append(out, in.Op)
			}
		}
	}
	return out
}
