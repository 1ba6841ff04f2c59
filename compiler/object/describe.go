package object

import (
	"bytes"
	"debug/elf"
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
)

// Disassemble lists the instructions of an object that this package wrote,
// program by program, each group of instructions under the policy line that
// caused it. Subprograms are listed once, behind the first program that has
// them. It reads the file as the loader does, not the description it was
// written from.
func Disassemble(file []byte) (string, error) {
	meta, err := Read(bytes.NewReader(file))
	if err != nil {
		return "", err
	}
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(file))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNotObject, err)
	}
	var b strings.Builder
	listed := map[string]bool{}
	for _, h := range meta.Hooks {
		p := spec.Programs[h.Program]
		if p == nil {
			return "", fmt.Errorf("%w: no program %q", ErrCorrupt, h.Program)
		}
		skip := false
		offset := 0
		for _, in := range p.Instructions {
			if sym := in.Symbol(); sym != "" {
				if skip = listed[sym]; !skip {
					listed[sym] = true
					kind := "function"
					if sym == h.Program {
						kind = "lsm/" + h.Name
					}
					fmt.Fprintf(&b, "%s %s:\n", kind, sym)
				}
				offset = 0
			}
			if !skip {
				if src := in.Source(); src != nil && src.String() != "" {
					fmt.Fprintf(&b, "  ; %s\n", strings.TrimSpace(src.String()))
				}
				fmt.Fprintf(&b, "  %5d: %v\n", offset, in)
			}
			offset += int(in.Size() / 8)
		}
	}
	return b.String(), nil
}

// Describe lists what an object has: the policy, its hooks and rules, sections,
// maps and tables.
func Describe(file []byte) (string, error) {
	meta, err := Read(bytes.NewReader(file))
	if err != nil {
		return "", err
	}
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(file))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNotObject, err)
	}
	sections, err := elf.NewFile(bytes.NewReader(file))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNotObject, err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "policy %s, compiled by %s\ndigest %x\n", meta.Policy, meta.Compiler, meta.Digest)
	for _, s := range meta.Sources {
		fmt.Fprintf(&b, "source %s: %d bytes\n", s.Name, len(s.Text))
	}
	for _, p := range meta.Params {
		fmt.Fprintf(&b, "param %s: %s = %s\n", p.Name, p.Type, p.Value)
	}
	for _, r := range meta.Rules {
		name := ""
		if r.Name != "" {
			name = " as " + r.Name
		}
		fmt.Fprintf(&b, "rule %d: %s %s%s (%s:%d)\n", r.ID, r.Verb, strings.Join(r.Ops, ", "), name, meta.Sources[r.File].Name, r.Line)
	}
	for _, h := range meta.Hooks {
		slots := 0
		if p := spec.Programs[h.Program]; p != nil {
			slots = int(p.Instructions.Size() / 8)
		}
		fmt.Fprintf(&b, "program %s: lsm/%s, %d instructions with subprograms\n", h.Program, h.Name, slots)
	}
	names := make([]string, 0, len(spec.Maps))
	for name := range spec.Maps {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		m := spec.Maps[name]
		fmt.Fprintf(&b, "map %s: %s, key %d bytes, value %d bytes, %d entries\n", name, m.Type, m.KeySize, m.ValueSize, m.MaxEntries)
	}
	for _, s := range sections.Sections {
		if s.Name != "" {
			fmt.Fprintf(&b, "section %s: %d bytes\n", s.Name, s.Size)
		}
	}
	return b.String(), nil
}
