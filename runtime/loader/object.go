package loader

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/kernel/hook"
)

// ErrObject is wrapped if an object is not as the compiler makes them.
var ErrObject = errors.New("malformed policy object")

// Object is a policy that can be loaded.
type Object struct {
	// Digest is the sha256 of the file. Equal objects are one policy.
	Digest [32]byte
	// Spec has the programs, one for each LSM hook at most, and the maps.
	Spec *ebpf.CollectionSpec
	// Needs lists the hooks and the rules because of which they are needed.
	Needs []Need
	// Meta describes the policy.
	Meta *object.Meta
}

// Need is an LSM hook that the policy has a program for.
type Need struct {
	Hook  string
	Rules []string // as positions, "web.snp:3:1"; none: a default needs it
}

// Read takes an object apart. The error wraps ErrObject or an error of object.Read.
func Read(file []byte) (*Object, error) {
	meta, err := object.Read(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(file))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrObject, err)
	}
	o := &Object{Digest: sha256.Sum256(file), Spec: spec, Meta: meta}
	for _, h := range meta.Hooks {
		if h.Sleepable {
			return nil, fmt.Errorf("%w: the program of %s is sleepable, dispatchers are not", ErrObject, h.Name)
		}
		o.Needs = append(o.Needs, Need{Hook: h.Name, Rules: rules(meta, h.Name)})
	}
	if _, err := o.programs(); err != nil {
		return nil, err
	}
	return o, nil
}

// rules lists the positions of the rules that are about operations of a hook.
func rules(meta *object.Meta, hookName string) []string {
	var positions []string
	for _, h := range hook.Hooks() {
		if h.Name != hookName {
			continue
		}
		for _, r := range meta.Rules {
			concerns := slices.ContainsFunc(h.Instances, func(in hook.Instance) bool { return slices.Contains(r.Ops, in.Op) })
			if concerns && int(r.File) < len(meta.Sources) {
				positions = append(positions, fmt.Sprintf("%s:%d:%d", meta.Sources[r.File].Name, r.Line, r.Col))
			}
		}
	}
	return positions
}

// programs gives the names of the programs by hook and checks that they are what
// Needs says.
func (o *Object) programs() (map[string]string, error) {
	names := map[string]string{}
	for name, p := range o.Spec.Programs {
		switch {
		case p.Type != ebpf.LSM || p.AttachType != ebpf.AttachLSMMac || p.AttachTo == "":
			return nil, fmt.Errorf("%w: program %s is not for an LSM hook", ErrObject, name)
		case p.Flags != 0:
			return nil, fmt.Errorf("%w: program %s has load flags %#x", ErrObject, name, p.Flags)
		case names[p.AttachTo] != "":
			return nil, fmt.Errorf("%w: two programs for %s", ErrObject, p.AttachTo)
		}
		names[p.AttachTo] = name
	}
	needed := map[string]bool{}
	for _, n := range o.Needs {
		if names[n.Hook] == "" || needed[n.Hook] {
			return nil, fmt.Errorf("%w: hook %s is listed but has no program of its own", ErrObject, n.Hook)
		}
		needed[n.Hook] = true
	}
	if len(needed) != len(names) {
		return nil, fmt.Errorf("%w: %d programs for %d hooks", ErrObject, len(names), len(needed))
	}
	return names, nil
}
