//go:build unix && !solaris && !aix

package vmtest

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"
)

// waitNotice is how long lockHost waits in silence.
const waitNotice = 2 * time.Second

// lockHost takes an exclusive lock on the file name, made if missing, that
// holds between all processes of this host. If that takes more than waitNotice
// it calls notice, if not nil. The caller must call unlock. The lock also goes
// away with the process.
func lockHost(ctx context.Context, name string, notice func()) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	taken := make(chan error, 1)
	go func() {
		for {
			err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
			if err != syscall.EINTR {
				taken <- err
				return
			}
		}
	}()
	timer := time.NewTimer(waitNotice)
	defer timer.Stop()
	for {
		select {
		case err := <-taken:
			if err != nil {
				f.Close()
				return nil, fmt.Errorf("lock %s: %w", name, err)
			}
			return func() { f.Close() }, nil
		case <-timer.C:
			if notice != nil {
				notice()
			}
		case <-ctx.Done():
			go func() { // flock cannot be interrupted: give the lock back once it is there
				<-taken
				f.Close()
			}()
			return nil, ctx.Err()
		}
	}
}
