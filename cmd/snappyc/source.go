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

	"github.com/snappy-policy/snappy/compiler"
	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/format"
	"github.com/snappy-policy/snappy/lang/parser"
	"github.com/snappy-policy/snappy/lang/source"
)

// open gives a file system and the name in it of a policy file. Imports reach
// what lies below the working directory, or, for a file elsewhere, below the
// file's own folder.
func open(path string) (fs.FS, string) {
	clean := filepath.Clean(path)
	if filepath.IsLocal(clean) {
		return os.DirFS("."), filepath.ToSlash(clean)
	}
	return os.DirFS(filepath.Dir(clean)), filepath.Base(clean)
}

func compileFile(path string) (*compiler.Result, diag.List) {
	fsys, name := open(path)
	return compiler.Compile(fsys, name, compiler.Options{Version: version})
}

func printText(w io.Writer, list diag.List) { _ = diag.Text(w, list, diag.TextOptions{}) }

// report prints diagnostics and fails if there are errors among them.
func reportList(c *cobra.Command, list diag.List, form string) error {
	var err error
	if form == "json" {
		err = diag.JSON(c.OutOrStdout(), list)
	} else {
		err = diag.Text(c.ErrOrStderr(), list, diag.TextOptions{})
	}
	if err == nil && list.HasErrors() {
		err = exitError{1}
	}
	return err
}

func newCheck() *cobra.Command {
	var form string
	c := &cobra.Command{
		Use: "check FILE …", Short: "Report all errors and warnings of policies", Args: files,
		RunE: func(c *cobra.Command, args []string) error {
			if err := oneOf("format", form, "text", "json"); err != nil {
				return err
			}
			var all diag.List
			for _, path := range args {
				// Limits of the compiler count as errors of the policy.
				_, list := compileFile(path)
				all = append(all, list...)
			}
			return reportList(c, all, form)
		},
	}
	c.Flags().StringVar(&form, "format", "text", "text (on standard error) or json (on standard output)")
	return c
}

func newCompile() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use: "compile FILE", Short: "Compile a policy to an eBPF object", Args: oneFile,
		Long: `compile writes FILE with .snp replaced by .bpf.o: a standard eBPF ELF object, equal
bytes for equal input, that names nothing of this host. Nothing is written if
the policy has errors.`,
		RunE: func(c *cobra.Command, args []string) error {
			r, list := compileFile(args[0])
			if err := reportList(c, list, "text"); err != nil {
				return err
			}
			if out == "" {
				out = strings.TrimSuffix(args[0], ".snp") + ".bpf.o"
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
	mode := fs.FileMode(0o644)
	if st, err := os.Stat(path); err == nil {
		if !st.Mode().IsRegular() {
			return os.WriteFile(path, data, mode)
		}
		mode = st.Mode().Perm()
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Chmod(mode), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
	return err
}

func newFmt() *cobra.Command {
	var write, check bool
	c := &cobra.Command{
		Use: "fmt [-w|--check] FILE …", Short: "Print policies in canonical form", Args: files,
		Long: `fmt prints each policy in canonical form, comments kept. With -w it rewrites files
that differ; with --check it names them and fails.`,
		RunE: func(c *cobra.Command, args []string) error {
			if write && check {
				return usageError{errors.New("-w and --check exclude each other")}
			}
			failed := false
			for _, path := range args {
				data, err := readPolicy(path)
				if err != nil {
					return err
				}
				tree, list := parser.Parse(source.New(path, string(data)))
				if list.HasErrors() {
					printText(c.ErrOrStderr(), list)
					failed = true
					continue
				}
				text, err := format.Format(tree)
				if err != nil {
					return fmt.Errorf("%s: %w", path, err)
				}
				switch same := text == string(data); {
				case check && !same:
					fmt.Fprintln(c.OutOrStdout(), path)
					failed = true
				case write && !same:
					if err := replaceFile(path, []byte(text)); err != nil {
						return err
					}
				case !write && !check:
					fmt.Fprint(c.OutOrStdout(), text)
				}
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

// readPolicy reads at most what the parser accepts, and one byte, so that it
// can refuse the rest.
func readPolicy(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, source.MaxSize+1))
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
			r, list := compileFile(args[0])
			if stage == "ast" && r != nil && r.Unit != nil && r.Unit.Main != nil {
				fmt.Fprint(c.OutOrStdout(), r.DumpAST())
				return reportList(c, list, "text")
			}
			if err := reportList(c, list, "text"); err != nil {
				return err
			}
			switch stage {
			case "ir":
				fmt.Fprint(c.OutOrStdout(), r.DumpIR())
			case "asm":
				fmt.Fprint(c.OutOrStdout(), r.DumpAsm())
			case "object":
				text, err := object.Describe(r.Object)
				if err != nil {
					return err
				}
				fmt.Fprint(c.OutOrStdout(), text)
			}
			return nil
		},
	}
	c.Flags().StringVar(&stage, "stage", "asm", "ast, ir, asm or object")
	return c
}
