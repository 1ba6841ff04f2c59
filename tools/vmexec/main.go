// Command vmexec runs a Go test binary in a virtual machine. It is meant for
//
//	CGO_ENABLED=0 go test -tags kernel -exec "go run github.com/snappy-policy/snappy/tools/vmexec -kernel 6.1" ./some/package
//
// or, faster, with -exec "$PWD/bin/vmexec -kernel 6.1" once `make build` has
// made it. The go command runs it in the package's folder as
//
//	vmexec [flags] binary [arguments of the test]
//
// Output and exit code are those of the test. The test finds the package's
// testdata in its working directory and what //vmtest: directives ask for (see
// vmtest.Needs), but no other file of the host; variables SNAPPY_* travel, and
// SNAPPY_KERNEL names the kernel. The binary must be static, hence
// CGO_ENABLED=0.
//
// Exit code 125 means that the rig failed, not the test.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/snappy-policy/snappy/internal/vmtest"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	var cfg vmtest.Config
	fs := flag.NewFlagSet("vmexec", flag.ContinueOnError)
	fs.StringVar(&cfg.Kernel, "kernel", vmtest.HostKernel(), "`alias` of the kernel")
	cfg.Flags(fs)
	fs.Usage = func() {
		fmt.Fprintln(fs.Output(), "usage: vmexec [flags] test-binary [arguments]")
		fs.PrintDefaults()
	}
	if err := fs.Parse(args); err != nil {
		return vmtest.ExitRig
	}
	if fs.NArg() == 0 {
		fs.Usage()
		return vmtest.ExitRig
	}
	ctx, stop := vmtest.Interrupts()
	defer stop()
	guestDir, err := vmtest.GuestDir(".")
	if err != nil {
		return vmtest.Report("vmexec", nil, err)
	}
	build, err := os.MkdirTemp("", "vmexec-")
	if err != nil {
		return vmtest.Report("vmexec", nil, err)
	}
	defer os.RemoveAll(build)
	bin := vmtest.TestBinary{Binary: fs.Arg(0), Source: ".", Guest: guestDir}
	if _, err := cfg.AddTest(ctx, bin, build); err != nil {
		return vmtest.Report("vmexec", nil, err)
	}
	res, err := vmtest.Run(ctx, cfg, []vmtest.Payload{{
		Argv: append([]string{bin.Program()}, fs.Args()[1:]...), Env: vmtest.HostEnv(), Dir: bin.Guest,
		Stdout: os.Stdout, Stderr: os.Stderr,
	}})
	return vmtest.Report("vmexec", res, err)
}
