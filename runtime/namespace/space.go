package namespace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/kernel/abi"
	"github.com/snappy-policy/snappy/kernel/core"
	"github.com/snappy-policy/snappy/kernel/hook"
)

// Info describes a namespace.
type Info struct {
	ID     uint64
	Parent uint64   // 0: none
	Depth  int      // 1 without a parent
	Slots  []uint32 // policies, outermost first, those of the ancestors included
}

// Namespace is a handle on a policy namespace.
type Namespace struct {
	m    *Manager
	id   uint64
	hold *hold
}

// ID is the number by which events and tasks name the namespace.
func (n *Namespace) ID() uint64 { return n.id }

// Close tells that this process no longer keeps the namespace. It lives as long
// as it has members or children; after that Collect frees it.
func (n *Namespace) Close() error { return n.hold.release() }

// table gives the namespace records, as the kernel has them.
func (s *session) table() ([]byte, error) {
	if s.records == nil {
		size := abi.MaxSpaces * abi.SpaceSize
		b, err := unix.Mmap(s.maps[abi.MapSpaces].FD(), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			return nil, fmt.Errorf("map %s: %w", abi.MapSpaces, err)
		}
		s.records = b
	}
	return s.records, nil
}

// read decodes an entry; nil if it is free.
func (s *session) read(index uint32) (*abi.Space, error) {
	table, err := s.table()
	if err != nil {
		return nil, err
	}
	raw := table[index*abi.SpaceSize:][:abi.SpaceSize]
	if binary.LittleEndian.Uint64(raw[abi.SpaceID:]) == 0 {
		return nil, nil
	}
	sp := new(abi.Space)
	if _, err := binary.Decode(raw, binary.LittleEndian, sp); err != nil {
		return nil, err
	}
	if sp.Layers > abi.MaxLayers || sp.Depth > abi.MaxLayers || sp.Parent >= abi.MaxSpaces {
		return nil, fmt.Errorf("namespace %d: %w", sp.ID, ErrBroken)
	}
	return sp, nil
}

// write replaces an entry. Its id is 0 while the rest of it changes, so that
// nobody takes the old for the new: a task that named it meanwhile would be denied.
func (s *session) write(index uint32, sp *abi.Space) error {
	if err := s.fault("space"); err != nil {
		return err
	}
	table, err := s.table()
	if err != nil {
		return err
	}
	raw, err := binary.Append(nil, binary.LittleEndian, sp)
	if err != nil {
		return err
	}
	entry := table[index*abi.SpaceSize:][:abi.SpaceSize]
	id := (*uint64)(unsafe.Pointer(&entry[abi.SpaceID]))
	atomic.StoreUint64(id, 0)
	copy(entry[abi.SpaceID+8:], raw[abi.SpaceID+8:])
	atomic.StoreUint64(id, sp.ID)
	return nil
}

// spaces reads the namespaces in use, by entry.
func (s *session) spaces() (map[uint32]*abi.Space, error) {
	all := map[uint32]*abi.Space{}
	if s.maps == nil {
		return all, nil
	}
	for index := range uint32(abi.MaxSpaces) {
		sp, err := s.read(index)
		if err != nil {
			return nil, err
		}
		if sp != nil {
			all[index] = sp
		}
	}
	return all, nil
}

// space reads the record of a namespace.
func (s *session) space(id uint64) (*abi.Space, error) {
	if s.maps == nil {
		return nil, fmt.Errorf("namespace %d: %w", id, ErrGone)
	}
	sp, err := s.read(abi.SpaceIndex(id))
	if err != nil {
		return nil, err
	}
	if sp == nil || sp.ID != id {
		return nil, fmt.Errorf("namespace %d: %w", id, ErrGone)
	}
	return sp, nil
}

// lineage lists a namespace and its ancestors, itself first.
func (s *session) lineage(id uint64) ([]uint64, error) {
	var ids []uint64
	for len(ids) <= abi.MaxLayers {
		sp, err := s.space(id)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
		if sp.Parent == 0 {
			return ids, nil
		}
		parent, err := s.read(sp.Parent)
		if err != nil {
			return nil, err
		}
		if parent == nil {
			return nil, fmt.Errorf("namespace %d: %w: it has lost its parent", id, ErrBroken)
		}
		id = parent.ID
	}
	return nil, fmt.Errorf("namespace %d: %w: its ancestors form a circle", id, ErrBroken)
}

