package probe

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/kernel/core"
	"github.com/snappy-policy/snappy/kernel/hook"
)

// trials is what came of trying things out.
type trials struct {
	skipped string // why nothing was tried; "": it was
	types   error  // of reading the kernel's BTF
	hooks   map[string]error
	maps    map[string]error
	helpers map[string]error
	load    error // of an LSM program that allows everything
	attach  error
	called  bool // the kernel has called it
}

// helpers are what the core and compiled policies call, in file_open.
var helpers = []asm.BuiltinFunc{
	asm.FnMapLookupElem, asm.FnProbeReadKernel, asm.FnProbeReadKernelStr, asm.FnGetCurrentPidTgid, asm.FnGetCurrentUidGid, asm.FnGetCurrentComm, asm.FnTailCall,
	asm.FnSendSignal, asm.FnRingbufReserve, asm.FnRingbufSubmit, asm.FnDPath, asm.FnTaskStorageGet, asm.FnTaskStorageDelete,
	asm.FnGetCurrentTaskBtf, asm.FnKtimeGetNs, asm.FnKtimeGetBootNs, asm.FnLoop,
}

const trialHook = "file_open"

// attempt tries everything, on the running kernel.
func attempt() trials {
	t := trials{hooks: map[string]error{}, maps: map[string]error{}, helpers: map[string]error{}}
	types, err := Types().Kernel()
	if err != nil {
		t.types = err
		return t
	}
	for _, h := range hook.Hooks() {
		t.hooks[h.Name] = CheckHook(types, h)
	}
	for _, spec := range core.Maps() {
		t.maps[spec.Name] = tryMap(spec)
	}
	t.maps[core.Slots().Name] = tryMap(core.Slots())
	t.tryProgram()
	if t.load == nil {
		for _, fn := range helpers {
			t.helpers[helperName(fn)] = tryHelper(fn)
		}
	}
	return t
}

func tryMap(spec *ebpf.MapSpec) error {
	m, err := ebpf.NewMap(spec)
	if err != nil {
		return err
	}
	return m.Close()
}

