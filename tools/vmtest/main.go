// Command vmtest runs kernel tests, those of files *_kernel_test.go with the
// build tag "kernel", on one or more kernels:
//
//	go run ./tools/vmtest [-kernel 6.12,6.1] [-run RE] [-v] [-no-skips] [-json FILE] [packages]
//
// It finds the packages that have such files (./... by default), builds all
// their test binaries, and boots each kernel once to run them one after the
// other. What a test needs besides its testdata it asks for by //vmtest:
// directives, see vmtest.Needs. Kernel tests must not rely on other files.
//
// It prints progress as it goes, and at the end a summary whose last line is
// "N passed, M failed, K skipped". A test that was to run and did not, a
// machine that dies and a kernel that prints a warning are failures. With -json
// it writes the events of all kernels to a file, each labelled with its kernel,
// for tools/testsum.
//
// Exit code 0 means that all tests passed; 1, that some failed; 2, that there
// was nothing to run or it could not be built.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/snappy-policy/snappy/internal/vmtest"
	"github.com/snappy-policy/snappy/tools/internal/summary"
)

// bootAllowance is the part of a machine's time limit that is not for tests.
const bootAllowance = 60 * time.Second

func main() { os.Exit(run(os.Args[1:])) }

type options struct {
	kernels  []string
	run      string
	json     string
	verbose  bool
	noSkips  summary.NoSkips
	limit    time.Duration // of one package, in guest time
	testArgs []string
	cfg      vmtest.Config
	patterns []string
}

func parse(stderr io.Writer, args []string) (*options, error) {
	var o options
	fs := flag.NewFlagSet("vmtest", flag.ContinueOnError)
	fs.SetOutput(stderr)
	kernels := fs.String("kernel", strings.Join(vmtest.Kernels(), ","), "`aliases` of the kernels, separated by commas")
	fs.StringVar(&o.run, "run", "", "run only the kernel tests that match `regexp`, as in go test")
	fs.StringVar(&o.json, "json", "", "write the events to `file`")
	fs.BoolVar(&o.verbose, "v", false, "print the output of all tests")
	fs.Var(&o.noSkips, "no-skips", "make skips failures; -no-skips=6.1 only on this kernel")
	fs.DurationVar(&o.limit, "limit", 120*time.Second, "time limit of one package, in guest time")
	fs.Func("arg", "`argument` for all test binaries (may be repeated)", func(s string) error {
		o.testArgs = append(o.testArgs, s)
		return nil
	})
	o.cfg.Flags(fs)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	o.kernels = strings.Split(*kernels, ",")
	o.patterns = fs.Args()
	if len(o.patterns) == 0 {
		o.patterns = []string{"./..."}
	}
	if o.limit <= 0 {
		err := errors.New("-limit must be positive")
		fmt.Fprintln(stderr, err)
		return nil, err
	}
	return &o, nil
}

func run(args []string) int {
	o, err := parse(os.Stderr, args)
	if err != nil {
		return 2
	}
	good, err := o.test()
	switch {
	case err != nil:
		fmt.Fprintf(os.Stderr, "vmtest: %v\n", err)
		return 2
	case !good:
		return 1
	}
	return 0
}

// test runs everything and reports whether it was good.
func (o *options) test() (good bool, err error) {
	ctx, stop := vmtest.Interrupts()
	defer stop()
	packages, err := findPackages(ctx, o.patterns, o.run)
	if err != nil {
		return false, err
	}
	if len(packages) == 0 {
		return false, fmt.Errorf("no kernel tests match in %s", strings.Join(o.patterns, " "))
	}
	dir, err := os.MkdirTemp("", "vmtest-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	start := time.Now()
	if err := buildTests(ctx, packages, dir); err != nil {
		return false, err
	}
	fmt.Printf("built %d test binaries in %.1fs\n", len(packages), time.Since(start).Seconds())

	events := io.Discard
	if o.json != "" {
		f, err := os.Create(o.json)
		if err != nil {
			return false, err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		events = f
	}
	sum := summary.Summary{Trim: modulePath + "/"}
	encoder := json.NewEncoder(events)
	for _, kernel := range o.kernels {
		sum.Expect(kernel)
		b := bench{kernel: kernel, verbose: o.verbose, out: os.Stdout, emit: func(e summary.Event) error {
			sum.Add(e)
			return encoder.Encode(e)
		}}
		if err := b.runOn(ctx, o, packages, dir); err != nil {
			return false, err
		}
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
	}
	fmt.Println()
	if err := sum.Print(os.Stdout); err != nil {
		return false, err
	}
	return sum.Good(o.noSkips), nil
}
