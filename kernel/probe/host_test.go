package probe

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/cilium/ebpf/btf"
	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/kernel/hook"
)

func files(pairs ...string) *host {
	root := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		root[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return &host{Report: newReport("6.12.1-test"), root: root}
}

func only(t *testing.T, h *host) Finding {
	t.Helper()
	require.Len(t, h.Findings, 1)
	return h.Findings[0]
}

func TestVersion(t *testing.T) {
	for release, want := range map[string]Status{
		"6.12.117+deb12-cloud-amd64": OK, "6.1.0-56-cloud-amd64": OK, "6.1": OK, "7.0-rc1": OK,
		"6.0.19": Missing, "5.15.0": Missing, "6.x": Unknown, "": Unknown, "linux": Unknown,
	} {
		h := files()
		h.Kernel = release
		h.version()
		require.Equal(t, want, only(t, h).Status, release)
	}
}

func TestPrivileges(t *testing.T) {
	const initial, own = "         0          0 4294967295", "         0       1000          1"
	for _, c := range []struct {
		caps, userMap string
		want          Status
	}{
		{"000001ffffffffff", initial, OK},
		{"0000000000200000", initial, OK}, // CAP_SYS_ADMIN
		{"000000c000000000", initial, OK}, // CAP_BPF and CAP_PERFMON
		{"0000008000000000", initial, Missing},
		{"0000000000000000", initial, Missing},
		{"000001ffffffffff", own, Missing},
		{"zz", initial, Unknown},
	} {
		h := files("proc/self/status", "Name:\tx\nCapEff:\t"+c.caps+"\n", "proc/self/uid_map", c.userMap+"\n")
		h.privileges()
		require.Equal(t, c.want, only(t, h).Status, c)
	}
	h := files()
	h.privileges()
	require.Equal(t, Unknown, only(t, h).Status)
}

func TestLSM(t *testing.T) {
	for _, c := range []struct {
		name    string
		list    string
		builtIn Status
		want    Status
		fix     string
	}{
		{"active", "lockdown,capability,landlock,yama,bpf", OK, OK, ""},
		{"not in the list", "lockdown,capability,yama,apparmor", OK, Missing, "lsm=lockdown,capability,yama,apparmor,bpf"},
		{"similar name", "capability,bpfx", OK, Missing, "lsm=capability,bpfx,bpf"},
		{"not built in", "lockdown,capability", Missing, Missing, "CONFIG_BPF_LSM=y"},
		{"no BTF", "lockdown,bpf", Unknown, OK, ""},
		{"no securityfs", "", OK, Unknown, "mount securityfs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := files()
			if c.list != "" {
				h = files("sys/kernel/security/lsm", c.list)
			}
			h.lsm(c.builtIn)
			f := only(t, h)
			require.Equal(t, c.want, f.Status)
			if c.fix == "" {
				require.Empty(t, f.Fix)
			}
			require.Contains(t, f.Fix, c.fix)
		})
	}
}

func TestLockdown(t *testing.T) {
	for mode, want := range map[string]Status{
		"[none] integrity confidentiality": OK, "none [integrity] confidentiality": OK, "none integrity [confidentiality]": Missing,
	} {
		h := files("sys/kernel/security/lockdown", mode)
		h.lockdown()
		require.Equal(t, want, only(t, h).Status, mode)
	}
	h := files()
	h.lockdown()
	require.Equal(t, OK, only(t, h).Status)
}

func TestJIT(t *testing.T) {
	for v, want := range map[string]Status{"1\n": OK, "2": OK, "0\n": Missing} {
		h := files("proc/sys/net/core/bpf_jit_enable", v)
		h.jit()
		require.Equal(t, want, only(t, h).Status, v)
	}
}

func TestSymbols(t *testing.T) {
	a, err := readSymbols(strings.NewReader(`ffffffff81000000 T _text
ffffffff82f3e2c0 D rename_lock
ffffffff82f3e300 d my_rename_lock
ffffffffc0000010 d mount_lock	[evil]
ffffffff83a1c040 b mount_lock
`))
	require.NoError(t, err)
	require.Equal(t, Addresses{RenameLock: 0xffffffff82f3e2c0, MountLock: 0xffffffff83a1c040}, a)
	hidden, err := readSymbols(strings.NewReader("0000000000000000 D rename_lock\n0000000000000000 b mount_lock\n"))
	require.NoError(t, err)
	require.Zero(t, hidden)
	h := files()
	h.addresses(hidden, nil)
	f := only(t, h)
	require.Equal(t, Missing, f.Status)
	require.False(t, f.Required)
	require.Contains(t, f.Why, "paths of file.create, ")
	require.Contains(t, f.Why, "file.rename")
	require.NotContains(t, f.Why, "file.open")
	require.Equal(t, "use a kernel with CONFIG_KALLSYMS_ALL=y", f.Fix)
	for restrict, fix := range map[string]string{"0": "CONFIG_KALLSYMS_ALL", "1": "CAP_SYSLOG", "2": "kptr_restrict=1"} {
		h := files("proc/sys/kernel/kptr_restrict", restrict+"\n")
		h.addresses(Addresses{MountLock: 1}, nil)
		require.Equal(t, Missing, only(t, h).Status)
		require.Contains(t, only(t, h).Why, "slower")
		require.Contains(t, only(t, h).Fix, fix)
	}
	_, err = readSymbols(strings.NewReader("zz D rename_lock\n"))
	require.Error(t, err)
}

