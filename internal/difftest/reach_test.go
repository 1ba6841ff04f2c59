package difftest

import (
	"fmt"

	"github.com/snappy-policy/snappy/compiler/object"
)

// unreachable finds an instruction that control never gets to, which verifiers
// refuse; -1 if there is none.
func unreachable(f *object.Func) int {
	at := map[int32]int{} // instruction by slot
	slots := make([]int32, len(f.Code))
	n := int32(0)
	for i, in := range f.Code {
		at[n], slots[i] = i, n
		n++
		if in.Op == object.OpLddw {
			n++
		}
	}
	seen := make([]bool, len(f.Code))
	pending := []int{0}
	for len(pending) > 0 {
		i := pending[len(pending)-1]
		pending = pending[:len(pending)-1]
		if i >= len(f.Code) || seen[i] {
			continue
		}
		seen[i] = true
		in := f.Code[i]
		class := in.Op & 7
		if class == object.ClassJMP || class == object.ClassJMP32 {
			switch in.Op & 0xf0 {
			case object.OpExit:
				continue
			case object.OpCall:
			case object.OpJa:
				pending = append(pending, at[slots[i]+1+in.Off])
				continue
			default:
				pending = append(pending, at[slots[i]+1+in.Off])
			}
		}
		pending = append(pending, i+1)
	}
	for i, ok := range seen {
		if !ok {
			return i
		}
	}
	return -1
}

// checkReach applies unreachable to all functions of an object.
func checkReach(f *object.File) error {
	for i := range f.Programs {
		if at := unreachable(&f.Programs[i].Func); at >= 0 {
			return fmt.Errorf("%s: instruction %d is never reached", f.Programs[i].Name, at)
		}
	}
	for i := range f.Subprograms {
		if at := unreachable(&f.Subprograms[i]); at >= 0 {
			return fmt.Errorf("%s: instruction %d is never reached", f.Subprograms[i].Name, at)
		}
	}
	return nil
}
