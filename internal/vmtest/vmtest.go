// Package vmtest runs programs in real Linux kernels: it boots a Debian cloud
// kernel under QEMU with an initramfs that holds the programs, follows their
// output as it appears, and returns their exit codes.
//
// Input is a Config (which kernel, how much machine, which files) and a list of
// Payloads; output is a Result. A run that does not come to its regular end, for
// whatever reason, is an error: nothing that the guest fails to say counts as
// success.
//
// The host needs qemu-system-x86_64, the go tool (init is built from embedded
// sources) and apt-get (the kernels are fetched once and cached); `make deps`
// installs what is missing. Software emulation is the default, since it works
// everywhere. Only one machine runs at a time on a host.
//
// Environment variables: SNAPPY_VM_ACCEL chooses another QEMU accelerator,
// SNAPPY_VM_TIMEOUT the default time limit, SNAPPY_VM_KEEP=1 keeps the working
// folder of a run and prints its name.
package vmtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/snappy-policy/snappy/internal/vmtest/guest"
)

// Defaults of Config.
const (
	DefaultKernel  = "6.12"
	DefaultCPUs    = 2
	DefaultMemory  = 1024 // MiB
	DefaultTimeout = 120 * time.Second
	// DefaultAccel runs the guest's CPUs in turns on one thread. With a thread
	// each, a CPU may meet an instruction that another is just patching, and
	// the kernel patches itself whenever a BPF program is attached.
	DefaultAccel = "tcg,thread=single"
	DefaultLSM   = "lockdown,capability,landlock,yama,bpf"
)

// guestPath is the PATH of every payload.
const guestPath = "PATH=/bin:/sbin:/usr/bin:/usr/sbin:/usr/local/bin"

// ExitRig is the exit code that stands for a failure of the rig itself, in the
// guest and in the commands that use this package.
const ExitRig = guest.ExitRig

// ErrTimeout is returned by Run when the time limit ended the machine.
var ErrTimeout = errors.New("virtual machine timed out")

// Config describes the machine. The zero value boots the default kernel.
type Config struct {
	Kernel string // alias of kernels.lock; empty is DefaultKernel
	CPUs   int    // zero is DefaultCPUs; ICount always has one
	// Memory in MiB; zero is DefaultMemory, or more if the files need it.
	Memory int
	// Append is added to the kernel command line, e.g. "preempt=full".
	Append []string
	// LSM is the list of security modules; empty is DefaultLSM. BPF LSM
	// programs run only if "bpf" is in it.
	LSM string
	// ICount makes the guest's clock count executed instructions, one
	// nanosecond each, for measurements: one CPU, fixed date, no address
	// randomisation. It is several times slower. Timeouts of payloads are then
	// in that time too.
	ICount bool
	// TmpfsRoot gives the guest a root from which pivot_root(2) works.
	TmpfsRoot bool
	// Busybox copies the host's static busybox to /bin with a link for each
	// of its applets.
	Busybox bool
	// Programs are programs of the host, by name or path, that are copied to
	// the same place in the guest with the shared libraries they load.
	Programs []string
	// Files are copied into the guest. Folders go with all that is in them.
	Files []File
	// Modules are kernel modules, by name, to load before the first payload
	// together with those they depend on.
	Modules []string
	// Drives are raw disk images, writable, seen as /dev/vda and so on. They
	// need the module virtio_blk.
	Drives []string
	// Timeout limits the whole run, in host time from the start of QEMU; zero
	// is $SNAPPY_VM_TIMEOUT, or else DefaultTimeout.
	Timeout time.Duration
	QEMU    string    // program; empty is qemu-system-x86_64 from PATH
	Accel   string    // accelerator; empty is $SNAPPY_VM_ACCEL, or else DefaultAccel
	Log     io.Writer // remarks of the rig and of init; nil is os.Stderr
}

// File is a file, folder or symbolic link of the guest.
type File struct {
	Host  string // host path; symbolic links are followed
	Data  []byte // contents, if Host is empty
	Link  string // target of a symbolic link, if not empty
	Guest string // absolute guest path; missing folders are made
	Mode  uint32 // permission bits; zero is those of the host's file, 0644 for Data
}

// Payload is one program to run in the guest.
type Payload struct {
	Argv []string // Argv[0] is an absolute guest path or a name in PATH
	Env  []string // "K=V"; PATH, HOME and SNAPPY_KERNEL have defaults
	Dir  string   // guest working directory, made if missing; empty is /root
	// Timeout in guest time; zero is none but that of the machine.
	Timeout        time.Duration
	Stdout, Stderr io.Writer // get the output as it arrives; nil drops it
	// Ended, if not nil, is called when the payload has ended, after its last
	// output. It is not called when the machine dies first.
	Ended func(Exit)
}

// Exit is how a payload ended.
type Exit struct {
	Code    int           // exit code; 128+n for signal n; ExitRig if the rig failed it
	Elapsed time.Duration // guest time
	Reason  string        // explains codes that are not the payload's own
}

