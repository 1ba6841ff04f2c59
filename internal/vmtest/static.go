package vmtest

import (
	"debug/elf"
	"errors"
	"fmt"
)

// ErrNotStatic is wrapped by the error of CheckStatic for a program that needs
// a dynamic loader.
var ErrNotStatic = errors.New("not statically linked (build it with CGO_ENABLED=0)")

// CheckStatic reports whether the guest, which has no shared libraries, can
// run the program: a static ELF executable for amd64.
func CheckStatic(program string) error {
	f, err := elf.Open(program)
	if err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	defer f.Close()
	if f.Machine != elf.EM_X86_64 || f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN {
		return fmt.Errorf("%s: not a program for amd64", program)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("%s: %w", program, ErrNotStatic)
		}
	}
	return nil
}
