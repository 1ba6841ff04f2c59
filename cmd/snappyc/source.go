package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/format"
	"github.com/snappy-policy/snappy/lang/parser"
)

// printList prints diagnostics as text and fails if there are errors among them.
func printList(w io.Writer, list diag.List) error {
	if err := diag.Text(w, list, diag.TextOptions{}); err != nil {
		return err
	}
	if list.HasErrors() {
		return exitError{1}
	}
	return nil
}

func newCheck() *cobra.Command {
	var form string
	c := &cobra.Command{
		Use: "check FILE …", Short: "Report all errors and warnings of policies", Args: files,
		Long: `check compiles each policy without writing anything and reports every error and
warning: as text on standard error, or as JSON or SARIF on standard output. It
exits with 1 if there are errors. The file - is standard input; its imports are
looked up from the working directory.`,
		RunE: func(c *cobra.Command, args []string) error {
			if err := oneOf("format", form, "text", "json", "sarif"); err != nil {
				return err
			}
			var all diag.List
			for _, typed := range args {
				// Limits of the compiler count as errors of the policy.
				_, list, err := compileFile(typed)
				if err != nil {
					return err
				}
				all = append(all, list...)
			}
			var err error
			switch form {
			case "json":
				err = diag.JSON(c.OutOrStdout(), all)
			case "sarif":
				err = diag.SARIF(c.OutOrStdout(), all)
			default:
				return printList(c.ErrOrStderr(), all)
			}
			if err == nil && all.HasErrors() {
				err = exitError{1}
			}
			return err
		},
	}
	c.Flags().StringVar(&form, "format", "text", "text, json or sarif")
	return c
}

func newCompile() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use: "compile FILE", Short: "Compile a policy to an eBPF object", Args: oneFile,
		Long: `compile writes FILE with .snp replaced by .bpf.o: a standard eBPF ELF object, equal
bytes for equal input, that names nothing of this host. Nothing is written if
the policy has errors. The file - is standard input and needs -o.`,
		RunE: func(c *cobra.Command, args []string) error {
			if out == "" {
				if args[0] == stdin {
					return usageError{errors.New("compile from standard input needs -o")}
				}
				out = strings.TrimSuffix(args[0], ".snp") + ".bpf.o"
			}
			r, list, err := compilePortable(args[0])
			if err == nil {
				err = printList(c.ErrOrStderr(), list)
			}
			if err != nil {
				return err
			}
			return replaceFile(out, r.Object)
		},
	}
	c.Flags().StringVarP(&out, "output", "o", "", "write to this `file`")
	return c
}

// replaceFile writes a file whole or not at all. What is there and no regular
// file, such as /dev/stdout, is written to.
func replaceFile(path string, data []byte) error {
	mode := fs.FileMode(0o666) // less the umask
	keep := false
	if st, err := os.Stat(path); err == nil {
		if !st.Mode().IsRegular() {
			return os.WriteFile(path, data, mode)
		}
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return err
		}
		mode, keep = st.Mode().Perm(), true
	}
	name := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%d.tmp", filepath.Base(path), os.Getpid()))
	tmp, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return unwritable(path, err)
	}
	_, err = tmp.Write(data)
	if keep {
		err = errors.Join(err, tmp.Chmod(mode))
	}
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(name, path)
	}
	if err != nil {
		os.Remove(name)
		return unwritable(path, err)
	}
	return nil
}

// unwritable names the file that was asked for instead of the temporary one.
func unwritable(path string, err error) error {
	return fmt.Errorf("%s cannot be written: %w", path, cause(err))
}

func newFmt() *cobra.Command {
	var write, check bool
	c := &cobra.Command{
		Use: "fmt [-w|--check] FILE …", Short: "Print policies in canonical form", Args: files,
		Long: `fmt prints each policy in canonical form, comments kept. With -w it rewrites files
that differ; with --check it names them and exits with 1. The file - is standard
input.`,
		RunE: func(c *cobra.Command, args []string) error {
			if write && check {
				return usageError{errors.New("-w and --check exclude each other")}
			}
			failed := false
			for _, typed := range args {
				if write && typed == stdin {
					return usageError{errors.New("standard input cannot be rewritten")}
				}
				same, err := formatFile(c, typed, write, check)
				var exit exitError
				var usage usageError
				switch {
				case errors.As(err, &usage):
					return err
				case errors.As(err, &exit): // it was printed
					failed = true
				case err != nil:
					fmt.Fprintf(c.ErrOrStderr(), "snappyc: %v\n", err)
					failed = true
				}
				failed = failed || check && !same
			}
			if failed {
				return exitError{1}
			}
			return nil
		},
	}
	c.Flags().BoolVarP(&write, "write", "w", false, "rewrite files that are not in canonical form")
	c.Flags().BoolVar(&check, "check", false, "name files that are not in canonical form, and fail")
	return c
}

// formatFile formats one file; same tells whether it was in canonical form.
func formatFile(c *cobra.Command, typed string, write, check bool) (same bool, err error) {
	p, err := openPolicy(typed)
	if err != nil {
		return false, err
	}
	defer p.close()
	file, err := p.read()
	if err != nil {
		return false, err
	}
	tree, list := parser.Parse(file)
	if err := printList(c.ErrOrStderr(), list); err != nil {
		return false, err
	}
	text, err := format.Format(tree)
	if err != nil {
		return false, fmt.Errorf("%s: %w", typed, err)
	}
	same = text == file.Text
	switch {
	case check && !same:
		_, err = fmt.Fprintln(c.OutOrStdout(), typed)
	case write && !same:
		err = replaceFile(typed, []byte(text))
	case !write && !check:
		_, err = io.WriteString(c.OutOrStdout(), text)
	}
	return same, err
}

func newDump() *cobra.Command {
	var stage string
	c := &cobra.Command{
		Use: "dump --stage ast|ir|asm|object FILE", Short: "Show what the compiler makes of a policy", Args: oneFile,
		Long: `dump prints one stage of a compilation: the syntax tree (ast), the intermediate
representation (ir), the instructions under the policy lines that caused them
(asm), or the sections, maps and tables of the object (object).`,
		RunE: func(c *cobra.Command, args []string) error {
			if err := oneOf("stage", stage, "ast", "ir", "asm", "object"); err != nil {
				return err
			}
			r, list, err := compilePortable(args[0])
			if err != nil {
				return err
			}
			failed := printList(c.ErrOrStderr(), list)
			// The tree is there in spite of errors, and may explain them.
			if failed != nil && stage != "ast" {
				return failed
			}
			var text string
			switch stage {
			case "ast":
				text = r.DumpAST()
			case "ir":
				text = r.DumpIR()
			case "asm":
				text, err = r.DumpAsm()
			case "object":
				text, err = object.Describe(r.Object)
			}
			if err == nil {
				_, err = io.WriteString(c.OutOrStdout(), text)
			}
			return errors.Join(err, failed)
		},
	}
	c.Flags().StringVar(&stage, "stage", "asm", "ast, ir, asm or object")
	return c
}
