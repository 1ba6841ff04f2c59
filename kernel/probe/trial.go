package probe

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/kernel/abi"
)

// enotsupp is the kernel's own ENOTSUPP (include/linux/errno.h), which some
// architectures let out to user space.
const enotsupp = unix.Errno(524)

const needsRoot = "run as root (see privileges)"

// trials loads tiny maps and programs and takes them out again.
func (r *Report) trials() {
	privileged := false
	if f := r.Finding("privileges"); f != nil {
		privileged = f.Status == OK
	}
	integer := &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
	r.trial(Finding{Name: "bpf.task_storage", What: "task storage can be had", Why: "it holds each task's namespace"}, privileged, func() error {
		return tryMap(&ebpf.MapSpec{Type: ebpf.TaskStorage, KeySize: 4, ValueSize: 4, Flags: unix.BPF_F_NO_PREALLOC, Key: integer, Value: integer})
	})
	r.trial(Finding{Name: "bpf.ring_buffer", What: "ring buffers can be had", Why: "events arrive through one"}, privileged, func() error {
		return tryMap(&ebpf.MapSpec{Type: ebpf.RingBuf, MaxEntries: uint32(os.Getpagesize())})
	})
	r.trial(Finding{Name: "bpf.mappable", What: "arrays of 4 MiB can be had", Why: "one holds the namespaces"}, privileged, func() error {
		return tryMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: abi.MaxSpaces * abi.SpaceSize, MaxEntries: 1, Flags: unix.BPF_F_MMAPABLE})
	})
	r.trial(Finding{Name: "bpf.iterator", What: "task iterators can be loaded", Why: "by them the manager looks at tasks and moves them"}, privileged, func() error {
		return tryProgram(&ebpf.ProgramSpec{Name: "snp_probe", Type: ebpf.Tracing, AttachType: ebpf.AttachTraceIter, AttachTo: "task", License: "GPL",
			Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}})
	})
	lsm := r.trial(Finding{Name: "lsm.load", What: "LSM programs can be loaded", Why: "policies are LSM programs"}, privileged, func() error {
		return tryProgram(lsmProgram(asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}))
	})
	if !lsm {
		return
	}
	r.trial(Finding{Name: "bpf.loop", What: "bpf_loop can be called", Why: "patterns are matched in it"}, privileged, func() error {
		return tryProgram(loopProgram())
	})
	r.attach()
}

// trial adds a required finding: whether try succeeds.
func (r *Report) trial(f Finding, privileged bool, try func() error) bool {
	f.Required, f.Status = true, OK
	if err := try(); err != nil {
		f.Status, f.What = Missing, err.Error()
		denied := errors.Is(err, unix.EPERM) // a program that is not valid is EACCES or EINVAL
		switch {
		case denied && !privileged:
			f.Status, f.Fix = Unknown, needsRoot
		case denied:
			f.What = "the kernel refuses it with EPERM although the privileges are there"
			f.Fix = "something else than capabilities forbids it: kernel lockdown, a seccomp filter or a sandbox around this process, or a kernel that was changed to refuse it; run on a host without"
		}
	}
	r.add(f)
	return f.Status == OK
}

func tryMap(spec *ebpf.MapSpec) error {
	m, err := ebpf.NewMap(spec)
	if err != nil {
		return err
	}
	return m.Close()
}

func load(spec *ebpf.ProgramSpec, maps map[string]*ebpf.Map) (*ebpf.Program, error) {
	for name, m := range maps {
		if err := spec.Instructions.AssociateMap(name, m); err != nil {
			return nil, err
		}
	}
	coll, err := ebpf.NewCollectionWithOptions(
		&ebpf.CollectionSpec{Programs: map[string]*ebpf.ProgramSpec{spec.Name: spec}},
		ebpf.CollectionOptions{Cache: Types()})
	if err != nil {
		return nil, err
	}
	defer coll.Close()
	return coll.DetachProgram(spec.Name), nil
}

func tryProgram(spec *ebpf.ProgramSpec) error {
	p, err := load(spec, nil)
	if err != nil {
		return err
	}
	return p.Close()
}

func lsmProgram(in asm.Instructions) *ebpf.ProgramSpec {
	return &ebpf.ProgramSpec{Name: "snp_probe", Type: ebpf.LSM, AttachType: ebpf.AttachLSMMac, AttachTo: "file_open", License: "GPL", Instructions: in}
}

