package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/kernel/abi"
	"github.com/snappy-policy/snappy/runtime/audit"
	"github.com/snappy-policy/snappy/runtime/loader"
	"github.com/snappy-policy/snappy/runtime/namespace"
)

func newRun() *cobra.Command {
	var policies []string
	var quiet bool
	c := &cobra.Command{
		Use:   "run --policy FILE [--policy FILE …] [--] COMMAND [ARGUMENT …]",
		Short: "Run a command under one or several policies (root)",
		Long: `run creates a policy namespace that holds the policies as layers, the first one
outermost, and starts the command in it. The command's exec is judged already.
Whatever the command starts is in the namespace, for ever; if something of it
outlives the command, it stays confined, and run says so.

Each denial is printed on standard error as it happens:

  snappy: denied file.open /etc/shadow by nginx.snp:31 (secrets) pid 412 cat

The exit code is the command's, 128 + N if signal N ended it, 126 if it may not
be executed, 127 if it is not there, 125 if run itself failed.`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("run needs a command")}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if len(policies) == 0 {
				return usageError{errors.New("run needs --policy")}
			}
			code, err := runConfined(c.ErrOrStderr(), policies, args, quiet)
			if err != nil {
				fmt.Fprintf(c.ErrOrStderr(), "snappyc: %v\n", err)
			}
			if code != 0 {
				return exitError{code}
			}
			return nil
		},
	}
	c.Flags().SetInterspersed(false)
	c.Flags().StringArrayVarP(&policies, "policy", "p", nil, "policy `file`; repeat for further layers, outermost first")
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "do not print events")
	return c
}

// Exit codes of run itself, as env(1) and its kin have them.
const (
	codeFailed     = 125
	codeNotAllowed = 126
	codeNotFound   = 127
)

// runConfined runs the command and returns its exit code.
func runConfined(stderr io.Writer, files, argv []string, quiet bool) (code int, err error) {
	var objects [][]byte
	for _, f := range files {
		r, list := compileFile(f)
		printText(stderr, list)
		if list.HasErrors() {
			return codeFailed, fmt.Errorf("%s was not loaded", f)
		}
		objects = append(objects, r.Object)
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
			return codeNotFound, err
		}
		return codeNotAllowed, err
	}
	s, err := openSession(objects)
	if err != nil {
		return codeFailed, err
	}
	defer func() {
		if e := s.close(); e != nil {
			err = errors.Join(err, e)
			code = max(code, codeFailed)
		}
	}()
	stop, err := s.report(stderr, quiet)
	if err != nil {
		return codeFailed, err
	}
	defer func() { err = errors.Join(err, stop()) }()

	cmd := exec.Command(path, argv[1:]...)
	cmd.Args[0] = argv[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2)
	defer signal.Stop(signals)
	if err := s.space.Start(cmd); err != nil {
		if errors.Is(err, namespace.ErrArmed) {
			return codeFailed, err
		}
		var denied *os.PathError
		if errors.As(err, &denied) {
			return codeNotAllowed, err
		}
		return codeFailed, err
	}
	go func() {
		for sig := range signals {
			// The terminal sends SIGINT and SIGQUIT to the command itself.
			if sig != unix.SIGINT && sig != unix.SIGQUIT {
				_ = cmd.Process.Signal(sig)
			}
		}
	}()
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return 128 + int(ws.Signal()), nil
		}
		return exit.ExitCode(), nil
	}
	if err != nil {
		return codeFailed, err
	}
	return 0, nil
}

// session is a namespace with its policies and what watches it.
type session struct {
	manager  *namespace.Manager
	archive  *audit.Archive
	policies []*namespace.Policy
	space    *namespace.Namespace
}

// openSession loads the objects and creates a namespace of them. On error
// nothing of it is left.
func openSession(objects [][]byte) (_ *session, err error) {
	s := &session{}
	if s.manager, err = namespace.Open(namespace.Options{}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.archive, err = audit.OpenArchive(namespace.DefaultStateDir); err != nil {
		return nil, err
	}
	for _, data := range objects {
		obj, err := loader.Read(data)
		if err != nil {
			return nil, err
		}
		p, err := s.manager.Load(obj)
		if err != nil {
			return nil, err
		}
		s.policies = append(s.policies, p)
		if err := s.archive.Put(p.ID, data); err != nil {
			return nil, err
		}
	}
	s.space, err = s.manager.Create(nil, s.policies...)
	return s, err
}

// close gives everything up; what still has members stays, and is collected by
// a later manager.
func (s *session) close() error {
	var errs []error
	for _, p := range s.policies {
		errs = append(errs, p.Close())
	}
	if s.space != nil {
		if members, err := s.space.Members(); err == nil && len(members) > 0 {
			fmt.Fprintf(os.Stderr, "snappy: %d threads go on in namespace %d and stay confined\n", len(members), s.space.ID())
		}
		errs = append(errs, s.space.Close())
	}
	errs = append(errs, s.manager.Collect())
	if s.archive != nil {
		errs = append(errs, prune(s.manager, s.archive))
	}
	return errors.Join(errs...)
}

// prune removes the archived objects of policies that are no longer loaded.
func prune(m *namespace.Manager, a *audit.Archive) error {
	loaded, err := m.Policies()
	if err != nil {
		return err
	}
	ids := map[uint64]bool{}
	for _, p := range loaded {
		ids[p.ID] = true
	}
	return a.Prune(func(id uint64) bool { return ids[id] })
}

// report prints the namespace's events until stop is called, which waits for
// those that the kernel has already reported.
func (s *session) report(w io.Writer, quiet bool) (stop func() error, err error) {
	ring, err := s.manager.Map(abi.MapEvents)
	if err != nil {
		return nil, err
	}
	journal := audit.OpenJournal(namespace.DefaultStateDir)
	tail, err := journal.Tail(true)
	if err != nil {
		ring.Close()
		return nil, err
	}
	pump, err := audit.StartPump(ring, journal, s.archive.Meta)
	if err != nil {
		tail.Close()
		ring.Close()
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- tail.Follow(ctx, func(e *audit.Event) error {
			if !quiet && e.Namespace == s.space.ID() {
				fmt.Fprintf(w, "snappy: %s\n", e)
			}
			return nil
		})
	}()
	return func() error {
		limit, end := context.WithTimeout(context.Background(), 5*time.Second)
		defer end()
		err := errors.Join(pump.Drain(limit), pump.Stop())
		cancel()
		err = errors.Join(err, <-done, tail.Close(), ring.Close())
		return err
	}, nil
}
