package namespace

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/snappy-policy/snappy/kernel/abi"
)

func sortInfos(all []Info) {
	slices.SortFunc(all, func(a, b Info) int { return cmp.Compare(a.ID, b.ID) })
}

// Destroy frees the namespace. The error wraps ErrMembers or ErrChildren if it
// still has some.
func (n *Namespace) Destroy() error {
	s, err := n.m.lock()
	if err != nil {
		return err
	}
	defer s.unlock()
	if _, err := s.space(n.id); err != nil {
		return err
	}
	spaces, err := s.spaces()
	if err != nil {
		return err
	}
	if children(spaces)[abi.SpaceIndex(n.id)] > 0 {
		return fmt.Errorf("namespace %d: %w", n.id, ErrChildren)
	}
	populated, err := s.populated()
	if err != nil {
		return err
	}
	if populated[n.id] {
		return fmt.Errorf("namespace %d: %w", n.id, ErrMembers)
	}
	if err := s.free(n.id); err != nil {
		return err
	}
	delete(spaces, abi.SpaceIndex(n.id))
	return errors.Join(n.hold.release(), s.trimTo(spaces))
}

// Collect frees the namespaces that have no members, no children and no process
// that keeps them, and the policies that no namespace has and no process keeps. When
// nothing is left it removes the core as well.
func (m *Manager) Collect() error {
	s, err := m.lock()
	if err != nil {
		return err
	}
	defer s.unlock()
	if s.maps == nil {
		return s.removeRoot()
	}
	spaces, err := s.spaces()
	if err != nil {
		return err
	}
	populated, err := s.populated()
	if err != nil {
		return err
	}
	below := children(spaces)
	for freed := true; freed; {
		freed = false
		for index, sp := range spaces {
			if populated[sp.ID] || below[index] > 0 {
				continue
			}
			kept, err := s.held("space", sp.ID)
			if err != nil {
				return err
			}
			if kept {
				continue
			}
			if err := s.free(sp.ID); err != nil {
				return err
			}
			delete(spaces, index)
			below[sp.Parent]--
			freed = true
		}
	}
	left, err := s.collectPolicies(spaces)
	if err != nil {
		return err
	}
	if left == 0 && len(spaces) == 0 {
		return s.tearDown()
	}
	return s.trimTo(spaces)
}

// collectPolicies unloads what nobody has and says how many are left.
func (s *session) collectPolicies(spaces map[uint32]*abi.Space) (left int, err error) {
	policies, err := s.policies()
	if err != nil {
		return 0, err
	}
	used := map[uint32]bool{}
	for _, sp := range spaces {
		for _, slot := range sp.Slots[:sp.Layers] {
			used[slot] = true
		}
	}
	for _, p := range policies {
		kept := used[p.Slot]
		if !kept {
			if kept, err = s.held("policy", p.ID); err != nil {
				return 0, err
			}
		}
		if kept {
			left++
			continue
		}
		if err := s.drop(p); err != nil {
			return 0, err
		}
	}
	return left, nil
}

// children counts the children of each entry.
func children(spaces map[uint32]*abi.Space) map[uint32]int {
	count := map[uint32]int{}
	for _, sp := range spaces {
		if sp.Parent != 0 {
			count[sp.Parent]++
		}
	}
	return count
}

// free clears the record: from now on, who names the namespace is denied everything.
func (s *session) free(id uint64) error {
	if err := s.write(abi.SpaceIndex(id), &abi.Space{}); err != nil {
		return err
	}
	return s.forget("space", id)
}
