//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/snappy-policy/snappy/internal/vmtest/guest"
)

// killDelay is the time between SIGQUIT, on which Go programs print their
// stacks, and SIGKILL.
const killDelay = 5 * time.Second

// run runs one payload and everything that it leaves running to the end.
func run(w *guest.Writer, index int, p guest.Payload) guest.End {
	start := time.Now()
	fail := func(err error) guest.End {
		return guest.End{Code: guest.ExitRig, Elapsed: time.Since(start), Reason: err.Error()}
	}
	if err := os.MkdirAll(p.Dir, 0o755); err != nil {
		return fail(err)
	}
	path, err := lookPath(p)
	if err != nil {
		return fail(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return fail(err)
	}
	defer null.Close()
	files := []uintptr{null.Fd(), 0, 0}
	var copying sync.WaitGroup
	var ends []*os.File
	for _, stream := range []int{guest.Stdout, guest.Stderr} {
		pr, pw, err := os.Pipe()
		if err != nil {
			return fail(err)
		}
		files[stream] = pw.Fd()
		ends = append(ends, pw)
		copying.Go(func() {
			defer pr.Close()
			buf := make([]byte, guest.MaxChunk)
			for {
				n, err := pr.Read(buf)
				if n > 0 {
					w.Output(index, stream, buf[:n])
				}
				if err != nil {
					return
				}
			}
		})
	}
	pid, err := syscall.ForkExec(path, p.Argv, &syscall.ProcAttr{
		Dir: p.Dir, Env: p.Env, Files: files, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	for _, f := range ends {
		f.Close()
	}
	if err != nil {
		copying.Wait()
		return fail(fmt.Errorf("start %s: %w", path, err))
	}
	var late timer
	if p.Timeout > 0 {
		late.start(pid, p.Timeout)
	}
	status, err := reapUntil(pid)
	expired := late.stop()
	killAll()
	copying.Wait()
	end := guest.End{Elapsed: time.Since(start)}
	switch {
	case err != nil:
		return fail(err)
	case expired:
		return fail(fmt.Errorf("timed out after %v", p.Timeout))
	case status.Signaled():
		end.Code = 128 + int(status.Signal())
		end.Reason = "killed by " + status.Signal().String()
	default:
		end.Code = status.ExitStatus()
	}
	return end
}

// lookPath finds the program in the payload's own PATH.
func lookPath(p guest.Payload) (string, error) {
	if strings.Contains(p.Argv[0], "/") {
		return p.Argv[0], nil
	}
	for _, e := range p.Env {
		if dirs, ok := strings.CutPrefix(e, "PATH="); ok {
			for _, d := range strings.Split(dirs, ":") {
				if path, err := exec.LookPath(d + "/" + p.Argv[0]); err == nil {
					return path, nil
				}
			}
		}
	}
	return "", fmt.Errorf("%s: %w", p.Argv[0], exec.ErrNotFound)
}

// timer signals a process that takes too long.
type timer struct {
	mu      sync.Mutex
	expired bool
	done    bool
	t       *time.Timer
}

func (t *timer) start(pid int, d time.Duration) {
	t.t = time.AfterFunc(d, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.done {
			return
		}
		sig := syscall.SIGQUIT
		if t.expired {
			sig = syscall.SIGKILL
		}
		t.expired = true
		syscall.Kill(pid, sig)
		t.t.Reset(killDelay)
	})
}

// stop ends the timer and reports whether it had expired.
func (t *timer) stop() bool {
	if t.t != nil {
		t.t.Stop()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done = true
	return t.expired
}

// reapUntil reaps children, adopted orphans included, until pid has exited.
func reapUntil(pid int) (syscall.WaitStatus, error) {
	for {
		var status syscall.WaitStatus
		got, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return 0, fmt.Errorf("wait: %w", err)
		case got == pid:
			return status, nil
		}
	}
}

// killAll kills every process but this one, and returns when all are gone.
func killAll() {
	for {
		syscall.Kill(-1, syscall.SIGKILL)
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(-1, &status, 0, nil); errors.Is(err, syscall.ECHILD) {
			return
		}
	}
}
