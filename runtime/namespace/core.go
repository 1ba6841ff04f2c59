package namespace

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/kernel/abi"
	"github.com/snappy-policy/snappy/kernel/core"
	"github.com/snappy-policy/snappy/kernel/hook"
	"github.com/snappy-policy/snappy/kernel/probe"
)

// open opens the core's maps if it exists and checks them.
func (s *session) open() error {
	if _, err := os.Stat(s.path()); errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	maps := map[string]*ebpf.Map{}
	for _, spec := range core.Maps() {
		m, err := ebpf.LoadPinnedMap(s.path(mapsDir, spec.Name), nil)
		if errors.Is(err, unix.EPERM) {
			closeAll(maps)
			return fmt.Errorf("%w: bpf(2) is refused, as it is to members: %w", ErrInside, err)
		}
		if err != nil {
			closeAll(maps)
			return fmt.Errorf("%w: map %s: %w", ErrBroken, spec.Name, err)
		}
		maps[spec.Name] = m
		if spec.Name == abi.MapPool {
			spec.MaxEntries = m.MaxEntries()
		}
		if err := spec.Compatible(m); err != nil {
			closeAll(maps)
			return fmt.Errorf("%w: map %s: %w", ErrIncompatible, spec.Name, err)
		}
	}
	s.maps = maps
	inside, err := s.inside()
	if err != nil {
		return err
	}
	if inside {
		return ErrInside
	}
	return nil
}

func closeAll[M interface{ Close() error }](all map[string]M) {
	for _, m := range all {
		m.Close()
	}
}

// ensure sets up the core if it does not exist: in a temporary folder that gets
// its name when all is done.
func (s *session) ensure() (err error) {
	if s.maps != nil {
		return nil
	}
	// Programs that are attached and never run would confine nothing.
	if err := probe.Active(); err != nil {
		return err
	}
	kernel, err := newKernel()
	if err != nil {
		return err
	}
	if err := s.root(); err != nil {
		return err
	}
	tmp := filepath.Join(s.pin, temporary+versionDir())
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp), s.removeRoot())
		}
	}()
	for _, dir := range []string{"", mapsDir, progsDir, linksDir, hooksDir, policiesDir} {
		if err := os.Mkdir(filepath.Join(tmp, dir), 0o700); err != nil {
			return err
		}
	}
	maps := map[string]*ebpf.Map{}
	defer func() {
		if err != nil {
			closeAll(maps)
		}
	}()
	for _, spec := range core.Maps() {
		if err := s.fault("core map"); err != nil {
			return err
		}
		if spec.Name == abi.MapPool && !kernel.Pool() {
			spec.MaxEntries = 1
		}
		m, err := ebpf.NewMap(spec)
		if err != nil {
			return fmt.Errorf("map %s: %w", spec.Name, err)
		}
		maps[spec.Name] = m
		if err := m.Pin(filepath.Join(tmp, mapsDir, spec.Name)); err != nil {
			return fmt.Errorf("map %s: %w", spec.Name, err)
		}
	}
	if err := s.restoreIDs(maps[core.MapMeta]); err != nil {
		return err
	}
	for _, spec := range []*ebpf.ProgramSpec{kernel.Members(), kernel.Arm(), kernel.Enter()} {
		if err := s.fault("core program"); err != nil {
			return err
		}
		p, err := loadProgram(spec, maps)
		if err != nil {
			return err
		}
		err = p.Pin(filepath.Join(tmp, progsDir, spec.Name))
		p.Close()
		if err != nil {
			return fmt.Errorf("program %s: %w", spec.Name, err)
		}
	}
	for _, spec := range append(kernel.Inherit(), kernel.Guard()...) {
		if err := s.fault("core link"); err != nil {
			return err
		}
		if err := attach(spec, maps, filepath.Join(tmp, linksDir, spec.Name)); err != nil {
			return err
		}
	}
	if err := os.Rename(tmp, s.path()); err != nil {
		return err
	}
	s.maps = maps
	return nil
}

func newKernel() (*core.Kernel, error) {
	types, err := probe.Types().Kernel()
	if err != nil {
		return nil, fmt.Errorf("kernel BTF: %w", err)
	}
	return core.NewKernel(types)
}

// loadProgram loads one core program.
func loadProgram(spec *ebpf.ProgramSpec, maps map[string]*ebpf.Map) (*ebpf.Program, error) {
	for name, m := range maps {
		// A program that does not refer to the map is no error here; a reference
		// that stays unsatisfied is one when it is loaded.
		_ = spec.Instructions.AssociateMap(name, m)
	}
	coll, err := ebpf.NewCollectionWithOptions(
		&ebpf.CollectionSpec{Programs: map[string]*ebpf.ProgramSpec{spec.Name: spec}},
		ebpf.CollectionOptions{Cache: probe.Types()})
	if err != nil {
		return nil, err
	}
	defer coll.Close()
	return coll.DetachProgram(spec.Name), nil
}

