package probe

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/kernel/hook"
)

// host is the system as the checks see it: its files, and what came of trials.
type host struct {
	files  fs.FS // the root directory
	arch   string
	trials func() trials
}

// text reads a small file; "" if that is not possible.
func (h *host) text(path string) string {
	b, err := fs.ReadFile(h.files, path)
	if err != nil {
		return ""
	}
	return string(b)
}

func (h *host) exists(path string) bool {
	_, err := fs.Stat(h.files, path)
	return err == nil
}

// version reads the first two numbers of a kernel release.
func version(release string) (major, minor int, err error) {
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return 0, 0, fmt.Errorf("kernel release %q has no version", release)
	}
	return major, minor, nil
}

func before(major, minor, wantMajor, wantMinor int) bool {
	return major < wantMajor || major == wantMajor && minor < wantMinor
}

func (h *host) kernel(release string) Finding {
	f := Finding{Name: "kernel", State: OK, What: "Linux " + release}
	major, minor, err := version(release)
	switch {
	case err != nil:
		f.State, f.What = Unknown, err.Error()
		f.Why, f.Fix = "Linux 6.1 or later is needed", "mount -t proc proc /proc"
	case before(major, minor, 6, 1):
		f.State = Missing
		f.Why, f.Fix = "Linux 6.1 or later is needed", "boot a newer kernel; 6.12 and later are supported best"
	}
	return f
}

func (h *host) architecture(release string) Finding {
	f := Finding{Name: "arch", State: OK, What: h.arch}
	switch h.arch {
	case "amd64":
	case "arm64":
		f.State, f.What = Limited, "arm64 is not tested yet"
		f.Why, f.Fix = "LSM programs exist there since Linux 6.0", "prefer amd64 where it matters"
		if major, minor, err := version(release); err == nil && before(major, minor, 6, 0) {
			f.State, f.What = Missing, "arm64 kernels have no LSM programs before 6.0"
			f.Why, f.Fix = "policies are LSM programs", "boot Linux 6.1 or later"
		}
	default:
		f.State, f.What = Limited, h.arch+" is not tested"
		f.Why, f.Fix = "only some architectures have LSM programs; the trial below tells", "prefer amd64 where it matters"
	}
	return f
}

func (h *host) btf() Finding {
	if h.exists("sys/kernel/btf/vmlinux") {
		return Finding{Name: "btf", State: OK, What: "the kernel describes its types (/sys/kernel/btf/vmlinux)"}
	}
	f := Finding{Name: "btf", State: Missing, What: "there is no /sys/kernel/btf/vmlinux", Why: "programs find the kernel's structures by it",
		Fix: "use a kernel with CONFIG_DEBUG_INFO_BTF=y"}
	if !h.exists("sys/kernel") {
		f.Fix = "mount -t sysfs sysfs /sys"
	}
	return f
}

