package probe

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/snappy-policy/snappy/kernel/hook"
)

// Capabilities that loading and attaching LSM programs takes (linux/capability.h).
const (
	capSysAdmin = 21
	capPerfmon  = 38
	capBPF      = 39
)

// Oldest kernel on which policies are enforced.
const (
	oldestMajor = 6
	oldestMinor = 1
)

// host makes the checks that only read files, below root.
type host struct {
	*Report
	root fs.FS // "/"
}

func (h *host) read(path string) (string, error) {
	b, err := fs.ReadFile(h.root, path)
	return strings.TrimSpace(string(b)), err
}

func (h *host) version() {
	f := Finding{Name: "kernel.version", Status: OK, Required: true, What: "Linux " + h.Kernel,
		Why: fmt.Sprintf("policies need Linux %d.%d or later", oldestMajor, oldestMinor), Fix: "boot a newer kernel"}
	major, minor, ok := parseRelease(h.Kernel)
	switch {
	case !ok:
		f.Status, f.What = Unknown, fmt.Sprintf("the release %q is not of the form 6.1", h.Kernel)
	case major < oldestMajor || major == oldestMajor && minor < oldestMinor:
		f.Status = Missing
	}
	h.add(f)
}

// parseRelease takes major and minor from a release such as 6.12.5-amd64.
func parseRelease(release string) (major, minor int, ok bool) {
	first, rest, found := strings.Cut(release, ".")
	if !found {
		return 0, 0, false
	}
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	major, err := strconv.Atoi(first)
	minor, err2 := strconv.Atoi(rest[:end])
	return major, minor, err == nil && err2 == nil
}

func (h *host) arch() {
	f := Finding{Name: "kernel.arch", Status: OK, Required: true, What: h.Arch,
		Why: "programs are attached by BPF trampolines and call each other by tail calls from functions, which this architecture's kernels may not have",
		Fix: "use amd64 or arm64"}
	switch h.Arch {
	case "amd64":
	case "arm64": // trampolines with Linux 6.0, below our minimum
		f.What = "arm64 (not tested)"
	default:
		f.Status = Unknown
	}
	h.add(f)
}

// privileges checks the effective capabilities and the user namespace.
func (h *host) privileges() {
	f := Finding{Name: "privileges", Status: OK, Required: true, What: "CAP_BPF and CAP_PERFMON in the initial user namespace",
		Why: "the kernel takes LSM programs only from the privileged", Fix: "run as root, outside of containers (sudo)"}
	caps, err := h.capabilities()
	userMap, err2 := h.read("proc/self/uid_map")
	has := func(bit uint) bool { return caps>>bit&1 != 0 }
	switch {
	case err != nil || err2 != nil:
		f.Status, f.What = Unknown, errors.Join(err, err2).Error()
	case !slices.Equal(strings.Fields(userMap), []string{"0", "0", "4294967295"}):
		f.Status, f.What = Missing, "this process is in a user namespace of its own"
	case !has(capSysAdmin) && !(has(capBPF) && has(capPerfmon)):
		f.Status, f.What = Missing, "this process has neither CAP_SYS_ADMIN nor CAP_BPF with CAP_PERFMON"
	}
	h.add(f)
}

func (h *host) capabilities() (uint64, error) {
	status, err := h.read("proc/self/status")
	if err != nil {
		return 0, err
	}
	for _, line := range strings.Split(status, "\n") {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			return strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
		}
	}
	return 0, errors.New("/proc/self/status has no CapEff")
}

// securityfs says whether the two files that tell about security modules can be read.
func (h *host) securityfs() {
	f := Finding{Name: "securityfs", Status: OK, What: "mounted at /sys/kernel/security",
		Why: "it tells which security modules are active", Fix: "mount -t securityfs securityfs /sys/kernel/security"}
	if _, err := h.read("sys/kernel/security/lsm"); errors.Is(err, fs.ErrNotExist) {
		f.Status, f.What = Missing, "not mounted at /sys/kernel/security"
	} else if err != nil {
		f.Status, f.What = Unknown, err.Error()
	}
	h.add(f)
}

