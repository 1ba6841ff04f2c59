package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/snappy-policy/snappy/internal/vmtest"
	"github.com/snappy-policy/snappy/tools/internal/summary"
)

const (
	// machinePackage stands in for a package where the machine itself failed.
	machinePackage = "(machine)"
	// rigTest stands in for a test where the rig failed a package, so that
	// the reason is a case of its own next to the tests that failed with it.
	rigTest = "(rig)"
)

// bench runs test binaries on one kernel.
type bench struct {
	kernel  string
	verbose bool
	out     io.Writer
	emit    func(summary.Event) error

	mu  sync.Mutex
	err error // first error of emit
}

// send labels an event and passes it on.
func (b *bench) send(e summary.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e.Label = b.kernel
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	if err := b.emit(e); err != nil && b.err == nil {
		b.err = err
	}
}

// fail sends a failure of a whole package with its reason.
func (b *bench) fail(pkg, reason string) {
	b.send(summary.Event{Action: "run", Package: pkg, Test: rigTest})
	b.send(summary.Event{Action: "output", Package: pkg, Test: rigTest, Output: strings.TrimRight(reason, "\n") + "\n"})
	b.send(summary.Event{Action: "fail", Package: pkg, Test: rigTest})
	b.send(summary.Event{Action: "fail", Package: pkg})
	fmt.Fprintf(b.out, "%-5s FAIL %s: %s\n", b.kernel, strings.TrimPrefix(pkg, modulePath+"/"), reason)
}

// runOn boots the kernel and runs the packages. Failures are events; an error
// means that nothing more can be said.
func (b *bench) runOn(ctx context.Context, o *options, packages []*testPackage, dir string) error {
	cfg := o.cfg
	cfg.Kernel = b.kernel
	cfg.Files = slices.Clone(cfg.Files)
	cfg.Modules = slices.Clone(cfg.Modules)
	cfg.Programs = slices.Clone(cfg.Programs)
	total := bootAllowance
	var payloads []vmtest.Payload
	var streams []*stream
	for _, p := range packages {
		if p.broken != nil {
			b.fail(p.ImportPath, p.broken.Error())
			continue
		}
		test := vmtest.TestBinary{Binary: p.binary, Source: p.Dir, Guest: p.guest}
		needs, err := cfg.AddTest(ctx, test, dir)
		if err != nil {
			b.fail(p.ImportPath, err.Error())
			continue
		}
		limit := o.limit
		if needs.Timeout > 0 {
			limit = needs.Timeout
		}
		total += limit
		s := &stream{bench: b, pkg: p}
		streams = append(streams, s)
		payloads = append(payloads, vmtest.Payload{
			Argv: append([]string{
				test.Program(), "-test.v=test2json", "-test.paniconexit0",
				"-test.run=" + p.pattern, "-test.timeout=" + limit.String(),
			}, o.testArgs...),
			// The test's own time limit comes first, because it shows where
			// the test hangs.
			Env: vmtest.HostEnv(), Dir: p.guest, Timeout: limit + 10*time.Second,
			Stdout: s, Stderr: s, Ended: s.ended,
		})
	}
	if len(payloads) == 0 {
		return b.err
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = total
	}
	start := time.Now()
	res, err := vmtest.Run(ctx, cfg, payloads)
	for _, s := range streams {
		s.abandon()
	}
	if err != nil {
		b.fail(machinePackage, err.Error())
	} else {
		if len(res.Warnings) > 0 {
			b.fail(machinePackage, "the kernel complained:\n"+strings.Join(res.Warnings, "\n"))
		}
		fmt.Fprintf(b.out, "%-5s %s %s: %.1fs\n", b.kernel, res.Kernel.Package, res.Kernel.Version, time.Since(start).Seconds())
	}
	return b.err
}

// stream turns the output of one test binary into events.
type stream struct {
	bench *bench
	pkg   *testPackage

	started bool
	done    bool
	input   io.WriteCloser
	decoded chan error

	outcomes map[string]string // of top-level tests and subtests
}

