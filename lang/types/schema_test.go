package types_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/lang/types"
)

func TestLanguageIsBuiltOnce(t *testing.T) {
	require.Same(t, types.Language(), types.Language())
	amd, err := types.LanguageFor(types.AMD64)
	require.NoError(t, err)
	require.Same(t, types.Language(), amd)
	_, err = types.LanguageFor("riscv64")
	require.ErrorContains(t, err, "riscv64")
}

// Fields of an operation never hide those of the subject, fields of one name
// have one kind wherever rules over several operations may mix them, and every
// text that docs are made of is there.
func TestSchemaIsWellFormed(t *testing.T) {
	for _, arch := range []string{types.AMD64, types.ARM64} {
		s, err := types.LanguageFor(arch)
		require.NoError(t, err)
		name := regexp.MustCompile(`^[a-z][a-z0-9-]*(\.[a-z]+)?$`)
		fieldName := regexp.MustCompile(`^[a-z][a-z0-9_-]*(\.[a-z]+)?$`)
		subject := map[string]bool{}
		check := func(where string, f *types.Field) {
			t.Helper()
			require.Regexp(t, fieldName, f.Name, where)
			require.NotEmpty(t, f.Doc, "%s %s", where, f.Name)
			require.NotEqual(t, "invalid", f.Kind.String(), "%s %s", where, f.Name)
			require.LessOrEqual(t, f.Min, f.Max)
			if f.Kind == types.Path || f.Kind == types.String {
				require.Positive(t, f.MaxLen, "%s %s", where, f.Name)
			} else {
				require.Zero(t, f.MaxLen, "%s %s", where, f.Name)
			}
			if f.Unresolvable {
				require.Contains(t, []string{"path", "to", "target", "addr", "port", "exe", "parent.exe", "cgroup"}, f.Name)
			}
		}
		for _, f := range s.Subject {
			check("subject", f)
			require.False(t, subject[f.Name])
			subject[f.Name] = true
			require.Same(t, f, s.SubjectField(f.Name))
		}
		ops := map[string]bool{}
		for _, o := range s.Operations {
			require.Regexp(t, name, o.Name)
			require.False(t, ops[o.Name], o.Name)
			ops[o.Name] = true
			require.NotEmpty(t, o.Doc, o.Name)
			require.Same(t, o, s.Operation(o.Name))
			_, ok := s.Errnos.Lookup(o.Errno)
			require.True(t, ok, o.Name)
			seen := map[string]bool{}
			for _, f := range o.Fields {
				check(o.Name, f)
				require.False(t, subject[f.Name], "%s of %s hides the subject's", f.Name, o.Name)
				require.False(t, seen[f.Name], "%s twice in %s", f.Name, o.Name)
				seen[f.Name] = true
			}
			for _, p := range o.Paths {
				require.NotNil(t, o.Field(p), "%s %s", o.Name, p)
			}
		}
		groups := map[string]bool{}
		for _, g := range s.Groups {
			require.False(t, ops[g.Name] || groups[g.Name], g.Name)
			groups[g.Name] = true
			require.NotEmpty(t, g.Ops, g.Name)
			require.NotEmpty(t, g.Doc, g.Name)
			require.Same(t, g, s.Group(g.Name))
		}
		require.Nil(t, s.Operation("file.frobnicate"))
		require.Nil(t, s.Group("exec.*"))
		require.Nil(t, s.SubjectField("path"))
	}
}

// What this version supports is decided; a change here is a change of the language.
func TestSupportedOperations(t *testing.T) {
	s := types.Language()
	var ops []string
	for _, o := range s.Operations {
		if o.Unsupported != "" {
			continue
		}
		fields := []string{}
		for _, f := range o.Fields {
			if f.Unsupported == "" {
				fields = append(fields, f.Name+":"+f.Kind.String())
			}
		}
		ops = append(ops, o.Name+" "+o.Errno+" ["+strings.Join(o.Paths, " ")+"] "+strings.Join(fields, " "))
	}
	const open = "path:path access:flags flags:flags owner:int group:int mode:int dev:int ino:int deleted:bool memfd:bool"
	const sock = "family:int type:int protocol:int"
	const target = "target.uid:int target.comm:string target.pid:int"
	require.Equal(t, []string{
		"exec EACCES [path] path:path owner:int mode:int setid:bool memfd:bool",
		"file.open EACCES [path] " + open,
		"file.read EACCES [path] " + open,
		"file.write EACCES [path] " + open + " append:bool",
		"file.create EACCES [path] path:path mode:int",
		"file.mkdir EACCES [path] path:path mode:int",
		"file.mknod EACCES [path] path:path mode:int",
		"file.symlink EACCES [path] path:path target:path",
		"file.unlink EACCES [path] path:path",
		"file.rmdir EACCES [path] path:path",
		"file.rename EACCES [path to] path:path to:path",
		"file.link EACCES [path to] path:path to:path",
		"file.truncate EACCES [path] path:path",
		"file.chmod EACCES [path] path:path mode:int",
		"file.chown EACCES [path] path:path new.uid:int new.gid:int",
		"net.socket EACCES [] " + sock,
		"net.bind EACCES [] " + sock + " addr:addr port:int",
		"net.connect EACCES [] " + sock + " addr:addr port:int",
		"net.listen EACCES [] " + sock + " addr:addr port:int",
		"process.signal EPERM [] signal:int " + target,
		"process.ptrace EPERM [] mode:flags " + target,
		"capability EPERM [] cap:int",
	}, ops)
	var subject []string
	for _, f := range s.Subject {
		if f.Unsupported == "" {
			subject = append(subject, f.Name)
		}
	}
	require.Equal(t, "uid euid gid egid pid tid tgid ppid comm caps", strings.Join(subject, " "))
	for _, complete := range []string{"file.change", "file.see"} {
		require.Empty(t, s.Group(complete).Unsupported(), complete)
	}
	for _, partial := range []string{"file.*", "net.*", "process.*", "fs.*", "kernel.*"} {
		require.NotEmpty(t, s.Group(partial).Unsupported(), partial)
	}
	require.Len(t, s.Group("file.change").Ops, 12)
}

func TestEnumNamesAreUnique(t *testing.T) {
	s := types.Language()
	for _, e := range append(s.Enums[:len(s.Enums):len(s.Enums)], s.Errnos) {
		seen := map[string]bool{}
		require.Same(t, e, map[bool]*types.Enum{true: s.Errnos, false: s.Enum(e.Name)}[e == s.Errnos])
		for i, v := range e.Values {
			require.False(t, seen[v.Name], v.Name)
			seen[v.Name] = true
			if e.Name != types.EnumOpen && i > 0 {
				require.LessOrEqual(t, e.Values[i-1].Value, v.Value, "%s: sorted by number", v.Name)
			}
			got, ok := e.Lookup(v.Name)
			require.True(t, ok)
			require.Equal(t, v.Value, got)
		}
		_, ok := e.Lookup("NO_SUCH")
		require.False(t, ok)
	}
	for i, v := range s.Enum(types.EnumCap).Values {
		require.EqualValues(t, i, v.Value, v.Name)
		require.Equal(t, types.EnumValue{Name: v.Name, Value: 1 << i}, s.Enum(types.EnumCaps).Values[i])
	}
	for _, v := range s.Errnos.Values {
		require.True(t, 1 <= v.Value && v.Value <= 133, v.Name)
	}
	_, err := types.OpenFlags("mips")
	require.Error(t, err)
}
