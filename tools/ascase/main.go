// Command ascase runs a command as if it were a test case, so that checks that
// are no Go tests (vet, formatting) are counted along with them:
//
//	ascase NAME command [arguments]
//
// It prints the events of `go test -json` for a test NAME of the package
// "(checks)"; the command's output goes into them, and to standard error too if
// it fails. The exit code is 0 if the command's was, else 1.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/snappy-policy/snappy/tools/internal/summary"
)

const checks = "(checks)"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	if len(args) < 2 {
		fmt.Fprintln(stderr, "usage: ascase NAME command [arguments]")
		return 1
	}
	start := time.Now()
	out, err := exec.Command(args[1], args[2:]...).CombinedOutput()
	elapsed := time.Since(start).Seconds()
	end := "pass"
	text := string(out)
	if err != nil {
		end = "fail"
		text += fmt.Sprintf("%s: %v\n", args[1], err)
		fmt.Fprintf(stderr, "FAIL %s\n%s", args[0], text)
	}
	events := []summary.Event{{Action: "run", Test: args[0]}}
	if text != "" {
		events = append(events, summary.Event{Action: "output", Test: args[0], Output: text})
	}
	events = append(events, summary.Event{Action: end, Test: args[0], Elapsed: &elapsed}, summary.Event{Action: end})
	encoder := json.NewEncoder(stdout)
	for _, e := range events {
		e.Time, e.Package = time.Now(), checks
		if encodeErr := encoder.Encode(e); encodeErr != nil {
			fmt.Fprintf(stderr, "ascase: %v\n", encodeErr)
			return 1
		}
	}
	if err != nil {
		return 1
	}
	return 0
}
