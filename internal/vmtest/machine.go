package vmtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/snappy-policy/snappy/internal/vmtest/guest"
)

// How much of the console an error shows: lines from the first sign of trouble
// on, and lines at the end.
const (
	consoleTrouble = 40
	consoleTail    = 15
)

// machine is one run of QEMU.
type machine struct {
	cfg      Config
	kernel   *Kernel
	dir      string
	payloads []Payload
	started  bool // the first payload has started
}

func (m *machine) initramfs() string { return filepath.Join(m.dir, "initramfs.gz") }
func (m *machine) console() string   { return filepath.Join(m.dir, "console") }
func (m *machine) results() string   { return filepath.Join(m.dir, "results") }

// args is the command line of QEMU.
func (m *machine) args() []string {
	c := &m.cfg
	// An oops stops the machine, and so fails the run for want of a trailer.
	kargs := []string{"console=ttyS0", "loglevel=5", "oops=panic", "panic=-1", "lsm=" + c.LSM}
	args := []string{
		"-machine", "pc", "-accel", c.Accel, "-cpu", "max", "-smp", strconv.Itoa(c.CPUs), "-m", strconv.Itoa(c.Memory),
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-net", "none",
		"-serial", "file:" + m.console(), "-serial", "file:" + m.results(),
		"-kernel", m.kernel.Image, "-initrd", m.initramfs(),
	}
	if c.ICount {
		args = append(args, "-icount", "shift=0,sleep=off", "-rtc", "base=2026-01-01,clock=vm")
		kargs = append(kargs, "nokaslr", "norandmaps")
	}
	for i, d := range c.Drives {
		args = append(args,
			"-drive", fmt.Sprintf("file=%s,if=none,id=d%d,format=raw,cache=unsafe", strings.ReplaceAll(d, ",", ",,"), i),
			"-device", fmt.Sprintf("virtio-blk-pci,drive=d%d", i))
	}
	return append(args, "-append", strings.Join(append(kargs, c.Append...), " "))
}

// maxBoots is how often a machine is booted that dies before the first payload
// starts. QEMU's emulation of self-modifying code now and then trips a booting
// kernel ("Oops: int3"), which says nothing about the payloads.
const maxBoots = 3

// run boots the machine, again if it dies in booting, and runs it to its end.
func (m *machine) run(ctx context.Context) (*Result, error) {
	for n := 1; ; n++ {
		res, err := m.boot(ctx)
		var died *NoTrailerError
		if m.started || n == maxBoots || !errors.As(err, &died) || !died.guestDied {
			return res, err
		}
		fmt.Fprintf(m.cfg.Log, "vmtest: WARNING: the kernel died in booting; trying again\n%v\n", err)
	}
}

// boot runs the machine once.
func (m *machine) boot(ctx context.Context) (*Result, error) {
	for _, f := range []string{m.console(), m.results()} {
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, m.cfg.Timeout, ErrTimeout)
	defer cancel()
	var qemuErr bytes.Buffer
	cmd := exec.CommandContext(ctx, m.cfg.QEMU, m.args()...)
	cmd.Stdout, cmd.Stderr = &qemuErr, &qemuErr
	// Someone else may hold the output pipe of a killed QEMU open.
	cmd.WaitDelay = 2 * time.Second
	dieWithParent(cmd)
	start := time.Now()
	exited := make(chan struct{})
	var runErr error
	go func() {
		// The death signal is bound to the thread that starts the process.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(exited)
		runErr = cmd.Run()
	}()
	res := &Result{Kernel: *m.kernel}
	code, readErr := m.follow(res, exited)
	if readErr != nil && !errors.Is(readErr, guest.ErrNoTrailer) {
		cancel() // a writer failed, or the stream is broken: the rest is of no use
	}
	<-exited
	res.Elapsed = time.Since(start)
	console, err := os.ReadFile(m.console())
	if err != nil {
		return nil, err
	}
	res.Warnings = kernelWarnings(string(console))
	if readErr != nil {
		return nil, m.failure(ctx, readErr, runErr, qemuErr.String(), string(console), res.Exits)
	}
	if len(res.Exits) != len(m.payloads) {
		cause := fmt.Errorf("init gave up with code %d after %d of %d payloads", code, len(res.Exits), len(m.payloads))
		return nil, &NoTrailerError{Cause: cause, Exits: res.Exits, Console: excerpt(string(console))}
	}
	if code != res.Code() {
		return nil, fmt.Errorf("trailer says %d, but the payloads say %d", code, res.Code())
	}
	return res, nil
}