// functions makes BTF of functions.
func functions(t *testing.T, fns ...*btf.Func) *btf.Spec {
	t.Helper()
	var all []btf.Type
	for _, fn := range fns {
		all = append(all, fn)
	}
	b, err := btf.NewBuilder(all, nil)
	require.NoError(t, err)
	raw, err := b.Marshal(nil, &btf.MarshalOptions{Order: binary.LittleEndian})
	require.NoError(t, err)
	spec, err := btf.LoadSpecFromReader(bytes.NewReader(raw))
	require.NoError(t, err)
	return spec
}

func TestCheckHook(t *testing.T) {
	integer := &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
	mode := &btf.Typedef{Name: "umode_t", Type: &btf.Int{Name: "unsigned short", Size: 2}}
	uid := &btf.Typedef{Name: "kuid_t", Type: &btf.Struct{Size: 4, Members: []btf.Member{{Name: "val", Type: &btf.Int{Name: "unsigned int", Size: 4}}}}}
	path := &btf.Pointer{Target: &btf.Const{Type: &btf.Struct{Name: "path", Size: 16}}}
	text := &btf.Pointer{Target: &btf.Const{Type: &btf.Int{Name: "char", Size: 1, Encoding: btf.Char}}}
	types := functions(t, &btf.Func{Name: "bpf_lsm_h", Type: &btf.FuncProto{Return: integer, Params: []btf.FuncParam{
		{Name: "dir", Type: path}, {Name: "name", Type: text}, {Name: "mode", Type: mode}, {Name: "uid", Type: uid}, {Name: "n", Type: integer}}}})
	good := []hook.Arg{{Name: "dir", Struct: "path"}, {Name: "name", Struct: "char"}, {Name: "mode", Size: 2}, {Name: "uid", Size: 4}, {Name: "n", Size: 4, Signed: true}}
	require.NoError(t, CheckHook(types, &hook.Hook{Name: "h", Args: good}))
	require.ErrorIs(t, CheckHook(types, &hook.Hook{Name: "other", Args: good}), ErrHookMissing)
	change := func(i int, a hook.Arg) []hook.Arg {
		args := append([]hook.Arg(nil), good...)
		args[i] = a
		return args
	}
	for name, args := range map[string][]hook.Arg{
		"too few":        good[:4],
		"other struct":   change(0, hook.Arg{Name: "dir", Struct: "dentry"}),
		"number":         change(0, hook.Arg{Name: "dir", Size: 8}),
		"pointer":        change(2, hook.Arg{Name: "mode", Struct: "path"}),
		"size":           change(2, hook.Arg{Name: "mode", Size: 4}),
		"sign":           change(4, hook.Arg{Name: "n", Size: 4}),
		"size of struct": change(3, hook.Arg{Name: "uid", Size: 8}),
	} {
		require.ErrorIs(t, CheckHook(types, &hook.Hook{Name: "h", Args: args}), ErrHookArgs, name)
	}
}

func TestReport(t *testing.T) {
	r := newReport("6.12.1")
	_ = r.checkTypes(nil, errors.New("no such file"))
	require.False(t, r.Ready())
	require.Contains(t, r.String(), "remedy: boot a kernel with CONFIG_DEBUG_INFO_BTF=y")
	require.Contains(t, r.String(), "cannot enforce")
	b, err := json.Marshal(r)
	require.NoError(t, err)
	require.Contains(t, string(b), `"name":"btf","status":"missing","required":true`)
	require.Nil(t, r.Finding("nothing"))

	r = newReport("6.12.1")
	r.add(Finding{Name: "a", Status: Unknown, Required: true})
	r.add(Finding{Name: "b", Status: Missing})
	r.add(Finding{Name: "c", Status: OK, Required: true, Why: "x", Fix: "y"})
	require.True(t, r.Ready())
	require.Empty(t, r.Finding("c").Fix)
}

// TestTypesWithoutLSM: a kernel without the BPF LSM has no bpf_lsm_ function.
func TestTypesWithoutLSM(t *testing.T) {
	r := newReport("6.12.1")
	types := functions(t, &btf.Func{Name: "other", Type: &btf.FuncProto{Return: &btf.Int{Name: "int", Size: 4}}})
	require.Equal(t, Missing, r.checkTypes(types, nil))
	require.Nil(t, r.Finding("hook.file_open"))
}

func TestActive(t *testing.T) {
	for list, want := range map[string]error{"lockdown,capability,bpf": nil, "bpf,yama\n": nil, "lockdown,capability": ErrInactive, "bpfx": ErrInactive} {
		require.ErrorIs(t, active(files("sys/kernel/security/lsm", list).root), want, list)
	}
}
