package namespace

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// Start starts a command in the namespace: already its exec is judged. An exec
// that is denied comes back as the policy's errno, and nothing is left of the
// child.
//
// The calling thread is armed for the time of the fork. Should disarming it fail,
// the error wraps ErrArmed and the goroutine stays locked to the thread, so that
// no other one can fork from it; the command may run then.
func (n *Namespace) Start(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	tid := unix.Gettid()
	err := n.arm(tid, false)
	started := err
	if err == nil {
		started = cmd.Start()
	} else if !errors.Is(err, ErrUnstable) {
		// Nothing has been changed.
		runtime.UnlockOSThread()
		return fmt.Errorf("namespace %d: %w", n.id, err)
	}
	for range 3 {
		if err = n.arm(tid, true); err == nil {
			runtime.UnlockOSThread()
			return started
		}
	}
	return errors.Join(started, fmt.Errorf("namespace %d: %w: %w", n.id, ErrArmed, err))
}
