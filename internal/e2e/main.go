package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/cilium/ebpf/ringbuf"

	"github.com/snappy-policy/snappy/compiler"
	"github.com/snappy-policy/snappy/kernel/abi"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/runtime/audit"
	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/runtime/loader"
	"github.com/snappy-policy/snappy/runtime/namespace"
)

func must(err error) {
	if err != nil {
		fmt.Printf("%+v\n", err)
		os.Exit(1)
	}
}

func main() {
	r, list := compiler.Compile(os.DirFS("."), os.Args[1], compiler.Options{CheckPasses: true})
	diag.Text(os.Stderr, list, diag.TextOptions{})
	if r.Object == nil {
		os.Exit(1)
	}
	os.WriteFile("/tmp/out.bpf.o", r.Object, 0o644)
	if len(os.Args) == 2 {
		fmt.Println(r.DumpIR())
		s, err := r.DumpAsm()
		fmt.Println(s, err)
		return
	}
	m, err := namespace.Open(namespace.Options{})
	must(err)
	obj, err := loader.Read(r.Object)
	must(err)
	p, err := m.Load(obj)
	must(err)
	ns, err := m.Create(nil, p)
	must(err)
	ring, err := m.Map(abi.MapEvents)
	must(err)
	rd, err := ringbuf.NewReader(ring)
	must(err)
	cmd := exec.Command(os.Args[2], os.Args[3:]...)
	cmd.Stdout, cmd.Stderr, cmd.Stdin = os.Stdout, os.Stderr, os.Stdin
	err = ns.Start(cmd)
	fmt.Println("start:", err)
	if err == nil {
		fmt.Println("wait:", cmd.Wait())
	}
	for rd.AvailableBytes() > 0 {
		rec, err := rd.Read()
		must(err)
		e, err := audit.Decode(rec.RawSample, func(uint64) *object.Meta { return obj.Meta })
		must(err)
		fmt.Println("snappy:", e)
	}
	_ = syscall.Getpid
	p.Close()
	ns.Close()
	must(m.Collect())
}