// attach loads an LSM program, attaches it and pins the link.
func attach(spec *ebpf.ProgramSpec, maps map[string]*ebpf.Map, pin string) error {
	p, err := loadProgram(spec, maps)
	if err != nil {
		return err
	}
	defer p.Close()
	l, err := link.AttachLSM(link.LSMOptions{Program: p})
	if err != nil {
		return fmt.Errorf("attach %s: %w", spec.AttachTo, err)
	}
	defer l.Close()
	if err := l.Pin(pin); err != nil {
		return fmt.Errorf("pin %s: %w", spec.AttachTo, err)
	}
	return nil
}

// slots opens the prog array of a hook; with create it is made if need be.
func (s *session) slots(hookName string, create bool) (*ebpf.Map, error) {
	dir := s.path(hooksDir, hookName)
	m, err := ebpf.LoadPinnedMap(filepath.Join(dir, "slots"), nil)
	if err == nil {
		if err := core.Slots().Compatible(m); err != nil {
			m.Close()
			return nil, fmt.Errorf("%w: slots of %s: %w", ErrIncompatible, hookName, err)
		}
		return m, nil
	}
	if !errors.Is(err, os.ErrNotExist) || !create {
		return nil, fmt.Errorf("slots of %s: %w", hookName, err)
	}
	if err := s.fault("slots"); err != nil {
		return nil, err
	}
	m, err = ebpf.NewMap(core.Slots())
	if err != nil {
		return nil, fmt.Errorf("slots of %s: %w", hookName, err)
	}
	tmp := s.path(hooksDir, temporary+hookName)
	err = os.Mkdir(tmp, 0o700)
	if err == nil {
		err = m.Pin(filepath.Join(tmp, "slots"))
	}
	if err == nil {
		err = os.Rename(tmp, dir)
	}
	if err != nil {
		m.Close()
		return nil, errors.Join(fmt.Errorf("slots of %s: %w", hookName, err), os.RemoveAll(tmp))
	}
	return m, nil
}

// dispatch attaches the dispatcher of a hook if it is not.
func (s *session) dispatch(h *hook.Hook) error {
	pin := s.path(hooksDir, h.Name, "link")
	if _, err := os.Stat(pin); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := s.fault("dispatcher"); err != nil {
		return err
	}
	slots, err := s.slots(h.Name, false)
	if err != nil {
		return err
	}
	defer slots.Close()
	kernel, err := newKernel()
	if err != nil {
		return err
	}
	spec, err := kernel.Dispatcher(h)
	if err != nil {
		return err
	}
	maps := map[string]*ebpf.Map{core.Slots().Name: slots}
	for name, m := range s.maps {
		maps[name] = m
	}
	return attach(spec, maps, pin)
}

// trim detaches the dispatchers that no namespace needs and removes the prog
// arrays that no policy uses.
func (s *session) trim() error {
	spaces, err := s.spaces()
	if err != nil {
		return err
	}
	return s.trimTo(spaces)
}

// trimTo is trim for the namespaces that exist.
func (s *session) trimTo(spaces map[uint32]*abi.Space) error {
	policies, err := s.policies()
	if err != nil {
		return err
	}
	for _, h := range hook.Hooks() {
		needed, used := false, false
		for _, sp := range spaces {
			needed = needed || sp.HookLayers[h.Number] != 0
		}
		for _, p := range policies {
			for _, name := range p.Hooks {
				used = used || name == h.Name
			}
		}
		dir := s.path(hooksDir, h.Name)
		if !needed {
			if err := remove(filepath.Join(dir, "link")); err != nil {
				return err
			}
			if !used {
				if err := os.RemoveAll(dir); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// tearDown removes the core. Links go first, so that nothing is enforced by half.
func (s *session) tearDown() error {
	if err := s.saveIDs(); err != nil {
		return err
	}
	s.close()
	for _, dir := range []string{linksDir, hooksDir, progsDir, policiesDir, mapsDir, ""} {
		if err := os.RemoveAll(s.path(dir)); err != nil {
			return err
		}
	}
	return s.removeRoot()
}

// removeRoot removes the pin folder if nothing is in it.
func (s *session) removeRoot() error {
	names, err := list(s.pin)
	if err != nil || len(names) > 0 {
		return err
	}
	return remove(s.pin)
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// Ids are never given twice on a running kernel, even if the core was removed in
// between: the last ones are kept in a file of StateDir then.
func (s *session) idsFile() string { return filepath.Join(s.state, "ids") }

func (s *session) saveIDs() error {
	var ids [2]uint64
	for i := range ids {
		if err := s.maps[core.MapMeta].Lookup(uint32(i), &ids[i]); err != nil {
			return fmt.Errorf("map %s: %w", core.MapMeta, err)
		}
	}
	return os.WriteFile(s.idsFile(), []byte(fmt.Sprintf("%d %d\n", ids[core.MetaLastSpace], ids[core.MetaLastPolicy])), 0o600)
}

func (s *session) restoreIDs(meta *ebpf.Map) error {
	b, err := os.ReadFile(s.idsFile())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	fields := strings.Fields(string(b))
	if len(fields) != 2 {
		return fmt.Errorf("%w: %s is malformed", ErrBroken, s.idsFile())
	}
	for i, f := range fields {
		id, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrBroken, s.idsFile(), err)
		}
		if err := meta.Put(uint32(i), id); err != nil {
			return fmt.Errorf("map %s: %w", core.MapMeta, err)
		}
	}
	return nil
}
