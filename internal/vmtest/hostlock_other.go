//go:build !unix || solaris || aix

package vmtest

import (
	"context"
	"errors"
)

// lockHost has no implementation where flock(2) is missing, so no machine runs
// there.
func lockHost(context.Context, string, func()) (func(), error) {
	return nil, errors.New("this system has no flock, which keeps virtual machines apart")
}
