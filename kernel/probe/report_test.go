package probe

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/kernel/core"
	"github.com/snappy-policy/snappy/kernel/hook"
)

const (
	release = "6.12.1-test"
	rooted  = "Name:\tx\nUid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\n"
	symlist = "ffffffff81000000 d mount_lock\nffffffff81000010 d rename_lock\n"
)

// good is a system that can enforce.
func good() map[string]string {
	return map[string]string{
		"proc/sys/kernel/osrelease":    release + "\n",
		"proc/self/status":             rooted,
		"proc/self/mounts":             "bpf /sys/fs/bpf bpf rw 0 0\nsecurityfs /sys/kernel/security securityfs rw 0 0\n",
		"proc/kallsyms":                symlist,
		"sys/kernel/btf/vmlinux":       "x",
		"sys/kernel/security/lsm":      "lockdown,capability,yama,bpf",
		"sys/kernel/security/lockdown": "[none] integrity confidentiality\n",
	}
}

func working() trials {
	t := trials{hooks: map[string]error{}, maps: map[string]error{}, helpers: map[string]error{}, called: true}
	for _, h := range hook.Hooks() {
		t.hooks[h.Name] = nil
	}
	return t
}

// examine makes a report of a system that differs from a good one; "" removes a file.
func examine(arch string, files map[string]string, t trials) *Report {
	all := good()
	maps.Copy(all, files)
	fsys := fstest.MapFS{}
	for name, text := range all {
		if text != "" {
			fsys[name] = &fstest.MapFile{Data: []byte(text)}
		}
	}
	h := host{files: fsys, arch: arch, trials: func() trials { return t }}
	return h.examine()
}

func find(t *testing.T, r *Report, name string) Finding {
	t.Helper()
	for _, f := range r.Findings {
		if f.Name == name {
			return f
		}
	}
	require.Failf(t, "no finding", "%s in %+v", name, r.Findings)
	return Finding{}
}

func zipped(t *testing.T, text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return b.String()
}

func TestGood(t *testing.T) {
	r := examine("amd64", nil, working())
	require.True(t, r.Enforces, "%+v", r)
	require.Equal(t, release, r.Kernel)
	for _, f := range r.Findings {
		require.Equal(t, OK, f.State, "%+v", f)
		require.Empty(t, f.Why+f.Fix, "%+v", f)
	}
}