// start runs the standard converter; it knows the format of every Go version.
func (s *stream) start() error {
	if s.started {
		return nil
	}
	s.started = true
	s.outcomes = map[string]string{}
	s.bench.send(summary.Event{Action: "start", Package: s.pkg.ImportPath})
	cmd := exec.Command("go", "tool", "test2json", "-t", "-p", s.pkg.ImportPath)
	input, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.input = input
	s.decoded = make(chan error, 1)
	go func() {
		err := s.decode(output)
		io.Copy(io.Discard, output) // after an error: never block the converter
		s.decoded <- errors.Join(err, cmd.Wait())
	}()
	return nil
}

// Write takes output of the test binary.
func (s *stream) Write(p []byte) (int, error) {
	if err := s.start(); err != nil {
		return 0, err
	}
	return s.input.Write(p)
}

func (s *stream) decode(r io.Reader) error {
	for dec := json.NewDecoder(r); ; {
		var e summary.Event
		if err := dec.Decode(&e); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("test2json: %w", err)
		}
		s.event(e)
	}
}

func (s *stream) event(e summary.Event) {
	final := e.Action == "pass" || e.Action == "fail" || e.Action == "skip"
	switch {
	case e.Test == "" && (final || e.Action == "start"):
		return // the exit code decides about the package
	case final:
		s.outcomes[e.Test] = e.Action
		if e.Action != "pass" || s.bench.verbose {
			fmt.Fprintf(s.bench.out, "%-5s %s %s %s\n", s.bench.kernel, e.Action, strings.TrimPrefix(s.pkg.ImportPath, modulePath+"/"), e.Test)
		}
	case e.Action == "output" && s.bench.verbose:
		io.WriteString(s.bench.out, e.Output)
	}
	s.bench.send(e)
}

// finish ends the conversion.
func (s *stream) finish() error {
	if err := s.start(); err != nil {
		return err
	}
	s.done = true
	return errors.Join(s.input.Close(), <-s.decoded)
}

// ended judges the package: the binary must have said so itself, and each test
// that was to run must have run.
func (s *stream) ended(exit vmtest.Exit) {
	b := s.bench
	if err := s.finish(); err != nil {
		b.fail(s.pkg.ImportPath, err.Error())
		return
	}
	var missing []string
	passed, failed := 0, 0
	for _, t := range s.pkg.tests {
		switch s.outcomes[t] {
		case "":
			missing = append(missing, t)
		case "fail":
			failed++
		default:
			passed++
		}
	}
	switch {
	case exit.Reason != "":
		b.fail(s.pkg.ImportPath, exit.Reason)
	case exit.Code == 0 && failed > 0:
		b.fail(s.pkg.ImportPath, "exit code 0 in spite of failed tests")
	case len(missing) > 0:
		b.fail(s.pkg.ImportPath, fmt.Sprintf("exit code %d, and no result of %s", exit.Code, strings.Join(missing, " ")))
	case exit.Code != 0 && failed > 0:
		b.send(summary.Event{Action: "fail", Package: s.pkg.ImportPath})
		fmt.Fprintf(b.out, "%-5s FAIL %s (%d of %d tests, %.1fs)\n", b.kernel, strings.TrimPrefix(s.pkg.ImportPath, modulePath+"/"), failed, passed+failed, exit.Elapsed.Seconds())
	case exit.Code != 0:
		b.fail(s.pkg.ImportPath, fmt.Sprintf("exit code %d", exit.Code))
	default:
		seconds := exit.Elapsed.Seconds()
		b.send(summary.Event{Action: "pass", Package: s.pkg.ImportPath, Elapsed: &seconds})
		fmt.Fprintf(b.out, "%-5s ok   %s (%d tests, %.1fs)\n", b.kernel, strings.TrimPrefix(s.pkg.ImportPath, modulePath+"/"), passed, seconds)
	}
}

// abandon ends a stream whose machine died before the package ended.
func (s *stream) abandon() {
	if s.done {
		return
	}
	reason := "did not run: the machine ended before"
	if s.started {
		reason = "did not end: the machine ended before"
	}
	if err := s.finish(); err != nil {
		reason += ": " + err.Error()
	}
	s.bench.fail(s.pkg.ImportPath, reason)
}
