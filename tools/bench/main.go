// Command bench measures what policies cost.
//
//	bench compile   on any host: time and peak memory of compilations
//	bench open      in a virtual machine whose clock counts instructions (vmrun
//	                -icount): instructions that are added to open()+close()
//
// Both print Markdown tables; docs/performance.md tells how to read them.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing/fstest"

	"github.com/snappy-policy/snappy/compiler"
)

func init() { runtime.LockOSThread() } // the main goroutine stays on the first thread, which children are measured on

func main() {
	var err error
	switch arg := strings.Join(os.Args[1:], " "); arg {
	case "compile":
		err = compileTable()
	case "open":
		err = openTable()
	case "loop":
		err = loop()
	default:
		if _, scanErr := fmt.Sscanf(arg, "compile-one %d", new(int)); scanErr == nil {
			err = compileOne()
		} else {
			err = errors.New("usage: bench compile | bench open")
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// file is what the loop opens: five components, and a name of twenty bytes.
const file = "/usr/share/app/data/configuration-00.conf"

// allowList is a policy of n rules and defaults that allows files, the loop's
// among them, so that each open is matched to its end.
func allowList(n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "policy bench\ndefault deny for file.open\nallow file.open when path == %q\n", file)
	for i := 2; i < n; i++ { // with the default and the first rule: n
		fmt.Fprintf(&b, "allow file.open when path == \"/usr/share/application%05d/config%05d.conf\"\n", i, i*7919%100000)
	}
	return b.String()
}

// denyList is a policy that denies n files and globs, none of them the loop's.
func denyList(n int) string {
	var b strings.Builder
	b.WriteString("policy bench\n")
	for i := range n {
		switch i % 3 {
		case 0:
			fmt.Fprintf(&b, "deny file.open when path == \"/usr/share/app/data/configuration-%05d.conf\"\n", i+100)
		case 1:
			fmt.Fprintf(&b, "deny file.open when path matches \"/usr/share/application%05d/**\"\n", i)
		default:
			fmt.Fprintf(&b, "deny file.open when path matches \"/srv/*/app%05d/*.conf\"\n", i)
		}
	}
	return b.String()
}

func compile(text string) (*compiler.Result, error) {
	r, list := compiler.Compile(fstest.MapFS{"bench.snp": {Data: []byte(text)}}, "bench.snp", compiler.Options{Version: "bench"})
	if list.HasErrors() {
		return nil, fmt.Errorf("%+v", list[0])
	}
	return r, nil
}
