package object

import (
	"fmt"

	"github.com/cilium/ebpf/btf"
)

// checkNames verifies what can be said of a file without looking at code.
func (f *File) checkNames() error {
	if f.License == "" {
		return fmt.Errorf("the file has no license")
	}
	for _, c := range f.License {
		if c < ' ' || c > '~' {
			return fmt.Errorf("license %q is no printable ASCII", f.License)
		}
	}
	owner := make(map[string]string)
	claim := func(kind, name string) error {
		if !isIdentifier(name) {
			return fmt.Errorf("%s %q: the name is no C identifier", kind, name)
		}
		if other := owner[name]; other != "" {
			return fmt.Errorf("%s %q: the name is already that of a %s", kind, name, other)
		}
		owner[name] = kind
		return nil
	}
	for i := range f.Programs {
		p := &f.Programs[i]
		if err := claim("program", p.Name); err != nil {
			return err
		}
		if !isIdentifier(p.Hook) {
			return fmt.Errorf("program %q: hook %q is no C identifier", p.Name, p.Hook)
		}
	}
	for i := range f.Subprograms {
		s := &f.Subprograms[i]
		if err := claim("subprogram", s.Name); err != nil {
			return err
		}
		if s.Linkage != btf.StaticFunc && s.Linkage != btf.GlobalFunc {
			return fmt.Errorf("subprogram %q: linkage %s", s.Name, s.Linkage)
		}
		if len(s.Params) > 5 {
			return fmt.Errorf("subprogram %q: %d parameters, more than 5", s.Name, len(s.Params))
		}
	}
	for i := range f.Kfuncs {
		if err := claim("kernel function", f.Kfuncs[i].Name); err != nil {
			return err
		}
	}
	for i := range f.Maps {
		m := &f.Maps[i]
		if err := claim("map", m.Name); err != nil {
			return err
		}
		if m.Type == 0 {
			return fmt.Errorf("map %q has no type", m.Name)
		}
	}
	for i := range f.Tables {
		t := &f.Tables[i]
		if err := claim("table", t.Name); err != nil {
			return err
		}
		if len(t.Data) == 0 || len(t.Data) > MaxTableBytes {
			return fmt.Errorf("table %q has %d bytes, want 1 to %d", t.Name, len(t.Data), MaxTableBytes)
		}
	}
	return nil
}

// checkFlow verifies that a function's jumps land on instructions of the
// function and that control cannot leave it at the end.
func checkFlow(code []Insn) error {
	if len(code) == 0 {
		return fmt.Errorf("no instructions")
	}
	total := 0
	for i := range code {
		total += code[i].slots()
	}
	if total > MaxInstructions {
		return fmt.Errorf("%d instructions, more than the %d that the kernel takes", total, MaxInstructions)
	}
	// start marks the slots at which an instruction begins.
	start := make([]bool, total)
	at := 0
	for i := range code {
		start[at] = true
		at += code[i].slots()
	}
	at = 0
	for i := range code {
		at += code[i].slots()
		d, ok := code[i].jumpSlots()
		if !ok {
			continue
		}
		if to := int64(at) + d; to < 0 || to >= int64(total) || !start[to] {
			return fmt.Errorf("instruction %d: jump by %d slots lands on no instruction of the function", i, d)
		}
	}
	if !code[len(code)-1].endsFlow() {
		return fmt.Errorf("control can run past the last instruction")
	}
	return nil
}

// checkSizes verifies that no program, together with the subprograms that it
// reaches, is larger than the kernel takes: loaders link them into one.
func (f *File) checkSizes() error {
	subs := make(map[string]*Func, len(f.Subprograms))
	for i := range f.Subprograms {
		subs[f.Subprograms[i].Name] = &f.Subprograms[i]
	}
	for i := range f.Programs {
		total := 0
		linked := make(map[string]bool)
		pending := []*Func{&f.Programs[i].Func}
		for len(pending) > 0 {
			fn := pending[len(pending)-1]
			pending = pending[:len(pending)-1]
			for j := range fn.Code {
				in := &fn.Code[j]
				total += in.slots()
				if in.Ref.Kind == RefFunc && !linked[in.Ref.Name] {
					linked[in.Ref.Name] = true
					pending = append(pending, subs[in.Ref.Name])
				}
			}
		}
		if total > MaxInstructions {
			return fmt.Errorf("program %q: %d instructions with its subprograms, more than the %d that the kernel takes",
				f.Programs[i].Name, total, MaxInstructions)
		}
	}
	return nil
}
