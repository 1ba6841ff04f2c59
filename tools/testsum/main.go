// Command testsum counts the test cases of `go test -json` streams.
//
//	go test -json ./... | testsum [-no-skips]
//	testsum -no-skips=6.12,6.1 host=host.json vm.json
//
// Each argument is a file, or label=file to name where its tests ran; events
// that carry their own label, as tools/vmtest writes them, keep it. Without
// arguments it reads standard input under the label "host".
//
// It prints failures with their output, every skip with its reason, and a table
// by label. The last line is "N passed, M failed, K skipped". Exit code 1 means
// that something failed, was skipped under -no-skips, or did not run at all; 2,
// that the input is not readable.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/snappy-policy/snappy/tools/internal/summary"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var noSkips summary.NoSkips
	fs := flag.NewFlagSet("testsum", flag.ContinueOnError)
	fs.SetOutput(stderr)
	progress := fs.Bool("progress", false, "print a line for each package as it ends")
	fs.Var(&noSkips, "no-skips", "make skips failures; -no-skips=a,b only under these labels")
	if err := fs.Parse(args); err != nil {
		return 2
	}
	sum := summary.Summary{Trim: "github.com/snappy-policy/snappy/"}
	if *progress {
		sum.Progress = stdout
	}
	readErr := read(&sum, fs.Args(), stdin)
	if err := sum.Print(stdout); err != nil {
		fmt.Fprintf(stderr, "testsum: %v\n", err)
		return 2
	}
	switch {
	case readErr != nil:
		fmt.Fprintf(stderr, "testsum: %v\n", readErr)
		return 2
	case !sum.Good(noSkips):
		return 1
	}
	return 0
}

func read(sum *summary.Summary, files []string, stdin io.Reader) error {
	if len(files) == 0 {
		sum.Expect("host")
		return sum.Read("host", stdin)
	}
	for _, arg := range files {
		label, name, ok := strings.Cut(arg, "=")
		if ok {
			sum.Expect(label)
		} else {
			name = arg
			label = strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		before := sum.Events()
		err = sum.Read(label, f)
		f.Close()
		if err != nil {
			return err
		}
		if sum.Events() == before {
			return fmt.Errorf("%s is empty", name)
		}
	}
	return nil
}