// Result is the outcome of a run that came to its regular end.
type Result struct {
	Kernel  Kernel // what was booted
	Exits   []Exit // one for each payload, in order
	Elapsed time.Duration
	// Warnings are lines of the kernel's console that tell of a bug in the
	// kernel (WARNING, BUG and the like). Testing code should fail on them.
	Warnings []string
}

// Code is the first exit code that is not zero, or zero.
func (r *Result) Code() int {
	for _, e := range r.Exits {
		if e.Code != 0 {
			return e.Code
		}
	}
	return 0
}

// NoTrailerError tells that the guest ended without saying how, because it
// crashed or hung. It wraps guest.ErrNoTrailer, and ErrTimeout when the time
// limit was the cause.
type NoTrailerError struct {
	Cause   error
	Exits   []Exit // of the payloads that had ended before
	Console string // last lines of the kernel's console

	guestDied bool // by itself, while QEMU was well
}

func (e *NoTrailerError) Error() string {
	console := e.Console
	if console == "" {
		console = "(empty)"
	}
	return fmt.Sprintf("%v\nend of the console:\n\t%s", e.Cause, strings.ReplaceAll(console, "\n", "\n\t"))
}

func (e *NoTrailerError) Unwrap() error { return e.Cause }

// Run boots the machine and runs the payloads one after the other, whatever
// their exit codes. It waits for other machines on this host to end first.
func Run(ctx context.Context, cfg Config, payloads []Payload) (*Result, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	plan := guest.Plan{Hostname: "snappy-vm", TmpfsRoot: cfg.TmpfsRoot}
	for _, p := range payloads {
		if p.Dir == "" {
			p.Dir = "/root"
		}
		plan.Payloads = append(plan.Payloads, guest.Payload{
			Argv: p.Argv, Env: cfg.environment(p.Env), Dir: path.Clean(p.Dir), Timeout: p.Timeout,
		})
	}
	if err := plan.Check(); err != nil {
		return nil, err
	}
	cache, err := openCache()
	if err != nil {
		return nil, err
	}
	kernel, err := cache.kernel(ctx, cfg.Kernel, cfg.Log)
	if err != nil {
		return nil, err
	}
	modules, err := cache.modules(ctx, kernel, cfg.Modules)
	if err != nil {
		return nil, err
	}
	for _, m := range modules {
		plan.Modules = append(plan.Modules, m.Guest)
	}
	init, err := cache.guestInit(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "snappy-vm-")
	if err != nil {
		return nil, err
	}
	if os.Getenv("SNAPPY_VM_KEEP") == "1" {
		fmt.Fprintf(cfg.Log, "vmtest: files of this run are kept in %s\n", dir)
	} else {
		defer os.RemoveAll(dir)
	}
	m := machine{cfg: cfg, kernel: kernel, dir: dir, payloads: payloads}
	if err := m.writeInitramfs(&plan, init, modules); err != nil {
		return nil, err
	}
	unlock, err := lockHost(ctx, cache.path("vm.lock"), func() {
		fmt.Fprintln(cfg.Log, "vmtest: waiting for another VM on this host to end")
	})
	if err != nil {
		return nil, err
	}
	defer unlock()
	return m.run(ctx)
}

// complete checks the configuration and fills in the defaults.
func (c *Config) complete() error {
	if c.Kernel == "" {
		c.Kernel = DefaultKernel
	}
	if c.CPUs == 0 {
		c.CPUs = DefaultCPUs
	}
	if c.ICount {
		c.CPUs = 1
	}
	if c.LSM == "" {
		c.LSM = DefaultLSM
	}
	if c.QEMU == "" {
		c.QEMU = "qemu-system-x86_64"
	}
	if c.Accel == "" {
		c.Accel = os.Getenv("SNAPPY_VM_ACCEL")
	}
	if c.Accel == "" {
		c.Accel = DefaultAccel
	}
	if c.ICount && !strings.HasPrefix(c.Accel, "tcg") {
		return fmt.Errorf("counting instructions needs the accelerator tcg, not %s", c.Accel)
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
		if s := os.Getenv("SNAPPY_VM_TIMEOUT"); s != "" {
			d, err := time.ParseDuration(s)
			if err != nil {
				return fmt.Errorf("SNAPPY_VM_TIMEOUT: %w", err)
			}
			c.Timeout = d
		}
	}
	if c.CPUs < 0 || c.Memory < 0 || c.Timeout < 0 {
		return errors.New("negative number of CPUs, memory or timeout")
	}
	if c.Log == nil {
		c.Log = os.Stderr
	}
	return nil
}

// environment adds the defaults to the variables of a payload.
func (c *Config) environment(env []string) []string {
	out := slices.Clone(env)
	for _, d := range []string{guestPath, "HOME=/root", "TMPDIR=/tmp", "SNAPPY_KERNEL=" + c.Kernel} {
		name, _, _ := strings.Cut(d, "=")
		if !slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, name+"=") }) {
			out = append(out, d)
		}
	}
	return out
}
