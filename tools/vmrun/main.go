// Command vmrun boots a kernel in a virtual machine and runs one static
// program in it, with the output streamed as it appears:
//
//	vmrun -kernel 6.12 -busybox -file demo.sh=/demo.sh -- /bin/sh /demo.sh
//
// The exit code is that of the program, 125 when the rig failed.
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
	var env []string
	dir := ""
	fs := flag.NewFlagSet("vmrun", flag.ContinueOnError)
	fs.StringVar(&cfg.Kernel, "kernel", vmtest.HostKernel(), "`alias` of the kernel")
	fs.StringVar(&dir, "dir", "", "working `folder` in the guest (default /root)")
	fs.Func("env", "`NAME=value` for the program, besides SNAPPY_* of the host (may be repeated)", func(s string) error {
		env = append(env, s)
		return nil
	})
	cfg.Flags(fs)
	fs.Usage = func() {
		fmt.Fprintln(fs.Output(), "usage: vmrun [flags] -- program [arguments]")
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
	res, err := vmtest.Run(ctx, cfg, []vmtest.Payload{{
		Argv: fs.Args(), Env: append(vmtest.HostEnv(), env...), Dir: dir, Stdout: os.Stdout, Stderr: os.Stderr,
	}})
	return vmtest.Report("vmrun", res, err)
}
