package loader

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

var errUnknownHook = errors.New("not a hook of this version")

// HookError tells that a hook which rules need cannot be had. Err wraps
// probe.ErrHookMissing or probe.ErrHookArgs.
type HookError struct {
	Need Need
	Err  error
}

func (e *HookError) Error() string {
	by := "a default"
	if len(e.Need.Rules) > 0 {
		by = "the rule at " + e.Need.Rules[0]
		if n := len(e.Need.Rules) - 1; n > 0 {
			by += fmt.Sprintf(" and %d more", n)
		}
	}
	return fmt.Sprintf("LSM hook %s: %v; needed by %s", e.Need.Hook, e.Err, by)
}

func (e *HookError) Unwrap() error { return e.Err }

// VerifierError tells that the kernel refused a program of a policy, which is a
// fault of the compiler or of the kernel and not of the policy's author. Format it
// with %+v for the whole log.
type VerifierError struct {
	Hook string // of the program that was refused
	// File and Line are the line of the policy that the refused instruction comes
	// from; "" and 0 if it cannot be told.
	File string
	Line uint32
	Err  error // wraps *ebpf.VerifierError
}

func (e *VerifierError) Error() string { return e.summary(fmt.Sprintf("%v", e.Err)) }

func (e *VerifierError) summary(cause string) string {
	at := ""
	if e.File != "" {
		at = fmt.Sprintf("%s:%d: ", e.File, e.Line)
	}
	return fmt.Sprintf("%sthe kernel refuses the program for %s: %s", at, e.Hook, cause)
}

// Format prints the log with %+v.
func (e *VerifierError) Format(f fmt.State, verb rune) {
	if verb == 'v' && f.Flag('+') {
		var ve *ebpf.VerifierError
		if errors.As(e.Err, &ve) {
			fmt.Fprint(f, e.summary(fmt.Sprintf("%+v", ve)))
			return
		}
	}
	fmt.Fprint(f, e.Error())
}

func (e *VerifierError) Unwrap() error { return e.Err }

// explain makes a *VerifierError of a load that the verifier refused.
func explain(err error, spec *ebpf.CollectionSpec) error {
	var ve *ebpf.VerifierError
	if !errors.As(err, &ve) {
		return err
	}
	out := &VerifierError{Err: err}
	// The library names the program only in the text: "program NAME: …".
	for name, p := range spec.Programs {
		if strings.Contains(err.Error(), "program "+name+":") {
			out.Hook = p.AttachTo
			out.File, out.Line = refused(p, ve.Log)
		}
	}
	return out
}

// instruction is how the log begins the line of an instruction: "12: (79) r1 = …".
var instruction = regexp.MustCompile(`^(\d+): \([0-9a-f]{2}\)`)

// refused finds the source line of the last instruction that the log shows: the
// verifier stops where it refuses.
func refused(p *ebpf.ProgramSpec, log []string) (file string, line uint32) {
	last := -1
	for _, l := range log {
		if m := instruction.FindStringSubmatch(l); m != nil {
			if n, err := strconv.Atoi(m[1]); err == nil {
				last = n
			}
		}
	}
	if last < 0 {
		return "", 0
	}
	it := p.Instructions.Iterate()
	for it.Next() && int(it.Offset) <= last {
		if src, ok := it.Ins.Source().(*btf.Line); ok {
			file, line = src.FileName(), src.LineNumber()
		}
	}
	return file, line
}