func TestFiles(t *testing.T) {
	notCalled := working()
	notCalled.called = false
	on := zipped(t, "CONFIG_X=y\nCONFIG_BPF_LSM=y\n")
	off := zipped(t, "# CONFIG_BPF_LSM is not set\n")
	const grub = "\nwith GRUB: add it to GRUB_CMDLINE_LINUX in /etc/default/grub, run update-grub, and reboot"
	cases := []struct {
		name      string
		arch      string
		files     map[string]string
		trials    trials
		finding   string
		state     State
		what, fix string
		enforces  bool
	}{
		{"old kernel", "amd64", map[string]string{"proc/sys/kernel/osrelease": "5.15.0-91-generic"}, working(),
			"kernel", Missing, "Linux 5.15.0-91-generic", "boot a newer kernel; 6.12 and later are supported best", false},
		{"6.0", "amd64", map[string]string{"proc/sys/kernel/osrelease": "6.0.9"}, working(), "kernel", Missing, "Linux 6.0.9", "boot a newer kernel; 6.12 and later are supported best", false},
		{"6.1", "amd64", map[string]string{"proc/sys/kernel/osrelease": "6.1.0-50"}, working(), "kernel", OK, "Linux 6.1.0-50", "", true},
		{"7.0", "amd64", map[string]string{"proc/sys/kernel/osrelease": "7.0.0"}, working(), "kernel", OK, "Linux 7.0.0", "", true},
		{"no proc", "amd64", map[string]string{"proc/sys/kernel/osrelease": ""}, working(), "kernel", Unknown, `kernel release "" has no version`, "mount -t proc proc /proc", false},
		{"arm64", "arm64", nil, working(), "arch", Limited, "arm64 is not tested yet", "prefer amd64 where it matters", true},
		{"old arm64", "arm64", map[string]string{"proc/sys/kernel/osrelease": "5.10"}, working(), "arch", Missing, "arm64 kernels have no LSM programs before 6.0", "boot Linux 6.1 or later", false},
		{"other arch", "s390x", nil, working(), "arch", Limited, "s390x is not tested", "prefer amd64 where it matters", true},
		{"no BTF", "amd64", map[string]string{"sys/kernel/btf/vmlinux": ""}, working(), "btf", Missing, "there is no /sys/kernel/btf/vmlinux", "use a kernel with CONFIG_DEBUG_INFO_BTF=y", false},
		{"no bpffs", "amd64", map[string]string{"proc/self/mounts": "bpf /elsewhere bpf rw 0 0\n"}, working(), "bpffs", Missing,
			"no bpf filesystem is mounted at /sys/fs/bpf", "mount -t bpf bpf /sys/fs/bpf", false},
		{"confidentiality", "amd64", map[string]string{"sys/kernel/security/lockdown": "none integrity [confidentiality]\n"}, working(), "lockdown", Missing,
			"the kernel is locked down for confidentiality", "boot with lockdown=integrity, or without lockdown; it cannot be lowered on a running system", false},
		{"integrity", "amd64", map[string]string{"sys/kernel/security/lockdown": "none [integrity] confidentiality\n"}, working(), "lockdown", OK,
			"lockdown keeps no program from reading what it judges", "", true},
		{"not root", "amd64", map[string]string{"proc/self/status": "Uid:\t1000\t1000\t1000\t1000\nCapEff:\t0000000000000000\n"}, working(), "privileges", Missing,
			"not effective: CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF", "run it with sudo", false},
		{"root of a container", "amd64", map[string]string{"proc/self/status": "Uid:\t0\t0\t0\t0\nCapEff:\t00000000a80425fb\n"}, working(), "privileges", Missing,
			"not effective: CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF", "this root has been deprived of them, as in a container: run it on the host, or give the container these capabilities", false},
		{"not root, what then of trials", "amd64", map[string]string{"proc/self/status": "Uid:\t1000\t1000\t1000\t1000\nCapEff:\t0000000000000000\n"}, working(), "trial", Unknown,
			"not tried: it takes privileges", "see privileges", false},
		{"not built in", "amd64", map[string]string{"sys/kernel/security/lsm": "capability,yama", "proc/config.gz": off}, notCalled, "lsm", Missing,
			"the BPF LSM is not built into this kernel", "use a kernel with CONFIG_BPF_LSM=y", false},
		{"not listed", "amd64", map[string]string{"sys/kernel/security/lsm": "capability,yama,apparmor", "proc/config.gz": on}, notCalled, "lsm", Missing,
			"the BPF LSM is built in, but not in the active list: capability,yama,apparmor", "boot with the kernel parameter\n    lsm=capability,yama,apparmor,bpf" + grub, false},
		{"not listed, configuration in /boot", "amd64", map[string]string{"sys/kernel/security/lsm": "yama", "boot/config-" + release: "CONFIG_BPF_LSM=y\n"}, notCalled, "lsm", Missing,
			"the BPF LSM is built in, but not in the active list: yama", "boot with the kernel parameter\n    lsm=yama,bpf" + grub, false},
		{"not listed, no configuration", "amd64", map[string]string{"sys/kernel/security/lsm": "capability,bpfilter"}, notCalled, "lsm", Missing,
			"the BPF LSM is not in the active list: capability,bpfilter", "boot with the kernel parameter\n    lsm=capability,bpfilter,bpf" + grub, false},
		{"no securityfs", "amd64", map[string]string{"sys/kernel/security/lsm": "", "proc/self/mounts": "bpf /sys/fs/bpf bpf rw 0 0\n"}, notCalled, "lsm", Unknown,
			"the list of active LSMs cannot be read: securityfs is not mounted", "mount -t securityfs securityfs /sys/kernel/security", false},
		{"no securityfs, but called", "amd64", map[string]string{"sys/kernel/security/lsm": "", "proc/self/mounts": "bpf /sys/fs/bpf bpf rw 0 0\n"}, working(), "lsm", OK,
			"the BPF LSM is active: a trial program was called", "", true},
		{"hidden symbols", "amd64", map[string]string{"proc/kallsyms": "0000000000000000 d mount_lock\n0000000000000000 d rename_lock\n", "proc/sys/kernel/kptr_restrict": "2\n"}, working(),
			"symbols", Limited, "the address of mount_lock is not visible", "sysctl kernel.kptr_restrict=1", true},
		{"no such symbols", "amd64", map[string]string{"proc/kallsyms": "ffffffff81000000 T _text\n", "proc/sys/kernel/kptr_restrict": "0\n"}, working(),
			"symbols", Limited, "the address of mount_lock is not visible", "use a kernel with CONFIG_KALLSYMS_ALL=y", true},
		{"rename_lock only hidden", "amd64", map[string]string{"proc/kallsyms": "ffffffff81000000 d mount_lock\n", "proc/sys/kernel/kptr_restrict": "1\n"}, working(),
			"symbols", Limited, "the address of rename_lock is not visible", "run it with CAP_SYSLOG, or sysctl kernel.kptr_restrict=0", true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := examine(c.arch, c.files, c.trials)
			f := find(t, r, c.finding)
			require.Equal(t, c.state, f.State, "%+v", f)
			require.Equal(t, c.what, f.What)
			require.Equal(t, c.fix, f.Fix)
			require.Equal(t, c.state == OK, f.Why == "", "%+v", f)
			require.Equal(t, c.enforces, r.Enforces, "%+v", r)
		})
	}
}

