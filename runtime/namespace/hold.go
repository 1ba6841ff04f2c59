package namespace

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// holdsDir has a file for each namespace and policy that some process keeps
// although nothing is in it yet. The kernel drops the locks on it with the process.
const holdsDir = "holds"

// hold keeps a namespace or policy from being collected.
type hold struct {
	once sync.Once
	file *os.File
	err  error
}

func (m *Manager) holdFile(kind string, id uint64) string {
	return filepath.Join(m.state, holdsDir, fmt.Sprintf("%s-%d", kind, id))
}

// hold takes a shared lock; several processes may.
func (s *session) hold(kind string, id uint64) (*hold, error) {
	if err := s.fault("hold"); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(s.holdFile(kind, id), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(f, unix.LOCK_SH|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return &hold{file: f}, nil
}

func (h *hold) release() error {
	if h == nil {
		return nil
	}
	h.once.Do(func() { h.err = h.file.Close() })
	return h.err
}

// held says whether some process keeps it.
func (s *session) held(kind string, id uint64) (bool, error) {
	f, err := os.OpenFile(s.holdFile(kind, id), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	err = flock(f, unix.LOCK_EX|unix.LOCK_NB)
	if err == unix.EWOULDBLOCK {
		return true, nil
	}
	return false, err
}

func (s *session) forget(kind string, id uint64) error { return remove(s.holdFile(kind, id)) }
