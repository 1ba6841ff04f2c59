// Command embed shows SNAPPY as a Go library: a program that carries a policy,
// compiles it, and starts a command under it.
//
//	embed cat /etc/shadow
//
// It needs root, as the library does in this version, and prints what the kernel denied.
package main

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing/fstest"
	"time"

	"github.com/cilium/ebpf/ringbuf"

	"github.com/snappy-policy/snappy/compiler"
	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/kernel/abi"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/runtime/audit"
	"github.com/snappy-policy/snappy/runtime/loader"
	"github.com/snappy-policy/snappy/runtime/namespace"
)

//go:embed policy.snp
var policy []byte

func main() {
	if err := confine(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "embed:", err)
		os.Exit(1)
	}
}

func confine(argv []string) (err error) {
	if len(argv) == 0 {
		return errors.New("usage: embed COMMAND [ARGUMENT …]")
	}

	// Source to object: pure, the same on every host.
	result, list := compiler.Compile(fstest.MapFS{"policy.snp": {Data: policy}}, "policy.snp", compiler.Options{})
	if list.HasErrors() {
		return errors.Join(errors.New("the policy has errors"), diag.Text(os.Stderr, list, diag.TextOptions{}))
	}

	// Object to kernel.
	manager, err := namespace.Open(namespace.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, manager.Collect()) }() // frees what nobody uses any more
	obj, err := loader.Read(result.Object)
	if err != nil {
		return err
	}
	loaded, err := manager.Load(obj)
	if err != nil {
		return err
	}
	defer loaded.Close()
	space, err := manager.Create(nil, loaded)
	if err != nil {
		return err
	}
	defer space.Close()

	// The events of the kernel. One process consumes them at a time.
	events, err := manager.Map(abi.MapEvents)
	if err != nil {
		return err
	}
	defer events.Close()
	ring, err := ringbuf.NewReader(events)
	if err != nil {
		return err
	}
	defer ring.Close()

	// The command joins the namespace by its exec, which is judged already.
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := space.Start(cmd); err != nil {
		fmt.Println("not started:", err)
	} else if err := cmd.Wait(); err != nil {
		fmt.Println("ended:", err)
	}
	ring.SetDeadline(time.Now())
	for {
		record, err := ring.Read()
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return nil
			}
			return err
		}
		event, err := audit.Decode(record.RawSample, func(uint64) *object.Meta { return obj.Meta })
		if err != nil {
			return err
		}
		fmt.Println(event)
	}
}