// Which operations need the addresses is in the hook table.
func TestSymbolsNameOperations(t *testing.T) {
	f := find(t, examine("amd64", map[string]string{"proc/kallsyms": ""}, working()), "symbols")
	require.Equal(t, Limited, f.State)
	require.Contains(t, f.Why, "file.create")
	require.Contains(t, f.Why, "file.rename")
	require.NotContains(t, f.Why, "file.open")
	require.NotContains(t, f.Why, "exec")
}

func TestTrials(t *testing.T) {
	with := func(change func(*trials)) trials {
		t := working()
		change(&t)
		return t
	}
	cases := []struct {
		name     string
		trials   trials
		finding  string
		state    State
		what     string
		fix      string // a part of it
		enforces bool
	}{
		{"no BTF", with(func(t *trials) { t.types = errors.New("gone") }), "trial", Missing, "the kernel's types cannot be read: gone", "see btf", false},
		{"load EPERM", with(func(t *trials) { t.load = unix.EPERM; t.called = false }), "program", Missing, "the kernel refuses to load an LSM program: operation not permitted", "see privileges", false},
		{"attach EBUSY", with(func(t *trials) { t.attach = unix.EBUSY; t.called = false }), "program", Missing,
			"the kernel refuses to attach an LSM program: device or resource busy", "some builds of 6.18", false},
		{"attach ENOTSUPP", with(func(t *trials) { t.attach = enotsupp; t.called = false }), "program", Missing, "the kernel refuses to attach an LSM program: errno 524", "ENOTSUPP", false},
		{"attach E2BIG", with(func(t *trials) { t.attach = unix.E2BIG; t.called = false }), "program", Missing, "the kernel refuses to attach an LSM program: argument list too long", "38 programs", false},
		{"load not supported", with(func(t *trials) { t.load = ebpf.ErrNotSupported; t.called = false }), "program", Missing, "the kernel refuses to load an LSM program: not supported", "CONFIG_BPF_LSM", false},
		{"load, anything else", with(func(t *trials) { t.load = unix.EIO; t.called = false }), "program", Missing, "the kernel refuses to load an LSM program: input/output error", "dmesg", false},
		{"never called", with(func(t *trials) { t.called = false }), "program", Missing, "an LSM program was loaded and attached, but the kernel never called it", "see lsm", false},
		{"hook gone", with(func(t *trials) { t.hooks["path_mkdir"] = ErrHookMissing }), "hook path_mkdir", Missing, "the kernel has no LSM hook path_mkdir", "supported kernel", false},
		{"hook changed", with(func(t *trials) { t.hooks["path_mkdir"] = ErrHookArgs }), "hook path_mkdir", Missing, ErrHookArgs.Error(), "supported kernel", false},
		{"hook absent without harm", with(func(t *trials) { t.hooks["file_truncate"] = ErrHookMissing }), "hook file_truncate", OK,
			"absent without harm: before 6.2 the kernel calls path_truncate instead", "", true},
		{"no hooks at all", with(func(t *trials) {
			for name := range t.hooks {
				t.hooks[name] = ErrHookMissing
			}
		}), "hooks", Missing, "the kernel has no hooks for LSM programs", "CONFIG_BPF_LSM", false},
		{"no task storage", with(func(t *trials) { t.maps["snp_tasks"] = unix.EINVAL }), "map snp_tasks", Missing, "a TaskStorage map cannot be made: invalid argument", "supported kernel", false},
		{"no ring buffer", with(func(t *trials) { t.maps["snp_events"] = unix.ENOMEM }), "map snp_events", Missing, "a RingBuf map cannot be made: cannot allocate memory", "memory", false},
		{"no bpf_loop", with(func(t *trials) { t.helpers["bpf_loop"] = errHelper }), "helper bpf_loop", Missing, "bpf_loop: LSM programs have no such helper", "supported kernel", false},
		{"helper not tried", with(func(t *trials) { t.helpers["bpf_d_path"] = unix.EAGAIN }), "helper bpf_d_path", Unknown, "bpf_d_path: resource temporarily unavailable", "supported kernel", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := examine("amd64", nil, c.trials)
			f := find(t, r, c.finding)
			require.Equal(t, c.state, f.State, "%+v", f)
			require.Equal(t, c.what, f.What)
			require.Contains(t, strings.ToLower(f.Fix), strings.ToLower(c.fix))
			require.Equal(t, c.state == OK, f.Why == "", "%+v", f)
			require.Equal(t, c.enforces, r.Enforces)
		})
	}
}

