package namespace

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/kernel/abi"
)

// Where things are by default.
const (
	DefaultPinDir   = "/sys/fs/bpf/snappy"
	DefaultStateDir = "/run/snappy"
)

// Options of a Manager; the zero value is useful.
type Options struct {
	// PinDir is a folder of a bpf filesystem; it is made if its parent exists.
	PinDir string
	// StateDir holds lock files. Its loss harms nothing but namespaces that have
	// no member yet.
	StateDir string
	// fault, for tests, may fail a step.
	fault func(step string) error
}

// Manager is a handle on the pinned state. It holds nothing of it open, and may be
// used by several goroutines.
type Manager struct {
	pin, state string
	fault      func(step string) error
}

// Open sets up the core if it is not there, else checks that it is of this
// version. The error may wrap ErrInside, ErrNotBPFFS or ErrIncompatible.
func Open(opts Options) (*Manager, error) {
	m := newManager(opts)
	s, err := m.lock()
	if err != nil {
		return nil, err
	}
	defer s.unlock()
	if err := s.ensure(); err != nil {
		return nil, err
	}
	return m, nil
}

// Attach is Open for those who only want to look: it sets up nothing. The error
// wraps ErrNoCore if there is no core.
func Attach(opts Options) (*Manager, error) {
	m := newManager(opts)
	s, err := m.lock()
	if err != nil {
		return nil, err
	}
	defer s.unlock()
	if s.maps == nil {
		return nil, fmt.Errorf("%s: %w", m.pin, ErrNoCore)
	}
	return m, nil
}

func newManager(opts Options) *Manager {
	m := &Manager{pin: opts.PinDir, state: opts.StateDir, fault: opts.fault}
	if m.pin == "" {
		m.pin = DefaultPinDir
	}
	if m.state == "" {
		m.state = DefaultStateDir
	}
	if m.fault == nil {
		m.fault = func(string) error { return nil }
	}
	return m
}

// Map opens one of the core's maps, such as abi.MapEvents. The caller closes it.
func (m *Manager) Map(name string) (*ebpf.Map, error) {
	pinned, err := ebpf.LoadPinnedMap(m.path(mapsDir, name), nil)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", name, err)
	}
	return pinned, nil
}

// Folders below the version's.
const (
	mapsDir     = "maps"
	progsDir    = "progs"
	linksDir    = "links"
	hooksDir    = "hooks"
	policiesDir = "policies"
	// temporary marks what is unfinished. (bpffs reserves names with dots.)
	temporary = "tmp_"
)

// path is a path below the folder of this ABI version.
func (m *Manager) path(elem ...string) string {
	return filepath.Join(append([]string{m.pin, versionDir()}, elem...)...)
}

func versionDir() string { return fmt.Sprintf("v%d", abi.Version) }

// session is the time during which a process has the lock.
type session struct {
	*Manager
	file    *os.File
	maps    map[string]*ebpf.Map // nil: the core does not exist
	records []byte               // MapSpaces, mapped; nil: not yet
	undo    []func() error
}

// lock waits for the lock, removes what a process that died left unfinished, and
// opens the core if it exists.
func (m *Manager) lock() (_ *session, err error) {
	if err := os.MkdirAll(filepath.Join(m.state, holdsDir), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(m.state, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	s := &session{Manager: m, file: file}
	defer func() {
		if err != nil {
			s.unlock()
		}
	}()
	if err := flock(file, unix.LOCK_EX); err != nil {
		return nil, fmt.Errorf("lock %s: %w", file.Name(), err)
	}
	if err := s.sweep(); err != nil {
		return nil, err
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	return s, nil
}

// root makes the pin folder.
func (s *session) root() error {
	var fs unix.Statfs_t
	for _, dir := range []string{s.pin, filepath.Dir(s.pin)} {
		err := unix.Statfs(dir, &fs)
		if err == unix.ENOENT {
			continue
		}
		if err != nil {
			return fmt.Errorf("pin folder %s: %w", dir, err)
		}
		if fs.Type != unix.BPF_FS_MAGIC {
			return fmt.Errorf("pin folder %s: %w", s.pin, ErrNotBPFFS)
		}
		break
	}
	if err := os.Mkdir(s.pin, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("pin folder: %w", err)
	}
	return nil
}

// sweep removes unfinished folders.
func (s *session) sweep() error {
	for _, dir := range []string{s.pin, s.path(hooksDir), s.path(policiesDir)} {
		names, err := list(dir)
		if err != nil {
			return err
		}
		for _, name := range names {
			if isTemporary(name) {
				if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func isTemporary(name string) bool {
	return len(name) > len(temporary) && name[:len(temporary)] == temporary
}

// unlock closes what the session has open.
func (s *session) unlock() {
	s.close()
	s.file.Close() // releases the lock
}

func (s *session) close() {
	if s.records != nil {
		_ = unix.Munmap(s.records) // fails only for what is not mapped
		s.records = nil
	}
	closeAll(s.maps)
	s.maps = nil
}

// onError registers what takes a step back, should a later one fail.
func (s *session) onError(undo func() error) { s.undo = append(s.undo, undo) }

// finish takes all steps back if err is set; defer it around a change.
func (s *session) finish(err *error) {
	if *err != nil {
		for i := len(s.undo) - 1; i >= 0; i-- {
			*err = errors.Join(*err, s.undo[i]())
		}
		if s.maps != nil {
			// What the change has set up and nothing uses.
			*err = errors.Join(*err, s.trim())
		}
	}
	s.undo = nil
}

func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		if err != unix.EINTR {
			return err
		}
	}
}

// list names the entries of a folder, sorted; none if there is no folder.
func list(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}
