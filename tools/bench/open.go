package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/runtime/loader"
	"github.com/snappy-policy/snappy/runtime/namespace"
)

const (
	rounds = 6
	opens  = 500
	warmUp = 1_500_000_000 // instructions before the first measurement of a process: caches of the kernel and the runtime settle
)

// loop measures on request: a line on standard input starts a measurement, the
// answer is the instructions per open()+close(), the least of several rounds.
func loop() error {
	in := bufio.NewScanner(os.Stdin)
	for spent := int64(0); spent < warmUp; {
		n, err := round()
		if err != nil {
			return err
		}
		spent += n * opens
	}
	for in.Scan() {
		best := int64(-1)
		for range rounds {
			n, err := round()
			if err != nil {
				return err
			}
			if best < 0 || n < best {
				best = n
			}
		}
		fmt.Println(best)
	}
	return in.Err()
}

// round gives the instructions per open()+close() of one round.
func round() (int64, error) {
	var a, b unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &a); err != nil {
		return 0, err
	}
	for range opens {
		fd, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return 0, err
		}
		if err := unix.Close(fd); err != nil {
			return 0, err
		}
	}
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &b); err != nil {
		return 0, err
	}
	return (b.Nano() - a.Nano()) / opens, nil
}

// child is a process that measures.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func start() (*child, error) {
	c := &child{cmd: exec.Command("/proc/self/exe", "loop")}
	c.cmd.Env = []string{"GOMAXPROCS=1", "GOGC=off"}
	c.cmd.Stderr = os.Stderr
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewReader(out)
	return c, c.cmd.Start()
}

func (c *child) measure() (n int64, err error) {
	if _, err := io.WriteString(c.in, "go\n"); err != nil {
		return 0, err
	}
	_, err = fmt.Fscanln(c.out, &n)
	return n, err
}

func (c *child) stop() error { return errors.Join(c.in.Close(), c.cmd.Wait()) }

// space is a namespace of policies.
func space(m *namespace.Manager, texts ...string) (*namespace.Namespace, func() error, error) {
	var ps []*namespace.Policy
	for _, text := range texts {
		r, err := compile(text)
		if err != nil {
			return nil, nil, err
		}
		obj, err := loader.Read(r.Object)
		if err != nil {
			return nil, nil, err
		}
		p, err := m.Load(obj)
		if err != nil {
			return nil, nil, fmt.Errorf("%+v", err)
		}
		ps = append(ps, p)
	}
	n, err := m.Create(nil, ps...)
	if err != nil {
		return nil, nil, err
	}
	return n, func() error {
		var errs []error
		for _, p := range ps {
			errs = append(errs, p.Close())
		}
		return errors.Join(append(errs, n.Close(), m.Collect())...)
	}, nil
}

func openTable() error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file, []byte("x"), 0o644); err != nil {
		return err
	}
	free, err := start()
	if err != nil {
		return err
	}
	if _, err := free.measure(); err != nil { // warm up
		return err
	}
	none, err := free.measure()
	if err != nil {
		return err
	}
	fmt.Println("| case | open()+close() | added |\n|---|---|---|")
	row := func(name string, n int64) { fmt.Printf("| %s | %d | %d |\n", name, n, n-none) }
	row("no LSM program", none)
	again, err := free.measure()
	if err != nil {
		return err
	}
	row("no LSM program, again (noise)", again)

	if err := returnZero(free, row); err != nil {
		return err
	}
	m, err := namespace.Open(namespace.Options{})
	if err != nil {
		return err
	}
	_, end, err := space(m, allowList(10))
	if err != nil {
		return err
	}
	n, err := free.measure()
	if err != nil {
		return err
	}
	row("a namespace exists, the task is in none", n)

	inside := func(name string, texts ...string) error {
		s, end, err := space(m, texts...)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		c, err := start()
		if err != nil {
			return err
		}
		if _, err := c.measure(); err != nil {
			return err
		}
		if err := s.Enter(c.cmd.Process.Pid); err != nil {
			return err
		}
		if _, err := c.measure(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		n, err := c.measure()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		row(name, n)
		return errors.Join(c.stop(), end())
	}
	ten := allowList(10)
	type bench struct {
		name  string
		texts []string
	}
	for _, b := range []bench{
		{"in a namespace that does not mention the operation", []string{"policy b\ndeny net.listen\n"}},
		{"a layer that decides without a path", []string{"policy b\ndeny file.write when uid == 4242\n"}},
		{"10 path rules, full match", []string{ten}},
		{"100 path rules, full match", []string{allowList(100)}},
		{"1,000 path rules, full match", []string{allowList(1000)}},
		{"10,000 path rules, full match", []string{allowList(10000)}},
		{"10 path rules and globs, no match", []string{denyList(10)}},
		{"100 path rules and globs, no match", []string{denyList(100)}},
		{"1,000 path rules and globs, no match", []string{denyList(1000)}},
		{"10,000 path rules and globs, no match", []string{denyList(10000)}},
		{"two layers of 10 path rules", []string{ten, denyList(10)}},
		{"16 layers that decide without a path", slices.Repeat([]string{"policy b\ndeny file.write when uid == 4242\n"}, 16)},
	} {
		if err := inside(b.name, b.texts...); err != nil {
			return err
		}
	}
	return errors.Join(free.stop(), end())
}

// returnZero is the least that any program costs.
func returnZero(c *child, row func(string, int64)) error {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "zero", Type: ebpf.LSM, AttachType: ebpf.AttachLSMMac, AttachTo: "file_open", License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}})
	if err != nil {
		return err
	}
	defer p.Close()
	l, err := link.AttachLSM(link.LSMOptions{Program: p})
	if err != nil {
		return err
	}
	defer l.Close()
	if _, err := c.measure(); err != nil {
		return err
	}
	n, err := c.measure()
	if err != nil {
		return err
	}
	row("`return 0` attached", n)
	return nil
}