// Create makes a namespace below parent (nil: below none) with the policies of
// its ancestors and the given ones, in this order. It has no members yet, and is
// kept until the caller closes it.
//
// Every dispatcher is attached and every slot filled before the namespace's
// record can be seen. The error may wrap ErrNoPolicy, ErrTooDeep, ErrNoSpace or ErrGone.
func (m *Manager) Create(parent *Namespace, policies ...*Policy) (_ *Namespace, err error) {
	if len(policies) == 0 {
		return nil, ErrNoPolicy
	}
	s, err := m.lock()
	if err != nil {
		return nil, err
	}
	defer s.unlock()
	if s.maps == nil {
		return nil, fmt.Errorf("policy %d: %w", policies[0].ID, ErrGone)
	}
	defer s.finish(&err)
	record := &abi.Space{Depth: 1}
	if parent != nil {
		above, err := s.space(parent.id)
		if err != nil {
			return nil, err
		}
		*record = *above
		record.ID, record.Parent, record.Depth = 0, abi.SpaceIndex(parent.id), above.Depth+1
	}
	if record.Depth > abi.MaxLayers || int(record.Layers)+len(policies) > abi.MaxLayers {
		return nil, fmt.Errorf("%w: at most %d", ErrTooDeep, abi.MaxLayers)
	}
	loaded, err := s.policies()
	if err != nil {
		return nil, err
	}
	for _, p := range policies {
		if err := s.add(record, p, loaded); err != nil {
			return nil, err
		}
	}
	for _, h := range hook.Hooks() {
		if record.HookLayers[h.Number] != 0 {
			if err := s.dispatch(h); err != nil {
				return nil, err
			}
		}
	}
	id, err := s.freeID()
	if err != nil {
		return nil, err
	}
	n := &Namespace{m: m, id: id}
	if n.hold, err = s.hold("space", id); err != nil {
		return nil, err
	}
	s.onError(func() error { return errors.Join(n.hold.release(), s.forget("space", id)) })
	record.ID = id
	if err := s.write(abi.SpaceIndex(id), record); err != nil {
		return nil, err
	}
	return n, nil
}

// add appends a policy to a record.
func (s *session) add(record *abi.Space, p *Policy, loaded []*Policy) error {
	for _, l := range loaded {
		if l.ID != p.ID {
			continue
		}
		layer := record.Layers
		record.Slots[layer] = l.Slot
		record.Layers++
		for _, h := range hook.Hooks() {
			for _, name := range l.Hooks {
				if name == h.Name {
					record.HookLayers[h.Number] |= 1 << layer
				}
			}
		}
		return nil
	}
	return fmt.Errorf("policy %d: %w", p.ID, ErrGone)
}

// freeID counts on to the next id whose entry is free.
func (s *session) freeID() (uint64, error) {
	for range abi.MaxSpaces {
		id, err := s.nextID(core.MetaLastSpace)
		if err != nil {
			return 0, err
		}
		index := abi.SpaceIndex(id)
		if index == 0 {
			continue
		}
		sp, err := s.read(index)
		if err != nil {
			return 0, err
		}
		if sp == nil {
			return id, nil
		}
	}
	return 0, ErrNoSpace
}

// Namespace opens a namespace by its id. It is kept until the caller closes it.
func (m *Manager) Namespace(id uint64) (*Namespace, error) {
	s, err := m.lock()
	if err != nil {
		return nil, err
	}
	defer s.unlock()
	if _, err := s.space(id); err != nil {
		return nil, err
	}
	n := &Namespace{m: m, id: id}
	n.hold, err = s.hold("space", id)
	return n, err
}

// Namespaces lists what exists, by ascending id.
func (m *Manager) Namespaces() ([]Info, error) {
	s, err := m.lock()
	if err != nil {
		return nil, err
	}
	defer s.unlock()
	spaces, err := s.spaces()
	if err != nil {
		return nil, err
	}
	all := make([]Info, 0, len(spaces))
	for _, sp := range spaces {
		info := Info{ID: sp.ID, Depth: int(sp.Depth), Slots: append([]uint32(nil), sp.Slots[:sp.Layers]...)}
		if p := spaces[sp.Parent]; p != nil {
			info.Parent = p.ID
		}
		all = append(all, info)
	}
	sortInfos(all)
	return all, nil
}