// capabilities that the manager needs, by number (include/uapi/linux/capability.h).
var capabilities = []struct {
	number int
	name   string
}{{unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN"}, {unix.CAP_PERFMON, "CAP_PERFMON"}, {unix.CAP_BPF, "CAP_BPF"}}

func (h *host) privileges() Finding {
	f := Finding{Name: "privileges", State: Unknown, What: "/proc/self/status cannot be read", Why: "loading policies takes privileges",
		Fix: "mount -t proc proc /proc"}
	root := false
	for line := range strings.Lines(h.text("proc/self/status")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		fields := strings.Fields(value)
		switch {
		case name == "Uid" && len(fields) >= 2:
			root = fields[1] == "0" // real, effective, saved, filesystem
		case name == "CapEff" && len(fields) == 1:
			set, err := strconv.ParseUint(fields[0], 16, 64)
			if err != nil {
				return f
			}
			var lacks []string
			for _, c := range capabilities {
				if set&(1<<c.number) == 0 {
					lacks = append(lacks, c.name)
				}
			}
			if lacks == nil {
				return Finding{Name: "privileges", State: OK, What: "CAP_SYS_ADMIN, CAP_PERFMON and CAP_BPF are effective"}
			}
			f.State, f.What = Missing, "not effective: "+strings.Join(lacks, ", ")
			f.Fix = "run it with sudo"
			if root {
				f.Fix = "this root has been deprived of them, as in a container: run it on the host, or give the container these capabilities"
			}
			return f
		}
	}
	return f
}

// mounted tells whether a filesystem of the type is mounted exactly there. Of
// several the last one covers the others.
func (h *host) mounted(fstype, at string) bool {
	found := false
	for line := range strings.Lines(h.text("proc/self/mounts")) {
		if f := strings.Fields(line); len(f) >= 3 && f[1] == at {
			found = f[2] == fstype
		}
	}
	return found
}

func (h *host) bpffs() Finding {
	if h.mounted("bpf", "/sys/fs/bpf") {
		return Finding{Name: "bpffs", State: OK, What: "a bpf filesystem is mounted at /sys/fs/bpf"}
	}
	return Finding{Name: "bpffs", State: Missing, What: "no bpf filesystem is mounted at /sys/fs/bpf", Why: "what enforces is kept there, so that it outlives the manager",
		Fix: "mount -t bpf bpf /sys/fs/bpf"}
}

// lsm tells whether LSM programs are asked: built in, and in the active list. A
// trial program that the kernel has called settles it.
func (h *host) lsm(t trials) Finding {
	const why = "policies are LSM programs, and the kernel calls them only if the BPF LSM is active"
	list := strings.TrimSpace(h.text("sys/kernel/security/lsm"))
	active := slices.Contains(strings.Split(list, ","), "bpf")
	f := Finding{Name: "lsm", State: Missing, Why: why}
	ok := func(what string) Finding { return Finding{Name: "lsm", State: OK, What: what} }
	built := h.config("CONFIG_BPF_LSM")
	switch {
	case active:
		return ok("the BPF LSM is active: " + list)
	case list == "" && t.called:
		return ok("the BPF LSM is active: a trial program was called")
	case built == "n":
		f.What = "the BPF LSM is not built into this kernel"
		f.Fix = "use a kernel with CONFIG_BPF_LSM=y"
	case list != "":
		f.What = "the BPF LSM is not in the active list: " + list
		if built == "y" {
			f.What = "the BPF LSM is built in, but not in the active list: " + list
		} else {
			f.Why += "; whether it is built in could not be found out (no /proc/config.gz, no /boot/config of this kernel)"
		}
		f.Fix = "boot with the kernel parameter\n    lsm=" + list + ",bpf\n" +
			"with GRUB: add it to GRUB_CMDLINE_LINUX in /etc/default/grub, run update-grub, and reboot"
	case !h.mounted("securityfs", "/sys/kernel/security"):
		f.State, f.What = Unknown, "the list of active LSMs cannot be read: securityfs is not mounted"
		f.Fix = "mount -t securityfs securityfs /sys/kernel/security"
	default:
		f.State, f.What = Unknown, "the list of active LSMs, /sys/kernel/security/lsm, cannot be read"
		f.Fix = "run it with sudo, on the host"
	}
	return f
}

// config is the value of a kernel option: "y", "n", or "" if it is not known.
func (h *host) config(option string) string {
	var text io.Reader
	if b, err := fs.ReadFile(h.files, "proc/config.gz"); err == nil {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return ""
		}
		text = z
	} else if b, err := fs.ReadFile(h.files, "boot/config-"+strings.TrimSpace(h.text("proc/sys/kernel/osrelease"))); err == nil {
		text = bytes.NewReader(b)
	} else {
		return ""
	}
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), option+"="); ok {
			return value
		}
	}
	if lines.Err() != nil {
		return ""
	}
	return "n" // "# CONFIG_X is not set", or not known to this kernel
}

func (h *host) lockdown() Finding {
	if strings.Contains(h.text("sys/kernel/security/lockdown"), "[confidentiality]") {
		return Finding{Name: "lockdown", State: Missing, What: "the kernel is locked down for confidentiality",
			Why: "programs may not read kernel memory then, and so cannot see what they judge",
			Fix: "boot with lockdown=integrity, or without lockdown; it cannot be lowered on a running system"}
	}
	return Finding{Name: "lockdown", State: OK, What: "lockdown keeps no program from reading what it judges"}
}

// symbols looks at the addresses that paths of unopened files need.
func (h *host) symbols() Finding {
	f := Finding{Name: "symbols", State: Limited}
	data, err := h.files.Open("proc/kallsyms")
	var a Addresses
	if err == nil {
		defer data.Close()
		a, err = readSymbols(data)
	}
	if err != nil {
		f.What = "kernel addresses cannot be read: " + err.Error()
	}
	fix := "use a kernel with CONFIG_KALLSYMS_ALL=y"
	switch strings.TrimSpace(h.text("proc/sys/kernel/kptr_restrict")) {
	case "1":
		fix = "run it with CAP_SYSLOG, or sysctl kernel.kptr_restrict=0"
	case "2":
		fix = "sysctl kernel.kptr_restrict=1"
	}
	switch {
	case a.MountLock == 0:
		if f.What == "" {
			f.What = "the address of mount_lock is not visible"
		}
		f.Why = "without it no path can be built for " + strings.Join(walked(), ", ") + ": where a policy asks for one, the event is denied as unresolved"
		f.Fix = fix
	case a.RenameLock == 0:
		f.What = "the address of rename_lock is not visible"
		f.Why = "paths of files that are not opened are built in a slower way"
		f.Fix = fix
	default:
		return Finding{Name: "symbols", State: OK, What: "the addresses of mount_lock and rename_lock are visible"}
	}
	return f
}

// walked lists the operations with a path that is built without the kernel's d_path.
func walked() []string {
	var ops []string
	for _, h := range hook.Hooks() {
		needs := false
		for _, f := range h.Fields {
			switch f.Read.(type) {
			case hook.EntryPath, hook.LinkPath, hook.PathPath:
				needs = true
			}
		}
		if !needs {
			continue
		}
		for _, in := range h.Instances {
			if !slices.Contains(ops, in.Op) {
				ops = append(ops, in.Op)
			}
		}
	}
	return ops
}