// lsm tells apart: not built in, built in but not active, active. builtIn is
// whether the kernel's BTF has the hooks of the BPF LSM.
func (h *host) lsm(builtIn Status) {
	f := Finding{Name: "lsm.enabled", Status: OK, Required: true, What: "the BPF security module is active",
		Why: "policies are BPF programs at the hooks of Linux security modules"}
	list, err := h.read("sys/kernel/security/lsm")
	active := strings.Split(list, ",")
	switch {
	case builtIn == Missing:
		f.Status, f.What = Missing, "the kernel is built without the BPF security module (CONFIG_BPF_LSM)"
		f.Fix = "boot a kernel with CONFIG_BPF_LSM=y; those of the large distributions have it"
	case err != nil:
		f.Status, f.What = Unknown, "the list of active security modules cannot be read: "+err.Error()
		f.Fix = "mount securityfs (see there); lsm.runs tells what happens in fact"
	case !slices.Contains(active, "bpf"):
		f.Status = Missing
		f.What = fmt.Sprintf("the BPF security module is built in but not active (active: %s)", list)
		f.Fix = fmt.Sprintf("add to the kernel command line and reboot: lsm=%s", enable(active))
	}
	h.add(f)
}

// enable is the present list with bpf at its end, as lsm= wants it. The kernel adds
// capability by itself, and lists it since 5.0; naming it does no harm.
func enable(active []string) string {
	var names []string
	for _, name := range active {
		if name != "" {
			names = append(names, name)
		}
	}
	return strings.Join(append(names, "bpf"), ",")
}

// lockdown: in confidentiality mode BPF programs may not read kernel memory.
func (h *host) lockdown() {
	f := Finding{Name: "lockdown", Status: OK, Required: true, What: "the kernel lets BPF programs read its memory",
		Why: "fields of an event are read from kernel memory", Fix: "boot with lockdown=integrity, or without lockdown="}
	mode, err := h.read("sys/kernel/security/lockdown")
	switch {
	case errors.Is(err, fs.ErrNotExist): // no lockdown module, or no securityfs
	case err != nil:
		f.Status, f.What = Unknown, err.Error()
	case strings.Contains(mode, "[confidentiality]"):
		f.Status, f.What = Missing, "the kernel is locked down for confidentiality: BPF programs may not read its memory"
	}
	h.add(f)
}

func (h *host) jit() {
	f := Finding{Name: "bpf.jit", Status: OK, Required: true, What: "BPF programs are compiled to machine code",
		Why: "only compiled programs may make tail calls from functions", Fix: "sysctl net.core.bpf_jit_enable=1"}
	v, err := h.read("proc/sys/net/core/bpf_jit_enable")
	switch {
	case err != nil:
		f.Status, f.What = Unknown, err.Error()
	case v == "0":
		f.Status, f.What = Missing, "the BPF compiler is switched off"
	}
	h.add(f)
}

// addresses: which kernel addresses are to be had is a matter of sysctl and of the
// kernel's configuration.
func (h *host) addresses(a Addresses, err error) {
	f := Finding{Name: "addresses", Status: OK, What: "the addresses of rename_lock and mount_lock are known"}
	switch {
	case err != nil:
		f.Status, f.What = Unknown, err.Error()
	case a.MountLock == 0:
		f.Status, f.What = Missing, "the address of mount_lock is hidden"
	case a.RenameLock == 0:
		f.Status, f.What = Missing, "the address of rename_lock is hidden"
	}
	f.Why = "paths of " + strings.Join(walked(), ", ") + " are built by the programs themselves, which must notice mounts in the meantime: where a policy asks for such a path, the event is denied as unresolved"
	if err == nil && a.MountLock != 0 {
		f.Why = "paths of files that are not opened are built in a slower way"
	}
	f.Fix = "use a kernel with CONFIG_KALLSYMS_ALL=y"
	switch v, _ := h.read("proc/sys/kernel/kptr_restrict"); v {
	case "1":
		f.Fix = "run as root with CAP_SYSLOG, or sysctl kernel.kptr_restrict=0"
	case "2":
		f.Fix = "sysctl kernel.kptr_restrict=1 (or 0), and run as root"
	}
	h.add(f)
}

// walked lists the operations with a path that is built without the kernel's d_path.
func walked() []string {
	var ops []string
	for _, h := range hook.Hooks() {
		built := slices.ContainsFunc(h.Fields, func(f hook.Field) bool {
			switch f.Read.(type) {
			case hook.EntryPath, hook.LinkPath, hook.PathPath:
				return true
			}
			return false
		})
		for _, in := range h.Instances {
			if built && !slices.Contains(ops, in.Op) {
				ops = append(ops, in.Op)
			}
		}
	}
	return ops
}

func newReport(release string) *Report {
	return &Report{Kernel: release, Arch: runtime.GOARCH}
}
