package vmtest

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// Flags adds the flags that the commands of the rig have in common to fs; they
// set the fields of cfg.
func (cfg *Config) Flags(fs *flag.FlagSet) {
	fs.IntVar(&cfg.CPUs, "smp", 0, fmt.Sprintf("number of `cpus` (default %d)", DefaultCPUs))
	fs.IntVar(&cfg.Memory, "memory", 0, fmt.Sprintf("`MiB` of memory (default %d, or more when the files need it)", DefaultMemory))
	fs.StringVar(&cfg.LSM, "lsm", "", fmt.Sprintf("`list` of security modules (default %s)", DefaultLSM))
	fs.DurationVar(&cfg.Timeout, "timeout", 0, fmt.Sprintf("time limit of the machine (default $SNAPPY_VM_TIMEOUT or %v)", DefaultTimeout))
	fs.BoolVar(&cfg.ICount, "icount", false, "make the guest's clock count instructions")
	fs.BoolVar(&cfg.TmpfsRoot, "tmpfs-root", false, "give the guest a root from which pivot_root works")
	fs.BoolVar(&cfg.Busybox, "busybox", false, "copy the host's static busybox to the guest's /bin")
	fs.Func("append", "`argument` for the kernel's command line (may be repeated)", func(s string) error {
		cfg.Append = append(cfg.Append, s)
		return nil
	})
	fs.Func("module", "kernel `module` to load (may be repeated)", func(s string) error {
		cfg.Modules = append(cfg.Modules, s)
		return nil
	})
	fs.Func("drive", "raw disk `image` for a virtio drive (may be repeated)", func(s string) error {
		cfg.Drives = append(cfg.Drives, s)
		return nil
	})
	fs.Func("program", "host `program` to copy with its shared libraries (may be repeated)", func(s string) error {
		cfg.Programs = append(cfg.Programs, s)
		return nil
	})
	fs.Func("file", "copy `host=guest`, a file or folder (may be repeated)", func(s string) error {
		host, to, ok := strings.Cut(s, "=")
		if !ok || host == "" || !strings.HasPrefix(to, "/") {
			return fmt.Errorf("%q is not host=/guest", s)
		}
		cfg.Files = append(cfg.Files, File{Host: host, Guest: to})
		return nil
	})
}

// HostKernel is the kernel named by $SNAPPY_KERNEL, or DefaultKernel.
func HostKernel() string {
	if k := os.Getenv("SNAPPY_KERNEL"); k != "" {
		return k
	}
	return DefaultKernel
}

// HostEnv returns those variables of this process that travel into the guest:
// SNAPPY_*, but for those that configure the rig.
func HostEnv() []string {
	var env []string
	for _, e := range os.Environ() {
		if strings.HasPrefix(e, "SNAPPY_") && !strings.HasPrefix(e, "SNAPPY_VM_") && !strings.HasPrefix(e, "SNAPPY_KERNEL=") {
			env = append(env, e)
		}
	}
	return env
}

// Interrupts returns a context that ends on the signals that end a command, so
// that the machine and its files go away first.
func Interrupts() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT)
}

// Report prints what a user must know of a run besides the output of the
// payload, and returns the exit code for it: that of the first failure, or
// ExitRig when the rig failed or the kernel complained.
func Report(command string, res *Result, err error) int {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", command, err)
		return ExitRig
	}
	for _, e := range res.Exits {
		if e.Reason != "" {
			fmt.Fprintf(os.Stderr, "%s: %s\n", command, e.Reason)
		}
	}
	for _, w := range res.Warnings {
		fmt.Fprintf(os.Stderr, "%s: kernel: %s\n", command, w)
	}
	if code := res.Code(); code != 0 || len(res.Warnings) == 0 {
		return code
	}
	return ExitRig
}