// failure says why a machine ended without a trailer.
func (m *machine) failure(ctx context.Context, readErr, runErr error, qemuErr, console string, exits []Exit) error {
	cause := readErr
	switch {
	case context.Cause(ctx) == ErrTimeout:
		cause = fmt.Errorf("%w after %v: %w", ErrTimeout, m.cfg.Timeout, readErr)
	case errors.Is(context.Cause(ctx), context.Canceled) && errors.Is(readErr, guest.ErrNoTrailer):
		cause = fmt.Errorf("%w: %w", context.Canceled, readErr)
	case runErr != nil:
		cause = fmt.Errorf("%w: %s: %v", readErr, filepath.Base(m.cfg.QEMU), runErr)
	}
	if s := strings.TrimSpace(qemuErr); s != "" {
		cause = fmt.Errorf("%w: %s", cause, s)
	}
	return &NoTrailerError{
		Cause: cause, Exits: exits, Console: excerpt(console),
		guestDied: runErr == nil && readErr == guest.ErrNoTrailer,
	}
}

// follow reads the result port while the machine runs.
func (m *machine) follow(res *Result, exited <-chan struct{}) (int, error) {
	f, err := os.Open(m.results())
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return guest.Read(&tailReader{f, exited, false}, guest.Handler{
		Start: func(i int) error {
			if i != len(res.Exits) || i >= len(m.payloads) {
				return fmt.Errorf("start of payload %d while %d runs", i, len(res.Exits))
			}
			m.started = true
			return nil
		},
		Output: func(i, stream int, data []byte) error {
			if i != len(res.Exits) || i >= len(m.payloads) {
				return fmt.Errorf("output of payload %d while %d runs", i, len(res.Exits))
			}
			w := m.payloads[i].Stdout
			if stream == guest.Stderr {
				w = m.payloads[i].Stderr
			}
			if w == nil {
				return nil
			}
			_, err := w.Write(data)
			return err
		},
		End: func(i int, e guest.End) error {
			if i != len(res.Exits) || i >= len(m.payloads) {
				return fmt.Errorf("end of payload %d while %d runs", i, len(res.Exits))
			}
			res.Exits = append(res.Exits, Exit(e))
			if f := m.payloads[i].Ended; f != nil {
				f(Exit(e))
			}
			return nil
		},
		Log: func(text string) error {
			_, err := fmt.Fprintf(m.cfg.Log, "vmtest: %s\n", text)
			return err
		},
	})
}

// tailReader reads a file that grows until done is closed.
type tailReader struct {
	f    io.Reader
	done <-chan struct{}
	last bool // done was closed before the last look
}

func (t *tailReader) Read(p []byte) (int, error) {
	for {
		n, err := t.f.Read(p)
		if n > 0 || err != io.EOF || t.last {
			return n, err
		}
		select {
		case <-t.done:
			t.last = true
		case <-time.After(20 * time.Millisecond):
		}
	}
}

var warning = regexp.MustCompile(`WARNING: |BUG: |BUG at |Oops|general protection|unable to handle|refcount_t: |KASAN|UBSAN|list_add corruption|list_del corruption|possible recursive locking|scheduling while atomic`)

// notWarning are lines that the emulated machine, not the code under test, is
// to blame for.
var notWarning = regexp.MustCompile(`soft lockup|rcu.*stall|clocksource`)

// kernelWarnings picks the lines that tell of a kernel bug.
func kernelWarnings(console string) []string {
	var found []string
	for line := range strings.Lines(console) {
		line = strings.TrimSpace(line)
		if warning.MatchString(line) && !notWarning.MatchString(line) {
			found = append(found, line)
		}
	}
	return found
}

var trouble = regexp.MustCompile(`Kernel panic|Oops|BUG:|BUG at |general protection|Out of memory|Initramfs unpacking failed|Failed to execute`)

// excerpt picks the lines of the console that tell why a machine died: those
// after the first sign of trouble, and the last ones.
func excerpt(console string) string {
	var lines []string
	first := -1
	for line := range strings.Lines(console) {
		if line = strings.TrimRight(line, "\r\n \t"); line != "" {
			if first < 0 && trouble.MatchString(line) {
				first = len(lines)
			}
			lines = append(lines, line)
		}
	}
	start := max(0, len(lines)-consoleTail)
	if first < 0 || first >= start {
		return strings.Join(lines[start:], "\n")
	}
	end := first + consoleTrouble
	if end >= start {
		return strings.Join(lines[first:], "\n")
	}
	shown := append(lines[first:end:end], fmt.Sprintf("[%d lines left out]", start-end))
	return strings.Join(append(shown, lines[start:]...), "\n")
}