// Names that the trials above use are those of the core.
func TestTrialMaps(t *testing.T) {
	names := map[string]ebpf.MapType{}
	for _, spec := range core.Maps() {
		names[spec.Name] = spec.Type
	}
	require.Equal(t, ebpf.TaskStorage, names["snp_tasks"])
	require.Equal(t, ebpf.RingBuf, names["snp_events"])
}

func TestHelperNames(t *testing.T) {
	var names []string
	for _, fn := range helpers {
		names = append(names, helperName(fn))
	}
	require.Subset(t, names, []string{"bpf_loop", "bpf_d_path", "bpf_get_current_task_btf", "bpf_map_lookup_elem"})
}

func TestStateText(t *testing.T) {
	for s := OK; s <= Missing; s++ {
		b, err := json.Marshal(s)
		require.NoError(t, err)
		var back State
		require.NoError(t, json.Unmarshal(b, &back))
		require.Equal(t, s, back)
	}
	var s State
	require.Error(t, json.Unmarshal([]byte(`"fine"`), &s))
	require.Error(t, json.Unmarshal([]byte(`""`), &s))
	require.Equal(t, "State(0)", State(0).String())
	require.Equal(t, "State(9)", State(9).String())
}

// TestHere: whatever this system is, the report holds together.
func TestHere(t *testing.T) {
	r := Doctor()
	require.NotEmpty(t, r.Kernel)
	require.NotEmpty(t, r.Findings)
	enforces := true
	seen := map[string]bool{}
	for _, f := range r.Findings {
		require.False(t, seen[f.Name], "%s twice", f.Name)
		seen[f.Name] = true
		require.NotEmpty(t, f.What)
		require.Equal(t, f.State == OK, f.Why == "", "%+v", f)
		require.Equal(t, f.State == OK, f.Fix == "", "%+v", f)
		enforces = enforces && (f.State == OK || f.State == Limited)
	}
	require.Equal(t, enforces, r.Enforces)
	for _, name := range []string{"kernel", "arch", "privileges", "btf", "lsm", "lockdown", "bpffs"} {
		require.True(t, seen[name], name)
	}
}
