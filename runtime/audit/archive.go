package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/snappy-policy/snappy/compiler/object"
)

// Archive keeps the objects of loaded policies in the state directory, so that
// every process can name the rules of events.
type Archive struct {
	dir   string
	mu    sync.Mutex
	known map[uint64]*object.Meta
}

const archiveDir = "policies"

// OpenArchive uses the archive in a state directory, which must exist.
func OpenArchive(stateDir string) (*Archive, error) {
	dir := filepath.Join(stateDir, archiveDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &Archive{dir: dir, known: map[uint64]*object.Meta{}}, nil
}

func (a *Archive) file(id uint64) string {
	return filepath.Join(a.dir, strconv.FormatUint(id, 10)+".bpf.o")
}

// Put keeps a policy's object.
func (a *Archive) Put(id uint64, data []byte) error {
	tmp, err := os.CreateTemp(a.dir, "new")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), a.file(id))
	}
	if err != nil {
		os.Remove(tmp.Name())
		return fmt.Errorf("keep policy %d: %w", id, err)
	}
	return nil
}

// Meta finds a policy; nil if it is not there or unreadable. It is a Policies.
func (a *Archive) Meta(id uint64) *object.Meta {
	a.mu.Lock()
	defer a.mu.Unlock()
	if m := a.known[id]; m != nil {
		return m
	}
	f, err := os.Open(a.file(id))
	if err != nil {
		return nil
	}
	defer f.Close()
	m, err := object.Read(f)
	if err != nil {
		return nil
	}
	a.known[id] = m
	return m
}

// Prune removes the objects of policies for which keep is false. Several processes
// may prune at the same time. keep is not called before the archive was listed.
func (a *Archive) Prune(keep func(id uint64) bool) error {
	entries, err := os.ReadDir(a.dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		id, err := strconv.ParseUint(strings.TrimSuffix(e.Name(), ".bpf.o"), 10, 64)
		if err != nil || keep(id) {
			continue
		}
		if err := os.Remove(a.file(id)); !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