// tryProgram loads an LSM program that allows everything, attaches it, opens a
// file, and looks whether the program has been called.
func (t *trials) tryProgram() {
	seen, err := ebpf.NewMap(&ebpf.MapSpec{Name: "snp_trial", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		t.load = err
		return
	}
	defer seen.Close()
	prog, err := trialProgram(asm.Instructions{
		asm.LoadMapValue(asm.R1, seen.FD(), 0),
		asm.StoreImm(asm.R1, 0, 1, asm.Word),
		asm.Mov.Imm(asm.R0, 0),
		asm.Return(),
	})
	if err != nil {
		t.load = err
		return
	}
	defer prog.Close()
	l, err := link.AttachLSM(link.LSMOptions{Program: prog})
	if err != nil {
		t.attach = err
		return
	}
	defer func() { t.attach = errors.Join(t.attach, l.Close()) }()
	f, err := os.Open("/")
	if err != nil {
		t.attach = err
		return
	}
	f.Close()
	var value uint64
	if err := seen.Lookup(uint32(0), &value); err != nil {
		t.attach = err
		return
	}
	t.called = value != 0
}

func trialProgram(body asm.Instructions) (*ebpf.Program, error) {
	spec := &ebpf.ProgramSpec{Name: "snp_trial", Type: ebpf.LSM, AttachType: ebpf.AttachLSMMac, AttachTo: trialHook, License: "GPL", Instructions: body}
	coll, err := ebpf.NewCollectionWithOptions(&ebpf.CollectionSpec{Programs: map[string]*ebpf.ProgramSpec{spec.Name: spec}},
		ebpf.CollectionOptions{Cache: Types()})
	if err != nil {
		return nil, err
	}
	defer coll.Close()
	return coll.DetachProgram(spec.Name), nil
}

// errHelper means that the kernel has no such helper, or not for LSM programs.
var errHelper = errors.New("LSM programs have no such helper")

// tryHelper calls a helper with wrong arguments: the verifier looks for the
// helper first, so it complains of something else if the helper is there.
func tryHelper(fn asm.BuiltinFunc) error {
	prog, err := trialProgram(asm.Instructions{fn.Call(), asm.Mov.Imm(asm.R0, 0), asm.Return()})
	if err == nil {
		return prog.Close()
	}
	var refused *ebpf.VerifierError
	if !errors.As(err, &refused) {
		return err
	}
	log := strings.Join(refused.Log, "\n")
	// kernel/bpf/verifier.c, check_helper_call; the second in kernels before 6.11.
	for _, text := range []string{"program of this type cannot use helper", "unknown func", "invalid func"} {
		if strings.Contains(log, text) {
			return errHelper
		}
	}
	return nil
}

// helperName is the helper's name in the kernel's documentation.
func helperName(fn asm.BuiltinFunc) string {
	var b strings.Builder
	b.WriteString("bpf")
	for _, r := range strings.TrimPrefix(fn.String(), "Fn") {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// findings of the trials: hooks, maps, programs, helpers.
func (t *trials) findings() []Finding {
	if t.skipped != "" {
		return []Finding{{Name: "trial", State: Unknown, What: t.skipped, Why: "only a trial shows what the kernel really lets programs do", Fix: "see privileges"}}
	}
	if t.types != nil {
		return []Finding{{Name: "trial", State: Missing, What: "the kernel's types cannot be read: " + t.types.Error(),
			Why: "programs find the kernel's structures by them", Fix: "see btf"}}
	}
	out := t.hookFindings()
	out = append(out, t.mapFindings()...)
	out = append(out, t.programFinding())
	if t.load == nil {
		out = append(out, t.helperFindings()...)
	}
	return out
}

func (t *trials) hookFindings() []Finding {
	var out []Finding
	good, lost := 0, 0
	table := hook.Hooks()
	for _, h := range table {
		err := t.hooks[h.Name]
		f := Finding{Name: "hook " + h.Name, State: Missing}
		switch {
		case err == nil:
			good++
			continue
		case errors.Is(err, ErrHookMissing) && h.Absent != "":
			f.State, f.What = OK, "absent without harm: "+h.Absent
		case errors.Is(err, ErrHookMissing):
			lost++
			f.What = "the kernel has no LSM hook " + h.Name
			f.Why, f.Fix = "these operations pass it: "+strings.Join(operations(h), ", "), "use a supported kernel (6.12 or later, or 6.1)"
		default:
			f.What = err.Error()
			f.Why, f.Fix = "programs would misread what these operations ask for: "+strings.Join(operations(h), ", "),
				"use a supported kernel (6.12 or later, or 6.1)"
		}
		out = append(out, f)
	}
	if good == 0 && lost > 0 {
		return []Finding{{Name: "hooks", State: Missing, What: "the kernel has no hooks for LSM programs", Why: "policies are LSM programs",
			Fix: "use a kernel with CONFIG_BPF_LSM=y"}}
	}
	summary := Finding{Name: "hooks", State: OK, What: fmt.Sprintf("%d of %d LSM hooks are as expected", good, len(table))}
	return append([]Finding{summary}, out...)
}

func operations(h *hook.Hook) []string {
	var ops []string
	for _, in := range h.Instances {
		if len(ops) == 0 || ops[len(ops)-1] != in.Op {
			ops = append(ops, in.Op)
		}
	}
	return ops
}

func (t *trials) mapFindings() []Finding {
	var out []Finding
	specs := append(core.Maps(), core.Slots())
	for _, spec := range specs {
		err := t.maps[spec.Name]
		if err == nil {
			continue
		}
		f := Finding{Name: "map " + spec.Name, State: Missing, What: fmt.Sprintf("a %s map cannot be made: %v", spec.Type, err),
			Why: "membership in policy namespaces, policies and events are kept in maps", Fix: "use a supported kernel (6.12 or later, or 6.1)"}
		if errors.Is(err, unix.EPERM) {
			f.Fix = "see privileges; if all are there, raise the limit of locked memory (ulimit -l unlimited)"
		}
		if errors.Is(err, unix.ENOMEM) {
			f.Fix = "free some memory"
		}
		out = append(out, f)
	}
	if out == nil {
		out = []Finding{{Name: "maps", State: OK, What: "task storage, ring buffer, program array and array maps can be made"}}
	}
	return out
}

// programFinding tells what came of loading, attaching and calling the trial program.
func (t *trials) programFinding() Finding {
	f := Finding{Name: "program", State: Missing, Why: "policies are LSM programs"}
	err, did := t.load, "load"
	if err == nil {
		err, did = t.attach, "attach"
	}
	if err != nil {
		f.What = fmt.Sprintf("the kernel refuses to %s an LSM program: %v", did, err)
		f.Fix = refusal(err, did)
		return f
	}
	if !t.called {
		f.What = "an LSM program was loaded and attached, but the kernel never called it"
		f.Fix = "see lsm: the BPF LSM must be in the list of active LSMs"
		return f
	}
	return Finding{Name: "program", State: OK, What: "an LSM program was loaded, attached, called and detached"}
}

// enotsupp is the kernel's internal ENOTSUPP (include/linux/errno.h), which
// escapes to user space where an architecture has no trampolines.
const enotsupp = unix.Errno(524)

// refusal explains an error of loading or attaching a program.
func refusal(err error, did string) string {
	switch {
	case errors.Is(err, unix.EBUSY):
		return "EBUSY: the kernel cannot patch the hook's function. Some builds of 6.18 and others whose LSM hooks are no ftrace locations answer so;\n" +
			"check CONFIG_FUNCTION_TRACER=y and CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS=y, or use another kernel build"
	case errors.Is(err, enotsupp):
		return "ENOTSUPP: this kernel has no BPF trampolines on this architecture: CONFIG_BPF_JIT=y and net.core.bpf_jit_enable=1 are needed,\n" +
			"on arm64 Linux 6.0 or later"
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return "see privileges and lockdown; a container runtime's seccomp filter may refuse bpf(2) too: run it on the host"
	case errors.Is(err, unix.E2BIG) && did == "attach":
		return "E2BIG: the hook has 38 programs already, as many as fit; remove some of another tool"
	case errors.Is(err, ErrHookMissing), errors.Is(err, ebpf.ErrNotSupported), errors.Is(err, btf.ErrNotFound):
		return "use a kernel with CONFIG_BPF_LSM=y and CONFIG_BPF_JIT=y"
	}
	return "look at the kernel's log (dmesg); a kernel with CONFIG_BPF_LSM=y, CONFIG_BPF_JIT=y and CONFIG_FUNCTION_TRACER=y is needed"
}

func (t *trials) helperFindings() []Finding {
	var out []Finding
	for _, fn := range helpers {
		name := helperName(fn)
		err := t.helpers[name]
		if err == nil {
			continue
		}
		f := Finding{Name: "helper " + name, State: Missing, What: fmt.Sprintf("%s: %v", name, err), Why: "policies and the core call it",
			Fix: "use a supported kernel (6.12 or later, or 6.1)"}
		if !errors.Is(err, errHelper) {
			f.State = Unknown
		}
		out = append(out, f)
	}
	if out == nil {
		out = []Finding{{Name: "helpers", State: OK, What: fmt.Sprintf("all %d kernel helpers that are called are there", len(helpers))}}
	}
	return out
}
