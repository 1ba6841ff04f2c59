package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/kernel/abi"
	"github.com/snappy-policy/snappy/lang/diag"
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
		r, list, err := compileFile(f)
		if err == nil {
			// Notes are for who writes the policy: check prints them.
			err = printList(stderr, slices.DeleteFunc(list, func(d diag.Diagnostic) bool { return d.Severity == diag.Note }))
		}
		var exit exitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%s was not loaded", f)
		}
		if err != nil {
			return codeFailed, err
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
	s, err := openSession(stderr, objects)
	if err != nil {
		if unix.Geteuid() != 0 {
			return codeFailed, fmt.Errorf("%w (run needs root: use sudo)", err)
		}
		if verifier := new(loader.VerifierError); errors.As(err, &verifier) {
			return codeFailed, err
		}
		return codeFailed, fmt.Errorf("%w\n'snappyc doctor' tells what this host lacks", err)
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
			// The terminal sends these to the command itself.
			if (sig == unix.SIGINT || sig == unix.SIGQUIT) && inForeground() {
				continue
			}
			_ = cmd.Process.Signal(sig) // fails only if the command has ended
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

// inForeground tells whether this process is in the group that gets the
// terminal's signals; the command is in the same group.
func inForeground() bool {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// session is a namespace with its policies and what watches it.
type session struct {
	stderr   io.Writer
	manager  *namespace.Manager
	archive  *audit.Archive
	policies []*namespace.Policy
	space    *namespace.Namespace
}

// openSession loads the objects and creates a namespace of them. On error
// nothing of it is left.
func openSession(stderr io.Writer, objects [][]byte) (_ *session, err error) {
	s := &session{stderr: stderr}
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
		members, err := s.space.Members()
		errs = append(errs, err)
		if len(members) > 0 {
			fmt.Fprintf(s.stderr, "snappy: %s in namespace %d and confined\n", goOn(len(members)), s.space.ID())
		}
		errs = append(errs, s.space.Close())
	}
	errs = append(errs, s.manager.Collect())
	if s.archive != nil {
		errs = append(errs, prune(s.manager, s.archive))
	}
	return errors.Join(errs...)
}

func goOn(threads int) string {
	if threads == 1 {
		return "1 thread stays"
	}
	return fmt.Sprintf("%d threads stay", threads)
}

// prune removes the archived objects of policies that are no longer loaded. What
// is loaded is asked after the archive was listed, so that nothing is taken from
// somebody who is just loading.
func prune(m *namespace.Manager, a *audit.Archive) error {
	loaded := sync.OnceValues(func() (map[uint64]bool, error) {
		all, err := m.Policies()
		ids := map[uint64]bool{}
		for _, p := range all {
			ids[p.ID] = true
		}
		return ids, err
	})
	var failed error
	err := a.Prune(func(id uint64) bool {
		ids, err := loaded()
		failed = err
		return err != nil || ids[id]
	})
	return errors.Join(err, failed)
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
	show := func(e *audit.Event) error {
		if !quiet && e.Namespace == s.space.ID() {
			fmt.Fprintf(w, "snappy: %s\n", e)
		}
		return nil
	}
	go func() { done <- tail.Follow(ctx, show) }()
	return func() error {
		limit, end := context.WithTimeout(context.Background(), drainTime)
		defer end()
		err := errors.Join(pump.Drain(limit), pump.Stop())
		cancel()
		err = errors.Join(err, <-done)
		for e, failed := tail.Next(); e != nil || failed != nil; e, failed = tail.Next() {
			if failed != nil {
				err = errors.Join(err, failed)
				break
			}
			err = errors.Join(err, show(e))
		}
		return errors.Join(err, tail.Close(), ring.Close())
	}, nil
}
