package loader

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/kernel/abi"
	"github.com/snappy-policy/snappy/kernel/hook"
	"github.com/snappy-policy/snappy/kernel/probe"
)

// Options of Load.
type Options struct {
	// Maps are the core's, by their names in kernel/abi. The object's take the
	// place of those that it declares.
	Maps map[string]*ebpf.Map
	// PolicyID becomes Config.PolicyID.
	PolicyID uint64
}

// ErrMap is wrapped if an object declares a map that the core does not have, or
// has in another shape.
var ErrMap = errors.New("the object was made for other core maps")

// configMap is the read-only data that is filled in here.
const configMap = ".rodata." + abi.TableConfig

// attempts bounds the repetition of a load that a signal interrupted.
const attempts = 10

// Load loads the programs, all or none, and returns them by hook name. Hooks
// that a kernel may lack without harm (hook.Hook.Absent), and this one lacks, are
// left out.
//
// The error is a *HookError if the kernel lacks a hook, a *VerifierError if it
// refuses a program, or wraps ErrObject or ErrMap.
func (o *Object) Load(opts Options) (map[string]*ebpf.Program, error) {
	names, err := o.programs()
	if err != nil {
		return nil, err
	}
	spec := o.Spec.Copy()
	if err := o.checkHooks(spec, names); err != nil {
		return nil, err
	}
	replace := map[string]*ebpf.Map{}
	for name, m := range spec.Maps {
		if strings.HasPrefix(name, ".") { // the object's own tables
			continue
		}
		own, ok := opts.Maps[name]
		if !ok {
			return nil, fmt.Errorf("%w: no map %s", ErrMap, name)
		}
		if name == abi.MapPool {
			m.MaxEntries = own.MaxEntries()
		}
		if err := m.Compatible(own); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrMap, name, err)
		}
		replace[name] = own
	}
	if err := configure(spec, opts.PolicyID, opts.pool()); err != nil {
		return nil, err
	}
	var coll *ebpf.Collection
	for range attempts {
		coll, err = ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: replace, Cache: probe.Types()})
		if !errors.Is(err, unix.EAGAIN) {
			break
		}
	}
	if err != nil {
		return nil, explain(err, spec)
	}
	defer coll.Close()
	programs := map[string]*ebpf.Program{}
	for hookName, name := range names {
		programs[hookName] = coll.DetachProgram(name)
	}
	return programs, nil
}

// checkHooks compares what the policy needs with what the kernel has. Programs
// for hooks that may be absent are taken out.
func (o *Object) checkHooks(spec *ebpf.CollectionSpec, names map[string]string) error {
	types, err := probe.Types().Kernel()
	if err != nil {
		return fmt.Errorf("kernel BTF: %w", err)
	}
	table := map[string]*hook.Hook{}
	for _, h := range hook.Hooks() {
		table[h.Name] = h
	}
	var failed []error
	for _, n := range o.Needs {
		h := table[n.Hook]
		if h == nil {
			failed = append(failed, &HookError{Need: n, Err: errUnknownHook})
			continue
		}
		err := probe.CheckHook(types, h)
		if errors.Is(err, probe.ErrHookMissing) && h.Absent != "" {
			delete(spec.Programs, names[n.Hook])
			delete(names, n.Hook)
			continue
		}
		if err != nil {
			failed = append(failed, &HookError{Need: n, Err: err})
		}
	}
	return errors.Join(failed...)
}

// pool tells whether scratch memory comes from the core's pool.
func (o Options) pool() bool {
	m := o.Maps[abi.MapPool]
	return m != nil && m.MaxEntries() == abi.PoolSlots
}

// configure fills the object's Config table, if it has one.
func configure(spec *ebpf.CollectionSpec, policyID uint64, pool bool) error {
	m := spec.Maps[configMap]
	if m == nil {
		return nil
	}
	if m.ValueSize != abi.ConfigSize || m.MaxEntries != 1 {
		return fmt.Errorf("%w: %s has %d entries of %d bytes", ErrObject, configMap, m.MaxEntries, m.ValueSize)
	}
	config := abi.Config{PolicyID: policyID}
	if pool {
		config.Pool = 1
	}
	symbols, err := probe.Symbols()
	if err != nil {
		return err
	}
	config.RenameLock, config.MountLock = symbols.RenameLock, symbols.MountLock
	var b bytes.Buffer
	if err := binary.Write(&b, binary.LittleEndian, config); err != nil {
		return err
	}
	// The library writes the variables of a section over the map's contents.
	v := spec.Variables[abi.TableConfig]
	if v == nil || v.SectionName != configMap || v.Offset != 0 || v.Size() != abi.ConfigSize {
		return fmt.Errorf("%w: %s is not one variable", ErrObject, configMap)
	}
	v.Value = b.Bytes()
	return nil
}
