package probe

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf/btf"

	"github.com/snappy-policy/snappy/kernel/hook"
)

// checkTypes makes the checks that look at the kernel's BTF. It returns whether
// the hooks of the BPF LSM are in it.
func (r *Report) checkTypes(types *btf.Spec, err error) (builtIn Status) {
	f := Finding{Name: "btf", Status: OK, Required: true, What: "the kernel describes its types",
		Why: "programs find their way through the kernel's structs by it", Fix: "boot a kernel with CONFIG_DEBUG_INFO_BTF=y"}
	if err != nil {
		f.Status, f.What = Missing, "no BTF: "+err.Error()
		r.add(f)
		return Unknown
	}
	r.add(f)
	var fn *btf.Func
	builtIn = OK
	switch err := types.TypeByName("bpf_lsm_file_open", &fn); {
	case errors.Is(err, btf.ErrNotFound):
		return Missing
	case err != nil:
		builtIn = Unknown
	}
	for _, h := range hook.Hooks() {
		r.checkHook(types, h)
	}
	r.checkMembers(types)
	return builtIn
}

func (r *Report) checkHook(types *btf.Spec, h *hook.Hook) {
	f := Finding{Name: "hook." + h.Name, Status: OK, Required: true, What: "LSM hook as expected", Why: h.Doc}
	err := CheckHook(types, h)
	switch {
	case errors.Is(err, ErrHookMissing) && h.Absent != "":
		f.Required, f.Status, f.What, f.Why = false, Missing, "no such LSM hook", h.Absent
	case errors.Is(err, ErrHookMissing):
		f.Status, f.What = Missing, "no such LSM hook"
		f.Fix = "boot a newer kernel, or one with CONFIG_SECURITY_PATH=y and CONFIG_SECURITY_NETWORK=y; policies that do not need it work"
	case err != nil:
		f.Status, f.What, f.Fix = Missing, err.Error(), "use a newer version of SNAPPY; policies that do not need the hook work"
	}
	r.add(f)
}

// checkMembers looks for every struct member that a program may read.
func (r *Report) checkMembers(types *btf.Spec) {
	f := Finding{Name: "btf.members", Status: OK, Required: true, What: "every struct member that programs read is there",
		Why: "a policy that needs a missing one cannot be loaded", Fix: "use a newer version of SNAPPY"}
	for _, s := range hook.Structs() {
		candidates, err := types.AnyTypesByName(s.Name)
		if err != nil {
			f.Status, f.What = Missing, fmt.Sprintf("struct %s: %v", s.Name, err)
			r.add(f)
			continue
		}
		for _, m := range s.Members {
			found := false
			for _, t := range candidates {
				found = found || hasMember(t, m.Name)
			}
			if !found {
				f.Status, f.What = Missing, fmt.Sprintf("struct %s has no member %s", s.Name, m.Name)
				r.add(f)
			}
		}
	}
	if f.Status == OK {
		r.add(f)
	}
}

// hasMember looks through anonymous members too.
func hasMember(typ btf.Type, name string) bool {
	var members []btf.Member
	switch t := btf.UnderlyingType(typ).(type) {
	case *btf.Struct:
		members = t.Members
	case *btf.Union:
		members = t.Members
	}
	for _, m := range members {
		if m.Name == name || m.Name == "" && hasMember(m.Type, name) {
			return true
		}
	}
	return false
}
