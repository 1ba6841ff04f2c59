package probe

import (
	"errors"
	"fmt"
	"sync"

	"github.com/cilium/ebpf/btf"

	"github.com/snappy-policy/snappy/kernel/hook"
)

// types is shared, because parsing the kernel's BTF takes longer than loading a policy.
var types = sync.OnceValue(btf.NewCache)

// Types is the process-wide cache of the kernel's BTF.
func Types() *btf.Cache { return types() }

// Errors of CheckHook.
var (
	// ErrHookMissing means that the kernel has no such LSM hook.
	ErrHookMissing = errors.New("the kernel has no such LSM hook")
	// ErrHookArgs means that the hook has other arguments than the table of kernel/hook.
	ErrHookArgs = errors.New("the kernel's LSM hook has other arguments")
)

// CheckHook compares a hook with the BTF of bpf_lsm_NAME. The error wraps
// ErrHookMissing or ErrHookArgs.
func CheckHook(types *btf.Spec, h *hook.Hook) error {
	var fn *btf.Func
	err := types.TypeByName("bpf_lsm_"+h.Name, &fn)
	if errors.Is(err, btf.ErrNotFound) {
		return fmt.Errorf("%s: %w", h.Name, ErrHookMissing)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	proto, ok := fn.Type.(*btf.FuncProto)
	if !ok {
		return fmt.Errorf("%s: %w: it is no function", h.Name, ErrHookArgs)
	}
	if len(proto.Params) != len(h.Args) {
		return fmt.Errorf("%s: %w: %d instead of %d", h.Name, ErrHookArgs, len(proto.Params), len(h.Args))
	}
	for i, want := range h.Args {
		if why := mismatch(proto.Params[i].Type, want); why != "" {
			return fmt.Errorf("%s: %w: argument %d (%s) %s", h.Name, ErrHookArgs, i, want.Name, why)
		}
	}
	return nil
}

// mismatch says in what way a parameter is not what the table expects, or "".
func mismatch(typ btf.Type, want hook.Arg) string {
	typ = btf.UnderlyingType(typ)
	ptr, isPointer := typ.(*btf.Pointer)
	if want.Struct == "" {
		if isPointer {
			return "is a pointer instead of a number"
		}
		size, err := btf.Sizeof(typ)
		if err != nil || size != int(want.Size) {
			return fmt.Sprintf("has %d bytes instead of %d", size, want.Size)
		}
		if n, ok := typ.(*btf.Int); ok && (n.Encoding == btf.Signed) != want.Signed {
			return "has another sign"
		}
		return ""
	}
	if !isPointer {
		return "is no pointer"
	}
	target := btf.UnderlyingType(ptr.Target)
	if name := target.TypeName(); name != want.Struct {
		return fmt.Sprintf("points to %q instead of %q", name, want.Struct)
	}
	return ""
}
