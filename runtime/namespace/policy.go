package namespace

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/snappy-policy/snappy/kernel/abi"
	"github.com/snappy-policy/snappy/kernel/core"
	"github.com/snappy-policy/snappy/kernel/hook"
	"github.com/snappy-policy/snappy/runtime/loader"
)

// Policy is a loaded policy.
type Policy struct {
	ID     uint64   // never given twice; abi.Event.Policy
	Slot   uint32   // in the prog array of each of its hooks
	Digest [32]byte // of the object that it was loaded from
	Hooks  []string // where it has a program, sorted
	hold   *hold
}

// Close tells that this process no longer keeps the policy. It stays loaded as
// long as a namespace has it.
func (p *Policy) Close() error { return p.hold.release() }

// folder is where a policy is pinned, and all that is known of it.
func (p *Policy) folder() string {
	return fmt.Sprintf("%04d_%016x_%s", p.Slot, p.ID, hex.EncodeToString(p.Digest[:]))
}

func parseFolder(name string) (*Policy, error) {
	var p Policy
	var digest string
	if _, err := fmt.Sscanf(name, "%04d_%016x_%64s", &p.Slot, &p.ID, &digest); err != nil {
		return nil, fmt.Errorf("%w: policy folder %q", ErrBroken, name)
	}
	b, err := hex.DecodeString(digest)
	if err != nil || len(b) != len(p.Digest) || p.Slot == 0 || p.Slot >= abi.MaxSlots {
		return nil, fmt.Errorf("%w: policy folder %q", ErrBroken, name)
	}
	p.Digest = [32]byte(b)
	if p.folder() != name {
		return nil, fmt.Errorf("%w: policy folder %q", ErrBroken, name)
	}
	return &p, nil
}

// policies reads the pinned policies, by ascending slot.
func (s *session) policies() ([]*Policy, error) {
	if s.maps == nil {
		return nil, nil
	}
	names, err := list(s.path(policiesDir))
	if err != nil {
		return nil, err
	}
	all := make([]*Policy, 0, len(names))
	for _, name := range names {
		if isTemporary(name) {
			continue
		}
		p, err := parseFolder(name)
		if err != nil {
			return nil, err
		}
		if p.Hooks, err = list(s.path(policiesDir, name)); err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// Policies lists the loaded policies by ascending slot. Those returned hold nothing.
func (m *Manager) Policies() ([]*Policy, error) {
	s, err := m.lock()
	if err != nil {
		return nil, err
	}
	defer s.unlock()
	return s.policies()
}

// Load puts a policy into the kernel, or finds it there: equal objects share a
// slot. It has no effect until a namespace is created with it. Until the caller
// closes it, Collect leaves it loaded.
//
// Either all of it is loaded or nothing. Errors are those of loader.Object.Load,
// or wrap ErrNoSlot.
func (m *Manager) Load(obj *loader.Object) (_ *Policy, err error) {
	s, err := m.lock()
	if err != nil {
		return nil, err
	}
	defer s.unlock()
	if err := s.ensure(); err != nil {
		return nil, err
	}
	defer s.finish(&err)
	all, err := s.policies()
	if err != nil {
		return nil, err
	}
	taken := map[uint32]bool{}
	for _, p := range all {
		if p.Digest == obj.Digest {
			p.hold, err = s.hold("policy", p.ID)
			return p, err
		}
		taken[p.Slot] = true
	}
	p := &Policy{Digest: obj.Digest}
	for p.Slot = 1; taken[p.Slot]; p.Slot++ {
	}
	if p.Slot >= abi.MaxSlots {
		return nil, ErrNoSlot
	}
	if p.ID, err = s.nextID(core.MetaLastPolicy); err != nil {
		return nil, err
	}
	programs, err := obj.Load(loader.Options{Maps: s.maps, PolicyID: p.ID})
	if err != nil {
		return nil, err
	}
	defer closeAll(programs)
	if err := s.install(p, programs); err != nil {
		return nil, err
	}
	p.hold, err = s.hold("policy", p.ID)
	return p, err
}

// install pins the programs and puts them into their slots. The policy's folder
// gets its name at the end.
func (s *session) install(p *Policy, programs map[string]*ebpf.Program) error {
	tmp := s.path(policiesDir, temporary+p.folder())
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return err
	}
	s.onError(func() error { return os.RemoveAll(tmp) })
	for _, h := range hook.Hooks() {
		program := programs[h.Name]
		if program == nil {
			// A process that died half way may have left its program in the slot.
			if err := s.empty(h.Name, p.Slot); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
			continue
		}
		p.Hooks = append(p.Hooks, h.Name)
		if err := s.fault("pin"); err != nil {
			return err
		}
		if err := program.Pin(filepath.Join(tmp, h.Name)); err != nil {
			return fmt.Errorf("pin %s: %w", h.Name, err)
		}
		slots, err := s.slots(h.Name, true)
		if err != nil {
			return err
		}
		err = s.fault("slot")
		if err == nil {
			err = slots.Put(p.Slot, program)
		}
		slots.Close()
		if err != nil {
			return fmt.Errorf("slot %d of %s: %w", p.Slot, h.Name, err)
		}
		s.onError(func() error { return s.empty(h.Name, p.Slot) })
	}
	slices.Sort(p.Hooks)
	final := s.path(policiesDir, p.folder())
	if err := os.Rename(tmp, final); err != nil {
		return err
	}
	s.onError(func() error { return os.RemoveAll(final) })
	return nil
}

// empty takes the program out of a slot.
func (s *session) empty(hookName string, slot uint32) error {
	slots, err := s.slots(hookName, false)
	if err != nil {
		return err
	}
	defer slots.Close()
	if err := slots.Delete(slot); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("slot %d of %s: %w", slot, hookName, err)
	}
	return nil
}

// drop unloads a policy that no namespace has.
func (s *session) drop(p *Policy) error {
	// First the name: should this process die, the rest is unfinished business.
	tmp := s.path(policiesDir, temporary+p.folder())
	if err := os.Rename(s.path(policiesDir, p.folder()), tmp); err != nil {
		return err
	}
	for _, name := range p.Hooks {
		if err := s.empty(name, p.Slot); err != nil {
			return err
		}
	}
	return errors.Join(os.RemoveAll(tmp), s.forget("policy", p.ID))
}

// nextID counts up one of the id counters.
func (s *session) nextID(entry uint32) (uint64, error) {
	meta := s.maps[core.MapMeta]
	var id uint64
	if err := meta.Lookup(entry, &id); err != nil {
		return 0, fmt.Errorf("map %s: %w", core.MapMeta, err)
	}
	id++
	if err := meta.Put(entry, id); err != nil {
		return 0, fmt.Errorf("map %s: %w", core.MapMeta, err)
	}
	return id, nil
}
