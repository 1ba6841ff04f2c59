// Command snappyc compiles, explains and runs SNAPPY policies.
//
// Exit codes: 0 success; 1 the policy or the host failed (diagnostics, doctor
// found something missing, a file cannot be written); 2 wrong usage; `run` returns
// the command's own code, 125 if it failed itself, 126 if the command may not be
// executed and 127 if it is not there.
package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/snappy-policy/snappy/lang/diag"
)

// version is set by the linker.
var version = "devel"

// exitError ends the program with a code; its message, if any, was printed.
type exitError struct{ code int }

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// usageError is a wrong call.
type usageError struct{ error }

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	root := newRoot()
	root.SetArgs(args)
	err := root.Execute()
	var exit exitError
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "snappyc: %v\nSee 'snappyc --help'.\n", err)
		return 2
	}
	fmt.Fprintf(os.Stderr, "snappyc: %v\n", err)
	return 1
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "snappyc",
		Short: "Compile, check and run SNAPPY policies",
		Long: `snappyc compiles readable security policies (.snp) straight to eBPF and has the
Linux kernel enforce them on a command and everything that it starts.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(c *cobra.Command, args []string) error { return c.Help() },
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			var names []string
			for _, sub := range c.Commands() {
				names = append(names, sub.Name())
			}
			return usageError{unknown("command", args[0], names)}
		},
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newCheck(), newCompile(), newFmt(), newDump(), newExplain(), newDoctor(), newRun(), newEvents(), newVersion())
	return root
}

// unknown is the error for a name that is none of those known.
func unknown(what, name string, known []string) error {
	if s := diag.Suggest(name, known); s != "" {
		return fmt.Errorf("unknown %s %q: did you mean %s?", what, name, s)
	}
	return fmt.Errorf("unknown %s %q", what, name)
}

// files is the argument check of commands that need at least one file.
func files(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usageError{fmt.Errorf("%s needs a policy file", c.Name())}
	}
	return nil
}

func oneFile(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError{fmt.Errorf("%s needs one policy file, not %d", c.Name(), len(args))}
	}
	return nil
}

func noArgs(c *cobra.Command, args []string) error {
	if len(args) != 0 {
		return usageError{fmt.Errorf("%s takes no arguments", c.Name())}
	}
	return nil
}

// oneOf checks the value of a flag.
func oneOf(flag, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return usageError{fmt.Errorf("--%s %q: want %s or %s", flag, value, strings.Join(allowed[:len(allowed)-1], ", "), allowed[len(allowed)-1])}
}
