package probe

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Options of Run.
type Options struct {
	// BPFFS is where pins are to be kept; "" is /sys/fs/bpf.
	BPFFS string
	// NoTrials leaves out what loads and attaches something.
	NoTrials bool
}

// Run makes all checks. Tiny maps and programs are loaded and, for a moment, a
// program that allows everything is attached; nothing of it stays.
func Run(opts Options) *Report {
	var uts unix.Utsname
	release := ""
	if err := unix.Uname(&uts); err == nil {
		release = unix.ByteSliceToString(uts.Release[:])
	}
	h := &host{Report: newReport(release), root: os.DirFS("/")}
	h.version()
	h.arch()
	h.privileges()
	types, err := Types().Kernel()
	builtIn := h.checkTypes(types, err)
	h.securityfs()
	h.lsm(builtIn)
	h.lockdown()
	h.jit()
	if opts.BPFFS == "" {
		opts.BPFFS = "/sys/fs/bpf"
	}
	h.bpffs(opts.BPFFS)
	h.addresses(Symbols())
	if !opts.NoTrials {
		h.trials()
	}
	return h.Report
}

func (r *Report) bpffs(dir string) {
	f := Finding{Name: "bpffs", Status: OK, Required: true, What: "mounted at " + dir,
		Why: "what is pinned there enforces without a running process", Fix: fmt.Sprintf("mount -t bpf bpf %s", dir)}
	var fs unix.Statfs_t
	switch err := unix.Statfs(dir, &fs); {
	case errors.Is(err, unix.ENOENT):
		f.Status, f.What, f.Fix = Missing, dir+" does not exist", strings.Join([]string{"mkdir -p " + dir, f.Fix}, " && ")
	case err != nil:
		f.Status, f.What = Unknown, err.Error()
	case fs.Type != unix.BPF_FS_MAGIC:
		f.Status, f.What = Missing, "no bpf filesystem is mounted at "+dir
	}
	r.add(f)
}
