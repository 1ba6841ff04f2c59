package hook

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/kernel/abi"
)

// Everything that a recipe names must exist: arguments, guards' fields, event
// arguments, and each kernel member in Structs.
func TestTableIsConsistent(t *testing.T) {
	members := map[string]bool{}
	for _, s := range Structs() {
		for _, m := range s.Members {
			members[s.Name+"."+m.Name] = true
		}
	}
	hooks := Hooks()
	require.LessOrEqual(t, len(hooks), abi.MaxHooks)
	seen := map[string]bool{}
	for i, h := range hooks {
		require.Equal(t, uint16(i), h.Number)
		require.False(t, seen[h.Name], h.Name)
		seen[h.Name] = true
		require.NotEmpty(t, h.Doc, h.Name)
		require.NotEmpty(t, h.Instances, h.Name)
		require.LessOrEqual(t, len(h.EventArgs), 4, h.Name)
		fields := map[string]Field{}
		for _, f := range append(Subject(), h.Fields...) {
			if _, dup := fields[f.Name]; dup {
				require.Contains(t, []string{"mode"}, f.Name, "%s: field twice", h.Name)
			}
			fields[f.Name] = f
			require.NotZero(t, f.Cost, "%s.%s", h.Name, f.Name)
			for _, a := range argsOf(f.Read) {
				require.Less(t, a, len(h.Args), "%s.%s", h.Name, f.Name)
			}
			for _, s := range stepsOf(f.Read) {
				require.True(t, members[s.Struct+"."+s.Members[0]], "%s.%s: %s.%s is not in Structs", h.Name, f.Name, s.Struct, s.Members[0])
			}
		}
		var guards []Guard
		guards = append(guards, h.Skip...)
		for _, in := range h.Instances {
			guards = append(guards, in.Guards...)
			if in.Swap {
				require.Contains(t, fields, "to", h.Name)
			}
		}
		for _, g := range guards {
			require.Contains(t, fields, g.Field, h.Name)
			require.NotEmpty(t, g.Values, h.Name)
		}
		for _, a := range h.EventArgs {
			require.Contains(t, fields, a, h.Name)
		}
	}
}

func stepsOf(r Read) []Step {
	switch r := r.(type) {
	case Scalar:
		return r.Steps
	case FilePath:
		return r.Steps
	}
	return nil
}

func argsOf(r Read) []int {
	base := func(b Base) []int {
		if b.Current {
			return nil
		}
		return []int{b.Arg}
	}
	switch r := r.(type) {
	case Scalar:
		return base(r.Base)
	case FilePath:
		return base(r.Base)
	case Comm:
		return base(r.Base)
	case PathPath:
		return []int{r.Arg}
	case EntryPath:
		return []int{r.Dir, r.Dentry}
	case LinkPath:
		return []int{r.Dir, r.Dentry}
	case ArgString:
		return []int{r.Arg}
	}
	return nil
}

func TestStructsAreSortedAndClosed(t *testing.T) {
	structs := Structs()
	require.True(t, slices.IsSortedFunc(structs, func(a, b Struct) int { return strings.Compare(a.Name, b.Name) }))
	names := map[string]bool{"void": true, "char": true, "mnt_namespace": true, "in6_u": true}
	for _, s := range structs {
		names[s.Name] = true
	}
	for _, s := range structs {
		for _, m := range s.Members {
			if kind, name, ok := strings.Cut(m.Type, ":"); ok {
				require.Contains(t, []string{"ptr", "struct"}, kind)
				require.True(t, names[name], "%s.%s: %s", s.Name, m.Name, name)
			}
		}
	}
}

// Numbers of operations are in events of programs that are already loaded.
func TestOperationNumbers(t *testing.T) {
	require.Equal(t, []string{"exec", "file.open", "file.read", "file.write", "file.create", "file.mknod", "file.mkdir", "file.symlink",
		"file.unlink", "file.rmdir", "file.rename", "file.link", "file.truncate", "file.chmod", "file.chown",
		"net.socket", "net.bind", "net.connect", "net.listen", "process.signal", "process.ptrace", "capability"}, Operations())
}
