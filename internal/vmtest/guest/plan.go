// Package guest is what the two sides of the rig agree on: the Plan that the
// host puts into the initramfs for the guest's init to follow, and the frames
// in which init sends the payloads' output back over a serial port.
//
// It imports the standard library only, because the guest's init is built from
// an embedded copy of this package, outside of any module cache.
package guest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	// PlanPath is where init finds its plan.
	PlanPath = "/rig/plan.json"
	// ResultPort is the serial port that carries the frames. The kernel's
	// console is the other one, so no kernel message ever mixes with results.
	ResultPort = "/dev/ttyS1"
	// ExitRig is the exit code of a payload, or of the whole run, that failed
	// for a reason of the rig's: it could not be started, ran out of time, or
	// left state behind that would change what the next payload sees.
	ExitRig = 125
)

// Plan tells init what to do after the mounts.
type Plan struct {
	Hostname string
	// TmpfsRoot moves everything to a tmpfs that becomes the root, because
	// pivot_root(2) refuses to leave the initramfs.
	TmpfsRoot bool
	// Modules are guest paths of kernel modules, in loading order.
	Modules []string `json:",omitempty"`
	// Payloads run one after the other. Whatever one leaves behind (processes,
	// mounts, cgroups, pinned BPF objects) is removed before the next.
	Payloads []Payload
}

// Payload is one program to run.
type Payload struct {
	Argv []string // Argv[0] is a guest path or a name to find in PATH
	Env  []string // the complete environment, "K=V" each
	Dir  string   // working directory; it is created when missing
	// Timeout is in guest time; zero leaves it to the host. The payload gets
	// SIGQUIT, and SIGKILL five seconds later.
	Timeout time.Duration `json:",omitempty"`
}

// Check reports the first thing that makes the plan impossible to follow.
func (p *Plan) Check() error {
	if len(p.Payloads) == 0 {
		return errors.New("plan without payloads")
	}
	for i, pl := range p.Payloads {
		switch {
		case len(pl.Argv) == 0 || pl.Argv[0] == "":
			return fmt.Errorf("payload %d: no program", i)
		case !strings.HasPrefix(pl.Dir, "/"):
			return fmt.Errorf("payload %d: working directory %q is not absolute", i, pl.Dir)
		case pl.Timeout < 0:
			return fmt.Errorf("payload %d: negative timeout", i)
		}
		for _, s := range append(append([]string{pl.Dir}, pl.Argv...), pl.Env...) {
			if strings.IndexByte(s, 0) >= 0 {
				return fmt.Errorf("payload %d: NUL byte in %q", i, s)
			}
		}
	}
	return nil
}

// Marshal checks the plan and encodes it.
func (p *Plan) Marshal() ([]byte, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	return json.MarshalIndent(p, "", "\t")
}

// ParsePlan decodes what Marshal wrote.
func ParsePlan(data []byte) (*Plan, error) {
	var p Plan
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	if err := p.Check(); err != nil {
		return nil, err
	}
	return &p, nil
}
