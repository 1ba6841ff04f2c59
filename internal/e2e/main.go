package main

import (
	"fmt"
	"os"

	"github.com/snappy-policy/snappy/compiler"
	"github.com/snappy-policy/snappy/lang/diag"
)

func main() {
	r, list := compiler.Compile(os.DirFS("."), os.Args[1], compiler.Options{CheckPasses: true})
	diag.Text(os.Stderr, list, diag.TextOptions{})
	if r.Module != nil && len(os.Args) > 2 {
		fmt.Println(r.DumpIR())
	}
	if r.Object == nil {
		os.Exit(1)
	}
	os.WriteFile("/tmp/e2e/out.bpf.o", r.Object, 0o644)
	if len(os.Args) > 3 {
		s, err := r.DumpAsm()
		fmt.Println(s, err)
	}
}