// loopProgram calls bpf_loop once, with a callback that ends it.
func loopProgram() *ebpf.ProgramSpec {
	integer := &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
	fn := func(in asm.Instruction, name string, params ...btf.FuncParam) asm.Instruction {
		return btf.WithFuncMetadata(in.WithSymbol(name), &btf.Func{Name: name, Linkage: btf.StaticFunc,
			Type: &btf.FuncProto{Return: integer, Params: params}})
	}
	void := &btf.Pointer{Target: (*btf.Void)(nil)}
	callback := asm.Instruction{OpCode: asm.LoadImmOp(asm.DWord), Dst: asm.R2, Src: asm.PseudoFunc, Constant: -1}
	return lsmProgram(asm.Instructions{
		fn(asm.Mov.Imm(asm.R1, 1), "snp_probe", btf.FuncParam{Name: "ctx", Type: void}),
		callback.WithReference("snp_callback"),
		asm.Mov.Imm(asm.R3, 0),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnLoop.Call(),
		asm.Mov.Imm(asm.R0, 0),
		asm.Return(),
		fn(asm.Mov.Imm(asm.R0, 1), "snp_callback", btf.FuncParam{Name: "index", Type: integer}, btf.FuncParam{Name: "data", Type: void}),
		asm.Return(),
	})
}

// attach attaches a program that allows everything to file_open, opens a file and
// looks whether the program was run: a kernel may take programs for hooks that it
// never calls.
func (r *Report) attach() {
	f := Finding{Name: "lsm.attach", Status: OK, Required: true, What: "LSM programs can be attached", Why: "policies are LSM programs"}
	runs := Finding{Name: "lsm.runs", Status: Unknown, Required: true, What: "not tried",
		Why: "a program that is attached and not run enforces nothing", Fix: "see lsm.enabled: bpf must be in the list of the kernel's lsm= parameter"}
	counter, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err == nil {
		defer counter.Close()
		err = func() error {
			p, err := load(lsmProgram(noteOpens()), map[string]*ebpf.Map{"snp_opens": counter})
			if err != nil {
				return err
			}
			defer p.Close()
			l, err := link.AttachLSM(link.LSMOptions{Program: p})
			if err != nil {
				return err
			}
			defer l.Close()
			runs.Status, runs.What = ran(counter)
			return nil
		}()
	}
	switch {
	case errors.Is(err, unix.EBUSY):
		f.Status = Missing
		f.What = "the hook is busy: another tracer has patched the function bpf_lsm_file_open, or the kernel cannot attach to it (seen on some systems with Linux 6.18)"
		f.Fix = "stop other programs that trace bpf_lsm_* functions (kprobes, fentry, live patches); else boot another kernel build"
	case errors.Is(err, unix.E2BIG):
		f.Status, f.What = Missing, "38 programs, the most that a hook takes, are attached to file_open"
		f.Fix = "stop other users of BPF LSM (bpftool link)"
	case errors.Is(err, enotsupp):
		f.Status, f.What = Missing, "the kernel cannot attach programs to functions on this architecture (ENOTSUPP)"
		f.Fix = "boot a kernel with BPF trampolines: CONFIG_BPF_JIT=y, CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS=y, on arm64 Linux 6.0 or later"
	case errors.Is(err, unix.EPERM):
		f.Status, f.What = Missing, "the kernel refuses to attach LSM programs with EPERM although it loads them"
		f.Fix = "something else than capabilities forbids it: kernel lockdown, a seccomp filter or a sandbox around this process; run on a host without"
	case err != nil:
		f.Status, f.What = Missing, err.Error()
	}
	r.add(f)
	r.add(runs)
}

// noteOpens notes that a file is opened, by whomever: in a pid namespace this
// process could not recognise itself.
//
//	snp_opens[0] = 1
func noteOpens() asm.Instructions {
	return asm.Instructions{
		asm.LoadMapValue(asm.R1, 0, 0).WithReference("snp_opens"),
		asm.Mov.Imm(asm.R2, 1),
		asm.StoreMem(asm.R1, 0, asm.R2, asm.DWord),
		asm.Mov.Imm(asm.R0, 0),
		asm.Return(),
	}
}

func ran(counter *ebpf.Map) (Status, string) {
	f, err := os.Open("/")
	if err != nil {
		return Unknown, err.Error()
	}
	f.Close()
	var n uint64
	if err := counter.Lookup(uint32(0), &n); err != nil {
		return Unknown, err.Error()
	}
	if n == 0 {
		return Missing, "an attached LSM program is not run"
	}
	return OK, "an attached LSM program is run"
}

// ErrInactive means that the kernel takes LSM programs and does not run them.
var ErrInactive = errors.New("the BPF security module is not active in this kernel (snappyc doctor tells how to boot with it)")

// Active finds out whether the kernel runs LSM programs: from the list of active
// security modules, or if that cannot be read by a trial. The error wraps
// ErrInactive if it does not.
func Active() error { return active(os.DirFS("/")) }

func active(root fs.FS) error {
	h := host{Report: newReport(""), root: root}
	if list, err := h.read("sys/kernel/security/lsm"); err == nil {
		if !slices.Contains(strings.Split(list, ","), "bpf") {
			return ErrInactive
		}
		return nil
	}
	h.attach()
	for _, name := range []string{"lsm.attach", "lsm.runs"} {
		if f := h.Finding(name); f.Status != OK {
			return fmt.Errorf("%w: %s", ErrInactive, f.What)
		}
	}
	return nil
}
